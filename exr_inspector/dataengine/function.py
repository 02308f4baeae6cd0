"""Events in, rows out: headers read many at once, written by one thread, one transaction for all that waits.

event ─ submit ─▶ jobs ─ Flow ─▶ Reader, in threads ─▶ Writer, one thread ─▶ outcomes
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

from exr_inspector.config_function import FunctionSettings
from exr_inspector.config_s3 import S3Settings, s3_settings
from exr_inspector.config_vast import EVENT, VastSettings, vast_settings
from exr_inspector.dataengine.databases import ABSENT, DOWN, STARTING, Databases, Pace
from exr_inspector.dataengine.flow import STOPPING, Flow
from exr_inspector.dataengine.jobs import Job, Request
from exr_inspector.dataengine.log_lines import FileLog
from exr_inspector.dataengine.outcomes import Observer, Outcome, RetryableFailure, failed, skipped, stored
from exr_inspector.dataengine.reading import Reader
from exr_inspector.dataengine.writing import Writer
from exr_inspector.errors import ExrError, Problem
from exr_inspector.events import Delivery, allowed, deliveries
from exr_inspector.s3 import S3Client
from exr_inspector.stores.vast import NOT_CONFIGURED

__all__ = ["Function", "Observer", "Outcome", "RetryableFailure"]

_NOTHING = Delivery("skip")
_GONE = "nothing stored: there is no such file any more"


class Function:
    """One S3 client, one store, the threads that use them. Safe to share between threads.

    `secrets`: the platform's mounted secrets. `is_served`: events come over HTTP, and may name less. S3 and the
    database are those of the environment. Raises SettingsError if their settings make no sense, SourceError if S3 is
    configured and its client is not installed.
    """

    def __init__(
        self,
        settings: FunctionSettings,
        *,
        secrets: Mapping[str, Any] | None = None,
        logger: logging.Logger | None = None,
        observer: Observer | None = None,
        is_served: bool = False,
        pace: Pace | None = None,
    ) -> None:
        self.settings = settings
        self._secrets = secrets
        self._is_served = is_served
        self._has_started = False
        objects, database = s3_settings(), vast_settings(None, secrets)
        log = FileLog(logger, _hidden(objects, database))
        self._client = None if objects is None else S3Client(objects, in_flight_bytes=settings.in_flight_bytes)
        self._reader = Reader(settings, self._client)
        pace = pace or Pace()
        self._own = Databases(database, pace=pace, note=log.note)
        # A database that an event brings along may be slow, or not answer at all: it holds up nobody else.
        brought = Databases(None, pace=pace, note=log.note)
        self._writer, self._other_writer = (
            Writer(each, settings.batch_files, log, observer, answer=self._answer) for each in (self._own, brought)
        )
        self._flow = Flow(
            threads=settings.concurrency,
            batch_files=settings.batch_files,
            read=self._read,
            write=self._write,
            log=log,
            observer=observer,
        )

    # ---- Life ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the threads, which open the store in the background: returns at once.

        A store that cannot be opened is tried again and again: alive, not ready.
        """
        self._writer.start()
        self._other_writer.start()
        self._flow.start()
        self._has_started = True

    @property
    def is_ready(self) -> bool:
        """Whether events can be handled: started, not closing, and the store, if one is configured, is open."""
        return not self.reason

    @property
    def reason(self) -> str:
        """Why it is not ready, without secrets; "" if it is."""
        if not self._has_started:
            return "not started"
        if self._flow.is_closing:
            return STOPPING.message
        state = self._own.state
        if state.phase == STARTING:
            return "the database is being opened"
        return str(state.error) if state.phase == DOWN else ""

    def close(self, grace_seconds: float) -> None:
        """Refuses what comes from now on, finishes what is in flight, and ends the threads.

        What is not finished within the grace time is answered with a retryable failure. If it is committed after all,
        it is so again when it comes again, which makes no second row.
        """
        ends = time.monotonic() + grace_seconds
        self._flow.close(grace_seconds if self._has_started else 0.0)
        if self._has_started:
            for writer in (self._writer, self._other_writer):
                writer.stop(ends - time.monotonic())
        if self._client is not None:
            self._client.close()

    # ---- Events --------------------------------------------------------------------------------------------

    def submit(self, event: Any, *, is_by_hand: bool = False) -> Future[list[Outcome]]:
        """One Outcome for each delivery of the event; never blocks, and the future never raises.

        Beyond what may wait at once, and after `close`, deliveries are refused: a `failed` outcome that is
        retryable, code `function_busy`. An event that is not understood is one `failed` outcome that is not.
        Cancelling the future changes nothing.
        """
        request, jobs = self._accepted(event, is_by_hand=is_by_hand)
        self._flow.take(jobs)
        return request.future

    def submit_batch(self, events: Sequence[Any], *, is_by_hand: bool = False) -> Future[list[list[Outcome]]]:
        """The outcomes of each event; the events' files are written together, `batch_files` in a transaction."""
        accepted = [self._accepted(event, is_by_hand=is_by_hand) for event in events]
        self._flow.take([job for _, jobs in accepted for job in jobs])
        return _all([request.future for request, _ in accepted])

    def _accepted(self, event: Any, *, is_by_hand: bool) -> tuple[Request, list[Job]]:
        """What an event asks for; what needs no reading is answered at once."""
        asked = _asked(event)
        request = Request(len(asked.deliveries))
        jobs = [Job(request, *numbered, is_by_hand=is_by_hand) for numbered in enumerate(asked.deliveries)]
        for job in jobs:
            if asked.problem is not None:
                self._answer(job, failed(job.delivery, asked.problem, is_retryable=False))
            elif (outcome := self._at_once(job)) is not None:
                self._answer(job, outcome)
        return request, [job for job in jobs if not job.is_answered]

    def _at_once(self, job: Job) -> Outcome | None:
        """The outcome of a delivery that needs no reading; else None, and the job knows its database."""
        delivery = job.delivery
        if delivery.kind == "skip":
            return skipped(delivery, delivery.reason or "nothing to do")
        try:
            job.delivery = allowed(delivery, self.settings, is_by_hand=job.is_by_hand, is_served=self._is_served)
            job.database = self._brought(job.delivery)
        except ExrError as error:
            return failed(delivery, error.problem, is_retryable=False)
        return self._if_down(job) if self.settings.persist_failure == "retry" else None

    def _brought(self, delivery: Delivery) -> VastSettings | None:
        """The database that an event names an endpoint or a key of, or None. Raises SettingsError."""
        found = vast_settings(delivery.database, self._secrets) if delivery.database else None
        return found if found is not None and found.place == EVENT.words else None

    def _answer(self, job: Job, outcome: Outcome) -> None:
        self._flow.answer(job, outcome)

    # ---- Reading -------------------------------------------------------------------------------------------

    def _read(self, job: Job) -> None:
        """In a reading thread."""
        job.reading = self._reader.read(job.delivery, is_by_hand=job.is_by_hand)
        outcome = self._unwritten(job)
        if outcome is not None:
            self._answer(job, outcome)

    def _write(self, jobs: Sequence[Job]) -> None:
        for writer, is_own in ((self._writer, True), (self._other_writer, False)):
            chosen = [job for job in jobs if (job.database is None) == is_own]
            if chosen:
                writer.write(chosen)

    def _unwritten(self, job: Job) -> Outcome | None:
        """The outcome of a job that was read and is not to be written; else None."""
        delivery, (document, fatal, *_) = job.delivery, job.reading
        if fatal is not None and job.reading.is_gone:
            return skipped(delivery, _GONE, document)._replace(code=fatal.code)
        if fatal is not None and (job.reading.is_retryable or job.reading.is_refused):
            return failed(delivery, fatal, document, is_retryable=job.reading.is_retryable)
        if document is not None and job.database is None and self._own.state.phase == ABSENT:
            return stored(delivery, document, NOT_CONFIGURED, fatal)
        return self._if_down(job)

    def _if_down(self, job: Job) -> Outcome | None:
        """The outcome of a job whose store is known to be down; else None."""
        state = self._own.state
        if job.database is not None or state.phase != DOWN or state.error is None:
            return None
        return failed(job.delivery, state.error.problem, job.reading.document, is_retryable=True)


