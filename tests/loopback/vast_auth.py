"""Signature version 4, checked as an S3 server does (AWS "Signature Version 4 signing process")."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from .vast_errors import ApiError

ALGORITHM = "AWS4-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    ALGORITHM + r" Credential=(?P<key>[^/]+)/(?P<scope>(?P<date>\d{8})/(?P<region>[^/]*)/s3/aws4_request), *"
    r"SignedHeaders=(?P<signed>[^,]+), *Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Signed:
    """What a signature covers."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def canonical(self, names: str) -> str:
        """Return the canonical request, as the SDK forms it: path and query as they were sent."""
        path, _, query = self.target.partition("?")
        parameters = [p if "=" in p else f"{p}=" for p in sorted(query.split("&")) if p]
        lines = [f"{name}:{(self.headers.get(name) or '').strip()}" for name in names.split(";")]
        parts = (self.method, path or "/", "&".join(parameters), *lines, "", names, _sha256(self.body))
        return "\n".join(parts)


def check_signature(request: Signed, keys: Mapping[str, str]) -> None:
    """Refuse a request that is not signed by one of `keys` (access key -> secret key)."""
    headers = request.headers
    found = _AUTHORIZATION.fullmatch(headers.get("authorization") or "")
    if found is None:
        raise ApiError("AccessDenied", "the request is not signed")
    secret = keys.get(found["key"])
    if secret is None:
        raise ApiError("InvalidAccessKeyId", "no such access key")
    digest = _sha256(request.canonical(found["signed"]).encode())
    to_sign = "\n".join((ALGORITHM, headers.get("x-amz-date") or "", found["scope"], digest))
    key = _signing_key(secret, found["date"], found["region"])
    expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, found["signature"]):
        raise ApiError("SignatureDoesNotMatch", "the signature is not that of the secret key")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=64)
def _signing_key(secret: str, date: str, region: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
