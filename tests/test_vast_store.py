"""The VAST store: the contract of all stores through the real client, and what is VAST's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

vastdb = pytest.importorskip("vastdb")

from exr_inspector.config_vast import Secret, VastSettings  # noqa: E402
from exr_inspector.stores import vast_ledger  # noqa: E402
from exr_inspector.stores.migrations import CURRENT_VERSION, MIGRATIONS, OLDEST_VERSION, migrate  # noqa: E402
from exr_inspector.stores.vast import VASTDatabaseError  # noqa: E402
from exr_inspector.stores.vast_client import insert, slices  # noqa: E402
from exr_inspector.stores.vast_store import VastStore  # noqa: E402
from exr_inspector.stores.vast_tables import for_vast, schemas_at, version_rows  # noqa: E402
from exr_inspector.tables import SCHEMAS  # noqa: E402
from tests.loopback import vast_api  # noqa: E402
from tests.loopback.vast_client import connect  # noqa: E402
from tests.loopback.vast_server import VastServer  # noqa: E402
from tests.store_contract import Row, Rows, StoreContract, document, documents  # noqa: E402

VERSIONS = [(5, 4), (5, 5)]


def settings_of(server: VastServer, **changes: Any) -> VastSettings:
    """Settings for a server; few lock shards, which are quick to make."""
    made = VastSettings(
        server.endpoint, Secret(server.access_key), Secret(server.secret_key), "b", lock_shards=512, timeout_seconds=10
    )
    return made._replace(**changes)


class TestContract(StoreContract):
    """The contract, at both server versions."""

    @pytest.fixture(params=VERSIONS, ids=["v5.4", "v5.5"])
    def server(self, request: pytest.FixtureRequest) -> Iterator[VastServer]:
        with VastServer(version=request.param, buckets=["b"]) as running:
            yield running

    @pytest.fixture
    def open_store(self, server: VastServer) -> Iterator[Callable[[], VastStore]]:
        opened: list[VastStore] = []

        def open_() -> VastStore:
            opened.append(VastStore(settings_of(server)))
            return opened[-1]

        yield open_
        for store in opened:
            store.close()

    @pytest.fixture
    def rows(self, server: VastServer) -> Rows:
        def read(table: str) -> list[Row]:
            found: list[Row] = server.table("b", "exr_metadata", table).to_pylist()
            return found

        return read

    @pytest.fixture
    def broken(self, server: VastServer) -> Callable[[], AbstractContextManager[None]]:
        @contextmanager
        def break_() -> Iterator[None]:
            server.faults.add(op="insert", kind="forbidden", table="attributes", times=None)
            yield
            server.faults.clear()

        return break_


# ---- What is VAST's own ------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[VastServer]:
    with VastServer(buckets=["b"]) as running:
        yield running


@pytest.fixture(params=VERSIONS, ids=["v5.4", "v5.5"])
def each_server(request: pytest.FixtureRequest) -> Iterator[VastServer]:
    with VastServer(version=request.param, buckets=["b"]) as running:
        yield running


@pytest.fixture(scope="module")
def newest() -> Iterator[tuple[VastServer, VastStore]]:
    with VastServer(buckets=["b"]) as running, VastStore(settings_of(running)) as store:
        yield running, store


def test_a_batch_is_ten_requests_and_no_ddl(newest: tuple[VastServer, VastStore]) -> None:
    server, store = newest
    with server.counting() as made:
        store.write_batch(documents(20, "/counted"))
    assert made == {"begin": 1, "select": 2, "update": 1, "insert": 5, "commit": 1}
    with server.counting() as made:
        store.write_batch(documents(20, "/counted"))
    assert made == {"begin": 1, "select": 2, "update": 2, "insert": 1, "commit": 1}
    assert not set(made) & vast_api.DDL_OPS


def test_a_store_that_finds_its_tables_sends_no_ddl(newest: tuple[VastServer, VastStore]) -> None:
    server, _ = newest
    with server.counting() as made:
        VastStore(settings_of(server)).close()
    assert not set(made) & vast_api.DDL_OPS
    assert sum(made.values()) <= 25
    assert server.database.open_transactions() == []


def test_the_lock_table_says_how_many_shards_there_are(newest: tuple[VastServer, VastStore]) -> None:
    """Writers that count differently would not meet: the table wins over the setting."""
    server, store = newest
    with VastStore(settings_of(server, lock_shards=64)) as other:
        assert other.catalog.lock_shards == store.catalog.lock_shards == 512
        assert other.write_batch([document("/elsewhere.exr")])[0].status == "success"


def test_65536_shards_are_one_insert() -> None:
    with VastServer(buckets=["b"]) as server:
        with server.counting() as made:
            VastStore(settings_of(server, lock_shards=65_536)).close()
        assert server.counts_by_table()["insert", "lock_shards"] == 1
        assert made["insert"] == 2
        assert server.table("b", "exr_metadata", "lock_shards").num_rows == 65_536


def test_selects_go_to_the_endpoint_only() -> None:
    """The addresses that the server's statistics name are never asked."""
    with VastServer(buckets=["b"], data_addresses=["127.0.0.2"]) as server, VastStore(settings_of(server)) as store:
        assert store.write_batch([document()])[0].inserted
        session = vastdb.connect(endpoint=server.endpoint, access=server.access_key, secret=server.secret_key)
        with VastStore(settings_of(server), session) as other:
            assert not other.write_batch([document()])[0].inserted


