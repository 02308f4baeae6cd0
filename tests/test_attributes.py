"""Every attribute type: payload bytes written by hand, the value they mean, and the JSON that shows it.

Single floats in hex, low byte first: 0000803f is 1, 0000003f 1/2, 00000040 2, 0000c0bf -1.5, cdcccc3d 0.1,
0000c07f NaN, 0000807f infinity. Doubles: 000000000000f03f is 1, 9a9999999999b93f 0.1, 00000000000000c0 -2.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

import exr_inspector
from exr_inspector.errors import ValueFlaw
from exr_inspector.exr.attributes import ATTRIBUTE_TYPES, STANDARD_TYPES, interpret
from exr_inspector.exr.compiled import decoders, flaw_of
from exr_inspector.exr.reader import parse_header
from exr_inspector.limits import DEFAULT_LIMITS, Limits
from exr_inspector.model import (
    V2,
    V3,
    Box2,
    Channel,
    Chromaticities,
    Enumeration,
    HintedBytes,
    IdManifest,
    KeyCode,
    Matrix,
    Opaque,
    Preview,
    Rational,
    TileDescription,
    TimeCode,
)
from exr_inspector.normalizer import attribute_payload
from exr_inspector.values import CODECS
from tests.support.exr_bytes import attribute, header, pack_channel, pack_chlist, pack_f32, pack_i32, start
from tests.support.id_manifest_bytes import payload as id_manifest_payload


class Case(NamedTuple):
    """One payload. `raw`: its JSON does not give the bytes back, so they stand beside it."""

    type_name: str
    payload_hex: str
    value: Any
    shown: Any
    raw: bool = False
    code: int | None = None

    @property
    def payload(self) -> bytes:
        return bytes.fromhex(self.payload_hex)


NAN = "0000c07f"
INFINITY = "0000807f"

R_HALF = "5200 01000000 00 000000 01000000 01000000"  # R NUL, half, pLinear 0, reserved, sampling 1, 1
R = Channel("R", 1, 0, b"\0\0\0", 1, 1)
R_SHOWN = {"name": "R", "type": "half", "p_linear": False, "x_sampling": 1, "y_sampling": 1}

CASES = (
    # ---- Numbers
    Case("int", "07000000", 7, 7),
    Case("int", "ffffffff", -1, -1),
    Case("int", "00000080", -(2**31), -2147483648),
    Case("float", "cdcccc3d", 13421773 / 2**27, 0.1),
    Case("float", "0000c0bf", -1.5, -1.5),
    Case("float", "00000080", -0.0, -0.0),
    Case("float", "0000804b", 16777216.0, 16777216.0),
    Case("float", INFINITY, float("inf"), "Infinity", raw=True),
    Case("float", "000080ff", float("-inf"), "-Infinity", raw=True),
    Case("double", "9a9999999999b93f", 0.1, 0.1),
    Case("double", "000000000000f07f", float("inf"), "Infinity", raw=True),
    Case("double", "ffffffffffffef7f", 1.7976931348623157e308, 1.7976931348623157e308),
    Case("rational", "18000000 01000000", Rational(24, 1), {"numerator": 24, "denominator": 1}),
    Case("rational", "ffffffff ffffffff", Rational(-1, 2**32 - 1), {"numerator": -1, "denominator": 4294967295}),
    Case("rational", "01000000 00000000", Rational(1, 0), {"numerator": 1, "denominator": 0}),
    # ---- Vectors and boxes
    Case("v2i", "01000000 feffffff", V2(1, -2), {"x": 1, "y": -2}),
    Case("v2f", "0000803f cdcccc3d", V2(1.0, 13421773 / 2**27), {"x": 1.0, "y": 0.1}),
    Case("v2f", f"0000803f {INFINITY}", V2(1.0, float("inf")), {"x": 1.0, "y": "Infinity"}, raw=True),
    Case("v2d", "9a9999999999b93f 00000000000000c0", V2(0.1, -2.0), {"x": 0.1, "y": -2.0}),
    Case("v3i", "01000000 02000000 03000000", V3(1, 2, 3), {"x": 1, "y": 2, "z": 3}),
    Case("v3f", "0000803f 00000040 0000c0bf", V3(1.0, 2.0, -1.5), {"x": 1.0, "y": 2.0, "z": -1.5}),
    Case(
        "v3d",
        "000000000000f03f 9a9999999999b93f 00000000000000c0",
        V3(1.0, 0.1, -2.0),
        {"x": 1.0, "y": 0.1, "z": -2.0},
    ),
    # xMin yMin xMax yMax
    Case(
        "box2i",
        "ffffffff 00000000 7f070000 37040000",
        Box2(V2(-1, 0), V2(1919, 1079)),
        {"min": {"x": -1, "y": 0}, "max": {"x": 1919, "y": 1079}},
    ),
    Case(
        "box2f",
        "0000003f 0000803f 00000040 0000c0bf",
        Box2(V2(0.5, 1.0), V2(2.0, -1.5)),
        {"min": {"x": 0.5, "y": 1.0}, "max": {"x": 2.0, "y": -1.5}},
    ),
    Case(
        "chromaticities",
        "0000803f 00000040  0000003f 0000c0bf  00000000 0000803f  00000040 00000040",
        Chromaticities(V2(1.0, 2.0), V2(0.5, -1.5), V2(0.0, 1.0), V2(2.0, 2.0)),
        {
            "red": {"x": 1.0, "y": 2.0},
            "green": {"x": 0.5, "y": -1.5},
            "blue": {"x": 0.0, "y": 1.0},
            "white": {"x": 2.0, "y": 2.0},
        },
    ),
    # ---- Matrices, row after row
    Case(
        "m33f",
        "0000803f 00000040 0000003f  00000000 0000803f 00000000  0000c0bf 00000000 0000803f",
        Matrix(((1.0, 2.0, 0.5), (0.0, 1.0, 0.0), (-1.5, 0.0, 1.0))),
        [[1.0, 2.0, 0.5], [0.0, 1.0, 0.0], [-1.5, 0.0, 1.0]],
    ),
    Case(
        "m44f",
        "0000803f" + "00000000" * 3 + "00000040" + "00000000" * 10 + "0000c0bf",
        Matrix(((1.0, 0.0, 0.0, 0.0), (2.0, 0.0, 0.0, 0.0), (0.0,) * 4, (0.0, 0.0, 0.0, -1.5))),
        [[1.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0] * 4, [0.0, 0.0, 0.0, -1.5]],
    ),
    Case(
        "m33d",
        "000000000000f03f" + "00" * 16 + "9a9999999999b93f" + "00" * 32 + "00000000000000c0",
        Matrix(((1.0, 0.0, 0.0), (0.1, 0.0, 0.0), (0.0, 0.0, -2.0))),
        [[1.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, -2.0]],
    ),
    Case(
        "m44d",
        "00" * 24 + "9a9999999999b93f" + "00" * 96,
        Matrix(((0.0, 0.0, 0.0, 0.1), (0.0,) * 4, (0.0,) * 4, (0.0,) * 4)),
        [[0.0, 0.0, 0.0, 0.1], [0.0] * 4, [0.0] * 4, [0.0] * 4],
    ),
    # ---- Text
    Case("string", "", "", ""),
    Case("string", "61 00 62", "a\0b", "a\0b"),
    Case("string", "c3a9", "é", "é"),
    Case("string", "efbfbd", "\ufffd", "\ufffd"),  # U+FFFD as the text has it: no flaw, nothing lost
    Case("string", "efbbbf 61", "\ufeffa", "\ufeffa"),  # a byte order mark is text
    Case("stringvector", "", (), []),
    Case("stringvector", "02000000 6869  00000000  02000000 c3a9", ("hi", "", "é"), ["hi", "", "é"]),
    # ---- Enumerations
    Case("compression", "03", Enumeration(3, "zip"), "zip", code=3),
    Case("lineOrder", "01", Enumeration(1, "decreasingY"), "decreasingY", code=1),
    Case("envmap", "01", Enumeration(1, "cube"), "cube", code=1),
    Case("deepImageState", "03", Enumeration(3, "tidy"), "tidy", code=3),
    # ---- Records
    Case(
        "tiledesc",
        "40000000 20000000 11",  # 64 x 32; the low nibble is the level mode, the high one the rounding
        TileDescription(64, 32, 0x11),
        {"x_size": 64, "y_size": 32, "level_mode": "mipmapLevels", "rounding_mode": "roundUp"},
    ),
    Case(
        "tiledesc",
        "ffffffff 01000000 02",
        TileDescription(2**32 - 1, 1, 2),
        {"x_size": 4294967295, "y_size": 1, "level_mode": "ripmapLevels", "rounding_mode": "roundDown"},
    ),
    Case(
        "timecode",
        # 01:02:03:04, drop frame (bit 6): 0x01020344; user data 0x87654321, group 1 lowest.
        "44030201 21436587",
        TimeCode(0x01020344, 0x87654321),
        {
            "time_and_flags": 0x01020344,
            "user_data": 0x87654321,
            "hours": 1,
            "minutes": 2,
            "seconds": 3,
            "frame": 4,
            "drop_frame": True,
            "color_frame": False,
            "field_phase": False,
            "bgf0": False,
            "bgf1": False,
            "bgf2": False,
            "binary_groups": [1, 2, 3, 4, 5, 6, 7, 8],
        },
    ),
    Case(
        "timecode",
        # 23:59:58:29 and every flag but drop frame: 29 | 80, 58 | 80, 59 | 80, 23 | 40 | 80.
        "a9d8d9e3 00000000",
        TimeCode(0xE3D9D8A9, 0),
        {
            "time_and_flags": 0xE3D9D8A9,
            "user_data": 0,
            "hours": 23,
            "minutes": 59,
            "seconds": 58,
            "frame": 29,
            "drop_frame": False,
            "color_frame": True,
            "field_phase": True,
            "bgf0": True,
            "bgf1": True,
            "bgf2": True,
            "binary_groups": [0] * 8,
        },
    ),
    Case(
        "keycode",
        "01000000 02000000 03000000 04000000 05000000 06000000 40000000",
        KeyCode(1, 2, 3, 4, 5, 6, 64),
        {
            "raw": [1, 2, 3, 4, 5, 6, 64],
            "film_mfc_code": 1,
            "film_type": 2,
            "prefix": 3,
            "count": 4,
            "perf_offset": 5,
            "perfs_per_frame": 6,
            "perfs_per_count": 64,
        },
    ),
    # ---- Lists
    Case("floatvector", "", (), []),
    Case("floatvector", "0000803f 0000c0bf", (1.0, -1.5), [1.0, -1.5]),
    Case("floatvector", f"0000803f {INFINITY}", (1.0, float("inf")), [1.0, "Infinity"], raw=True),
    Case("chlist", "00", (), []),
    Case("chlist", f"{R_HALF} 00", (R,), [R_SHOWN]),
    Case(
        "chlist",
        # Z before A: file order. uint, pLinear 1; float, samplings 2 and -1.
        "5a00 00000000 01 000000 01000000 01000000  c3a92e4100 02000000 00 000000 02000000 ffffffff  00",
        (Channel("Z", 0, 1, b"\0\0\0", 1, 1), Channel("é.A", 2, 0, b"\0\0\0", 2, -1)),
        [
            {"name": "Z", "type": "uint", "p_linear": True, "x_sampling": 1, "y_sampling": 1},
            {"name": "é.A", "type": "float", "p_linear": False, "x_sampling": 2, "y_sampling": -1},
        ],
    ),
    Case(
        "chlist",
        "5200 01000000 07 000000 01000000 01000000 00",  # a pLinear of 7
        (R._replace(p_linear=7),),
        [{**R_SHOWN, "p_linear": True}],
        raw=True,
    ),
    Case(
        "chlist",
        "5200 01000000 00 000009 01000000 01000000 00",  # the last reserved byte
        (R._replace(reserved=b"\0\0\x09"),),
        [R_SHOWN],
        raw=True,
    ),
    Case(
        "chlist",
        "efbfbd00 01000000 00 000000 01000000 01000000 00",  # U+FFFD as the name has it
        (R._replace(name="\ufffd"),),
        [{**R_SHOWN, "name": "\ufffd"}],
    ),
    # ---- Blobs
    Case(
        "preview",
        "01000000 02000000 00010203 fcfdfeff",
        Preview(1, 2, bytes.fromhex("00010203fcfdfeff")),
        {"width": 1, "height": 2, "rgba": "AAECA/z9/v8="},
    ),
    Case("preview", "00000000 05000000", Preview(0, 5, b""), {"width": 0, "height": 5, "rgba": ""}),
    Case(
        "bytes",
        "03000000 6a7067 ffd8",
        HintedBytes("jpg", b"\xff\xd8"),
        {"encoding": "base64", "data": "/9g=", "type_hint": "jpg"},
    ),
    Case("bytes", "00000000", HintedBytes("", b""), {"encoding": "base64", "data": "", "type_hint": ""}),
    Case("mine", "00ff", Opaque(b"\0\xff"), {"encoding": "base64", "data": "AP8="}),
    Case("mine", "", Opaque(b""), {"encoding": "base64", "data": ""}),
    Case("Int", "07000000", Opaque(b"\x07\0\0\0"), {"encoding": "base64", "data": "BwAAAA=="}),  # case counts
)


def ids(cases: Sequence[Any]) -> list[str]:
    return [f"{index}-{case[0]}" for index, case in enumerate(cases)]


def entry_of(type_name: str, payload: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The attribute's entry in a document, through JSON and back, and the errors that name it."""
    data = start() + header([attribute("v", type_name, payload)])
    document = json.loads(json.dumps(exr_inspector.inspect(data, config={"integrity": "none"}), allow_nan=False))
    assert exr_inspector.rebuild_header(document) == data
    errors = [error for error in document["errors"] if error["attribute"] == "v"]
    return document["attributes"]["parts"][0][0], errors


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_values(case: Case) -> None:
    data = start() + header([attribute("v", case.type_name, case.payload)])
    found = parse_header(data)
    value = found.parts[0].attributes[0].value
    assert value == case.value
    assert repr(value) == repr(case.value)  # equality tells neither -0.0 from 0.0 nor a V2 from a Rational
    assert found.problems == ()
    assert found.payload(found.parts[0].attributes[0]) == case.payload


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_json(case: Case) -> None:
    entry, errors = entry_of(case.type_name, case.payload)
    expected: dict[str, Any] = {"name": "v", "type": case.type_name, "value": case.shown}
    if case.code is not None:
        expected["code"] = case.code
    if case.raw:
        expected["raw"] = base64.b64encode(case.payload).decode()
    assert entry == expected
    # Equality does not tell -0.0 from 0.0 nor True from 1; text does.
    assert json.dumps(entry["value"]) == json.dumps(case.shown)
    assert errors == []
    assert attribute_payload(entry) == case.payload


