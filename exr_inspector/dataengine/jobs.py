"""What is in flight: a request for each event, a job for each of its files, a group for what is written together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timezone

from exr_inspector.config_vast import VastSettings
from exr_inspector.dataengine.outcomes import Outcome
from exr_inspector.dataengine.reading import NOTHING_READ, Reading
from exr_inspector.events import Delivery


class Request:
    """The outcomes that one event waits for, in the order of its deliveries. Each is claimed once, then settled."""

    def __init__(self, count: int) -> None:
        self.future: Future[list[Outcome]] = Future()
        self.future.set_running_or_notify_cancel()  # so that nobody can cancel it
        self.started = time.monotonic()
        self._outcomes: list[Outcome | None] = [None] * count
        self._claimed = [False] * count
        self._missing = count
        self._lock = threading.Lock()
        if not count:
            self.future.set_result([])

    def claim(self, number: int) -> bool:
        """Whether the caller is the first one that has an outcome for the delivery, and so the one to settle it."""
        with self._lock:
            is_first = not self._claimed[number]
            self._claimed[number] = True
        return is_first

    def is_claimed(self, number: int) -> bool:
        """Whether a delivery has an outcome."""
        return self._claimed[number]

    def settle(self, number: int, outcome: Outcome) -> None:
        """Keeps the outcome; the last one ends the request."""
        with self._lock:
            self._outcomes[number] = outcome
            self._missing -= 1
            is_done = not self._missing
        if is_done:
            self.future.set_result([found for found in self._outcomes if found is not None])


@dataclass(eq=False)
class Group:
    """Jobs that are written together: when all are read. No more than one transaction takes."""

    jobs: list[Job]
    unread: int
    unanswered: int


@dataclass(eq=False)
class Job:
    """One file that is to be read and stored. `database`: the event's own, None for the function's."""

    request: Request
    number: int
    delivery: Delivery
    database: VastSettings | None = None
    is_by_hand: bool = False
    reading: Reading = NOTHING_READ
    began_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    group: Group | None = None
    is_read: bool = False
    is_handed_on: bool = False

    @property
    def is_answered(self) -> bool:
        """Whether its outcome is known."""
        return self.request.is_claimed(self.number)


def groups(jobs: Sequence[Job], largest: int) -> Iterator[Group]:
    """The jobs in groups of at most that many, in order."""
    for start in range(0, len(jobs), largest):
        members = list(jobs[start : start + largest])
        group = Group(members, len(members), len(members))
        for job in members:
            job.group = group
        yield group
