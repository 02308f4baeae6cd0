"""The values that a policy file may hold: a reader takes a JSON value and gives the checked one, or raises.

Policies come from files that others write: every text, list and number is bounded, and patterns are globs, which
match in linear time; no regular expression is ever taken from a file.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from exr_inspector.errors import shown
from exr_inspector.limits import MAX_MATCHED_TEXT, MAX_POLICY_ENTRIES, MAX_POLICY_TEXT


class PolicyError(Exception):
    """The policy cannot be read or understood; the message names the field, never the file."""


Read = Callable[[Any, str], Any]


class Field(NamedTuple):
    """One field: how it is read, and what it is where it is left out; `...` if it may not be."""

    read: Read
    default: Any = ...


_JSON_WORDS = {
    dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number",
    type(None): "null",
}  # fmt: skip


def fail(place: str, wanted: str, value: Any) -> PolicyError:
    """The error for a value of the wrong kind."""
    got = f"the text {shown(value)}" if isinstance(value, str) else _JSON_WORDS[type(value)]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        got = f"the number {value:.16g}"
    return PolicyError(f"{place}: wanted {wanted}, got {got}")


def read_fields(value: Any, place: str, fields: Mapping[str, Field]) -> dict[str, Any]:
    """The fields of the policy or of one of its objects, with defaults. A field that no table has is an error."""
    if not isinstance(value, dict):
        raise fail("the policy", "an object", value)
    for name in value:
        if name not in fields:
            raise PolicyError(f"{_inside(place, shown(name))}: no such field; there are {', '.join(fields)}")
    return {name: _read_field(value, place, name, field) for name, field in fields.items()}


def _read_field(value: dict[str, Any], place: str, name: str, field: Field) -> Any:
    inside = _inside(place, name)
    if name in value:
        return field.read(value[name], inside)
    if field.default is ...:
        raise PolicyError(f"{inside}: this field is missing")
    return field.default


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


# ---- Single values -----------------------------------------------------------------------------------------


def text(value: Any, place: str) -> str:
    """Text that is not empty, of bounded length."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_POLICY_TEXT:
        raise fail(place, f"text of 1 to {MAX_POLICY_TEXT} characters", value)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise fail(place, "text without half a surrogate pair", value)
    return value


def integer(value: Any, place: str) -> int:
    """A whole number that JSON holds exactly."""
    if type(value) is not int or abs(value) > 1 << 53:
        raise fail(place, "a whole number", value)
    return value


def count(value: Any, place: str) -> int:
    """A whole number, 0 or more."""
    if integer(value, place) < 0:
        raise fail(place, "0 or more", value)
    return int(value)


def one_of(words: Iterable[str]) -> Read:
    """One of these words."""
    known = tuple(words)

    def read(value: Any, place: str) -> str:
        if not isinstance(value, str) or value not in known:
            raise fail(place, f"one of {', '.join(known)}", value)
        return value

    return read


# ---- Lists -------------------------------------------------------------------------------------------------


def list_of(read: Read) -> Read:
    """A list of one or more of these."""

    def read_list(value: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise fail(place, "a list with an entry", value)
        if len(value) > MAX_POLICY_ENTRIES:
            raise PolicyError(f"{place}: {len(value)} entries are more than {MAX_POLICY_ENTRIES}")
        return tuple(read(each, f"{place}[{index}]") for index, each in enumerate(value))

    return read_list


def size(value: Any, place: str) -> tuple[int, int]:
    """Width and height."""
    pair = list_of(count)(value, place)
    if len(pair) != 2:
        raise fail(place, "[width, height]", value)
    return pair[0], pair[1]


# ---- Patterns ----------------------------------------------------------------------------------------------


class Globs(NamedTuple):
    """Patterns with `*`, `?` and `[…]`; case counts."""

    patterns: tuple[str, ...]
    match: Callable[[str], object]

    def matches(self, name: str) -> bool:
        """Whether one of the patterns matches the whole text."""
        return len(name) <= MAX_MATCHED_TEXT and self.match(name) is not None


def as_globs(patterns: tuple[str, ...]) -> Globs:
    """Compiled patterns. `fnmatch.translate` wraps each star so that a match never goes back on it: no explosion."""
    return Globs(patterns, re.compile("|".join(map(fnmatch.translate, patterns))).match)


def globs(value: Any, place: str) -> Globs:
    """A list of patterns."""
    return _compiled(list_of(text)(value, place), place)


def glob(value: Any, place: str) -> Globs:
    """One pattern."""
    return _compiled((text(value, place),), place)


def _compiled(patterns: tuple[str, ...], place: str) -> Globs:
    try:
        return as_globs(patterns)
    except re.error as error:  # older Pythons translate some ranges, like [b-a], to what they cannot compile
        raise PolicyError(f"{place}: not a pattern: {error}") from error


# ---- Values of attributes ----------------------------------------------------------------------------------


class Allowed(NamedTuple):
    """What an attribute's value may be: texts match as patterns, everything else is equal as JSON."""

    values: tuple[Any, ...]
    texts: Globs | None

    def holds(self, value: Any) -> bool:
        """Whether a value, as the document shows it, is allowed."""
        if isinstance(value, str):
            return self.texts is not None and self.texts.matches(value)
        return any(is_same(each, value) for each in self.values)


def is_same(wanted: Any, value: Any) -> bool:
    """Equality of JSON values; unlike Python's, true is not 1."""
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    if isinstance(wanted, dict) and isinstance(value, dict):
        return wanted.keys() == value.keys() and all(is_same(wanted[key], value[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(value, list):
        return len(wanted) == len(value) and all(map(is_same, wanted, value))
    return bool(wanted == value)


def _any_value(value: Any, place: str) -> Any:
    return text(value, place) if isinstance(value, str) else value


def allowed_values(value: Any, place: str) -> Allowed:
    """A list of allowed values."""
    values = list_of(_any_value)(value, place)
    texts = tuple(each for each in values if isinstance(each, str))
    return Allowed(values, _compiled(texts, place) if texts else None)