def test_every_type_has_a_case() -> None:
    assert set(ATTRIBUTE_TYPES) - {"idmanifest"} <= {case.type_name for case in CASES}
    assert set(ATTRIBUTE_TYPES) == set(CODECS)
    assert set(STANDARD_TYPES.values()) <= set(ATTRIBUTE_TYPES)


def test_an_id_manifest_always_has_its_bytes() -> None:
    payload = id_manifest_payload(pack_i32(0, 1) + b"\x01s" + pack_i32(0, 0))
    entry, errors = entry_of("idmanifest", payload)
    assert entry == {
        "name": "v",
        "type": "idmanifest",
        "value": {"strings": ["s"], "groups": []},
        "raw": base64.b64encode(payload).decode(),
    }
    assert errors == []
    assert parse_header(start() + header([attribute("v", "idmanifest", payload)])).parts[0].attributes[
        0
    ].value == IdManifest(("s",), ())


# ---- Enumerations ------------------------------------------------------------------------------------------

# The words in the order of their codes (ImfCompression.h, ImfLineOrder.h, ImfEnvmap.h, ImfDeepImageState.h).
WORDS = {
    "compression": [
        "none",
        "rle",
        "zips",
        "zip",
        "piz",
        "pxr24",
        "b44",
        "b44a",
        "dwaa",
        "dwab",
        "htj2k256",
        "htj2k32",
        "lj2k",
        "zstd",
    ],
    "lineOrder": ["increasingY", "decreasingY", "randomY"],
    "envmap": ["latlong", "cube"],
    "deepImageState": ["messy", "sorted", "nonOverlapping", "tidy"],
}


