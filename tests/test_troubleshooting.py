"""docs/TROUBLESHOOTING.md: each message is one that the program has, and most of them are provoked for real.

What the page shows as `console` is run by test_docs.py, too. Here, and in the other tests of this name, the others are
provoked: what really comes out must stand on the page, names and numbers apart.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exr_inspector import inspect, read_header
from exr_inspector.cli.main import COMMANDS, main
from exr_inspector.config_function import function_settings
from exr_inspector.cut import cut_document
from exr_inspector.errors import CODES
from exr_inspector.events import allowed, deliveries
from exr_inspector.limits import Limits
from exr_inspector.normalizer import rebuild_header
from exr_inspector.sources import open_source
from tests.support.program_words import ROOT, is_said
from tests.support.tenant import Tenant
from tests.support.troubleshooting import CASES, FIXTURES, PAGE, Case, cases, check, errors_of, of_call

_COMMAND = re.compile(r"(?:exr-inspector|docker|vastde|\./deploy\.sh|pip|python|find|curl) ")


def of_json(message: str) -> list[str]:
    """The texts of an answer in JSON."""
    if not message.startswith("{"):
        return [message]
    answer = json.loads(message)
    return [answer["error"], *(each["message"] for each in answer["failures"])]


# ---- The page ----------------------------------------------------------------------------------------------


def test_the_problems_are_many_and_numbered_without_gaps() -> None:
    assert len(CASES) >= 30
    assert [case.number for case in cases()] == list(range(1, len(CASES) + 1))
    assert len({case.title for case in CASES.values()}) == len(CASES)


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: str(case.number))
def test_its_messages_are_the_programs(case: Case) -> None:
    messages = [text for message in case.messages for text in of_json(message)]
    assert messages
    assert [message for message in messages if not is_said(message)] == []


def test_messages_within_the_text_are_the_programs() -> None:
    """A span of code with three words in small letters one after the other is a message, or a command."""
    prose = re.sub(r"^```.*?^```$", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    messages = [span for span in spans if re.search(r"\b[a-z]+ [a-z]+ [a-z]+\b", span) and not _COMMAND.match(span)]
    assert len(messages) > 5
    assert [message for message in messages if not is_said(message)] == []


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: str(case.number))
def test_it_has_cause_cure_and_a_code_that_exists(case: Case) -> None:
    assert set(case.codes) <= CODES.keys()
    assert case.text.count("\n**Cause.** ") == case.text.count("\n**Cure.** ") == 1


def test_what_nobody_says_is_found_out() -> None:
    """One word less or other: the same message is not the program's any more."""
    assert is_said("shot.exr: byte 0: not an OpenEXR file: this is a PNG")
    assert not is_said("shot.exr: byte 0: not a valid OpenEXR file: this is a PNG")
    assert is_said("process 4711 has the catalog shows.duckdb open")
    assert not is_said("process 4711 has the database shows.duckdb open")
    assert is_said(
        "VAST_DB_SECRET_KEY is missing in the environment: an endpoint is only used with keys from the same place"
    )
    assert not is_said(
        "VAST_DB_SECRET_KEY is missing in the environment: an endpoint is never used with keys from elsewhere"
    )
    assert not is_said("any text that has nothing but {} placeholders in it")


def named_commands() -> list[str]:
    """What the page tells to type, from the program's name to the end."""
    text = PAGE.read_text(encoding="utf-8")
    spans = re.findall(r"`([^`\n]+)`|^\$ (.+)", text, re.MULTILINE)
    parts = [part for pair in spans for part in re.split(r"[|;&]+", "".join(pair))]
    return [found[0] for part in parts if (found := re.search(r"(?<!get )(?:exr-inspector|IMAGE) ([a-z-].*)", part))]


def test_every_command_and_option_it_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = {}
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        known[name] = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    commands = [re.split(r"\s+", command) for command in named_commands()]
    assert len(commands) > 40
    for _, *words in commands:
        name = words[0] if words[0] in COMMANDS else "inspect"
        options = {word for word in words if re.fullmatch(r"--[a-z-]+", word)}
        assert options <= known[name], words
        assert name != "inspect" or words[0] in (name, "pipe") or not words[0].isalpha(), words


# ---- Messages that really come -----------------------------------------------------------------------------


def test_5_a_large_header() -> None:
    data = (FIXTURES / "real" / "rich.exr").read_bytes()
    check(5, of_call(lambda: read_header(data, limits=Limits()._replace(max_header_bytes=300))))


def test_10_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    path.touch(0)
    user = os.geteuid()
    if user == 0:  # who may read anything
        os.seteuid(65534)
    try:
        said = of_call(lambda: open_source(str(path)))
    finally:
        os.seteuid(user)
    check(10, said._replace(message=f"{path}: {said.message}"))


