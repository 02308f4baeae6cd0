"""The command line as a real process: what it prints, where, and with which exit status."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, NamedTuple

import pytest

from exr_inspector import __version__, inspect, rebuild_header
from exr_inspector.cli.arguments import parsed
from exr_inspector.cli.inspect import STATUSES
from exr_inspector.cli.inspect import Options as InspectOptions
from exr_inspector.cli.json_text import json_pieces
from exr_inspector.cli.main import COMMANDS, _parser, main
from exr_inspector.cli.output import Output
from exr_inspector.cli.schema import Options as SchemaOptions
from tests.support.interrupts import heed_interrupts

HOME = Path(__file__).parent.parent
FIXTURES = HOME / "fixtures"
RGBA = FIXTURES / "real/minimal_rgba.exr"
RICH = FIXTURES / "real/rich.exr"
PIXEL = FIXTURES / "real/one_pixel.exr"
GAP = FIXTURES / "damaged/gap_middle.exr"
PNG = FIXTURES / "damaged/not_exr_png.exr"
COMMAND = [sys.executable, "-m", "exr_inspector"]
SECONDS = 60

# What must never reach a terminal: C0 and C1 controls, and characters that change the direction or hide.
DANGEROUS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


class Ran(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def environment(**variables: str) -> dict[str, str]:
    cleared = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONIOENCODING", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if name not in cleared}
    return {**kept, "PYTHONPATH": str(HOME), "PYTHONUTF8": "1", **variables}


def finished(arguments: Sequence[Any], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """A process that has ended; what it wrote is kept unless `options` say where it goes."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()}
    if "input" in options:
        del given["stdin"]
    return subprocess.run(arguments, check=False, timeout=SECONDS, **{**given, **options})


def run(*arguments: str | bytes | Path, stdin: bytes | int = b"", cwd: Path | None = None, **variables: str) -> Ran:
    source = {"stdin": stdin} if isinstance(stdin, int) else {"input": stdin}
    ran = finished([*COMMAND, *arguments], cwd=cwd, env=environment(**variables), **source)
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def shown(path: str | Path, **config: Any) -> Any:
    """What the library says of a path, as it comes out of JSON."""
    return json.loads(json.dumps(inspect(str(path), config=config)))


# ---- One path, one document --------------------------------------------------------------------------------


def test_one_path_gives_one_document() -> None:
    ran = run(RICH)
    assert (ran.status, ran.err) == (0, "")
    assert ran.document == shown(RICH)
    assert rebuild_header(ran.document) == RICH.read_bytes()[: ran.document["file"]["header_bytes"]]


@pytest.mark.parametrize("fixture", ["real/every_type.exr", "hand/hostile_text.exr", "damaged/empty.exr"])
def test_the_text_is_indented_ascii(fixture: str) -> None:
    ran = run(FIXTURES / fixture)
    assert ran.out == json.dumps(shown(FIXTURES / fixture), indent=2) + "\n"
    assert ran.out.isascii()


def test_the_command_s_name_may_be_left_out() -> None:
    assert run("inspect", RICH) == run(RICH)


def test_a_file_named_like_a_command(tmp_path: Path) -> None:
    for name in COMMANDS:
        (tmp_path / name).write_bytes(RGBA.read_bytes())
        assert run(f"./{name}", cwd=tmp_path).document["file"]["path"] == f"./{name}"
        assert run("inspect", name, cwd=tmp_path).document["file"]["path"] == name
    assert run("schema", cwd=tmp_path).document["title"].startswith("exr-inspector")


def test_a_word_that_is_no_command_is_a_file() -> None:
    ran = run("watch")
    assert ran.status == 2
    assert ran.document["errors"][0]["code"] == "source_not_found"
    words = re.findall(r"[a-z]+", run("--help").out)
    assert set(COMMANDS) <= set(words)
    assert "watch" not in words


def test_compact() -> None:
    document = shown(RICH)
    assert run("--compact", RICH).out == json.dumps(document, separators=(",", ":")) + "\n"


def test_paths_behind_two_dashes(tmp_path: Path) -> None:
    (tmp_path / "--table").write_bytes(RGBA.read_bytes())
    ran = run("--compact", "--", "--table", cwd=tmp_path)
    assert (ran.status, ran.document["file"]["path"]) == (0, "--table")


def test_options_may_stand_among_paths() -> None:
    lines = run(RGBA, "--jsonl", PIXEL).out.splitlines()
    assert [json.loads(line)["file"]["path"] for line in lines] == [str(RGBA), str(PIXEL)]


def test_the_installed_command_is_the_same_program() -> None:
    script = re.search(r'^exr-inspector = "(.+):(.+)"$', (HOME / "pyproject.toml").read_text(), re.MULTILINE)
    assert script is not None
    start = f"import sys; from {script[1]} import {script[2]}; sys.exit({script[2]}())"
    for arguments in ([RICH], [RGBA, PNG], ["--bogus"]):
        ran = finished([sys.executable, "-c", start, *arguments])
        assert Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode()) == run(*arguments)