@pytest.mark.parametrize("type_name", WORDS)
def test_every_code_of_an_enumeration(type_name: str) -> None:
    for code in range(256):
        entry, errors = entry_of(type_name, bytes([code]))
        is_known = code < len(WORDS[type_name])
        word = WORDS[type_name][code] if is_known else f"unknown({code})"
        assert entry == {"name": "v", "type": type_name, "value": word, "code": code}
        assert [error["code"] for error in errors] == ([] if is_known else ["value_enumeration"])


@pytest.mark.parametrize("mode", range(256))
def test_every_mode_of_tiles(mode: int) -> None:
    entry, errors = entry_of("tiledesc", pack_i32(8, 8) + bytes([mode]))
    level, rounding = mode & 15, mode >> 4
    levels = ["oneLevel", "mipmapLevels", "ripmapLevels"]
    assert entry["value"]["level_mode"] == (levels[level] if level < 3 else f"unknown({level})")
    roundings = ["roundDown", "roundUp"]
    assert entry["value"]["rounding_mode"] == (roundings[rounding] if rounding < 2 else f"unknown({rounding})")
    assert [error["code"] for error in errors] == ([] if level < 3 and rounding < 2 else ["value_enumeration"])


# ---- Flaws -------------------------------------------------------------------------------------------------

