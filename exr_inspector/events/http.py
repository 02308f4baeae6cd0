"""HTTP request → events: the CloudEvents HTTP protocol binding 1.0.2, and JSON format 1.0.2.

What is decoded here, strictly and within limits, the `cloudevents` package (of the extra `serve`) holds against the
specification: its own decoding takes any charset for UTF-8, makes up missing ids, and knows no batches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from exr_inspector.errors import shown
from exr_inspector.events.found import found
from exr_inspector.events.parsing import from_base64, not_understood, parsed
from exr_inspector.limits import (
    MAX_EVENT_BYTES,
    MAX_EVENT_HEADER_CHARACTERS,
    MAX_EVENT_HEADERS,
    MAX_EVENT_RECORDS,
)

Event = dict[str, Any]

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"

_MAX_CONTENT_TYPE = 1024
_CHARSET = re.compile(r';\s*charset\*?\s*=\s*("[^"]*"|[^;\s]*)', re.IGNORECASE)
_CHARSETS = frozenset(("utf-8", "utf8", "us-ascii", "ascii"))
_PREFIX = "ce-"
_REQUIRED = ("id", "source", "specversion", "type")
_JSON = re.compile(r"(?:application|text)/(?:[a-z0-9.-]+\+)?json\Z")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\Z')


class _Content(NamedTuple):
    """`Content-Type`: as it stands, and its media type."""

    text: str | None
    media_type: str | None

    @property
    def is_json(self) -> bool:
        return self.media_type is not None and bool(_JSON.match(self.media_type))


def from_http(headers: Iterable[tuple[str, str]] | Mapping[str, str], body: bytes) -> list[Mapping[str, Any]]:
    """The events of a POST: binary, structured or batched CloudEvents, or plain JSON, as plain envelopes.

    Each is a mapping of the context attributes (`id`, `type`, `source`, `subject`, `specversion`, extensions) and
    `data`; plain JSON stays as it is. Raises EventError (`event_not_understood`).
    """
    if len(body) > MAX_EVENT_BYTES:
        raise not_understood(f"a body of {len(body)} bytes, more than {MAX_EVENT_BYTES}")
    fields = _fields(headers)
    content = _content(fields.get("content-type"))
    if content.media_type == BATCHED:
        return [_structured(each, f"event {index} of the batch") for index, each in enumerate(_batch(body))]
    if content.media_type == STRUCTURED:
        return [_structured(parsed(body), "the event")]
    if (content.media_type or "").startswith("application/cloudevents"):
        raise not_understood(f"events in the format {shown(content.media_type)}; {STRUCTURED} is understood")
    if any(f"{_PREFIX}{name}" in fields for name in _REQUIRED):
        return [_binary(fields, content, body)]
    return _plain(content, body)


# ---- Headers


def _fields(headers: Iterable[tuple[str, str]] | Mapping[str, str]) -> dict[str, str]:
    """The headers that matter, by their names in lower case. Raises EventError for one that comes twice."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields: dict[str, str] = {}
    characters = 0
    for count, (name, value) in enumerate(pairs, 1):
        characters += len(name) + len(value)
        if count > MAX_EVENT_HEADERS or characters > MAX_EVENT_HEADER_CHARACTERS:
            raise not_understood("too many headers, or too long ones")
        lower = name.lower()
        if lower == "content-type" or lower.startswith(_PREFIX):
            if lower in fields:
                raise not_understood(f"the header {shown(lower)} comes twice")
            fields[lower] = value
    return fields


def _content(text: str | None) -> _Content:
    """Raises EventError for text in another charset than UTF-8, of which ASCII is a part."""
    if not text or not text.strip():
        return _Content(None, None)
    if len(text) > _MAX_CONTENT_TYPE:
        raise not_understood("the content type is too long")
    if not all(charset.strip('"').lower() in _CHARSETS for charset in _CHARSET.findall(text)):
        raise not_understood("the charset must be UTF-8")
    return _Content(text.strip(), text.split(";")[0].strip().lower())


def _decoded(name: str, value: str) -> str:
    """A header's value: unquoted, then percent-decoded once (section 3.1.3.2). Raises EventError if it is not UTF-8.

    Bytes that should have been percent-encoded, but were not, come here as Latin-1: they are UTF-8 all the same.
    """
    quoted = _QUOTED.match(value.strip())
    text = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
    try:
        return unquote_to_bytes(data).decode("utf-8")
    except UnicodeDecodeError:
        raise not_understood(f"the header {shown(name)} is not UTF-8 once it is decoded") from None


# ---- The modes


def _binary(fields: Mapping[str, str], content: _Content, body: bytes) -> Event:
    """Attributes in headers, `data` in the body."""
    named = {name.removeprefix(_PREFIX): _decoded(name, value) for name, value in fields.items() if name[:3] == _PREFIX}
    if forbidden := named.keys() & {"data", "data_base64"}:
        raise not_understood(f"the header {shown(_PREFIX + min(forbidden))} is none of an event's attributes")
    if content.text is not None:
        named["datacontenttype"] = content.text
    event: Event = _checked(named, "the event")
    if body:
        event["data"] = parsed(body) if content.is_json else body
    return event


def _batch(body: bytes) -> list[Any]:
    events = parsed(body)
    if not isinstance(events, list):
        raise not_understood(f"a batch must be a list of events, not {found(events)}")
    if len(events) > MAX_EVENT_RECORDS:
        raise not_understood(f"{len(events)} events in one batch, more than {MAX_EVENT_RECORDS}")
    return events


def _structured(value: Any, words: str) -> Event:
    """Attributes and `data`, or `data_base64`, in one JSON object; null is not there."""
    if not isinstance(value, dict):
        raise not_understood(f"{words} must be a JSON object, not {found(value)}")
    event = _checked({name: item for name, item in value.items() if item is not None}, words)
    if "data_base64" in event:
        data = from_base64(event.pop("data_base64"))
        if data is None or "data" in event:
            raise not_understood(f"{words} has a data_base64 that is not base64, or data beside it")
        is_json = _content(event.get("datacontenttype", "application/json")).is_json
        event["data"] = parsed(data) if is_json and data else data
    return event


def _plain(content: _Content, body: bytes) -> list[Mapping[str, Any]]:
    """JSON that is no CloudEvent, or does not say so: one event, or a list of events."""
    if content.media_type is not None and not content.is_json:
        raise not_understood(f"a body of the type {shown(content.media_type)}; JSON is understood")
    value = parsed(body)
    events = _batch(body) if isinstance(value, list) else [value]
    for each in events:
        if not isinstance(each, dict):
            raise not_understood(f"an event must be a JSON object, not {found(each)}")
    return events


def _checked(event: Event, words: str) -> Event:
    """The event, if its attributes are as the specification says. Raises EventError, which names those that are not.

    Times, extensions and empty texts are nobody's business here: what only they break is not refused.
    """
    core = import_module("cloudevents.core.v1.event")
    errors = import_module("cloudevents.core.exceptions")
    missing = [name for name in _REQUIRED if name not in event]
    if missing:
        raise not_understood(f"{words} has no {', '.join(missing)}; it is a {found(event)}")
    optional = ("subject", "datacontenttype", "dataschema")
    known = {name: event[name] for name in (*_REQUIRED, *optional) if name in _REQUIRED or event.get(name, "") != ""}
    try:
        core.CloudEvent(known, None)
    except errors.CloudEventValidationError as error:
        names = ", ".join(sorted(error.errors))
        raise not_understood(f"{words} has attributes that are not as CloudEvents 1.0 says: {names}") from None
    return event
