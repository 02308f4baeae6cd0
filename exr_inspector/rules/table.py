"""All rules, one row each. `docs/rules.md` shows the same table.

Severity: `error` where a reader rejects the file, at least in strict mode (levels R and S), or where it could not
be looked at (I); else `warning`. It says whether the file is valid. The severity of an entry in the document's
`errors` says another thing: what the flaw means for the document.

Sources: the page "OpenEXR File Layout" and the library's documentation where they state the rule; else OpenEXRCore,
its header validation and its attribute and channel list parsers; else the C++ classes above it.
"""

from __future__ import annotations

from exr_inspector.rules import checks, geometry
from exr_inspector.rules.records import Rule, as_reported, of_header, of_parts, of_parts_and_flags

_LAYOUT = "OpenEXR File Layout"
_ATTRIBUTES = "Standard OpenEXR Attributes"
_VALIDATION = "OpenEXRCore, validation.c"
_PARSER = "OpenEXRCore, parse_header.c"
_CHANNELS = "OpenEXRCore, channel_list.c"
_CHUNKS = "OpenEXRCore, chunk.c"
_CPP = "OpenEXR"

RULES: tuple[Rule, ...] = (
    # ---- The file
    Rule(
        "file.readable", "error", "I", "-", "the file can be opened and read, within the limits",
        as_reported(
            "source_not_found", "source_no_permission", "source_not_regular", "source_changed", "source_failed",
            "source_reader_died", "source_unsupported", "source_refused", "source_unconfigured",
            "limit_header_bytes", "limit_parts", "limit_attributes", "limit_name_bytes",
        ),
    ),
    Rule(
        "file.limits", "error", "I", "-", "nothing in the file is left unread because of a limit",
        as_reported("value_limit", "limit_chunks", "limit_problems"),
    ),
    Rule(
        "file.kind", "error", "R", f"{_LAYOUT}, magic number and version field",
        "an OpenEXR file of version 2 without unknown flags",
        as_reported("empty_file", "not_exr", "unsupported_version", "unsupported_flags"),
    ),
    Rule(
        "file.sizes", "error", "R", f"{_LAYOUT}, attribute layout",
        "sizes are not negative, and the header ends inside the file",
        as_reported("attribute_size_negative", "truncated_header"),
    ),
    Rule(
        "file.flags", "error", "R", f"{_LAYOUT}, version field", "the tiled flag excludes deep and multipart",
        of_header(checks.flags), "flags_illegal",
    ),
    Rule(
        "file.parts", "error", "R", f"{_LAYOUT}, header", "a multipart file has a part",
        of_header(checks.has_parts), "no_parts",
    ),
    # ---- Attributes
    Rule(
        "attribute.required", "error", "R", f"{_LAYOUT}, predefined attributes",
        "`channels`; `tiles` if tiled; `name` if multipart; `type` if multipart or deep",
        of_parts_and_flags(checks.attribute_required), "attribute_missing",
    ),
    Rule(
        "attribute.required_strict", "error", "S", f"{_LAYOUT}, predefined attributes",
        "the other required attributes, for which lenient readers take a default",
        of_parts_and_flags(checks.attribute_required_strict), "attribute_missing",
    ),
    Rule(
        "attribute.type", "error", "R", f"{_LAYOUT}, predefined attributes",
        "the attributes of `attribute.required` have their standard type",
        of_parts_and_flags(checks.attribute_type), "attribute_type",
    ),
    Rule(
        "attribute.type_strict", "error", "S", f"{_LAYOUT}, predefined attributes",
        "the other attributes that the format uses have their standard type",
        of_parts_and_flags(checks.attribute_type_strict), "attribute_type",
    ),
    Rule(
        "attribute.duplicate_required", "error", "S", _PARSER, "a required attribute stands once in a part",
        of_parts(checks.attribute_duplicate_required), "attribute_duplicate",
    ),
    Rule(
        "attribute.duplicate", "warning", "N", _LAYOUT, "every other attribute stands once in a part",
        of_parts(checks.attribute_duplicate), "attribute_duplicate",
    ),
    Rule(
        "attribute.type_name", "error", "R", _PARSER, "the name of a type is not empty", as_reported("type_empty"),
    ),
    Rule(
        "attribute.name_length", "error", "R", _PARSER, "names of attributes, types, channels have 255 bytes at most",
        of_parts_and_flags(checks.name_length),
    ),
    Rule(
        "attribute.name_length_strict", "error", "S", f"{_LAYOUT}, version field",
        "without the long-names flag, names have 31 bytes at most", of_parts_and_flags(checks.name_length_strict),
    ),
    # ---- Values
    Rule(
        "value.size", "error", "R", _PARSER, "the sizes of values are those of their types",
        as_reported("value_size", other_than=("preview",)),
    ),
    Rule(
        "value.float_vector", "error", "R", _PARSER, "the size of a float vector is a multiple of 4",
        as_reported("value_missing_bytes", types=("floatvector",)),
    ),
    Rule(
        "value.string_vector", "error", "R", _PARSER, "the lengths in a string vector fit its size",
        as_reported("value_missing_bytes", types=("stringvector",)),
    ),
    Rule(
        "value.preview", "error", "R", _PARSER, "a preview has 8 bytes and 4 for each pixel, and at least one pixel",
        of_parts(checks.preview_size),
    ),
    Rule(
        "value.channel_list", "error", "R", _PARSER, "a channel list is whole, and ends with its terminator",
        as_reported("value_missing_bytes", "value_trailing_bytes", types=("chlist",)),
    ),
    Rule(
        "value.id_manifest", "error", "R", f"{_CPP}, ImfIDManifest.cpp", "an idmanifest decodes to its end",
        as_reported("value_corrupt", "value_missing_bytes", "value_trailing_bytes", types=("idmanifest",)),
    ),
    Rule(
        "value.enumeration", "error", "S", _PARSER, "compression, line order, envmap, deep image state are known codes",
        as_reported("value_enumeration", other_than=("chlist", "tiledesc")),
    ),
    Rule(
        "value.time_code", "warning", "N", f"{_ATTRIBUTES}, `timeCode`", "a time code's digits are decimal, in range",
        as_reported("value_range", types=("timecode",)),
    ),
    Rule(
        "value.key_code", "warning", "N", f"{_CPP}, ImfKeyCode.h", "a key code's fields are in their ranges",
        as_reported("value_range", types=("keycode",)),
    ),
    Rule(
        "value.text", "warning", "N", f"{_CPP}, naming conventions", "names and texts are UTF-8",
        as_reported("name_text", "value_text"),
    ),
    # ---- Windows and the screen
    Rule(
        "window.inverted", "error", "R", _VALIDATION, "a window's maximum is not below its minimum",
        of_parts(geometry.window_inverted), "window_inverted",
    ),
    Rule(
        "window.range", "error", "R", _VALIDATION, "windows lie within ±(2^30 - 2)", of_parts(geometry.window_range),
    ),
    Rule(
        "screen.pixel_aspect_ratio", "error", "R", _VALIDATION, "`pixelAspectRatio` is within 1e-6 to 1e6",
        of_parts(geometry.pixel_aspect_ratio),
    ),
    Rule(
        "screen.width", "error", "R", _VALIDATION, "`screenWindowWidth` is not negative",
        of_parts(geometry.screen_window_width),
    ),
    # ---- Channels
    Rule(
        "channel.present", "error", "R", _VALIDATION, "there is a channel", of_parts(geometry.channels_present),
    ),
    Rule(
        "channel.duplicate", "error", "R", _CHANNELS, "a channel stands once in its list",
        of_parts(geometry.channel_duplicate), "channel_duplicate",
    ),
    Rule(
        "channel.pixel_type", "error", "R", _CHANNELS, "pixel types are 0, 1 or 2",
        of_parts(geometry.channel_pixel_type),
    ),
    Rule(
        "channel.p_linear", "error", "R", _CHANNELS, "pLinear is 0 or 1", of_parts(geometry.channel_p_linear),
    ),
    Rule(
        "channel.sampling", "error", "R", _CHANNELS, "samplings are 1 or more", of_parts(geometry.channel_sampling),
    ),
    Rule(
        "channel.sampling_one", "error", "R", _VALIDATION, "samplings are 1 in tiled and deep parts",
        of_parts_and_flags(geometry.channel_sampling_one),
    ),
    Rule(
        "channel.sampling_window", "error", "R", _VALIDATION, "samplings divide the data window's corner and size",
        of_parts(geometry.channel_sampling_window),
    ),
    Rule(
        "channel.order", "warning", "N", f"{_LAYOUT}, channel list", "channels are sorted by name",
        of_parts(geometry.channel_order),
    ),
    # ---- Parts
    Rule(
        "part.type", "error", "S", f"{_LAYOUT}, `type`", "in multipart and deep files `type` is one of the four",
        of_parts_and_flags(checks.part_type), "part_type_unknown",
    ),
    Rule(
        "part.type_flags", "error", "S", f"{_LAYOUT}, `type`", "`type` and the version flags agree",
        of_header(checks.part_type_flags),
    ),
    Rule(
        "part.name_unique", "warning", "W", f"{_LAYOUT}, `name`", "no two parts have the same name",
        of_header(checks.part_name_unique),
    ),
    Rule(
        "part.shared", "error", "R", f"{_CPP}, ImfMultiPartInputFile.cpp",
        "parts share `displayWindow`, `pixelAspectRatio`, `chromaticities`, `timecode`", of_header(checks.part_shared),
    ),
    Rule(
        "part.shared_time_code", "warning", "N", f"{_LAYOUT}, shared attributes", "parts share `timeCode`",
        of_header(checks.part_shared_time_code),
    ),
    Rule(
        "part.random_y", "warning", "W", f"{_CPP}, ImfHeader.cpp", "`randomY` is for tiled parts",
        of_parts_and_flags(checks.random_y),
    ),
    # ---- Tiles and deep data
    Rule(
        "tile.size", "error", "R", _VALIDATION, "tiles measure 1 to (2^31 - 1) / 4",
        of_parts_and_flags(geometry.tile_size),
    ),
    Rule(
        "tile.mode", "error", "R", _PARSER, "level mode and rounding mode are known codes",
        as_reported("value_enumeration", types=("tiledesc",)),
    ),
    Rule(
        "deep.version", "error", "S", f"{_LAYOUT}, `version`", "the version of deep data is 1",
        of_parts_and_flags(checks.deep_version),
    ),
    Rule(
        "deep.compression", "error", "R", _VALIDATION, "deep data are compressed by none, rle, zips or zstd",
        of_parts_and_flags(geometry.deep_compression),
    ),
    # ---- Chunks
    Rule(
        "chunk.table", "error", "R", _CHUNKS, "an offset table has 2^20 entries at most", geometry.chunk_table,
    ),
    Rule(
        "chunk.count", "warning", "N", f"{_LAYOUT}, `chunkCount`", "`chunkCount` is the computed number of chunks",
        as_reported("chunk_count"),
    ),
    Rule(
        "chunk.countable", "warning", "N", f"{_LAYOUT}, chunk offset table", "the number of chunks can be computed",
        as_reported("chunk_count_unknown"),
    ),
    Rule(
        "chunk.offset", "error", "R", _CHUNKS,
        "offsets and chunks lie behind the tables and inside the file, and their leaders agree",
        as_reported("integrity_truncated", "integrity_inconsistent"),
    ),
    Rule(
        "chunk.missing", "warning", "N", f"{_LAYOUT}, chunk offset table", "every chunk has an offset",
        as_reported("integrity_incomplete"),
    ),
    Rule(
        "chunk.trailing", "warning", "N", _LAYOUT, "nothing follows the last chunk", as_reported("integrity_trailing"),
    ),
)  # fmt: skip

# A file that could not be read breaks one of these; no policy may turn them off.
FIXED_RULES = frozenset(("file.readable", "file.kind", "file.sizes"))
