"""The VAST store when things go wrong: requests that fail, answers that are lost, writers that meet."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("vastdb")

from exr_inspector.stores import vast_client, vast_ledger, vast_store
from exr_inspector.stores.base import StoreError, write_halving
from exr_inspector.stores.vast import VASTDatabaseError
from exr_inspector.stores.vast_store import VastStore
from exr_inspector.tables import documents_to_tables
from tests.loopback.vast_server import VastServer
from tests.store_contract import document, documents
from tests.test_vast_store import settings_of

TABLES = ("files", "parts", "channels", "attributes")
IMPATIENT_SECONDS = 0.7


@pytest.fixture
def server() -> Iterator[VastServer]:
    with VastServer(buckets=["b"]) as running:
        yield running


@pytest.fixture
def store(server: VastServer) -> Iterator[VastStore]:
    with VastStore(settings_of(server)) as opened:
        yield opened


def stored(server: VastServer, table: str) -> list[dict[str, Any]]:
    return list(server.table("b", "exr_metadata", table).to_pylist())


def check_whole(server: VastServer) -> None:
    """Every file has its children once, no child is without its file, no transaction is open."""
    files = Counter(row["file_id"] for row in stored(server, "files"))
    assert set(files.values()) <= {1}
    parts = Counter(row["file_id"] for row in stored(server, "parts"))
    assert parts == files
    for table, key in (("channels", "channel_name"), ("attributes", "attribute_name")):
        rows = Counter((row["file_id"], row[key]) for row in stored(server, table))
        assert {file_id for file_id, _ in rows} == set(files)
        assert set(rows.values()) == {1}
    assert server.database.open_transactions() == []


# ---- One fault at a time: (operation, kind) → how often the batch was begun ----------------------------------

_SEEN_THROUGH = [
    *((op, kind) for op in ("begin", "insert", "update") for kind in ("drop_before", "internal", "bad_gateway")),
    *((op, "drop_after") for op in ("insert", "update")),
    *((op, "conflict") for op in ("update", "insert", "commit")),
    *(("select", kind) for kind in ("stream_failed", "cut", "internal", "drop_before", "drop_after")),
    *((op, "slow_down") for op in ("begin", "select", "insert", "update", "commit")),
    *(("commit", kind) for kind in ("drop_before", "drop_after", "internal", "internal_after", "unavailable")),
    *(("commit", kind) for kind in ("bad_gateway", "bad_gateway_after")),
]


@pytest.mark.parametrize(("op", "kind"), _SEEN_THROUGH, ids=[f"{op}-{kind}" for op, kind in _SEEN_THROUGH])
def test_one_fault_is_seen_through(shared: tuple[VastServer, VastStore], op: str, kind: str) -> None:
    server, store = shared
    before = {row["file_id"]: row["inspection_count"] for row in stored(server, "files")}
    fault = server.faults.add(op=op, kind=kind, after=1 if op in ("select", "insert") else 0)
    given = [document(f"/{op}/{kind}.exr"), document("/again.exr")]
    results = store.write_batch(given)
    assert fault.hits == 1
    assert [result.status for result in results] == ["success"] * 2
    after = {row["file_id"]: row["inspection_count"] for row in stored(server, "files")}
    for result in results:
        assert after[str(result.file_id)] == before.get(str(result.file_id), 0) + 1
    check_whole(server)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[VastServer, VastStore]]:
    """One server and store for many small tests: each leaves them whole."""
    with VastServer(buckets=["b"]) as running, VastStore(settings_of(running)) as opened:
        yield running, opened
        assert running.database.open_transactions() == []


@pytest.mark.parametrize("kind", ["slow", "slow_after"])
def test_a_commit_that_answers_too_late(server: VastServer, kind: str) -> None:
    with VastStore(settings_of(server, timeout_seconds=IMPATIENT_SECONDS)) as store:
        server.faults.add(op="commit", kind=kind, seconds=IMPATIENT_SECONDS + 0.4)
        (result,) = store.write_batch([document()])
        assert result.status == "success"
    time.sleep(0.5)  # until the late commit has been carried out, or refused
    assert [row["inspection_count"] for row in stored(server, "files")] == [1]
    check_whole(server)


def test_a_request_that_answers_too_late(server: VastServer) -> None:
    with VastStore(settings_of(server, timeout_seconds=IMPATIENT_SECONDS)) as store:
        server.faults.add(op="update", kind="slow_after", seconds=IMPATIENT_SECONDS + 0.4)
        assert store.write_batch([document()])[0].inserted
    check_whole(server)


def test_a_lost_commit_and_lost_rollbacks(server: VastServer, store: VastStore) -> None:
    server.faults.add(op="commit", kind="drop_after")
    server.faults.add(op="rollback", kind="drop_before", times=2)
    assert store.write_batch([document()])[0].inserted
    assert [row["inspection_count"] for row in stored(server, "files")] == [1]


@pytest.mark.parametrize(("kind", "rows"), [("drop_after", 1), ("drop_before", 0)])
def test_an_outcome_that_nobody_knows_is_told(server: VastServer, store: VastStore, kind: str, rows: int) -> None:
    server.faults.add(op="commit", kind=kind)
    server.faults.add(op="rollback", kind="drop_before", times=None)
    server.faults.add(op="begin", kind="drop_before", times=None, after=1)
    with pytest.raises(VASTDatabaseError, match="committed is not known") as caught:
        store.write_batch([document()])
    assert caught.value.retryable
    assert len(stored(server, "files")) == rows


def test_the_ledger_is_believed_even_if_a_rollback_succeeds(
    server: VastServer, store: VastStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a committed transaction cannot be rolled back is assumed of a cluster; the ledger does not need it."""
    monkeypatch.setattr(vast_client.Client, "end", lambda _self, _txid: True)
    server.faults.add(op="commit", kind="drop_after")
    assert store.write_batch([document()])[0].inserted
    assert [row["inspection_count"] for row in stored(server, "files")] == [1]