# The sizes of the types that have one ("OpenEXR File Layout", predefined attribute types).
SIZES = {
    "box2f": 16, "box2i": 16, "chromaticities": 32, "compression": 1, "deepImageState": 1, "double": 8, "envmap": 1,
    "float": 4, "int": 4, "keycode": 28, "lineOrder": 1, "m33d": 72, "m33f": 36, "m44d": 128, "m44f": 64,
    "rational": 8, "tiledesc": 9, "timecode": 8, "v2d": 16, "v2f": 8, "v2i": 8, "v3d": 24, "v3f": 12, "v3i": 12,
}  # fmt: skip


@pytest.mark.parametrize("type_name", SIZES)
def test_another_size_than_the_types(type_name: str) -> None:
    size = SIZES[type_name]
    for wrong in {0, size - 1, size + 1, 2 * size, size + 4, 3 * size}:
        payload = bytes(index & 255 for index in range(wrong))
        entry, (error,) = entry_of(type_name, payload)
        data = base64.b64encode(payload).decode()
        assert entry == {"name": "v", "type": type_name, "value": {"encoding": "base64", "data": data}}
        # The value begins after 8 bytes of start, v NUL, the type's name and its NUL, four of size.
        assert (error["code"], error["offset"]) == ("value_size", 8 + 2 + len(type_name) + 1 + 4)
        assert f"the size is {wrong}, the type has {size} bytes" in error["message"]


