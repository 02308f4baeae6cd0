"""A transactional in-memory database: schemas, tables, and snapshot isolation with first updater wins.

Objects live in one mapping from path to entry: `(bucket, schema)` for schemas, nested ones with slashes, and
`(bucket, schema, table)` for tables. A transaction keeps the mapping as of its begin, plus its own changes.
Names conflict like rows: the first transaction to change one wins, another that is open, or that began before
the winner committed, gets a Conflict. Inserts never conflict.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import pyarrow as pa

from . import vast_types
from .vast_errors import ApiError, conflict
from .vast_rows import Claim, LogView, Numbers, RowLog, Writes
from .vast_tables import (
    SCHEMA_DEPTH,
    TABLE_DEPTH,
    Column,
    Entry,
    Path,
    SchemaEntry,
    TableEntry,
    VectorIndex,
    inside,
    sort_ids,
)

FIRST_TXID = 1 << 58  # real ids use all 64 bits: whoever squeezes them into 32 should notice


@dataclass
class Transaction:
    """An open transaction: its snapshot, and what it changed."""

    txid: int
    snapshot: int
    objects: Mapping[Path, Entry]
    last_used: float
    changes: dict[Path, Entry | None] = field(default_factory=dict)
    writes: dict[RowLog, Writes] = field(default_factory=dict)

    def find(self, path: Path) -> Entry | None:
        """Return the object at `path`, or None."""
        return self.changes[path] if path in self.changes else self.objects.get(path)

    def table(self, path: Path) -> TableEntry:
        """Return the table at `path`."""
        found = self.find(path)
        if not isinstance(found, TableEntry):
            raise ApiError("NoSuchTable", f"no table {'/'.join(path)}")
        return found

    def require_schema(self, path: Path) -> None:
        """Refuse a schema that is not there; the root of a bucket always is."""
        if path[1] and not isinstance(self.find(path), SchemaEntry):
            raise ApiError("NoSuchSchema", f"no schema {'/'.join(path)}")

    def all_objects(self) -> dict[Path, Entry]:
        """Return all objects that the transaction sees."""
        return _merged(self.objects, self.changes)

    def own_writes(self, log: RowLog) -> Writes:
        """Return the transaction's writes to a log, as they are kept."""
        return self.writes.setdefault(log, Writes())

    def view(self, log: RowLog) -> LogView:
        """Return the rows that the transaction sees."""
        return log.view(self.snapshot, self.writes.get(log) or Writes())


def _merged(objects: Mapping[Path, Entry], changes: Mapping[Path, Entry | None]) -> dict[Path, Entry]:
    merged = {**objects, **changes}
    return {path: entry for path, entry in merged.items() if entry is not None}


