"""Files into a store: which ones are new or changed, read many at once, written batch by batch.

One thread walks, asks the store what it knows, and writes; reading is done by `scan_readers`. At most a few batches
are in memory, so that the size of a tree does not matter. A batch is one transaction: what was written stays when
the scan is stopped, and the next scan goes on from there.
"""

from __future__ import annotations

import os
import time
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import NamedTuple, Protocol

from exr_inspector.errors import ExrError
from exr_inspector.scan_objects import ListedObject, is_gone
from exr_inspector.scan_readers import Answer, Readers, ReadingProcesses, Task, read
from exr_inspector.sources import S3_SCHEME
from exr_inspector.stores.base import KnownFile, ScanStore, WriteResult, write_halving
from exr_inspector.tables import Tables, normalize_path

# A file that was modified within so long before it was read may have been modified again without a new time: some
# file systems count in steps of two seconds.
SETTLED = timedelta(seconds=2)

# So many paths are looked up together. A catalog of a million files takes some 0.2 s for each look-up.
LOOK_UP_PATHS = 5_000
# A batch is written as one transaction: as many files as are read in about a second.
FIRST_BATCH, LARGEST_BATCH = 64, 1_000
_BATCH_SECONDS = 1.0
# Fewer files are read in this process: starting others takes longer.
FEW_FILES = 400
# A file system that answers later than this is asked by many threads at once.
_SLOW_STAT_SECONDS = 0.000_1
_STAT_SAMPLE = 50
DEFAULT_JOBS = 8

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC without zone, as in the tables


class Settings(NamedTuple):
    """What a scan does. `jobs`: files in flight. `force`: read what is unchanged, too. `dry_run`: only count."""

    jobs: int = DEFAULT_JOBS
    force: bool = False
    prune: bool = False
    dry_run: bool = False
    integrity: str = "table"
    processes: int | None = None  # by default one for each core, none for few files


@dataclass
class Summary:
    """Counts of files. `failed`: read, but something was fatal; `not_stored`: the store took an error row at most."""

    found: int = 0
    unchanged: int = 0
    to_read: int = 0
    read: int = 0
    inserted: int = 0
    failed: int = 0
    not_stored: int = 0
    deleted: int = 0
    pruned: int = 0
    deleted_paths: list[str] = field(default_factory=list)


class Watcher(Protocol):
    """Hears how a scan goes on."""

    def progress(self, summary: Summary) -> None:
        """After each batch, and each look-up."""

    def problem(self, path: str, message: str) -> None:
        """Something was fatal for a file."""


class _WritesTables(Protocol):
    def write_tables(self, tables: Tables) -> list[WriteResult]: ...


def scan(
    store: ScanStore | None,
    paths: Iterable[str],
    *,
    directories: Sequence[str] = (),
    settings: Settings,
    watcher: Watcher,
) -> Summary:
    """Reads the files that are new or changed into the store. `directories` are those that `paths` is all of.

    Without a store, which only a dry run can do, all files are new. Raises StoreError; what was written before it
    stays.
    """
    running = _Scan(store, settings, watcher)
    if settings.dry_run:
        for batch in running.to_read(paths):
            running.summary.to_read += len(batch)
            watcher.progress(running.summary)
    elif store is not None:
        running.write_all(store, running.to_read(paths))
    if store is not None:
        running.find_deleted(store, directories)
    return running.summary


