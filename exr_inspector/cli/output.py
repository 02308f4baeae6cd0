"""Where the data goes: stdout, or a file that appears only when it is whole."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

# Pieces of text are joined until they are worth a call of the system; longer ones go out alone.
_RUN_CHARACTERS = 1 << 16


class OutputError(Exception):
    """The data cannot be written: `place` and the reason, in words."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason


class Output:
    """A binary file that takes text. `place` is what messages call it."""

    def __init__(self, file: IO[bytes], place: str, encoding: str = "utf-8", *, is_standard: bool = False) -> None:
        self._file = file
        self.place = place
        self.encoding = encoding
        self.is_standard = is_standard

    def write(self, pieces: Iterable[str]) -> None:
        """Writes texts one after the other. Raises OutputError, and BrokenPipeError if nobody listens."""
        with _told(self.place):
            for run in _runs(pieces):
                self._write_all(run.encode(self.encoding, "backslashreplace"))

    def write_bytes(self, data: bytes) -> None:
        """Writes data that is no text. Raises as `write` does."""
        with _told(self.place):
            self._write_all(data)

    def _write_all(self, data: bytes) -> None:
        # An unbuffered stdout may take less than it is given.
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def flush(self) -> None:
        """Hands everything on to the system. Raises as `write` does."""
        with _told(self.place):
            self._file.flush()

    def finish(self) -> None:
        """The data is whole. Raises as `write` does."""
        self.flush()

    def discard(self) -> None:
        """The data will not become whole."""


class _StandardOutput(Output):
    """stdout."""

    def __init__(self) -> None:
        if sys.stdout is None:
            raise OutputError("standard output", "cannot be written: it is closed")
        super().__init__(sys.stdout.buffer, "standard output", sys.stdout.encoding or "utf-8", is_standard=True)

    def discard(self) -> None:
        """Gets rid of what Python still holds for stdout: it would try once more to write it at exit."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError, AttributeError):  # stdout may be anything, in tests for one
            os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class _Device(Output):
    """What is there and is no regular file: written to as it is."""

    def __init__(self, path: str) -> None:
        super().__init__(_opened(path, path, os.O_WRONLY), path)

    def finish(self) -> None:
        with _told(self.place):
            self._file.close()


class _Replacement(Output):
    """A new file in the same folder, which takes the old one's name when it is whole and on the disk."""

    def __init__(self, path: str) -> None:
        # A link stays a link: the file that it names is replaced.
        self._target = os.path.realpath(path)
        self._folder = os.path.dirname(self._target)
        self._temporary = os.path.join(self._folder, f".exr-inspector-{os.urandom(8).hex()}.tmp")
        super().__init__(_opened(self._temporary, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), path)

    def finish(self) -> None:
        with _told(self.place):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self._target)
            _sync_folder(self._folder)

    def discard(self) -> None:
        for leave in (self._file.close, lambda: os.unlink(self._temporary)):
            with suppress(OSError):
                leave()


@contextmanager
def open_output(path: str | None) -> Iterator[Output]:
    """The output of a run: stdout if `path` is None, else a file that takes the place of an older one at the end.

    Raises OutputError.
    """
    output = _StandardOutput() if path is None else _Device(path) if _is_special(path) else _Replacement(path)
    try:
        yield output
        output.finish()
    except BaseException:
        output.discard()
        raise


def _is_special(path: str) -> bool:
    with _told(path):
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            return False
    return not stat.S_ISREG(mode)


def _opened(path: str, place: str, flags: int) -> IO[bytes]:
    """The file; what it may do is up to the umask."""
    with _told(place):
        return os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666), "wb")


def _runs(pieces: Iterable[str]) -> Iterator[str]:
    run: list[str] = []
    size = 0
    for piece in pieces:
        if size + len(piece) > _RUN_CHARACTERS:
            yield "".join(run)
            run, size = [], 0
        run.append(piece)
        size += len(piece)
    yield "".join(run)


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in a path
        reason = error.strerror if isinstance(error, OSError) else None
        raise OutputError(place, f"cannot be written: {reason or error}") from error


def _sync_folder(folder: str) -> None:
    """Makes the new name last. Not every system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)
