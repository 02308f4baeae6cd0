"""Cutting long values: what is cut, what a cut value keeps, and what is left alone."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exr_inspector import inspect, rebuild_header
from exr_inspector.cut import cut_attribute, cut_document
from exr_inspector.errors import DocumentError, IncompleteDocument
from exr_inspector.normalizer import is_cut

FIXTURES = Path(__file__).parent.parent / "fixtures"
FILES = sorted(path.relative_to(FIXTURES).as_posix() for path in FIXTURES.glob("*/*.exr"))

WORDY_TYPES = ("chlist", "floatvector", "idmanifest", "stringvector")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def in_base64(data: bytes) -> dict[str, str]:
    return {"encoding": "base64", "data": base64.b64encode(data).decode()}


def text_entry(value: str) -> dict[str, Any]:
    return {"name": "owner", "type": "string", "value": value}


# ---- One attribute -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "a", "0123456789"])
def test_a_value_of_the_limit_stays(value: str) -> None:
    entry = text_entry(value)
    assert cut_attribute(entry, 10) is entry


def test_a_longer_one_is_cut() -> None:
    entry = text_entry("0123456789!")
    assert cut_attribute(entry, 10) == {
        "name": "owner",
        "type": "string",
        "value": {"cut_bytes": 11, "sha256": sha256(b"0123456789!"), "start": "0123456789"},
    }


def test_bytes_count_not_characters() -> None:
    entry = text_entry("\u6728" * 4)  # three bytes each
    assert cut_attribute(entry, 12) is entry
    value = cut_attribute(entry, 11)["value"]
    assert value["cut_bytes"] == 12
    assert value["sha256"] == sha256("\u6728".encode() * 4)
    assert value["start"] == "\u6728" * 3  # whole characters only


@given(text=st.text(min_size=1), limit=st.integers(0, 40))
def test_the_start_is_the_text_s_beginning(text: str, limit: int) -> None:
    data = text.encode(errors="replace")
    text = data.decode()
    entry = cut_attribute(text_entry(text), limit)
    if len(data) <= limit:
        assert entry["value"] == text
    else:
        start = entry["value"]["start"]
        assert text.startswith(start)
        assert limit - 3 <= len(start.encode()) <= limit
        assert entry["value"]["cut_bytes"] == len(data)


def test_the_start_can_be_shorter_than_the_limit() -> None:
    value = cut_attribute(text_entry("x" * 100), 50, 7)["value"]
    assert value["start"] == "x" * 7
    assert cut_attribute(text_entry("x" * 50), 50, 7)["value"] == "x" * 50


def test_text_that_is_not_utf_8_is_cut_as_bytes() -> None:
    raw = b"Caf\xe9 and more"
    entry = {**text_entry("Caf\ufffd and more"), "raw": base64.b64encode(raw).decode()}
    assert cut_attribute(entry, 8) == text_entry("") | {
        "value": {"cut_bytes": len(raw), "sha256": sha256(raw), "start": in_base64(raw[:8])}
    }
    assert cut_attribute(entry, 3)["value"]["start"] == "Caf"  # as far as it goes it is text


def test_bytes_of_an_unknown_type() -> None:
    entry = {"name": "blob", "type": "future", "value": in_base64(bytes(range(30)))}
    assert cut_attribute(entry, 30) is entry
    assert cut_attribute(entry, 29)["value"] == {
        "cut_bytes": 30,
        "sha256": sha256(bytes(range(30))),
        "start": in_base64(bytes(range(29))),
    }


def test_a_hint_s_bytes_count() -> None:
    payload = struct.pack("<I", 4) + b"text" + b"\1\2"
    entry = {"name": "b", "type": "bytes", "value": {**in_base64(b"\1\2"), "type_hint": "text"}}
    assert cut_attribute(entry, len(payload)) is entry
    value = cut_attribute(entry, 5)["value"]
    assert (value["cut_bytes"], value["sha256"]) == (len(payload), sha256(payload))
    assert value["start"] == in_base64(payload[:5])


def test_numbers_are_packed_as_in_the_file() -> None:
    entry = {"name": "f", "type": "floatvector", "value": [0.1, 0.2, "NaN"], "raw": "zczMPc3MTD4AAMB/"}
    payload = struct.pack("<2fI", 0.1, 0.2, 0x7FC00000)
    assert cut_attribute(entry, 4)["value"] == {
        "cut_bytes": 12,
        "sha256": sha256(payload),
        "start": in_base64(payload[:4]),
    }


def test_a_short_payload_with_long_json_is_cut() -> None:
    strings = ["\0" * 10] * 10  # 140 bytes in the file, six characters for each NUL in JSON
    entry = {"name": "v", "type": "stringvector", "value": strings}
    assert len(json.dumps(strings)) > 600
    assert cut_attribute(entry, 1000) is entry
    assert cut_attribute(entry, 500)["value"]["cut_bytes"] == 140
    box = {"min": {"x": 0, "y": 0}, "max": {"x": 1, "y": 1}}
    fixed = {"name": "b", "type": "box2i", "value": box}
    assert cut_attribute(fixed, 16) is fixed  # what has a fixed size is not long


def test_names_stay_beside_a_cut_value() -> None:
    entry = {
        "name": "\ufffd", "type": "t\ufffd", "value": in_base64(b"abc"), "name_raw": "/w==", "type_raw": "dP8=",
    }  # fmt: skip
    cut = cut_attribute(entry, 0)
    assert list(cut) == list(entry)
    assert {key: cut[key] for key in ("name", "type", "name_raw", "type_raw")} == {
        key: entry[key] for key in ("name", "type", "name_raw", "type_raw")
    }
    assert cut["value"]["start"] == in_base64(b"")


def test_what_is_cut_stays_so() -> None:
    once = cut_attribute(text_entry("x" * 100), 50)
    assert cut_attribute(once, 10) is once


# ---- Documents ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", FILES)
@pytest.mark.parametrize("limit", [0, 60])
def test_every_fixture(fixture: str, limit: int) -> None:
    document = inspect(FIXTURES / fixture)
    before = json.dumps(document)
    cut = cut_document(document, limit)
    assert json.dumps(document) == before, "the document was changed"
    assert cut.keys() == document.keys()
    assert all(cut[key] is document[key] for key in document if key != "attributes")
    data = (FIXTURES / fixture).read_bytes()
    entries = [
        (old, new)
        for old_part, new_part in zip(document["attributes"]["parts"], cut["attributes"]["parts"], strict=True)
        for old, new in zip(old_part, new_part, strict=True)
    ]
    for old, new in entries:
        assert new is old or "raw" not in new
        if is_cut(new["value"]):
            # The payload stands in the file behind its name, type and size.
            assert new["value"]["cut_bytes"] > limit or old["type"] in WORDY_TYPES
            assert struct.pack("<i", new["value"]["cut_bytes"]) in data
        else:
            assert new == old
    if any(is_cut(new["value"]) for _, new in entries) and document["file"]["header_hash"]:
        with pytest.raises(IncompleteDocument, match="was cut"):
            rebuild_header(cut)


def test_the_hash_is_that_of_the_file_s_bytes() -> None:
    fixture = FIXTURES / "hand/large_string.exr"
    document = cut_document(inspect(fixture), 1000)
    (value,) = [each["value"] for each in document["attributes"]["parts"][0] if is_cut(each["value"])]
    data = fixture.read_bytes()
    start = data.index(b'{"object_00000"')
    assert value["cut_bytes"] == 150000  # fixtures/by_hand_values.py, `large`
    assert value["sha256"] == sha256(data[start : start + 150000])
    assert value["start"] == data[start : start + 1000].decode()


@pytest.mark.parametrize(
    "document",
    [{"file": {}, "channels": [], "parts": []}, {"file": {}, "attributes": {"owner": "x" * 100}}, {"attributes": None}],
)
def test_bare_documents_are_left_alone(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    assert cut_document(document, 10) == before


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "n", "type": "future", "value": "text"},
        {"name": "n", "type": "string", "value": 7},
        {"name": "n", "type": "string"},
        {"name": "n", "type": "idmanifest", "value": {"strings": [], "groups": []}},
        {"name": "n", "type": "int", "value": 2**40},
        {"name": "n", "type": "string", "value": "x", "raw": "?"},
        "text",
    ],
)
def test_a_document_of_another_schema(entry: Any) -> None:
    with pytest.raises(DocumentError):
        cut_document({"attributes": {"parts": [[entry]]}}, 10)
