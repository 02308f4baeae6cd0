"""The loopback VAST server, through the real `vastdb` client: connecting, schemas, counters, life."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

vastdb = pytest.importorskip("vastdb")

import requests  # noqa: E402 - comes with vastdb
from vastdb import errors  # noqa: E402
from vastdb.config import SessionConfig  # noqa: E402
from vastdb.table_metadata import TableMetadata  # noqa: E402

from tests.loopback.vast_client import (  # noqa: E402
    SCHEMA,
    connect,
    provision,
    read,
    rows_of,
    stored,
)
from tests.loopback.vast_server import VastServer  # noqa: E402

VECTOR = pa.list_(pa.field("item", pa.float32(), nullable=False), 8)
VERSIONS = [(5, 4), (5, 5)]


@pytest.fixture(params=VERSIONS, ids=["v5.4", "v5.5"])
def server(request: pytest.FixtureRequest) -> Iterator[VastServer]:
    with VastServer(version=request.param, buckets=["b"]) as running:
        yield running


@pytest.fixture
def newest() -> Iterator[VastServer]:
    with VastServer(buckets=["b"]) as running:
        yield running


# Connecting


def test_version(server: VastServer) -> None:
    assert connect(server).api.vast_version[:2] == server.version


def test_starts_quickly() -> None:
    begin = time.perf_counter()
    with VastServer() as running:
        assert running.endpoint.startswith("http://127.0.0.1:")
        assert time.perf_counter() - begin < 0.3


@pytest.mark.parametrize("wrong", [{"access": "nobody"}, {"secret": "guess"}])
def test_wrong_credentials(newest: VastServer, wrong: dict[str, str]) -> None:
    with pytest.raises(errors.Forbidden):
        connect(newest, **wrong)


def test_unsigned_request(newest: VastServer) -> None:
    answer = requests.get(f"{newest.endpoint}/?transaction", headers={"tabular-get-vast-version": "true"}, timeout=5)
    assert (answer.status_code, "AccessDenied" in answer.text) == (403, True)


def test_tampered_body(newest: VastServer) -> None:
    """A signature covers the body."""
    session = connect(newest).api._session_create(connect(newest).api.next_endpoint())
    request = session.prepare_request(requests.Request("POST", f"{newest.endpoint}/b/s?schema", data=b"signed"))
    request.body = b"forged"
    assert session.send(request, timeout=5).status_code == 403


def test_missing_bucket(server: VastServer) -> None:
    with pytest.raises(errors.MissingBucket), connect(server).transaction() as tx:
        tx.bucket("nowhere")


def test_unknown_operation(newest: VastServer) -> None:
    assert requests.put(f"{newest.endpoint}/b/s/t?nonsense", timeout=5).status_code == 405


# Schemas and tables


def test_column_metadata_comes_with_5_5(server: VastServer) -> None:
    session = connect(server)
    schema = load_schema(session, provision(session))
    assert [column.metadata is not None for column in schema] == [server.version >= (5, 5)] * 2
    assert schema.equals(SCHEMA)
    assert schema.equals(SCHEMA, check_metadata=True) == (server.version < (5, 5))


def load_schema(session: Any, metadata: TableMetadata) -> pa.Schema:
    with session.transaction() as tx:
        table = tx.table_from_metadata(metadata)
        table.reload_schema()
        return table.arrow_schema


def test_own_field_metadata_is_not_kept(server: VastServer) -> None:
    session = connect(server)
    described = pa.schema([pa.field("x", pa.int64(), metadata={"description": "a number"})])
    with session.transaction() as tx:
        table = tx.bucket("b").create_schema("s").create_table("t", described)
        assert b"description" not in (table.arrow_schema.field("x").metadata or {})


def test_columns_change(server: VastServer) -> None:
    session = connect(server)
    provision(session, [("a", 1)])
    with session.transaction() as tx:
        table = tx.bucket("b").schema("s").table("t")
        table.add_column(pa.schema([("extra", VECTOR), ("note", pa.utf8())]))
        table.rename_column("number", "count")
        table.drop_column(pa.schema([("note", pa.utf8())]))
    with session.transaction() as tx:
        table = tx.bucket("b").schema("s").table("t")
        assert read(table) == [{"key": "a", "count": 1, "extra": None}]


def test_tables_and_schemas_are_renamed_and_dropped(server: VastServer) -> None:
    session = connect(server)
    provision(session, [("a", 1)])
    with session.transaction() as tx:
        tx.bucket("b").schema("s").table("t").rename("u")
        tx.bucket("b").schema("s").rename("r")
    assert server.table("b", "r", "u").num_rows == 1
    with session.transaction() as tx:
        tx.bucket("b").schema("r").table("u").drop()
        tx.bucket("b").schema("r").drop()
        assert list(tx.bucket("b").schemas()) == []


def test_schema_with_tables_is_not_dropped(server: VastServer) -> None:
    session = connect(server)
    provision(session)
    with pytest.raises(errors.Conflict), session.transaction() as tx:
        tx.bucket("b").schema("s").drop()


def test_existing_table_is_returned_whatever_its_schema(server: VastServer) -> None:
    session = connect(server)
    provision(session)
    with session.transaction() as tx:
        other = pa.schema([("other", pa.int8())])
        table = tx.bucket("b").schema("s").create_table("t", other, fail_if_exists=False)
        assert table.arrow_schema.names == SCHEMA.names


@pytest.mark.parametrize(
    "column",
    [
        pa.field("x", pa.int64(), nullable=False),
        pa.field("x", pa.list_(pa.float32(), 4)),
        pa.field("x", pa.large_string()),
        pa.field("x", pa.float16()),
    ],
    ids=str,
)
def test_columns_that_no_table_takes(newest: VastServer, column: pa.Field) -> None:
    with pytest.raises(errors.NotSupportedSchema), connect(newest).transaction() as tx:
        tx.bucket("b").create_schema("s").create_table("t", pa.schema([column]))


@pytest.mark.parametrize(
    "sent",
    [
        {"key": pa.array([1])},
        {"unknown": pa.array(["a"])},
    ],
    ids=["a number for a text", "an unknown column"],
)
def test_rows_that_do_not_fit(newest: VastServer, sent: dict[str, pa.Array]) -> None:
    session = connect(newest)
    metadata = provision(session)
    with pytest.raises((errors.BadRequest, errors.NotFound)), session.transaction() as tx:
        tx.table_from_metadata(metadata).insert(pa.table(sent))


def test_cells_over_the_limit(newest: VastServer) -> None:
    session = connect(newest)
    metadata = provision(session)
    with pytest.raises(errors.BadRequest), session.transaction() as tx:
        tx.table_from_metadata(metadata).insert(rows_of([("x" * (126 * 1024 + 1), 1)]))
    assert stored(newest) == {}


# Counting, addresses, life


def test_failure_of_the_server_itself_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="loopback server failed"), VastServer(buckets=["b"]) as running:
        monkeypatch.setattr(running.database, "begin", lambda: 1 // 0)
        with pytest.raises(errors.InternalServerError), connect(running).transaction():
            pass


def test_requests_are_counted(newest: VastServer) -> None:
    session = connect(newest)
    metadata = provision(session)
    with newest.counting() as requests_made, session.transaction() as tx:
        tx.table_from_metadata(metadata).insert(rows_of([("a", 1)]))
    assert requests_made == {"begin": 1, "insert": 1, "commit": 1}
    assert newest.counts_by_table()["insert", "t"] == 1
    newest.reset_counts()
    assert newest.counts() == {}


def test_selects_go_where_the_statistics_say() -> None:
    with VastServer(buckets=["b"], data_addresses=["127.0.0.2"]) as server:
        pinned = connect(server)
        metadata = provision(pinned, [("a", 1)])
        with pinned.transaction() as tx:
            assert len(read(tx.table_from_metadata(metadata))) == 1
        with (
            pytest.raises(errors.ConnectionError),
            connect(server, config=SessionConfig()).transaction() as tx,
        ):
            read(tx.table_from_metadata(metadata))


def test_server_restarts_with_its_data(newest: VastServer) -> None:
    session = connect(newest)
    metadata = provision(session, [("a", 1)])
    newest.stop()
    with pytest.raises(errors.ConnectionError), session.transaction():
        pass
    newest.start()
    with session.transaction() as tx:
        assert read(tx.table_from_metadata(metadata)) == [{"key": "a", "number": 1}]


@pytest.mark.parametrize("end", ["input", "signal", "time"])
def test_as_a_process(end: str) -> None:
    command = [sys.executable, "-m", "tests.loopback.vast_server", "--bucket", "b", "--version", "5.4"]
    command += {"input": ["--until-input-ends"], "signal": [], "time": ["--max-seconds", "0.5"]}[end]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        assert endpoint.startswith("http://127.0.0.1:")
        if end == "input":
            session = vastdb.connect(endpoint=endpoint, access="loopback-access", secret="loopback-secret")
            assert session.api.vast_version[:2] == (5, 4)
            process.stdin.close()
        if end == "signal":
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
