"""The checks of flags, parts and attributes: each takes what it looks at and yields its findings, in file order.

A check says nothing about a value that could not be decoded: the reader has said so already, and
`records.as_reported` turns what it said into findings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from exr_inspector.errors import shown
from exr_inspector.exr.attributes import STANDARD_TYPES
from exr_inspector.model import PART_TYPE_NAMES, Attribute, ExrHeader, Opaque, Part
from exr_inspector.rules.always import DEEP_PART_TYPES, REQUIRED, TILED_PART_TYPES, required_names
from exr_inspector.rules.records import Finding, Findings, at, at_name

_VERSION_FIELD_OFFSET = 4
SHORT_NAME_BYTES = 31
LONG_NAME_BYTES = 255


# ---- Version flags, parts and their kinds ------------------------------------------------------------------


def flags(header: ExrHeader) -> Findings:
    """The tiled flag stands alone: it is for files of one flat part."""
    if header.flags.tiled and (header.flags.deep or header.flags.multipart):
        field = int.from_bytes(header.data[_VERSION_FIELD_OFFSET : _VERSION_FIELD_OFFSET + 4], "little")
        message = f"the version field {field:#x} sets flags that exclude each other"
        yield Finding(message, offset=_VERSION_FIELD_OFFSET)


def has_parts(header: ExrHeader) -> Findings:
    """A list of headers has at least one."""
    if not header.parts:
        yield Finding("the list of headers is empty", offset=_VERSION_FIELD_OFFSET + 4)


def part_type(header: ExrHeader, part: Part) -> Findings:
    """In multipart and deep files `type` is one of the four."""
    kind = part.value("type", "string")
    if (header.flags.multipart or header.flags.deep) and kind is not None and kind not in PART_TYPE_NAMES:
        yield at_name(part, "type", f"the part type {shown(kind)} is not one of {', '.join(PART_TYPE_NAMES)}")


def part_type_flags(header: ExrHeader) -> Findings:
    """`type` and the version flags say the same."""
    kinds = [part.value("type", "string") for part in header.parts]
    for part, kind in zip(header.parts, kinds, strict=True):
        words = _contradiction(header, part, kind)
        if words:
            yield at_name(part, "type", words)
    if header.flags.multipart and header.flags.deep and not any(kind in DEEP_PART_TYPES for kind in kinds):
        yield Finding("the version flags say deep, and no part is", offset=_VERSION_FIELD_OFFSET)


def _contradiction(header: ExrHeader, part: Part, kind: str | None) -> str:
    if kind is None:
        return ""
    multipart, deep = header.flags.multipart, header.flags.deep
    if not multipart and not deep:
        by_flags = header.part_type(part)
        return f"the type is {shown(kind)}, the version flags say {by_flags}" if kind != by_flags else ""
    if kind in DEEP_PART_TYPES:
        return "" if deep else f"the type is {kind}, the version flags do not say deep"
    is_flat_in_deep = kind in PART_TYPE_NAMES and not multipart
    return f"the type is {kind}, the version flags say deep" if is_flat_in_deep else ""


def part_name_unique(header: ExrHeader) -> Findings:
    """No two parts have the same name."""
    seen: dict[str, int] = {}
    for part in header.parts:
        name = part.value("name", "string")
        if name is None:
            continue
        first = seen.setdefault(name, part.part_index)
        if first != part.part_index:
            yield at_name(part, "name", f"part {first} has the name {shown(name)} too")


# What all parts of a file have in common. As in the library: `timecode`, though the standard name is `timeCode`.
SHARED = ("displayWindow", "pixelAspectRatio", "chromaticities", "timecode")
SHARED_TIME_CODE = ("timeCode",)


def part_shared(header: ExrHeader) -> Findings:
    """The parts share what the library compares."""
    return _differing(header, SHARED)


def part_shared_time_code(header: ExrHeader) -> Findings:
    """The parts share the time code."""
    return _differing(header, SHARED_TIME_CODE)


def _differing(header: ExrHeader, names: tuple[str, ...]) -> Findings:
    """A part may leave out what it shares; what it has is what part 0 has."""
    for part in header.parts[1:]:
        for name in names:
            own, shared = part.first.get(name), header.parts[0].first.get(name)
            if own is not None and (shared is None or _content(header, own) != _content(header, shared)):
                words = "part 0 has none" if shared is None else "part 0 has another value"
                yield at(part, own, f"all parts share this attribute, and {words}")


def _content(header: ExrHeader, attribute: Attribute) -> tuple[str, bytes]:
    return attribute.type_name, header.payload(attribute)


def random_y(header: ExrHeader, part: Part) -> Findings:
    """The line order randomY is for tiles."""
    order = part.value("lineOrder", "lineOrder")
    if order is not None and order.name == "randomY" and header.part_type(part) not in TILED_PART_TYPES:
        yield at_name(part, "lineOrder", "randomY is for tiled parts")


def deep_version(header: ExrHeader, part: Part) -> Findings:
    """Deep data have version 1."""
    version = part.value("version", "int")
    if header.part_type(part) in DEEP_PART_TYPES and version not in (None, 1):
        yield at_name(part, "version", f"the version of deep data is {version}; 1 is the only one")


# ---- Required, typed, unique -------------------------------------------------------------------------------

# Without these the lenient reference refuses the file; for all others it takes a default.
NEVER_DEFAULTED = ("channels", "tiles", "name", "type")


def _missing(header: ExrHeader, part: Part) -> Iterator[str]:
    return (name for name in required_names(header.flags, header.part_type(part)) if name not in part.first)


def _is_missing(part: Part, name: str) -> Finding:
    return Finding("this required attribute is missing", part.part_index, name)


def attribute_required(header: ExrHeader, part: Part) -> Findings:
    """Required attributes for which no reader has a default."""
    return (_is_missing(part, name) for name in _missing(header, part) if name in NEVER_DEFAULTED)


def attribute_required_strict(header: ExrHeader, part: Part) -> Findings:
    """Required attributes for which lenient readers take a default."""
    return (_is_missing(part, name) for name in _missing(header, part) if name not in NEVER_DEFAULTED)


def _of_other_type(header: ExrHeader, part: Part, *, is_never_defaulted: bool) -> Findings:
    needed = [name for name in required_names(header.flags, header.part_type(part)) if name in NEVER_DEFAULTED]
    for name, type_name in STANDARD_TYPES.items():
        attribute = part.first.get(name)
        if attribute is not None and attribute.type_name != type_name and (name in needed) == is_never_defaulted:
            yield at(part, attribute, f"the standard type is {type_name}")


def attribute_type(header: ExrHeader, part: Part) -> Findings:
    """A required attribute of another type, for which no reader has a default."""
    return _of_other_type(header, part, is_never_defaulted=True)


def attribute_type_strict(header: ExrHeader, part: Part) -> Findings:
    """Another standard attribute of another type."""
    return _of_other_type(header, part, is_never_defaulted=False)


# Every attribute that is required of parts of some kind.
_REQUIRED_OF_SOME = frozenset((*REQUIRED, "tiles", "name", "type", "version", "chunkCount"))


def _duplicates(part: Part, *, is_required: bool) -> Findings:
    if len(part.first) == len(part.attributes):
        return
    counts = Counter(attribute.name for attribute in part.attributes)
    told: set[str] = set()
    for attribute in part.attributes:
        name = attribute.name
        # The place is that of the second one, the first that is too many.
        if name in told or attribute is part.first[name]:
            continue
        told.add(name)
        if (name in _REQUIRED_OF_SOME) == is_required:
            message = f"the name stands {counts[name]} times in this part; the first one counts"
            yield Finding(message, part.part_index, name, attribute.type_name, attribute.name_offset)


def attribute_duplicate_required(part: Part) -> Findings:
    """A required attribute that stands more than once."""
    return _duplicates(part, is_required=True)


def attribute_duplicate(part: Part) -> Findings:
    """Another attribute that stands more than once."""
    return _duplicates(part, is_required=False)


# ---- Names -------------------------------------------------------------------------------------------------

_SIZE_BYTES = 4
# Name and type with their NULs, and the size: below this neither name can be too long.
_SHORT_ATTRIBUTE_BYTES = SHORT_NAME_BYTES + 2 + _SIZE_BYTES
_CHANNEL_FIELDS_BYTES = 16


def _attribute_name_bytes(header: ExrHeader, attribute: Attribute) -> int:
    """The length of the name or of the type, whichever is longer, as stored."""
    name_end = header.data.index(0, attribute.name_offset)
    type_bytes = attribute.value_offset - _SIZE_BYTES - 1 - (name_end + 1)
    return max(name_end - attribute.name_offset, type_bytes)


def _channel_name_bytes(payload: bytes, channels: int) -> Iterator[int]:
    """The stored length of each channel's name."""
    start = 0
    for _ in range(channels):
        end = payload.index(0, start)
        yield end - start
        start = end + 1 + _CHANNEL_FIELDS_BYTES


