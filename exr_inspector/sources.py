"""Where the bytes come from: a path, bytes, a binary file object. Each gives "this range", size and time.

Objects of an S3 store are sources, too; they are at home in `s3`.

Foreign errors are translated here, once. A source never reads by itself and never more than it is asked for.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from types import TracebackType
from typing import IO, Any, Union

from exr_inspector.errors import Problem, SourceError, shown
from exr_inspector.limits import FIRST_READ_BYTES, MIB

SourceArgument = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes], "Source"]

S3_SCHEME = "s3://"

# What directories and buckets are searched for: OpenEXR's own extension, and those of stereo and multi-view files.
EXTENSIONS = (".exr", ".sxr", ".mxr")

# Non-blocking, so that opening a FIFO does not wait for a writer.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

# A stream tells its length only by ending: it is read in pieces, so that memory grows with what really comes.
_STREAM_PIECE_BYTES = 4 * MIB

_ERRNO_CODES = {
    errno.ENOENT: "source_not_found",
    errno.ENOTDIR: "source_not_found",
    errno.ENAMETOOLONG: "source_not_found",
    errno.ELOOP: "source_not_found",
    errno.EACCES: "source_no_permission",
    errno.EPERM: "source_no_permission",
    errno.EISDIR: "source_not_regular",
    errno.ENXIO: "source_not_regular",
    errno.ENODEV: "source_not_regular",
}

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO: read it through `-`"),
    (stat.S_ISCHR, "a character device: read it through `-`"),
    (stat.S_ISBLK, "a block device: read it through `-`"),
    (stat.S_ISSOCK, "a socket"),
)


class Source:
    """The bytes of one file. A context manager.

    `path` is what the document calls the file (None for bytes), `size_bytes` and `mtime_ns` are None where they
    are unknown. `is_random` tells whether any range can be read at little cost; without it, ranges must follow
    each other from the start. What `is_remote` costs a request for each read; `s3_bucket` and `s3_key` name an
    object, `etag` and `version_id` which one it was.
    """

    path: str | bytes | None = None
    size_bytes: int | None = None
    mtime_ns: int | None = None
    is_random: bool = True
    is_remote: bool = False
    s3_bucket: str | None = None
    s3_key: str | None = None
    etag: str | None = None
    version_id: str | None = None
    first_read_bytes: int = FIRST_READ_BYTES

    def read(self, offset: int, size_bytes: int) -> bytes:
        """The bytes from `offset` on; fewer than asked for only at the file's end. Raises SourceError."""
        raise NotImplementedError

    def read_ahead(self, number: int, have_bytes: int) -> int:
        """How many bytes to read beyond those that a header is known to need, when it grows for the nth time from 0.

        Doubling steps: the number of reads is logarithmic, and what is read past the header's end stays a fraction.
        """
        return max(FIRST_READ_BYTES << min(number, 32), have_bytes // 4)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        """The bytes of many ranges (offset, size), each with its offset, in any order. Raises SourceError."""
        for offset, size_bytes in ranges:
            yield offset, self.read(offset, size_bytes)

    def restart(self) -> bool:
        """Begins anew with what there is now, after `source_changed`. False if that cannot help (any more)."""
        return False

    def close(self) -> None:
        """Gives back what the source holds."""

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalFile(Source):
    """A regular file, read at positions; the only state is a descriptor."""

    size_bytes: int

    def __init__(self, path: str | bytes) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, _OPEN_FLAGS)
        except OSError as error:
            raise _translated(error) from error
        except ValueError as error:  # a NUL in the path
            raise SourceError(Problem("source_not_found", f"not a path: {error}")) from error
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise SourceError(Problem("source_not_regular", f"not a regular file but {_kind(status.st_mode)}"))
        self.size_bytes = status.st_size
        self.mtime_ns = status.st_mtime_ns

    def read(self, offset: int, size_bytes: int) -> bytes:
        """See `Source.read`."""
        try:
            data = _pread(self._descriptor, size_bytes, offset)
            while len(data) < size_bytes and offset + len(data) < self.size_bytes:
                more = _pread(self._descriptor, size_bytes - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise _translated(error) from error
        return data

    def real_path(self) -> str | None:
        """Where the open file is, without links, by the system's own word; None if it has none."""
        try:
            return _path_of_descriptor(self._descriptor)
        except OSError:
            return None

    def is_at(self, path: str) -> bool:
        """Whether that path names this very file now."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self._descriptor))
        except OSError:
            return False

    def close(self) -> None:
        """See `Source.close`."""
        os.close(self._descriptor)


class InMemory(Source):
    """Bytes that are there already."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes = len(data)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """See `Source.read`."""
        return self._data[offset : offset + size_bytes]


class FileObject(Source):
    """A binary file object, read from where it stands. A seekable one is put back there at the end."""

    def __init__(self, file: IO[bytes], *, path: str | bytes | None = None) -> None:
        self._file = file
        name = getattr(file, "name", None)
        self.path = path if path is not None else name if isinstance(name, (str, bytes)) else None
        self.is_random = _is_seekable(file)
        self._start = 0
        self._position = 0
        if self.is_random:
            try:
                self._start = file.tell()
                self.size_bytes = max(0, file.seek(0, os.SEEK_END) - self._start)
                self._seek(0)
            except Exception as error:  # as in `read`
                raise _translated(error) from error
        self.mtime_ns = _mtime_ns(file)

    def _seek(self, offset: int) -> None:
        self._file.seek(self._start + offset)
        self._position = offset

    def read(self, offset: int, size_bytes: int) -> bytes:
        """See `Source.read`."""
        try:
            return self._read(offset, size_bytes)
        except TypeError:
            raise
        # Foreign code: gzip raises EOFError, http.client IncompleteRead, a closed file ValueError, …
        except Exception as error:
            raise _translated(error) from error

    def _read(self, offset: int, size_bytes: int) -> bytes:
        if self.is_random and offset != self._position:
            self._seek(offset)
        pieces: list[bytes] = []
        missing = size_bytes if self.size_bytes is None else min(size_bytes, self.size_bytes - offset)
        while missing > 0:
            piece = self._file.read(min(missing, _STREAM_PIECE_BYTES))
            if piece is None:
                raise BlockingIOError(errno.EAGAIN, "the file object does not wait for its bytes")
            if not isinstance(piece, bytes):
                raise TypeError(f"a binary file object is needed; read() gave {type(piece).__name__}")
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
            self._position += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """See `Source.close`."""
        if self.is_random:
            with suppress(OSError, ValueError):  # closed meanwhile: nothing to put back
                self._seek(0)


def open_source(source: SourceArgument) -> Source:
    """The Source of a path, bytes or a binary file object; a Source is its own. Not for s3:// addresses.

    Raises SourceError; TypeError for anything else.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, str):
        return LocalFile(source)
    if isinstance(source, os.PathLike):
        path = os.fspath(source)
        return LocalFile(path)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return InMemory(bytes(source))
    if isinstance(source, io.TextIOBase):
        raise TypeError("a binary file object is needed; this one was opened for text")
    if callable(getattr(source, "read", None)):
        return FileObject(source)
    raise TypeError(f"a path, bytes or a binary file object is needed, not {type(source).__name__}")


