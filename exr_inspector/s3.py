"""Objects of an S3 store, read by ranged GETs through obstore, which is imported at the first client only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from exr_inspector.config_s3 import S3Settings
from exr_inspector.limits import MIB
from exr_inspector.sources import Source

# All clients together hold what their objects' headers need; a client's readers wait for each other beyond this.
DEFAULT_IN_FLIGHT_BYTES = 256 * MIB


class S3Object(NamedTuple):
    """What a listing says of an object. `mtime_ns`: nanoseconds since 1970, UTC."""

    key: str
    size_bytes: int
    mtime_ns: int
    etag: str | None


class S3Source(Source):
    """One object. No request before the first read; its answer brings size, time, ETag and version."""

    is_random = False

    def __init__(self, client: S3Client, bucket: str, key: str, version_id: str | None = None) -> None:
        self.path = f"s3://{bucket}/{key}"
        self.s3_bucket = bucket
        self.s3_key = key
        self.version_id = version_id
        self.etag: str | None = None
        self.requests = 0
        self.bytes_read = 0
        self._client = client

    def read(self, offset: int, size_bytes: int) -> bytes:
        """See `Source.read`."""
        raise NotImplementedError


class S3Client:
    """Reads and lists objects of one endpoint. Safe to share between threads; make one for each process.

    Raises SourceError (`source_unsupported`) if obstore is not installed.
    """

    def __init__(self, settings: S3Settings, *, in_flight_bytes: int = DEFAULT_IN_FLIGHT_BYTES) -> None:
        self._settings = settings
        self._in_flight_bytes = in_flight_bytes

    def source(self, bucket: str, key: str, *, version_id: str | None = None) -> S3Source:
        """An object as a Source. Opens lazily: no request before the first read."""
        return S3Source(self, bucket, key, version_id)

    def list(self, bucket: str, prefix: str) -> Iterator[S3Object]:
        """The objects whose keys begin with a prefix, in the order of their keys. Raises SourceError."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives back what the client holds."""
