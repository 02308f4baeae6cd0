"""Which files a run reads: arguments, directories, lists. One at a time: a list or a tree may be endless."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import IO

from exr_inspector.sources import EXTENSIONS

STANDARD_INPUT = "-"

_READ_BYTES = 1 << 16
# No system takes longer paths. A file without any separator is no list of paths.
_MAX_PATH_BYTES = 1 << 20


class ListError(Exception):
    """A list of paths cannot be read: `place` and the reason, in words."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason


def is_directory(path: str) -> bool:
    """Whether the path is a directory or a link to one."""
    try:
        return os.path.isdir(path)
    except ValueError:  # a NUL in the path
        return False


def expanded(paths: Iterable[str]) -> Iterator[str]:
    """The paths, each directory replaced by the files in it."""
    for path in paths:
        if is_directory(path):
            yield from files_below(path)
        else:
            yield path


def files_below(directory: str) -> Iterator[str]:
    """The OpenEXR files of a directory and of those in it, by their names, in the order of the names' characters.

    Directories stand among the files and are read when their turn comes; links to directories are not followed,
    so that every file comes once. A directory that cannot be listed is given itself: reading it tells why.
    """
    pending = [(directory, True)]
    while pending:
        path, is_a_directory = pending.pop()
        if not is_a_directory:
            yield path
            continue
        try:
            entries = _entries(path)
        except OSError:
            yield path
        else:
            pending += reversed(entries)


def _entries(directory: str) -> list[tuple[str, bool]]:
    """Path and kind of what is read of a directory, in order."""
    with os.scandir(directory) as entries:
        named = sorted((entry.name, entry.is_dir(follow_symlinks=False), entry.path) for entry in entries)
    return [
        (path, is_a_directory)
        for name, is_a_directory, path in named
        if is_a_directory or name.lower().endswith(EXTENSIONS)
    ]


def listed(path: str) -> Iterator[str]:
    """The paths in a list, a line each, or separated by NULs if there are any; `-` is stdin. Raises ListError."""
    try:
        if path == STANDARD_INPUT:
            yield from _names(sys.stdin.buffer)
        else:
            with open(path, "rb") as file:
                yield from _names(file)
    except (OSError, ValueError, AttributeError) as error:  # ValueError: a NUL; AttributeError: a closed stdin
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ListError(path, f"the list of paths cannot be read: {reason}") from error


def _names(file: IO[bytes]) -> Iterator[str]:
    separator, rest = b"\n", b""
    read = getattr(file, "read1", file.read)
    while block := read(_READ_BYTES):
        rest += block
        if b"\0" in rest:
            separator = b"\0"
        *names, rest = rest.split(separator)
        yield from map(os.fsdecode, filter(None, names))
        if len(rest) > _MAX_PATH_BYTES:
            raise ValueError(f"no separator within {_MAX_PATH_BYTES} bytes")
    if rest:
        yield os.fsdecode(rest)
