"""`exr-inspector scan`: reads the headers below directories into a catalog; again, only what is new or changed."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from exr_inspector.cli.escape import complain, plain
from exr_inspector.cli.paths import ListError, files_below, is_directory, listed
from exr_inspector.cli.progress import is_terminal
from exr_inspector.cli.status import DONE, FATAL, UsageError
from exr_inspector.cli.stores import add_store_arguments, open_store
from exr_inspector.config import INTEGRITY_MODES
from exr_inspector.errors import ExrError
from exr_inspector.sources import EXTENSIONS, S3_SCHEME

# More are not told one by one.
_MOST_MESSAGES = 100
_MOST_DELETED = 10
_DEFAULT_JOBS = 8
_MOST_JOBS = 1024
# Reading takes the other cores; a batch is too small for more than one to write it quicker. What a scan has written it
# does not read again: memory for more of it would only fill.
_STORE = {"threads": 1, "memory_mib": 128, "is_alone": True}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        metavar="ROOT",
        help="a directory or s3://bucket/prefix, searched for .exr, .sxr and .mxr files, or a file",
    )
    add("--files-from", metavar="FILE", help="read paths from a list, one a line or NUL-separated; - is stdin")
    add_store_arguments(parser)
    add("--jobs", type=_jobs, default=_DEFAULT_JOBS, metavar="N", help="files read at once (default %(default)s)")
    add("--force", action="store_true", help="read files that have not changed, too")
    add("--prune", action="store_true", help="remove files from the catalog that were deleted since")
    add("--dry-run", action="store_true", help="only count what would be read and removed")
    add(
        "--integrity",
        choices=INTEGRITY_MODES,
        default="table",
        help="is the file whole? Do not look, look at the offset tables and the end (default), look at every chunk",
    )


def _jobs(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_JOBS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!a} is not a number from 1 to {_MOST_JOBS}")


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status. Raises UsageError."""
    _check(options)
    roots = _Roots(options)
    store = None
    try:
        if not options.dry_run or options.vast:
            store = open_store(options, **_STORE)
        elif os.path.exists(options.db):
            store = open_store(options, read_only=True, threads=1)
        return max(_scan(options, store, roots), roots.status)
    except ExrError as error:
        complain(None, str(error))
        return FATAL
    except ListError as error:
        complain(error.place, error.reason)
        return FATAL
    finally:
        if store is not None:
            store.close()


def _check(options: argparse.Namespace) -> None:
    if not options.paths and options.files_from is None:
        raise UsageError("a ROOT is needed, or --files-from")
    for root in options.paths:
        if root.startswith(S3_SCHEME):
            _check_objects(options)
        if root == "-":
            raise UsageError("- is no directory; --files-from - reads a list of paths")


def _check_objects(options: argparse.Namespace) -> None:
    """Whether objects can be read at all, before anything is written."""
    from exr_inspector.s3 import shared_client  # noqa: PLC0415  only where there are objects

    if options.integrity == "chunks":
        raise UsageError("--integrity chunks is for files; a scan looks at the offset tables of objects")
    try:
        shared_client()
    except ExrError as error:
        raise UsageError(str(error)) from error


def _scan(options: argparse.Namespace, store: Any, roots: _Roots) -> int:
    from exr_inspector.scan import Settings, scan  # noqa: PLC0415  numpy and pyarrow: after the arguments are checked

    settings = Settings(options.jobs, options.force, options.prune, options.dry_run, options.integrity)
    watcher = _Watcher(roots)
    with watcher:
        summary = scan(store, roots.paths(), directories=roots.directories, settings=settings, watcher=watcher)
    watcher.tell_rest()
    _tell(summary, options)
    return FATAL if summary.failed or summary.not_stored else DONE