class _Scan:
    def __init__(self, store: ScanStore | None, settings: Settings, watcher: Watcher) -> None:
        self.summary = Summary()
        self._store = store
        self._settings = settings
        self._watcher = watcher
        self._seen = array("q")  # hashes of paths: eight bytes for a file
        self._batch_size = FIRST_BATCH

    # ---- Which files to read -------------------------------------------------------------------------------

    def to_read(self, paths: Iterable[str]) -> Iterator[list[str]]:
        """The paths of files that are new or changed, in batches."""
        rest: list[str] = []
        remaining = iter(paths)
        while found := list(islice(remaining, LOOK_UP_PATHS)):
            self.summary.found += len(found)
            rest += self._changed(found)
            self._watcher.progress(self.summary)
            while len(rest) >= self._batch_size:
                batch, rest = rest[: self._batch_size], rest[self._batch_size :]
                yield batch
        if rest:
            yield rest

    def _changed(self, paths: list[str]) -> list[str]:
        names = list(map(known_as, paths))
        self._seen.extend(map(hash, names))
        if self._store is None or self._settings.force:
            return paths
        known = self._store.known_files(names)
        asked = [path for path, name in zip(paths, names, strict=True) if name in known]
        states = dict(zip(asked, self._states(asked), strict=True))
        changed = [
            path
            for path, name in zip(paths, names, strict=True)
            if path not in states or not is_unchanged(known[name], states[path])
        ]
        self.summary.unchanged += len(paths) - len(changed)
        return changed

    def _states(self, paths: Sequence[str]) -> Iterable[os.stat_result | ListedObject | None]:
        """Where the first answers are slow, the others are asked for many at once."""
        start = time.perf_counter()
        first = list(map(_state, paths[:_STAT_SAMPLE]))
        seconds = (time.perf_counter() - start) / max(1, len(first))
        rest = paths[_STAT_SAMPLE:]
        if seconds < _SLOW_STAT_SECONDS or self._settings.jobs < 2 or not rest:
            return chain(first, map(_state, rest))
        with ThreadPoolExecutor(self._settings.jobs) as pool:
            return chain(first, list(pool.map(_state, rest)))

    # ---- Reading and writing -------------------------------------------------------------------------------

    def write_all(self, store: ScanStore, batches: Iterator[list[str]]) -> None:
        """Reads the batches, several at once, and writes them in their order."""
        first = list(_until(batches, FEW_FILES))
        is_few = sum(map(len, first)) <= FEW_FILES
        with self._readers(is_few=is_few) as readers:
            pending: deque[Future[list[Answer]]] = deque()
            for batch in chain(first, batches):
                pending.append(readers.submit(self._task(store, batch, readers.count)))
                while len(pending) > 2 * readers.count or (pending and pending[0].done()):
                    self._write_answers(store, pending.popleft())
            while pending:
                self._write_answers(store, pending.popleft())

    def _readers(self, *, is_few: bool) -> Readers:
        count = self._settings.processes
        if count is None:
            count = 0 if is_few else min(self._settings.jobs, _cores())
        return ReadingProcesses(count) if count else Readers()

    def _task(self, store: ScanStore, batch: Sequence[str], readers: int) -> Task:
        threads = -(-self._settings.jobs // readers)
        return Task(list(map(str, batch)), self._settings.integrity, threads, hasattr(store, "write_tables"))

    def _write_answers(self, store: ScanStore, answers: Future[list[Answer]]) -> None:
        for each in answers.result():
            self._write(store, each)

    def _write(self, store: ScanStore, answer: Answer) -> None:
        results = _written(store, answer, self._settings.integrity)
        summary = self.summary
        summary.read += len(answer.paths)
        summary.to_read += len(answer.paths)
        summary.failed += answer.fatal_count
        summary.inserted += sum(result.inserted for result in results)
        for path, message in answer.messages:
            self._watcher.problem(path, message)
        for path, result in zip(answer.paths, results, strict=True):
            if result.status == "error":
                summary.not_stored += 1
                self._watcher.problem(path, result.message)
        self._watcher.progress(summary)
        wanted = int(len(answer.paths) * _BATCH_SECONDS / max(answer.seconds, 0.001))
        self._batch_size = min(max(wanted, FIRST_BATCH), LARGEST_BATCH)

    # ---- Which files are gone ------------------------------------------------------------------------------

    def find_deleted(self, store: ScanStore, directories: Sequence[str]) -> None:
        """Reports the store's files of the directories that are not there any more, and removes them if asked to."""
        seen = array("q", sorted(self._seen))
        gone: list[str] = []
        for directory in directories:
            for paths in store.paths_below(known_as(directory)):
                gone += [path for path in paths if not _contains(seen, hash(path)) and _is_gone(path)]
        self.summary.deleted = len(gone)
        self.summary.deleted_paths = gone
        if self._settings.prune and not self._settings.dry_run:
            for start in range(0, len(gone), LARGEST_BATCH):
                store.remove_paths(gone[start : start + LARGEST_BATCH])
                self.summary.pruned = min(len(gone), start + LARGEST_BATCH)


def _until(batches: Iterator[list[str]], count: int) -> Iterator[list[str]]:
    """Batches, until there are more than so many files."""
    total = 0
    for batch in batches:
        yield batch
        total += len(batch)
        if total > count:
            return


def _written(store: ScanStore, answer: Answer, integrity: str) -> list[WriteResult]:
    documents = answer.documents
    if answer.tables is not None:
        tables: _WritesTables = store  # type: ignore[assignment]  # asked for tables because it takes them
        try:
            return tables.write_tables(answer.tables)
        except ExrError as error:
            if error.retryable:
                raise
            documents = [read(path, integrity) for path in answer.paths]
    return write_halving(lambda batch: store.write_batch(batch, inspected_at=answer.inspected_at), documents)


# ---- Files -------------------------------------------------------------------------------------------------


def known_as(path: str) -> str:
    """The path as `file_path_normalized` has it."""
    normalized = normalize_path(path)
    if normalized.isascii():
        return normalized
    return normalized.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_unchanged(known: KnownFile, state: os.stat_result | ListedObject | None) -> bool:
    """Whether size and time are those of the row, and the time was settled when the file was read."""
    if state is None or known.mtime is None or known.size_bytes != state.st_size:
        return False
    try:
        mtime = _EPOCH + timedelta(microseconds=state.st_mtime_ns // 1000)
    except OverflowError:
        return False
    return known.mtime == mtime and mtime + SETTLED < known.last_inspected


def _state(path: str) -> os.stat_result | ListedObject | None:
    if isinstance(path, ListedObject):
        return path
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _is_gone(path: str) -> bool:
    """Whether there certainly is no such file; one that cannot be looked at may be there."""
    if path.startswith(S3_SCHEME):
        return is_gone(path)
    if path.isascii() or "\\" not in path:
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except (OSError, ValueError):
            return False
    return False


def _contains(numbers: array[int], number: int) -> bool:
    place = bisect_left(numbers, number)
    return place < len(numbers) and numbers[place] == number


def _cores() -> int:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