def test_wide_cells_are_left_out(newest: tuple[VastServer, VastStore]) -> None:
    """A document over 126 KiB: its row has no `raw_output`, everything else is stored."""
    server, store = newest
    given = document("/wide/raw.exr")
    entries = [{"name": f"note {n}", "type": "string", "value": "x" * 60_000} for n in range(4)]
    given["attributes"]["parts"][0] += entries
    (result,) = store.write_batch([given])
    (row,) = [row for row in stored(server, "files") if row["file_id"] == result.file_id]
    assert row["raw_output"] is None
    assert row["metadata_embedding"] is not None
    found = [row for row in stored(server, "attributes") if row["file_id"] == result.file_id]
    assert {len(row["attribute_value"]) for row in found if row["attribute_name"].startswith("note")} == {60_002}
    narrow = document("/wide/narrow.exr")
    assert store.write_batch([narrow, given])[0].inserted
    (row,) = [row for row in stored(server, "files") if row["file_path"] == "/wide/narrow.exr"]
    assert row["raw_output"] is not None


def test_cells_at_the_limit() -> None:
    rows = pa.table({"a": ["x" * 10, "é" * 5, "x" * 11, None], "n": [1, 2, 3, 4]})
    assert for_vast(rows, largest=10)["a"].to_pylist() == ["x" * 10, "é" * 5, None, None]


def test_inserts_are_four_mebibytes_at_most(newest: tuple[VastServer, VastStore]) -> None:
    server, store = newest
    given = documents(60, "/large")
    for each in given:
        entry = {"name": "note", "type": "string", "value": "x" * 60_000}
        each["attributes"] = {"parts": [[*each["attributes"]["parts"][0], entry]]}
    with server.counting() as made:
        results = store.write_batch(given)
    assert all(result.inserted for result in results)
    assert made["insert"] > 5  # 3.6 MB of documents and as much of attributes
    assert made["update"] == 1  # the client turns what is too large into updates
    rows = pa.table({"a": ["x" * 1000] * 9000})
    sizes = [pa.ipc.get_record_batch_size(batch) for batch in slices(rows)]
    assert max(sizes) <= 4 << 20
    assert sum(batch.num_rows for batch in slices(rows)) == 9000


# ---- A schema that is not ours -----------------------------------------------------------------------------


