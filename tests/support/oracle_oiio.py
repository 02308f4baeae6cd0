"""The OpenImageIO wheel as an oracle; see `oracle.py`."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import OpenImageIO

from tests.support.oracle_values import (
    TYPED_NAMES,
    Document,
    DropTable,
    Entry,
    Refused,
    exact,
    flat,
    is_dropped,
    is_unknown,
    text_bytes,
    unsound_attributes,
    while_in_sync,
)

# ---- What the wheel is known to do otherwise ---------------------------------------------------------------

# The file is not opened; part of the message: why.
REFUSALS = {
    "Subsampled channels": "OpenImageIO has no subsampled channels",
    "EXR_ERR_": "the library refuses the header: OpenEXR's own error",
    "limits:resolution": "a window larger than OpenImageIO's own limit",
    "opened as": "another kind of file with OpenEXR's extension, read by OpenImageIO's reader for that kind",
}

# The name in the file: OpenImageIO's, whatever the type.
RENAMES = {
    "owner": "Copyright",
    "comments": "ImageDescription",
    "capDate": "DateTime",
    "expTime": "ExposureTime",
    "aperture": "FNumber",
    "xDensity": "XResolution",
    "pixelAspectRatio": "PixelAspectRatio",
    "chunkCount": "openexr:chunkCount",
    "maxSamplesPerPixel": "openexr:maxSamplesPerPixel",
    "dwaCompressionLevel": "openexr:dwaCompressionLevel",
    "idManifest": "openexr:compressedIDManifest",
}
# The same, only for this type.
RENAMES_OF_TYPE = {
    ("timeCode", "timecode"): "smpte:TimeCode",
    ("keyCode", "keycode"): "smpte:KeyCode",
}
# The same, whatever the name.
RENAMED_TYPES = {
    "lineOrder": "openexr:lineOrder",
    "deepImageState": "openexr:deepImageState",
}
# Names that differ in case only, or that are renamed to another's, become one: the last is kept.

# Not among the metadata; where the value goes instead.
ELSEWHERE = {
    "channels": "ImageSpec.channelnames and channelformats, R G B A first",
    "dataWindow": "ImageSpec.x, y, width, height",
    "displayWindow": "ImageSpec.full_x, full_y, full_width, full_height",
    "tiles": "ImageSpec.tile_width, tile_height; the rounding mode in openexr:roundingmode",
    "type": "ImageSpec.deep, and whether there are tiles",
    "preview": "thumbnail_width, thumbnail_height; the pixels in ImageInput.get_thumbnail",
    "envmap": "`textureformat`",
    "compression": "the metadata `compression`, as a word",
}

# Metadata that is in no file, or made from something else.
INVENTS = {
    "oiio:subimages": "the number of parts",
    "oiio:subimagename": "the part's name again",
    "oiio:RowsPerChunk": "from compression",
    "oiio:miplevels": "from tiles",
    "openexr:levelmode": "from tiles",
    "openexr:roundingmode": "from tiles",
    "textureformat": "from tiles and envmap",
    "oiio:sampleborder": "from envmap",
    "oiio:updirection": "from envmap",
    "thumbnail_width": "from preview",
    "thumbnail_height": "from preview",
    "thumbnail_nchannels": "from preview",
    "oiio:ColorSpace": "from colorInteropID, chromaticities or the channels",
    "YResolution": "from xDensity or XResolution",
    "ResolutionUnit": "from xDensity or XResolution",
    "compression": "zip, where the file has none or one without a name",
    "PixelAspectRatio": "1, where the file has none",
    "screenWindowWidth": "1, where the file has none",
    "screenWindowCenter": "(0 0), where the file has none",
    "openexr:lineOrder": "increasingY, where the file has none",
    "version": "1, in deep parts",
}

# Values that are left out. Type: (which values, why).
DROPS: DropTable = {
    "string": (lambda entry: not _c_text(entry), "an empty text, or one that begins with NUL"),
    "rational": (lambda entry: _reduced(entry)[1] > _INT_MAX, "a denominator that is no signed int, even reduced"),
    "bytes": (lambda entry: not entry["value"]["data"], "no bytes"),
    "lineOrder": (lambda entry: is_unknown(entry["value"]), "a code without a name"),
    "deepImageState": (lambda entry: is_unknown(entry["value"]), "a code without a name"),
    "chlist": (lambda _entry: True, "no such metadata type"),
    "compression": (lambda _entry: True, "no such metadata type"),
    "envmap": (lambda _entry: True, "no such metadata type"),
    "preview": (lambda _entry: True, "no such metadata type"),
    "tiledesc": (lambda _entry: True, "no such metadata type"),
}

# What is shown of values that hold nothing.
EMPTY = {
    "floatvector": 0.0,  # one zero instead of no floats
    "stringvector": "",  # an empty text instead of no texts
    "opaque": 0,
}

DEEP_IMAGE_STATES = {
    "messy": "messy",
    "sorted": "sorted",
    "nonOverlapping": "non_overlapping",
    "tidy": "tidy",
}

# How the types are called.
TYPES = {
    "box2f": "float2[2]",
    "box2i": "vector2i[2]",
    "chromaticities": "float[8]",
    "double": "double",
    "float": "float",
    "int": "int",
    "keycode": "keycode",
    "m33d": "matrix33d",
    "m33f": "matrix33",
    "m44d": "matrixd",
    "m44f": "matrix",
    "rational": "rational",
    "string": "string",
    "timecode": "timecode",
    "v2d": "vector2d",
    "v2f": "float2",
    "v2i": "vector2i",
    "v3d": "vectord",
    "v3f": "vector",
    "v3i": "vectori",
}


_INT_MAX = 2**31 - 1


def _reduced(entry: Entry) -> list[int]:
    """A fraction whose denominator is no signed int is reduced, others are shown as they are."""
    numerator, denominator = entry["value"]["numerator"], entry["value"]["denominator"]
    is_reduced = denominator > _INT_MAX and numerator not in {0, -_INT_MAX - 1}
    divisor = math.gcd(numerator, denominator) if is_reduced else 1
    return [numerator // divisor, denominator // divisor]


def _c_text(entry: Entry) -> bytes:
    """A text up to its first NUL."""
    return text_bytes(entry).partition(b"\0")[0]


# ---- Reading -----------------------------------------------------------------------------------------------


class OiioPart(NamedTuple):
    """One part as the wheel has it. `metadata`: name -> (type, value); windows: x, y, width, height."""

    metadata: dict[str, tuple[str, Any]]
    channels: dict[str, str]
    data_window: tuple[int, int, int, int]
    display_window: tuple[int, int, int, int]
    tile_size: tuple[int, int]
    is_deep: bool


def read_with_oiio(path: str) -> list[OiioPart]:
    """Each part's header. Raises `Refused` with the wheel's message."""
    image = OpenImageIO.ImageInput.open(path)
    if image is None:
        raise Refused(_error_of(OpenImageIO), REFUSALS)
    try:
        if image.format_name() != "openexr":
            raise Refused(f"opened as {image.format_name()}", REFUSALS)
        return [_part_of(spec) for spec in _specs(image)]
    finally:
        _error_of(image)
        image.close()
        _error_of(OpenImageIO)  # else it is printed when the process ends


def _error_of(source: Any) -> str:
    """The pending error. It is decoded strictly, though it quotes names out of the file."""
    try:
        return str(source.geterror()).strip()
    except UnicodeDecodeError as error:
        return error.object.decode(errors="replace").strip()


def _specs(image: Any) -> Iterator[Any]:
    index = 0
    while image.seek_subimage(index, 0):
        yield image.spec()
        index += 1


def _part_of(spec: Any) -> OiioPart:
    formats = spec.channelformats or [spec.format] * spec.nchannels
    return OiioPart(
        metadata={_text_of(each.name): (str(each.type), each.value) for each in spec.extra_attribs},
        channels={_text_of(name): str(kind) for name, kind in zip(spec.channelnames, formats, strict=True)},
        data_window=(spec.x, spec.y, spec.width, spec.height),
        display_window=(spec.full_x, spec.full_y, spec.full_width, spec.full_height),
        tile_size=(spec.tile_width, spec.tile_height),
        is_deep=spec.deep,
    )


def _text_of(name: str) -> str:
    """A text whose undecodable bytes are shown as the document shows them; the wheel has surrogates for them."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


