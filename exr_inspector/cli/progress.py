"""How far a run is, on a line of stderr that is written over and over; only where a person sees it."""

from __future__ import annotations

import sys
import time

from exr_inspector.cli.escape import plain, say

_SECONDS_BETWEEN = 0.1
_PATH_CHARACTERS = 50


def is_terminal(file: object) -> bool:
    """Whether a stream, which may be missing or closed, is a terminal."""
    isatty = getattr(file, "isatty", None)
    try:
        return bool(isatty and isatty())
    except ValueError:
        return False


class Progress:
    """Counts files. Silent unless stderr is a terminal and the data goes elsewhere."""

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_shown = is_wanted and is_terminal(sys.stderr)
        self._count = 0
        self._next_time = 0.0
        self._has_line = False

    def begin(self, path: str) -> None:
        """The next file."""
        self._count += 1
        if not self._is_shown or time.monotonic() < self._next_time:
            return
        self._next_time = time.monotonic() + _SECONDS_BETWEEN
        end = path if len(path) <= _PATH_CHARACTERS else "…" + path[-_PATH_CHARACTERS:]
        say(f"\r\x1b[K{self._count} {plain(end, 2 * _PATH_CHARACTERS)}")
        self._has_line = True

    def clear(self) -> None:
        """Takes the line away, so that a message can stand there."""
        if self._has_line:
            say("\r\x1b[K")
            self._has_line = False
