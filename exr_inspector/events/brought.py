"""What an event brings along beside the file: settings of the call, a database, context attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from exr_inspector.config import SHORT_KEYS, InspectConfig
from exr_inspector.events.envelope import Envelope, clean, is_envelope
from exr_inspector.events.naming import BUCKET_FIELDS, KEY_FIELDS, PATH_FIELDS
from exr_inspector.events.parsing import unpacked
from exr_inspector.limits import MAX_EVENT_ATTRIBUTES

DATABASE_PREFIX = "vastdb_"
_MAX_DATABASE_KEYS = 16

_SETTINGS = {name: name for name in InspectConfig._fields} | SHORT_KEYS
# CloudEvents 1.0.2, "Naming Conventions".
_EXTENSION = re.compile(r"[a-z0-9]{1,64}\Z")
# The attributes that the specification defines, and what is told elsewhere in a delivery.
_NOT_EXTENSIONS = {
    "data", "datacontenttype", "dataschema", "id", "source", "specversion", "subject", "subtype", "time", "type",
    *_SETTINGS, *BUCKET_FIELDS, *KEY_FIELDS, *PATH_FIELDS,
}  # fmt: skip
# Attributes are handed on to the sink: what looks like a secret is not.
_SECRET = re.compile(r"vastdb|secret|passw|credential|token|accesskey|authorization|apikey")


def config(envelope: Envelope) -> dict[str, Any]:
    """The settings of the call, under their long names. Inner levels count before outer ones, `config` before both."""
    settings: dict[str, Any] = {}
    for level in _with_config(envelope):
        found = {name: level[key] for key, name in reversed(_SETTINGS.items()) if key in level}
        settings.update(found)  # reversed: a long name counts before its short form
    return settings


def database(envelope: Envelope) -> dict[str, Any]:
    """All `vastdb_*` of the innermost level that has any: an endpoint is used with keys from the same place."""
    for level in reversed(list(_with_config(envelope))):
        names = (name for name in level if isinstance(name, str) and name.startswith(DATABASE_PREFIX))
        found = {name: level[name] for name in islice(names, _MAX_DATABASE_KEYS)}
        if found:
            return found
    return {}


def _with_config(envelope: Envelope) -> Iterator[Mapping[Any, Any]]:
    for level in envelope.levels:
        yield level
        yield unpacked(level.get("config")) or {}


def attributes(envelope: Envelope) -> dict[str, str]:
    """The extensions of the CloudEvent (traceparent, partitionkey, …) as texts; the outermost level counts first."""
    kept: dict[str, str] = {}
    for level in filter(is_envelope, envelope.levels):
        for name, value in islice(level.items(), 4 * MAX_EVENT_ATTRIBUTES):
            text = _text(value)
            if text is not None and _is_extension(name) and len(kept) < MAX_EVENT_ATTRIBUTES:
                kept.setdefault(name, text)
    return kept


def _is_extension(name: Any) -> bool:
    is_name = isinstance(name, str) and bool(_EXTENSION.match(name)) and name not in _NOT_EXTENSIONS
    return is_name and not _SECRET.search(name)


def _text(value: Any) -> str | None:
    """CloudEvents 1.0.2, "Type System": a boolean is `true` or `false`, an integer its digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 63 else None
    return clean(value)
