"""Reading many headers at once, for a scan: in this process, or in processes of their own.

Reading and embedding is Python's work, one core's worth for each process; waiting for a network is not, so each
process reads with several threads. A reading process runs this very module's `main`: tasks come in on stdin,
answers go out on stdout, and it ends when its stdin does, however the scan ended.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timezone
from threading import Lock, Thread
from types import TracebackType
from typing import IO, Any, NamedTuple, cast

from exr_inspector.app import inspect, unread_document
from exr_inspector.errors import DocumentError, Problem
from exr_inspector.garbage import look_rarely
from exr_inspector.stores.base import Document
from exr_inspector.tables import Tables, documents_to_tables
from exr_inspector.tables.values import cut_document

# A longer header's long values are cut at once: the tables would cut them anyway, and a batch stays small.
_LONG_HEADER_BYTES = 1 << 20
# More messages are not kept: the scan does not show as many.
_MESSAGES_PER_BATCH = 100


class Task(NamedTuple):
    """Files to read. With `as_tables` the answer has tables, without it documents."""

    paths: Sequence[str]
    integrity: str
    threads: int
    as_tables: bool


class Answer(NamedTuple):
    """What was read: tables or documents, when that began, how long it took, and what was fatal for which file."""

    paths: Sequence[str]
    inspected_at: datetime
    seconds: float
    tables: Tables | None
    documents: list[Document]
    fatal_count: int
    messages: list[tuple[str, str]]


def answer(task: Task) -> Answer:
    """Reads the files of a task, in its order."""
    inspected_at, start = datetime.now(timezone.utc), time.perf_counter()
    documents = _documents(task)
    told = [
        (path, error["message"])
        for path, document in zip(task.paths, documents, strict=True)
        for error in document["errors"]
        if error["severity"] == "fatal"
    ]
    fatal_count = len({path for path, _ in told})
    tables = _tables(documents, inspected_at) if task.as_tables else None
    kept = [] if tables is not None else documents
    seconds = time.perf_counter() - start
    return Answer(task.paths, inspected_at, seconds, tables, kept, fatal_count, told[:_MESSAGES_PER_BATCH])


def _tables(documents: Sequence[Document], inspected_at: datetime) -> Tables | None:
    try:
        return documents_to_tables(documents, inspected_at=inspected_at)
    except DocumentError:  # then the store halves the batch, until it knows which one
        return None


def _documents(task: Task) -> list[Document]:
    threads = min(task.threads, len(task.paths))
    if threads < 2:
        return [read(path, task.integrity) for path in task.paths]
    numbers, lock = iter(range(len(task.paths))), Lock()
    documents: list[Document] = [{}] * len(task.paths)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while (number := following()) is not None:
                documents[number] = read(task.paths[number], task.integrity)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    def following() -> int | None:
        with lock:
            return next(numbers, None)

    # Not a pool's threads: those are waited for, also after Ctrl-C, and an object store may take its time.
    workers = [Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return documents


def read(path: str, integrity: str = "table") -> Document:
    """The document of a file, as it is stored."""
    document: Document = inspect(path, config={"integrity": integrity})
    is_long = (document["file"].get("header_bytes") or 0) > _LONG_HEADER_BYTES
    return cut_document(document) if is_long else document


# ---- In this process ---------------------------------------------------------------------------------------


class Readers:
    """Answers tasks. A context manager; leaving it stops everything at once."""

    count = 1

    def submit(self, task: Task) -> Future[list[Answer]]:
        """The answer, now or later: in pieces, if a reading process died of one of the files."""
        future: Future[list[Answer]] = Future()
        future.set_result([answer(task)])
        return future

    def close(self) -> None:
        """Stops what still reads."""

    def __enter__(self) -> Readers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# ---- In processes of their own -----------------------------------------------------------------------------


class ReadingProcesses(Readers):
    """So many processes; each has a thread here that waits for it.

    The process that dies of a file, which nothing but the system's want of memory should do, is followed by another;
    the files are then read in halves, until the one is found. It becomes an error row like any unreadable file.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._is_closed = False
        self._processes = [_start() for _ in range(count)]
        self._idle = list(self._processes)
        self._pool = ThreadPoolExecutor(count)

    def submit(self, task: Task) -> Future[list[Answer]]:
        """See `Readers.submit`."""
        return self._pool.submit(self._ask, task)

    def _ask(self, task: Task) -> list[Answer]:
        try:
            return [self._asked(task)]
        except _ProcessDied:
            if len(task.paths) == 1:
                return [_unread(task)]
        middle = len(task.paths) // 2
        halves = task.paths[:middle], task.paths[middle:]
        return [found for half in halves for found in self._ask(task._replace(paths=half))]

    def _asked(self, task: Task) -> Answer:
        process = self._idle.pop()  # there is one for each thread of the pool
        stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)  # they are pipes
        try:
            _send(stdin, task)
            found: Answer = pickle.load(stdout)  # noqa: S301 - our own child
        except (OSError, EOFError, pickle.UnpicklingError, ValueError) as error:
            self._replace(process)
            raise _ProcessDied from error
        self._idle.append(process)
        return found

    def _replace(self, process: subprocess.Popen[bytes]) -> None:
        if self._is_closed:
            return
        _end(process)
        self._processes.remove(process)
        self._processes.append(_start())
        self._idle.append(self._processes[-1])

    def close(self) -> None:
        """Ends the processes without waiting for what they read."""
        self._is_closed = True
        for process in self._processes:
            process.kill()
        self._pool.shutdown(cancel_futures=True)
        for process in self._processes:
            _end(process)


class _ProcessDied(Exception):
    """A reading process is gone, and with it its answer."""


def _unread(task: Task) -> Answer:
    """The answer about the one file that no process survives."""
    (path,) = task.paths
    problem = Problem("source_reader_died", "the process that read this file died of it, or was killed")
    document, now = unread_document(path, problem), datetime.now(timezone.utc)
    tables = _tables([document], now) if task.as_tables else None
    return Answer(task.paths, now, 0.0, tables, [] if task.as_tables else [document], 1, [(path, problem.message)])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):
            if pipe is not None:
                pipe.close()
    process.wait()


# The reading processes find the package where this one did, and nothing in the working directory.
_SCRIPT = "import sys; sys.path[:] = [{home!r}, *filter(None, sys.path)]; from {module} import main; main()"


def _start() -> subprocess.Popen[bytes]:
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-c", _SCRIPT.format(home=home, module=__name__)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is the scan's to hear
    )


def _send(pipe: IO[bytes], thing: Any) -> None:
    pickle.dump(thing, pipe, protocol=5)
    pipe.flush()


def _tasks(pipe: IO[bytes]) -> Iterator[Task]:
    with suppress(EOFError):
        while True:
            yield pickle.load(pipe)  # noqa: S301 - our own parent


def main() -> None:
    """Answers tasks until there are no more."""
    look_rarely()
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    with suppress(BrokenPipeError):
        for task in _tasks(incoming):
            _send(outgoing, answer(task))
