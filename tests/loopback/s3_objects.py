"""What the loopback S3 server serves: objects in memory with their versions, and directories as buckets."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .vast_errors import ApiError


def as_bytes(key: str) -> bytes:
    """Return a key as it is sorted: a key that is not UTF-8 has surrogates."""
    return key.encode(errors="surrogateescape")


@dataclass(frozen=True)
class Version:
    """One version of an object: in memory, or the range of a file."""

    version_id: str | None
    etag: str
    mtime: float  # seconds since 1970; S3 tells whole ones
    size: int
    data: bytes | None = None
    path: Path | None = None

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes of a range."""
        if self.path is None:
            return (self.data or b"")[start:end]
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(descriptor, end - start, start)
        finally:
            os.close(descriptor)


class Bucket:
    """A bucket in memory. Every put makes a new version."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: dict[str, list[Version]] = {}
        self._numbers = itertools.count(1)

    def put(self, key: str, data: bytes, *, mtime: float | None = None) -> Version:
        """Add a version; it is now the object."""
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        with self._lock:
            version_id = f"version-{next(self._numbers)}"
            version = Version(version_id, etag, time.time() if mtime is None else mtime, len(data), data)
            self._versions.setdefault(key, []).append(version)
        return version

    def delete(self, key: str) -> None:
        """Remove an object with all its versions."""
        with self._lock:
            self._versions.pop(key, None)

    def get(self, key: str, version_id: str | None = None) -> Version:
        """Return an object, or one version of it."""
        with self._lock:
            versions = self._versions.get(key)
            if not versions:
                raise ApiError("NoSuchKey", "The specified key does not exist.")
            if version_id is None:
                return versions[-1]
            for version in versions:
                if version.version_id == version_id:
                    return version
        raise ApiError("NoSuchVersion", "The specified version does not exist.")

    def sorted_keys(self) -> Iterator[str]:
        """Give the keys, sorted by their UTF-8 bytes."""
        with self._lock:
            return iter(sorted(self._versions, key=as_bytes))


@dataclass
class DirectoryBucket(Bucket):
    """The files below a directory, as they are when they are asked for. Not versioned, not written to."""

    root: Path

    def put(self, key: str, data: bytes, *, mtime: float | None = None) -> Version:
        """Refuse."""
        raise ApiError("AccessDenied", f"this bucket is a directory: {key} stays ({len(data)} bytes, {mtime})")

    def delete(self, key: str) -> None:
        """Refuse."""
        raise ApiError("AccessDenied", f"this bucket is a directory: {key} stays")

    def get(self, key: str, version_id: str | None = None) -> Version:
        """Return a file as an object."""
        if version_id is not None:
            raise ApiError("NoSuchVersion", "The specified version does not exist.")
        if any(part in ("", ".", "..") for part in key.split("/")):
            raise ApiError("NoSuchKey", "The specified key does not exist.")
        path = self.root / key
        try:
            status = path.stat()
        except (OSError, ValueError):
            raise ApiError("NoSuchKey", "The specified key does not exist.") from None
        if not path.is_file():
            raise ApiError("NoSuchKey", "The specified key does not exist.")
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        return Version(None, etag, status.st_mtime, status.st_size, path=path)

    def sorted_keys(self) -> Iterator[str]:
        """Give the keys, sorted by their UTF-8 bytes."""
        found = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()]
        return iter(sorted(found, key=as_bytes))