def _long_names(header: ExrHeader, part: Part) -> Iterator[tuple[int, Finding]]:
    """Every name that is longer than the shorter limit, with its length."""
    for attribute in part.attributes:
        if attribute.value_offset - attribute.name_offset > _SHORT_ATTRIBUTE_BYTES:
            size = _attribute_name_bytes(header, attribute)
            if size > SHORT_NAME_BYTES:
                message = f"a name or type of {size} bytes"
                place = (part.part_index, attribute.name, attribute.type_name, attribute.name_offset)
                yield size, Finding(message, *place)
    if any(len(channel.name.encode()) > SHORT_NAME_BYTES for channel in part.channels):
        payload = header.payload(part.first["channels"])
        sizes = _channel_name_bytes(payload, len(part.channels))
        for channel, size in zip(part.channels, sizes, strict=True):
            if size > SHORT_NAME_BYTES:
                yield size, at_name(part, "channels", f"the channel {shown(channel.name)} has a name of {size} bytes")


def name_length(header: ExrHeader, part: Part) -> Findings:
    """No name is longer than 255 bytes."""
    return (finding for size, finding in _long_names(header, part) if size > LONG_NAME_BYTES)


def name_length_strict(header: ExrHeader, part: Part) -> Findings:
    """No name is longer than 31 bytes where the flags do not say so."""
    if header.flags.long_names:
        return iter(())
    return (finding for size, finding in _long_names(header, part) if size <= LONG_NAME_BYTES)


# ---- Values ------------------------------------------------------------------------------------------------


def preview_size(part: Part) -> Findings:
    """A preview has pixels, and all of them."""
    for attribute in part.attributes:
        if attribute.type_name != "preview":
            continue
        image = attribute.value
        if type(image) is Opaque:
            yield at(part, attribute, f"{attribute.size_bytes} bytes are not 8 and four for each pixel")
        elif not image.width or not image.height:
            yield at(part, attribute, f"a preview of {image.width} x {image.height} pixels")