def alter(server: VastServer, table: str, change: Callable[[Any], None]) -> None:
    with connect(server).transaction() as tx:
        change(tx.bucket("b").schema("exr_metadata").table(table))


def test_a_wrong_schema_is_refused_with_the_difference(each_server: VastServer) -> None:
    VastStore(settings_of(each_server)).close()
    alter(each_server, "files", lambda table: table.drop_column(pa.schema([("size_bytes", pa.int64())])))
    alter(each_server, "files", lambda table: table.add_column(pa.schema([("size_bytes", pa.utf8())])))
    alter(each_server, "parts", lambda table: table.drop_column(pa.schema([("width", pa.int64())])))
    alter(each_server, "channels", lambda table: table.add_column(pa.schema([("mine", pa.int64())])))
    with pytest.raises(VASTDatabaseError) as caught:
        VastStore(settings_of(each_server))
    assert caught.value.code == "store_schema"
    assert not caught.value.retryable
    for difference in (
        "files.size_bytes is string, not int64",
        "parts.width is missing, not int64",
        "channels.mine is int64, not a column of it",
    ):
        assert difference in str(caught.value)
    assert each_server.database.open_transactions() == []


def test_a_schema_of_another_program_is_refused(server: VastServer) -> None:
    with connect(server).transaction() as tx:
        schema = tx.bucket("b").create_schema("exr_metadata")
        schema.create_table("files", pa.schema([("file_id", pa.utf8())]))
    with pytest.raises(VASTDatabaseError, match="has a table files, but no schema_migrations"):
        VastStore(settings_of(server))
    with connect(server).transaction() as tx:
        assert tx.bucket("b").schema("exr_metadata").tablenames() == ["files"]


def test_a_newer_version_is_refused(server: VastServer) -> None:
    VastStore(settings_of(server)).close()
    alter(server, "schema_migrations", lambda table: insert(table, version_rows([(99, "of the future")])))
    with pytest.raises(VASTDatabaseError, match=r"version 99; this program knows .* use a newer exr-inspector"):
        VastStore(settings_of(server))


def test_migrations_back_and_forth(each_server: VastServer) -> None:
    """What a newer version added is gone, writing is refused, and then all is as it was."""
    with VastStore(settings_of(each_server)) as store:
        results = store.write_batch(documents(260))
        before = {name: stored(each_server, name) for name in SCHEMAS}
        assert migrate(store, OLDEST_VERSION) == (CURRENT_VERSION, OLDEST_VERSION, 0, ())
        assert store.version() == OLDEST_VERSION
        assert "frame_number" not in stored(each_server, "files")[0]
        assert [row["version"] for row in stored(each_server, "schema_migrations")] == [OLDEST_VERSION]
        with pytest.raises(VASTDatabaseError, match=f"of version {OLDEST_VERSION}, .* run migrate") as caught:
            store.write_batch(documents(1))
        assert caught.value.code == "store_schema"
    with VastStore(settings_of(each_server)) as store:
        report = migrate(store)
        assert (report.before, report.after, report.filled, report.unfilled) == (1, CURRENT_VERSION, 260, ())
        for name in SCHEMAS:
            again = sorted(stored(each_server, name), key=str)
            assert [{**row} for row in again] == sorted(({**row} for row in _reordered(before[name], again)), key=str)
        assert not any(result.inserted for result in store.write_batch(documents(260)))
        assert {result.file_id for result in results} == {row["file_id"] for row in stored(each_server, "files")}


