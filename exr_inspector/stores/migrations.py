"""How the tables' columns came to be: a list of versions, each with its way forward and its way back.

A migration is data: steps that every store knows how to do. What a new column holds comes out of the stored
documents (`files.raw_output`), so that no file is read. `tables.schemas` is always the newest version; what an
older version looked like follows from the steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from exr_inspector.embedding import EMBEDDING_VERSION
from exr_inspector.errors import Problem
from exr_inspector.stores.base import Document, StoreError
from exr_inspector.tables import TABLES, Column, Tables, documents_to_tables

Columns = Mapping[str, Sequence[str]]  # table → names of its columns


class AddColumn(NamedTuple):
    """A column of `tables.TABLES`; null in every row, until it is filled."""

    table: str
    column: str


class DropColumn(NamedTuple):
    """Takes a column away, with all that is in it."""

    table: str
    column: str


class Fill(NamedTuple):
    """Derives a column anew from the stored documents."""

    table: str
    column: str


Step = AddColumn | DropColumn | Fill


class Migration(NamedTuple):
    """One version: what it brought, the steps from the version before it, and the steps back there."""

    version: int
    description: str
    forward: tuple[Step, ...] = ()
    back: tuple[Step, ...] = ()


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "the four tables"),
    Migration(
        2,
        "files.frame_number and parts.render_software, to ask for frames and renderers without parsing JSON",
        forward=(
            AddColumn("files", "frame_number"),
            AddColumn("parts", "render_software"),
            Fill("files", "frame_number"),
            Fill("parts", "render_software"),
        ),
        back=(DropColumn("parts", "render_software"), DropColumn("files", "frame_number")),
    ),
)
OLDEST_VERSION = MIGRATIONS[0].version
CURRENT_VERSION = MIGRATIONS[-1].version

# What a new `embedding_version` asks for; no migration, for the columns stay what they are.
VECTOR_COLUMNS: Columns = {"files": ("metadata_embedding", "embedding_version"), "channels": ("channel_fingerprint",)}

# So many documents are in memory at a time, each of up to 1 MiB.
FILL_BATCH = 250


def columns_at(version: int) -> dict[str, tuple[Column, ...]]:
    """The columns of each table as of a version."""
    later = {
        (step.table, step.column)
        for migration in MIGRATIONS
        if migration.version > version
        for step in migration.forward
        if isinstance(step, AddColumn)
    }
    return {
        table: tuple(column for column in columns if (table, column.name) not in later)
        for table, columns in TABLES.items()
    }


class StoredDocument(NamedTuple):
    """One row of `files`, as far as its columns can be derived from it again."""

    file_id: str
    file_path: str
    raw_output: str | None


class MigratableStore(Protocol):
    """What a store must be able to do for `migrate`. Every method may raise StoreError."""

    def version(self) -> int:
        """The version of the tables, as the ledger has it."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing of what is done inside."""

    def add_column(self, table: str, column: Column) -> None:
        """Adds a column, null in every row."""

    def drop_column(self, table: str, column: str) -> None:
        """Takes a column away."""

    def stored_documents(self, *, outdated_vectors: bool = False) -> Iterator[list[StoredDocument]]:
        """All rows of `files`, or those whose vectors are of another version, in lists of at most FILL_BATCH."""

    def refresh(self, tables: Tables, columns: Columns) -> None:
        """Writes these columns of rows that exist; of the children, whole rows anew. Nothing else changes."""

    def record(self, migration: Migration, *, is_applied: bool) -> None:
        """Writes the ledger: a line for a version, or none."""


class Report(NamedTuple):
    """What a migration did. `without_document`: paths of rows that could not be filled, and why."""

    before: int
    after: int
    filled: int
    unfilled: tuple[tuple[str, str], ...]


Reread = Callable[[str], Document]  # path → document


def plan(before: int, after: int) -> list[tuple[Migration, bool]]:
    """The migrations between two versions, in order, each with whether it is applied or taken back.

    Raises StoreError for a version that this program does not know.
    """
    for version in (before, after):
        if not OLDEST_VERSION <= version <= CURRENT_VERSION:
            raise StoreError(Problem("store_schema", unknown_version(version)))
    if after >= before:
        return [(each, True) for each in MIGRATIONS if before < each.version <= after]
    return [(each, False) for each in reversed(MIGRATIONS) if after < each.version <= before]


