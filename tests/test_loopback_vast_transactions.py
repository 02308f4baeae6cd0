"""The loopback VAST server, through the real `vastdb` client: isolation, conflicts, faults."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

vastdb = pytest.importorskip("vastdb")

import requests  # noqa: E402 - comes with vastdb
from vastdb import errors  # noqa: E402
from vastdb._internal import QueryDataInternalError  # noqa: E402
from vastdb.table_metadata import TableMetadata  # noqa: E402

from tests.loopback.vast_client import (  # noqa: E402
    IMPATIENT_SECONDS,
    SCHEMA,
    commit,
    connect,
    delete_key,
    provision,
    read,
    roll_back,
    rows_of,
    set_number,
    stored,
    two,
)
from tests.loopback.vast_server import VastServer  # noqa: E402

VERSIONS = [(5, 4), (5, 5)]


@pytest.fixture(params=VERSIONS, ids=["v5.4", "v5.5"])
def server(request: pytest.FixtureRequest) -> Iterator[VastServer]:
    with VastServer(version=request.param, buckets=["b"]) as running:
        yield running


@pytest.fixture
def newest() -> Iterator[VastServer]:
    with VastServer(buckets=["b"]) as running:
        yield running


def change_one(session: Any, metadata: TableMetadata, to: int = 2) -> None:
    """Set the number of key "a", in a transaction of its own."""
    with session.transaction() as tx:
        set_number(tx.table_from_metadata(metadata), "a", to)


# Transactions


def test_snapshot_isolation(server: VastServer) -> None:
    session = connect(server)
    metadata = provision(session, [("a", 1), ("b", 2)])
    with two(session, metadata) as (writer, _reader, written, seen):
        set_number(written, "a", 10)
        delete_key(written, "b")
        written.insert(rows_of([("c", 3)]))
        assert read(seen) == [{"key": "a", "number": 1}, {"key": "b", "number": 2}]
        assert read(written) == [{"key": "a", "number": 10}, {"key": "c", "number": 3}]
        commit(writer)
        assert read(seen) == [{"key": "a", "number": 1}, {"key": "b", "number": 2}]
    assert stored(server) == {"a": 10, "c": 3}


def test_rollback(server: VastServer) -> None:
    session = connect(server)
    metadata = provision(session, [("a", 1)])
    with pytest.raises(ZeroDivisionError), session.transaction() as tx:
        table = tx.table_from_metadata(metadata)
        set_number(table, "a", 10)
        table.insert(rows_of([("b", 2)]))
        raise ZeroDivisionError
    assert stored(server) == {"a": 1}
    assert server.database.open_transactions() == []


CHANGES: dict[str, Callable[[Any], None]] = {
    "update": lambda table: set_number(table, "a", 9),
    "delete": lambda table: delete_key(table, "a"),
}


@pytest.mark.parametrize("second", CHANGES)
@pytest.mark.parametrize("first", CHANGES)
@pytest.mark.parametrize("committed", [False, True], ids=["open", "committed"])
def test_first_updater_wins(server: VastServer, first: str, second: str, committed: bool) -> None:
    session = connect(server)
    metadata = provision(session, [("a", 1), ("b", 2)])
    with two(session, metadata) as (winner, loser, winners, losers):
        CHANGES[first](winners)
        if committed:
            commit(winner)
        with pytest.raises(errors.Conflict):
            CHANGES[second](losers)
        set_number(losers, "b", 20)  # another row: no conflict, and the transaction lives on
        commit(loser)
    assert stored(server)["b"] == 20


def test_lock_is_gone_after_rollback(newest: VastServer) -> None:
    session = connect(newest)
    metadata = provision(session, [("a", 1)])
    with two(session, metadata) as (first, second, firsts, seconds):
        set_number(firsts, "a", 2)
        roll_back(first)
        set_number(seconds, "a", 3)
        commit(second)
    assert stored(newest) == {"a": 3}


def test_inserts_never_conflict(server: VastServer) -> None:
    session = connect(server)
    metadata = provision(session)
    with two(session, metadata) as (first, second, firsts, seconds):
        for table in (firsts, seconds):
            table.insert(rows_of([("same", 1)]))
        commit(first)
        commit(second)
    assert server.table("b", "s", "t")["key"].to_pylist() == ["same", "same"]


def test_same_table_created_twice_conflicts(server: VastServer) -> None:
    session = connect(server)
    with session.transaction() as tx:
        tx.bucket("b").create_schema("s")
    first, second = session.transaction(), session.transaction()
    with pytest.raises(errors.Conflict), first, second:
        for transaction in (first, second):
            transaction.bucket("b").schema("s").create_table("t", SCHEMA)
    assert server.database.open_transactions() == []


def test_schema_changes_are_isolated(server: VastServer) -> None:
    session = connect(server)
    metadata = provision(session, [("a", 1)])
    with two(session, metadata) as (writer, reader, _, seen):
        writer.bucket("b").schema("s").table("t").add_column(pa.schema([("x", pa.int64())]))
        assert reader.bucket("b").schema("s").table("t").arrow_schema.names == SCHEMA.names
        seen.insert(rows_of([("b", 2)]))
        commit(writer)
        commit(reader)
    assert server.table("b", "s", "t")["x"].to_pylist() == [None, None]


def test_abandoned_transaction_expires() -> None:
    with VastServer(buckets=["b"], transaction_timeout=0.3) as server:
        session = connect(server)
        metadata = provision(session, [("a", 1)])
        abandoned = session.transaction().__enter__()
        set_number(abandoned.table_from_metadata(metadata), "a", 2)
        with pytest.raises(errors.Conflict):
            change_one(session, metadata, to=3)
        time.sleep(0.4)
        change_one(session, metadata, to=3)
        with pytest.raises(errors.NotFound):
            commit(abandoned)
        assert stored(server) == {"a": 3}


def test_old_snapshot_survives_many_updates(newest: VastServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.loopback.vast_rows.VACUUM_MIN_DEAD", 8)
    session = connect(newest)
    metadata = provision(session, [("a", 0), ("b", 0)])
    with two(session, metadata) as (_, _, seen, other):
        set_number(other, "b", 5)
        for i in range(40):
            with session.transaction() as tx:
                set_number(tx.table_from_metadata(metadata), "a", i)
        assert read(seen) == [{"key": "a", "number": 0}, {"key": "b", "number": 0}]
        assert read(other) == [{"key": "a", "number": 0}, {"key": "b", "number": 5}]
    assert stored(newest) == {"a": 39, "b": 0}
    with session.transaction() as tx:
        set_number(tx.table_from_metadata(metadata), "a", 40)
    assert len(newest.database.transaction(newest.database.begin()).table(("b", "s", "t")).log) < 10


def test_concurrent_increments_are_exact(newest: VastServer) -> None:
    """Five writers retry on Conflict: no increment is lost."""
    metadata = provision(connect(newest), [("a", 0)])

    def work() -> None:
        session = connect(newest)
        done = 0
        while done < 5:
            with contextlib.suppress(errors.Conflict), session.transaction() as tx:
                table = tx.table_from_metadata(metadata)
                set_number(table, "a", read(table, "number")[0]["number"] + 1)
                done += 1

    run_together([threading.Thread(target=work) for _ in range(5)])
    assert stored(newest) == {"a": 25}


# Faults

# (operation, kind) -> what the SDK raises, and whether the change is there afterwards.
FAULTS: dict[tuple[str, str], tuple[type[BaseException] | None, bool]] = {
    ("begin", "slow_down"): (None, True),  # retried by the SDK
    ("update", "slow_down"): (None, True),
    ("commit", "slow_down"): (None, True),
    ("select", "slow_down"): (None, True),
    ("select", "drop_before"): (None, True),  # reads are retried
    ("select", "drop_after"): (None, True),
    ("begin", "drop_before"): (errors.ConnectionError, False),  # writes are not
    ("update", "drop_before"): (errors.ConnectionError, False),
    ("update", "drop_after"): (errors.ConnectionError, False),
    ("commit", "drop_before"): (errors.ConnectionError, False),
    ("commit", "drop_after"): (errors.ConnectionError, True),
    ("commit", "internal"): (errors.InternalServerError, False),
    ("commit", "internal_after"): (errors.InternalServerError, True),
    ("commit", "unavailable"): (errors.ServiceUnavailable, False),
    ("commit", "bad_gateway"): (ValueError, False),
    ("commit", "bad_gateway_after"): (ValueError, True),
    ("commit", "conflict"): (errors.Conflict, False),
    ("commit", "slow_after"): (requests.ReadTimeout, True),
    ("update", "conflict"): (errors.Conflict, False),
    ("update", "internal"): (errors.InternalServerError, False),
    ("update", "slow"): (requests.ReadTimeout, False),
    ("update", "forbidden"): (errors.Forbidden, False),
    ("select", "stream_failed"): (QueryDataInternalError, False),
    ("select", "cut"): (pa.ArrowInvalid, False),
    ("select", "slow"): (requests.ReadTimeout, False),
}


@pytest.mark.parametrize(("op", "kind"), FAULTS, ids="-".join)
def test_faults(newest: VastServer, op: str, kind: str) -> None:
    raised, changed = FAULTS[op, kind]
    session = connect(newest, timeout=IMPATIENT_SECONDS)
    metadata = provision(session, [("a", 1)])
    fault = newest.faults.add(op=op, kind=kind, seconds=IMPATIENT_SECONDS + 0.3)
    with pytest.raises(raised) if raised else contextlib.nullcontext():
        change_one(session, metadata)
    assert fault.hits == 1
    assert stored(newest) == {"a": 2 if changed else 1}


def test_late_commit(newest: VastServer) -> None:
    """A commit that the client gave up on is applied all the same, later."""
    session = connect(newest, timeout=IMPATIENT_SECONDS)
    metadata = provision(session, [("a", 1)])
    newest.faults.add(op="commit", kind="slow", seconds=IMPATIENT_SECONDS + 0.3)
    with pytest.raises(requests.ReadTimeout):
        change_one(session, metadata)
    assert stored(newest) == {"a": 1}
    time.sleep(0.6)
    assert stored(newest) == {"a": 2}


@pytest.mark.parametrize(("kind", "applied"), [("drop_before", False), ("drop_after", True)])
def test_rollback_settles_a_lost_commit(newest: VastServer, kind: str, applied: bool) -> None:
    """A rollback of the old transaction succeeds only if it was not committed, and then it never will be."""
    session = connect(newest)
    metadata = provision(session, [("a", 1)])
    newest.faults.add(op="commit", kind=kind)
    transaction = session.transaction().__enter__()
    txid = transaction.txid
    set_number(transaction.table_from_metadata(metadata), "a", 2)
    with pytest.raises(errors.ConnectionError):
        commit(transaction)
    with pytest.raises(errors.NotFound) if applied else contextlib.nullcontext():
        session.api.rollback_transaction(txid)
    assert stored(newest) == {"a": 2 if applied else 1}
    assert newest.database.open_transactions() == []


def test_faults_are_chosen(newest: VastServer) -> None:
    session = connect(newest)
    metadata = provision(session, [("a", 1)])
    elsewhere = newest.faults.add(op="update", kind="internal", times=None, table="elsewhere")
    third = newest.faults.add(op=("update", "insert"), kind="internal", after=2, table="t")
    for _ in range(2):
        change_one(session, metadata)
    with pytest.raises(errors.InternalServerError):
        change_one(session, metadata)
    change_one(session, metadata)
    assert (elsewhere.hits, third.hits) == (0, 1)


def test_random_faults_are_reproducible(newest: VastServer) -> None:
    session = connect(newest)

    def struck() -> list[bool]:
        newest.faults.clear()
        newest.faults.add(op="begin", kind="internal", times=None, probability=0.5, seed=7)
        outcomes = []
        for _ in range(12):
            try:
                with session.transaction():
                    outcomes.append(False)
            except errors.InternalServerError:
                outcomes.append(True)
        return outcomes

    first = struck()
    assert first == struck()
    assert 0 < sum(first) < 12


def test_rollback_error_hides_the_first_error(newest: VastServer) -> None:
    """What the SDK does: an exception of the rollback replaces that of the block, which is its context."""
    session = connect(newest)
    newest.faults.add(op="rollback", kind="internal")
    with pytest.raises(errors.InternalServerError) as caught, session.transaction():
        raise ZeroDivisionError
    assert isinstance(caught.value.__context__, ZeroDivisionError)


# The upsert that the VAST store builds on


def upsert(table: Any, key: str) -> None:
    """Add one to the key's number, or insert it with 1."""
    found = read(table, "number", predicate=table["key"] == key)
    if found:
        set_number(table, key, found[0]["number"] + 1)
    else:
        table.insert(rows_of([(key, 1)]))


