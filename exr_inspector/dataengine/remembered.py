"""Which deliveries were committed lately, so that what comes again is not written again.

An event is known by its source and id, of several files by which one; what it was about by the object's version. So a
delivery that comes again, and finds the object as it was, is answered without a write. One that finds another object
is written: the event is old, the object is not.

This is of one process, and of its last 10,000 files. Across processes an upsert is idempotent by key, and
`inspection_count` counts the inspection once more.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from exr_inspector.config_vast import VastSettings
from exr_inspector.events import Delivery

REMEMBERED_FILES = 10_000
_VERSION_FIELDS = ("path", "header_hash", "header_bytes", "size_bytes", "mtime", "etag", "s3_version_id")


class Remembered:
    """Keys of deliveries that were committed, each with the object's version and its `file_id`. For one thread."""

    def __init__(self, largest: int = REMEMBERED_FILES) -> None:
        self._largest = largest
        self._known: OrderedDict[bytes, tuple[bytes, str]] = OrderedDict()

    def add(self, key: bytes | None, document: Mapping[str, Any], file_id: str) -> None:
        """Remembers a committed delivery; the oldest one is forgotten if there are too many."""
        if key is None:
            return
        self._known[key] = version(document), file_id
        self._known.move_to_end(key)
        if len(self._known) > self._largest:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Forgets everything: what was committed may be gone."""
        self._known.clear()

    def file_id(self, key: bytes | None, document: Mapping[str, Any]) -> str | None:
        """Where that delivery's object is stored, if it was committed and is still the same."""
        known = self._known.get(key) if key is not None else None
        return known[1] if known is not None and known[0] == version(document) else None


def key_of(delivery: Delivery, database: VastSettings | None) -> bytes | None:
    """What a delivery is known by; None if its event has no id. 16 bytes, whatever the event's size."""
    if not delivery.event_id:
        return None
    names = (delivery.event_source, delivery.event_id, delivery.kind, delivery.place, delivery.version_id)
    place = (database.endpoint, database.bucket, database.schema) if database is not None else ()
    return _digest([*names, *place])


def version(document: Mapping[str, Any]) -> bytes:
    """What tells an object from the one that takes its place: 16 bytes."""
    file = document["file"]
    return _digest([file.get(name) for name in _VERSION_FIELDS])


def _digest(values: list[Any]) -> bytes:
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=16).digest()
