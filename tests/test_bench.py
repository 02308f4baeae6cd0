"""The bench runs, its sides touch the same values, its files are the same in every run. No timings: they belong in
bench/README.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
HEAVY_MODULES = {"numpy", "pyarrow", "duckdb", "vastdb", "obstore", "construct", "rich", "OpenEXR", "OpenImageIO"}
GROUPS = 7


def run(*words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    pytest.importorskip("OpenEXR", exc_type=ImportError)
    pytest.importorskip("OpenImageIO", exc_type=ImportError)
    found: dict[str, Any] = json.loads(run("bench/reader.py", "--quick", "--json", "-"))
    return found


def test_every_group_has_rows_that_are_measured_or_say_why_not(report: dict[str, Any]) -> None:
    rows = report["rows"]
    assert len({row["group"] for row in rows}) == GROUPS
    for row in rows:
        assert row["ours"] is not None or row["note"].startswith("skipped: "), row
        if row["low"] is not None:
            assert 0 < row["low"] <= row["ratio"] <= row["high"]


@pytest.mark.parametrize(
    ("kind", "parts", "attributes", "channels"),
    [("minimal", 1, 8, 4), ("rich", 1, 60, 80), ("20 parts", 20, 440, 60)],
)
def test_both_sides_touch_the_same_values(
    report: dict[str, Any], kind: str, parts: int, attributes: int, channels: int
) -> None:
    assert report["agreement"][kind] == {
        "parts": [parts, parts],
        "attributes": [attributes, attributes],
        "channels": [channels, channels],
        "equal_values": attributes,
    }
    oiio = report["agreement"][f"{kind}, OpenImageIO"]
    assert oiio == {"parts": [parts, parts], "channels": [channels, channels], "integrity": "complete"}
    assert report["agreement"][f"{kind}, interpreted"] == {"is_equal": True, "attributes": attributes}


def test_a_walk_over_all_chunks_reads_header_table_and_leaders_only(report: dict[str, Any]) -> None:
    wide = report["agreement"]["wide"]
    assert (wide["status"], wide["checked"]) == ("complete", ["table", "end", "chunks"])
    (row,) = (each for each in report["rows"] if each["what"].startswith("chunks: bytes read"))
    assert wide["bytes"] == row["ours"]
    assert row["ours"] <= row["theirs"]


def test_the_table_is_shown_as_text_and_as_markdown() -> None:
    text = run("bench/reader.py", "--quick", "--only", "chunks")
    assert "ours" in text
    assert "bytes read / header" in text
    markdown = run("bench/reader.py", "--quick", "--only", "chunks", "--markdown")
    assert "| what | ours | theirs | ratio | quartiles | target | met? |" in markdown


def test_the_readme_has_a_place_for_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import reader  # noqa: PLC0415

    text = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    assert text.count(reader.TABLE_START) == text.count(reader.TABLE_END) == 1
    assert text.index(reader.TABLE_START) < text.index(reader.TABLE_END)


def test_the_files_are_the_same_in_every_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import exr_files  # noqa: PLC0415

    for make in (exr_files.minimal, exr_files.rich, exr_files.twenty_parts):
        digests = set()
        for name in ("a.exr", "b.exr"):
            make(str(tmp_path / name), 1001)
            digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        make(str(tmp_path / "c.exr"), 1002)
        digests.add(hashlib.sha256((tmp_path / "c.exr").read_bytes()).hexdigest())
        assert len(digests) == 2
    text = exr_files.manifest(str(tmp_path / "manifest.exr"), 100_000)
    assert len(json.loads(text)) > 1000
    assert 100_000 <= len(text) < 101_000


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, exr_inspector; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(run("-c", script).split())
    assert "exr_inspector" in loaded
    assert not loaded & HEAVY_MODULES


def test_reading_a_header_needs_construct_but_no_array_or_database_library() -> None:
    script = (
        "import sys, exr_inspector; exr_inspector.read_header(sys.argv[1]); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = set(run("-c", script, "fixtures/real/minimal_rgba.exr").split())
    assert loaded & HEAVY_MODULES == {"construct"}