# ---- Comparing ---------------------------------------------------------------------------------------------


def assert_same_as_oiio(document: Document, path: str) -> int:
    """Compare every attribute of every part; return how many were compared.

    Raises `Refused` if the wheel does not open the file, and `AssertionError` for a difference that stands in no
    table.
    """
    theirs = read_with_oiio(path)
    lists = document["attributes"]["parts"]
    unsound = unsound_attributes(document)
    compared = 0
    for index, entries in enumerate(lists):
        assert index < len(theirs), f"part {index} is not in {len(theirs)} parts"
        in_sync = while_in_sync(index, entries, unsound)
        names = [_name_of(entry).lower() for entry in entries]
        for entry in in_sync:
            if names.count(_name_of(entry).lower()) == 1:
                compared += _compare(index, entry, theirs[index])
        if len(in_sync) < len(entries):
            return compared
        _compare_spec(document, index, theirs[index])
        known = {*names, *map(str.lower, INVENTS)}
        extra = {name for name in theirs[index].metadata if name.lower() not in known}
        assert not extra, f"part {index}: only the wheel has {extra}"
    assert len(theirs) == len(lists), f"{len(lists)} parts here, {len(theirs)} there"
    return compared


def _name_of(entry: Entry) -> str:
    name, type_name = entry["name"], entry["type"]
    of_type = RENAMED_TYPES.get(type_name) or RENAMES_OF_TYPE.get((name, type_name))
    return of_type or RENAMES.get(name, name)


