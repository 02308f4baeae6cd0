"""A header as a document (schema_version 1), and the header's bytes from a document.

The document is the hub of the program: embedding, tables and every store read only it. It is deterministic: the
same bytes and the same path give the same JSON text, key order included.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from exr_inspector.errors import DocumentError, IncompleteDocument, Problem, shown
from exr_inspector.exr import layout
from exr_inspector.exr.chunks import window_size
from exr_inspector.exr.compiled import fixed
from exr_inspector.model import PIXEL_TYPE_NAMES, Attribute, Box2, ExrHeader, Opaque, Part, code_name
from exr_inspector.sources import Source
from exr_inspector.values import CODECS, encode_bytes, from_base64, to_base64

SCHEMA_VERSION = 1

Document = dict[str, Any]

# ---- Derived fields ----------------------------------------------------------------------------------------
# The first attribute of a table that is there, is a string and is not empty gives the field; `docs/format.md`
# shows the same tables. The word before it names whose version it is, where the value alone would not say.

COLOR_SPACE_ATTRIBUTES: tuple[tuple[str, str], ...] = (
    ("colorInteropID", ""),
    ("oiio:ColorSpace", ""),
    ("colorspace", ""),
    ("colorSpace", ""),
    ("ColorSpace", ""),
    ("nuke/colorspace", ""),
)
RENDER_SOFTWARE_ATTRIBUTES: tuple[tuple[str, str], ...] = (
    ("arnold/version", "Arnold "),
    ("vrayInfo/vrayversion", "V-Ray "),
    ("rs/version", "Redshift "),
    ("renderManVersion", "RenderMan "),
    ("software", ""),
    ("Software", ""),
    ("writer", ""),
    ("nuke/version", "Nuke "),
)
VIEW_NAME_ATTRIBUTES: tuple[tuple[str, str], ...] = (("view", ""),)

# A group begins where no digit stands before it: without that, long names of digits would take quadratic time.
_LAST_DIGITS = re.compile(r"([-+]?(?<![0-9])[0-9]+)[^0-9]*\Z")
_LARGEST_FRAME_NUMBER = 1 << 53


def frame_number(path: str | None) -> int | None:
    """The last group of digits before the extension, sign included; None if there is none."""
    if not path:
        return None
    name = re.split(r"[/\\]", path)[-1]
    stem, extension = os.path.splitext(name)
    found = _LAST_DIGITS.search(name if extension[1:].isdigit() else stem)
    if found is None or len(found[1]) > 20:
        return None
    number = int(found[1])
    return number if abs(number) <= _LARGEST_FRAME_NUMBER else None


def _derived(part: Part, table: tuple[tuple[str, str], ...]) -> str | None:
    for name, before in table:
        attribute = part.first.get(name)
        if attribute is not None and attribute.type_name == "string" and attribute.value:
            return f"{before}{attribute.value}" if isinstance(attribute.value, str) else None
    return None


def split_channel_name(name: str) -> tuple[str | None, str]:
    """Layer and component: what stands before the last dot (None if there is none), and what after it."""
    layer, dot, component = name.rpartition(".")
    return (layer, component) if dot else (None, name)


# ---- Header to document ------------------------------------------------------------------------------------


def build_document(
    source: Source,
    header: ExrHeader | None,
    *,
    is_whole: bool,
    with_attributes: bool,
    integrity: dict[str, Any],
    validation: dict[str, Any],
    problems: Iterable[Problem],
) -> Document:
    """The document of one file. `header` is what could be read of it, None if nothing could."""
    parts = header.parts if header is not None else ()
    document: Document = {
        "schema_version": SCHEMA_VERSION,
        "file": _file(source, header, is_whole=is_whole),
        "parts": [_part(header, part) for part in parts] if header is not None else [],
        "channels": [entry for part in parts for entry in _channels(part)],
    }
    if with_attributes:
        document["attributes"] = {"parts": _attributes(header) if header is not None else []}
    document["integrity"] = integrity
    document["stats"] = {}
    document["validation"] = validation
    document["errors"] = [problem.as_entry() for problem in problems]
    return document


def _file(source: Source, header: ExrHeader | None, *, is_whole: bool) -> dict[str, Any]:
    path, path_raw = _path(source.path)
    flags = header.flags if header is not None else None
    entry: dict[str, Any] = {
        "path": path,
        "size_bytes": source.size_bytes,
        "mtime": iso_time(source.mtime_ns),
        "multipart_count": len(header.parts) if header is not None else None,
        "is_deep": any(_is_deep(header, part) for part in header.parts) if header is not None else None,
        "is_tiled": any(_is_tiled(header, part) for part in header.parts) if header is not None else None,
        "exr_version": header.version if header is not None else None,
        "flags": flags._asdict() if flags is not None else None,
        "header_bytes": header.size_bytes if header is not None and is_whole else None,
        "header_hash": hashlib.sha256(header.data).hexdigest() if header is not None and is_whole else None,
        "frame_number": frame_number(path),
    }
    if source.s3_bucket is not None and source.s3_key is not None:
        entry["s3_bucket"], entry["s3_key"] = source.s3_bucket, _path(source.s3_key)[0]
        entry["etag"], entry["s3_version_id"] = source.etag, source.version_id
    if path_raw is not None:
        entry["path_raw"] = path_raw
    return entry


def _path(path: str | bytes | None) -> tuple[str | None, str | None]:
    """The path as text, and as base64 if it is not UTF-8."""
    if path is None:
        return None, None
    if isinstance(path, str) and path.isascii():
        return path, None
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:  # half a surrogate pair: such a path names no file here
        raw = str(path).encode(errors="surrogatepass")
    text = raw.decode(errors="replace")
    return text, None if text.encode() == raw else to_base64(raw)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def iso_time(time_ns: int | None) -> str | None:
    """ISO 8601 in UTC with six digits and a Z; None outside the years 1 to 9999."""
    if time_ns is None:
        return None
    try:
        moment = _EPOCH + timedelta(microseconds=time_ns // 1000)
    except OverflowError:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _is_deep(header: ExrHeader, part: Part) -> bool:
    return header.part_type(part) in ("deepscanline", "deeptile")


def _is_tiled(header: ExrHeader, part: Part) -> bool:
    return header.part_type(part) in ("tiledimage", "deeptile")


def _window(box: Box2 | None) -> dict[str, Any] | None:
    if box is None:
        return None
    (x_min, y_min), (x_max, y_max) = box
    return {"min": {"x": x_min, "y": y_min}, "max": {"x": x_max, "y": y_max}}


def _part(header: ExrHeader, part: Part) -> dict[str, Any]:
    value = part.value
    part_type = header.part_type(part)
    data, display = value("dataWindow", "box2i"), value("displayWindow", "box2i")
    width, height = window_size(data) or (None, None)
    display_width, display_height = window_size(display) or (None, None)
    x_offset, y_offset = _offset(data, display)
    aspect = value("pixelAspectRatio", "float")
    line_order, compression = value("lineOrder", "lineOrder"), value("compression", "compression")
    tiles = value("tiles", "tiledesc")
    return {
        "part_index": part.part_index,
        "part_name": value("name", "string"),
        "part_type": part_type,
        "view_name": _derived(part, VIEW_NAME_ATTRIBUTES),
        "multi_view": _list(value("multiView", "stringvector")),
        "data_window": _window(data),
        "display_window": _window(display),
        "width": width,
        "height": height,
        "display_width": display_width,
        "display_height": display_height,
        "data_x_offset": x_offset,
        "data_y_offset": y_offset,
        "pixel_aspect_ratio": None if aspect is None else CODECS["float"].encode(aspect),
        "line_order": None if line_order is None else line_order.name,
        "compression": None if compression is None else compression.name,
        "color_space": _derived(part, COLOR_SPACE_ATTRIBUTES),
        "render_software": _derived(part, RENDER_SOFTWARE_ATTRIBUTES),
        "is_tiled": part_type in ("tiledimage", "deeptile"),
        "tile_width": None if tiles is None else tiles.x_size,
        "tile_height": None if tiles is None else tiles.y_size,
        "tile_depth": None if tiles is None else 1,
        "level_mode": None if tiles is None else tiles.level_mode,
        "rounding_mode": None if tiles is None else tiles.rounding_mode,
        "is_deep": part_type in ("deepscanline", "deeptile"),
        "chunk_count": value("chunkCount", "int"),
    }


def _offset(data: Box2 | None, display: Box2 | None) -> tuple[float | None, float | None]:
    """Where the data window begins, counted from the display window's corner."""
    if data is None or display is None:
        return None, None
    return data.min.x - display.min.x, data.min.y - display.min.y


