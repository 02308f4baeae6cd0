"""The document: what it says of a file, how it is asked for, and the way back to the header's bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
from collections import UserDict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from exr_inspector import inspect, rebuild_header
from exr_inspector.config import InspectConfig, inspect_config
from exr_inspector.errors import DocumentError, IncompleteDocument
from exr_inspector.exr.reader import parse_header
from exr_inspector.limits import Limits
from exr_inspector.normalizer import (
    COLOR_SPACE_ATTRIBUTES,
    RENDER_SOFTWARE_ATTRIBUTES,
    frame_number,
    iso_time,
    split_channel_name,
)
from tests.support import fixture_files
from tests.support.exr_bytes import (
    DEEP,
    LONG_NAMES,
    MIPMAP,
    MULTIPART,
    ROUND_UP,
    TILED,
    Attributes,
    PartBytes,
    attribute,
    build,
    deep_tiled_part,
    header,
    minimal_attributes,
    multipart,
    multipart_file,
    pack_bytes,
    pack_channel,
    pack_chlist,
    pack_f32,
    pack_f64,
    pack_i32,
    pack_stringvector,
    pack_tiledesc,
    pack_u8,
    scanline_file,
    scanline_part,
    single_part,
    start,
    tiled_part,
)
from tests.support.fixture_files import FixtureFile

SMALL = scanline_file().data


def codes(document: dict[str, Any]) -> list[str]:
    return [error["code"] for error in document["errors"]]


def with_attributes(**values: tuple[str, bytes]) -> dict[str, Any]:
    """The document of a complete file with more attributes; `__` in a name stands for a slash."""
    part = scanline_part()
    for key, (type_name, payload) in values.items():
        name = key.replace("__", "/")
        part.attributes[name] = attribute(name, type_name, payload)
    return inspect(build(0, [part]).data)


def through_json(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return found


# ---- Its shape ---------------------------------------------------------------------------------------------


def test_the_keys_and_their_order() -> None:
    document = inspect(multipart_file(2).data)
    assert list(document) == [
        "schema_version", "file", "parts", "channels", "attributes", "integrity", "stats", "validation", "errors",
    ]  # fmt: skip
    assert list(document["file"]) == [
        "path", "size_bytes", "mtime", "multipart_count", "is_deep", "is_tiled", "exr_version", "flags",
        "header_bytes", "header_hash", "frame_number",
    ]  # fmt: skip
    assert list(document["file"]["flags"]) == ["tiled", "long_names", "deep", "multipart"]
    assert list(document["parts"][1]) == [
        "part_index", "part_name", "part_type", "view_name", "multi_view", "data_window", "display_window",
        "width", "height", "display_width", "display_height", "data_x_offset", "data_y_offset",
        "pixel_aspect_ratio", "line_order", "compression", "color_space", "render_software", "is_tiled",
        "tile_width", "tile_height", "tile_depth", "level_mode", "rounding_mode", "is_deep", "chunk_count",
    ]  # fmt: skip
    assert list(document["channels"][0]) == [
        "part_index", "name", "layer_name", "component_name", "type", "x_sampling", "y_sampling", "p_linear",
    ]  # fmt: skip
    assert list(document["integrity"]) == ["status", "checked", "missing_bytes", "trailing_bytes", "parts"]
    assert document["schema_version"] == 1
    assert (document["stats"], document["validation"], document["errors"]) == ({}, {}, [])
    bad = inspect(b"")
    assert list(bad) == list(document)
    assert list(bad["file"]) == list(document["file"])
    assert list(bad["errors"][0]) == [
        "code", "severity", "retryable", "message", "part_index", "attribute", "offset",
    ]  # fmt: skip


def test_the_file() -> None:
    built = multipart_file(3)
    file = inspect(built.data)["file"]
    assert file == {
        "path": None,
        "size_bytes": len(built.data),
        "mtime": None,
        "multipart_count": 3,
        "is_deep": False,
        "is_tiled": False,
        "exr_version": 2,
        "flags": {"tiled": False, "long_names": False, "deep": False, "multipart": True},
        "header_bytes": built.header_bytes,
        "header_hash": hashlib.sha256(built.header_data).hexdigest(),
        "frame_number": None,
    }
    mixed = multipart([scanline_part(name="a"), deep_tiled_part(name="b")], DEEP)
    file = inspect(mixed.data)["file"]
    assert (file["is_deep"], file["is_tiled"]) == (True, True)


def test_a_part() -> None:
    attributes = minimal_attributes(
        width=20,
        height=10,
        origin=(-5, 3),
        compression=3,
        name="left",
        part_type="tiledimage",
        tiles=pack_tiledesc(8, 4, MIPMAP, ROUND_UP),
        chunk_count=99,
    )
    attributes["displayWindow"] = attribute("displayWindow", "box2i", pack_i32(1, 1, 16, 9))
    attributes["lineOrder"] = attribute("lineOrder", "lineOrder", pack_u8(2))
    attributes["pixelAspectRatio"] = attribute("pixelAspectRatio", "float", pack_f32(1.1))
    attributes["view"] = attribute("view", "string", b"right")
    attributes["multiView"] = attribute("multiView", "stringvector", pack_stringvector("left", "right"))
    (part,) = inspect(multipart([PartBytes(attributes)]).data)["parts"]
    assert part == {
        "part_index": 0,
        "part_name": "left",
        "part_type": "tiledimage",
        "view_name": "right",
        "multi_view": ["left", "right"],
        "data_window": {"min": {"x": -5, "y": 3}, "max": {"x": 14, "y": 12}},
        "display_window": {"min": {"x": 1, "y": 1}, "max": {"x": 16, "y": 9}},
        "width": 20,
        "height": 10,
        "display_width": 16,
        "display_height": 9,
        "data_x_offset": -6,
        "data_y_offset": 2,
        "pixel_aspect_ratio": 1.1,
        "line_order": "randomY",
        "compression": "zip",
        "color_space": None,
        "render_software": None,
        "is_tiled": True,
        "tile_width": 8,
        "tile_height": 4,
        "tile_depth": 1,
        "level_mode": "mipmapLevels",
        "rounding_mode": "roundUp",
        "is_deep": False,
        "chunk_count": 99,
    }


def test_a_part_without_anything() -> None:
    (part,) = inspect(start() + b"\0")["parts"]
    assert part.pop("part_type") == "scanlineimage"
    assert (part.pop("part_index"), part.pop("is_tiled"), part.pop("is_deep")) == (0, False, False)
    assert set(part.values()) == {None}


@pytest.mark.parametrize("name", ["dataWindow", "displayWindow"])
def test_a_window_that_is_inverted_has_no_size(name: str) -> None:
    attributes = minimal_attributes()
    attributes[name] = attribute(name, "box2i", pack_i32(0, 0, -2, 5))
    document = inspect(single_part(attributes).data)
    (part,) = document["parts"]
    assert part["data_window" if name == "dataWindow" else "display_window"]["max"] == {"x": -2, "y": 5}
    assert (part["width"], part["height"]) == ((None, None) if name == "dataWindow" else (4, 4))
    assert "window_inverted" in codes(document)
    # A window of one pixel is none; one of no pixel is.
    for maximum, is_inverted in ((0, False), (-1, True)):
        attributes[name] = attribute(name, "box2i", pack_i32(0, 0, maximum, 0))
        assert ("window_inverted" in codes(inspect(single_part(attributes).data))) is is_inverted


FLAT = {"scan lines": (0, "scanlineimage"), "tiles": (TILED, "tiledimage")}


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("says", [None, "scanlineimage", "tiledimage", "deepscanline", "nonsense"])
def test_in_flat_single_part_files_the_flags_decide(name: str, says: str | None) -> None:
    flags, part_type = FLAT[name]
    data = single_part(minimal_attributes(part_type=says, tiles=pack_tiledesc(2, 2)), flags=flags).data
    document = inspect(data)
    (part,) = document["parts"]
    assert part["part_type"] == part_type
    assert (part["is_tiled"], part["is_deep"]) == (bool(flags), False)
    assert "part_type_unknown" not in codes(document)


@pytest.mark.parametrize("flags", [DEEP, MULTIPART, MULTIPART | DEEP])
@pytest.mark.parametrize("says", [None, "scanlineimage", "tiledimage", "deepscanline", "deeptile", "nonsense"])
def test_in_other_files_the_type_decides(flags: int, says: str | None) -> None:
    document = inspect(build(flags, [PartBytes(minimal_attributes(part_type=says, name="a"))]).data)
    (part,) = document["parts"]
    assert part["part_type"] == says
    assert part["is_tiled"] is (says in ("tiledimage", "deeptile"))
    assert part["is_deep"] is (says in ("deepscanline", "deeptile"))
    assert ("part_type_unknown" in codes(document)) is (says == "nonsense")


def test_channels_of_all_parts() -> None:
    channels = [
        pack_channel("diffuse.R", 1),
        pack_channel("a.b.c.Z", 2, x_sampling=2, y_sampling=3),
        pack_channel("id", 0, p_linear=1),
        pack_channel("B", 9),
    ]
    parts = [PartBytes(minimal_attributes(name=name, channels=channels[index:])) for index, name in enumerate("ab")]
    found = inspect(multipart(parts).data)["channels"]
    assert [(row["part_index"], row["name"]) for row in found] == [
        (0, "diffuse.R"), (0, "a.b.c.Z"), (0, "id"), (0, "B"), (1, "a.b.c.Z"), (1, "id"), (1, "B"),
    ]  # fmt: skip
    assert found[1] == {
        "part_index": 0,
        "name": "a.b.c.Z",
        "layer_name": "a.b.c",
        "component_name": "Z",
        "type": "float",
        "x_sampling": 2,
        "y_sampling": 3,
        "p_linear": False,
    }
    assert [row["type"] for row in found[:4]] == ["half", "float", "uint", "unknown(9)"]
    assert [row["p_linear"] for row in found[:4]] == [False, False, True, False]


CHANNEL_NAMES = {
    "R": (None, "R"),
    "diffuse.R": ("diffuse", "R"),
    "a.b.c": ("a.b", "c"),
    ".R": ("", "R"),
    "R.": ("R", ""),
    ".": ("", ""),
    "..": (".", ""),
    "a b.ü": ("a b", "ü"),
}


@pytest.mark.parametrize("name", CHANNEL_NAMES)
def test_layers_and_components(name: str) -> None:
    assert split_channel_name(name) == CHANNEL_NAMES[name]
    (row,) = inspect(single_part(minimal_attributes(channels=[pack_channel(name)])).data)["channels"]
    assert (row["layer_name"], row["component_name"]) == CHANNEL_NAMES[name]


def test_of_duplicates_the_first_feeds_parts_and_channels() -> None:
    attributes = list(minimal_attributes(compression=3).values())
    attributes += [
        attribute("compression", "compression", pack_u8(4)),
        attribute("channels", "chlist", pack_chlist(pack_channel("Z"))),
        attribute("dataWindow", "box2i", pack_i32(0, 0, 99, 99)),
    ]
    document = inspect(start() + header(attributes))
    (part,) = document["parts"]
    assert (part["compression"], part["width"]) == ("zip", 4)
    assert [row["name"] for row in document["channels"]] == ["B", "G", "R"]
    names = [entry["name"] for entry in document["attributes"]["parts"][0]]
    assert [names.count(name) for name in ("compression", "channels", "dataWindow", "lineOrder")] == [2, 2, 2, 1]
    assert codes(document).count("attribute_duplicate") == 3


# ---- Derived fields ----------------------------------------------------------------------------------------

# docs/format.md, "Derived fields", in order.
COLOR_SPACES = ["colorInteropID", "oiio:ColorSpace", "colorspace", "colorSpace", "ColorSpace", "nuke/colorspace"]
SOFTWARE = {
    "arnold/version": "Arnold 1",
    "vrayInfo/vrayversion": "V-Ray 1",
    "rs/version": "Redshift 1",
    "renderManVersion": "RenderMan 1",
    "software": "1",
    "Software": "1",
    "writer": "1",
    "nuke/version": "Nuke 1",
}


def derived(field: str, attributes: Attributes) -> Any:
    return inspect(single_part({**attributes, **minimal_attributes()}).data)["parts"][0][field]


def test_the_tables_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "format.md").read_text(encoding="utf-8")
    (color_row,) = (line for line in page.splitlines() if line.startswith("| `color_space`"))
    (software_row,) = (line for line in page.splitlines() if line.startswith("| `render_software`"))
    assert color_row.split("`")[3::2] == COLOR_SPACES == [name for name, _ in COLOR_SPACE_ATTRIBUTES]
    assert software_row.split("`")[3::2] == list(SOFTWARE) == [name for name, _ in RENDER_SOFTWARE_ATTRIBUTES]


@pytest.mark.parametrize("name", COLOR_SPACES)
def test_color_space_by_itself(name: str) -> None:
    assert derived("color_space", {name: attribute(name, "string", b"lin_ap1")}) == "lin_ap1"


@pytest.mark.parametrize("name", SOFTWARE)
def test_render_software_by_itself(name: str) -> None:
    assert derived("render_software", {name: attribute(name, "string", b"1")}) == SOFTWARE[name]


@pytest.mark.parametrize(("field", "names"), [("color_space", COLOR_SPACES), ("render_software", list(SOFTWARE))])
def test_the_first_of_the_table_wins(field: str, names: list[str]) -> None:
    for first, second in combinations(names, 2):
        alone = derived(field, {first: attribute(first, "string", b"1")})
        # Whatever their order in the file.
        both = {second: attribute(second, "string", b"2"), first: attribute(first, "string", b"1")}
        assert derived(field, both) == alone
        # An empty one, and one that is no string, does not count.
        for type_name, payload in (("string", b""), ("int", pack_i32(7))):
            both[first] = attribute(first, type_name, payload)
            assert derived(field, both) == derived(field, {second: attribute(second, "string", b"2")})


def test_text_that_is_not_utf8_feeds_the_fields_too() -> None:
    document = with_attributes(software=("string", b"caf\xe9"))
    assert document["parts"][0]["render_software"] == "caf\ufffd"


FRAME_NUMBERS: dict[str | None, int | None] = {
    None: None,
    "": None,
    "beauty.exr": None,
    "beauty.0101.exr": 101,
    "beauty_v003.0101.exr": 101,
    "beauty_v003.exr": 3,
    "beauty.-0010.exr": -10,
    "beauty.+10.exr": 10,
    "shot-10.exr": -10,  # the sign is part of it: hyphens are signs
    "1001": 1001,
    "1001.exr": 1001,
    "beauty.1001": 1001,  # the extension is the number
    "/shows/s01/sh0100/beauty.exr": None,  # directories do not count
    "/shows/v12/beauty.7.exr": 7,
    "C:\\shows\\v12\\beauty.exr": None,
    "beauty.0101.final.exr": 101,
    "beauty.0101.exr.tmp": 101,
    "a1b2c3.exr": 3,
    "beauty.0.exr": 0,
    "beauty.exr2": None,  # an extension, not a number
    "frame.9007199254740992.exr": 2**53,
    "frame.9007199254740993.exr": None,
    "frame.-9007199254740993.exr": None,
    "frame." + "9" * 30 + ".exr": None,
    "frame.٣.exr": None,  # digits are ASCII
    "s3://bucket/a/b.0042.exr": 42,
    "frame.12\n.exr": 12,
}


@pytest.mark.parametrize("path", FRAME_NUMBERS, ids=repr)
def test_frame_numbers(path: str | None) -> None:
    assert frame_number(path) == FRAME_NUMBERS[path]


# ---- Times -------------------------------------------------------------------------------------------------

SECOND = 10**9
TIMES = {
    0: "1970-01-01T00:00:00.000000Z",
    1: "1970-01-01T00:00:00.000000Z",
    999: "1970-01-01T00:00:00.000000Z",
    1000: "1970-01-01T00:00:00.000001Z",
    -1: "1969-12-31T23:59:59.999999Z",
    -SECOND: "1969-12-31T23:59:59.000000Z",
    2**31 * SECOND: "2038-01-19T03:14:08.000000Z",
    253402300799 * SECOND + 999_999_999: "9999-12-31T23:59:59.999999Z",
    253402300800 * SECOND: None,
    -62135596800 * SECOND: "0001-01-01T00:00:00.000000Z",
    -62135596800 * SECOND - 1: None,
    2**63 - 1: "2262-04-11T23:47:16.854775Z",
    10**30: None,
    -(10**30): None,
    None: None,
}


@pytest.mark.parametrize("time_ns", TIMES)
def test_times(time_ns: int | None) -> None:
    assert iso_time(time_ns) == TIMES[time_ns]


@pytest.mark.parametrize("seconds", [0, -1, -(2**31), 2**31, 2**33, 253402300799])
def test_times_of_files(tmp_path: Path, seconds: int) -> None:
    path = tmp_path / "a.exr"
    path.write_bytes(SMALL)
    os.utime(path, ns=(0, seconds * SECOND))
    kept = path.stat().st_mtime_ns // SECOND
    shown = inspect(path)["file"]["mtime"]
    assert shown == iso_time(kept * SECOND)
    if kept == seconds:  # not every file system has all years
        assert shown == iso_time(seconds * SECOND)
        assert shown is not None


# ---- Settings ----------------------------------------------------------------------------------------------

TRUE = [True, 1, 1.0, "true", "True", " TRUE ", "1", "yes", "Yes", "on"]
FALSE = [False, 0, 0.0, "false", "FALSE", "0", "no", "off", " off\n"]
NO_BOOLEAN: list[Any] = [None, 2, -1, 0.5, "", "maybe", "2", [], {}, [True], b"true", float("nan"), 10**400]
SWITCHES = {
    "enable_meta": "meta",
    "enable_stats": "stats",
    "enable_deep_stats": "deep_stats",
    "enable_validate": "validate",
}


@pytest.mark.parametrize("name", SWITCHES)
def test_switches(name: str) -> None:
    for key in (name, SWITCHES[name]):
        for values, expected in ((TRUE, True), (FALSE, False)):
            for value in values:
                settings, problems = inspect_config({key: value})
                assert getattr(settings, name) is expected
                assert [problem.code for problem in problems if problem.code == "config_invalid"] == []
        for value in NO_BOOLEAN:
            settings, (problem,) = inspect_config({key: value})
            assert settings == InspectConfig()
            assert problem.code == "config_invalid"
            assert problem.message.startswith(f"{key} is ")
            assert problem.message.endswith("wanted true or false")


OTHERS: list[tuple[str, Any, Any]] = [
    ("integrity", "none", "none"),
    ("integrity", "table", "table"),
    ("integrity", "chunks", "chunks"),
    ("integrity", "Chunks", None),
    ("integrity", "", None),
    ("integrity", None, None),
    ("integrity", ["table"], None),
    ("integrity", {}, None),
    ("schema_version", 1, 1),
    ("schema_version", "1", 1),
    ("schema_version", 2, None),
    ("schema_version", "1.0", None),
    ("schema_version", True, None),
    ("schema_version", None, None),
    ("schema_version", 10**5000, None),
    ("policy_path", "studio.json", "studio.json"),
    ("policy", "studio.json", "studio.json"),
    ("policy_path", 7, None),
    ("policy_path", ["a"], None),
]


@pytest.mark.parametrize(("key", "value", "expected"), OTHERS, ids=range(len(OTHERS)))
def test_other_settings(key: str, value: Any, expected: Any) -> None:
    settings, problems = inspect_config({key: value})
    name = "policy_path" if key == "policy" else key
    if expected is None:
        assert settings == InspectConfig()
        assert [problem.code for problem in problems] == ["config_invalid"]
    else:
        assert settings == InspectConfig()._replace(**{name: expected})
        assert problems == []


def test_no_policy_is_no_policy() -> None:
    for value in (None, ""):
        assert inspect_config({"policy_path": value}) == (InspectConfig(), [])


def test_the_default_settings() -> None:
    assert InspectConfig() == (True, False, False, False, None, 1, "table", False)
    for nothing in (None, {}, InspectConfig()):
        assert inspect_config(nothing) == (InspectConfig(), [])


@pytest.mark.parametrize("keys", [("meta", "enable_meta"), ("enable_meta", "meta")])
def test_the_long_key_wins(keys: tuple[str, str]) -> None:
    values = {"meta": True, "enable_meta": False}
    assert inspect_config({key: values[key] for key in keys})[0].enable_meta is False


def test_unknown_settings_are_left_alone() -> None:
    event = {"bucket": "b", "key": "k", "vastdb_endpoint": "x", "": 1, 5: 6, None: None, "ENABLE_META": False}
    assert inspect_config(event) == (InspectConfig(), [])  # type: ignore[arg-type]


def test_any_mapping_will_do() -> None:
    assert inspect_config(UserDict(integrity="none"))[0].integrity == "none"
    settings, problems = inspect_config(InspectConfig(integrity="all", enable_meta="no"))  # type: ignore[arg-type]
    assert (settings.integrity, settings.enable_meta) == ("table", False)
    assert [problem.code for problem in problems] == ["config_invalid"]


@pytest.mark.parametrize("config", [1, "table", [], ["integrity"], True, ...], ids=repr)
def test_settings_of_a_wrong_type(config: Any) -> None:
    with pytest.raises(TypeError, match="mapping"):
        inspect(SMALL, config=config)


def test_a_bad_setting_is_in_the_document_and_the_rest_is_read() -> None:
    document = inspect(SMALL, config={"integrity": "\x1b[31m" + "x" * 500, "meta": "perhaps"})
    assert codes(document) == ["config_invalid", "config_invalid"]
    assert document["integrity"]["status"] == "complete"
    assert "attributes" in document
    for error in document["errors"]:
        assert error["severity"] == "error"
        assert error["message"].isprintable()
        assert len(error["message"]) < 200


def test_a_setting_without_text() -> None:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    for value in (10**5000, nested):
        document = inspect(SMALL, config={"schema_version": value})
        assert codes(document) == ["config_invalid"]
        assert f"type {type(value).__name__}" in document["errors"][0]["message"]


def test_without_meta_there_are_no_attributes() -> None:
    whole = inspect(SMALL)
    for value in (False, "no", 0):
        document = inspect(SMALL, config={"enable_meta": value})
        assert document == {key: field for key, field in whole.items() if key != "attributes"}
    assert "attributes" not in inspect(b"", config={"meta": False})


@pytest.mark.parametrize("key", ["enable_stats", "stats", "enable_deep_stats", "deep_stats"])
def test_statistics_are_not_to_be_had(key: str) -> None:
    document = inspect(SMALL, config={key: True})
    (error,) = document["errors"]
    assert (error["code"], error["severity"]) == ("feature_unavailable", "error")
    assert "headers only" in error["message"]
    assert document["stats"] == {}
    assert codes(inspect(b"", config={key: True})) == ["feature_unavailable", "empty_file"]
    assert codes(inspect(SMALL, config={key: False})) == []


def test_wrong_limits_are_not_read_over() -> None:
    with pytest.raises((TypeError, AttributeError)):
        inspect(SMALL, limits={"max_parts": 1})  # type: ignore[arg-type]


# ---- Content never raises ----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", fixture_files.params())
def test_fixtures_are_read_as_the_manifest_says(file: FixtureFile) -> None:
    document = inspect(file.path)
    expect = file.expect
    text = json.dumps(document, allow_nan=False)
    assert text.isascii()
    is_readable = document["file"]["header_hash"] is not None
    if "readable" in expect:
        assert is_readable is expect["readable"]
    fatal = [error for error in document["errors"] if error["severity"] == "fatal"]
    assert len(fatal) == (0 if is_readable else 1)
    if "parts" in expect:
        assert document["file"]["multipart_count"] == len(document["parts"]) == expect["parts"]
    if "attributes" in expect:
        assert sum(map(len, document["attributes"]["parts"])) == expect["attributes"]
    if "channels" in expect:
        assert len(document["channels"]) == expect["channels"]
    if "compression" in expect:
        (entry,) = (entry for entry in document["attributes"]["parts"][0] if entry["name"] == "compression")
        assert entry["code"] == expect["compression"]
    told = {(error["part_index"], error["attribute"]) for error in document["errors"] if error["code"][:6] == "value_"}
    for bad in expect.get("bad_values", ()):
        assert (bad["part_index"], bad["attribute"]) in told
    missing = {error["attribute"] for error in document["errors"] if error["code"] == "attribute_missing"}
    assert set(expect.get("missing", ())) <= missing
    wrong = [error["attribute"] for error in document["errors"] if error["code"] == "attribute_type"]
    assert wrong == expect.get("wrong_types", wrong)
    assert ("flags_illegal" in codes(document)) is ("illegal_flags" in expect)


REASONS = {
    "empty": {"empty_file"},
    "not_exr": {"not_exr"},
    "truncated": {"truncated_header"},
    "unsupported_version": {"unsupported_version"},
    "unsupported_flags": {"unsupported_flags"},
    "bad_size": {"attribute_size_negative"},
    "name": {"limit_name_bytes"},
}


@pytest.mark.parametrize("file", fixture_files.params(lambda file: "reason" in file.expect))
def test_fixtures_fail_for_the_reason_in_the_manifest(file: FixtureFile) -> None:
    document = inspect(file.path)
    fatal = {error["code"] for error in document["errors"] if error["severity"] == "fatal"}
    assert fatal == REASONS[file.expect["reason"]]
    if "looks_like" in file.expect:
        assert file.expect["looks_like"].lower() in document["errors"][-1]["message"].lower()


def test_any_bytes_give_a_document() -> None:
    random_bytes = random.Random("garbage")  # not for secrets
    starts = [b"", start(), start(MULTIPART), start(TILED | LONG_NAMES), SMALL[:200]]
    for number in range(300):
        data = starts[number % len(starts)] + random_bytes.randbytes(random_bytes.randrange(200))
        for integrity in ("none", "table", "chunks"):
            document = inspect(data, config={"integrity": integrity, "validate": True})
            json.dumps(document, allow_nan=False)
            if document["file"]["header_hash"] is not None:
                assert data.startswith(rebuild_header(through_json(document)))


def test_what_was_read_before_the_end_is_in_the_document() -> None:
    built = multipart_file(3)
    document = inspect(built.data[: built.header_bytes - 20])
    assert document["file"]["multipart_count"] == 3
    assert (document["file"]["header_hash"], document["file"]["header_bytes"]) == (None, None)
    assert [part["part_name"] for part in document["parts"]] == ["part0", "part1", "part2"]
    assert document["integrity"]["status"] == "truncated"
    assert document["file"]["flags"]["multipart"] is True
    assert codes(document) == ["truncated_header"]  # what is missing is not held against the file


# ---- Determinism -------------------------------------------------------------------------------------------


def test_the_same_text_each_time() -> None:
    for file in fixture_files.FILES:
        first, second = (json.dumps(inspect(file.path, config={"integrity": "chunks"})) for _ in range(2))
        assert first == second, file.name


_HASH_ALL = """
import hashlib, json, sys, exr_inspector
digest = hashlib.sha256()
for path in sorted(sys.stdin.read().split("\\n")):
    document = exr_inspector.inspect(path, config={"integrity": "chunks", "validate": True})
    digest.update(json.dumps(document).encode())