def unknown_version(version: int) -> str:
    """The message for a version that this program does not know."""
    if version > CURRENT_VERSION:
        return (
            f"the tables are of version {version}; this program knows versions up to {CURRENT_VERSION}: "
            "use a newer exr-inspector"
        )
    return f"there is no version {version}; the oldest one is {OLDEST_VERSION}"


def migrate(store: MigratableStore, to: int = CURRENT_VERSION, *, reread: Reread | None = None) -> Report:
    """Brings the tables to a version, each migration in a transaction; then, at the newest, outdated vectors.

    With `reread`, rows without a stored document are derived from what it makes of their paths. Raises StoreError;
    what was migrated before it stays.
    """
    before = store.version()
    filling = _Filling(store, reread)
    for migration, is_applied in plan(before, to):
        with store.transaction():
            _run(store, migration.forward if is_applied else migration.back, filling)
            store.record(migration, is_applied=is_applied)
    if to == CURRENT_VERSION:
        with store.transaction():
            filling.fill(VECTOR_COLUMNS, store.stored_documents(outdated_vectors=True))
            if reread is not None:
                filling.fill_missing(_all_filled())
    return Report(before, to, filling.filled, tuple(filling.unfilled.items()))


def _run(store: MigratableStore, steps: Iterable[Step], filling: _Filling) -> None:
    fills: dict[str, list[str]] = {}
    for step in steps:
        if isinstance(step, Fill):
            fills.setdefault(step.table, []).append(step.column)
            continue
        if isinstance(step, AddColumn):
            store.add_column(step.table, next(each for each in TABLES[step.table] if each.name == step.column))
        else:
            store.drop_column(step.table, step.column)
    if fills:
        filling.fill(fills, store.stored_documents())


def _all_filled() -> Columns:
    """Every column that some version had to fill, and the vectors."""
    columns: dict[str, list[str]] = {table: list(names) for table, names in VECTOR_COLUMNS.items()}
    for migration in MIGRATIONS:
        for step in migration.forward:
            if isinstance(step, Fill):
                columns.setdefault(step.table, []).append(step.column)
    return columns


class _Filling:
    """Derives columns from documents, and remembers which rows have none."""

    def __init__(self, store: MigratableStore, reread: Reread | None) -> None:
        self._store = store
        self._reread = reread
        self.filled = 0
        self.unfilled: dict[str, str] = {}

    def fill(self, columns: Columns, batches: Iterable[list[StoredDocument]]) -> None:
        """Fills the columns of all rows that have a document."""
        for batch in batches:
            found = [(row, document) for row in batch if (document := self._document(row)) is not None]
            self._refresh(found, columns)

    def fill_missing(self, columns: Columns) -> None:
        """Fills the columns of those rows only that have no stored document."""
        for batch in self._store.stored_documents():
            missing = [row for row in batch if row.raw_output is None and row.file_path not in self.unfilled]
            self._refresh([(row, found) for row in missing if (found := self._document(row)) is not None], columns)

    def _refresh(self, found: Sequence[tuple[StoredDocument, Document]], columns: Columns) -> None:
        if not found:
            return
        tables = documents_to_tables([document for _, document in found])
        changed = {row.file_id for (row, _), made in zip(found, tables.file_ids, strict=True) if row.file_id != made}
        if changed:
            kept = [(row, document) for row, document in found if row.file_id not in changed]
            self.unfilled.update(
                (row.file_path, "the file's header is another one now: scan it")
                for row, _ in found
                if row.file_id in changed
            )
            self._refresh(kept, columns)
            return
        self._store.refresh(tables, columns)
        self.filled += len(found)

    def _document(self, row: StoredDocument) -> Document | None:
        if row.raw_output is not None:
            document: dict[str, Any] = json.loads(row.raw_output)
            return document
        if self._reread is None:
            self.unfilled[row.file_path] = "no stored document: --reread reads the file"
            return None
        return self._reread(row.file_path)


def outdated(embedding_version: str | None) -> bool:
    """Whether a row's vectors are of another version than this program's."""
    return embedding_version is not None and embedding_version != EMBEDDING_VERSION
