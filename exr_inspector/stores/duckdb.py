"""The embedded catalog: one DuckDB file, or a database in memory.

One process at a time may have a catalog open for writing; any number may read while none writes. A store belongs to
the thread that opened it; DuckDB itself works with all cores, outside Python's lock.
"""

# ruff: noqa: S608 - names come from tables.TABLES, keys are quoted by schema.text; DuckDB binds no lists of keys

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from types import TracebackType

import duckdb
import pyarrow as pa

from exr_inspector.embedding import EMBEDDING_VERSION
from exr_inspector.errors import Problem
from exr_inspector.stores import duckdb_schema as schema
from exr_inspector.stores.base import Document, KnownFile, StoreError, WriteResult
from exr_inspector.stores.duckdb_connection import IN_MEMORY, MemoryLimit, connect, translated
from exr_inspector.stores.migrations import (
    CURRENT_VERSION,
    FILL_BATCH,
    Columns,
    Migration,
    Report,
    StoredDocument,
    migrate,
)
from exr_inspector.stores.upsert import Versions, outdated, results, without
from exr_inspector.tables import TABLES, Column, Tables, documents_to_tables
from exr_inspector.tables.latest import LATEST_SQL

# So many keys in one look-up: planning a longer list takes longer than the look-ups save.
_KEYS_AT_A_TIME = 250
_PATHS_AT_A_TIME = 10_000

_UPDATED = [column.name for column in TABLES["files"] if column.name not in ("file_id", "inspection_timestamp")]
_ASSIGNMENTS = ", ".join(
    f"{name} = files.{name} + excluded.{name}" if name == "inspection_count" else f"{name} = excluded.{name}"
    for name in _UPDATED
)
_UPSERT = f"INSERT INTO files BY NAME SELECT * FROM staged ON CONFLICT (file_id) DO UPDATE SET {_ASSIGNMENTS}"


