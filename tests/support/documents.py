"""Documents for the catalog's tests: one written by hand, and strategies for all that a payload may be."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]

MINIMAL: Document = {"file": {}, "channels": [], "parts": []}

_BOX = {"min": {"x": -8, "y": 0}, "max": {"x": 1927, "y": 1079}}
_DISPLAY = {"min": {"x": 0, "y": 0}, "max": {"x": 1919, "y": 1079}}


def channel(name: str, pixel_type: str = "half", **changes: Any) -> Document:
    layer, dot, component = name.rpartition(".")
    return {
        "part_index": 0,
        "name": name,
        "layer_name": layer if dot else None,
        "component_name": component,
        "type": pixel_type,
        "x_sampling": 1,
        "y_sampling": 1,
        "p_linear": False,
        **changes,
    }


def entry(name: str, type_name: str, value: Any) -> Document:
    return {"name": name, "type": type_name, "value": value}


_HAND: Document = {
    "schema_version": 1,
    "file": {
        "path": "/shows/abc/beauty.1001.exr",
        "size_bytes": 123456,
        "mtime": "2026-03-04T05:06:07.000089Z",
        "multipart_count": 1,
        "is_deep": False,
        "is_tiled": True,
        "exr_version": 2,
        "flags": {"tiled": True, "long_names": False, "deep": False, "multipart": False},
        "header_bytes": 999,
        "header_hash": "ab" * 32,
        "frame_number": 1001,
    },
    "parts": [
        {
            "part_index": 0,
            "part_name": "beauty.0012",
            "part_type": "tiledimage",
            "view_name": "left",
            "multi_view": ["left", "right"],
            "data_window": _BOX,
            "display_window": _DISPLAY,
            "width": 1936,
            "height": 1080,
            "display_width": 1920,
            "display_height": 1080,
            "data_x_offset": -8,
            "data_y_offset": 0,
            "pixel_aspect_ratio": 2.0,
            "line_order": "increasingY",
            "compression": "dwaa",
            "color_space": "ACEScg",
            "render_software": "Arnold 7.2.1.0",
            "is_tiled": True,
            "tile_width": 64,
            "tile_height": 32,
            "tile_depth": 1,
            "level_mode": "oneLevel",
            "rounding_mode": "roundDown",
            "is_deep": False,
            "chunk_count": 1054,
        }
    ],
    "channels": [
        channel("R"),
        channel("Z", "float"),
        channel("key.light1.R"),
        channel("key.light2.R"),
        channel("BY", "half", x_sampling=2, y_sampling=2),
    ],
    "attributes": {
        "parts": [
            [
                entry("compression", "compression", "dwaa"),
                entry("arnold/host/name", "string", "node117"),
                entry("cryptomatte/3ae39a5/name", "string", "asset"),
                entry("capDate", "string", "2026:03:04 05:06:07"),
                entry("framesPerSecond", "rational", {"numerator": 24, "denominator": 1}),
            ]
        ]
    },
    "integrity": {"status": "complete", "checked": ["table", "end"]},
    "stats": {},
    "validation": {},
    "errors": [],
}


def hand_document(**file: Any) -> Document:
    """A fresh copy of the document written by hand, with other facts of the file."""
    document = copy.deepcopy(_HAND)
    document["file"].update(file)
    return document


# ---- Strategies --------------------------------------------------------------------------------------------

names = st.text(max_size=12) | st.sampled_from(
    ["R", "G", "a.b.R", "light1.R", "light2.R", "cryptomatte/1f/name", "\ud800"]
)
numbers = st.integers() | st.floats() | st.booleans()
anything = st.recursive(
    st.none() | numbers | st.text(max_size=20) | st.just("NaN"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_channels = st.fixed_dictionaries(
    {"name": names, "type": st.sampled_from(["half", "float", "uint", "unknown(9)"])},
    optional={"part_index": numbers, "x_sampling": numbers, "y_sampling": numbers, "layer_name": st.none() | names},
)
_parts = st.fixed_dictionaries({}, optional=dict.fromkeys(_HAND["parts"][0], anything))
_settings = st.sampled_from(["framesPerSecond", "chromaticities", "envmap", "owner", "arnold/version", "com.arri.x"])
_entries = st.fixed_dictionaries(
    {"name": names | _settings, "value": anything},
    optional={"type": st.sampled_from(["string", "float", "int", "rational", "timecode", "chlist", "box2i", "odd"])},
)
_attributes = st.fixed_dictionaries({"parts": st.lists(st.lists(_entries, max_size=4), max_size=2)})
_files = st.fixed_dictionaries({}, optional=dict.fromkeys(_HAND["file"], anything))

# Payloads of the right shape with any values: what they hold must never fail a batch.
payloads = st.fixed_dictionaries(
    {"file": _files},
    optional={
        "parts": st.lists(_parts, max_size=3),
        "channels": st.lists(_channels, max_size=6),
        "attributes": _attributes | st.dictionaries(names, anything, max_size=4) | st.none(),
        "integrity": st.fixed_dictionaries({"status": anything}),
        "validation": st.none() | st.dictionaries(st.text(max_size=6), anything, max_size=2),
        "errors": st.lists(
            st.fixed_dictionaries({"code": st.text(max_size=9), "severity": st.just("fatal")}), max_size=2
        ),
    },
).map(lambda payload: {**payload, "file": {**payload["file"], "path": "/a/b.exr"}})