class Flawed(NamedTuple):
    """A payload that is not as its type says. `offset` counts from the value's start; value None: it stays bytes."""

    type_name: str
    payload_hex: str
    code: str
    offset: int
    value: Any = None
    raw: bool = True


CUT_CHANNEL = "4700 01000000 00 000000 01000000 010000"  # G, a byte short
KEY = (1, 2, 3, 4, 5, 6, 64)

FLAWED = (
    Flawed("string", "61 62 ff 63", "value_text", 2, "ab\ufffdc"),
    Flawed("string", "c3", "value_text", 0, "\ufffd"),
    Flawed("string", "eda080", "value_text", 0, "\ufffd\ufffd\ufffd"),  # half a surrogate pair is not UTF-8
    Flawed("floatvector", "0000803f 0000", "value_missing_bytes", 4, (1.0,)),
    Flawed("floatvector", "00", "value_missing_bytes", 0, ()),
    Flawed("stringvector", "01000000 ff  01000000 61", "value_text", 0, ("\ufffd", "a")),
    Flawed("stringvector", "01000000 61  05000000 62", "value_missing_bytes", 0, ("a",)),
    Flawed("stringvector", "01000000 61  ffffffff", "value_missing_bytes", 0, ("a",)),
    Flawed("stringvector", "01000000 61  010000", "value_missing_bytes", 0, ("a",)),
    Flawed("stringvector", "01000000 ff  ffffff7f", "value_missing_bytes", 0, ("\ufffd",)),
    Flawed("chlist", "", "value_missing_bytes", 0, ()),
    Flawed("chlist", R_HALF, "value_missing_bytes", 0, (R,)),
    Flawed("chlist", f"{R_HALF} {CUT_CHANNEL}", "value_missing_bytes", 0, (R,)),
    Flawed("chlist", f"{R_HALF} 47", "value_missing_bytes", 0, (R,)),
    Flawed("chlist", f"{R_HALF} 01", "value_missing_bytes", 0, (R,)),
    Flawed("chlist", f"{R_HALF} 00 00", "value_trailing_bytes", 0, (R,)),
    Flawed("chlist", f"{R_HALF} 00 {R_HALF} 00", "value_trailing_bytes", 0, (R,)),
    Flawed(
        "chlist",
        "ff00 01000000 00 000000 01000000 01000000 00",
        "value_text",
        0,
        (R._replace(name="\ufffd"),),
    ),
    Flawed(
        "chlist",
        "5200 03000000 00 000000 01000000 01000000 00",
        "value_enumeration",
        0,
        (R._replace(pixel_type=3),),
        raw=False,
    ),
    Flawed(
        "chlist",
        "5200 ffffffff 00 000000 01000000 01000000 00",
        "value_enumeration",
        0,
        (R._replace(pixel_type=-1),),
        raw=False,
    ),
    Flawed("tiledesc", "01000000 01000000 03", "value_enumeration", 8, TileDescription(1, 1, 3), raw=False),
    # 24 hours; minutes 60; a frame whose low digit is 10; seconds whose high digit is 6.
    Flawed("timecode", "00000024 00000000", "value_range", 0, TimeCode(0x24000000, 0), raw=False),
    Flawed("timecode", "00006000 00000000", "value_range", 0, TimeCode(0x00600000, 0), raw=False),
    Flawed("timecode", "0a000000 00000000", "value_range", 0, TimeCode(0x0A, 0), raw=False),
    Flawed("timecode", "00600000 00000000", "value_range", 0, TimeCode(0x6000, 0), raw=False),
    Flawed("preview", "02000000 02000000" + "00" * 15, "value_size", 8),
    Flawed("preview", "02000000 02000000" + "00" * 17, "value_size", 8),
    Flawed("preview", "ffffffff ffffffff 00", "value_size", 8),
    Flawed("preview", "02000000 020000", "value_size", 0),
    Flawed("bytes", "030000", "value_size", 0),
    Flawed("bytes", "05000000 61626364", "value_size", 0),
    Flawed("bytes", "ffffffff 61", "value_size", 0),
    Flawed("bytes", "03000000 61ff62 01", "value_text", 5, HintedBytes("a\ufffdb", b"\x01")),
    Flawed("idmanifest", "000000", "value_missing_bytes", 0),
    Flawed("idmanifest", "0400000000000000 ffff", "value_corrupt", 8),
)


