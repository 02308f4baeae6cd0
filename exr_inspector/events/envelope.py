"""Any event as levels of plain mappings: its context attributes, its data, the data of that.

The platform's typed events and the objects of the `cloudevents` package are foreign code: whatever they raise when
they are looked at means that they do not have what was looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from exr_inspector.events.found import found
from exr_inspector.events.parsing import copied, from_base64, not_understood, parsed, unpacked
from exr_inspector.limits import MAX_EVENT_NESTING, MAX_EVENT_TEXT

_ATTRIBUTES = ("id", "type", "subtype", "source", "subject")
_REQUIRED = ("id", "source", "type")


class Envelope(NamedTuple):
    """An event. `levels`: the event, its data, the data of that, …; `element` is what a typed event is about."""

    levels: tuple[dict[Any, Any], ...]
    subtype: str | None = None
    element: tuple[str, str] | None = None

    def attribute(self, name: str) -> str | None:
        """A context attribute, of the outermost level that is an envelope and has it."""
        texts = (text_of(level, name) for level in self.levels if is_envelope(level))
        return next((text for text in texts if text is not None), None)


def is_envelope(level: Mapping[Any, Any]) -> bool:
    """Whether a level has context attributes, and is not only a payload."""
    return "specversion" in level or all(name in level for name in _REQUIRED)


def text_of(level: Mapping[Any, Any], name: str) -> str | None:
    """A text of a level, None if it is none, empty, too long to be meant, or not Unicode."""
    return clean(level.get(name))


def clean(value: Any) -> str | None:
    """The value if it is a text that can be kept: not empty, not too long, without lone surrogates."""
    if not isinstance(value, str) or not value or len(value) > MAX_EVENT_TEXT:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return str.__str__(value)  # of an enumeration's member, too


def envelope_of(event: Any) -> Envelope:
    """The levels of an event. Raises EventError if it is neither a mapping, JSON of one, nor an event object."""
    if isinstance(event, (str, bytes, bytearray, memoryview)):
        event = parsed(event)
    outermost = unpacked(event) if isinstance(event, Mapping) else None
    if outermost is not None:
        return Envelope(_levels(outermost))
    envelope = None if isinstance(event, (Mapping, list, tuple, int, float)) or event is None else _of_object(event)
    if envelope is None:
        raise not_understood(f"an event must be an event object, a mapping or JSON of one, not {found(event)}")
    return envelope


def _levels(outermost: dict[Any, Any]) -> tuple[dict[Any, Any], ...]:
    """The mapping, its `data`, the `data` of that: bounded, so that a mapping may hold itself."""
    levels = [outermost]
    while len(levels) < MAX_EVENT_NESTING:
        data = levels[-1].get("data")
        if data is None:
            data = from_base64(levels[-1].get("data_base64"))
        level = unpacked(data)
        if level is None:
            break
        levels.append(level)
    return tuple(levels)


def _of_object(event: Any) -> Envelope | None:
    """A typed event, or an object of the `cloudevents` package."""
    attributes = {name: value for name in _ATTRIBUTES if isinstance(value := _member(event, name), str)}
    for mapping in (_member(event, "extensions"), _called(event, "get_attributes")):
        attributes.update((copied(mapping) or {}) if isinstance(mapping, Mapping) else {})
    data = _called(event, "get_data")
    data = _member(event, "data") if data is None else data
    element = _element(event) or _element(_called(event, "as_element_event"))
    if not attributes and data is None and element is None:
        return None
    attributes.setdefault("specversion", "1.0")  # what stands here are context attributes
    subtype = clean(_member(event, "subtype"))
    return Envelope(_levels({**attributes, "data": data}), subtype, element)


def _element(event: Any) -> tuple[str, str] | None:
    bucket, key = _member(event, "bucket"), _member(event, "object_key")
    return (bucket, key) if isinstance(bucket, str) and isinstance(key, str) and bucket and key else None


def _member(event: Any, name: str) -> Any:
    try:
        return getattr(event, name, None)
    except Exception:  # noqa: BLE001 - foreign code: see the module's docstring
        return None


def _called(event: Any, name: str) -> Any:
    method = _member(event, name)
    try:
        return method() if callable(method) else None
    except Exception:  # noqa: BLE001 - foreign code: see the module's docstring
        return None
