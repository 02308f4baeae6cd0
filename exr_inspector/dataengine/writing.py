"""The one thread that writes: it owns the database's session, and takes all that waits into one transaction."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from exr_inspector.config_vast import VastSettings
from exr_inspector.dataengine.databases import Databases
from exr_inspector.dataengine.jobs import Job
from exr_inspector.dataengine.log_lines import FileLog
from exr_inspector.dataengine.outcomes import Observer, Outcome, failed, stored
from exr_inspector.dataengine.remembered import Remembered, key_of, version
from exr_inspector.errors import ExrError, Problem
from exr_inspector.limits import MIB
from exr_inspector.stores.base import Document, StoreError, WriteResult, write_halving

Answer = Callable[[Job, Outcome], None]

# Of the documents in one transaction: as tables, and on their way to the database, they take some times as much again.
MAX_BATCH_BYTES = 32 * MIB


class Writer:
    """Writes documents, `batch_files` of them in a transaction at most. `answer` is told what became of each."""

    def __init__(
        self, databases: Databases, batch_files: int, log: FileLog, observer: Observer | None, *, answer: Answer
    ) -> None:
        self._databases = databases
        self._batch_files = batch_files
        self._answer = answer
        self._log = log
        self._observer = observer
        self._remembered = Remembered()
        self._waiting: queue.SimpleQueue[Sequence[Job] | None] = queue.SimpleQueue()
        self._next: Sequence[Job] | None = None
        self._thread = threading.Thread(target=self._run, name=f"exr-writer-{databases.name}", daemon=True)

    def start(self) -> None:
        """Begins to open the store, and to write."""
        self._thread.start()

    def write(self, jobs: Sequence[Job]) -> None:
        """Takes jobs that are read: they are written together. Never blocks."""
        self._waiting.put(jobs)

    def stop(self, seconds: float) -> None:
        """Ends the thread after what waits already; waits for it, but not longer than that."""
        self._waiting.put(None)
        self._thread.join(max(0.0, seconds))

    # ---- The thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._databases.open_if_due()
            jobs, is_last = self._taken()
            if jobs:
                self._write_all(jobs)
            if is_last:
                self._databases.close()
                return

    def _taken(self) -> tuple[list[Job], bool]:
        """All that waits, as far as one transaction takes it, and whether that is the end."""
        jobs: list[Job] = []
        while True:
            group = self._next if self._next is not None else self._got(can_wait=not jobs)
            self._next = None
            if not group:
                return jobs, group is None
            if jobs and len(jobs) + len(group) > self._batch_files:
                self._next = group
                return jobs, False
            jobs += group

    def _got(self, *, can_wait: bool) -> Sequence[Job] | None:
        """The next that waits; nothing, if the store is to be opened first."""
        try:
            return self._waiting.get(can_wait, self._databases.seconds_until_due())
        except queue.Empty:
            return ()

    def _write_all(self, jobs: Sequence[Job]) -> None:
        by_database: dict[VastSettings | None, list[Job]] = {}
        for job in jobs:
            by_database.setdefault(job.database, []).append(job)
        portions = ((key, part) for key, members in by_database.items() for part in _portions(members))
        for database, members in portions:
            try:
                self._write(database, members)
            except Exception as error:  # noqa: BLE001 - an outer door: the thread lives on, each delivery is answered
                self._log.failure(error)
                self._databases.failed(database, None)
                problem = Problem("function_failed", f"{type(error).__name__} while writing")
                self._answer_failed(members, problem, is_retryable=True)

    def _write(self, database: VastSettings | None, jobs: Sequence[Job]) -> None:
        twins = self._to_write(database, jobs)
        if not twins:
            return
        started = time.monotonic()
        firsts = [members[0] for members in twins.values()]
        results, error = self._written(database, firsts)
        if self._observer is not None:  # before the answers: whoever has one finds its batch counted
            self._observer.batch(len(firsts), time.monotonic() - started)
        for (key, members), result in zip(twins.items(), results, strict=True):
            self._answer_written(key, members, result, error)

    def _to_write(self, database: VastSettings | None, jobs: Sequence[Job]) -> dict[_Key, list[Job]]:
        """What was not committed before; the same event about the same object stands together."""
        twins: dict[_Key, list[Job]] = {}
        for number, job in enumerate(jobs):
            document = _document(job)
            key = key_of(job.delivery, database)
            file_id = self._remembered.file_id(key, document)
            if file_id is None:
                twins.setdefault((key, version(document) if key else number), []).append(job)
            else:
                result = WriteResult.of_written(file_id, inserted=False)
                self._answer(job, stored(job.delivery, document, result, job.reading.fatal))
        return twins

    def _written(
        self, database: VastSettings | None, jobs: Sequence[Job]
    ) -> tuple[list[WriteResult | None], ExrError | None]:
        """One transaction. Without a result stays what could not be written, because of the error."""
        documents = [_document(job) for job in jobs]
        began_at = min(job.began_at for job in jobs)
        committed: dict[int, WriteResult] = {}
        unforeseen: list[Exception] = []

        def write(batch: Sequence[Document]) -> list[WriteResult]:
            try:
                results = store.write_batch(batch, inspected_at=began_at)
            except ExrError:
                raise
            # An outer door: whatever a document brings about, the batch is halved down to it.
            except Exception as error:  # noqa: BLE001
                unforeseen.append(error)
                self._log.failure(error)
                raise StoreError(Problem("function_failed", f"{type(error).__name__} while writing")) from None
            committed.update(zip(map(id, batch), results, strict=True))
            return results

        try:
            store = self._databases.store(database)
            return list(write_halving(write, documents)), None
        except ExrError as error:
            self._databases.failed(database, error)
            if error.code == "store_schema":
                self._remembered.clear()
            return [committed.get(id(document)) for document in documents], error
        finally:
            if unforeseen:
                self._databases.failed(database, None)

    def _answer_written(
        self, key: _Key, jobs: Sequence[Job], result: WriteResult | None, error: ExrError | None
    ) -> None:
        if result is None:
            problem = error.problem if error is not None else Problem("function_failed", "the store gave no result")
            # What is wrong with the function's own database is never the file's fault: it comes again.
            is_retryable = jobs[0].database is None or problem.retryable
            self._answer_failed(jobs, problem, is_retryable=is_retryable)
            return
        if result.file_id is not None and not result.retryable:
            self._remembered.add(key[0], _document(jobs[0]), result.file_id)
        for job in jobs:
            self._answer(job, stored(job.delivery, _document(job), result, job.reading.fatal))

    def _answer_failed(self, jobs: Sequence[Job], problem: Problem, *, is_retryable: bool) -> None:
        for job in jobs:
            self._answer(job, failed(job.delivery, problem, job.reading.document, is_retryable=is_retryable))


def _portions(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """The jobs, in as many transactions as their weight makes it: nearly always one."""
    portion: list[Job] = []
    weight_bytes = 0
    for job in jobs:
        if portion and weight_bytes + job.reading.weight_bytes > MAX_BATCH_BYTES:
            yield portion
            portion, weight_bytes = [], 0
        portion.append(job)
        weight_bytes += job.reading.weight_bytes
    yield portion


# An event's key and its object's version, or a number where an event has no id.
_Key = tuple["bytes | None", "bytes | int"]


def _document(job: Job) -> dict[str, Any]:
    return job.reading.document or {}  # the writer gets none without
