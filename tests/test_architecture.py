"""The house: who may import what, the public names, what an import costs, and that no error code is idle."""

from __future__ import annotations

import ast
import errno
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from importlinter import cli as import_linter

import exr_inspector
from exr_inspector.config_s3 import S3Settings, s3_settings
from exr_inspector.errors import CODES, DocumentError, ExrError
from exr_inspector.limits import Limits
from exr_inspector.settings import Secret, SettingsError
from tests.loopback.s3_server import S3Server
from tests.support.deadly import make_files_deadly
from tests.support.exr_bytes import (
    DEEP,
    MULTIPART,
    TILED,
    PartBytes,
    attribute,
    build,
    header,
    minimal_attributes,
    multipart_file,
    pack_channel,
    pack_chlist,
    pack_i32,
    scanline_file,
    scanline_part,
    start,
)

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "exr_inspector"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py"))


# ---- Imports -----------------------------------------------------------------------------------------------


def broken_contracts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of import-linter, run where the package stands in that folder."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return int(import_linter.lint_imports(config_filename=str(folder / "pyproject.toml"), no_cache=True))


def test_the_import_contracts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_contracts(ROOT, monkeypatch) == 0


_LINT = """
import sys
from importlinter import cli
sys.exit(cli.lint_imports(config_filename="pyproject.toml", no_cache=True))
"""


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("errors.py", "import exr_inspector.model"),  # below calls up
        ("exr/reader.py", "from exr_inspector.exr import integrity"),
        ("values.py", "import construct"),
        ("sources.py", "import numpy"),
        ("app.py", "import exr_inspector.cli.main"),
    ],
)
def test_the_import_contracts_can_be_broken(tmp_path: Path, module: str, line: str) -> None:
    """In a copy: a contract that names a module that is gone, or the wrong one, would keep silent."""
    shutil.copytree(PACKAGE, tmp_path / "exr_inspector", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "exr_inspector" / module
    path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    run = subprocess.run([sys.executable, "-c", _LINT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "BROKEN" in run.stdout


HEAVY = ("numpy", "pyarrow", "duckdb", "vastdb", "obstore", "construct", "rich", "OpenEXR", "OpenImageIO")


def modules_after(code: str) -> set[str]:
    """What a fresh process has loaded after that code."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_the_import_loads_nothing_heavy() -> None:
    loaded = modules_after("import exr_inspector")
    assert loaded.isdisjoint(HEAVY)
    own = {name for name in loaded if name.startswith("exr_inspector")}
    assert own == {"exr_inspector", "exr_inspector.version"}


def test_reading_loads_construct_and_nothing_else_that_is_heavy() -> None:
    code = "import exr_inspector\nexr_inspector.inspect('fixtures/real/rich.exr')"
    assert modules_after(code) & set(HEAVY) == {"construct"}


def test_only_exr_knows_construct() -> None:
    importers = {path.parent.name for path in SOURCES if "construct" in _imported(path)}
    assert importers == {"exr"}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


# ---- Names -------------------------------------------------------------------------------------------------

PUBLIC = ("ExrError", "ExrHeader", "Limits", "__version__", "inspect", "read_header", "rebuild_header")


def test_the_public_names() -> None:
    assert exr_inspector.__all__ == list(PUBLIC)
    assert dir(exr_inspector) == sorted(PUBLIC)
    for name in PUBLIC:
        value = getattr(exr_inspector, name)
        assert value is not None
        assert getattr(exr_inspector, name) is value  # looked up once
    with pytest.raises(AttributeError, match="module 'exr_inspector' has no attribute 'nothing'"):
        exr_inspector.nothing  # noqa: B018  # the lookup is the test


def test_names_can_be_imported_one_by_one() -> None:
    from exr_inspector import ExrError as Error  # noqa: PLC0415  # this import is the test
    from exr_inspector import Limits as Bounds  # noqa: PLC0415

    assert (Error, Bounds) == (ExrError, Limits)


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


# ---- House rules -------------------------------------------------------------------------------------------

TABLES = {"rules/table.py"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_house_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not text
    if str(path.relative_to(PACKAGE)) not in TABLES:
        assert len(text.splitlines()) <= 450
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)], "assert on input"
    if path.name != "environment.py":
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert names.isdisjoint({"environ", "environb", "getenv"}), "environment.py alone reads the environment"
    for word in ("utils", "helpers", "manager", "subimage"):
        assert word not in path.stem


# ---- Error codes -------------------------------------------------------------------------------------------


def test_the_page_has_the_table_of_codes() -> None:
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    for code, row in CODES.items():
        assert f"| `{code}` | {row.severity} |" in page


FOUR = scanline_file(4, 4)


def document_codes(source: Any, limits: Limits | None = None, **config: Any) -> set[str]:
    return {error["code"] for error in exr_inspector.inspect(source, config=config, limits=limits)["errors"]}


def of_attribute(type_name: str, payload: bytes, name: str | bytes = "v") -> Callable[[Path], set[str]]:
    return lambda _folder: document_codes(start() + header([attribute(name, type_name, payload)]))


def of_bytes(data: bytes, **limits: int) -> Callable[[Path], set[str]]:
    return lambda _folder: document_codes(data, Limits(**limits))


def with_offsets(*offsets: int) -> bytes:
    return FOUR.with_offsets([offsets])


A, B, C, D = FOUR.chunk_offsets[0]


def _changed(folder: Path) -> set[str]:
    """A file object that says it has more bytes than it gives."""

    class Shrunk(io.BytesIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            return super().seek(offset, whence) + (1000 if whence == io.SEEK_END else 0)

    return document_codes(Shrunk(start() + header([attribute("a", "int", b"")])[:-1]))


def _failed(_folder: Path) -> set[str]:
    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "broken")

    return document_codes(Broken(FOUR.data))


def _denied(_folder: Path) -> set[str]:
    class Denied(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise OSError(errno.EACCES, "denied")  # of a path: tests/test_sources.py

    return document_codes(Denied(FOUR.data))


def _column_misfit() -> set[str]:
    tables = pytest.importorskip("exr_inspector.tables", exc_type=ImportError)
    made = tables.documents_to_tables([{"file": {"path": "/a.exr", "size_bytes": 1 << 63}}])
    return {problem["code"] for problem in made.problems[0]}


def _reader_died(folder: Path) -> set[str]:
    readers = pytest.importorskip("exr_inspector.scan_readers", exc_type=ImportError)
    path = folder / "deadly.exr"
    path.write_bytes(FOUR.data)
    with pytest.MonkeyPatch.context() as patch:
        make_files_deadly(folder / "hook", patch)
        with readers.ReadingProcesses(1) as reading:
            (answer,) = reading.submit(readers.Task([str(path)], "table", 1, as_tables=False)).result()
    return {error["code"] for error in answer.documents[0]["errors"]}


def _document_invalid(_folder: Path) -> set[str]:
    with pytest.raises(DocumentError) as caught:
        exr_inspector.rebuild_header({})
    return {caught.value.code}


def _object(key: str, **changes: Any) -> Any:
    s3 = pytest.importorskip("exr_inspector.s3")
    pytest.importorskip("obstore")
    keys = Secret("access"), Secret("secret")
    return s3.S3Client(S3Settings("http://127.0.0.1:1", *keys)._replace(**changes)).source("bucket", key)


def _refused() -> set[str]:
    with S3Server() as server:
        server.faults.add("get", "bad_request")
        return document_codes(_object("key", **server.settings()._asdict()))


def _unconfigured() -> set[str]:
    with pytest.raises(SettingsError) as caught:
        s3_settings({"S3_ENDPOINT": "http://127.0.0.1:1"})
    return {caught.value.code}


def _part(**changes: bytes | None) -> bytes:
    part = scanline_part()
    for name, changed in changes.items():
        del part.attributes[name]
        if changed is not None:
            part.attributes[name] = changed
    return build(0, [part]).data


ONE = attribute("a", "int", pack_i32(1))
WIDE = pack_i32(0, 0, 0, 2**31 - 2)
# Each code, and a way to it.
WAYS: dict[str, Callable[[Path], set[str]]] = {
    "column_misfit": lambda _folder: _column_misfit(),
    "source_not_found": lambda folder: document_codes(folder / "missing.exr"),
    "source_no_permission": _denied,
    "source_not_regular": document_codes,
    "source_changed": _changed,
    "source_failed": _failed,
    "source_reader_died": _reader_died,
    "source_unsupported": lambda _folder: document_codes(_object("a/../b")),
    "source_refused": lambda _folder: _refused(),
    "source_unconfigured": lambda _folder: _unconfigured(),
    "empty_file": of_bytes(b""),
    "not_exr": of_bytes(b"\x89PNG\r\n\x1a\n"),
    "unsupported_version": of_bytes(start(version=1) + b"\0"),
    "unsupported_flags": of_bytes(start(0x100) + b"\0"),
    "truncated_header": of_bytes(start()),
    "attribute_size_negative": of_bytes(start() + attribute("a", "int", b"", size=-1)),
    "limit_header_bytes": of_bytes(start() + header([ONE]), max_header_bytes=20),
    "limit_parts": of_bytes(multipart_file(2).data, max_parts=1),
    "limit_attributes": of_bytes(FOUR.data, max_attributes=7),
    "limit_name_bytes": of_bytes(start() + b"n" * 5000),
    "value_size": of_attribute("int", b"123"),
    "value_trailing_bytes": of_attribute("chlist", b"\0\0"),
    "value_missing_bytes": of_attribute("floatvector", b"123"),
    "value_text": of_attribute("string", b"\xff"),
    "value_enumeration": of_attribute("compression", b"\xff"),
    "value_range": of_attribute("timecode", b"\x0f" + bytes(7)),
    "value_corrupt": of_attribute("idmanifest", bytes(8) + b"\xff\xff"),
    "value_limit": lambda _folder: document_codes(
        start() + header([attribute("v", "floatvector", bytes(16))]), Limits(max_elements=3)
    ),
    "flags_illegal": of_bytes(start(TILED | DEEP) + b"\0"),
    "no_parts": of_bytes(start(MULTIPART) + b"\0"),
    "name_text": of_attribute("int", pack_i32(1), b"\xff"),
    "type_empty": of_attribute("", b""),
    "name_long": of_attribute("int", pack_i32(1), "n" * 32),
    "attribute_missing": of_bytes(_part(compression=None)),
    "attribute_type": of_bytes(_part(lineOrder=attribute("lineOrder", "int", pack_i32(0)))),
    "attribute_duplicate": of_bytes(start() + header([ONE, ONE])),
    "channel_duplicate": of_attribute("chlist", pack_chlist(pack_channel("R"), pack_channel("R")), "channels"),
    "part_type_unknown": lambda _folder: document_codes(
        build(DEEP, [PartBytes(minimal_attributes(part_type="nonsense"))]).data
    ),
    "window_inverted": of_attribute("box2i", pack_i32(0, 0, -1, -1), "dataWindow"),
    "chunk_count": of_bytes(build(0, [PartBytes(minimal_attributes(chunk_count=9), scanline_part().chunks)]).data),
    "chunk_count_unknown": of_bytes(_part(dataWindow=None)),
    "limit_chunks": of_bytes(FOUR.data, max_chunks=3),
    "limit_problems": of_bytes(start() + header([attribute("a", "", b"")] * 2), max_problems=1),
    "integrity_incomplete": of_bytes(with_offsets(A, 0, C, D)),
    "integrity_truncated": of_bytes(FOUR.data[:-1]),
    "integrity_trailing": of_bytes(FOUR.data + b"!"),
    "integrity_inconsistent": of_bytes(with_offsets(1, B, C, D)),
    "config_invalid": lambda _folder: document_codes(FOUR.data, integrity="all"),
    "feature_unavailable": lambda _folder: document_codes(FOUR.data, stats=True),
    "document_invalid": _document_invalid,
    "policy_unreadable": lambda folder: document_codes(
        FOUR.data, validate=True, policy_path=str(folder / "missing.json")
    ),
}


# The databases' codes need databases, the function's need events: their own tests tell them.
STORE_CODES = {
    code for code in CODES if code.startswith(("store_", "event_", "function_", "setting_", "sink_", "not_stored"))
}


def test_every_code_has_a_way() -> None:
    assert set(WAYS) | STORE_CODES == set(CODES)


@pytest.mark.parametrize("code", sorted(STORE_CODES))
def test_every_code_of_the_stores_is_tested(code: str) -> None:
    tests = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py") if path != Path(__file__)]
    assert any(f'"{code}"' in text for text in tests)


@pytest.mark.parametrize("code", WAYS)
def test_every_code_is_told(code: str, tmp_path: Path) -> None:
    assert code in WAYS[code](tmp_path)


def test_the_codes_are_words() -> None:
    for code, row in CODES.items():
        assert code.replace("_", "").isalpha()
        assert code == code.lower()
        assert row.severity in ("fatal", "error", "warning")
        assert row.meaning
        assert not row.retryable or code.startswith(("source_", "store_", "function_", "sink_"))


def test_a_sound_file_has_no_code(tmp_path: Path) -> None:
    """The ways above start from files that are sound but for one thing."""
    assert document_codes(FOUR.data, integrity="chunks", validate=True) == set()
    assert document_codes(multipart_file(2).data, integrity="chunks") == set()
    assert document_codes(_part(), integrity="chunks") == set()
