"""The four tables in VAST DataBase: one transaction for each batch, whatever other writers do.

A store belongs to one thread: it holds one session. `docs/decisions/0040-vast-writes.md` says how a batch is written
and what is assumed of a cluster.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from exr_inspector.config_vast import VastSettings
from exr_inspector.errors import Problem
from exr_inspector.stores import vast_ledger
from exr_inspector.stores.base import Document, KnownFile, WriteResult
from exr_inspector.stores.migrations import CURRENT_VERSION
from exr_inspector.stores.upsert import Versions, outdated, results, without
from exr_inspector.stores.vast import VASTDatabaseError
from exr_inspector.stores.vast_client import ROW_ID, Client, CommitFailed, insert, pauses, update
from exr_inspector.stores.vast_migrate import Migrating
from exr_inspector.stores.vast_tables import CHILDREN, Catalog, for_vast, provision
from exr_inspector.tables import Tables, documents_to_tables
from exr_inspector.tables.latest import age

# How often a batch is tried before it is split, and a single document before it is given up.
BATCH_TRIES = 8
SINGLE_TRIES = 20
_PROVISION_TRIES = 8
_PATHS_AT_A_TIME = 5_000

_KEPT = ("file_id", "inspection_timestamp")
_KNOWN_COLUMNS = ("file_id", "inspection_count", "inspector_version", "schema_version")
_PATH, _RETRYABLE = "file_path_normalized", '"retryable":true'


class _Known(NamedTuple):
    """A row of `files` that exists."""

    row_id: Any
    inspection_count: int
    versions: Versions


class VastStore(Migrating):
    """The `Store`, `ScanStore` and `MigratableStore` of one schema in VAST DataBase. A context manager.

    Opening makes what is missing. Raises VASTDatabaseError: `store_schema` if the tables differ from what their version
    has, or are of a newer one. Those of an older version are only migrated: writing to them is refused.
    """

    def __init__(self, settings: VastSettings, session: Any = None) -> None:
        self.client = Client(settings, session)
        try:
            self.catalog: Catalog = provisioned(self.client)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the connections."""
        self.client.close()

    def __enter__(self) -> VastStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- Writing -------------------------------------------------------------------------------------------

    def write_batch(self, documents: Sequence[Document], *, inspected_at: datetime | None = None) -> list[WriteResult]:
        """See `Store.write_batch`, and `write_tables`."""
        return self.write_tables(documents_to_tables(documents, inspected_at=inspected_at))

    def write_tables(self, tables: Tables) -> list[WriteResult]:
        """Upserts documents that are tables already, in one transaction, tried several times.

        A batch that meets other writers again and again is split into halves. A half that fails then is not raised,
        for the other one is written: it is told in its documents' results, which are `retryable`. Raises
        VASTDatabaseError; then nothing was written, or, if it `is_unsure`, nobody knows.
        """
        if not tables.file_ids:
            return []
        require_current(self.catalog)
        fitting = {name: for_vast(getattr(tables, name)) for name in ("files", *CHILDREN)}
        return self._write(tables._replace(**fitting), is_part=False)

    def _write(self, tables: Tables, *, is_part: bool) -> list[WriteResult]:
        is_single = tables.files.num_rows == 1
        try:
            return self._write_tried(tables, SINGLE_TRIES if is_single else BATCH_TRIES)
        except VASTDatabaseError as error:
            if error.code != "store_conflict" or is_single:
                if not is_part:
                    raise
                return [WriteResult.of_error(error, file_id) for file_id in tables.file_ids]
        results = [(half.file_ids, self._write(half, is_part=True)) for half in _halves(tables)]
        by_id: dict[str, list[WriteResult]] = {}
        for file_ids, written in results:
            for file_id, result in zip(file_ids, written, strict=True):
                by_id.setdefault(file_id, []).append(result)
        return [by_id[file_id].pop(0) for file_id in tables.file_ids]

    def _write_tried(self, tables: Tables, tries: int) -> list[WriteResult]:
        """Tries again, in a new transaction and after a random pause, what may go better then."""
        waits = pauses(tries)
        while True:
            try:
                return self._write_once(tables)
            except VASTDatabaseError as error:
                if not error.retryable or error.is_unsure:
                    raise
                pause = next(waits, None)
                if pause is None:
                    # The server fails whenever it gets these rows: they are to blame, not the hour.
                    if error.is_of_rows:
                        raise VASTDatabaseError(Problem("store_failed", str(error))) from None
                    raise
                self.client.sleep(pause)

    def _write_once(self, tables: Tables) -> list[WriteResult]:
        """One transaction; its outcome is certain when this returns or raises."""
        token = uuid.uuid4().hex
        known: dict[str, _Known] = {}
        try:
            with self.client.transaction() as transaction:
                known = self._upsert(transaction, tables, token)
        except CommitFailed as failure:
            if not vast_ledger.is_committed(self.client, self.catalog, token):
                raise (failure.error if failure.is_over else vast_ledger.unsure(failure.error)) from None
        return results(tables.file_ids, known)

    def _upsert(self, transaction: Any, tables: Tables, token: str) -> dict[str, _Known]:
        files = tables.files
        file_ids = files["file_id"].to_pylist()
        vast_ledger.lock(self.client, self.catalog, transaction, file_ids, token)
        known = self._known(transaction, file_ids)
        self._update_files(transaction, files, known)
        insert(self._open(transaction, "files"), without(files, known))
        rewritten = outdated(files, {file_id: row.versions for file_id, row in known.items()})
        self._delete(transaction, CHILDREN, rewritten)
        unchanged = known.keys() - set(rewritten)
        for name in CHILDREN:
            insert(self._open(transaction, name), without(getattr(tables, name), unchanged))
        vast_ledger.record(self.catalog, transaction, token, inserted=files.num_rows - len(known), updated=len(known))
        return known

    def _open(self, transaction: Any, table: str) -> Any:
        return self.catalog.open(transaction, table)

    def _known(self, transaction: Any, file_ids: Sequence[str]) -> dict[str, _Known]:
        """The rows of `files` that exist."""
        table = self._open(transaction, "files")
        found = self.client.select_keys(table, "file_id", file_ids, _KNOWN_COLUMNS, with_row_ids=True)
        columns = [found[name].to_pylist() for name in (*_KNOWN_COLUMNS, ROW_ID)]
        return {
            file_id: _Known(row_id, count or 0, (inspector, document))
            for file_id, count, inspector, document, row_id in zip(*columns, strict=True)
        }

    def _update_files(self, transaction: Any, files: pa.Table, known: Mapping[str, _Known]) -> None:
        """Overwrites the rows that exist; the count goes on."""
        if not known:
            return
        hits = files.filter(pc.is_in(files["file_id"], pa.array(list(known), pa.utf8())))
        rows = [known[file_id] for file_id in hits["file_id"].to_pylist()]
        counts = [row.inspection_count for row in rows]
        position = hits.schema.get_field_index("inspection_count")
        total = pc.add(hits["inspection_count"], pa.array(counts, pa.int64()))
        hits = hits.set_column(position, hits.schema.field(position), total)
        table = self._open(transaction, "files")
        row_ids = pa.array([row.row_id for row in rows], pa.uint64())
        update(table, hits.drop_columns(list(_KEPT)).add_column(0, ROW_ID, row_ids))

    def _delete(self, transaction: Any, tables: Iterable[str], file_ids: Sequence[str]) -> int:
        """Deletes the rows of files from tables; returns how many from the last one."""
        deleted = 0
        for name in tables if file_ids else ():
            table = self._open(transaction, name)
            found = self.client.select_keys(table, "file_id", file_ids, ["file_id"], with_row_ids=True)
            deleted = found.num_rows
            if deleted:
                table.delete(found.select([ROW_ID]))
        return deleted

    # ---- For a scan ----------------------------------------------------------------------------------------

    def known_files(self, paths: Sequence[str]) -> dict[str, KnownFile]:
        """See `ScanStore.known_files`."""
        if not paths:
            return {}
        columns = (_PATH, "last_inspected", "mtime", "file_id", "size_bytes", "error_count")
        with self.client.reading() as transaction:
            table = self._open(transaction, "files")
            found = self.client.select_keys(table, _PATH, paths, columns).to_pylist()
            latest: dict[str, dict[str, Any]] = {}
            for row in sorted(found, key=age):
                latest[row[_PATH]] = row
            doubtful = [row["file_id"] for row in latest.values() if row["error_count"]]
            retried = self._worth_a_retry(table, doubtful)
        return {
            path: KnownFile(row["size_bytes"], row["mtime"], row["last_inspected"])
            for path, row in latest.items()
            if row["file_id"] not in retried
        }

    def _worth_a_retry(self, table: Any, file_ids: Sequence[str]) -> set[str]:
        """The rows whose errors may be gone at the next try: as good as none."""
        if not file_ids:
            return set()
        found = self.client.select_keys(table, "file_id", file_ids, ["file_id", "raw_output"])
        is_worth = pc.match_substring(found["raw_output"], _RETRYABLE)
        return set(found.filter(is_worth)["file_id"].to_pylist())

    def paths_below(self, directory: str) -> Iterator[list[str]]:
        """See `ScanStore.paths_below`."""
        prefix = directory.rstrip("/") + "/"
        with self.client.reading() as transaction:
            table = self._open(transaction, "files")
            found = self.client.select(table, [_PATH], table[_PATH].startswith(prefix))
        paths = pc.unique(found[_PATH])
        for start in range(0, len(paths), _PATHS_AT_A_TIME):
            yield paths.slice(start, _PATHS_AT_A_TIME).to_pylist()

    def remove_paths(self, paths: Sequence[str]) -> int:
        """See `ScanStore.remove_paths`."""
        if not paths:
            return 0
        return int(self._repeated(lambda: self._remove_once(paths)))

    def _remove_once(self, paths: Sequence[str]) -> int:
        token = uuid.uuid4().hex
        with self.client.writing() as transaction:
            table = self._open(transaction, "files")
            found = self.client.select_keys(table, _PATH, paths, ["file_id"])["file_id"].to_pylist()
            if not found:
                return 0
            vast_ledger.lock(self.client, self.catalog, transaction, found, token)
            return self._delete(transaction, (*CHILDREN, "files"), found)

    def _repeated(self, run: Any, tries: int = BATCH_TRIES) -> Any:
        """Runs what may be run again, until it succeeds or the tries are used up."""
        for pause in pauses(tries):
            try:
                return run()
            except VASTDatabaseError as error:
                if not error.retryable:
                    raise
                self.client.sleep(pause)
        return run()


