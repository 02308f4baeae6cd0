"""What holds for any header, and for any bytes: the header comes back, nothing is lost, nothing raises.

This is the fuzz contract; `tests/fuzz/fuzz_inspect.py` runs the same with a coverage-guided fuzzer.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exr_inspector
from exr_inspector.errors import CODES, ExrError, TruncatedExr, ValueFlaw
from exr_inspector.exr.attributes import ATTRIBUTE_TYPES, TooManyElements, interpret
from exr_inspector.exr.compiled import Decoders, flaw_of
from exr_inspector.exr.reader import HeaderReader, parse_header
from exr_inspector.limits import DEFAULT_LIMITS, Limits
from tests.support import strategies

FIXTURES = sorted((Path(__file__).parent.parent / "fixtures").glob("*/*.exr"))
SMALL_LIMITS = Limits(max_header_bytes=1 << 16, max_id_manifest_bytes=1 << 14, max_elements=64, max_channels=16)

generous = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def bytes_of(built: Any) -> bytes:
    return bytes(built.data)


def rebuilt(document: dict[str, Any]) -> bytes:
    return exr_inspector.rebuild_header(json.loads(json.dumps(document, allow_nan=False)))


# ---- Any header --------------------------------------------------------------------------------------------


@given(data=strategies.wild_headers().map(bytes_of))
@settings(generous, max_examples=300)
def test_a_header_comes_back_from_its_document(data: bytes) -> None:
    document = exr_inspector.inspect(data)
    assert document["file"]["header_bytes"] == len(data)
    assert rebuilt(document) == data


@given(data=st.data())
@settings(generous, max_examples=600)
def test_compiled_and_interpreted_readers_agree(data: st.DataObject) -> None:
    """On every type, on sound payloads and on damaged ones, with usual limits and with tight ones."""
    type_name = data.draw(st.sampled_from(sorted(ATTRIBUTE_TYPES)))
    payload = data.draw(st.one_of(strategies.PAYLOADS[type_name], strategies.damaged_payloads(type_name)))
    limits = data.draw(st.sampled_from([DEFAULT_LIMITS, SMALL_LIMITS]))
    assert exact(compiled(type_name, payload, limits)) == exact(interpreted(type_name, payload, limits))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_compiled_and_interpreted_readers_agree_on_fixtures(path: Path) -> None:
    try:
        header = parse_header(path.read_bytes())
    except ExrError:
        return
    for part in header.parts:
        for attribute in part.attributes:
            if attribute.type_name in ATTRIBUTE_TYPES:
                payload = header.payload(attribute)
                both = (
                    compiled(attribute.type_name, payload, DEFAULT_LIMITS),
                    interpreted(attribute.type_name, payload, DEFAULT_LIMITS),
                )
                assert exact(both[0]) == exact(both[1]), attribute.name


def compiled(type_name: str, payload: bytes, limits: Limits) -> Any:
    try:
        return Decoders(limits).by_type[type_name.encode()][1](payload)
    except (struct.error, TooManyElements, ValueFlaw) as error:
        flaw = flaw_of(error, type_name, payload, limits)
        return "flaw", flaw.code, flaw.message, flaw.value_offset, flaw.value


def interpreted(type_name: str, payload: bytes, limits: Limits) -> Any:
    try:
        return interpret(ATTRIBUTE_TYPES[type_name], payload, limits)
    except ValueFlaw as flaw:
        return "flaw", flaw.code, flaw.message, flaw.value_offset, flaw.value


def exact(value: Any) -> Any:
    """The value with each float as its bits, so that NaN equals NaN and -0.0 does not equal 0.0."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, dict):
        return {key: exact(element) for key, element in value.items()}
    if isinstance(value, tuple):
        return type(value).__name__, [exact(element) for element in value]
    return value


# ---- Prefixes ----------------------------------------------------------------------------------------------


@given(data=strategies.wild_headers().map(bytes_of), cut=st.floats(0, 1, exclude_max=True))
@settings(generous, max_examples=200)
def test_a_prefix_needs_more_bytes(data: bytes, cut: float) -> None:
    prefix = data[: int(cut * len(data))]
    needed = HeaderReader().advance(prefix)
    assert len(prefix) < needed <= len(data)
    document = exr_inspector.inspect(prefix)
    code = document["errors"][-1]["code"]
    assert code == ("truncated_header" if prefix else "empty_file")
    with pytest.raises(TruncatedExr) as caught:
        parse_header(prefix)
    assert caught.value.missing_bytes == needed - len(prefix)


@given(data=strategies.wild_headers().map(bytes_of), steps=st.lists(st.integers(1, 200), min_size=1))
@settings(generous, max_examples=100)
def test_a_header_read_in_pieces_is_the_same(data: bytes, steps: list[int]) -> None:
    reader, end = HeaderReader(), 0
    for step in [*steps, len(data)]:
        end = min(len(data), end + step)
        if not reader.advance(data[:end]):
            break
    assert end == len(data)
    assert exact(reader.header(data)) == exact(parse_header(data))


# ---- Any bytes ---------------------------------------------------------------------------------------------


def check_contract(data: bytes) -> None:
    """Any bytes give a document: strict JSON, known codes, the header's bytes where it could be walked."""
    for mode in ("table", "chunks"):
        config = {"integrity": mode, "enable_validate": True}
        document = exr_inspector.inspect(data, config=config, limits=SMALL_LIMITS)
        errors = document["errors"]
        assert all(error["code"] in CODES for error in errors)
        assert all(error["offset"] is None or error["offset"] <= 2**64 for error in errors)
        if document["file"]["header_hash"] is None:
            assert any(error["severity"] == "fatal" for error in errors)
        else:
            header = rebuilt(document)
            assert data.startswith(header)
            assert len(header) == document["file"]["header_bytes"]


@given(data=st.binary(max_size=2000))
@settings(generous, max_examples=200)
def test_any_bytes_give_a_document(data: bytes) -> None:
    check_contract(data)
    check_contract(b"\x76\x2f\x31\x01\x02\x00\x00\x00" + data)


@given(data=st.data())
@settings(generous, max_examples=400)
def test_any_mutation_of_a_fixture_gives_a_document(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(FIXTURES))
    check_contract(data.draw(strategies.mutated(path.read_bytes())))


@given(data=st.data())
@settings(generous, max_examples=300)
def test_any_mutation_of_a_generated_file_gives_a_document(data: st.DataObject) -> None:
    check_contract(data.draw(strategies.mutated(data.draw(strategies.complete_files).data)))


@given(data=strategies.complete_files.map(bytes_of))
@settings(generous, max_examples=100)
def test_complete_files_are_complete(data: bytes) -> None:
    for mode in ("table", "chunks"):
        integrity = exr_inspector.inspect(data, config={"integrity": mode})["integrity"]
        assert integrity["status"] == "complete", integrity
