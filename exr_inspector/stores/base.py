"""What every store does, and what happens to a batch that fails.

A store writes a batch of documents as one transaction: all four tables, or nothing. A batch that fails for a
permanent reason is halved until the document that cannot be stored is alone; it becomes an error row, so that one
hostile file never blocks others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from exr_inspector.errors import ExrError, Problem

Document = Mapping[str, Any]


class StoreError(ExrError):
    """A store could not do what it was asked for; nothing was written. `retryable` tells if a retry can help."""


class WriteResult(NamedTuple):
    """What became of one document. `status` is success, skipped or error; `inserted` tells a new row from a hit."""

    status: str
    file_id: str | None
    inserted: bool
    message: str
    error: str | None = None
    retryable: bool = False

    @classmethod
    def of_written(cls, file_id: str, *, inserted: bool) -> WriteResult:
        """The result of a document that was stored."""
        message = f"File persisted: {file_id}" if inserted else f"File already persisted: {file_id}"
        return cls("success", file_id, inserted, message)

    @classmethod
    def of_error(cls, error: ExrError, file_id: str | None = None) -> WriteResult:
        """The result of a document that was not stored."""
        return cls("error", file_id, False, str(error), str(error), error.retryable)

    def as_dict(self) -> dict[str, Any]:
        """The dictionary of the public contract."""
        return self._asdict()


class KnownFile(NamedTuple):
    """What tells a scan whether a file has changed since: of the latest row of a path."""

    size_bytes: int | None
    mtime: datetime | None
    last_inspected: datetime


class Store(Protocol):
    """A database with the four tables. Not shared between threads."""

    def write_batch(self, documents: Sequence[Document], *, inspected_at: datetime | None = None) -> list[WriteResult]:
        """Upserts the documents in one transaction; one result for each, in order.

        `inspected_at`, UTC, is when the first of them was read; now by default. Of the same key twice, only the first
        document's result can be `inserted`. Raises StoreError, and DocumentError for a document that is not of the
        schema; then nothing was written.
        """

    def close(self) -> None:
        """Gives back what the store holds."""


class ScanStore(Store, Protocol):
    """A store that a scan can ask what it knows. Paths are normalised ones (`file_path_normalized`)."""

    def known_files(self, paths: Sequence[str]) -> dict[str, KnownFile]:
        """The latest row of each path that has one; a path whose reading is worth a retry is left out.

        Raises StoreError. A few thousand paths at a time: one query for all of them.
        """

    def paths_below(self, directory: str) -> Iterator[list[str]]:
        """The known paths inside a directory, in lists of a few thousand. Raises StoreError."""

    def remove_paths(self, paths: Sequence[str]) -> int:
        """Removes all rows of the paths from the four tables, in one transaction; returns how many of `files`.

        Raises StoreError.
        """


def error_document(document: Document, problem: Problem) -> Document:
    """What is stored of a document that cannot be stored: its file, and why."""
    return {
        "schema_version": document.get("schema_version", 1),
        "file": dict(document.get("file") or {}),
        "parts": [],
        "channels": [],
        "attributes": {"parts": []},
        "integrity": dict(document.get("integrity") or {}),
        "stats": {},
        "validation": {},
        "errors": [*(document.get("errors") or ()), problem.as_entry()],
    }


# What is wrong with the database is not wrong with a document: halving would ask it again for each of them.
_NOT_THE_DOCUMENTS = frozenset(("store_refused", "store_schema", "store_unconfigured"))


def write_halving(
    write: Callable[[Sequence[Document]], list[WriteResult]], documents: Sequence[Document]
) -> list[WriteResult]:
    """Writes a batch; one that fails for good is halved, down to the documents that cannot be stored.

    Such a document is stored as an error row; its result is an error all the same. A failure that may be retried, or
    that is the database's and no document's, is raised.
    """
    if not documents:
        return []
    try:
        return write(documents)
    except ExrError as error:
        if error.retryable or error.code in _NOT_THE_DOCUMENTS:
            raise
        if len(documents) == 1:
            return [_write_error_row(write, documents[0], error)]
    middle = len(documents) // 2
    return write_halving(write, documents[:middle]) + write_halving(write, documents[middle:])


def _write_error_row(
    write: Callable[[Sequence[Document]], list[WriteResult]], document: Document, error: ExrError
) -> WriteResult:
    problem = Problem("not_stored", f"this document could not be stored: {error}")
    try:
        (stored,) = write([error_document(document, problem)])
    except ExrError as second:
        if second.retryable:
            raise
        return WriteResult.of_error(error)
    return WriteResult.of_error(error, stored.file_id)