print(digest.hexdigest())
"""


def test_the_same_text_in_every_process() -> None:
    paths = "\n".join(str(file.path) for file in fixture_files.FILES if file.path.stat().st_size < 10_000)
    digests = set()
    for seed in ("0", "1", "4242"):
        run = subprocess.run(
            [sys.executable, "-c", _HASH_ALL],
            input=paths,
            text=True,
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[1],
        )
        digests.add(run.stdout)
    assert len(digests) == 1
    assert len(digests.pop()) == 65


# ---- And back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", fixture_files.params(lambda file: file.expect.get("readable") is True))
def test_headers_come_back_from_their_documents(file: FixtureFile) -> None:
    data = file.data
    document = through_json(inspect(data))
    assert rebuild_header(document) == data[: document["file"]["header_bytes"]]


NOT_UTF8 = b"\xff\xfe"
RAW: dict[str, tuple[bytes, dict[str, bytes]]] = {
    "NaN with a payload": (attribute("v", "float", bytes.fromhex("010080ff")), {"raw": bytes.fromhex("010080ff")}),
    "a double NaN": (attribute("v", "double", b"\1" + b"\xff" * 7), {"raw": b"\1" + b"\xff" * 7}),
    "infinity": (attribute("v", "float", pack_f32(float("inf"))), {"raw": pack_f32(float("inf"))}),
    "infinity in a double": (attribute("v", "double", pack_f64(float("-inf"))), {"raw": pack_f64(float("-inf"))}),
    "text": (attribute("v", "string", NOT_UTF8), {"raw": NOT_UTF8}),
    "one text of several": (
        attribute("v", "stringvector", pack_stringvector("a", NOT_UTF8)),
        {"raw": pack_stringvector("a", NOT_UTF8)},
    ),
    "a type hint": (attribute("v", "bytes", pack_bytes(NOT_UTF8, b"x")), {"raw": pack_bytes(NOT_UTF8, b"x")}),
    "a channel's name": (
        attribute("v", "chlist", pack_chlist(pack_channel(NOT_UTF8))),
        {"raw": pack_chlist(pack_channel(NOT_UTF8))},
    ),
    "reserved bytes": (
        attribute("v", "chlist", pack_chlist(pack_channel("A"), pack_channel("R", reserved=b"\0\1\0"))),
        {"raw": pack_chlist(pack_channel("A"), pack_channel("R", reserved=b"\0\1\0"))},
    ),
    "a pLinear of 7": (
        attribute("v", "chlist", pack_chlist(pack_channel("R", p_linear=7))),
        {"raw": pack_chlist(pack_channel("R", p_linear=7))},
    ),
    "reserved bytes behind a real U+FFFD": (
        attribute("v", "chlist", pack_chlist(pack_channel("\ufffd"), pack_channel("R", reserved=b"\0\1\0"))),
        {"raw": pack_chlist(pack_channel("\ufffd"), pack_channel("R", reserved=b"\0\1\0"))},
    ),
    "trailing bytes": (attribute("v", "chlist", b"\0\0"), {"raw": b"\0\0"}),
    "missing bytes": (attribute("v", "floatvector", pack_f32(1) + b"!"), {"raw": pack_f32(1) + b"!"}),
    "a cut collection": (attribute("v", "stringvector", pack_i32(0, 9)), {"raw": pack_i32(0, 9)}),
    "no terminator": (attribute("v", "chlist", pack_channel("R")), {"raw": pack_channel("R")}),
    "another terminator": (attribute("v", "chlist", pack_channel("R") + b"\1"), {"raw": pack_channel("R") + b"\1"}),
    "a name": (attribute(NOT_UTF8, "int", pack_i32(1)), {"name_raw": NOT_UTF8}),
    "a type": (attribute("v", NOT_UTF8, b"x"), {"type_raw": NOT_UTF8}),
    "name, type and text": (attribute(b"\xe9", b"t\xe9", b"x"), {"name_raw": b"\xe9", "type_raw": b"t\xe9"}),
    "a name and its text": (attribute(b"\xe9", "string", b"\xe8"), {"name_raw": b"\xe9", "raw": b"\xe8"}),
    "a real U+FFFD needs nothing": (attribute("\ufffd", "\ufffd", b"x"), {}),
    "nor does it in a text": (attribute("v", "string", "\ufffd".encode()), {}),
    "nor in a text of several": (attribute("v", "stringvector", pack_stringvector("\ufffd", "")), {}),
    "nor in a hint": (attribute("v", "bytes", pack_bytes("\ufffd", b"")), {}),
    "nor does a negative zero": (attribute("v", "float", pack_f32(-0.0)), {}),
    "nor do wild codes": (attribute("v", "compression", b"\xfe"), {}),
    "nor do wild pixel types": (attribute("v", "chlist", pack_chlist(pack_channel("R", -5))), {}),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_bytes_stand_where_the_json_does_not_give_them_back(name: str) -> None:
    data, expected = RAW[name]
    whole = start() + header([data])
    document = through_json(inspect(whole))
    ((entry,),) = document["attributes"]["parts"]
    found = {
        key: base64.b64decode(entry[key], validate=True) for key in ("raw", "name_raw", "type_raw") if key in entry
    }
    assert found == expected
    assert rebuild_header(document) == whole


def test_a_collection_beyond_a_limit_is_its_bytes() -> None:
    payload = pack_f32(*range(9))
    document = inspect(start() + header([attribute("v", "floatvector", payload)]), limits=Limits(max_elements=8))
    ((entry,),) = document["attributes"]["parts"]
    assert entry["value"] == {"encoding": "base64", "data": base64.b64encode(payload).decode()}
    assert "raw" not in entry
    assert rebuild_header(through_json(document)) == start() + header([attribute("v", "floatvector", payload)])


@pytest.mark.parametrize("flags", range(0, 0x2000, 0x200), ids=hex)
def test_flags_come_back(flags: int) -> None:
    data = start(flags) + header([attribute("a", "int", pack_i32(1))]) + (b"\0" if flags & MULTIPART else b"")
    assert rebuild_header(through_json(inspect(data))) == data


def test_documents_that_are_not_whole() -> None:
    header_bytes = scanline_file().header_bytes
    for document, words in (
        (inspect(SMALL[: header_bytes - 1]), "could not be walked"),
        (inspect(b""), "could not be walked"),
        (inspect(SMALL, config={"meta": False}), "no attributes"),
    ):
        with pytest.raises(IncompleteDocument, match=words):
            rebuild_header(through_json(document))
    document = with_attributes(owner=("string", b"someone"))
    entry = next(entry for entry in document["attributes"]["parts"][0] if entry["name"] == "owner")
    entry["value"] = {"cut_bytes": 7, "sha256": hashlib.sha256(b"someone").hexdigest(), "start": "some"}
    with pytest.raises(IncompleteDocument, match="'owner' was cut"):
        rebuild_header(document)


def _set(*keys: Any) -> Callable[[Any, Any], None]:
    def change(document: Any, value: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        if value is KeyError:
            del document[keys[-1]]
        else:
            document[keys[-1]] = value

    return change


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


ENTRY = ("attributes", "parts", 0, 0)
CHANGES: list[tuple[tuple[Any, ...], Any]] = [
    (("file",), KeyError),
    (("file",), None),
    (("file", "flags"), KeyError),
    (("file", "flags"), None),
    (("file", "flags", "deep"), KeyError),
    (("file", "flags", "deep"), True),
    (("file", "exr_version"), KeyError),
    (("file", "exr_version"), None),
    (("file", "exr_version"), "2"),
    (("file", "exr_version"), 2.0),
    (("file", "exr_version"), -1),
    (("file", "exr_version"), 2**32),
    (("file", "exr_version"), 3),
    (("file", "header_hash"), "0" * 64),
    (("attributes",), None),
    (("attributes", "parts"), KeyError),
    (("attributes", "parts"), 5),
    (("attributes", "parts"), []),
    (("attributes", "parts", 0), None),
    (ENTRY, None),
    (ENTRY, "text"),
    ((*ENTRY, "name"), KeyError),
    ((*ENTRY, "name"), 5),
    ((*ENTRY, "name"), "other"),
    ((*ENTRY, "name"), "\ud800"),
    ((*ENTRY, "type"), "no such type"),
    ((*ENTRY, "type"), ["chlist"]),
    ((*ENTRY, "type"), "idmanifest"),
    ((*ENTRY, "type"), "box2i"),
    ((*ENTRY, "value"), KeyError),
    ((*ENTRY, "value"), None),
    ((*ENTRY, "value"), "text"),
    ((*ENTRY, "value"), {"encoding": "base64", "data": "***"}),
    ((*ENTRY, "value"), {"encoding": "base64", "data": 5}),
    ((*ENTRY, "value", 0, "type"), "quarter"),
    ((*ENTRY, "value", 0, "type"), "unknown(x)"),
    ((*ENTRY, "value", 0, "x_sampling"), 2**31),
    ((*ENTRY, "value", 0, "x_sampling"), "1"),
    ((*ENTRY, "value", 0, "p_linear"), 256),
    ((*ENTRY, "raw"), 7),
    ((*ENTRY, "raw"), "é"),
    ((*ENTRY, "raw"), "AAA"),
    ((*ENTRY, "name_raw"), None),
    (("attributes", "parts", 0, 2, "value", "min", "x"), "NaN"),
    (("attributes", "parts", 0, 2, "value", "min", "x"), 0.5),
    (("attributes", "parts", 0, 2, "value"), _nested(2000)),
    (("attributes", "parts", 0, 5, "value"), 1e300),
    (("attributes", "parts", 0, 5, "value"), "one"),
    (("attributes", "parts", 0, 1, "value"), "unknown(256)"),
    (("attributes", "parts", 0, 1, "value"), "rle"),
]


@pytest.mark.parametrize(("keys", "value"), CHANGES, ids=range(len(CHANGES)))
def test_documents_that_were_changed(keys: tuple[Any, ...], value: Any) -> None:
    document = through_json(inspect(SMALL))
    _set(*keys)(document, value)
    with pytest.raises(DocumentError):
        rebuild_header(document)


@pytest.mark.parametrize("document", [None, 5, "text", [], {}, [1], {"file": {}}], ids=repr)
def test_what_is_no_document(document: Any) -> None:
    with pytest.raises(DocumentError) as caught:
        rebuild_header(document)
    assert isinstance(caught.value, ValueError)
    assert caught.value.code == "document_invalid"


def test_rebuilding_needs_only_the_document() -> None:
    """Its derived fields may be gone, and what is new in a later schema does no harm."""
    document = through_json(inspect(SMALL))
    for key in ("parts", "channels", "integrity", "errors", "stats", "validation"):
        del document[key]
    document["new"] = 1
    assert rebuild_header(document) == parse_header(SMALL).data


def test_tiles_and_levels_come_back() -> None:
    built = build(TILED, [tiled_part(9, 9, (4, 4), mode=MIPMAP, rounding=ROUND_UP)])
    assert rebuild_header(through_json(inspect(built.data))) == built.header_data


def test_numbers_keep_their_bits_through_json() -> None:
    random_bits = random.Random("bits")  # not for secrets
    floats = struct.pack("<500I", *(random_bits.randrange(2**32) for _ in range(500)))
    doubles = [struct.pack("<Q", random_bits.randrange(2**64)) for _ in range(100)]
    data = start() + header(
        [attribute("f", "floatvector", floats), *(attribute("d", "double", payload) for payload in doubles)]
    )
    assert rebuild_header(through_json(inspect(data))) == data
