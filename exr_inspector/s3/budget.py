"""How many bytes of objects may be held at once: many readers, each with a header that grows as it is read.

Readers that hold bytes and need more come first, in their order: they are the ones that will give bytes back. If
nobody but waiting readers holds any, the first of them goes on beyond the budget, since no one else can: so there is
no deadlock, at most one reader at a time is beyond it, and a request larger than the whole budget runs alone.
"""

from __future__ import annotations

from threading import Condition
from typing import NamedTuple


class Share:
    """What one reader holds. Compared by identity."""

    def __init__(self) -> None:
        self.held_bytes = 0


class _Wait(NamedTuple):
    share: Share
    size_bytes: int


class Budget:
    """Shared by all readers of a client."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._peak_bytes = 0
        self._holders: set[Share] = set()
        self._waits: list[_Wait] = []
        self._changed = Condition()

    @property
    def held_bytes(self) -> int:
        """What all readers hold now."""
        return self._held_bytes

    @property
    def peak_bytes(self) -> int:
        """The most that was ever held."""
        return self._peak_bytes

    def take(self, share: Share, size_bytes: int, *, timeout_seconds: float) -> bool:
        """Waits until there is room for so many more bytes; False if there was none in time."""
        wait = _Wait(share, size_bytes)
        with self._changed:
            self._waits.append(wait)
            self._changed.notify_all()  # with this one among those who wait, another one may be let go on
            try:
                if not self._changed.wait_for(lambda: self._may(wait), timeout_seconds):
                    return False
                self._change(share, size_bytes)
                return True
            finally:
                self._waits = [each for each in self._waits if each is not wait]
                self._changed.notify_all()

    def give(self, share: Share, size_bytes: int) -> None:
        """Gives bytes back."""
        with self._changed:
            self._change(share, -size_bytes)
            self._changed.notify_all()

    def give_all(self, share: Share) -> None:
        """Gives back all that a reader holds."""
        self.give(share, share.held_bytes)

    def _change(self, share: Share, size_bytes: int) -> None:
        share.held_bytes += size_bytes
        self._held_bytes += size_bytes
        self._peak_bytes = max(self._peak_bytes, self._held_bytes)
        (self._holders.add if share.held_bytes else self._holders.discard)(share)

    def _may(self, wait: _Wait) -> bool:
        growing = [each for each in self._waits if each.share.held_bytes]
        if wait is not (growing or self._waits)[0]:
            return False
        if self._held_bytes + wait.size_bytes <= self._limit_bytes:
            return True
        waiting = {each.share for each in self._waits}
        return self._holders <= waiting
