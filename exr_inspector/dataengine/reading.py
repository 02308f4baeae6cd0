"""One delivery → its document, and whether that is to be stored."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from exr_inspector.app import inspect
from exr_inspector.config_function import FunctionSettings
from exr_inspector.errors import ExrError, Problem, SourceError
from exr_inspector.events import Delivery, open_allowed
from exr_inspector.limits import MIB, Limits
from exr_inspector.s3 import S3Client
from exr_inspector.sources import LocalFile, Source
from exr_inspector.tables.values import cut_document

# A longer header's long values are cut before they wait: the tables would cut them anyway.
LONG_HEADER_BYTES = MIB
# A studio's file has hundreds of attributes, a large stack of layers thousands. In the document each costs some 400
# bytes, and many documents are in flight.
MAX_ATTRIBUTES = 1 << 15

# Wrong at this installation, not at the file: another delivery may meet a better one, and no row is written. Not
# `source_unsupported`: that the client is missing shows at the start, and later it is the key, for good.
_INSTALLATIONS = frozenset(("source_unconfigured",))
_GONE = "source_not_found"


class Reading(NamedTuple):
    """What was read. `fatal`: why the file could not be read to the end of its header.

    `is_gone`: there is no such file any more. `is_retryable`: it may be read later, so nothing is stored now.
    `is_refused`: the event may not have it, so nothing is ever stored.
    """

    document: dict[str, Any] | None
    fatal: Problem | None = None
    is_gone: bool = False
    is_retryable: bool = False
    is_refused: bool = False
    bytes_read: int = 0
    requests: int = 0
    seconds: float = 0.0


NOTHING_READ = Reading(None)


class _Unreadable(Source):
    """A file that could not be opened: the document says why."""

    def __init__(self, path: str | None, error: SourceError) -> None:
        self.path = path
        self._error = error

    def read(self, offset: int, size_bytes: int) -> bytes:  # noqa: ARG002 - as any source's
        """Raises SourceError."""
        raise self._error


class Reader:
    """Reads what deliveries ask for. Safe to share between threads. `client` is None where S3 is not configured."""

    def __init__(self, settings: FunctionSettings, client: S3Client | None) -> None:
        self._roots = settings.roots
        self._client = client
        self._limits = Limits(max_header_bytes=settings.max_header_bytes, max_attributes=MAX_ATTRIBUTES)

    def read(self, delivery: Delivery, *, is_by_hand: bool) -> Reading:
        """What the delivery asks for; raises nothing that has to do with the file."""
        started = time.monotonic()
        return self._read(delivery, is_by_hand=is_by_hand)._replace(seconds=time.monotonic() - started)

    def _read(self, delivery: Delivery, *, is_by_hand: bool) -> Reading:
        try:
            source = self._opened(delivery, is_by_hand=is_by_hand)
        except SourceError as error:
            source = _Unreadable(delivery.place, error)
        except ExrError as error:
            return Reading(None, error.problem, is_refused=True)
        document = inspect(source, config=delivery.config, limits=self._limits)
        header_bytes = document["file"].get("header_bytes") or 0
        if header_bytes > LONG_HEADER_BYTES:
            document = dict(cut_document(document))
        bytes_read = getattr(source, "bytes_read", header_bytes)
        return _judged(document, bytes_read, getattr(source, "requests", 0))

    def _opened(self, delivery: Delivery, *, is_by_hand: bool) -> Source:
        """Raises SourceError, and EventError for a path that is not the event's to ask for."""
        if delivery.kind == "object":
            if self._client is None:
                raise SourceError(Problem("source_unconfigured", "where objects are is not configured: S3_ENDPOINT"))
            return self._client.source(delivery.bucket or "", delivery.key or "", version_id=delivery.version_id)
        path = delivery.path or ""
        return LocalFile(path) if is_by_hand else open_allowed(path, self._roots)


def _judged(document: dict[str, Any], bytes_read: int, requests: int) -> Reading:
    entry = next((entry for entry in document["errors"] if entry["severity"] == "fatal"), None)
    if entry is None:
        return Reading(document, bytes_read=bytes_read, requests=requests)
    code = entry["code"]
    return Reading(
        document,
        Problem(code, entry["message"]),
        is_gone=code == _GONE,
        is_retryable=entry["retryable"] or code in _INSTALLATIONS,
        bytes_read=bytes_read,
        requests=requests,
    )