def test_11_a_file_that_gets_shorter(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    path.write_bytes((FIXTURES / "real" / "rich.exr").read_bytes())
    opened = open_source(str(path))
    os.truncate(path, 100)
    check(11, *errors_of(opened))


def test_14_a_cut_value() -> None:
    document = cut_document(inspect(str(FIXTURES / "real" / "rich.exr")), 8)
    check(14, of_call(lambda: rebuild_header(document)))


MISSING = {
    22: ("duckdb", ["query", "--db", "x.duckdb", "coverage"]),
    44: ("vastdb", ["doctor"]),
    64: ("obstore", ["s3://renders/a.exr"]),
}


@pytest.mark.parametrize("number", MISSING)
def test_a_package_is_missing(number: int, tmp_path: Path) -> None:
    name, arguments = MISSING[number]
    (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('no {name}', name={name!r})", encoding="utf-8")
    places = ("VAST_DB", "S3")
    names = ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY", "BUCKET")
    configured = {
        f"{place}_{each}": "http://127.0.0.1:9" if each == "ENDPOINT" else "b" for place in places for each in names
    }
    done = subprocess.run(
        [sys.executable, "-m", "exr_inspector", *arguments],
        env={**os.environ, **configured, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (2, 64)
    check(number, done.stderr.splitlines()[-1])


def test_23_24_policies(tmp_path: Path) -> None:
    rich, policy = str(FIXTURES / "real" / "rich.exr"), tmp_path / "policy.json"
    check(23, *errors_of(rich, policy_path=str(policy), enable_validate=True))
    policy.write_text("kind: compression", encoding="utf-8")
    check(23, *errors_of(rich, policy_path=str(policy), enable_validate=True))
    requirement = {"kind": "compresion", "allowed": ["piz"]}
    policy.write_text(json.dumps({"policy_version": 1, "name": "d", "requirements": [requirement]}), encoding="utf-8")
    check(24, *errors_of(rich, policy_path=str(policy), enable_validate=True))


REFUSED = [
    (66, {}, {"id": "1", "data": {"msg": "x"}}),
    (67, {}, "{"),
    (68, {}, {"path": "/etc/passwd"}),
    (68, {"EXR_INSPECTOR_ROOTS": "/renders"}, {"path": "/etc/passwd"}),
    (69, {"EXR_INSPECTOR_BUCKETS": "other"}, {"path": "s3://renders/a.exr"}),
    (70, {}, {"path": "s3://renders/a.exr", "vastdb_endpoint": "http://vast.example.com"}),
]


@pytest.mark.parametrize(("number", "environment", "event"), REFUSED)
def test_events_that_are_refused(number: int, environment: dict[str, str], event: Any) -> None:
    settings = function_settings(environment)
    check(number, of_call(lambda: [allowed(each, settings, is_served=True) for each in deliveries(event)]))


def test_80_what_is_skipped() -> None:
    context = {"specversion": "1.0", "id": "1", "source": "vastdata.com:trigger"}
    event = {**context, "type": "vastdata.com:Element.ElementTagCreated", "elementpath": "renders/a.exr"}
    check(80, *(str(each.reason) for each in deliveries(event)))


# ---- deploy.sh

# What deploy.sh needs and every system has.
TOOLS = (
    "awk", "bash", "cat", "cut", "date", "dirname", "find", "grep", "head", "mktemp", "rm", "sed", "sha256sum", "sort",
    "tail", "tee", "tr", "xargs",
)  # fmt: skip


@pytest.fixture
def tenant(tmp_path: Path) -> Tenant:
    made = Tenant(tmp_path, "http://127.0.0.1:9").set_up()
    made.settings["IMAGE_TAG"] = "1"
    return made


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.splitlines()[-1]


def test_81_to_84_before_anything_is_done(tenant: Tenant, tmp_path: Path) -> None:
    names = ("REGISTRY_NAME", "SOURCE_BUCKET")
    kept = {name: tenant.settings.pop(name) for name in names}
    check(81, last_line(tenant.run("--dry-run")))
    tenant.settings |= kept
    for number, line in ((82, "VAST_DB_ENDPIONT=a\n"), (82, "export A=b\n"), (83, "A=b\r\n")):
        tenant.config.write_text(line, encoding="utf-8")
        check(number, last_line(tenant.run_as_it_is("--dry-run")))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(str(shutil.which(name)))
    for name in ("docker", "vastde"):
        (tenant.bin / name).unlink()
    check(84, last_line(tenant.run(path=str(tools))))


def test_85_to_88_on_the_way(tenant: Tenant) -> None:
    check(86, next(line for line in tenant.run().stdout.splitlines() if line.startswith("VAST_DB_ENDPOINT: ")))
    tenant.failing("docker push")
    check(88, last_line(tenant.run("--skip", "endpoints")))
    tenant.failing()
    done = tenant.run("--skip", "endpoints", "--skip", "function")
    check(87, next(line for line in done.stderr.splitlines() if "revision" in line))
    tenant.failing("vastde functions list")
    check(85, last_line(tenant.run()))
