"""obstore's stores, made so that nothing but the settings decides where requests go and who signs them.

Facts about obstore 0.11 and 0.12 (object_store 0.14), each held by a test: every `AWS_*` variable of the environment
that is not overridden counts, the endpoint's among them; a key is parsed as a path, so that `a//b`, `/a` and `a/`
become other keys and control characters are refused; `.` and `..` segments cannot be in a URL.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from datetime import timedelta
from importlib import import_module
from threading import Lock
from typing import Any
from urllib.parse import quote

from exr_inspector.config_s3 import S3Settings
from exr_inspector.errors import Problem, SourceError
from exr_inspector.s3.records import Wanted
from exr_inspector.settings import wrong

# S3: 3 to 63 of these; older buckets and other stores are less strict.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")
MAX_KEY_BYTES = 1024
# Each keeps connections of its own; one for each bucket.
_MOST_STORES = 32

# Signed or sent only if asked for by the environment; overridden so that it cannot.
_NOT_FROM_THE_ENVIRONMENT: dict[str, Any] = {
    "request_payer": False,
    "s3_express": False,
    "server_side_encryption": "AES256",  # of what is written; another one may want a key that is not there
    "unsigned_payload": False,
}


class Stores:
    """The stores of one endpoint, made when they are needed. Safe to share between threads.

    Raises SourceError if obstore is not installed, SettingsError if there are neither keys nor the explicit opt-in.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._make = _obstore().store.S3Store
        self._foreign = import_module("obstore.exceptions").BaseError
        self._settings = settings
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()
        has_keys = bool(settings.access_key.reveal() and settings.secret_key.reveal())
        if has_keys is settings.is_anonymous:
            raise wrong("either keys are needed, or S3_ANONYMOUS", code="source_unconfigured")

    def of_object(self, wanted: Wanted) -> tuple[Any, str]:
        """A store, and the path within it that stands for an object. Raises SourceError for impossible names."""
        bucket, key = wanted.bucket, wanted.key
        _check_names(bucket, key)
        _check_version(wanted.version_id)
        if _is_plain(key):
            return self._of_bucket(bucket), key
        return self._exact(f"{bucket}/{quote(_bytes_of(key))}"), ""

    def _exact(self, target: str) -> Any:
        """A store whose empty path is this very target.

        obstore adds a slash and the path; behind a `#` that is the fragment of the URL, which is not sent.
        """
        endpoint = f"{self._settings.endpoint}/{target}#"
        return self._store("exact", endpoint, is_virtual=True)

    def _of_bucket(self, bucket: str) -> Any:
        with self._lock:
            store = self._kept.pop(bucket, None) or self._store(bucket, self._settings.endpoint, is_virtual=False)
            self._kept[bucket] = store
            if len(self._kept) > _MOST_STORES:
                self._kept.popitem(last=False)
        return store

    def _store(self, bucket: str, endpoint: str, *, is_virtual: bool) -> Any:
        options = {
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,
            "region": self._settings.region,
            "virtual_hosted_style_request": is_virtual,
            "client_options": self._client_options(),
            "retry_config": {"max_retries": 0},  # retried by the client, which bounds the time of all tries together
        }
        try:
            return self._make(bucket, **options, **self._identity(), **_NOT_FROM_THE_ENVIRONMENT)
        except self._foreign:  # it does not know an option
            message = "this version of obstore cannot be used: pip install 'exr-inspector[s3]'"
            raise SourceError(Problem("source_unsupported", message)) from None

    def _identity(self) -> dict[str, Any]:
        """Keys by a provider: given as they are, a session token of the environment would be added to them."""
        if self._settings.is_anonymous:
            return {"skip_signature": True}
        settings = self._settings
        return {
            "skip_signature": False,
            "credential_provider": lambda: {
                "access_key_id": settings.access_key.reveal(),
                "secret_access_key": settings.secret_key.reveal(),
                "token": None,
                "expires_at": None,
            },
        }

    def _client_options(self) -> dict[str, Any]:
        whole = timedelta(seconds=self._settings.timeout_seconds)
        return {
            "allow_http": self._settings.endpoint.startswith("http://"),
            "allow_invalid_certificates": False,
            "connect_timeout": whole / 6,
            "read_timeout": whole / 3,
            "timeout": whole / 2,
        }

    def close(self) -> None:
        """Forgets the stores, and with them their connections."""
        with self._lock:
            self._kept.clear()


def _obstore() -> Any:
    try:
        import_module("obstore.store")
        return import_module("obstore")
    except ImportError:
        message = "s3:// addresses need obstore: pip install 'exr-inspector[s3]'"
        raise SourceError(Problem("source_unsupported", message)) from None


def _check_names(bucket: str, key: str) -> None:
    check_bucket(bucket)
    if not key:
        raise SourceError(Problem("source_not_regular", "a bucket, not an object: s3://bucket/key is needed"))
    if len(_bytes_of(key)) > MAX_KEY_BYTES:
        raise SourceError(Problem("source_not_found", f"a key has at most {MAX_KEY_BYTES} bytes"))
    if not {".", ".."}.isdisjoint(key.split("/")):
        raise SourceError(Problem("source_unsupported", "a key with . or .. between slashes cannot be asked for"))


def _bytes_of(key: str) -> bytes:
    try:
        return key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair, out of JSON
        raise SourceError(Problem("source_not_found", "no key can have that name")) from None


def _check_version(version_id: str | None) -> None:
    if version_id is not None and not (version_id.isascii() and version_id.isprintable() and version_id):
        raise SourceError(Problem("source_not_found", "no version can have that name"))


def check_bucket(bucket: str) -> None:
    """Raises SourceError for a name that no bucket has, and that would change an address."""
    if not _BUCKET.match(bucket):
        raise SourceError(Problem("source_not_found", "no bucket can have that name"))


def _is_plain(key: str) -> bool:
    """Whether obstore passes the key as it is."""
    return key.isprintable() and "" not in key.split("/")