def test_a_server_that_is_gone(server: VastServer, store: VastStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 3)
    store.write_batch([document("/first.exr")])
    server.stop()
    with pytest.raises(VASTDatabaseError) as caught:
        store.write_batch([document()])
    assert (caught.value.code, caught.value.retryable) == ("store_unreachable", True)
    assert "127.0.0.1" not in str(caught.value)
    server.start()
    assert store.write_batch([document()])[0].inserted
    check_whole(server)


def test_forbidden_is_not_tried_again(server: VastServer, store: VastStore) -> None:
    server.faults.add(op="insert", kind="forbidden", times=None)
    with server.counting() as requests, pytest.raises(VASTDatabaseError, match="denied") as caught:
        write_halving(store.write_batch, documents(3))  # nor for each document by itself
    assert (caught.value.code, caught.value.retryable) == ("store_refused", False)
    assert requests["begin"] == requests["rollback"] == 1
    assert stored(server, "files") == []


def test_rows_that_the_server_fails_at_are_found(
    server: VastServer, store: VastStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server error whenever it gets one document's rows is that document's fault in the end, not the hour's."""
    monkeypatch.setattr(vast_store, "BATCH_TRIES", 2)
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 2)
    answer = type(server).answer

    def failing(self: VastServer, method: str, target: str, headers: Any, body: bytes) -> Any:
        if method == "POST" and "/attributes?rows" in target and b"poison" in body:
            self.faults.add(op="insert", kind="internal", table="attributes")
        return answer(self, method, target, headers, body)

    monkeypatch.setattr(VastServer, "answer", failing)
    given = [*documents(4), document("/bad.exr", owner="poison"), *documents(3, "/more")]
    results = write_halving(store.write_batch, given)
    assert [result.status for result in results] == ["success"] * 4 + ["error"] + ["success"] * 3
    assert "the database failed" in str(results[4].error)
    (row,) = [row for row in stored(server, "files") if row["file_id"] == results[4].file_id]
    assert "not_stored" in row["raw_output"]
    assert len(stored(server, "files")) == 8
    assert server.database.open_transactions() == []


# ---- Writers that meet -------------------------------------------------------------------------------------


