"""Bodies of requests, read within bounds: of each, of all together, and of time; checked while they come.

A body that is not read to its end costs nothing: the connection throws the rest away, or is closed in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from exr_inspector.limits import MIB

Receive = Callable[[], Awaitable[Any]]

# A client that takes longer for one body does so to hold the place.
BODY_SECONDS = 20.0
# Of all bodies that are there at once, whole or in part.
MAX_HELD_BYTES = 64 * MIB


class Refused(Exception):
    """A request that is not taken: what is answered, and after how many seconds it may come again, if it may."""

    def __init__(self, status: int, message: str, *, retry_seconds: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_seconds = retry_seconds


class Gone(Exception):
    """The client went away before it had sent all."""


class Room:
    """How many posts there are at once, and how many bytes their bodies have. For one event loop's thread."""

    def __init__(self, max_posts: int, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._posts = max_posts
        self._bytes = max_bytes

    def enter(self) -> None:
        """A post comes. Raises Refused (503) if there is no place."""
        if self._posts <= 0:
            raise _full()
        self._posts -= 1

    def leave(self, held_bytes: int) -> None:
        """A post is answered, its body is gone."""
        self._posts += 1
        self._bytes += held_bytes

    def take(self, size_bytes: int) -> None:
        """Bytes of a body have come. Raises Refused (503) if they are too many."""
        if self._bytes < size_bytes:
            raise _full()
        self._bytes -= size_bytes


def _full() -> Refused:
    return Refused(503, "too many requests at once", retry_seconds=1)


class Body:
    """The body of one post, with a place in the room while the block runs."""

    def __init__(self, room: Room, max_bytes: int) -> None:
        self._room = room
        self._max_bytes = max_bytes
        self._held_bytes = 0

    def __enter__(self) -> Body:
        self._room.enter()
        return self

    def __exit__(self, *_error: object) -> None:
        self._room.leave(self._held_bytes)

    async def read(self, receive: Receive, declared_bytes: str | None) -> bytes:
        """All of it. `declared_bytes` is the Content-Length header. Raises Refused (408, 413, 503) and Gone."""
        if declared_bytes is not None and _declared(declared_bytes) > self._max_bytes:
            raise self._too_large()
        try:
            return await asyncio.wait_for(self._read(receive), BODY_SECONDS)
        except asyncio.TimeoutError:
            raise Refused(408, f"the body did not come within {BODY_SECONDS:g} seconds") from None

    async def _read(self, receive: Receive) -> bytes:
        pieces: list[bytes] = []
        has_more = True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece = message.get("body", b"")
            if self._held_bytes + len(piece) > self._max_bytes:
                raise self._too_large()
            self._room.take(len(piece))
            self._held_bytes += len(piece)
            pieces.append(piece)
            has_more = message.get("more_body", False)
        return b"".join(pieces)

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is larger than {self._max_bytes} bytes")


def _declared(text: str) -> int:
    """A Content-Length; the HTTP parser has refused what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
