"""The golden documents: nothing drifts unseen, and what they say is held against values from elsewhere.

A golden document is made by the program, so that it alone proves nothing. The facts below were taken from the
scripts that pack the bytes or tell the wheel what to write, from the format's description, or by counting bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exr_inspector import rebuild_header

FIXTURES = Path(__file__).parent.parent / "fixtures"
GOLDEN = FIXTURES / "golden"
NAMES = sorted(path.name for path in GOLDEN.glob("*.json"))

Document = dict[str, Any]


def golden(fixture: str) -> Document:
    """The golden document of a fixture."""
    path = GOLDEN / (fixture.replace("/", ".") + ".json")
    document: Document = json.loads(path.read_text(encoding="ascii"))
    return document


def attribute(document: Document, name: str, part_index: int = 0, which: int = 0) -> dict[str, Any]:
    """The attribute of that name, without its name."""
    found = [each for each in document["attributes"]["parts"][part_index] if each["name"] == name]
    return {key: value for key, value in found[which].items() if key != "name"}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def in_base64(data: bytes) -> dict[str, str]:
    return {"encoding": "base64", "data": base64_of(data)}


def codes(document: Document) -> list[str]:
    return [error["code"] for error in document["errors"]]


# ---- Drift -------------------------------------------------------------------------------------------------


def ran(script: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a script."""
    command: list[str | Path] = [sys.executable, script, *arguments]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return found.returncode, found.stdout, found.stderr


def test_nothing_drifts() -> None:
    assert ran(FIXTURES / "golden.py", "--check") == (0, f"{len(NAMES)} documents, no drift\n", "")


def test_a_drift_is_noticed(tmp_path: Path) -> None:
    copy = tmp_path / "fixtures"
    (copy / "golden").mkdir(parents=True)
    for name in ("real", "hand", "damaged"):
        (copy / name).symlink_to(FIXTURES / name)
    (copy / "golden.py").write_bytes((FIXTURES / "golden.py").read_bytes())
    for name in NAMES:
        (copy / "golden" / name).write_bytes((GOLDEN / name).read_bytes())
    changed, missing, strange = copy / "golden" / NAMES[0], copy / "golden" / NAMES[1], copy / "golden" / "other.json"
    changed.write_text(changed.read_text().replace('"severity"', '"gravity"') + " ")
    missing.unlink()
    strange.write_text("{}")
    status, out, _ = ran(copy / "golden.py", "--check")
    assert status == 1
    assert [line.split(":")[0] for line in out.splitlines()] == [changed.name, missing.name, strange.name]
    assert not missing.exists()

    assert ran(copy / "golden.py")[0] == 0
    assert sorted(path.name for path in (copy / "golden").iterdir()) == NAMES
    assert all((copy / "golden" / name).read_bytes() == (GOLDEN / name).read_bytes() for name in NAMES)


def test_the_selection_is_wide() -> None:
    folders = [name.partition(".")[0] for name in NAMES]
    assert {folder: folders.count(folder) >= 10 for folder in set(folders)} == dict.fromkeys(
        ("real", "hand", "damaged"), True
    )


# ---- What every golden document must say -------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_it_depends_on_no_machine(name: str) -> None:
    text = (GOLDEN / name).read_text(encoding="ascii")
    document = json.loads(text)
    folder, stem, _ = name.split(".")
    assert document["file"]["path"] == f"{folder}/{stem}.exr"
    assert document["file"]["mtime"] is None
    assert str(FIXTURES) not in text
    assert text == json.dumps(document, indent=2) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_it_agrees_with_the_bytes(name: str) -> None:
    document = json.loads((GOLDEN / name).read_text(encoding="ascii"))
    file = document["file"]
    data = (FIXTURES / file["path"]).read_bytes()
    assert file["size_bytes"] == len(data)
    if file["header_hash"] is None:
        assert "fatal" in [error["severity"] for error in document["errors"]]
        return
    header = data[: file["header_bytes"]]
    assert header.endswith(b"\0")
    assert file["header_hash"] == hashlib.sha256(header).hexdigest()
    assert rebuild_header(document) == header


@pytest.mark.parametrize("name", NAMES)
def test_it_agrees_with_the_manifest(name: str) -> None:
    document = json.loads((GOLDEN / name).read_text(encoding="ascii"))
    files = json.loads((FIXTURES / "manifest.json").read_text(encoding="ascii"))["files"]
    expect = next(each["expect"] for each in files if each["path"] == document["file"]["path"])
    if "readable" in expect:
        assert (document["file"]["header_hash"] is not None) is expect["readable"]
    if expect.get("readable"):
        assert len(document["parts"]) == expect.get("parts", len(document["parts"]))
    if "table" in expect.get("integrity", {}):
        assert document["integrity"]["status"] == expect["integrity"]["table"]


