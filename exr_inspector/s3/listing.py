"""ListObjectsV2, page after page.

Source: the S3 API reference, ListObjectsV2. Keys are asked for percent-encoded: XML cannot hold all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from exr_inspector.errors import Problem, SourceError
from exr_inspector.s3.records import S3Object

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def listed(page: Callable[[Mapping[str, str]], bytes], prefix: str) -> Iterator[S3Object]:
    """The objects of all pages; `page` gets a query's parameters. Raises SourceError."""
    parameters = {"encoding-type": "url", "list-type": "2", "prefix": prefix}
    while True:
        found = _Page(page(parameters))
        yield from found.objects()
        if not found.is_truncated:
            return
        if not found.token or found.token == parameters.get("continuation-token"):
            raise _odd()
        parameters["continuation-token"] = found.token


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