def object_name(address: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`; the key is all that follows, as it is."""
    bucket, _, key = address[len(S3_SCHEME) :].partition("/")
    return bucket, key


def described_path(source: SourceArgument) -> str | bytes | None:
    """What a document calls a source, also one that could not be opened."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, Source):
        return source.path
    name = getattr(source, "name", None)
    return name if isinstance(name, (str, bytes)) else None


def _pread_by_seeking(descriptor: int, size_bytes: int, offset: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size_bytes)


_pread: Callable[[int, int, int], bytes] = getattr(os, "pread", _pread_by_seeking)  # Windows has none


def _path_of_descriptor(descriptor: int) -> str | None:
    if sys.platform == "darwin":
        fcntl = import_module("fcntl")
        told: bytes = fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024))
        return os.fsdecode(told.rstrip(b"\0"))
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _is_seekable(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    try:
        return bool(seekable()) and not _is_device(file) if callable(seekable) else False
    except (OSError, ValueError):
        return False


def _is_device(file: Any) -> bool:
    """Whether it reads a character device, which may be seekable but has no end: /dev/zero says it is empty."""
    try:
        return stat.S_ISCHR(os.fstat(file.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):
        return False


def _mtime_ns(file: Any) -> int | None:
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return status.st_mtime_ns if stat.S_ISREG(status.st_mode) else None


def _kind(mode: int) -> str:
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "something else")


def _translated(error: Exception) -> SourceError:
    if isinstance(error, OSError):
        code = _ERRNO_CODES.get(error.errno or 0, "source_failed")
        reason = error.strerror or type(error).__name__
    else:
        code, reason = "source_failed", f"{type(error).__name__}: {error}"
    return SourceError(Problem(code, shown(reason).strip("'\"")))