# ---- Facts -------------------------------------------------------------------------------------------------


def test_minimal() -> None:
    # fixtures/pack.py, `required(4, 3)`: eight attributes of 93, 29, 37, 40, 25, 31, 35 and 32 bytes, counted by
    # hand, between eight bytes of magic and version and one terminator.
    document = golden("hand/minimal")
    assert document["file"] == {
        "path": "hand/minimal.exr",
        "size_bytes": 475,
        "mtime": None,
        "multipart_count": 1,
        "is_deep": False,
        "is_tiled": False,
        "exr_version": 2,
        "flags": {"tiled": False, "long_names": False, "deep": False, "multipart": False},
        "header_bytes": 8 + 93 + 29 + 37 + 40 + 25 + 31 + 35 + 32 + 1,
        "header_hash": hashlib.sha256((FIXTURES / "hand/minimal.exr").read_bytes()[:331]).hexdigest(),
        "frame_number": None,
    }
    window = {"min": {"x": 0, "y": 0}, "max": {"x": 3, "y": 2}}
    assert document["parts"] == [
        {
            "part_index": 0,
            "part_name": None,
            "part_type": "scanlineimage",
            "view_name": None,
            "multi_view": None,
            "data_window": window,
            "display_window": window,
            "width": 4,
            "height": 3,
            "display_width": 4,
            "display_height": 3,
            "data_x_offset": 0,
            "data_y_offset": 0,
            "pixel_aspect_ratio": 1.0,
            "line_order": "increasingY",
            "compression": "none",
            "color_space": None,
            "render_software": None,
            "is_tiled": False,
            "tile_width": None,
            "tile_height": None,
            "tile_depth": None,
            "level_mode": None,
            "rounding_mode": None,
            "is_deep": False,
            "chunk_count": None,
        }
    ]
    assert [(each["name"], each["type"]) for each in document["channels"]] == [(name, "half") for name in "ABGR"]
    assert document["integrity"]["status"] == "complete"
    assert document["integrity"]["parts"][0]["chunk_count"] == 3  # uncompressed: a chunk a line
    assert document["errors"] == []


def test_every_type() -> None:
    # fixtures/for_openexr.py, `every_type`: what the wheel was told to write.
    document = golden("real/every_type")
    expected = {
        "a_box2f": {"min": {"x": -0.5, "y": -0.25}, "max": {"x": 1.5, "y": 2.25}},
        "a_box2i": {"min": {"x": -5, "y": -6}, "max": {"x": 7, "y": 8}},
        "a_bytes": {**in_base64(b"\x00\x01\xfe\xff"), "type_hint": "application/octet-stream"},
        "a_bytes_without_hint": {**in_base64(b"abc"), "type_hint": ""},
        "a_chromaticities": {
            "red": {"x": 0.64, "y": 0.33},
            "green": {"x": 0.3, "y": 0.6},
            "blue": {"x": 0.15, "y": 0.06},
            "white": {"x": 0.3127, "y": 0.329},
        },
        "a_compression": "piz",
        "a_double": 3.141592653589793,
        "a_float": 0.1,
        "a_floatvector": [0.5, -1.25, 3.4028235e38],
        "a_int": -(2**31),
        "a_lineOrder": "decreasingY",
        "a_m33d": [[0.0, 1 / 3, 2 / 3], [1.0, 4 / 3, 5 / 3], [2.0, 7 / 3, 8 / 3]],
        "a_m33f": [[0.0, 0.25, 0.5], [0.75, 1.0, 1.25], [1.5, 1.75, 2.0]],
        "a_opaque": in_base64(b"\xde\xad\xbe\xef"),
        "a_rational": {"numerator": -24000, "denominator": 1001},
        "a_string": "text, with \u00fcml\u00e4uts and \u6728",
        "a_stringvector": ["left", "", "right \u00e9"],
        "a_tiledesc": {"x_size": 32, "y_size": 32, "level_mode": "ripmapLevels", "rounding_mode": "roundUp"},
        "a_v2f": {"x": 0.1, "y": -0.2},
        "a_v2i": {"x": 2**31 - 1, "y": -1},
        "a_v3d": {"x": 1 / 3, "y": -2 / 3, "z": 1e300},
        "a_v3i": {"x": 1, "y": 2, "z": 3},
        "envmap": "cube",
    }
    assert {name: attribute(document, name)["value"] for name in expected} == expected
    key_code = attribute(document, "a_keycode")["value"]
    assert key_code["raw"] == [12, 34, 567890, 1234, 99, 4, 64]
    assert (key_code["prefix"], key_code["perfs_per_count"]) == (567890, 64)
    time_code = attribute(document, "timeCode")["value"]
    assert [time_code[key] for key in ("hours", "minutes", "seconds", "frame")] == [1, 2, 3, 4]
    flags = [time_code[key] for key in ("drop_frame", "color_frame", "field_phase", "bgf0", "bgf1", "bgf2")]
    assert flags == [True, False, True, False, True, False]
    assert time_code["binary_groups"] == [8, 7, 6, 5, 4, 3, 2, 1]
    preview = attribute(document, "preview")["value"]
    pixels = [value for i in range(6) for value in (i * 40, 255 - i * 40, 7, 255)]
    assert preview == {"width": 3, "height": 2, "rgba": base64_of(bytes(pixels))}
    groups = attribute(document, "idManifest")["value"]["groups"]
    assert [group["lifetime"] for group in groups] == ["shot", "stable"]
    assert groups[0]["ids"][1] == {"id": 1001, "text": ["bunny/eye", "glass"]}
    assert document["errors"] == []


