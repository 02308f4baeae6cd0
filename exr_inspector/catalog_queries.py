"""The named queries of `queries/*.sql`: what their header comments say, and the values of their parameters.

A header is a comment: a numbered title, then sections that begin with `For:`, `Parameters:` and `Example:`. The
lines of a parameter have four columns, two spaces apart: name, type, default, meaning.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, NamedTuple

from exr_inspector.errors import shown

_FOLDER = os.path.join(os.path.dirname(__file__), "queries")
_SECTIONS = ("For", "Parameters", "Example")
_TITLE = re.compile(r"(\d+)\. (.+)")
_NAME = re.compile(r"[a-z_]+\Z")
_COLUMNS = re.compile(r" {2,}")
_AGO = re.compile(r"now(?:-(\d{1,5})d)?\Z")
_PLACE = re.compile(r"\$([a-z_]\w*)")
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")

REQUIRED = "required"
NULL = "null"


class QueryError(ValueError):
    """A query or a parameter that is not known, or a value that is not of its parameter's type."""


class Reference(NamedTuple):
    """A vector's value that is not numbers: a `file_id` or a path, which the catalog has the vector of."""

    text: str


class Parameter(NamedTuple):
    """A parameter of a query. `default` is text as on the command line; None if a value must be given."""

    name: str
    type: str
    default: str | None
    meaning: str

    def value(self, text: str) -> Any:
        """The value in a text, of the parameter's type. Raises QueryError."""
        if text == NULL and self.default == NULL:
            return None
        try:
            return _READERS[self.type](text)
        except (ValueError, TypeError, OverflowError) as error:
            raise QueryError(f"parameter {self.name}: {shown(text)} is no {self.type}") from error


class NamedQuery(NamedTuple):
    """A query: its number and name, what it is for, and its text, which is given to the database as it stands."""

    number: int
    name: str
    title: str
    purpose: str
    parameters: tuple[Parameter, ...]
    example: str
    sql: str

    def values(self, given: Mapping[str, str], *, is_partial: bool = False) -> dict[str, Any]:
        """A value for each parameter, defaults included; `is_partial`: but those that are needed and not given.

        Raises QueryError.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                names = ", ".join(known)
                raise QueryError(f"{self.name} has no parameter {shown(name)}; it has: {names}")
        missing = [each.name for each in self.parameters if each.default is None and each.name not in given]
        if missing and not is_partial:
            raise QueryError(f"{self.name} needs a value for: {', '.join(missing)}")
        texts = {name: given.get(name, each.default) for name, each in known.items()}
        return {name: known[name].value(text) for name, text in texts.items() if text is not None}


# ---- Finding queries ---------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def named_queries() -> dict[str, NamedQuery]:
    """All queries by name, in the order of their numbers."""
    names = [entry.removesuffix(".sql") for entry in os.listdir(_FOLDER) if entry.endswith(".sql")]
    queries = sorted(map(_read, names), key=lambda query: query.number)
    return {query.name: query for query in queries}


def named_query(name: str) -> NamedQuery:
    """The query of that name. Raises QueryError."""
    try:
        return named_queries()[name]
    except KeyError:
        raise QueryError(f"there is no query {shown(name)}; there are: {', '.join(named_queries())}") from None


def _read(name: str) -> NamedQuery:
    with open(os.path.join(_FOLDER, f"{name}.sql"), encoding="utf-8") as file:
        return parse_query(name, file.read())


def parse_query(name: str, text: str) -> NamedQuery:
    """A query from the text of its file. Raises QueryError for a header that is not one, or does not fit the SQL."""
    lines = text.splitlines()
    header = [line.removeprefix("--").removeprefix(" ") for line in lines if line.startswith("--")]
    sql = "\n".join(line for line in lines if not line.startswith("--")).strip() + "\n"
    title = _TITLE.match(header[0]) if header else None
    sections = _sections(header[1:])
    if title is None or sections.keys() != set(_SECTIONS):
        raise QueryError(f"{name}: the header needs a numbered title and the sections {', '.join(_SECTIONS)}")
    purpose = " ".join(line.strip() for line in sections["For"])
    parameters = tuple(_parameter(name, line) for line in sections["Parameters"])
    if {each.name for each in parameters} != set(_PLACE.findall(sql)):
        raise QueryError(f"{name}: the header's parameters are not those of the SQL")
    example = "\n".join(line.removeprefix("  ") for line in sections["Example"])
    return NamedQuery(int(title[1]), name, title[2], purpose, parameters, example, sql)


def _sections(lines: list[str]) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for line in lines:
        word, colon, rest = line.partition(":")
        if colon and word in _SECTIONS:
            sections[word] = [rest] if rest else []
        elif sections and line.strip():
            sections[list(sections)[-1]].append(line)
    return sections


def _parameter(query: str, line: str) -> Parameter:
    columns = _COLUMNS.split(line.strip(), maxsplit=3)
    if len(columns) != 4 or not _NAME.match(columns[0]) or columns[1] not in _READERS:
        raise QueryError(f"{query}: a parameter needs name, type, default and meaning, two spaces apart: {line}")
    name, type_, default, meaning = columns
    return Parameter(name, type_, None if default == REQUIRED else default, meaning)


# ---- Values ------------------------------------------------------------------------------------------------


def _integer(text: str) -> int:
    number = int(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("an integer of 64 bits was expected")
    return number


def _boolean(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE + _FALSE:
        raise ValueError("true or false was expected")
    return word in _TRUE


def _timestamp(text: str) -> datetime:
    """Naive, holding UTC; `now`, `now-30d`, or ISO 8601."""
    if found := _AGO.match(text):
        return datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(days=int(found[1] or 0))
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo is None else moment.astimezone(timezone.utc).replace(tzinfo=None)


def _vector(text: str) -> list[float] | Reference:
    if not text.startswith("["):
        return Reference(text)
    numbers = json.loads(text)
    return [float(number) for number in numbers]


_READERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "integer": _integer,
    "number": float,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "vector": _vector,
}


def given_parameters(texts: list[str]) -> dict[str, str]:
    """`name=value` texts as a mapping; of the same name twice the last one holds. Raises QueryError."""
    return dict(_pairs(texts))


def _pairs(texts: list[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise QueryError(f"a parameter is name=value, not {shown(text)}")
        yield name, value
