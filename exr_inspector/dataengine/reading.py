"""One delivery → its document, and whether that is to be stored."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from exr_inspector.app import inspect
from exr_inspector.config_function import FunctionSettings
from exr_inspector.errors import ExrError, Problem, SourceError
from exr_inspector.events import Delivery, open_allowed
from exr_inspector.limits import KIB, MIB, Limits
from exr_inspector.normalizer import is_cut
from exr_inspector.s3 import S3Client
from exr_inspector.sources import LocalFile, Source
from exr_inspector.tables.values import cut_document

# Long values are cut before they wait, as the tables would cut them anyway. A header that is not longer than this has
# none, but for the types that the file has deflated.
LONG_HEADER_BYTES = 64 * KIB
_DEFLATED_TYPES = frozenset(("idmanifest",))

# Sixteen headers are read at once, and each may be made to be as large as it can. A studio's file has hundreds of
# attributes, a large stack of layers thousands; the largest manifests that were seen have some 100,000 ids.
LIMITS = Limits(max_attributes=1 << 15, max_header_elements=1 << 19)

# What a part, a channel (listed twice) and an attribute take in a document beside their values, measured; and how much
# longer a value may be there than in the file: numbers and short texts.
_PART_BYTES, _CHANNEL_BYTES, _ATTRIBUTE_BYTES = 2_000, 1_000, 500
_GROWTH = 4
# A document above this is not returned whole: the next function would not get it, either (events have 1 MiB).
HEAVY_BYTES = 16 * MIB

# Wrong at this installation, not at the file: another delivery may meet a better one, and no row is written. Not
# `source_unsupported`: that the client is missing shows at the start, and later it is the key, for good.
_INSTALLATIONS = frozenset(("source_unconfigured",))
_GONE = "source_not_found"
_NO_ATTRIBUTES: Mapping[str, Any] = {"parts": ()}


class Reading(NamedTuple):
    """What was read. `fatal`: why the file could not be read to the end of its header.

    `is_gone`: there is no such file any more. `is_retryable`: it may be read later, so nothing is stored now.
    `is_refused`: the event may not have it, so nothing is ever stored. `weight_bytes`: about how much memory the
    document takes.
    """

    document: dict[str, Any] | None
    fatal: Problem | None = None
    is_gone: bool = False
    is_retryable: bool = False
    is_refused: bool = False
    weight_bytes: int = 0
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
        self._limits = LIMITS._replace(max_header_bytes=settings.max_header_bytes)

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
        if header_bytes > LONG_HEADER_BYTES or any(entry["type"] in _DEFLATED_TYPES for entry in _entries(document)):
            document = dict(cut_document(document))
        reading = _judged(document)
        return reading._replace(
            weight_bytes=weight_bytes(document),
            bytes_read=getattr(source, "bytes_read", header_bytes),
            requests=getattr(source, "requests", 0),
        )

    def _opened(self, delivery: Delivery, *, is_by_hand: bool) -> Source:
        """Raises SourceError, and EventError for a path that is not the event's to ask for."""
        if delivery.kind == "object":
            if self._client is None:
                raise SourceError(Problem("source_unconfigured", "where objects are is not configured: S3_ENDPOINT"))
            return self._client.source(delivery.bucket or "", delivery.key or "", version_id=delivery.version_id)
        path = delivery.path or ""
        return LocalFile(path) if is_by_hand else open_allowed(path, self._roots)


def _judged(document: dict[str, Any]) -> Reading:
    entry = next((entry for entry in document["errors"] if entry["severity"] == "fatal"), None)
    if entry is None:
        return Reading(document)
    code = entry["code"]
    is_retryable = entry["retryable"] or code in _INSTALLATIONS
    return Reading(document, Problem(code, entry["message"]), is_gone=code == _GONE, is_retryable=is_retryable)


def weight_bytes(document: Mapping[str, Any]) -> int:
    """About how much memory a document takes, long values cut."""
    counted = _PART_BYTES * len(document["parts"]) + _CHANNEL_BYTES * len(document["channels"])
    value_bytes = document["file"].get("header_bytes") or 0
    for entry in _entries(document):
        counted += _ATTRIBUTE_BYTES
        if is_cut(entry["value"]):
            value_bytes -= entry["value"]["cut_bytes"]
    return int(counted + _GROWTH * max(0, value_bytes))


def light(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is returned of a document that is too large: which file it is, whether it is whole, and what is wrong."""
    problem = Problem("function_cut", "the document is too large to be returned whole; the tables have all of it")
    kept = {name: document[name] for name in ("schema_version", "file", "integrity")}
    return {**kept, "parts": [], "channels": [], "errors": [*document["errors"], problem.as_entry()]}


def _entries(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The attributes of all parts."""
    for part in document.get("attributes", _NO_ATTRIBUTES)["parts"]:
        yield from part
