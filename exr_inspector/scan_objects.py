"""Objects as the files of a scan: a listing tells size and time of each, so that what is unchanged costs no request."""

from __future__ import annotations

from collections.abc import Iterator

from exr_inspector.s3 import S3Object, shared_client
from exr_inspector.sources import EXTENSIONS, S3_SCHEME, object_name

_SECOND_NS = 10**9


class ListedObject(str):
    """The address of an object, with what its listing said: `st_size` and `st_mtime_ns`, as of a local file."""

    __slots__ = ("st_mtime_ns", "st_size")

    st_size: int
    st_mtime_ns: int


def objects_below(address: str) -> Iterator[str]:
    """The OpenEXR files below `s3://bucket/prefix`, in the order of their keys. Raises SourceError, SettingsError."""
    bucket, key = object_name(address)
    prefix = key.rstrip("/") + "/" if key.strip("/") else ""
    for found in shared_client().list(bucket, prefix):
        if found.key.lower().endswith(EXTENSIONS):
            yield _listed(bucket, found)


def _listed(bucket: str, found: S3Object) -> ListedObject:
    """With whole seconds, as the object itself tells them; some stores list milliseconds."""
    listed = ListedObject(f"{S3_SCHEME}{bucket}/{found.key}")
    listed.st_size = found.size_bytes
    listed.st_mtime_ns = found.mtime_ns // _SECOND_NS * _SECOND_NS
    return listed


def is_gone(path: str) -> bool:
    """Whether a known object that was not listed is gone: a listing has all objects with these extensions."""
    return path.lower().endswith(EXTENSIONS)
