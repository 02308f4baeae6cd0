"""Rows in the loopback VAST server, through the real `vastdb` client: types, filters, row ids, pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

vastdb = pytest.importorskip("vastdb")

from vastdb import errors  # noqa: E402
from vastdb._internal import VectorIndexSpec  # noqa: E402
from vastdb.config import QueryConfig  # noqa: E402

from tests.loopback import vast_select  # noqa: E402
from tests.loopback.vast_client import (  # noqa: E402
    SCHEMA,
    connect,
    delete_key,
    provision,
    read,
    rows_of,
    set_number,
    stored,
)
from tests.loopback.vast_server import VastServer  # noqa: E402

VECTOR = pa.list_(pa.field("item", pa.float32(), nullable=False), 8)
EVERY_TYPE = pa.schema(
    [
        ("text", pa.utf8()),
        ("flag", pa.bool_()),
        ("small", pa.int32()),
        ("large", pa.int64()),
        ("single", pa.float32()),
        ("double", pa.float64()),
        ("when", pa.timestamp("us")),
        ("vector", VECTOR),
        ("bytes", pa.binary()),
        ("day", pa.date32()),
        ("words", pa.list_(pa.utf8())),
        ("pair", pa.struct([("a", pa.int16()), ("b", pa.utf8())])),
        ("map", pa.map_(pa.utf8(), pa.float64())),
    ]
)
MOMENT = dt.datetime(2024, 2, 29, 12, 30, 15, 123456)
EVERY_ROW = [
    {
        "text": "ä/b",
        "flag": True,
        "small": -1,
        "large": 2**62,
        "single": 0.5,
        "double": 1e300,
        "when": MOMENT,
        "vector": [float(i) for i in range(8)],
        "bytes": b"\0\xff",
        "day": dt.date(1970, 1, 2),
        "words": ["x", None],
        "pair": {"a": 1, "b": None},
        "map": [("k", 1.0), ("l", None)],
    },
    dict.fromkeys(EVERY_TYPE.names),
    {
        "text": "",
        "flag": False,
        "small": 2**31 - 1,
        "large": -(2**63),
        "single": -0.0,
        "double": 0.0,
        "when": dt.datetime(1900, 1, 1),
        "vector": [0.0] * 8,
        "bytes": b"",
        "day": dt.date(9999, 12, 31),
        "words": [],
        "pair": {"a": None, "b": "y"},
        "map": [],
    },
]

VERSIONS = [(5, 4), (5, 5)]


@pytest.fixture(params=VERSIONS, ids=["v5.4", "v5.5"])
def server(request: pytest.FixtureRequest) -> Iterator[VastServer]:
    with VastServer(version=request.param, buckets=["b"]) as running:
        yield running


@pytest.fixture
def newest() -> Iterator[VastServer]:
    with VastServer(buckets=["b"]) as running:
        yield running


def test_every_type_round_trips(server: VastServer) -> None:
    sent = pa.Table.from_pylist(EVERY_ROW, schema=EVERY_TYPE)
    with connect(server).transaction() as tx:
        table = tx.bucket("b").create_schema("s").create_table("t", EVERY_TYPE)
        table.insert(sent)
        assert table.select().read_all() == sent
        assert table.select(columns=["map", "vector"]).read_all() == sent.select(["map", "vector"])
        assert table.select(columns=[]).read_all().num_rows == 3
    assert server.table("b", "s", "t") == sent


def test_empty_table(server: VastServer) -> None:
    with connect(server).transaction() as tx:
        table = tx.bucket("b").create_schema("s").create_table("t", EVERY_TYPE)
        assert table.select().read_all() == EVERY_TYPE.empty_table()
        assert table.select(predicate=table["large"] > 1, internal_row_id=True).read_all().num_rows == 0


FILTERS: dict[str, tuple[Any, str]] = {
    "equal": (lambda t: t["key"] == "bb", "b"),
    "not equal": (lambda t: t["key"] != "bb", "acd"),
    "range": (lambda t: (t["number"] >= 2) & (t["number"] < 4), "bc"),
    "between": (lambda t: t["number"].between(1, 2), "ab"),
    "isin text": (lambda t: t["key"].isin(["a", "dddd", "zz"]), "ad"),
    "isin numbers": (lambda t: t["number"].isin([3, 1]), "ac"),
    "or of one column": (lambda t: (t["number"] == 1) | (t["number"] > 2), "ac"),
    "null": (lambda t: t["number"].isnull(), "d"),
    "not null": (lambda t: ~t["number"].isnull(), "abc"),
    "null or equal": (lambda t: t["number"].isnull() | (t["number"] == 1), "ad"),
    "prefix": (lambda t: t["key"].startswith("c"), "c"),
    "substring": (lambda t: t["key"].contains("b"), "b"),
    "and of columns": (lambda t: (t["key"] > "a") & (t["number"] <= 3) & (t["key"] < "c"), "b"),
    "nothing": (lambda t: t["key"] == "?", ""),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(newest: VastServer, name: str) -> None:
    predicate, expected = FILTERS[name]
    session = connect(newest)
    provision(session, [("a", 1), ("bb", 2), ("ccc", 3), ("dddd", None)])
    with session.transaction() as tx:
        table = tx.bucket("b").schema("s").table("t")
        assert "".join(row["key"][0] for row in read(table, "key", predicate=predicate(table))) == expected


def test_update_and_delete(server: VastServer) -> None:
    session = connect(server)
    metadata = provision(session, [("a", 1), ("b", 2), ("c", 3)])
    with session.transaction() as tx:
        table = tx.table_from_metadata(metadata)
        set_number(table, "b", 20)
        set_number(table, "b", 21)
        delete_key(table, "a")
        table.insert(rows_of([("d", 4)]))
        assert read(table) == [
            {"key": "b", "number": 21},
            {"key": "c", "number": 3},
            {"key": "d", "number": 4},
        ]
    assert stored(server) == {"b": 21, "c": 3, "d": 4}


def test_row_that_is_not_there(newest: VastServer) -> None:
    session = connect(newest)
    metadata = provision(session, [("a", 1)])
    with pytest.raises(errors.BadRequest), session.transaction() as tx:
        tx.table_from_metadata(metadata).update(pa.table({"$row_id": pa.array([7], pa.uint64()), "number": [1]}))


def test_row_ids_of_sorted_tables_are_decimals(server: VastServer) -> None:
    session = connect(server)
    metadata = provision(session, [("b", 2), ("a", 1)], sorting_key=["key"])
    with session.transaction() as tx:
        table = tx.table_from_metadata(metadata)
        found = table.select(columns=["number"], predicate=table["key"] == "a", internal_row_id=True).read_all()
        assert found["$row_id"].type == pa.decimal128(38, 0)
        assert int(found["$row_id"][0].as_py()) >= 1 << 64
        set_number(table, "a", 10)
        with pytest.raises(errors.BadRequest):
            table.update(pa.table({"$row_id": found["$row_id"], "key": ["z"]}))
        delete_key(table, "b")
    assert stored(server) == {"a": 10}


def test_vector_index_needs_5_5(server: VastServer) -> None:
    schema = pa.schema([("id", pa.int64()), ("embedding", VECTOR)])
    with connect(server).transaction() as tx:
        home = tx.bucket("b").create_schema("s")
        if server.version < (5, 5):
            with pytest.raises(errors.BadRequest):
                home.create_table("t", schema, vector_index=VectorIndexSpec("embedding", "ip"))
            return
        table = home.create_table("t", schema, vector_index=VectorIndexSpec("embedding", "ip"))
        assert table.vector_index.sql_distance_function == "array_inner_product"
        table.insert(pa.table({"id": [1], "embedding": [[1.0] * 8]}, schema=schema))
        assert table.select(internal_row_id=True).read_all()["$row_id"].type == pa.decimal128(38, 0)


def test_limit(newest: VastServer) -> None:
    session = connect(newest)
    metadata = provision(session, [(str(i), i) for i in range(1000)])
    with session.transaction() as tx:
        table = tx.table_from_metadata(metadata)
        assert [row["number"] for row in read(table, "number", limit_rows=3)] == [0, 1, 2]
        assert len(read(table, "number", limit_rows=0)) == 1000


def test_many_rows_over_splits_and_pages(newest: VastServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vast_select, "ROWS_PER_GROUP", 100)
    monkeypatch.setattr(vast_select, "MAX_FIBER_BYTES", 2000)
    session = connect(newest)
    metadata = provision(session, [(str(i), i) for i in range(5000)])
    config = QueryConfig(num_splits=3, num_sub_splits=2, num_row_groups_per_sub_split=2, limit_rows_per_sub_split=70)
    with session.transaction() as tx:
        table = tx.table_from_metadata(metadata)
        found = read(table, "number", predicate=table["number"] >= 10, config=config)
    assert sorted(row["number"] for row in found) == list(range(10, 5000))


def test_lists_come_in_pages(server: VastServer) -> None:
    session = connect(server)
    with session.transaction() as tx:
        home = tx.bucket("b").create_schema("s")
        for i in range(5):
            home.create_table(f"t{i}", SCHEMA)
        with server.counting() as requests_made:
            assert home.tablenames(page_size=2) == [f"t{i}" for i in range(5)]
        assert requests_made == {"list_tables": 3}


def test_wide_batch_becomes_insert_and_updates(newest: VastServer) -> None:
    """Over about 4.9 MiB the SDK splits a batch by columns."""
    schema = pa.schema([("key", pa.utf8()), ("x", pa.utf8()), ("y", pa.utf8())])
    batch = pa.table({name: [str(i) * 100_000 for i in range(10)] * 2 for name in schema.names}, schema=schema)
    with connect(newest).transaction() as tx:
        table = tx.bucket("b").create_schema("s").create_table("t", schema)
        with newest.counting() as requests_made:
            table.insert(batch)
        assert set(requests_made) == {"insert", "update"}
    assert newest.table("b", "s", "t") == batch