def _reordered(rows: list[dict[str, Any]], like: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their columns in the other rows' order: an added column is the last one."""
    return [{name: row[name] for name in like[0]} for row in rows]


def test_rows_without_a_document_are_told(server: VastServer) -> None:
    given = document("/wide/raw.exr")
    given["attributes"]["parts"][0] += [{"name": f"n{n}", "type": "string", "value": "x" * 60_000} for n in range(4)]
    with VastStore(settings_of(server)) as store:
        store.write_batch([given, document("/wide/not.exr")])
        migrate(store, OLDEST_VERSION)
        report = migrate(store)
        assert report.filled == 1
        assert [path for path, _ in report.unfilled] == ["/wide/raw.exr"]
        report = migrate(store, reread=lambda _path: given)
        assert (report.filled, report.unfilled) == (1, ())


def test_a_migration_and_a_writer_keep_apart(server: VastServer) -> None:
    with VastStore(settings_of(server)) as store, VastStore(settings_of(server)) as other:
        store.write_batch(documents(2))
        with other.client.writing() as transaction:
            vast_ledger.lock(other.client, other.catalog, transaction, ["some key"], "a writer's")
            with pytest.raises(VASTDatabaseError) as caught:
                migrate(store, OLDEST_VERSION)
        assert (caught.value.code, store.version()) == ("store_conflict", CURRENT_VERSION)
        assert store.write_batch(documents(2))[0].status == "success"


def test_a_migration_that_fails_changes_nothing(server: VastServer) -> None:
    with VastStore(settings_of(server)) as store:
        store.write_batch(documents(2))
        migrate(store, OLDEST_VERSION)
        server.faults.add(op="update", kind="forbidden", table="files")
        with pytest.raises(VASTDatabaseError, match="denied"):
            migrate(store)
        assert store.version() == OLDEST_VERSION
        assert "frame_number" not in stored(server, "files")[0]
        assert server.database.open_transactions() == []
        assert migrate(store).filled == 2


def test_a_sorted_table_is_refused(server: VastServer) -> None:
    with connect(server).transaction() as tx:
        schema = tx.bucket("b").create_schema("exr_metadata")
        for name, columns in schemas_at().items():
            schema.create_table(name, columns, sorting_key=["last_inspected"] if name == "files" else [])
        insert(schema.table("schema_migrations"), version_rows([(MIGRATIONS[-1].version, "")]))
    with pytest.raises(VASTDatabaseError, match="files is sorted, partitioned or indexed by last_inspected"):
        VastStore(settings_of(server))


def test_a_bucket_is_not_made(server: VastServer) -> None:
    with pytest.raises(VASTDatabaseError, match="there is no such bucket: 'elsewhere'") as caught:
        VastStore(settings_of(server, bucket="elsewhere"))
    assert caught.value.code == "store_refused"


# ---- The ledger --------------------------------------------------------------------------------------------


def test_each_batch_leaves_a_line_in_the_ledger(server: VastServer) -> None:
    with VastStore(settings_of(server)) as store:
        store.write_batch(documents(3))
        store.write_batch(documents(4))
        lines = stored(server, "batch_ledger")
        assert [(line["inserted"], line["updated"]) for line in lines] == [(3, 0), (1, 3)]
        assert len({line["token"] for line in lines}) == 2
        assert vast_ledger.prune(store.client, store.catalog) == 0
        assert vast_ledger.prune(store.client, store.catalog, older_than=timedelta(seconds=-5)) == 2
        assert stored(server, "batch_ledger") == []


def test_shards_are_ascending_and_each_once() -> None:
    keys = [f"key {n}" for n in range(1000)]
    found = vast_ledger.shards_of(keys, 64)
    assert found == sorted(set(found)) == list(range(64))
    assert vast_ledger.shards_of(keys[:3], 65_536) == vast_ledger.shards_of([*keys[:3], *keys[:3]], 65_536)


def test_threads_have_stores_of_their_own(newest: tuple[VastServer, VastStore]) -> None:
    server, _ = newest
    results: list[str] = []

    def work(number: int) -> None:
        with VastStore(settings_of(server)) as store:
            results.extend(result.status for result in store.write_batch(documents(5, f"/thread/{number}")))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == ["success"] * 20


def stored(server: VastServer, table: str) -> list[dict[str, Any]]:
    return list(server.table("b", "exr_metadata", table).to_pylist())
