"""The tables in VAST: made when missing, compared when found, and described once for all transactions.

VAST takes nullable columns only, keys too, and says nothing of descriptions. Beside the four tables stand three of
our own: the lock table, the batch ledger, and the ledger of the tables' versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from vastdb.table_metadata import TableMetadata, TableRef

from exr_inspector.errors import Problem
from exr_inspector.stores.migrations import CURRENT_VERSION, MIGRATIONS, columns_at, unknown_version
from exr_inspector.stores.vast import VASTDatabaseError
from exr_inspector.stores.vast_client import Client, insert
from exr_inspector.tables import Column

CHILDREN = ("parts", "channels", "attributes")
LOCKS, BATCHES, VERSIONS = "lock_shards", "batch_ledger", "schema_migrations"

# What real systems are said to take at most; see docs/decisions/0041-vast-limits.md.
MAX_CELL_BYTES = 126 * 1024

_TEXT, _I64, _TIME = pa.utf8(), pa.int64(), pa.timestamp("us")

# shards: how many the table has, in each row; last_batch: token of the batch that changed the row last.
_OWN_TABLES: dict[str, pa.Schema] = {
    LOCKS: pa.schema([("shard", _I64), ("shards", _I64), ("last_batch", _TEXT)]),
    BATCHES: pa.schema([("token", _TEXT), ("committed_at", _TIME), ("inserted", _I64), ("updated", _I64)]),
    VERSIONS: pa.schema([("version", _I64), ("description", _TEXT), ("applied_at", _TIME)]),
}


class Catalog(NamedTuple):
    """What a store knows of its tables, loaded once: no transaction asks for it again."""

    metadata: Mapping[str, TableMetadata]
    lock_shards: int
    version: int

    def open(self, transaction: Any, table: str) -> Any:
        """The table, in a transaction."""
        return transaction.table_from_metadata(self.metadata[table])


class Difference(NamedTuple):
    """A column that is not as the program has it; None: it is not there."""

    table: str
    column: str
    wanted: pa.DataType | None
    found: pa.DataType | None

    def __str__(self) -> str:
        found = "missing" if self.found is None else self.found
        return f"{self.table}.{self.column} is {found}, not {self.wanted or 'a column of it'}"


def vast_schema(columns: Iterable[Column]) -> pa.Schema:
    """Columns as VAST takes them."""
    return pa.schema([pa.field(column.name, column.type) for column in columns])


def schemas_at(version: int = CURRENT_VERSION) -> dict[str, pa.Schema]:
    """All tables, our own included, as of a version of the tables."""
    return {name: vast_schema(columns) for name, columns in columns_at(version).items()} | _OWN_TABLES


# ---- Making and comparing ----------------------------------------------------------------------------------


def provision(client: Client) -> Catalog:
    """Makes what is missing, in one transaction, and compares what is there. Raises VASTDatabaseError.

    A store that finds everything in place sends no DDL.
    """
    with client.transaction() as transaction:
        _make_missing(client, transaction)
        return load(client, transaction)


def _make_missing(client: Client, transaction: Any) -> None:
    bucket = transaction.bucket(client.settings.bucket)
    schema = bucket.schema(client.settings.schema, fail_if_missing=False)
    if schema is None:
        schema = bucket.create_schema(client.settings.schema)
    found = set(schema.tablenames())
    if VERSIONS not in found and found & set(columns_at(CURRENT_VERSION)):
        taken = min(found & set(columns_at(CURRENT_VERSION)))
        raise _wrong(f"schema {client.settings.schema} has a table {taken}, but no {VERSIONS}: not this program's")
    for name, columns in schemas_at().items():
        if name not in found:
            _fill(schema.create_table(name, columns), name, client.settings.lock_shards)


def _fill(table: Any, name: str, shards: int) -> None:
    """What a new table begins with."""
    if name == LOCKS:
        rows = [pa.array(range(shards), _I64), pa.array([shards] * shards, _I64), pa.nulls(shards, _TEXT)]
        insert(table, pa.Table.from_arrays(rows, schema=_OWN_TABLES[LOCKS]))
    elif name == VERSIONS:
        insert(table, version_rows((each.version, each.description) for each in MIGRATIONS))


def version_rows(versions: Iterable[tuple[int, str]]) -> pa.Table:
    """Lines of the ledger of versions."""
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    rows = [{"version": version, "description": words, "applied_at": now} for version, words in versions]
    return pa.Table.from_pylist(rows, schema=_OWN_TABLES[VERSIONS])


def found_tables(client: Client, transaction: Any) -> set[str]:
    """The names of the tables in the schema, if there is one."""
    schema = transaction.bucket(client.settings.bucket).schema(client.settings.schema, fail_if_missing=False)
    return set() if schema is None else set(schema.tablenames())


def load(client: Client, transaction: Any) -> Catalog:
    """The tables as they are. Raises VASTDatabaseError if they are not as their version says."""
    metadata = {name: load_metadata(client, transaction, name) for name in schemas_at()}
    check_row_ids(metadata)
    version = found_version(client, transaction, metadata[VERSIONS])
    found = {name: each.arrow_schema for name, each in metadata.items()}
    if differences := compare(schemas_at(version), found):
        told = "; ".join(map(str, differences[:5]))
        raise _wrong(f"not version {version} of the tables: {told}")
    return Catalog(metadata, _lock_shards(client, transaction, metadata[LOCKS]), version)


def load_metadata(client: Client, transaction: Any, name: str) -> TableMetadata:
    """What the server says of a table: columns, kind, statistics."""
    metadata = TableMetadata(TableRef(client.settings.bucket, client.settings.schema, name))
    metadata.load(transaction)
    return metadata


def found_version(client: Client, transaction: Any, ledger: TableMetadata) -> int:
    """The version of the tables, by the ledger. Raises VASTDatabaseError if this program does not know it."""
    rows = client.select(transaction.table_from_metadata(ledger), ["version"])
    version = pc.max(rows["version"]).as_py()
    if version is None:
        raise _wrong(f"{VERSIONS} is empty")
    if version > CURRENT_VERSION:
        raise _wrong(unknown_version(version))
    return int(version)


def _lock_shards(client: Client, transaction: Any, locks: TableMetadata) -> int:
    """How many shards the table was made with: all writers must count alike, so the table says, not a setting."""
    table = transaction.table_from_metadata(locks)
    shards = client.select(table, ["shards"], table["shard"] == 0)["shards"].to_pylist()
    if len(shards) != 1 or not shards[0]:
        raise _wrong(f"{LOCKS} is damaged: shard 0 is there {len(shards)} times")
    return int(shards[0])


def compare(wanted: Mapping[str, pa.Schema], found: Mapping[str, pa.Schema]) -> list[Difference]:
    """How the tables' columns differ by name and type. Order, metadata and nullability are the server's own."""
    differences = []
    for table, schema in wanted.items():
        types = {field.name: field.type for field in found[table]} if table in found else {}
        names = dict.fromkeys((*schema.names, *types))
        for name in names:
            ours = schema.field(name).type if name in schema.names else None
            if ours is None or name not in types or not _is_same(ours, types[name]):
                differences.append(Difference(table, name, ours, types.get(name)))
    return differences


def _is_same(ours: pa.DataType, theirs: pa.DataType) -> bool:
    if pa.types.is_fixed_size_list(ours) and pa.types.is_fixed_size_list(theirs):
        # The items' name is the server's own.
        return bool(ours.list_size == theirs.list_size and ours.value_type == theirs.value_type)
    return bool(ours == theirs)


def check_row_ids(metadata: Mapping[str, TableMetadata]) -> None:
    """Refuses tables with columns that cannot be updated: sorted ones, partition keys, vector indexes."""
    for name, each in metadata.items():
        fixed = each.non_updatable_column_names()
        if fixed and name in ("files", LOCKS):
            raise _wrong(f"{name} is sorted, partitioned or indexed by {', '.join(sorted(fixed))}: no updates there")


def _wrong(message: str) -> VASTDatabaseError:
    return VASTDatabaseError(Problem("store_schema", message))


# ---- Rows as VAST takes them -------------------------------------------------------------------------------


def for_vast(rows: pa.Table, *, largest: int = MAX_CELL_BYTES) -> pa.Table:
    """The rows with nullable columns, without metadata; a text of more than 126 KiB is null."""
    columns = [_fitting(column, largest) if pa.types.is_string(column.type) else column for column in rows.columns]
    fields = [pa.field(field.name, field.type) for field in rows.schema]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _fitting(column: pa.ChunkedArray, largest: int) -> pa.ChunkedArray:
    if column.nbytes <= largest:
        return column
    is_long = pc.greater(pc.binary_length(column), largest)
    return pc.if_else(is_long, pa.scalar(None, column.type), column)