def locked_upsert(table: Any, key: str) -> None:
    """The same, after a change of the row that serves as the lock."""
    set_number(table, "lock", 0)
    upsert(table, key)


@pytest.mark.parametrize(("write", "exact"), [(upsert, False), (locked_upsert, True)], ids=["plain", "locked"])
def test_writers_of_the_same_key(newest: VastServer, write: Callable[[Any, str], None], exact: bool) -> None:
    """Two transactions that both find a key missing insert it twice, unless both change a lock row first."""
    session = connect(newest)
    metadata = provision(session, [("lock", 0)])
    with two(session, metadata) as (first, second, firsts, seconds):
        write(firsts, "x")
        with pytest.raises(errors.Conflict) if exact else contextlib.nullcontext():
            write(seconds, "x")
        commit(first)
        roll_back(second) if exact else commit(second)
    keys = newest.table("b", "s", "t")["key"].to_pylist()
    assert keys.count("x") == (1 if exact else 2)


def test_six_writers_under_random_faults(newest: VastServer) -> None:
    """With the lock row, no key doubles, whatever goes wrong; no committed change is lost."""
    metadata = provision(connect(newest), [("lock", 0)])
    sessions = [connect(newest) for _ in range(6)]
    newest.faults.add(op="*", kind="internal", times=None, probability=0.02, seed=1)
    newest.faults.add(op=("update", "insert", "commit"), kind="drop_after", times=None, probability=0.03, seed=2)
    retried = (errors.Conflict, errors.ConnectionError, errors.InternalServerError)

    def work(session: Any, seed: int) -> None:
        for i in range(8):
            with contextlib.suppress(*retried), session.transaction() as tx:
                locked_upsert(tx.table_from_metadata(metadata), f"key {(seed + i) % 4}")

    run_together([threading.Thread(target=work, args=(s, i)) for i, s in enumerate(sessions)])
    keys = newest.table("b", "s", "t")["key"].to_pylist()
    assert len(keys) == len(set(keys))


def run_together(threads: list[threading.Thread]) -> None:
    """Start the threads, and wait for all."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