def provisioned(client: Client) -> Catalog:
    """The tables, made if missing: of several that do so at once, one succeeds, and the others find what it made."""
    for pause in pauses(_PROVISION_TRIES, first=0.05):
        try:
            return provision(client)
        except CommitFailed as failure:
            if not failure.error.retryable:
                raise failure.error from None
        except VASTDatabaseError as error:
            if not error.retryable:
                raise
        client.sleep(pause)
    try:
        return provision(client)
    except CommitFailed as failure:
        raise failure.error from None


def require_current(catalog: Catalog) -> None:
    """Raises VASTDatabaseError if the tables are of an older version."""
    if catalog.version != CURRENT_VERSION:
        message = f"the tables are of version {catalog.version}, this program needs {CURRENT_VERSION}: run migrate"
        raise VASTDatabaseError(Problem("store_schema", message))


def _halves(tables: Tables) -> tuple[Tables, Tables]:
    """The tables of the first and of the second half of the keys."""
    keys = tables.files["file_id"].to_pylist()
    middle = len(keys) // 2
    return _only(tables, keys[:middle]), _only(tables, keys[middle:])


def _only(tables: Tables, keys: Sequence[str]) -> Tables:
    wanted, array = set(keys), pa.array(keys, pa.utf8())
    file_ids = [key for key in tables.file_ids if key in wanted]
    rows = {name: getattr(tables, name) for name in ("files", *CHILDREN)}
    kept = {name: each.filter(pc.is_in(each["file_id"], array)) for name, each in rows.items()}
    return tables._replace(**kept, file_ids=file_ids, problems=[])
