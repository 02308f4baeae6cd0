"""What is in flight, and how much of it: jobs wait, are admitted, read by threads, and handed to the writer.

Jobs wait as events, which are small, and become documents, which are not, only while few others are in flight: memory
is bounded by admission. Files that are made to be large are bounded by weight: beyond it all that is read is handed to
the writer at once, and no thread begins to read before that is written. What is admitted waits for the writer only,
never for what is not admitted, so nothing can wait for ever.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from exr_inspector.dataengine.jobs import Group, Job, groups
from exr_inspector.dataengine.log_lines import FileLog
from exr_inspector.dataengine.outcomes import Observer, Outcome, failed
from exr_inspector.dataengine.reading import HEAVY_BYTES, light
from exr_inspector.errors import Problem
from exr_inspector.limits import MIB

# While one batch is written, the next is read, and a third is on its way.
BATCHES_IN_FLIGHT = 3
# Events that wait are some kilobytes each.
BATCHES_WAITING = 40
# Of all documents in flight; what usual files weigh stays below a third of it.
MAX_WEIGHT_BYTES = 64 * MIB

BUSY = Problem("function_busy", "too much waits already")
STOPPING = Problem("function_busy", "the function is stopping")


class Flow:
    """`read` sets a job's reading, and answers jobs that need no writing; `write` takes the others of a group."""

    def __init__(
        self,
        *,
        threads: int,
        batch_files: int,
        read: Callable[[Job], None],
        write: Callable[[Sequence[Job]], None],
        log: FileLog,
        observer: Observer | None,
    ) -> None:
        self.is_closing = False
        self._threads = threads
        self._batch_files = batch_files
        self._read = read
        self._write = write
        self._log = log
        self._observer = observer
        self._changed = threading.Condition()
        self._waiting: deque[Group] = deque()
        self._waiting_files = 0
        self._admitted: set[Group] = set()
        self._in_flight = 0
        self._weight_bytes = 0
        self._to_read: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Starts the reading threads."""
        for number in range(self._threads):
            threading.Thread(target=self._read_all, name=f"exr-reader-{number}", daemon=True).start()

    def take(self, jobs: Sequence[Job]) -> None:
        """Takes jobs that belong together, or refuses them all: when too much waits, or at the end. Never blocks."""
        with self._changed:
            is_full = self._waiting_files + len(jobs) > BATCHES_WAITING * self._batch_files
            # However many jobs come at once, there is a time when they are taken: when no others wait.
            is_refused = self.is_closing or (is_full and bool(self._waiting))
            if not is_refused:
                self._waiting.extend(groups(jobs, self._batch_files))
                self._waiting_files += len(jobs)
                self._admit()
        for job in jobs if is_refused else ():
            self.answer(job, failed(job.delivery, STOPPING if self.is_closing else BUSY, is_retryable=True))

    def answer(self, job: Job, outcome: Outcome) -> None:
        """What became of a job. Only the first answer counts."""
        if not job.request.claim(job.number):
            return
        seconds = time.monotonic() - job.request.started
        read = job.reading
        outcome = outcome._replace(
            seconds=seconds, bytes_read=read.bytes_read, requests=read.requests, read_seconds=read.seconds
        )
        if outcome.document is not None and read.weight_bytes > HEAVY_BYTES:
            outcome = outcome._replace(document=light(outcome.document))
        self._log.file(outcome)
        if self._observer is not None:
            self._observer.file(outcome)
        job.request.settle(job.number, outcome)
        if job.group is not None:
            self._release(job, job.group)

    def close(self, grace_seconds: float) -> None:
        """Refuses what comes from now on, waits for what is in flight, and ends the reading threads.

        What is not answered within the grace time is answered with a retryable failure.
        """
        with self._changed:
            self.is_closing = True
            self._changed.wait_for(lambda: not self._admitted and not self._waiting, max(0.0, grace_seconds))
            late = [job for group in (*self._admitted, *self._waiting) for job in group.jobs]
            self._waiting.clear()
        for job in late:
            self.answer(job, failed(job.delivery, STOPPING, is_retryable=True))
        for _ in range(self._threads):
            self._to_read.put(None)

    # ---- Admission -----------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Lets groups be read, as far as documents may be in flight. Needs the lock."""
        largest = BATCHES_IN_FLIGHT * self._batch_files
        while self._waiting and self._in_flight + len(self._waiting[0].jobs) <= largest:
            group = self._waiting.popleft()
            self._waiting_files -= len(group.jobs)
            self._in_flight += len(group.jobs)
            self._admitted.add(group)
            for job in group.jobs:
                self._to_read.put(job)

    def _release(self, job: Job, group: Group) -> None:
        with self._changed:
            if job.is_read:
                self._weight_bytes -= job.reading.weight_bytes
                self._changed.notify_all()
            group.unanswered -= 1
            if group.unanswered or group not in self._admitted:
                return
            self._admitted.remove(group)
            self._in_flight -= len(group.jobs)
            group.jobs = []  # they know their group: what was read would wait for the garbage collector
            self._admit()
            self._changed.notify_all()

    # ---- Reading -------------------------------------------------------------------------------------------

    def _read_all(self) -> None:
        """A reading thread."""
        while (job := self._to_read.get()) is not None:
            with self._changed:
                self._changed.wait_for(lambda: self._weight_bytes <= MAX_WEIGHT_BYTES)
            if not job.is_answered:
                self._try_to_read(job)
            self._pass_on(job)

    def _try_to_read(self, job: Job) -> None:
        try:
            self._read(job)
        except Exception as error:  # noqa: BLE001 - an outer door: the thread lives on, the delivery is answered
            self._log.failure(error)
            problem = Problem("function_failed", f"{type(error).__name__} while reading")
            self.answer(job, failed(job.delivery, problem, is_retryable=isinstance(error, MemoryError)))

    def _pass_on(self, job: Job) -> None:
        """The last one of a group that is read brings the group to the writer; one too heavy, all that is read."""
        with self._changed:
            for jobs in self._ready(job):
                self._write(jobs)

    def _ready(self, job: Job) -> Iterator[list[Job]]:
        """What is to be written now that the job is read. Needs the lock."""
        group = job.group
        if group is None:
            return
        group.unread -= 1
        if not job.is_answered:
            job.is_read = True
            self._weight_bytes += job.reading.weight_bytes
        is_heavy = self._weight_bytes > MAX_WEIGHT_BYTES
        for each in list(self._admitted) if is_heavy else [] if group.unread else [group]:
            jobs = [member for member in each.jobs if member.is_read and not member.is_handed_on]
            for member in jobs:
                member.is_handed_on = True
            if jobs:
                yield jobs
