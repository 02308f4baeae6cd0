"""ListObjectsV2, page after page.

obstore's own listing fails as a whole where one key has no form as a path (`a//b`, `..`), and gives others changed;
so the answer is read here. Source: the S3 API reference, ListObjectsV2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree as ET

from exr_inspector.errors import Problem, SourceError

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class S3Object(NamedTuple):
    """What a listing says of an object. `mtime_ns`: nanoseconds since 1970, UTC. `etag`: without quotes."""

    key: str
    size_bytes: int
    mtime_ns: int
    etag: str | None


def listed(page: Callable[[str], bytes], prefix: str) -> Iterator[S3Object]:
    """The objects of all pages; `page` gets a query and answers it. Raises SourceError."""
    first = f"encoding-type=url&list-type=2&prefix={_quoted(prefix)}"
    token: str | None = None
    while True:
        query = first if token is None else f"continuation-token={_quoted(token)}&{first}"
        found = _Page(page(query))
        yield from found.objects()
        if not found.is_truncated:
            return
        if not found.token or found.token == token:
            raise _odd()
        token = found.token


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="")


class _Page:
    """One answer."""

    def __init__(self, body: bytes) -> None:
        try:
            # Entities of a document are bounded by expat itself, in all supported Pythons.
            self._root = ET.fromstring(body)  # noqa: S314
        except ET.ParseError:
            raise _odd() from None
        namespace, brace, name = self._root.tag.rpartition("}")
        if name != "ListBucketResult":
            raise _odd()
        self._namespace = namespace + brace
        self.is_truncated = self._text(self._root, "IsTruncated") == "true"
        self.token = self._text(self._root, "NextContinuationToken")
        self._is_quoted = self._text(self._root, "EncodingType") == "url"

    def _text(self, element: ET.Element, name: str) -> str:
        return element.findtext(self._namespace + name) or ""

    def objects(self) -> Iterator[S3Object]:
        """What the page lists, without the markers of folders, whose keys end with a slash."""
        for element in self._root.iterfind(f"{self._namespace}Contents"):
            text = self._text(element, "Key")
            key = unquote_plus(text, errors="surrogateescape") if self._is_quoted else text
            if key.endswith("/"):
                continue
            try:
                size_bytes, time_ns = int(self._text(element, "Size")), _time_ns(self._text(element, "LastModified"))
            except ValueError:
                raise _odd() from None
            yield S3Object(key, size_bytes, time_ns, self._text(element, "ETag").strip('"') or None)


def _time_ns(text: str) -> int:
    """Nanoseconds of an ISO 8601 time in UTC, with or without a fraction."""
    moment = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    fraction = text[19:].rstrip("Z")
    micro = int(f"{fraction[1:7]:0<6}") if fraction else 0
    return ((moment - _EPOCH) // timedelta(microseconds=1) + micro) * 1000


def _odd() -> SourceError:
    return SourceError(Problem("source_failed", "the object store answers a listing with something else"))
