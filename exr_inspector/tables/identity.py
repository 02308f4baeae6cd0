"""What makes a row: the normalised path and the header's hash.

Nothing here looks at a disk: the same path gives the same row whether or not the file exists, so a link and its
target, or two mounts of one file, are two files.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

from exr_inspector.errors import DocumentError
from exr_inspector.tables.values import canonical_json, cut_document

FILE_ID_DIGITS = 32
# No file system takes a longer path (Linux: 4,096 bytes, Windows: 32,767 characters, S3: 1,024 bytes).
MAX_PATH_BYTES = 64 * 1024

_DRIVE = re.compile(r"[A-Za-z]:(?=/|\Z)")
# Most paths are as they should be; a scan asks for each file's.
_NORMAL = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[^/\\]+)+\Z")


def normalize_path(path: str | os.PathLike[str]) -> str:
    """Forward slashes, none doubled, no `.` and `..`, made absolute, case kept; `s3://bucket/key` stays as it is.

    A path that is not absolute is taken from the working directory. `..` at the root is dropped.
    """
    text = os.fspath(path)
    if _NORMAL.match(text) or text.startswith("s3://"):
        return text
    text = text.replace("\\", "/")
    if not text.startswith("/") and not _DRIVE.match(text):
        text = f"{os.getcwd()}/{text}".replace("\\", "/")
    drive = found[0] if (found := _DRIVE.match(text)) else ""
    segments: list[str] = []
    for segment in text[len(drive) :].split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return f"{drive}/{'/'.join(segments)}"


def file_path(payload: Mapping[str, Any]) -> str:
    """The path as it was given. Raises DocumentError if there is none."""
    file = payload.get("file")
    path = file.get("path") if isinstance(file, Mapping) else None
    if not path:
        raise DocumentError("Payload missing file.path")
    if not isinstance(path, str) or len(storable(path).encode()) > MAX_PATH_BYTES:
        raise DocumentError(f"file.path must be a text of at most {MAX_PATH_BYTES} bytes")
    return storable(path)


def normalized_path(payload: Mapping[str, Any]) -> str:
    """The path that tells files apart; bytes that are not UTF-8 are written as escapes. Raises DocumentError."""
    file_path(payload)
    raw, path = payload["file"].get("path_raw"), payload["file"]["path"]
    if not isinstance(raw, str):
        return storable(normalize_path(path))
    path = normalize_path(base64.b64decode(raw).decode("utf-8", "surrogateescape"))
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def storable(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate is written as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def header_hash(payload: Mapping[str, Any]) -> str | None:
    """The hash of the header's bytes, if the file could be walked."""
    digest = payload["file"].get("header_hash")
    return digest if isinstance(digest, str) and digest else None


def content_hash(payload: Mapping[str, Any]) -> str:
    """Stands in where there is no header hash: of parts, channels, attributes and fatal error codes, long values cut.

    Cutting first gives a stored document the identity that it had when it was stored. Raises DocumentError if the
    payload is no JSON.
    """
    smaller = cut_document(payload)
    fatal = [error.get("code") for error in payload.get("errors") or () if error.get("severity") == "fatal"]
    content = {name: smaller.get(name) for name in ("parts", "channels", "attributes")}
    return hashlib.sha256(canonical_json({**content, "errors": fatal}).encode()).hexdigest()


def file_id(payload: Mapping[str, Any]) -> str:
    """The key of a file's row: 32 hex digits. Raises DocumentError if the payload has no path or is no JSON."""
    path = normalized_path(payload)
    return file_id_of(path, header_hash(payload) or content_hash(payload))


def file_id_of(file_path_normalized: str, digest: str) -> str:
    """The key made of a normalised path and a hash."""
    return hashlib.sha256(f"{file_path_normalized}\0{digest}".encode()).hexdigest()[:FILE_ID_DIGITS]
