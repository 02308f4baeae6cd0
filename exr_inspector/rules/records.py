"""What a rule is, what it looks at, what it says, and the ways to make a check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from exr_inspector.errors import Problem, placed
from exr_inspector.limits import DEFAULT_LIMITS, Limits
from exr_inspector.model import Attribute, ExrHeader, Part

LEVELS: dict[str, str] = {
    "R": "readers reject the file, or drop what breaks the rule",
    "S": "rejected in the reference's strict mode only",
    "W": "writers refuse to write it, readers read it",
    "N": "documented, checked by nobody",
    "I": "this inspector could not look, so it does not judge",
    "P": "asked for by a policy",
}
SEVERITIES = ("error", "warning")


class Facts(NamedTuple):
    """What is known of one file: its header, what reading it and checking its chunks found, and its document.

    `header` is what could be read of it, None if nothing could; `is_whole` tells if that is all of it.
    """

    header: ExrHeader | None
    is_whole: bool = True
    problems: tuple[Problem, ...] = ()
    document: Mapping[str, Any] = MappingProxyType({})
    limits: Limits = DEFAULT_LIMITS


class Finding(NamedTuple):
    """One place where a rule is broken: the fields of a `Problem` without its code."""

    message: str
    part_index: int | None = None
    attribute: str | None = None
    type_name: str | None = None
    offset: int | None = None

    @property
    def full_message(self) -> str:
        """The message behind its place."""
        return placed(self.message, self.part_index, self.attribute, self.type_name, self.offset)


Findings = Iterator[Finding]
Check = Callable[[Facts], Findings]


class Rule(NamedTuple):
    """One row of the table. `code`: findings also stand in the document's `errors` of every file, under it."""

    id: str
    severity: str
    level: str
    citation: str
    meaning: str
    check: Check
    code: str | None = None


# ---- Where a finding is ------------------------------------------------------------------------------------


def at(part: Part, attribute: Attribute, message: str) -> Finding:
    """A finding about an attribute's value."""
    return Finding(message, part.part_index, attribute.name, attribute.type_name, attribute.value_offset)


def at_name(part: Part, name: str, message: str) -> Finding:
    """A finding about the value of the part's first attribute of that name, or about its absence."""
    attribute = part.first.get(name)
    return Finding(message, part.part_index, name) if attribute is None else at(part, attribute, message)


# ---- What a check is made of -------------------------------------------------------------------------------


def of_header(check: Callable[[ExrHeader], Findings]) -> Check:
    """A check that looks at a whole header. A cut one is not judged: what it lacks may be what was not read."""
    return lambda facts: check(facts.header) if facts.header is not None and facts.is_whole else iter(())


def of_parts(check: Callable[[Part], Findings]) -> Check:
    """A check that looks at each part of a whole header."""
    return of_header(lambda header: (finding for part in header.parts for finding in check(part)))


def of_parts_and_flags(check: Callable[[ExrHeader, Part], Findings]) -> Check:
    """A check that looks at each part of a whole header, and at the header's flags."""
    return of_header(lambda header: (finding for part in header.parts for finding in check(header, part)))


def as_reported(*codes: str, types: Iterable[str] = (), other_than: Iterable[str] = ()) -> Check:
    """What reading the file has reported under these codes: of attributes of these `types`, or of all but some."""
    wanted, unwanted = frozenset(types), frozenset(other_than)

    def check(facts: Facts) -> Findings:
        for problem in facts.problems:
            is_wanted = not wanted or problem.type_name in wanted
            if problem.code in codes and is_wanted and problem.type_name not in unwanted:
                yield Finding(*problem[1:])

    return check
