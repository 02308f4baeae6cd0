"""Pages of a listing, fetched without obstore.

obstore's `list` fails as a whole where one key is no path, and its `get` needs a Content-Length, which listings do
not have. Signed with Signature Version 4 (AWS, "Authenticating Requests: Using the Authorization Header").
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from exr_inspector.config_s3 import S3Settings
from exr_inspector.limits import KIB, MIB
from exr_inspector.s3.errors import NO_ANSWER, Refused, answered

# A page has 1,000 keys of at most 1,024 bytes, each of which may be three characters, and some 300 bytes beside it.
_MAX_PAGE_BYTES = 16 * MIB
_PIECE_BYTES = 64 * KIB
_MAX_ERROR_BYTES = 4 * KIB

_ALGORITHM = "AWS4-HMAC-SHA256"
_SIGNED_HEADERS = "host;x-amz-content-sha256;x-amz-date"
_NO_BODY = hashlib.sha256(b"").hexdigest()


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would take the signature with it."""

    def redirect_request(self, *_arguments: Any) -> None:
        """No other address."""


_OPENER = build_opener(_NoRedirect)


def page(settings: S3Settings, bucket: str, parameters: Mapping[str, str]) -> bytes:
    """The body of `GET /bucket?parameters`. Raises Refused."""
    query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(parameters.items()))
    request = Request(f"{settings.endpoint}/{bucket}?{query}", headers=_headers(settings, bucket, query))  # noqa: S310 - http(s)
    try:
        with _OPENER.open(request, timeout=settings.timeout_seconds / 3) as answer:
            return _body(answer, time.monotonic() + settings.timeout_seconds / 2)
    except HTTPError as error:
        with error:
            raise Refused(answered(error.code, _start_of(error))) from None
    except (OSError, HTTPException):
        raise Refused(NO_ANSWER) from None


def _body(answer: Any, end: float) -> bytes:
    pieces: list[bytes] = []
    size_bytes = 0
    while piece := answer.read(_PIECE_BYTES):
        pieces.append(piece)
        size_bytes += len(piece)
        if size_bytes > _MAX_PAGE_BYTES or time.monotonic() > end:
            raise Refused(NO_ANSWER)
    if answer.length:  # bytes that were to come
        raise Refused(NO_ANSWER)
    return b"".join(pieces)


def _start_of(error: HTTPError) -> str:
    try:
        return error.read(_MAX_ERROR_BYTES).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""


def _headers(settings: S3Settings, bucket: str, query: str) -> dict[str, str]:
    host = urlsplit(settings.endpoint).netloc
    moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {"Host": host, "x-amz-content-sha256": _NO_BODY, "x-amz-date": moment}
    if not settings.is_anonymous:
        canonical = "\n".join(
            ("GET", f"/{bucket}", query, f"host:{host}", f"x-amz-content-sha256:{_NO_BODY}", f"x-amz-date:{moment}", "",
             _SIGNED_HEADERS, _NO_BODY)
        )  # fmt: skip
        headers["Authorization"] = _authorization(settings, moment, canonical)
    return headers


def _authorization(settings: S3Settings, moment: str, canonical: str) -> str:
    scope = (moment[:8], settings.region, "s3", "aws4_request")
    key = ("AWS4" + settings.secret_key.reveal()).encode()
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join((_ALGORITHM, moment, "/".join(scope), digest))
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    credential = "/".join((settings.access_key.reveal(), *scope))
    return f"{_ALGORITHM} Credential={credential}, SignedHeaders={_SIGNED_HEADERS}, Signature={signature}"


def _quoted(text: str) -> str:
    """As signatures have it: all but letters, digits and `-._~`, in capitals."""
    return quote(text.encode("utf-8", "surrogateescape"), safe="")
