"""What an event holds, for messages: names and types only, since any value may be a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from exr_inspector.errors import shown

_MAX_NAMES = 12
_MAX_NAME = 40
_MAX_DEPTH = 3
_MAX_CHARACTERS = 800

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"),
    (bool, "true or false"),
    ((int, float), "number"),
    (str, "text"),
    ((bytes, bytearray, memoryview), "bytes"),
)


def found(value: Any) -> str:
    """One line: `mapping of id (text), data (mapping of msg (text))`. Names are escaped; all is capped."""
    text = "".join(islice(_words(value, 0), 4 * _MAX_NAMES * _MAX_NAMES))
    return text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "…"


def _words(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"mapping of {len(value)}" if depth >= _MAX_DEPTH or not value else "mapping of "
        if depth < _MAX_DEPTH:
            yield from _names(value, depth)
    elif isinstance(value, (list, tuple)):
        yield f"list of {len(value)}"
    else:
        yield next((words for kind, words in _KINDS if isinstance(value, kind)), _class_name(value))


def _names(value: Mapping[Any, Any], depth: int) -> Iterator[str]:
    for index, (name, item) in enumerate(islice(value.items(), _MAX_NAMES)):
        yield ", " if index else ""
        yield f"{_name(name)} ("
        yield from _words(item, depth + 1)
        yield ")"
    if len(value) > _MAX_NAMES:
        yield f", and {len(value) - _MAX_NAMES} more"


def _name(name: Any) -> str:
    return shown(name, _MAX_NAME).strip("'\"") if isinstance(name, str) else _class_name(name)


def _class_name(value: Any) -> str:
    return shown(type(value).__name__, _MAX_NAME).strip("'\"")