class DuckDBStore:
    """A catalog: the `Store`, `ScanStore` and `MigratableStore` of one DuckDB database. A context manager.

    Opening makes what is missing and migrates an older catalog (`migration` tells what it did). `read_only` never
    writes; without `is_migrated` an older catalog stays as it is; without `is_made` a missing one is an error.
    `threads` is how many cores DuckDB uses, `memory_mib` how much memory beside the index of the files, before it uses
    the disk instead; by default all cores, and most of the memory. A store that `is_alone` shares the catalog with no
    other connection of this process, and needs little memory however many files it writes. Raises StoreError:
    `store_busy` while another process has the catalog open, `store_schema` if it is of a newer version or no catalog.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = IN_MEMORY,
        *,
        read_only: bool = False,
        is_migrated: bool = True,
        is_made: bool = True,
        threads: int | None = None,
        memory_mib: int | None = None,
        is_alone: bool = False,
    ) -> None:
        self.path = os.fspath(path)
        self.migration: Report | None = None
        if (read_only or not is_made) and not os.path.exists(self.path):
            raise StoreError(Problem("store_schema", f"there is no catalog {self.path}: scan makes one"))
        self.connection = connect(self.path, read_only=read_only, is_alone=is_alone)
        try:
            with translated():
                if threads is not None:
                    self.connection.execute(f"SET threads = {int(threads)}")
                self._prepare(is_made=is_made and not read_only, is_migrated=is_migrated, read_only=read_only)
                self._memory = MemoryLimit(self.connection, memory_mib)
        except BaseException:
            self.close()
            raise

    def _prepare(self, *, is_made: bool, is_migrated: bool, read_only: bool) -> None:
        found = schema.version(self.connection)
        if found is None:
            if not is_made:
                raise StoreError(Problem("store_schema", f"{self.path} is no catalog: it has no tables"))
            with self.transaction():
                schema.create(self.connection)
            return
        schema.check(self.connection, found)
        if found == CURRENT_VERSION or not is_migrated:
            return
        if read_only:
            message = f"the catalog is of version {found}, this program needs {CURRENT_VERSION}: run migrate"
            raise StoreError(Problem("store_schema", message))
        self.migration = migrate(self)

    def close(self) -> None:
        """Closes the catalog; another process may open it then."""
        with suppress(duckdb.Error):
            self.connection.interrupt()  # what Ctrl-C stopped waiting for would be waited for here
            self.connection.close()

    def __enter__(self) -> DuckDBStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is done inside. Raises StoreError."""
        with translated():
            self.connection.begin()
            try:
                yield
                self.connection.commit()
            except BaseException:
                with suppress(duckdb.Error):  # there is none any more, if the commit failed
                    self.connection.rollback()
                raise

    @contextmanager
    def _staged(self, table: pa.Table) -> Iterator[None]:
        self.connection.register("staged", table)
        try:
            yield
        finally:
            self.connection.unregister("staged")

    # ---- Writing -------------------------------------------------------------------------------------------

    def write_batch(self, documents: Sequence[Document], *, inspected_at: datetime | None = None) -> list[WriteResult]:
        """See `Store.write_batch`."""
        return self.write_tables(documents_to_tables(documents, inspected_at=inspected_at))

    def write_tables(self, tables: Tables) -> list[WriteResult]:
        """Upserts documents that are tables already; otherwise `write_batch`. Raises StoreError."""
        if not tables.file_ids:
            return []
        with self.transaction():
            self._memory.make_room(tables.files.num_rows)
            known = self._versions(tables.files["file_id"].to_pylist())
            rewritten = outdated(tables.files, known)
            self._write_files(tables.files, is_upsert=bool(known))
            self._delete_children(rewritten)
            unchanged = known.keys() - set(rewritten)
            for name in schema.CHILDREN:
                self._insert(name, without(getattr(tables, name), unchanged))
        return results(tables.file_ids, known)

    def _versions(self, file_ids: Sequence[str]) -> dict[str, Versions]:
        """Inspector and schema version of the rows that exist, found through the primary key."""
        found: dict[str, Versions] = {}
        for start in range(0, len(file_ids), _KEYS_AT_A_TIME):
            keys = _literals(file_ids[start : start + _KEYS_AT_A_TIME])
            rows = self.connection.execute(
                f"SELECT file_id, inspector_version, schema_version FROM files WHERE file_id IN ({keys})"
            ).fetchall()
            found.update((file_id, (inspector, document)) for file_id, inspector, document in rows)
        return found

    def _write_files(self, files: pa.Table, *, is_upsert: bool) -> None:
        if not is_upsert:
            self._insert("files", files)
            return
        with self._staged(files):
            self.connection.execute(_UPSERT)

    def _insert(self, table: str, rows: pa.Table) -> None:
        if rows.num_rows:
            with self._staged(rows):
                self.connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM staged")

    def _delete_children(self, file_ids: Sequence[str]) -> None:
        for table in schema.CHILDREN if file_ids else ():
            self.connection.execute(f"DELETE FROM {table} WHERE file_id IN ({_literals(file_ids)})")

    # ---- For a scan ----------------------------------------------------------------------------------------

    def known_files(self, paths: Sequence[str]) -> dict[str, KnownFile]:
        """See `ScanStore.known_files`."""
        columns = "last_inspected, mtime, file_id, size_bytes"
        keys = pa.table({"path": pa.array(paths, pa.utf8())})
        with translated(), self._staged(keys):
            # A row whose errors may be gone at the next try is as good as none.
            rows = self.connection.execute(
                f"""SELECT file_path_normalized, {columns}, error_count > 0 AND contains(raw_output, '"retryable":true')
                FROM files WHERE file_path_normalized IN (SELECT path FROM staged)
                ORDER BY file_path_normalized, {LATEST_SQL}"""
            ).fetchall()
        latest = {row[0]: row for row in rows}
        return {
            path: KnownFile(size_bytes, mtime, last_inspected)
            for path, last_inspected, mtime, _, size_bytes, is_worth_a_retry in latest.values()
            if not is_worth_a_retry
        }

    def paths_below(self, directory: str) -> Iterator[list[str]]:
        """See `ScanStore.paths_below`."""
        prefix = directory.rstrip("/") + "/"
        with translated():
            cursor = self._cursor()
            try:
                cursor.execute(
                    "SELECT DISTINCT file_path_normalized FROM files WHERE starts_with(file_path_normalized, ?)",
                    [prefix],
                )
                while rows := cursor.fetchmany(_PATHS_AT_A_TIME):
                    yield [path for (path,) in rows]
            finally:
                cursor.close()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection beside the store's own; it must be told where to look, too."""
        (name,) = self.connection.execute("SELECT current_database()").fetchone() or ("",)
        cursor = self.connection.cursor()
        cursor.execute("USE " + '"{}"'.format(name.replace('"', '""')))
        return cursor

    def remove_paths(self, paths: Sequence[str]) -> int:
        """See `ScanStore.remove_paths`."""
        with self.transaction(), self._staged(pa.table({"path": pa.array(paths, pa.utf8())})):
            rows = self.connection.execute(
                "SELECT file_id FROM files WHERE file_path_normalized IN (SELECT path FROM staged)"
            ).fetchall()
            file_ids = [file_id for (file_id,) in rows]
            self._delete_children(file_ids)
            if file_ids:
                self.connection.execute(f"DELETE FROM files WHERE file_id IN ({_literals(file_ids)})")
        return len(file_ids)

    # ---- For migrations ------------------------------------------------------------------------------------

    def version(self) -> int:
        """See `MigratableStore.version`."""
        with translated():
            return schema.version(self.connection) or 0

    def add_column(self, table: str, column: Column) -> None:
        """See `MigratableStore.add_column`."""
        self._alter(table, f"ADD COLUMN {column.name} {schema.sql_type(column.type)}")
        self.connection.execute(schema.comment_on(table, column))

    def drop_column(self, table: str, column: str) -> None:
        """See `MigratableStore.drop_column`."""
        self._alter(table, f"DROP COLUMN {column}")

    def _alter(self, table: str, change: str) -> None:
        self.connection.execute(f"ALTER TABLE {table} {change}")
        for statement in schema.view_statements():
            self.connection.execute(statement)

    def stored_documents(self, *, outdated_vectors: bool = False) -> Iterator[list[StoredDocument]]:
        """See `MigratableStore.stored_documents`."""
        condition = "embedding_version <> ?" if outdated_vectors else "true"
        parameters = [EMBEDDING_VERSION] if outdated_vectors else []
        with translated():
            # Only the keys are in memory, and as one array.
            keys = self.connection.execute(f"SELECT file_id FROM files WHERE {condition}", parameters).to_arrow_table()
            for batch in _slices(keys["file_id"], FILL_BATCH):
                rows = self.connection.execute(
                    f"SELECT file_id, file_path, raw_output FROM files WHERE file_id IN ({_literals(batch)})"
                ).fetchall()
                yield [StoredDocument(*row) for row in rows]

    def refresh(self, tables: Tables, columns: Columns) -> None:
        """See `MigratableStore.refresh`."""
        file_ids = tables.files["file_id"].to_pylist()
        for table, names in columns.items():
            rows: pa.Table = getattr(tables, table)
            if table == "files":
                assignments = ", ".join(f"{name} = staged.{name}" for name in names)
                with self._staged(rows.select(["file_id", *names])):
                    self.connection.execute(
                        f"UPDATE files SET {assignments} FROM staged WHERE files.file_id = staged.file_id"
                    )
            else:
                self.connection.execute(f"DELETE FROM {table} WHERE file_id IN ({_literals(file_ids)})")
                self._insert(table, rows)

    def record(self, migration: Migration, *, is_applied: bool) -> None:
        """See `MigratableStore.record`."""
        if is_applied:
            schema.record(self.connection, migration.version, migration.description)
        else:
            self.connection.execute(f"DELETE FROM {schema.LEDGER} WHERE version = ?", [migration.version])


def _slices(keys: pa.ChunkedArray, size: int) -> Iterator[list[str]]:
    for start in range(0, len(keys), size):
        yield keys.slice(start, size).to_pylist()


def _literals(file_ids: Iterable[str]) -> str:
    return ",".join(map(schema.text, file_ids))