# ---- Several paths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--compact"]])
def test_several_paths_give_an_array(options: list[str]) -> None:
    ran = run(*options, RGBA, PNG, PIXEL)
    separators = (",", ":") if options else None
    indent = None if options else 2
    documents = [shown(path) for path in (RGBA, PNG, PIXEL)]
    assert ran.out == json.dumps(documents, indent=indent, separators=separators) + "\n"
    assert ran.status == 2


def test_lines() -> None:
    ran = run("--jsonl", RGBA, PNG, GAP)
    assert [json.loads(line) for line in ran.out.splitlines()] == [shown(path) for path in (RGBA, PNG, GAP)]
    assert all(line == json.dumps(json.loads(line), separators=(",", ":")) for line in ran.out.splitlines())
    assert run("--jsonl", RGBA).out.count("\n") == 1


def test_a_line_is_there_as_soon_as_its_file_is_read(tmp_path: Path) -> None:
    arguments = [*COMMAND, "--jsonl", "--files-from", "-"]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    assert process.stdin is not None
    assert process.stdout is not None
    for path in (RGBA, PIXEL):
        process.stdin.write(f"{path}\n".encode())
        process.stdin.flush()
        assert select.select([process.stdout], [], [], SECONDS)[0], "no line although the file was named"
        assert json.loads(process.stdout.readline())["file"]["path"] == str(path)
    process.stdin.close()
    assert process.wait(SECONDS) == 0
    process.stdout.close()


def test_a_thousand_files(tmp_path: Path) -> None:
    data = PIXEL.read_bytes()
    for number in range(1000):
        (tmp_path / f"f.{number:04}.exr").write_bytes(data)
    ran = run("--recursive", "--compact", tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert [each["file"]["frame_number"] for each in ran.document] == list(range(1000))


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    big = tmp_path / "big.exr"
    data = RGBA.read_bytes()
    value = b"x" * (4 << 20)
    big.write_bytes(data[:8] + b"big\0string\0" + struct.pack("<i", len(value)) + value + data[8:])

    def most_kilobytes(count: int, *options: str) -> int:
        script = (
            "import resource, sys; from exr_inspector.cli.main import main; main(sys.argv[1:]);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        arguments = [sys.executable, "-c", script, *options, *[str(big)] * count]
        return int(finished(arguments, stdout=subprocess.DEVNULL).stderr)

    for options in (["--compact"], ["--jsonl"], ["--table"], []):
        assert most_kilobytes(12, *options) < most_kilobytes(2, *options) + 8000, options


# ---- Exit status -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([RGBA], 0),
        ([RGBA, PIXEL], 0),
        ([GAP], 0),
        (["--fail-on", "incomplete", GAP], 1),
        (["--fail-on", "truncated,incomplete", GAP, RGBA], 1),
        (["--fail-on", "truncated", GAP], 0),
        (["--fail-on", "complete", RGBA], 1),
        (["--fail-on", "complete", "--integrity", "none", RGBA], 0),
        (["--fail-on", "unchecked", "--integrity", "none", RGBA], 1),
        ([PNG], 2),
        ([RGBA, PNG], 2),
        ([PNG, RGBA], 2),
        (["--fail-on", "incomplete", PNG, GAP], 2),
        (["--fail-on", "incomplete", GAP, PNG], 2),
        (["missing.exr"], 2),
        (["--validate", RGBA], 0),
        (["--validate", FIXTURES / "damaged/window_inverted.exr"], 1),
        ([FIXTURES / "damaged/window_inverted.exr"], 0),
        (["--policy", "missing.toml", RGBA], 1),
        ([], 64),
        (["--recursive"], 64),
        (["--bogus", RGBA], 64),
        (["--json", RGBA], 64),
        (["--jsonl", "--table", RGBA], 64),
        (["--integrity", "some", RGBA], 64),
        (["--max-value-bytes", "-1", RGBA], 64),
        (["--max-value-bytes", "1e3", RGBA], 64),
        (["--max-value-bytes"], 64),
        (["--fail-on", "broken", RGBA], 64),
        (["--fail-on", "", RGBA], 64),
        (["-", "-"], 64),
        (["-", "--files-from", "-"], 64),
        (["schema", "x"], 64),
        (["schema", "--", "x"], 64),
        (["--help"], 0),
        (["inspect", "--help"], 0),
        (["schema", "--help"], 0),
        (["--version"], 0),
    ],
    ids=str,
)
def test_exit_status(arguments: list[str | Path], status: int) -> None:
    ran = run(*arguments)
    assert ran.status == status
    assert "Traceback" not in ran.err
    if status == 64:
        assert ran.out == ""
        assert ran.err.startswith("usage: exr-inspector")
        assert ran.err.splitlines()[-1].startswith("exr-inspector: ")


def test_help() -> None:
    text = run("--help").out
    assert text == run("inspect", "--help").out
    assert all(name in text and row.help in text for name, row in COMMANDS.items())
    assert all(status in re.sub(r"\s+", " ", text) for status in STATUSES)
    assert run("--version").out == f"exr-inspector {__version__}\n"


# ---- Messages ----------------------------------------------------------------------------------------------


