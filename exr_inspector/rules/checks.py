"""The checks behind the rules: each takes the facts of a file and yields its findings, in the file's order.

A check says nothing about a value that could not be decoded: the reader has said so already, and
`as_reported` turns what it said into findings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from exr_inspector.errors import shown
from exr_inspector.exr.attributes import STANDARD_TYPES
from exr_inspector.model import PART_TYPE_NAMES, ExrHeader, Part
from exr_inspector.rules.always import REQUIRED, required_names
from exr_inspector.rules.records import Facts, Finding, at_name

Check = Callable[[Facts], Iterator[Finding]]
HeaderCheck = Callable[[ExrHeader], Iterator[Finding]]
PartCheck = Callable[[Part], Iterator[Finding]]
PartOfHeaderCheck = Callable[[ExrHeader, Part], Iterator[Finding]]

_VERSION_FIELD_OFFSET = 4


# ---- What a check is made of -------------------------------------------------------------------------------


def of_header(check: HeaderCheck) -> Check:
    """A check that looks at a whole header, and at nothing if there is none."""
    return lambda facts: check(facts.header) if facts.header is not None and facts.is_whole else iter(())


def of_parts(check: PartCheck) -> Check:
    """A check that looks at each part of a whole header."""
    return of_header(lambda header: (finding for part in header.parts for finding in check(part)))


def of_parts_and_flags(check: PartOfHeaderCheck) -> Check:
    """A check that looks at each part of a whole header, and at the header's flags."""
    return of_header(lambda header: (finding for part in header.parts for finding in check(header, part)))


# ---- Version flags, parts and their kinds ------------------------------------------------------------------


def flags(header: ExrHeader) -> Iterator[Finding]:
    """The tiled flag stands alone: it is for files of one flat part."""
    if header.flags.tiled and (header.flags.deep or header.flags.multipart):
        field = int.from_bytes(header.data[_VERSION_FIELD_OFFSET : _VERSION_FIELD_OFFSET + 4], "little")
        message = f"the version field {field:#x} sets flags that exclude each other"
        yield Finding(message, offset=_VERSION_FIELD_OFFSET)


def has_parts(header: ExrHeader) -> Iterator[Finding]:
    """A list of headers has at least one."""
    if not header.parts:
        yield Finding("the list of headers is empty", offset=_VERSION_FIELD_OFFSET + 4)


def part_type_known(header: ExrHeader, part: Part) -> Iterator[Finding]:
    """In multipart and deep files `type` is one of the four."""
    part_type = part.value("type", "string")
    if (header.flags.multipart or header.flags.deep) and part_type is not None and part_type not in PART_TYPE_NAMES:
        yield at_name(part, "type", f"the part type {shown(part_type)} is not one of {', '.join(PART_TYPE_NAMES)}")


# ---- Attributes --------------------------------------------------------------------------------------------

# Without these the lenient reference refuses the file; for all others it takes a default.
NEVER_DEFAULTED = ("channels", "tiles", "name", "type")


def _missing(header: ExrHeader, part: Part) -> Iterator[str]:
    return (name for name in required_names(header.flags, header.part_type(part)) if name not in part.first)


def _is_missing(part: Part, name: str) -> Finding:
    return Finding("this required attribute is missing", part.part_index, name)


def attribute_required(header: ExrHeader, part: Part) -> Iterator[Finding]:
    """Required attributes for which no reader has a default."""
    return (_is_missing(part, name) for name in _missing(header, part) if name in NEVER_DEFAULTED)


def attribute_required_strict(header: ExrHeader, part: Part) -> Iterator[Finding]:
    """Required attributes for which lenient readers take a default."""
    return (_is_missing(part, name) for name in _missing(header, part) if name not in NEVER_DEFAULTED)


def _of_other_type(part: Part) -> Iterator[str]:
    for name, type_name in STANDARD_TYPES.items():
        attribute = part.first.get(name)
        if attribute is not None and attribute.type_name != type_name:
            yield name


def attribute_type(part: Part) -> Iterator[Finding]:
    """A standard attribute of another type."""
    return (at_name(part, name, f"the standard type is {STANDARD_TYPES[name]}") for name in _of_other_type(part))


def _duplicates(part: Part) -> Iterator[tuple[str, Finding]]:
    if len(part.first) == len(part.attributes):
        return
    counts = Counter(attribute.name for attribute in part.attributes)
    told: set[str] = set()
    for attribute in part.attributes:
        name, count = attribute.name, counts[attribute.name]
        # The place is that of the second one, the first that is too many.
        if count == 1 or name in told or attribute is part.first[name]:
            continue
        told.add(name)
        message = f"the name stands {count} times in this part; the first one counts"
        yield name, Finding(message, part.part_index, name, attribute.type_name, attribute.name_offset)


def attribute_duplicate_required(part: Part) -> Iterator[Finding]:
    """A required attribute that stands more than once."""
    return (finding for name, finding in _duplicates(part) if name in STANDARD_REQUIRED)


def attribute_duplicate(part: Part) -> Iterator[Finding]:
    """Another attribute that stands more than once."""
    return (finding for name, finding in _duplicates(part) if name not in STANDARD_REQUIRED)


STANDARD_REQUIRED = frozenset((*REQUIRED, "tiles", "name", "type", "version", "chunkCount"))


# ---- Windows -----------------------------------------------------------------------------------------------

WINDOWS = ("dataWindow", "displayWindow")


def window_inverted(part: Part) -> Iterator[Finding]:
    """A window's maximum lies below its minimum."""
    for name in WINDOWS:
        window = part.value(name, "box2i")
        if window is not None and (window.max.x < window.min.x or window.max.y < window.min.y):
            yield at_name(part, name, f"the maximum {tuple(window.max)} lies below the minimum {tuple(window.min)}")


# ---- Channels ----------------------------------------------------------------------------------------------


def channel_duplicate(part: Part) -> Iterator[Finding]:
    """A channel that stands more than once."""
    names = [channel.name for channel in part.channels]
    if len(set(names)) < len(names):
        for name, count in Counter(names).items():
            if count > 1:
                yield at_name(part, "channels", f"the channel {shown(name)} stands {count} times")
