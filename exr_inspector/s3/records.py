"""What goes between a source and its client."""

from __future__ import annotations

from typing import NamedTuple


class ObjectState(NamedTuple):
    """What an answer says of the object. `etag` as it came, with quotes; None where the answer does not say."""

    size_bytes: int
    mtime_ns: int | None
    etag: str | None
    version_id: str | None


class S3Object(NamedTuple):
    """What a listing says of an object. `mtime_ns`: nanoseconds since 1970, UTC. `etag`: without quotes."""

    key: str
    size_bytes: int
    mtime_ns: int
    etag: str | None


class Wanted(NamedTuple):
    """What a GET asks for. `etag`: only if the object still has this one."""

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None


class Unranged(Exception):
    """The server ignores ranges: it answers with the whole object."""


class Unsatisfiable(Exception):
    """The object has no byte of the range (416): it is empty, or shorter than it was."""