def test_what_is_fatal_is_told_in_a_line() -> None:
    ran = run(RGBA, PNG, "missing.exr", GAP)
    assert ran.err.splitlines() == [
        f"exr-inspector: {PNG}: byte 0: not an OpenEXR file: this is a PNG",
        "exr-inspector: missing.exr: No such file or directory",
    ]
    assert len(ran.document) == 4


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("plain and spaced.exr", "plain and spaced.exr"),
        ("stra\u00dfe \u6728.exr", "stra\u00dfe \u6728.exr"),
        ("\x1b[31mred\x1b[0m", '"\\u001b[31mred\\u001b[0m"'),
        ("two\nlines", '"two\\nlines"'),
        ("rtl\u202egnp.exr", '"rtl\\u202egnp.exr"'),
        ("c1\x9b2J", '"c1\\u009b2J"'),
        ('"quoted"', '"\\"quoted\\""'),
        ("tab\tand \\ \x07", '"tab\\tand \\\\ \\u0007"'),
        (" spaced ", '" spaced "'),
        ("", '""'),
        (b"caf\xe9.exr", '"caf\\udce9.exr"'),
        ("tag\U000e0041", '"tag\\udb40\\udc41"'),
    ],
)
def test_names_in_messages_are_escaped(name: str | bytes, told: str) -> None:
    ran = run(name)
    assert ran.status == 2
    assert ran.err == f"exr-inspector: {told}: No such file or directory\n"


def test_long_names_in_messages_are_cut() -> None:
    ran = run("x" * 4000)
    assert ran.err.startswith(f"exr-inspector: {'x' * 1000}\u2026 (4000 characters): ")
    assert len(ran.err) < 1200


def test_wrong_usage_is_escaped_too() -> None:
    assert not DANGEROUS.search(run("--\x1b[31m\u202e").err.replace("\n", ""))


def test_text_of_a_header_in_a_message_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "hostile.exr"
    path.write_bytes(b"v/1\x01\2\0\0\0\x1b[2J\xe2\x80\xae\0string\0" + struct.pack("<i", -1))
    ran = run(path)
    assert ran.status == 2
    assert "[2J" in ran.err
    assert not DANGEROUS.search(ran.err.replace("\n", ""))


def test_nobody_reads_messages() -> None:
    arguments = ["sh", "-c", 'exec "$@" 2>&-', "sh", *COMMAND, PNG, RGBA]
    ran = finished(arguments)
    assert ran.returncode == 2
    assert len(json.loads(ran.stdout)) == 2


# ---- What cannot be read -----------------------------------------------------------------------------------


def fatal_code(ran: Ran) -> str:
    codes = [error["code"] for error in ran.document["errors"] if error["severity"] == "fatal"]
    assert len(codes) == 1
    assert ran.status == 2
    return str(codes[0])


def test_a_missing_file() -> None:
    assert fatal_code(run("no/such/file.exr")) == "source_not_found"
    assert fatal_code(run(RGBA / "below")) == "source_not_found"


def test_a_directory(tmp_path: Path) -> None:
    ran = run(tmp_path)
    assert fatal_code(ran) == "source_not_regular"
    assert "--recursive" in ran.err
    assert "--recursive" not in run(PNG).err


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.exr")
    started = time.monotonic()
    assert fatal_code(run(tmp_path / "fifo.exr")) == "source_not_regular"
    (error,) = run("--recursive", tmp_path).document[0]["errors"]
    assert error["code"] == "source_not_regular"
    assert time.monotonic() - started < SECONDS / 2


def test_a_device() -> None:
    assert fatal_code(run("/dev/zero")) == "source_not_regular"
    assert fatal_code(run("/dev/null")) == "source_not_regular"


# Loads everything first: a user that is nobody may not even read the interpreter's library.
AS_NOBODY = """
import io, os, sys
from exr_inspector.cli.main import main
stdout, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO())
main(["--recursive", *sys.argv[1:]])
sys.stdout = stdout
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.exit(main(["--recursive", *sys.argv[1:]]))
"""


def test_no_permission() -> None:
    with TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)
        secret, closed = home / "secret.exr", home / "closed"
        secret.write_bytes(RGBA.read_bytes())
        secret.chmod(0)
        closed.mkdir(mode=0)
        arguments = [sys.executable, "-c", AS_NOBODY, secret, closed]
        ran = finished(arguments)
        closed.chmod(0o700)
    assert ran.returncode == 2
    codes = [document["errors"][0]["code"] for document in json.loads(ran.stdout)]
    assert codes == ["source_no_permission", "source_no_permission"]


