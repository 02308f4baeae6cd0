"""The requests of the loopback S3 server: GET, HEAD, PUT, DELETE of an object, ListObjectsV2 of a bucket."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate
from itertools import islice
from urllib.parse import quote_plus, unquote
from xml.sax.saxutils import escape

from .s3_objects import Bucket, Version, as_bytes
from .vast_errors import ApiError

MAX_KEY_BYTES = 1024  # as S3 has it
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class Answer:
    """What goes back. `body` is empty for a HEAD, `size` is what it would have."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    size: int | None = None
    is_chunked: bool = False  # without a Content-Length


@dataclass(frozen=True)
class Request:
    """One request: what is asked for, parsed."""

    op: str  # get, head, put, delete, list
    bucket: str
    key: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def range(self) -> tuple[int | None, int | None] | None:
        """First and last byte as asked for; (None, n) is the last n bytes. None without (or with an odd) Range."""
        found = _RANGE.fullmatch(self.headers.get("range", ""))
        if found is None or found.groups() == ("", ""):
            return None
        first, last = (int(text) if text else None for text in found.groups())
        return first, last


def parse(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Return the request that the parts make up."""
    path, _, query = target.partition("?")
    bucket, slash, key = unquote(path[1:], errors="surrogateescape").partition("/")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    parameters = {_unquoted(name): _unquoted(value) for name, _, value in pairs}
    op = "list" if method == "GET" and not key and (not slash or parameters) else method.lower()
    return Request(op, bucket, key, parameters, headers, body)


def _unquoted(text: str) -> str:
    return unquote(text.replace("+", " "), errors="surrogateescape")


def answer(bucket: Bucket, request: Request, *, page_keys: int, is_range_ignored: bool = False) -> Answer:
    """Carry out a request."""
    if len(as_bytes(request.key)) > MAX_KEY_BYTES:
        raise ApiError("KeyTooLongError", "Your key is too long")
    if request.op == "list":
        return _list(bucket, request, page_keys)
    if request.op == "put":
        version = bucket.put(request.key, request.body)
        return Answer(200, _identity(version))
    if request.op == "delete":
        bucket.delete(request.key)
        return Answer(204)
    if request.op not in ("get", "head"):
        raise ApiError("MethodNotAllowed", "The specified method is not allowed against this resource.")
    return _get(bucket.get(request.key, request.parameters.get("versionId")), request, is_range_ignored)


def _identity(version: Version) -> dict[str, str]:
    headers = {"ETag": version.etag}
    if version.version_id is not None:
        headers["x-amz-version-id"] = version.version_id
    return headers


def _get(version: Version, request: Request, is_range_ignored: bool) -> Answer:
    wanted = request.headers.get("if-match")
    if wanted not in (None, "*") and version.etag not in [tag.strip() for tag in (wanted or "").split(",")]:
        raise ApiError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
    headers = _identity(version) | {
        "Last-Modified": formatdate(int(version.mtime), usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "binary/octet-stream",
    }
    span = None if is_range_ignored or request.range is None else _span(request.range, version.size)
    start, end = (0, version.size) if span is None else span
    status = 200 if span is None else 206
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{version.size}"
    body = b"" if request.op == "head" else version.read(start, end)
    return Answer(status, headers, body, end - start)


def _span(asked: tuple[int | None, int | None], size: int) -> tuple[int, int] | None:
    first, last = asked
    if first is None:
        first, last = max(0, size - (last or 0)), size - 1
    elif last is not None and last < first:
        return None  # not a range: ignored, as RFC 9110 says
    end = size if last is None else min(last + 1, size)
    if first >= end:
        raise ApiError("InvalidRange", "The requested range is not satisfiable")
    return first, end


def _url_encoded(text: str) -> str:
    """As AWS does it: a blank is a plus."""
    return quote_plus(as_bytes(text), safe="/")


def _list(bucket: Bucket, request: Request, page_keys: int) -> Answer:
    parameters = request.parameters
    if parameters.get("list-type") != "2":
        raise ApiError("NotImplemented", "only ListObjectsV2 is served")
    prefix = parameters.get("prefix", "")
    after = parameters.get("start-after", "")
    if "continuation-token" in parameters:
        after = base64.urlsafe_b64decode(parameters["continuation-token"]).decode(errors="surrogateescape")
    try:
        most = min(int(parameters.get("max-keys") or page_keys), page_keys)
    except ValueError:
        raise ApiError("InvalidArgument", "max-keys is no number") from None
    remaining = (key for key in bucket.sorted_keys() if key.startswith(prefix) and as_bytes(key) > as_bytes(after))
    page = list(islice(remaining, most + 1))
    is_truncated, page = len(page) > most, page[:most]
    encoded: Callable[[str], str] = _url_encoded if parameters.get("encoding-type") == "url" else escape
    lines = [f"<Name>{escape(request.bucket)}</Name><Prefix>{encoded(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"]
    lines.append(f"<MaxKeys>{most}</MaxKeys><IsTruncated>{str(is_truncated).lower()}</IsTruncated>")
    if "encoding-type" in parameters:
        lines.append("<EncodingType>url</EncodingType>")
    if is_truncated:
        token = base64.urlsafe_b64encode(as_bytes(page[-1])).decode()
        lines.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
    for key in page:
        version = bucket.get(key)
        time = datetime.fromtimestamp(int(version.mtime), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        lines.append(
            f"<Contents><Key>{encoded(key)}</Key><LastModified>{time}</LastModified>"
            f"<ETag>{escape(version.etag, {chr(34): '&quot;'})}</ETag><Size>{version.size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    text = f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="{namespace}">{"".join(lines)}'
    return Answer(200, {"Content-Type": "application/xml"}, f"{text}</ListBucketResult>".encode(), is_chunked=True)
