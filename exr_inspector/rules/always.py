"""The rules that every file is held to: their findings stand in the document's `errors`.

Most files break none of them, so there are two readings of these rules. `is_plain` says in about a microsecond
that a part breaks none; where it does not say so, the rows of `table.RULES` that have a code are run, and they
alone decide. Tests hold that `is_plain` never says yes where a row finds something.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from operator import itemgetter

from exr_inspector.errors import Problem
from exr_inspector.exr.attributes import STANDARD_TYPES
from exr_inspector.limits import Limits
from exr_inspector.model import PART_TYPE_NAMES, Attribute, Box2, ExrHeader, Flags, Part

# ---- What every part must have -----------------------------------------------------------------------------

REQUIRED = (
    "channels",
    "compression",
    "dataWindow",
    "displayWindow",
    "lineOrder",
    "pixelAspectRatio",
    "screenWindowCenter",
    "screenWindowWidth",
)
TILED_PART_TYPES = ("tiledimage", "deeptile")
DEEP_PART_TYPES = ("deepscanline", "deeptile")


def required_names(flags: Flags, part_type: str | None) -> list[str]:
    """The attributes that a part must have: REQUIRED, and what its kind asks for."""
    names = list(REQUIRED)
    if part_type in TILED_PART_TYPES or (flags.tiled and not flags.multipart):
        names.append("tiles")
    if flags.multipart:
        names.append("name")
    if flags.multipart or flags.deep:
        names += ["type", "chunkCount"]
    if part_type in DEEP_PART_TYPES or (flags.deep and not flags.multipart):
        names.append("version")
    return names


# ---- The fast reading --------------------------------------------------------------------------------------
# Indices instead of field names, and no loops over names: both would double the time.

_required_of = itemgetter(*REQUIRED)
_REQUIRED_TYPES = tuple(STANDARD_TYPES[name] for name in REQUIRED)
_name_of = itemgetter(0)
# (multipart, part type) → what such a part of a multipart or deep file must have beside REQUIRED.
_ALSO_REQUIRED: dict[tuple[bool, str | None], frozenset[str]] = {
    (multipart, part_type): frozenset(required_names(Flags(False, False, not multipart, multipart), part_type))
    - frozenset(REQUIRED)
    for multipart in (False, True)
    for part_type in PART_TYPE_NAMES
}


def is_plain(part: Part, flags: Flags) -> bool:
    """Whether it is certain that the part breaks none of these rules. False says nothing."""
    _, attributes, first = part
    if len(first) != len(attributes):
        return False
    try:
        a, b, c, d, e, f, g, h = _required_of(first)
    except KeyError:
        return False
    if (a[1], b[1], c[1], d[1], e[1], f[1], g[1], h[1]) != _REQUIRED_TYPES:
        return False
    channels, data, display = a[2], c[2], d[2]
    if type(data) is not Box2 or type(display) is not Box2 or len(set(map(_name_of, channels))) != len(channels):
        return False
    (x_min, y_min), (x_max, y_max) = data
    (left, top), (right, bottom) = display
    is_upright = x_min <= x_max and y_min <= y_max and left <= right and top <= bottom
    return is_upright and _has_standard_types(first.get) and _has_kind(part, flags)


def _has_standard_types(get: Callable[[str], Attribute | None]) -> bool:
    """Whether the standard attributes that only some parts have are of their types."""
    return not (
        ((a := get("type")) is not None and a[1] != "string")
        or ((a := get("name")) is not None and a[1] != "string")
        or ((a := get("chunkCount")) is not None and a[1] != "int")
        or ((a := get("tiles")) is not None and a[1] != "tiledesc")
        or ((a := get("version")) is not None and a[1] != "int")
        or ((a := get("view")) is not None and a[1] != "string")
        or ((a := get("multiView")) is not None and a[1] != "stringvector")
    )


def _has_kind(part: Part, flags: Flags) -> bool:
    """Whether the part has what its kind asks for. Its `type` is a string, or not there."""
    tiled, _, deep, multipart = flags
    first = part.first
    if not multipart and not deep:
        return not tiled or "tiles" in first
    attribute = first.get("type")
    also_required = _ALSO_REQUIRED.get((multipart, attribute and attribute[2]))
    return also_required is not None and also_required <= first.keys()


# ---- The table's reading -----------------------------------------------------------------------------------


def header_problems(header: ExrHeader, limits: Limits) -> tuple[Problem, ...]:
    """What is wrong with a whole header, for the document's `errors`. No more than `limits.max_problems` and one."""
    flags, parts = header.flags, header.parts
    if parts and not (flags.tiled and (flags.deep or flags.multipart)):
        for part in parts:
            if not is_plain(part, flags):
                break
        else:
            return ()
    return _by_table(header, limits)


def _by_table(header: ExrHeader, limits: Limits) -> tuple[Problem, ...]:
    from exr_inspector.rules.records import Facts  # noqa: PLC0415  # the table costs a start, and few files need it
    from exr_inspector.rules.table import RULES  # noqa: PLC0415

    facts = Facts(header, limits=limits)
    found = (Problem(rule.code, *finding) for rule in RULES if rule.code for finding in rule.check(facts))
    problems = tuple(islice(found, limits.max_problems))
    left_out = sum(1 for _ in found)
    if left_out:
        problems += (Problem("limit_problems", f"{left_out} more problems of the header are not listed"),)
    return problems