@pytest.mark.parametrize("name", [b"caf\xe9.exr", b"\xff\xfe", "木.exr".encode(), b"two\nlines.exr", b"\x1b[31m.exr"])
def test_names_of_any_bytes(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    try:
        with open(path, "wb") as file:
            file.write(RGBA.read_bytes())
    except OSError as error:
        if error.errno == errno.EILSEQ:
            pytest.skip("this file system takes UTF-8 only")
        raise
    ran = run(path)
    assert (ran.status, ran.err) == (0, "")
    assert ran.document["file"]["path"] == path.decode(errors="replace")
    assert ("path_raw" in ran.document["file"]) is (b"\xe9" in name or b"\xff" in name)
    assert ran.document["file"]["size_bytes"] == RGBA.stat().st_size


# ---- Standard input ----------------------------------------------------------------------------------------


def test_stdin_as_a_pipe() -> None:
    ran = run("-", stdin=RICH.read_bytes())
    expected = shown(RICH)
    assert ran.status == 0
    assert ran.document["file"]["path"] == "-"
    assert ran.document["file"]["size_bytes"] is None
    for key in ("parts", "channels", "attributes"):
        assert ran.document[key] == expected[key]


def test_stdin_as_a_file() -> None:
    with RICH.open("rb") as file:
        ran = run("-", stdin=file.fileno())
    document, expected = ran.document, shown(RICH)
    assert document["file"].pop("path") == "-"
    expected["file"].pop("path")
    assert document == expected


def test_stdin_that_never_ends() -> None:
    with open("/dev/zero", "rb") as file:
        ran = run("-", stdin=file.fileno())
    assert fatal_code(ran) == "not_exr"
    assert ran.err.startswith("exr-inspector: -: ")


def test_stdin_through_a_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(RGBA.read_bytes()))
    writer.start()
    with fifo.open("rb") as file:
        ran = run("-", stdin=file.fileno())
    writer.join(SECONDS)
    assert (ran.status, len(ran.document["channels"])) == (0, 4)


def test_stdin_among_files() -> None:
    ran = run(PIXEL, "-", RGBA, stdin=RICH.read_bytes())
    assert [each["file"]["path"] for each in ran.document] == [str(PIXEL), "-", str(RGBA)]
    assert run("--", "-", stdin=RICH.read_bytes()).status == 0


def test_a_closed_stdin() -> None:
    arguments = ["sh", "-c", 'exec "$@" <&-', "sh", *COMMAND]
    ran = finished([*arguments, "-"])
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["errors"][0]["code"] == "source_failed"
    assert b"Traceback" not in ran.stderr
    ran = finished([*arguments, "--files-from", "-"])
    assert (ran.returncode, ran.stdout) == (2, b"[]\n")
    assert b"Traceback" not in ran.stderr


# ---- Directories and lists ---------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    names = [
        "b.exr",
        "a/z.EXR",
        "a/B.exr",
        "a/a.exr",
        "c/deep/er/x.sxr",
        "c.mxr",
        "notes.txt",
        "image.exr.bak",
        ".h.exr",
    ]
    for name in names:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PIXEL.read_bytes())
    (tmp_path / "tree" / "empty").mkdir()
    (tmp_path / "tree" / "loop").symlink_to(tmp_path / "tree")
    (tmp_path / "tree" / "link.exr").symlink_to(PIXEL)
    return tmp_path / "tree"


IN_THE_TREE = [".h.exr", "a/B.exr", "a/a.exr", "a/z.EXR", "b.exr", "c/deep/er/x.sxr", "c.mxr", "link.exr"]


def test_recursive(tree: Path) -> None:
    ran = run("--recursive", tree)
    assert (ran.status, ran.err) == (0, "")
    assert [each["file"]["path"] for each in ran.document] == [str(tree / name) for name in IN_THE_TREE]
    relative = run("--recursive", "a", "b.exr", "notes.txt", cwd=tree)
    paths = ["a/B.exr", "a/a.exr", "a/z.EXR", "b.exr", "notes.txt"]
    assert [each["file"]["path"] for each in relative.document] == paths


def test_what_recursive_prints_depends_on_the_arguments(tree: Path) -> None:
    assert run("--recursive", tree / "empty").out == "[]\n"
    assert run("--recursive", "--compact", tree / "empty").out == "[]\n"
    assert run("--recursive", "--jsonl", tree / "empty").out == ""
    assert isinstance(run("--recursive", tree / "c").document, list)
    assert isinstance(run("--recursive", tree / "b.exr").document, dict)
    assert isinstance(run("--recursive", tree / "loop" / "c").document, list)


def test_a_tree_deeper_than_python_s_stack() -> None:
    # Not in `tmp_path`: pytest could not take it away again.
    root = Path(mkdtemp())
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(root)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        with open("x.exr", "wb") as file:
            file.write(PIXEL.read_bytes())
        os.fchdir(here)
        ran = run("--recursive", ".", cwd=root)
        assert [each["file"]["path"] for each in ran.document] == ["." + "/d" * 1500 + "/x.exr"]
    finally:
        os.fchdir(here)
        os.close(here)
        subprocess.run(["rm", "-r", root], check=True)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"\n\na\n\nb\n", ["a", "b"]),
        (b"a\0b\0", ["a", "b"]),
        (b"a\nb\0c\n\0", ["a\nb", "c\n"]),
        (b"-\n", ["./-"]),
        (b"caf\xe9\n", ["caf\ufffd"]),
        (b"  a b \n", ["  a b "]),
        (b"", []),
        (b"x" * 5000 + b"\n" + (b"y" * 200 + b"\n") * 500, ["x" * 5000] + ["y" * 200] * 500),
    ],
    ids=lambda each: str(each)[:20],
)
def test_lists(tmp_path: Path, text: bytes, names: list[str]) -> None:
    (tmp_path / "list").write_bytes(text)
    ran = run("--files-from", "list", "--jsonl", cwd=tmp_path)
    assert [json.loads(line)["file"]["path"] for line in ran.out.splitlines()] == names
    if len(names) < 10:
        assert run("--files-from", "-", "--jsonl", stdin=text, cwd=tmp_path).out == ran.out
        assert isinstance(run("--files-from", "list", cwd=tmp_path).document, list)