def _list(strings: tuple[str, ...] | None) -> list[str] | None:
    return None if strings is None else list(strings)


def _channels(part: Part) -> list[dict[str, Any]]:
    index, entries = part.part_index, []
    for name, pixel_type, p_linear, _, x_sampling, y_sampling in part.channels:
        layer, dot, component = name.rpartition(".")
        entries.append(
            {
                "part_index": index,
                "name": name,
                "layer_name": layer if dot else None,
                "component_name": component,
                "type": code_name(PIXEL_TYPE_NAMES, pixel_type),
                "x_sampling": x_sampling,
                "y_sampling": y_sampling,
                "p_linear": p_linear != 0,
            }
        )
    return entries


def _attributes(header: ExrHeader) -> list[list[dict[str, Any]]]:
    data = header.data
    return [[_attribute(data, attribute) for attribute in part.attributes] for part in header.parts]


def _attribute(data: bytes, attribute: Attribute) -> dict[str, Any]:
    name, type_name, value, name_offset, value_offset, size_bytes = attribute
    codec = CODECS.get(type_name)
    entry: dict[str, Any]
    if codec is None or value.__class__ is Opaque:
        entry = {"name": name, "type": type_name, "value": encode_bytes(value.data)}
    else:
        encode, is_exact, _ = codec
        entry = {"name": name, "type": type_name, "value": encode(value)}
        if is_exact is None:
            if type_name in ENUMERATED_TYPES:
                entry["code"] = value.code
        elif value.__class__ is str and "\ufffd" not in value:
            pass  # decoding was strict; to cut the payload out again would cost a manifest's megabytes
        elif not is_exact(value, data[value_offset : value_offset + size_bytes]):
            entry["raw"] = to_base64(data[value_offset : value_offset + size_bytes])
    if not (name.isascii() and type_name.isascii()):
        _add_raw_names(entry, data, name_offset, value_offset)
    return entry


