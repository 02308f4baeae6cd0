"""How the tables in VAST come from one version to another: the `MigratableStore` half of the store.

A migration changes every lock row first: it keeps out all writers, or, if one is at work, is refused itself. Stop the
writers before it, and start those of the new version after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from exr_inspector.embedding import EMBEDDING_VERSION
from exr_inspector.stores.migrations import FILL_BATCH, Columns, Migration, StoredDocument
from exr_inspector.stores.vast_client import ROW_ID, Client, insert, update
from exr_inspector.stores.vast_tables import LOCKS, VERSIONS, Catalog, for_vast, load, load_metadata, version_rows
from exr_inspector.tables import Column, Tables

_STORED = ("file_id", "file_path", "raw_output")


class Migrating:
    """A store's methods for `migrations.migrate`."""

    client: Client
    catalog: Catalog
    _migration: Any = None  # the transaction that is open

    def version(self) -> int:
        """See `MigratableStore.version`."""
        return self.catalog.version

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `MigratableStore.transaction`. Raises VASTDatabaseError: store_conflict if a writer is at work."""
        before = self.catalog
        try:
            with self.client.writing() as transaction:
                self._migration = transaction
                self._lock_all()
                yield
            with self.client.reading() as transaction:
                self.catalog = load(self.client, transaction)
        except BaseException:
            self.catalog = before
            raise
        finally:
            self._migration = None

    def _lock_all(self) -> None:
        table = self._table(LOCKS)
        rows = self.client.select(table, ["shard"], with_row_ids=True)
        words = pa.array(["migration"] * rows.num_rows, pa.utf8())
        update(table, rows.select([ROW_ID]).append_column("last_batch", words))

    def _table(self, name: str) -> Any:
        return self.catalog.open(self._migration, name)

    def add_column(self, table: str, column: Column) -> None:
        """See `MigratableStore.add_column`."""
        self._alterable(table).add_column(pa.schema([(column.name, column.type)]))
        self._reload(table)

    def drop_column(self, table: str, column: str) -> None:
        """See `MigratableStore.drop_column`."""
        field = self.catalog.metadata[table].arrow_schema.field(column)
        self._alterable(table).drop_column(pa.schema([(field.name, field.type)]))
        self._reload(table)

    def _alterable(self, table: str) -> Any:
        settings = self.client.settings
        return self._migration.bucket(settings.bucket).schema(settings.schema).table(table)

    def _reload(self, table: str) -> None:
        metadata = load_metadata(self.client, self._migration, table)
        self.catalog = self.catalog._replace(metadata={**self.catalog.metadata, table: metadata})

    def stored_documents(self, *, outdated_vectors: bool = False) -> Iterator[list[StoredDocument]]:
        """See `MigratableStore.stored_documents`. Only the keys are in memory, and one list."""
        table = self._table("files")
        predicate = table["embedding_version"] != EMBEDDING_VERSION if outdated_vectors else None
        keys = self.client.select(table, ["file_id"], predicate)["file_id"]
        for start in range(0, len(keys), FILL_BATCH):
            batch = keys.slice(start, FILL_BATCH).to_pylist()
            rows = self.client.select_keys(table, "file_id", batch, _STORED)
            yield [StoredDocument(*row) for row in zip(*(rows[name].to_pylist() for name in _STORED), strict=True)]

    def refresh(self, tables: Tables, columns: Columns) -> None:
        """See `MigratableStore.refresh`."""
        for name, its_columns in columns.items():
            rows = for_vast(getattr(tables, name))
            if name == "files":
                self._refresh_files(rows, its_columns)
            else:
                self._rewrite(name, rows, tables.files["file_id"].to_pylist())

    def _refresh_files(self, rows: pa.Table, columns: Sequence[str]) -> None:
        table = self._table("files")
        found = self.client.select_keys(table, "file_id", rows["file_id"].to_pylist(), ["file_id"], with_row_ids=True)
        places = pc.index_in(found["file_id"], rows["file_id"].combine_chunks())
        update(table, rows.select(list(columns)).take(places).add_column(0, ROW_ID, found[ROW_ID]))

    def _rewrite(self, name: str, rows: pa.Table, file_ids: Sequence[str]) -> None:
        table = self._table(name)
        found = self.client.select_keys(table, "file_id", file_ids, ["file_id"], with_row_ids=True)
        if found.num_rows:
            table.delete(found.select([ROW_ID]))
        there = table.arrow_schema.names
        insert(table, rows.select([column for column in rows.column_names if column in there]))

    def record(self, migration: Migration, *, is_applied: bool) -> None:
        """See `MigratableStore.record`."""
        table = self._table(VERSIONS)
        if is_applied:
            insert(table, version_rows([(migration.version, migration.description)]))
            return
        found = self.client.select(table, ["version"], table["version"] == migration.version, with_row_ids=True)
        table.delete(found.select([ROW_ID]))