def test_paths_then_lists(tree: Path) -> None:
    ran = run("--files-from", "-", "--recursive", "b.exr", stdin=b"c\na\n", cwd=tree)
    paths = ["b.exr", "c/deep/er/x.sxr", "a/B.exr", "a/a.exr", "a/z.EXR"]
    assert [each["file"]["path"] for each in ran.document] == paths


@pytest.mark.parametrize("path", ["missing.txt", "/", "/dev/zero"])
def test_a_list_that_is_none(path: str) -> None:
    if path == "/dev/zero":
        # Nothing but separators would be an endless list without a path in it; no separator at all is no list.
        ran = run("--files-from", "-", str(RGBA), stdin=b"x" * (3 << 20))
        path = "-"
    else:
        ran = run("--files-from", path, str(RGBA))
    assert ran.status == 2
    assert ran.err.startswith(f"exr-inspector: {path}: the list of paths cannot be read: ")
    assert [each["file"]["path"] for each in ran.document] == [str(RGBA)]


# ---- Settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["none", "table", "chunks"])
def test_integrity(mode: str) -> None:
    never_closed = FIXTURES / "damaged/never_closed.exr"
    path = never_closed if never_closed.exists() else GAP
    assert run("--integrity", mode, path).document == shown(path, integrity=mode)


def test_values_are_cut() -> None:
    path = FIXTURES / "hand/large_string.exr"
    ran = run("--max-value-bytes", "1000", path)
    assert len(ran.out) < 10000
    values = [each["value"] for each in ran.document["attributes"]["parts"][0]]
    (cut,) = [value for value in values if isinstance(value, dict) and "cut_bytes" in value]
    value = next(each["value"] for each in shown(path)["attributes"]["parts"][0] if each["name"].startswith("crypto"))
    assert cut == {"cut_bytes": 150000, "sha256": hashlib.sha256(value.encode()).hexdigest(), "start": value[:1000]}
    assert run("--max-value-bytes", "150000", path).document == shown(path)
    assert (
        json.loads(run("--max-value-bytes", "9", "--jsonl", path).out) == run("--max-value-bytes", "9", path).document
    )


def test_validation_is_in_the_document() -> None:
    path = FIXTURES / "damaged/window_inverted.exr"
    assert run(path).document["validation"] == {}
    validation = run("--validate", path).document["validation"]
    assert validation["status"] == "failed"
    assert validation["findings"]
    (finding,) = run("--policy", "missing", RGBA).document["validation"]["findings"]
    assert finding["rule"] == "policy.readable"


def test_a_policy_that_cannot_be_read_is_told_once() -> None:
    ran = run("--policy", "missing", RGBA, PIXEL)
    assert ran.status == 1
    assert ran.err.splitlines() == ["exr-inspector: missing: the policy cannot be read: No such file or directory"]


def test_the_schema() -> None:
    ran = run("schema")
    assert (ran.status, ran.err) == (0, "")
    assert ran == run("schema", "--json-schema")
    assert ran.document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert ran.document == json.loads((HOME / "exr_inspector/schema/document.schema.json").read_text())


# ---- Output ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--table"], ["--jsonl"]])
def test_output_to_a_file(tmp_path: Path, options: list[str]) -> None:
    target = tmp_path / "out"
    ran = run("--output", target, *options, RGBA, PIXEL)
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert target.read_text() == run(*options, RGBA, PIXEL).out
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_output_of_the_schema(tmp_path: Path) -> None:
    assert run("schema", "--output", tmp_path / "out").out == ""
    assert (tmp_path / "out").read_text() == run("schema").out


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o000, 0o666)])
def test_permissions_are_the_umask_s(tmp_path: Path, umask: int, mode: int) -> None:
    target = tmp_path / "out"
    assert finished([*COMMAND, "--output", target, RGBA], umask=umask).returncode == 0
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_output_replaces_what_a_link_names(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    real = tmp_path / "folder" / "real.json"
    real.write_text("old")
    link = tmp_path / "link"
    link.symlink_to("folder/real.json")
    assert run("--output", link, RGBA).status == 0
    assert link.is_symlink()
    assert json.loads(real.read_text())["file"]["path"] == str(RGBA)


def test_output_to_what_is_no_regular_file(tmp_path: Path) -> None:
    assert run("--output", "/dev/stdout", RGBA).out == run(RGBA).out
    assert run("--output", "/dev/null", RGBA).status == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    assert run("--output", fifo, RGBA).status == 0
    reader.join(SECONDS)
    assert json.loads(received[0])["file"]["path"] == str(RGBA)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize(
    ("target", "reason"),
    [("no/such/folder/out", "No such file or directory"), (".", "Is a directory"), ("/dev/full", "No space left")],
)
def test_output_that_cannot_be_written(tmp_path: Path, target: str, reason: str) -> None:
    ran = run("--output", target, RGBA, cwd=tmp_path)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"exr-inspector: {target}: cannot be written: {reason}")
    assert list(tmp_path.iterdir()) == []