@pytest.mark.parametrize("case", FLAWED, ids=ids(FLAWED))
def test_flaws(case: Flawed) -> None:
    payload = bytes.fromhex(case.payload_hex)
    data = start() + header([attribute("v", case.type_name, payload), attribute("next", "int", pack_i32(5))])
    found = parse_header(data)
    first, second = found.parts[0].attributes
    assert first.value == (Opaque(payload) if case.value is None else case.value)
    (problem,) = found.problems
    # v NUL, the type's name and its NUL, four of size
    assert (problem.code, problem.offset) == (case.code, 8 + 2 + len(case.type_name) + 1 + 4 + case.offset)
    assert (problem.part_index, problem.attribute, problem.type_name) == (0, "v", case.type_name)
    assert second.value == 5  # a bad value never costs the next one


@pytest.mark.parametrize("case", FLAWED, ids=ids(FLAWED))
def test_flawed_values_lose_nothing(case: Flawed) -> None:
    payload = bytes.fromhex(case.payload_hex)
    entry, errors = entry_of(case.type_name, payload)
    data = base64.b64encode(payload).decode()
    assert [error["code"] for error in errors] == [case.code]
    if case.value is None:
        assert entry == {"name": "v", "type": case.type_name, "value": {"encoding": "base64", "data": data}}
    else:
        assert entry.get("raw") == (data if case.raw else None)
    assert attribute_payload(entry) == payload