def test_a_batch_that_meets_another_writer_is_split(
    server: VastServer, store: VastStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One key is held by another: the others are written, and its result says that a retry may help."""
    monkeypatch.setattr(vast_store, "BATCH_TRIES", 2)
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 2)
    given = documents(8)
    tables = documents_to_tables(given)
    held = tables.file_ids[3]
    # No other document shares the shard: the test's paths are fixed.
    shards = vast_ledger.shards_of(tables.file_ids, store.catalog.lock_shards)
    assert len(shards) == 8
    other = VastStore(settings_of(server))
    with other.client.writing() as transaction:
        vast_ledger.lock(other.client, other.catalog, transaction, [held], "other")
        results = store.write_batch(given)
    assert [result.status for result in results] == ["success"] * 3 + ["error"] + ["success"] * 4
    assert (results[3].retryable, results[3].file_id) == (True, held)
    assert store.write_batch([given[3]])[0].inserted
    assert len(stored(server, "files")) == 8
    other.close()
    check_whole(server)


def test_two_stores_are_made_at_once(server: VastServer) -> None:
    """Several containers start together: one makes the tables, the others find them."""
    failures: list[BaseException] = []

    def open_() -> None:
        try:
            VastStore(settings_of(server)).close()
        except StoreError as error:
            failures.append(error)

    _run_together([threading.Thread(target=open_) for _ in range(4)])
    assert failures == []
    assert sorted(row["shard"] for row in stored(server, "lock_shards")) == list(range(512))
    assert [row["version"] for row in stored(server, "schema_migrations")] == [1, 2]


WRITERS, KEYS, ROUNDS = 6, 12, 10

# Of each hundred requests, so many go wrong.
_STORM = (
    ("*", "slow_down", 0.01),
    (("insert", "update", "select", "begin"), "internal", 0.01),
    (("insert", "update", "commit", "begin", "rollback"), "drop_before", 0.01),
    (("insert", "update", "rollback"), "drop_after", 0.01),
    ("commit", "drop_after", 0.10),
    ("commit", "internal_after", 0.03),
    ("commit", "bad_gateway_after", 0.03),
    ("commit", "conflict", 0.03),
    ("select", "cut", 0.01),
)


def test_six_writers_on_twelve_keys_in_a_storm(server: VastServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly one row for each key, the counts are those of the committed inspections, nothing is half-written."""
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 60)
    stores = [VastStore(settings_of(server)) for _ in range(WRITERS)]
    keys = documents(KEYS)
    committed: Counter[str] = Counter()
    unsure: list[str] = []
    guard = threading.Lock()
    for number, (ops, kind, probability) in enumerate(_STORM):
        server.faults.add(op=ops, kind=kind, times=None, probability=probability, seed=number)

    def work(store: VastStore, seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(ROUNDS):
            batch = dice.sample(keys, dice.randint(1, 3))
            try:
                results = store.write_batch(batch)
            except StoreError as error:
                with guard:
                    unsure.append(str(error))
                continue
            with guard:
                committed.update(str(result.file_id) for result in results if result.status == "success")

    _run_together([threading.Thread(target=work, args=(store, n)) for n, store in enumerate(stores)])
    server.faults.clear()
    assert not [error for error in unsure if "not known" in error]
    store = stores[0]
    committed.update(str(result.file_id) for result in store.write_batch(keys))
    rows = stored(server, "files")
    assert len(rows) == KEYS
    assert {row["file_id"]: row["inspection_count"] for row in rows} == committed
    ledger = stored(server, "batch_ledger")
    assert sum(row["inserted"] for row in ledger) == KEYS
    assert sum(row["inserted"] + row["updated"] for row in ledger) == sum(committed.values())
    for each in stores:
        each.close()
    for txid in server.database.open_transactions():  # begun, the answer lost: such ones hold nothing
        server.database.rollback(txid)
    check_whole(server)


def test_without_lock_rows_keys_double(server: VastServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why there is a lock table: two transactions that both find a key missing insert it twice."""
    monkeypatch.setattr(vast_ledger, "lock", lambda *_arguments: None)
    first, second = VastStore(settings_of(server)), VastStore(settings_of(server))
    tables = documents_to_tables([document()])
    with first.client.writing() as one, second.client.writing() as two:
        first._upsert(one, _for_vast(tables), "one")
        second._upsert(two, _for_vast(tables), "two")
    assert len(stored(server, "files")) == 2
    first.close()
    second.close()


def test_an_interrupted_write_leaves_nothing(
    server: VastServer, store: VastStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(vast_ledger, "record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.write_batch([document()])
    assert server.database.open_transactions() == []
    assert stored(server, "files") == []
    assert store.write_batch([document()])[0].inserted


def _for_vast(tables: Any) -> Any:
    return tables._replace(**{name: vast_store.for_vast(getattr(tables, name)) for name in TABLES})


def _run_together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(80)
        assert not thread.is_alive()
