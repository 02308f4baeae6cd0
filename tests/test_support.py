"""The helpers themselves: do the builders build what the wheels accept, and do the oracles notice a difference?"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import exr_inspector
from tests.support import exr_bytes, oracle, strategies
from tests.support.exr_bytes import (
    DEEP,
    attribute,
    minimal_attributes,
    multipart,
    multipart_file,
    pack_f32,
    pack_f64,
    pack_i32,
    pack_u32,
    scanline_file,
    scanline_part,
    single_part,
    tiled_file,
    tiled_part,
)
from tests.support.id_manifest_bytes import Group, Row, body, payload

FILES = {
    "scanlines": scanline_file(7, 5),
    "multipart": multipart_file(3),
    "deep scanlines": exr_bytes.deep_scanline_file(),
    "deep tiles": exr_bytes.deep_tiled_file(),
    **{
        f"tiles {width} {height} {mode} {rounding}": tiled_file(width, height, (2, 3), mode=mode, rounding=rounding)
        for width, height in ((7, 5), (16, 9), (1, 5))
        for mode in (0, 1, 2)
        for rounding in (0, 1)
    },
    "every kind of part": multipart(
        [
            scanline_part(name="a"),
            tiled_part(4, 4, mode=2, rounding=1, name="b"),
            exr_bytes.deep_scanline_part(name="c"),
            exr_bytes.deep_tiled_part(name="d"),
        ],
        DEEP,
    ),
}


@pytest.mark.parametrize("built", FILES.values(), ids=FILES)
def test_the_reference_reads_built_files_with_their_pixels(built: exr_bytes.Built, tmp_path: Path) -> None:
    path = tmp_path / "built.exr"
    path.write_bytes(built.data)
    assert len(OpenEXR.File(str(path)).parts) == len(built.chunk_offsets)


@pytest.mark.parametrize("built", FILES.values(), ids=FILES)
def test_a_built_file_says_where_its_pieces_stand(built: exr_bytes.Built) -> None:
    for start, offsets in zip(built.table_offsets, built.chunk_offsets, strict=True):
        assert struct.unpack_from(f"<{len(offsets)}Q", built.data, start) == offsets
    assert built.with_offsets(built.chunk_offsets) == built.data
    assert built.tables_end == built.chunk_offsets[0][0]


# One value of each type, without bits that no oracle shows.
VALUES: dict[str, bytes] = {
    "box2f": pack_f32(1, 2, 3, 4),
    "box2i": pack_i32(1, 2, 3, 4),
    "bytes": exr_bytes.pack_bytes("hint", b"data"),
    "chromaticities": pack_f32(*range(1, 9)),
    "compression": b"\x02",
    "double": pack_f64(1.5),
    "envmap": b"\0",
    "float": pack_f32(1.5),
    "floatvector": pack_f32(1, 2, 3),
    "idmanifest": payload(body([b"a"], [(0, 0)], [Group([Row(5, [0])], [b"name"])])),
    "int": pack_i32(-2),
    "keycode": pack_i32(12, 34, 123456, 1234, 56, 4, 64),
    "lineOrder": b"\0",
    "m33d": pack_f64(*range(1, 10)),
    "m33f": pack_f32(*range(1, 10)),
    "m44d": pack_f64(*range(1, 17)),
    "m44f": pack_f32(*range(1, 17)),
    "preview": exr_bytes.pack_preview(2, 1, bytes(range(8))),
    "rational": exr_bytes.pack_rational(24000, 1001),
    "string": b"text",
    "stringvector": exr_bytes.pack_stringvector("one", "two"),
    "tiledesc": exr_bytes.pack_tiledesc(3, 4, 1, 1),
    "timecode": pack_u32(0x12345678, 0x87654321),
    "unknown": b"opaque",
    "v2d": pack_f64(1, 2),
    "v2f": pack_f32(1, 2),
    "v2i": pack_i32(1, 2),
    "v3d": pack_f64(1, 2, 3),
    "v3f": pack_f32(1, 2, 3),
    "v3i": pack_i32(1, 2, 3),
}


def written(path: Path, type_name: str, value: bytes) -> Any:
    """The document of a file with that value, written to that path."""
    attributes = minimal_attributes()
    attributes["value"] = attribute("value", type_name, value)
    path.write_bytes(single_part(attributes, scanline_part().chunks).data)
    return exr_inspector.inspect(path)


def agree(document: Any, path: Path) -> bool:
    """Whether neither wheel has anything to say against the document."""
    for compare in (oracle.assert_same_as_openexr, oracle.assert_same_as_oiio):
        try:
            compare(document, str(path))
        except (AssertionError, oracle.Refused):
            return False
    return True


@pytest.mark.parametrize("type_name", VALUES)
def test_the_oracles_notice_a_change_of_any_byte(type_name: str, tmp_path: Path) -> None:
    value = VALUES[type_name]
    document = written(tmp_path / "right.exr", type_name, value)
    assert agree(document, tmp_path / "right.exr")
    for index in range(len(value)):
        changed = value[:index] + bytes([value[index] ^ 1]) + value[index + 1 :]
        written(tmp_path / "wrong.exr", type_name, changed)
        assert not agree(document, tmp_path / "wrong.exr"), f"byte {index}"


def test_the_oracles_notice_what_is_missing_or_too_much(tmp_path: Path) -> None:
    more, fewer = tmp_path / "more.exr", tmp_path / "fewer.exr"
    with_value = written(more, "int", pack_i32(1))
    fewer.write_bytes(single_part(minimal_attributes(), scanline_part().chunks).data)
    assert not agree(with_value, fewer)
    assert not agree(exr_inspector.inspect(fewer), more)


@pytest.mark.parametrize("field", ["pixel_type", "p_linear", "x_sampling", "name"])
def test_the_oracles_notice_another_channel(field: str, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"name": "A", "pixel_type": 1, "p_linear": 0, "x_sampling": 1}
    other = {"name": "B", "pixel_type": 2, "p_linear": 1, "x_sampling": 2}
    right, wrong = tmp_path / "right.exr", tmp_path / "wrong.exr"
    for path, values in ((right, fields), (wrong, {**fields, field: other[field]})):
        channels = [exr_bytes.pack_channel(**values)]
        path.write_bytes(single_part(minimal_attributes(channels=channels), scanline_part().chunks).data)
    assert agree(exr_inspector.inspect(right), right)
    with pytest.raises(AssertionError):
        oracle.assert_same_as_openexr(exr_inspector.inspect(right), str(wrong))


def test_a_refusal_has_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "latin1.exr"
    document = written(path, "string", b"\xe9")
    with pytest.raises(oracle.Refused) as refused:
        oracle.assert_same_as_openexr(document, str(path))
    assert refused.value.reason is not None
    assert oracle.assert_same_as_oiio(document, str(path)) > 0


# ---- Strategies --------------------------------------------------------------------------------------------


@given(strategies.headers(tame=True))
@settings(max_examples=50, deadline=None)
def test_headers_can_be_completed_to_files(header: strategies.HeaderBytes) -> None:
    built = strategies.with_chunks(header)
    assert built.header_data == header.data
    assert all(built.chunk_offsets)


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_payloads_are_of_their_type(data: st.DataObject) -> None:
    type_name = data.draw(st.sampled_from(strategies.TYPES))
    drawn = data.draw(strategies.TAME_PAYLOADS[type_name])
    document = exr_inspector.inspect(
        single_part({**minimal_attributes(), "value": attribute("value", type_name, drawn)}).data,
        config={"integrity": "none"},
    )
    assert [each for each in document["errors"] if each["severity"] != "warning"] == []