def test_every_code_of_a_value_has_a_case() -> None:
    assert {case.code for case in FLAWED} == {
        "value_size",
        "value_missing_bytes",
        "value_trailing_bytes",
        "value_text",
        "value_enumeration",
        "value_range",
        "value_corrupt",
    }  # and value_limit, below


@pytest.mark.parametrize("digits", ["23595929", "00000000"])
def test_the_largest_and_smallest_time_are_no_flaw(digits: str) -> None:
    """hh mm ss ff, binary coded decimal, low byte first in the file."""
    assert entry_of("timecode", bytes.fromhex(digits)[::-1] + bytes(4))[1] == []


# The ranges that OpenEXR's ImfKeyCode.h documents.
KEY_RANGES = {
    "film_mfc_code": (0, 99),
    "film_type": (0, 99),
    "prefix": (0, 999_999),
    "count": (0, 9999),
    "perf_offset": (0, 119),
    "perfs_per_frame": (1, 15),
    "perfs_per_count": (20, 120),
}


@pytest.mark.parametrize("field", KEY_RANGES)
def test_ranges_of_a_keycode(field: str) -> None:
    index, (low, high) = list(KEY_RANGES).index(field), KEY_RANGES[field]
    for value in (low, high):
        numbers = [*KEY[:index], value, *KEY[index + 1 :]]
        assert entry_of("keycode", pack_i32(*numbers))[1] == []
    for value in (low - 1, high + 1, -(2**31), 2**31 - 1):
        numbers = [*KEY[:index], value, *KEY[index + 1 :]]
        entry, (error,) = entry_of("keycode", pack_i32(*numbers))
        assert error["code"] == "value_range"
        assert f"{field} {value} is not in {low} to {high}" in error["message"]
        assert entry["value"]["raw"] == numbers
        assert "raw" not in entry


@pytest.mark.parametrize(("bits", "word"), [("0000c07f", "NaN"), ("010080ff", "NaN"), ("ffffffff", "NaN")])
def test_nan_keeps_its_bits(bits: str, word: str) -> None:
    for type_name, count in (("float", 1), ("v2f", 2), ("v3f", 3), ("box2f", 4), ("m33f", 9), ("m44f", 16)):
        entry, errors = entry_of(type_name, bytes(4 * count - 4) + bytes.fromhex(bits))
        assert base64.b64decode(entry["raw"])[-4:].hex() == bits
        assert json.dumps(entry["value"]).count(word) == 1
        assert errors == []
    for type_name in ("floatvector", "chromaticities"):
        entry, errors = entry_of(type_name, bytes(28) + bytes.fromhex(bits))
        assert base64.b64decode(entry["raw"])[-4:].hex() == bits
        assert errors == []