# Their entries carry the stored code beside the word: development branches give compression 12 other names.
ENUMERATED_TYPES = frozenset(("compression", "lineOrder", "envmap", "deepImageState"))


def _add_raw_names(entry: dict[str, Any], data: bytes, name_offset: int, value_offset: int) -> None:
    name_end = data.index(0, name_offset)
    raw_name, raw_type = data[name_offset:name_end], data[name_end + 1 : value_offset - 5]
    if raw_name != entry["name"].encode():
        entry["name_raw"] = to_base64(raw_name)
    if raw_type != entry["type"].encode():
        entry["type_raw"] = to_base64(raw_type)


# ---- Document to header bytes ------------------------------------------------------------------------------

_FILE_START = fixed(layout.FileStart)
_SIZE = fixed(layout.Attribute.size)


def rebuild_header(document: Mapping[str, Any]) -> bytes:
    """The header's exact bytes, magic number to last terminator, from the document alone.

    Raises IncompleteDocument if the file could not be walked or values were cut or left out, and DocumentError if
    the document is not of the schema or its bytes do not have the `header_hash` that it names.
    """
    try:
        return _rebuilt(document)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError, struct.error) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"the document is not of schema {SCHEMA_VERSION}: {error!r}") from error


def _rebuilt(document: Mapping[str, Any]) -> bytes:
    file = document["file"]
    if file.get("header_hash") is None:
        raise IncompleteDocument("file.header_hash is null: the file's header could not be walked")
    if "attributes" not in document:
        raise IncompleteDocument("the document has no attributes (enable_meta was off)")
    flags = file["flags"]
    bits = (
        (flags["tiled"], layout.TILED_FLAG),
        (flags["long_names"], layout.LONG_NAMES_FLAG),
        (flags["deep"], layout.DEEP_FLAG),
        (flags["multipart"], layout.MULTIPART_FLAG),
    )
    field = file["exr_version"] | sum(bit for is_set, bit in bits if is_set)
    pieces = [_FILE_START.pack(layout.MAGIC_BYTES, field)]
    for part in document["attributes"]["parts"]:
        pieces += [_attribute_bytes(entry) for entry in part]
        pieces.append(b"\0")
    if flags["multipart"]:
        pieces.append(b"\0")
    data = b"".join(pieces)
    if hashlib.sha256(data).hexdigest() != file["header_hash"]:
        raise DocumentError("the rebuilt bytes do not have file.header_hash: the document was changed")
    return data


def _attribute_bytes(entry: Mapping[str, Any]) -> bytes:
    name = from_base64(entry["name_raw"]) if "name_raw" in entry else entry["name"].encode()
    type_name = from_base64(entry["type_raw"]) if "type_raw" in entry else entry["type"].encode()
    payload = attribute_payload(entry)
    return b"".join((name, b"\0", type_name, b"\0", _SIZE.pack(len(payload)), payload))


def attribute_payload(entry: Mapping[str, Any]) -> bytes:
    """The bytes that an attribute has in the file, from its entry alone. Raises IncompleteDocument if it was cut."""
    if "raw" in entry:
        return from_base64(entry["raw"])
    value = entry["value"]
    if is_cut(value):
        raise IncompleteDocument(f"the value of attribute {shown(entry['name'])} was cut")
    if isinstance(value, Mapping) and value.keys() == {"encoding", "data"}:
        return from_base64(value["data"])
    pack = CODECS[entry["type"]].pack
    if pack is None:
        raise DocumentError(f"attribute {shown(entry['name'])} has no raw bytes")
    return pack(value)


def is_cut(value: Any) -> bool:
    """Whether a value was cut for output."""
    return isinstance(value, Mapping) and "cut_bytes" in value