def _compare(index: int, entry: Entry, part: OiioPart) -> int:
    name, type_name = entry["name"], entry["type"]
    place = f"part {index}, {name} ({type_name})"
    is_absent = name in ELSEWHERE or TYPED_NAMES.get(name, type_name) != type_name
    if is_absent or is_dropped(DROPS, entry):
        is_there = _name_of(entry) in part.metadata and _name_of(entry) not in INVENTS
        assert not is_there, f"{place}: the wheel was thought to drop it"
        return 0
    assert _name_of(entry) in part.metadata, f"{place}: not in the wheel's metadata"
    kind, value = part.metadata[_name_of(entry)]
    assert kind == TYPES.get(type_name, kind), f"{place}: {kind} there"
    ours, theirs = SHOWN.get(type_name, _opaque)(entry), _plain(type_name, value)
    assert exact(type_name, ours) == exact(type_name, theirs), f"{place}: {ours!r} here, {theirs!r} there"
    return 1


def _scalar(entry: Entry) -> Any:
    return entry["value"]


def _flat(entry: Entry) -> list[Any]:
    return flat(entry["value"])


def _list_or(empty: Any) -> Callable[[Entry], Any]:
    return lambda entry: [_until_nul(each) for each in entry["value"]] or empty


def _until_nul(value: Any) -> Any:
    return value.partition("\0")[0] if isinstance(value, str) else value


def _opaque(entry: Entry) -> Any:
    return base64.b64decode(entry["value"]["data"]) or EMPTY["opaque"]


# Our value as the wheel shows one of that type: boxes and matrices flat, what it leaves out left out.
SHOWN: dict[str, Callable[[Entry], Any]] = {
    **dict.fromkeys(TYPES, _flat),
    **dict.fromkeys(("double", "float", "int", "lineOrder"), _scalar),
    "deepImageState": lambda entry: DEEP_IMAGE_STATES[entry["value"]],
    "floatvector": _list_or(EMPTY["floatvector"]),
    "idmanifest": lambda entry: base64.b64decode(entry["raw"]),
    "keycode": lambda entry: entry["value"]["raw"],
    "rational": _reduced,
    "string": _c_text,
    "stringvector": _list_or(EMPTY["stringvector"]),
    "timecode": lambda entry: [entry["value"]["time_and_flags"], entry["value"]["user_data"]],
}


def _plain(type_name: str, value: Any) -> Any:
    if type_name == "string":
        return value.encode(errors="surrogateescape")
    if type_name == "stringvector" and isinstance(value, tuple):
        return [_text_of(text) for text in value]
    if hasattr(value, "tobytes"):
        return value.tobytes()
    return list(value) if isinstance(value, tuple) else value


def _compare_spec(document: Document, index: int, part: OiioPart) -> None:
    """What the wheel shows outside the metadata."""
    row = document["parts"][index]
    _compare_windows(row, part)
    assert bool(row["is_deep"]) == part.is_deep, f"part {index}: deep"
    if row["is_tiled"]:
        assert (row["tile_width"], row["tile_height"]) == part.tile_size, f"part {index}: tiles"
    channels = {each["name"]: each["type"] for each in document["channels"] if each["part_index"] == index}
    assert channels == part.channels, f"part {index}: channels"
    word = row["compression"]
    if word is not None and not is_unknown(word):
        assert word == part.metadata["compression"][1], f"part {index}: compression"


def _compare_windows(row: Entry, part: OiioPart) -> None:
    windows: Sequence[tuple[str, tuple[int, int, int, int]]] = (
        ("data_window", part.data_window),
        ("display_window", part.display_window),
    )
    for key, theirs in windows:
        if row[key] is not None:  # else the wheel has a default
            low, high = row[key]["min"], row[key]["max"]
            ours = (low["x"], low["y"], high["x"] - low["x"] + 1, high["y"] - low["y"] + 1)
            assert ours == theirs, f"part {row['part_index']}: {key}: {ours} here, {theirs} there"