def test_special_floats() -> None:
    # fixtures/by_hand_values.py, `odd`: bits as words.
    document = golden("hand/special_floats")

    def special(word: str, bits: bytes) -> dict[str, Any]:
        return {"type": "float", "value": word, "raw": base64_of(bits)}

    assert attribute(document, "float_nan") == special("NaN", struct.pack("<I", 0xFFC00001))
    assert attribute(document, "float_signalling_nan") == special("NaN", struct.pack("<I", 0x7F800001))
    assert attribute(document, "float_infinity") == special("Infinity", struct.pack("<I", 0x7F800000))
    minus_zero = attribute(document, "float_minus_zero")
    assert str(minus_zero["value"]) == "-0.0"
    assert "raw" not in minus_zero
    vector = attribute(document, "v3d")
    assert [str(vector["value"][axis]) for axis in "xyz"] == ["NaN", "-Infinity", "-0.0"]
    assert vector["raw"] == base64_of(struct.pack("<3Q", 0x7FF8000000000001, 0xFFF0000000000000, 0x8000000000000000))
    assert attribute(document, "floatvector")["value"] == [
        "NaN", "NaN", "NaN", "Infinity", "-Infinity", -0.0, 1e-45, "NaN",
    ]  # fmt: skip


def test_text_that_is_not_utf_8() -> None:
    # fixtures/by_hand_values.py, `texts`.
    strings = golden("hand/latin1_strings")
    assert attribute(strings, "owner") == {
        "type": "string",
        "value": "Caf\ufffd Z\ufffdrich",
        "raw": base64_of(b"Caf\xe9 Z\xfcrich"),
    }
    assert attribute(strings, "names")["value"] == ["ok", "caf\ufffd", "\ufffd"]
    assert codes(strings).count("value_text") == 4
    names = golden("hand/latin1_names")
    assert attribute(names, "propri\ufffdtaire") == {
        "type": "string",
        "value": "x",
        "name_raw": base64_of(b"propri\xe9taire"),
    }
    assert attribute(names, "blob") == {
        "type": "typ\ufffd",
        "value": in_base64(b"\1\2\3"),
        "type_raw": base64_of(b"typ\xff"),
    }
    assert [each["name"] for each in names["channels"]] == ["couleur\ufffd.R"]
    nul = golden("hand/nul_in_string")
    assert attribute(nul, "a")["value"] == "x\0y"
    assert attribute(nul, "b")["value"] == "z\0"


def test_numbers_out_of_range() -> None:
    # fixtures/by_hand_values.py: 0xFFFFFFFF as a time code; a fraction by zero.
    document = golden("hand/numbers_out_of_range")
    code = attribute(document, "timeCode")["value"]
    assert (code["time_and_flags"], code["user_data"]) == (0xFFFFFFFF, 0xDEADBEEF)
    assert (code["hours"], code["minutes"], code["frame"]) == (3 * 10 + 15, 7 * 10 + 15, 3 * 10 + 15)
    assert attribute(document, "infinite")["value"] == {"numerator": 1, "denominator": 0}
    assert attribute(document, "huge")["value"] == {"numerator": -(2**31), "denominator": 2**32 - 1}
    assert sorted(set(codes(document))) == ["value_range"]


def test_unknown_codes_keep_their_numbers() -> None:
    document = golden("hand/unknown_enumerations")
    assert attribute(document, "lineOrder") == {"type": "lineOrder", "value": "unknown(7)", "code": 7}
    assert attribute(document, "otherCompression") == {"type": "compression", "value": "unknown(255)", "code": 255}
    tiles = attribute(document, "otherTiles")["value"]
    assert (tiles["level_mode"], tiles["rounding_mode"]) == ("unknown(5)", "unknown(3)")  # mode byte 0x35
    assert document["parts"][0]["line_order"] == "unknown(7)"
    assert golden("hand/compression_99")["parts"][0]["compression"] == "unknown(99)"


