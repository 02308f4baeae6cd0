"""The lock table and the batch ledger: how writers keep apart, and how a lost answer is settled.

VAST has no unique keys: two transactions that both find a key missing would insert it twice. So each transaction first
changes the lock rows of its keys, `crc32(key) mod shards`; of two that meet there, one gets a conflict and begins
again, when it sees what the other wrote. And each transaction leaves its token in the ledger: when the answer to a
commit is lost, the ledger knows.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from exr_inspector.errors import Problem
from exr_inspector.stores.vast import VASTDatabaseError
from exr_inspector.stores.vast_client import ROW_ID, Client, insert, pauses, update
from exr_inspector.stores.vast_tables import BATCHES, LOCKS, Catalog

_SETTLE_TRIES = 6
# A lost commit is settled within minutes; the rest is for people who look for what happened.
KEPT_FOR = timedelta(days=30)
# More shards than this are picked out of the whole table, 1 MiB: a predicate costs half a millisecond for each value.
_FEW_SHARDS = 100


def shards_of(keys: Iterable[str], shards: int) -> list[int]:
    """The lock rows of keys, ascending, each once."""
    return sorted({zlib.crc32(key.encode()) % shards for key in keys})


def lock(client: Client, catalog: Catalog, transaction: Any, keys: Sequence[str], token: str) -> None:
    """Changes the lock rows of the keys. Raises VASTDatabaseError: store_conflict if another writer has one of them.

    Row ids are read in the same transaction: that they stay the same for ever is nowhere promised.
    """
    table = catalog.open(transaction, LOCKS)
    wanted = shards_of(keys, catalog.lock_shards)
    if len(wanted) <= _FEW_SHARDS:
        found = client.select_keys(table, "shard", wanted, ["shard"], with_row_ids=True)
    else:
        found = client.select(table, ["shard"], with_row_ids=True)
        found = found.filter(pc.is_in(found["shard"], pa.array(wanted, pa.int64())))
    if len(found) != len(wanted):
        message = f"{LOCKS} is damaged: {len(found)} rows for {len(wanted)} shards"
        raise VASTDatabaseError(Problem("store_schema", message))
    rows = found.sort_by("shard").select([ROW_ID])
    update(table, rows.append_column("last_batch", pa.array([token] * len(rows), pa.utf8())))


def record(catalog: Catalog, transaction: Any, token: str, *, inserted: int, updated: int) -> None:
    """Leaves the batch's token in the ledger."""
    table = catalog.open(transaction, BATCHES)
    row = {"token": token, "committed_at": _now(), "inserted": inserted, "updated": updated}
    insert(table, pa.Table.from_pylist([row], schema=table.arrow_schema.remove_metadata()))


def is_committed(client: Client, catalog: Catalog, token: str) -> bool:
    """Whether the batch with this token is in the database. Raises VASTDatabaseError if that cannot be asked."""
    last: VASTDatabaseError | None = None
    for pause in (*pauses(_SETTLE_TRIES, first=0.05), 0.0):
        try:
            return bool(_tokens(client, catalog, token))
        except VASTDatabaseError as error:
            last = error
            if not error.retryable:
                break
            client.sleep(pause)
    raise unsure(last)


def unsure(error: VASTDatabaseError | None) -> VASTDatabaseError:
    """What is raised where a commit's outcome cannot be found out."""
    message = f"whether the batch was committed is not known: {error}"
    return VASTDatabaseError(Problem("store_unreachable", message), is_unsure=True)


def _tokens(client: Client, catalog: Catalog, token: str) -> int:
    with client.reading() as transaction:
        table = catalog.open(transaction, BATCHES)
        return int(client.select(table, ["token"], table["token"] == token).num_rows)


def prune(client: Client, catalog: Catalog, *, older_than: timedelta = KEPT_FOR) -> int:
    """Deletes old lines of the ledger, which nobody will ask for; returns how many. Raises VASTDatabaseError."""
    with client.writing() as transaction:
        table = catalog.open(transaction, BATCHES)
        rows = client.select(table, ["token"], table["committed_at"] < _now() - older_than, with_row_ids=True)
        if rows.num_rows:
            table.delete(rows.select([ROW_ID]))
        return int(pc.count(rows["token"]).as_py())


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)
