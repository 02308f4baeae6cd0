"""The rules that every file is held to: their findings stand in the document's `errors`.

Most files break none of them, so there are two readings of these rules. `is_plain` says in about a microsecond
that a part breaks none; where it does not say so, the rows of `table.RULES` that have a code are run, and they
alone decide. Tests hold that `is_plain` never says yes where a row finds something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice, product
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

_REQUIRED_TYPES = tuple(STANDARD_TYPES[name] for name in REQUIRED)
_name_of = itemgetter(0)
_Required = Callable[[Mapping[str, Attribute]], tuple[Attribute, ...]]


def _kinds(flags: Flags) -> dict[str | None, _Required]:
    """Part type → what gets all that such a part must have, REQUIRED first; the type is None where flags say all."""
    part_types = PART_TYPE_NAMES if flags.multipart or flags.deep else (None,)
    return {part_type: itemgetter(*required_names(flags, part_type)) for part_type in part_types}


# The flags that go together → the kinds of parts in a file that has them.
KINDS_BY_FLAGS = {
    flags: _kinds(flags)
    for flags in map(Flags._make, product((False, True), repeat=len(Flags._fields)))
    if not flags.tiled or not (flags.deep or flags.multipart)
}


def is_plain(part: Part, kinds: dict[str | None, _Required]) -> bool:
    """Whether it is certain that the part breaks none of these rules. False says nothing."""
    _, attributes, first = part
    if len(first) != len(attributes):
        return False
    try:
        a, b, c, d, e, f, g, h = kinds[None if None in kinds else first["type"][2]](first)[:8]
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
    return is_upright and _has_standard_types(first.get)


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


# ---- The table's reading -----------------------------------------------------------------------------------


def header_problems(header: ExrHeader, limits: Limits) -> tuple[Problem, ...]:
    """What is wrong with a whole header, for the document's `errors`. No more than `limits.max_problems` and one."""
    parts, kinds = header.parts, KINDS_BY_FLAGS.get(header.flags)
    if parts and kinds is not None:
        for part in parts:
            if not is_plain(part, kinds):
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