class Database:
    """All buckets of one server. Every public method takes the lock; views are read without it."""

    def __init__(
        self,
        buckets: Iterable[str],
        transaction_timeout: float,
        max_cell_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.buckets = frozenset(buckets)
        self.lock = threading.RLock()
        self._timeout = transaction_timeout
        self._max_cell_bytes = max_cell_bytes
        self._clock = clock
        self._commits = 0
        self._next_expiry = 0.0
        self._objects: Mapping[Path, Entry] = MappingProxyType({})
        self._open: dict[int, Transaction] = {}
        self._owners: dict[Path, int] = {}
        self._changed: dict[Path, int] = {}
        self._txids = itertools.count(FIRST_TXID)
        self._handles = itertools.count(1)
        self._column_ids = itertools.count(1)

    # Transactions

    def begin(self) -> int:
        """Open a transaction on the present state; return its id."""
        with self.lock:
            self._expire()
            txid = next(self._txids)
            self._open[txid] = Transaction(txid, self._commits, self._objects, self._clock())
            return txid

    def transaction(self, txid: int) -> Transaction:
        """Return an open transaction, and note that it is in use."""
        with self.lock:
            self._expire()
            found = self._open.get(txid)
            if found is None:
                raise ApiError("TabularNoSuchTransaction", f"no open transaction {txid}")
            found.last_used = self._clock()
            return found

    def open_transactions(self) -> list[int]:
        """Return the ids of the transactions that are open, expired ones left out."""
        with self.lock:
            self._expire()
            return list(self._open)

    def commit(self, txid: int) -> None:
        """Make a transaction's changes visible to those that begin later."""
        with self.lock:
            transaction = self.transaction(txid)
            objects = self._merge_objects(transaction)
            self._commits += 1
            for log, writes in transaction.writes.items():
                log.commit(writes, self._commits)
            for path in transaction.changes:
                self._changed[path] = self._commits
            self._objects = MappingProxyType(objects) if transaction.changes else self._objects
            self._close(transaction)
            self._vacuum(transaction.writes)

    def rollback(self, txid: int) -> None:
        """Forget a transaction's changes."""
        with self.lock:
            self._discard(self.transaction(txid))

    def _merge_objects(self, transaction: Transaction) -> dict[Path, Entry]:
        if not transaction.changes:
            return {}
        objects = _merged(self._objects, transaction.changes)
        for path in objects:
            parent = (path[0], path[1] if len(path) == TABLE_DEPTH else path[1].rpartition("/")[0])
            if parent[1] and parent not in objects:
                self._discard(transaction)
                raise conflict(f"schema {'/'.join(parent)} was dropped by another transaction")
        return objects

    def _discard(self, transaction: Transaction) -> None:
        for log, writes in transaction.writes.items():
            log.rollback(writes)
        self._close(transaction)

    def _close(self, transaction: Transaction) -> None:
        del self._open[transaction.txid]
        for path in transaction.changes:
            self._owners.pop(path, None)

    def _expire(self) -> None:
        """Discard the transactions that were not used for long; looks only when one can be due."""
        now = self._clock()
        if now < self._next_expiry:
            return
        for transaction in [t for t in self._open.values() if t.last_used + self._timeout <= now]:
            self._discard(transaction)
        earliest = min((t.last_used for t in self._open.values()), default=now)
        self._next_expiry = earliest + self._timeout

    def _vacuum(self, logs: Iterable[RowLog]) -> None:
        oldest = min((t.snapshot for t in self._open.values()), default=self._commits)
        for log in logs:
            log.vacuum(oldest, [t.writes[log] for t in self._open.values() if log in t.writes])

    # Schemas and tables

    def require_bucket(self, bucket: str) -> None:
        """Refuse a bucket that is not there."""
        if bucket not in self.buckets:
            raise ApiError("NoSuchBucket", f"no bucket {bucket}")

    def _change(self, transaction: Transaction, path: Path, entry: Entry | None) -> None:
        """Set or remove (None) an object: first updater wins."""
        if self._owners.get(path, transaction.txid) != transaction.txid:
            raise conflict(f"{'/'.join(path)} is being changed by another open transaction")
        if self._changed.get(path, 0) > transaction.snapshot:
            raise conflict(f"{'/'.join(path)} was changed by a transaction that committed after this one began")
        self._owners[path] = transaction.txid
        transaction.changes[path] = entry

    def create_schema(self, txid: int, path: Path) -> None:
        """Create a schema."""
        with self.lock:
            transaction = self.transaction(txid)
            self.require_bucket(path[0])
            transaction.require_schema((path[0], path[1].rpartition("/")[0]))
            self._require_free(transaction, path)
            self._change(transaction, path, SchemaEntry())

    def rename_schema(self, txid: int, path: Path, new_name: str) -> None:
        """Rename a schema with all that is in it."""
        with self.lock:
            transaction = self.transaction(txid)
            transaction.require_schema(path)
            parent = path[1].rpartition("/")[0]
            target = f"{parent}/{new_name}" if parent else new_name
            self._require_free(transaction, (path[0], target))
            for old, entry in transaction.all_objects().items():
                if old == path or inside(old, path):
                    self._change(transaction, old, None)
                    self._change(transaction, (old[0], target + old[1][len(path[1]) :], *old[2:]), entry)

    def drop_schema(self, txid: int, path: Path) -> None:
        """Drop an empty schema."""
        with self.lock:
            transaction = self.transaction(txid)
            transaction.require_schema(path)
            if any(inside(other, path) for other in transaction.all_objects()):
                raise conflict(f"schema {path[1]} is not empty")
            self._change(transaction, path, None)

    def _require_free(self, transaction: Transaction, path: Path) -> None:
        if transaction.find(path) is not None:
            raise conflict(f"{'/'.join(path)} exists")

    def create_table(
        self,
        txid: int,
        path: Path,
        schema: pa.Schema,
        sorted_by: Sequence[int],
        vector_index: VectorIndex | None,
    ) -> None:
        """Create a table; `sorted_by` are indices of columns."""
        with self.lock:
            transaction = self.transaction(txid)
            transaction.require_schema(path[:SCHEMA_DEPTH])
            self._require_free(transaction, path)
            columns = tuple(self._new_column(column) for column in schema)
            entry = TableEntry(next(self._handles), columns, (), vector_index, max_cell_bytes=self._max_cell_bytes)
            self._change(transaction, path, replace(entry, sorted_by=sort_ids(entry, sorted_by)))

    def set_sorting(self, txid: int, path: Path, sorted_by: Sequence[int]) -> None:
        """Give an unsorted table a sorting key."""
        with self.lock:
            transaction = self.transaction(txid)
            entry = transaction.table(path)
            if entry.sorted_by:
                raise ApiError("InvalidArgument", "the table has a sorting key already")
            self._change(transaction, path, replace(entry, sorted_by=sort_ids(entry, sorted_by)))

    def rename_table(self, txid: int, path: Path, new_path: Path) -> None:
        """Give a table another name or schema."""
        with self.lock:
            transaction = self.transaction(txid)
            entry = transaction.table(path)
            transaction.require_schema(new_path[:SCHEMA_DEPTH])
            self._require_free(transaction, new_path)
            self._change(transaction, path, None)
            self._change(transaction, new_path, entry)

    def drop_table(self, txid: int, path: Path) -> None:
        """Drop a table and its rows."""
        with self.lock:
            transaction = self.transaction(txid)
            transaction.table(path)
            self._change(transaction, path, None)

    def add_columns(self, txid: int, path: Path, schema: pa.Schema) -> None:
        """Add columns, null in all present rows."""
        with self.lock:
            transaction = self.transaction(txid)
            entry = transaction.table(path)
            columns = (*entry.columns, *(self._new_column(column) for column in schema))
            names = [column.field.name for column in columns]
            if len(set(names)) != len(names):
                raise conflict("a column of that name exists")
            self._change(transaction, path, replace(entry, columns=columns))

    def drop_columns(self, txid: int, path: Path, names: Sequence[str]) -> None:
        """Drop columns."""
        with self.lock:
            transaction = self.transaction(txid)
            entry = transaction.table(path)
            dropped = {entry.column(name).column_id for name in names}
            columns = tuple(column for column in entry.columns if column.column_id not in dropped)
            self._change(transaction, path, replace(entry, columns=columns))

    def rename_column(self, txid: int, path: Path, name: str, new_name: str) -> None:
        """Give a column another name."""
        with self.lock:
            transaction = self.transaction(txid)
            entry = transaction.table(path)
            old = entry.column(name)
            renamed = Column(old.column_id, old.field.with_name(new_name))
            columns = tuple(renamed if column is old else column for column in entry.columns)
            self._change(transaction, path, replace(entry, columns=columns))

    def _new_column(self, column: pa.Field) -> Column:
        vast_types.check_new_field(column)
        return Column(next(self._column_ids), column.remove_metadata())

    # Rows

    def insert(self, txid: int, path: Path, batch: pa.RecordBatch) -> Numbers:
        """Append rows; return their row ids."""
        with self.lock:
            transaction = self.transaction(txid)
            entry = transaction.table(path)
            columns = entry.checked(batch)
            return entry.log.insert(columns, batch.num_rows, transaction.own_writes(entry.log))

    def update(self, txid: int, path: Path, rows: Numbers, batch: pa.RecordBatch) -> None:
        """Set the batch's columns in the given rows."""
        with self.lock:
            transaction = self.transaction(txid)
            entry = transaction.table(path)
            columns = entry.checked(batch)
            if entry.fixed_columns() & set(columns):
                raise ApiError("InvalidArgument", "sorting and vector index columns cannot be updated")
            entry.log.update(rows, columns, entry.types(), _claim(transaction, entry))

    def delete(self, txid: int, path: Path, rows: Numbers) -> None:
        """Remove the given rows."""
        with self.lock:
            transaction = self.transaction(txid)
            entry = transaction.table(path)
            entry.log.delete(rows, _claim(transaction, entry))

    def view(self, txid: int, path: Path) -> tuple[TableEntry, LogView]:
        """Return a table as the transaction sees it."""
        with self.lock:
            transaction = self.transaction(txid)
            entry = transaction.table(path)
            return entry, transaction.view(entry.log)

    def committed(self, path: Path) -> pa.Table:
        """Return a table's committed rows, for tests to look at."""
        with self.lock:
            now = Transaction(0, self._commits, self._objects, 0.0)
            entry = now.table(path)
            view = now.view(entry.log)
        columns = [view.column(c.column_id, c.field.type) for c in entry.columns]
        return pa.Table.from_arrays(columns, schema=pa.schema([c.field for c in entry.columns]))


def _claim(transaction: Transaction, entry: TableEntry) -> Claim:
    return Claim(transaction.txid, transaction.snapshot, transaction.own_writes(entry.log))
