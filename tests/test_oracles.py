"""The document against the OpenEXR and OpenImageIO wheels: every attribute of every file that they open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import exr_inspector
from tests.support import strategies
from tests.support.oracle import Refused, assert_same_as_oiio, assert_same_as_openexr

FIXTURES = Path(__file__).parent.parent / "fixtures"
ENTRIES: list[dict[str, Any]] = json.loads((FIXTURES / "manifest.json").read_text(encoding="utf-8"))["files"]

ORACLES = {"openexr": assert_same_as_openexr, "openimageio": assert_same_as_oiio}
# As the manifest says, which was written with the wheels alone.
OPENED = [
    pytest.param(oracle, entry["path"], id=f"{oracle}-{entry['path']}")
    for entry in ENTRIES
    for oracle in ORACLES
    if entry["oracles"].get(oracle, {}).get("opens") and entry["expect"].get("readable")
]


@pytest.mark.parametrize(("oracle", "name"), OPENED)
def test_what_a_wheel_opens_is_read_and_equal(oracle: str, name: str) -> None:
    path = str(FIXTURES / name)
    document = exr_inspector.inspect(path)
    assert document["file"]["header_hash"] is not None
    compared = compared_with(oracle, document, path)
    # Of a damaged or bare file nothing may be left to compare.
    assert compared is None or compared > 0 or not name.startswith("real/")


def compared_with(oracle: str, document: dict[str, Any], path: str) -> int | None:
    """How many attributes were equal; None if the wheel opens the file but cannot turn it into Python objects."""
    try:
        return ORACLES[oracle](document, path)
    except Refused as refused:
        if refused.reason is None:
            raise
        return None


def test_the_wheels_open_most_fixtures() -> None:
    """Else the test above would be empty."""
    assert len(OPENED) > 300


@given(header=strategies.headers(tame=True))
@settings(max_examples=60, deadline=None)
def test_generated_headers_are_equal(header: strategies.HeaderBytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("generated") / "file.exr"
    path.write_bytes(strategies.with_chunks(header).data)
    document = exr_inspector.inspect(path)
    for oracle in ORACLES:
        compared_with(oracle, document, str(path))