@pytest.mark.parametrize("bits", ["000000000000f87f", "010000000000f0ff"])
def test_a_double_nan_keeps_its_bits(bits: str) -> None:
    for type_name, count in (("double", 1), ("v2d", 2), ("v3d", 3), ("m33d", 9), ("m44d", 16)):
        entry, _ = entry_of(type_name, bytes(8 * count - 8) + bytes.fromhex(bits))
        assert base64.b64decode(entry["raw"])[-8:].hex() == bits


# ---- Limits of one value -----------------------------------------------------------------------------------

FEW = Limits(max_elements=3, max_channels=2)
LIMITED = (
    ("floatvector", pack_f32(1, 2, 3), pack_f32(1, 2, 3, 4), "more than 3 elements"),
    ("stringvector", pack_i32(0, 0, 0), pack_i32(0, 0, 0, 0), "more than 3 elements"),
    (
        "chlist",
        pack_chlist(pack_channel("A"), pack_channel("B")),
        pack_chlist(pack_channel("A"), pack_channel("B"), pack_channel("C")),
        "more than 2 elements",
    ),
)


@pytest.mark.parametrize(("type_name", "met", "passed", "words"), LIMITED, ids=ids(LIMITED))
def test_lists_beyond_a_limit_stay_bytes(type_name: str, met: bytes, passed: bytes, words: str) -> None:
    found = parse_header(start() + header([attribute("v", type_name, met)]), limits=FEW)
    assert type(found.parts[0].attributes[0].value) is tuple
    assert found.problems == ()
    found = parse_header(start() + header([attribute("v", type_name, passed)]), limits=FEW)
    assert found.parts[0].attributes[0].value == Opaque(passed)
    (problem,) = found.problems
    assert (problem.code, problem.offset) == ("value_limit", 8 + 2 + len(type_name) + 1 + 4)
    assert words in problem.message


# ---- Interpreted and compiled ------------------------------------------------------------------------------


def outcome(type_name: str, payload: bytes, limits: Limits, *, compiled: bool) -> str:
    """The value or the flaw, as text: a NaN is not equal to itself."""
    try:
        if not compiled:
            return repr(interpret(ATTRIBUTE_TYPES[type_name], payload, limits))
        _, decode = decoders(limits).by_type[type_name.encode()]
        return repr(decode(payload))
    except Exception as error:  # noqa: BLE001  # whatever a decoder raises, the reader makes a flaw of it
        flaw = error if isinstance(error, ValueFlaw) else flaw_of(error, type_name, payload, limits)
        return repr((flaw.code, flaw.message, flaw.value, flaw.value_offset))


PAYLOADS = [
    *((case.type_name, case.payload) for case in CASES if case.type_name in ATTRIBUTE_TYPES),
    *((case.type_name, bytes.fromhex(case.payload_hex)) for case in FLAWED),
    *((type_name, payload) for type_name, *payloads, _ in LIMITED for payload in payloads),
]


@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, FEW], ids=["limits", "few"])
@pytest.mark.parametrize(("type_name", "payload"), PAYLOADS, ids=ids(PAYLOADS))
def test_compiled_reads_what_interpreted_reads(type_name: str, payload: bytes, limits: Limits) -> None:
    """The payload, each of its beginnings, and a byte more."""
    for size in range(len(payload) + 1):
        cut = payload[:size]
        assert outcome(type_name, cut, limits, compiled=True) == outcome(type_name, cut, limits, compiled=False)
    for more in (b"\0", b"\x01"):
        longer = payload + more
        assert outcome(type_name, longer, limits, compiled=True) == outcome(type_name, longer, limits, compiled=False)


@pytest.mark.parametrize("type_name", ATTRIBUTE_TYPES)
def test_compiled_reads_any_type_from_any_payload(type_name: str) -> None:
    """Every payload above, taken for a value of every type."""
    for _, payload in PAYLOADS:
        compiled = outcome(type_name, payload, DEFAULT_LIMITS, compiled=True)
        assert compiled == outcome(type_name, payload, DEFAULT_LIMITS, compiled=False)
