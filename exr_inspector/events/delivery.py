"""One file that an event asks for, and what is raised where an event asks for nothing that can be understood."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from exr_inspector.errors import ExrError, shown

NOTHING: Mapping[str, Any] = MappingProxyType({})


class EventError(ExrError):
    """An event that is not understood (`event_not_understood`) or asks for what it may not (`event_refused`).

    The message names what was found, never a value that may be a secret.
    """


class Delivery(NamedTuple):
    """One file that an event asks for, or the reason why it asks for none. Its repr shows no keys.

    `kind` is `object` (bucket and key), `file` (path) or `skip` (reason; bucket and key if the event has them).
    """

    kind: str
    bucket: str | None = None
    key: str | None = None
    version_id: str | None = None
    path: str | None = None
    reason: str | None = None
    # What config.InspectConfig understands, under its long or short keys.
    config: Mapping[str, Any] = NOTHING
    # vastdb_*: endpoint and keys that the event brings along; for config_vast.vast_settings only.
    database: Mapping[str, Any] = NOTHING
    event_id: str | None = None
    event_source: str | None = None
    event_type: str | None = None
    event_subject: str | None = None
    # The CloudEvent's other context attributes: traceparent, partitionkey, …
    attributes: Mapping[str, str] = NOTHING
    # The object's entity tag, of a record.
    etag: str | None = None

    def __repr__(self) -> str:
        database = "***" if self.database else "none"
        return f"Delivery({self.kind}, {shown(self.place)}, event_id={shown(self.event_id)}, database={database})"

    @property
    def place(self) -> str | None:
        """`s3://bucket/key`, the local path, or None."""
        return f"s3://{self.bucket}/{self.key}" if self.bucket is not None else self.path
