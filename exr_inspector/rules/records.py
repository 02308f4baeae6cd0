"""What a rule is, what it looks at, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from exr_inspector.errors import Problem, placed
from exr_inspector.limits import DEFAULT_LIMITS, Limits
from exr_inspector.model import Attribute, ExrHeader, Part

# ---- Who minds ---------------------------------------------------------------------------------------------

LEVELS: dict[str, str] = {
    "R": "readers reject the file, or drop what breaks the rule",
    "S": "rejected in the reference's strict mode only",
    "W": "writers refuse to write it, readers read it",
    "N": "documented, checked by nobody",
}
SEVERITIES = ("error", "warning")


class Facts(NamedTuple):
    """What is known of one file: its header, what reading it and checking its chunks found, and its document.

    `header` is None, or what was read of it, where the header could not be walked to its end; `is_whole` tells.
    """

    header: ExrHeader | None
    is_whole: bool = True
    problems: tuple[Problem, ...] = ()
    document: Mapping[str, Any] = {}
    limits: Limits = DEFAULT_LIMITS


class Finding(NamedTuple):
    """One place where a rule is broken; the fields of a `Problem` without its code."""

    message: str
    part_index: int | None = None
    attribute: str | None = None
    type_name: str | None = None
    offset: int | None = None

    @property
    def full_message(self) -> str:
        """The message behind its place."""
        return placed(self.message, self.part_index, self.attribute, self.type_name, self.offset)


class Rule(NamedTuple):
    """One row of the table. `code`: findings also stand in the document's `errors` of every file, under it."""

    id: str
    severity: str
    level: str
    citation: str
    meaning: str
    check: Callable[[Facts], Iterable[Finding]]
    code: str | None = None


# ---- Places ------------------------------------------------------------------------------------------------


def at(part: Part, attribute: Attribute, message: str) -> Finding:
    """A finding about an attribute's value."""
    return Finding(message, part.part_index, attribute.name, attribute.type_name, attribute.value_offset)


def at_name(part: Part, name: str, message: str) -> Finding:
    """A finding about the value of the part's first attribute of that name."""
    return at(part, part.first[name], message)