def _tell(summary: Any, options: argparse.Namespace) -> None:
    gone = [f"deleted since: {plain(path)}" for path in summary.deleted_paths[:_MOST_DELETED]]
    if summary.deleted > _MOST_DELETED:
        gone.append(f"deleted since: {summary.deleted - _MOST_DELETED} more")
    for line in gone:
        print(line)
    if options.dry_run:
        words = [f"{summary.to_read} to read"]
    else:
        words = [f"{summary.read} read", f"{summary.inserted} new", f"{summary.failed} unreadable"]
        words += [f"{summary.not_stored} not stored"] if summary.not_stored else []
    words += [f"{summary.unchanged} unchanged", f"{summary.deleted} deleted since"]
    words += [f"{summary.pruned} removed"] if options.prune and not options.dry_run else []
    print(f"{summary.found} files: {', '.join(words)}")


# ---- Which files -------------------------------------------------------------------------------------------


class _Roots:
    """The files of the arguments, one at a time. `status`: whether a root could not be had."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.status = DONE
        self.directories = [root for root in options.paths if is_directory(root) or _is_prefix(root)]
        self._options = options

    def paths(self) -> Iterator[str]:
        """The files; what cannot be listed is told of. Raises ListError."""
        for root in self._options.paths:
            yield from self._below(root)
        if self._options.files_from is not None:
            yield from listed(self._options.files_from)

    def _below(self, root: str) -> Iterator[str]:
        if _is_prefix(root):
            yield from self._objects(root)
            return
        if root not in self.directories:
            if os.path.lexists(root) or root.startswith(S3_SCHEME):
                yield root
            else:
                self._fatal(root, "there is no such file or directory")
            return
        for path in files_below(root):
            # A directory that cannot be listed is given itself.
            if path.lower().endswith(EXTENSIONS):
                yield path
            else:
                self._fatal(path, "the directory cannot be listed")

    def _objects(self, root: str) -> Iterator[str]:
        from exr_inspector.scan_objects import objects_below  # noqa: PLC0415  only where there are objects

        try:
            yield from objects_below(root)
        except ExrError as error:
            self.directories.remove(root)  # what is not listed is not known to be gone
            self._fatal(root, str(error))

    def _fatal(self, path: str, message: str) -> None:
        self.status = FATAL
        complain(path, message)

    def count(self) -> int:
        """How many files there are below the directories; lists of files and objects are not counted."""
        return sum(1 for root in self.directories if not _is_prefix(root) for _ in files_below(root))


def _is_prefix(root: str) -> bool:
    return root.startswith(S3_SCHEME) and not root.lower().endswith(EXTENSIONS)


# ---- How it goes on ----------------------------------------------------------------------------------------


class _Watcher:
    """A progress bar if stderr is a terminal, and a line for each unreadable file. A context manager."""

    def __init__(self, roots: _Roots) -> None:
        self._messages = 0
        self._bar: Any = None
        self._task: Any = None
        if is_terminal(sys.stderr):
            self._make_bar(roots)

    def _make_bar(self, roots: _Roots) -> None:
        from rich import progress  # noqa: PLC0415  costs more than all the rest
        from rich.console import Console  # noqa: PLC0415

        columns: Iterable[progress.ProgressColumn] = (
            progress.TextColumn("{task.completed} files"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[rate]:.0f}/s, {task.fields[errors]} unreadable"),
            progress.TimeRemainingColumn(),
        )
        self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=None, rate=0.0, errors=0)
        # Counting takes a walk of its own, beside the scan's.
        threading.Thread(target=self._count, args=(roots,), daemon=True).start()

    def _count(self, roots: _Roots) -> None:
        self._bar.update(self._task, total=roots.count())

    def __enter__(self) -> _Watcher:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def progress(self, summary: Any) -> None:
        """See `scan.Watcher`."""
        if self._bar is not None:
            done = summary.unchanged + summary.read
            rate = self._bar.tasks[0].speed or 0.0
            self._bar.update(self._task, completed=done, rate=rate, errors=summary.failed)

    def problem(self, path: str, message: str) -> None:
        """See `scan.Watcher`."""
        self._messages += 1
        if self._messages <= _MOST_MESSAGES:
            complain(path, message)

    def tell_rest(self) -> None:
        """How many messages were left out."""
        if self._messages > _MOST_MESSAGES:
            complain(None, f"{self._messages - _MOST_MESSAGES} more messages like these")
