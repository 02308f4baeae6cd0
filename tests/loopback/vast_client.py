"""The real `vastdb` client against a loopback server: what the tests of both say often.

One table, `b/s/t`, of a key and a number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import vastdb
from vastdb.config import BackoffConfig, SessionConfig
from vastdb.table_metadata import TableMetadata, TableRef

from .vast_server import VastServer

PATIENT_SECONDS = 10.0
IMPATIENT_SECONDS = 1.0  # to meet a slow answer with; pass it as `timeout`
SCHEMA = pa.schema([("key", pa.utf8()), ("number", pa.int64())])
Pairs = Sequence[tuple[str, "int | None"]]


def connect(server: VastServer, **options: Any) -> Any:
    """Return a session with few, quick retries and selects pinned to the endpoint."""
    defaults: dict[str, Any] = {
        "access": server.access_key,
        "secret": server.secret_key,
        "timeout": PATIENT_SECONDS,
        "backoff_config": BackoffConfig(max_tries=3, max_time=2.0, max_value=0.02),
        "config": SessionConfig(data_endpoints=[server.endpoint]),
    }
    return vastdb.connect(endpoint=server.endpoint, **{**defaults, **options})


def rows_of(pairs: Pairs) -> pa.Table:
    """Return the rows as an Arrow table."""
    return pa.table({"key": [k for k, _ in pairs], "number": [n for _, n in pairs]}, schema=SCHEMA)


def provision(session: Any, pairs: Pairs = (), **options: Any) -> TableMetadata:
    """Create the table with those rows; return its loaded metadata."""
    with session.transaction() as tx:
        table = tx.bucket("b").create_schema("s", fail_if_exists=False).create_table("t", SCHEMA, **options)
        if pairs:
            table.insert(rows_of(pairs))
    return load(session)


def load(session: Any) -> TableMetadata:
    """Return the table's metadata, statistics included."""
    metadata = TableMetadata(TableRef("b", "s", "t"))
    with session.transaction() as tx:
        metadata.load(tx)
        metadata.load_stats(tx)
    return metadata


def read(table: Any, *columns: str, **options: Any) -> list[dict[str, Any]]:
    """Return the rows that a select finds, of all columns if none is named."""
    return list(table.select(columns=list(columns) or None, **options).read_all().to_pylist())


def stored(server: VastServer) -> dict[str, int | None]:
    """Return the committed rows."""
    return {row["key"]: row["number"] for row in server.table("b", "s", "t").to_pylist()}


def find(table: Any, key: str) -> pa.Table:
    """Return the rows of a key, row ids and numbers."""
    return table.select(columns=["number"], predicate=table["key"] == key, internal_row_id=True).read_all()


def set_number(table: Any, key: str, number: int) -> None:
    """Update the rows of a key."""
    row_ids = find(table, key)["$row_id"]
    table.update(pa.table({"$row_id": row_ids, "number": pa.array([number] * len(row_ids), pa.int64())}))


def delete_key(table: Any, key: str) -> None:
    """Delete the rows of a key."""
    table.delete(find(table, key))


def commit(transaction: Any) -> None:
    """Commit a transaction that was entered by hand."""
    transaction.__exit__(None, None, None)


def roll_back(transaction: Any) -> None:
    """Roll back a transaction that was entered by hand."""
    transaction.__exit__(KeyError, KeyError(), None)


@contextlib.contextmanager
def two(session: Any, metadata: TableMetadata) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Open two transactions; give them and the table in each. What is open at the end is rolled back."""
    first, second = session.transaction(), session.transaction()
    first.__enter__()
    second.__enter__()
    yield first, second, first.table_from_metadata(metadata), second.table_from_metadata(metadata)
    for transaction in (first, second):
        if transaction.is_active:
            roll_back(transaction)