class Slow(io.RawIOBase):
    """Takes seven bytes at a time, as an unbuffered stdout may."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: Any) -> int:
        self.taken += bytes(data[:7])
        return min(7, len(data))


def test_a_stream_that_takes_little_at_a_time() -> None:
    slow = Slow()
    texts = ["a" * 20, "b" * 100000, "", "c" * 3]
    Output(slow, "slow").write(texts)  # type: ignore[arg-type]
    assert slow.taken == "".join(texts).encode()


def test_no_space_on_stdout() -> None:
    for options in ([], ["--table"], ["--jsonl"], ["--compact"]):
        with open("/dev/full", "wb") as full:
            ran = finished([*COMMAND, *options, RGBA], stdout=full)
        assert ran.returncode == 2
        assert ran.stderr.startswith(b"exr-inspector: standard output: cannot be written: No space left")
        assert ran.stderr.count(b"\n") == 1


def test_a_closed_stdout() -> None:
    arguments = ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, RGBA]
    ran = finished(arguments)
    assert ran.returncode == 2
    assert ran.stderr == b"exr-inspector: standard output: cannot be written: it is closed\n"


# ---- Interrupted -------------------------------------------------------------------------------------------


def started(*arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *arguments], env=environment(), stderr=subprocess.PIPE, preexec_fn=heed_interrupts, **options
    )


def waits_for_stdin(process: subprocess.Popen[bytes]) -> None:
    """Returns when the process has loaded everything and sleeps in a read."""
    deadline = time.monotonic() + SECONDS
    state = Path(f"/proc/{process.pid}/wchan")
    while time.monotonic() < deadline:
        text = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if text == "S" and ("pipe" in state.read_text() or state.read_text() in ("0", "")):
            time.sleep(0.2)
            return
        time.sleep(0.02)
    pytest.fail("the process never waited")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_an_interrupt_stops_at_once(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    process = started("--output", target, RGBA, "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    waits_for_stdin(process)
    assert len(list(tmp_path.iterdir())) == 2, "the new file is not there yet"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (130, b"", b"")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_killed_run_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    process = started("--output", target, RGBA, "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    waits_for_stdin(process)
    process.kill()
    process.communicate(timeout=SECONDS)
    assert target.read_text() == "old"


def test_a_reader_that_leaves(tmp_path: Path) -> None:
    for options in (["--jsonl"], ["--compact"], ["--table"], []):
        names = "".join(f"{RICH}\n" for _ in range(50)).encode()
        (tmp_path / "list").write_bytes(names)
        read, write = os.pipe()
        process = started(*options, "--files-from", tmp_path / "list", stdout=write)
        os.close(write)
        os.close(read)
        _, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, err) == (141, b""), options


# ---- Tables ------------------------------------------------------------------------------------------------


def test_the_table_of_one_file() -> None:
    text = run("--table", FIXTURES / "real/every_type.exr").out
    words = [re.split(r"  +", line.strip()) for line in text.splitlines()]
    assert text.splitlines()[0] == str(FIXTURES / "real/every_type.exr")
    assert ["integrity", "complete; checked: table, end"] in words
    assert ["0", "scanlineimage", "8x6", "(0, 0) - (7, 5)", "same", "1.0", "zip", "increasingY"] in words
    assert ["0", "B G R", "half"] in words
    for name, kind, value in (
        ("a_box2i", "box2i", "(-5, -6) - (7, 8)"),
        ("a_keycode", "keycode", "12 34 567890 1234 99 4 64"),
        ("a_opaque", "fixtureType", "4 bytes: 3q2+7w=="),
        ("a_rational", "rational", "-24000/1001"),
        ("a_string", "string", "text, with \u00fcml\u00e4uts and \u6728"),
        ("a_tiledesc", "tiledesc", "32x32 ripmapLevels roundUp"),
        ("timeCode", "timecode", "01:02:03;04"),
    ):
        assert ["0", name, kind, value] in words


def test_the_table_groups_channels_by_layer() -> None:
    lines = run("--table", RICH).out.splitlines()
    rows = [re.split(r"  +", line.strip()) for line in lines[lines.index("Channels") : lines.index("Attributes")]]
    assert ["0", "diffuse", "A B G R", "half"] in rows
    layers = {channel["layer_name"] for channel in shown(RICH)["channels"]}
    assert len(rows) == len(layers) + 4  # the title, headings, a line, and an empty one at the end


def test_long_values_are_shortened_with_their_length() -> None:
    text = run("--table", FIXTURES / "hand/large_string.exr").out
    assert "(150000 characters)" in text
    assert len(text) < 5000
    text = run("--table", "--max-value-bytes", "100", FIXTURES / "hand/large_string.exr").out
    assert "(150000 bytes)" in re.sub(r"\s+", " ", text)


def test_the_table_tells_of_errors_and_findings() -> None:
    path = FIXTURES / "damaged/window_inverted.exr"
    text = run("--table", "--validate", path).out
    assert "window_inverted" in text
    assert "window.inverted" in text
    assert re.search(r"validation +failed", text)


def test_the_table_of_many_files() -> None:
    paths = [RGBA, FIXTURES / "real/multipart_mixed.exr", GAP, PNG]
    ran = run("--table", *paths)
    assert ran.status == 2
    heading, _, *rows = [re.split(r"  +", line.strip()) for line in ran.out.splitlines()]
    assert heading == ["File", "Parts", "Resolution", "Channels", "Compression", "Type", "Integrity", "Errors"]
    assert rows == [
        [str(RGBA), "1", "8x6", "4", "zip", "scanlineimage", "complete", "0"],
        [str(paths[1]), "4", "6x5", "10", "zip, zips", "scanlineimage, tiledimage and 2 more", "complete", "0"],
        [str(GAP), "1", "4x3", "4", "none", "scanlineimage", "incomplete", "1"],
        [str(PNG), "0", "0", "unchecked", "1"],
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize("fixture", ["real/multipart_mixed.exr", "real/every_type.exr", "real/rich.exr"])
def test_tables_fit_the_width(columns: int, fixture: str) -> None:
    text = run("--table", FIXTURES / fixture, COLUMNS=str(columns)).out
    assert max(map(len, text.splitlines())) <= columns

    # Nothing vanishes: whatever the width, the same characters are there.
    def characters(table: str) -> Counter[str]:
        return Counter(re.sub(r"[\s\u2500]", "", table))

    assert characters(text) == characters(run("--table", FIXTURES / fixture, COLUMNS="300").out)


HOSTILE = ["\x1b[31mred\x1b[0m", "rtl\u202egnp", "two\nlines", "\x9b2J", "[bold red]markup[/]", ":smile:", "\u2066x"]


@pytest.mark.parametrize("options", [[], ["--validate"]])
def test_hostile_text_in_tables(tmp_path: Path, options: list[str]) -> None:
    def attribute(name: str, kind: str, payload: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(payload)) + payload

    data = RGBA.read_bytes()
    hostile = b"".join(
        attribute(text, "string", text.encode()) + attribute(f"kind of {index}", text, b"x")
        for index, text in enumerate(HOSTILE)
    )
    channels = b"".join(text.encode() + b".\x1b\0" + struct.pack("<iB3xii", 1, 0, 1, 1) for text in HOSTILE)
    extra = hostile + attribute("type", "string", b"\x1b]0;x\x07") + attribute("channels", "chlist", channels + b"\0")
    path = tmp_path / "\x1b[32mgreen\u202e.exr"
    # The deep flag: the part's type is then what the attribute says.
    path.write_bytes(data[:4] + struct.pack("<I", 0x802) + extra + data[8:])
    one = run("--table", *options, path, COLUMNS="200")
    many = run("--table", *options, path, path, PNG)
    for ran in (one, many):
        assert not DANGEROUS.search((ran.out + ran.err).replace("\n", ""))
        assert "Traceback" not in ran.err
    assert "\\u001b[32mgreen\\u202e.exr" in re.sub(r"\s+", "", one.out)
    assert "[bold red]markup[/]" in one.out
    assert ":smile:" in one.out
    assert '"two\\nlines"' in one.out


@pytest.mark.parametrize("fixture", sorted(path.relative_to(FIXTURES).as_posix() for path in FIXTURES.glob("*/*.exr")))
def test_every_fixture_has_its_table(fixture: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    main(["--table", "--validate", str(FIXTURES / fixture)])
    out, err = capsysbinary.readouterr()
    assert out.decode()
    assert not DANGEROUS.search((out + err).decode().replace("\n", ""))


def test_a_terminal_that_knows_no_unicode() -> None:
    arguments = [*COMMAND, "--table", FIXTURES / "real/every_type.exr"]
    ran = finished(arguments, env=environment(PYTHONIOENCODING="ascii"))
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"text, with \\xfcml\\xe4uts and \\u6728" in ran.stdout


# ---- On a terminal -----------------------------------------------------------------------------------------


class Terminal:
    """A pseudo-terminal, and everything that was written to it."""

    def __init__(self) -> None:
        self._ours, self.end = pty.openpty()
        self._pieces: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while piece := os.read(self._ours, 4096):
                self._pieces.append(piece)
        except OSError:  # the other end is closed
            return

    def close(self) -> str:
        os.close(self.end)
        self._reader.join(SECONDS)
        os.close(self._ours)
        return b"".join(self._pieces).decode()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def on_terminal(terminal: Terminal, *arguments: str | Path, **streams: Any) -> tuple[int, str]:
    variables = environment(TERM="xterm-256color", COLUMNS="100")
    given = {"stdout": terminal.end, "stderr": terminal.end, "env": variables, **streams}
    status = finished([*COMMAND, *arguments], **given).returncode
    return status, terminal.close()


def test_progress_on_a_terminal(terminal: Terminal) -> None:
    status, text = on_terminal(terminal, RGBA, PNG, PIXEL, stdout=subprocess.DEVNULL)
    assert status == 2
    assert text.startswith(f"\r\x1b[K1 {RGBA}" if len(str(RGBA)) <= 50 else f"\r\x1b[K1 \u2026{str(RGBA)[-50:]}")
    # The message stands on a line of its own.
    assert f"\r\x1b[Kexr-inspector: {PNG}: byte 0" in text


def test_progress_leaves_nothing(terminal: Terminal) -> None:
    status, text = on_terminal(terminal, RGBA, PIXEL, stdout=subprocess.DEVNULL)
    assert status == 0
    assert len(text) > 10
    assert text.endswith("\r\x1b[K")


def test_no_progress_for_one_file(terminal: Terminal) -> None:
    assert on_terminal(terminal, RGBA, stdout=subprocess.DEVNULL) == (0, "")


def test_no_progress_where_the_data_goes(terminal: Terminal) -> None:
    status, text = on_terminal(terminal, "--jsonl", RGBA, PIXEL)
    assert status == 0
    assert [json.loads(line)["file"]["path"] for line in text.splitlines()] == [str(RGBA), str(PIXEL)]


def test_progress_beside_an_output_file(terminal: Terminal, tmp_path: Path) -> None:
    status, text = on_terminal(terminal, "--output", tmp_path / "out", RGBA, PIXEL)
    assert status == 0
    assert "\r\x1b[K1 " in text
    assert len(json.loads((tmp_path / "out").read_text())) == 2


def test_progress_is_escaped(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31m\u202e.exr"
    path.write_bytes(RGBA.read_bytes())
    _, text = on_terminal(terminal, path, path, stdout=subprocess.DEVNULL)
    assert not DANGEROUS.search(text.replace("\r\x1b[K", ""))
    assert "\\u001b[31m\\u202e.exr" in text


def test_tables_are_bold_on_a_terminal_only(terminal: Terminal) -> None:
    _, text = on_terminal(terminal, "--table", RGBA)
    assert "\x1b[1m" in text
    assert "\x1b" not in run("--table", RGBA).out


# ---- What it costs -----------------------------------------------------------------------------------------


def modules_loaded(*arguments: str | Path) -> set[str]:
    script = (
        "import sys; from exr_inspector.cli.main import main; status = main(sys.argv[1:]);"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    return set(finished([sys.executable, "-c", script, *arguments]).stderr.decode().split("\n"))


def test_heavy_modules_load_where_they_are_used() -> None:
    assert "rich" in modules_loaded("--table", RGBA)
    heavy = {"rich", "numpy", "pyarrow", "duckdb", "vastdb", "obstore", "asyncio", "logging", "importlib.resources"}
    loaded = modules_loaded(RGBA, PNG)
    assert "exr_inspector.app" in loaded
    assert not {"argparse", *heavy} & loaded
    assert "argparse" in modules_loaded("--compact", RGBA)
    assert not {"construct", "exr_inspector.app", *heavy} & modules_loaded("schema")


def test_the_defaults_are_those_of_no_options() -> None:
    # Without options argparse is not loaded: it must make no difference.
    for options, command in ((InspectOptions, "inspect"), (SchemaOptions, "schema")):
        assert command in COMMANDS
        assert options(**parsed(_parser(command, import_module(COMMANDS[command].module)), [])) == options()
    assert run("--integrity", "table", RGBA) == run(RGBA)


# ---- JSON text ---------------------------------------------------------------------------------------------

VALUES: list[Any] = [
    None, True, False, 0, -1, 2**70, 0.1, -0.0, 1e300, 5e-324, "", '\0\x1f"\\/\u2028\U0001f600', [], {}, [[]], [{}],
    {"": []}, {"a": {}}, {"a": [1, [2, {"b": None}]], "\u00e9": "x"}, ["x" * 100000, {"k": "y" * 100000}],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("depth", [0, 1])
def test_json_text(value: Any, depth: int) -> None:
    nested: Any = value
    text = "".join(json_pieces(value, is_compact=False, depth=depth))
    if depth:
        nested, text = [value], f"[\n  {text}\n]"
    assert text == json.dumps(nested, indent=2)
    assert "".join(json_pieces(value, is_compact=True)) == json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize("is_compact", [True, False])
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: float("nan"), ValueError),
        (lambda: [float("inf")], ValueError),
        (lambda: {"a": float("-inf")}, ValueError),
        (lambda: {1, 2}, TypeError),
        (lambda: [b"bytes"], TypeError),
    ],
)
def test_json_text_is_strict(make: Callable[[], Any], error: type[Exception], is_compact: bool) -> None:
    with pytest.raises(error):
        json_pieces(make(), is_compact=is_compact)