class _Asked(NamedTuple):
    """What an event asks for. With a problem, the one delivery stands for the event."""

    deliveries: Sequence[Delivery]
    problem: Problem | None = None


def _asked(event: Any) -> _Asked:
    try:
        return _Asked(deliveries(event))
    except ExrError as error:
        return _Asked([_NOTHING], error.problem)
    except Exception as error:  # noqa: BLE001 - an event is a foreign object: its methods may raise anything
        problem = Problem("event_not_understood", f"the event raises {type(error).__name__}")
        return _Asked([_NOTHING], problem)


def _hidden(*settings: S3Settings | VastSettings | None) -> list[str]:
    """What no log line tells, not even where an event names a file after it."""
    found = [each for each in settings if each is not None]
    keys = [key.reveal() for each in found for key in (each.access_key, each.secret_key)]
    return [*keys, *(each.endpoint for each in found)]


def _all(futures: Sequence[Future[list[Outcome]]]) -> Future[list[list[Outcome]]]:
    """The results of all of them, when the last one has come."""
    together: Future[list[list[Outcome]]] = Future()
    together.set_running_or_notify_cancel()
    lock, missing = threading.Lock(), len(futures)
    results: list[list[Outcome]] = [[] for _ in futures]

    def keep(number: int, done: Future[list[Outcome]]) -> None:
        nonlocal missing
        results[number] = done.result()
        with lock:
            missing -= 1
            is_last = not missing
        if is_last:
            together.set_result(results)

    # A future keeps its callbacks: one that knew the futures would keep their documents in a cycle.
    for number, future in enumerate(futures):
        future.add_done_callback(partial(keep, number))
    if not futures:
        together.set_result([])
    return together