def test_of_duplicates_the_first_counts_and_all_stay() -> None:
    document = golden("hand/duplicate_attributes")
    owners = [each for each in document["attributes"]["parts"][0] if each["name"] == "owner"]
    assert [(each["type"], each["value"]) for each in owners] == [("string", "first"), ("string", "second"), ("int", 3)]
    assert document["parts"][0]["width"] == 4  # not the 99 of the second dataWindow
    assert attribute(document, "dataWindow", which=1)["value"]["max"] == {"x": 98, "y": 98}


def test_channels_keep_what_no_field_shows() -> None:
    reserved = attribute(golden("hand/channels_reserved_bytes"), "channels")
    # name, NUL, half, pLinear 0, reserved, samplings 1 and 1, terminator
    assert base64.b64decode(reserved["raw"]) == b"R\0" + struct.pack("<iB3Bii", 1, 0, 1, 2, 255, 1, 1) + b"\0"
    linear = golden("hand/channels_p_linear_7")
    assert [each["p_linear"] for each in linear["channels"]] == [True, True]
    assert b"\x07" in base64.b64decode(attribute(linear, "channels")["raw"])


def test_deep_and_tiled_parts() -> None:
    # fixtures/with_openexr.py: four parts of 6x5 pixels, tiles of 4x4.
    document = golden("real/multipart_mixed")
    keys = ("part_type", "is_tiled", "is_deep", "tile_width", "tile_height", "chunk_count")
    assert [tuple(part[key] for key in keys) for part in document["parts"]] == [
        ("scanlineimage", False, False, None, None, 1),  # zip: 16 lines in a chunk
        ("tiledimage", True, False, 4, 4, 4),
        ("deepscanline", False, True, None, None, 5),  # zips: a line in a chunk
        ("deeptile", True, True, 4, 4, 4),
    ]
    assert document["file"]["flags"] == {"tiled": False, "long_names": False, "deep": True, "multipart": True}
    assert document["file"]["multipart_count"] == 4


def test_derived_fields() -> None:
    arnold = golden("real/renderer_arnold")["parts"][0]
    assert arnold["render_software"] == "Arnold 7.2.4.1 [a1b2c3d4] linux x86_64"  # fixtures/vocabulary.py
    rates = golden("real/rational_rates")
    assert attribute(rates, "captureRate")["value"] == {"numerator": 24000, "denominator": 1001}
    overscan = golden("real/overscan")["parts"][0]  # data window 16x12 at (-4, -3), display window 8x6
    assert (overscan["width"], overscan["height"], overscan["display_width"]) == (16, 12, 8)
    assert (overscan["data_x_offset"], overscan["data_y_offset"]) == (-4, -3)
    stereo = golden("real/stereo_multiview")
    assert stereo["parts"][0]["multi_view"] == ["left", "right"]
    assert {each["layer_name"] for each in stereo["channels"]} == {None, "right"}
    chroma = golden("real/luminance_chroma")["channels"]
    assert [(each["name"], each["x_sampling"]) for each in chroma] == [("BY", 2), ("RY", 2), ("Y", 1)]
    assert golden("real/compression_03_zip")["file"]["frame_number"] == 3


def test_damage() -> None:
    # Every size is that of `hand/minimal`: 331 bytes of header, three offsets, three chunks of 40 bytes.
    assert codes(golden("damaged/empty")) == ["empty_file"]
    assert "this is a PNG" in golden("damaged/not_exr_png")["errors"][0]["message"]
    trailing = golden("damaged/trailing_kilobyte")["integrity"]
    assert (trailing["status"], trailing["trailing_bytes"]) == ("trailing", 1024)
    table = golden("damaged/truncated_in_offset_table")  # 343 of 331 + 24 bytes
    assert (table["integrity"]["status"], table["integrity"]["missing_bytes"]) == ("truncated", 12)
    gap = golden("damaged/gap_middle")["integrity"]
    assert (gap["status"], gap["parts"][0]["missing_chunks"]) == ("incomplete", 1)
    assert gap["parts"][0]["missing_ranges"] == [[1, 1]]
    payload = golden("damaged/truncated_payload")
    assert [each["name"] for each in payload["attributes"]["parts"][0]] == ["channels", "compression"]
    assert codes(payload) == ["truncated_header"]
    inverted = golden("damaged/window_inverted")
    assert inverted["parts"][0]["width"] is None
    assert "window_inverted" in codes(inverted)
    assert "attribute_type" in codes(golden("damaged/wrong_type_dataWindow"))
    assert "attribute_missing" in codes(golden("damaged/missing_channels"))
    assert codes(golden("damaged/version_3")) == ["unsupported_version"]
    assert codes(golden("damaged/size_minus_one")) == ["attribute_size_negative"]
