"""JSON of an event, strictly: no NaN, no name twice, UTF-8 only, bounded; and mappings out of anything."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, NoReturn

from exr_inspector.errors import Problem
from exr_inspector.events.delivery import EventError
from exr_inspector.limits import MAX_EVENT_BYTES


def not_understood(message: str) -> EventError:
    """The error of an event that is not understood."""
    return EventError(Problem("event_not_understood", message))


def parsed(text: str | bytes | bytearray | memoryview) -> Any:
    """The value that JSON text stands for. Raises EventError."""
    if len(text) > MAX_EVENT_BYTES:
        raise not_understood(f"{len(text)} bytes of JSON, more than {MAX_EVENT_BYTES}")
    try:
        decoded = text if isinstance(text, str) else bytes(text).decode("utf-8")
        return json.loads(decoded, parse_constant=_no_constant, object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise not_understood("the event is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise not_understood(f"the event is not JSON: {error.msg} at character {error.pos}") from None
    except ValueError:  # a constant, or an integer of thousands of digits
        raise not_understood("the event is not JSON: a number that is none, or too long") from None
    except RecursionError:
        raise not_understood("the event's JSON is nested too deeply") from None


def _no_constant(_name: str) -> NoReturn:
    raise ValueError


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names stand once: of two, another reader would take the other one."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise not_understood("a name stands twice in one JSON object")
    return values


def unpacked(value: Any) -> dict[Any, Any] | None:
    """The mapping that a value is, or that it is JSON of; None if neither."""
    if type(value) is dict:
        return value
    if isinstance(value, Mapping):
        return copied(value)
    if isinstance(value, (str, bytes, bytearray)) and value[:256].lstrip()[:1] in ("{", b"{"):
        try:
            value = parsed(value)
        except EventError:
            return None
        return value if isinstance(value, dict) else None
    return None


def copied(value: Any) -> dict[Any, Any] | None:
    """A mapping of a foreign class as a dict; None if it cannot be read."""
    try:
        return dict(value)
    except Exception:  # noqa: BLE001 - foreign code: whatever it raises, there is nothing to read
        return None


def from_base64(text: Any) -> bytes | None:
    """The bytes of `data_base64`; None if it is not base64."""
    try:
        return b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        return None
