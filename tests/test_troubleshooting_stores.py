"""docs/TROUBLESHOOTING.md: messages of the catalog and of VAST DataBase, provoked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("vastdb")

import duckdb
import numpy as np
import pyarrow as pa

from exr_inspector import doctor, inspect, scan_readers
from exr_inspector.catalog import Catalog
from exr_inspector.errors import Problem
from exr_inspector.settings import Secret
from exr_inspector.stores import vast_store
from exr_inspector.stores.base import StoreError, WriteResult, write_halving
from exr_inspector.stores.duckdb import DuckDBStore
from exr_inspector.stores.vast_store import VastStore
from exr_inspector.tables import documents_to_tables
from tests.loopback import vast_rows
from tests.loopback.vast_client import connect
from tests.loopback.vast_server import VastServer
from tests.store_contract import document, documents
from tests.support.functions import settings_of
from tests.support.program_words import ROOT
from tests.support.troubleshooting import FIXTURES, Said, check, of_call, told

# ---- The catalog


def test_13_nan_in_a_table() -> None:
    tables = documents_to_tables([inspect(str(FIXTURES / "hand" / "special_floats.exr"))])
    (problem,) = (each for each in tables.problems[0] if each["attribute"] == "float_nan")
    check(13, Said(problem["message"], problem["code"]))


@pytest.fixture
def db(tmp_path: Path) -> str:
    path = str(tmp_path / "shows.duckdb")
    with DuckDBStore(path) as store:
        store.write_batch([inspect(str(FIXTURES / name)) for name in ("real/rich.exr", "damaged/empty.exr")])
    return path


def test_27_another_process_has_it(db: str) -> None:
    with DuckDBStore(db):
        done = subprocess.run(
            [sys.executable, "-m", "exr_inspector", "query", "coverage", "--db", db],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    check(27, done.stderr)


def test_30_it_is_newer(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect(db) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (3, 'more', now()::TIMESTAMP)")
    check(30, told(capsys, "query", "coverage", "--db", db))


def test_33_too_much_memory(db: str) -> None:
    with Catalog(db, memory_limit="64MB") as catalog:
        check(33, of_call(lambda: catalog.sql("SELECT list(n) FROM range(100000000000) AS t(n)").read_all()))


def test_34_35_names(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(34, told(capsys, "query", "coverage", "--param", "folder=/a", "--db", db))
    check(34, told(capsys, "query", "similar_renders", "--db", db))
    check(35, told(capsys, "similar", "shot.exr", "--db", db))
    check(35, told(capsys, "similar", str(FIXTURES / "damaged" / "empty.exr"), "--db", db))


def test_39_not_stored() -> None:
    stored: list[Any] = []

    def write(documents: Any) -> list[WriteResult]:
        if not documents[0]["errors"]:
            raise StoreError(Problem("store_failed", "the database failed: 'InternalError' 'no'"))
        stored.extend(documents)
        return [WriteResult.of_written("id", inserted=True)]

    write_halving(write, [inspect(str(FIXTURES / "real" / "rich.exr"))])
    (problem,) = stored[0]["errors"]
    check(39, Said(problem["message"], problem["code"]))


def test_38_a_reading_process_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(scan_readers, "_start", dying)
    task = scan_readers.Task([str(tmp_path / "a.exr")], "table", 1, as_tables=False)
    with scan_readers.ReadingProcesses(1) as readers:
        found: Any = readers.submit(task).result()
    (path, message) = found[0].messages[0]
    check(38, f"{path}: {message}")


# ---- VAST DataBase


@pytest.fixture(scope="module")
def vast() -> Iterator[VastServer]:
    with VastServer(buckets=["b"]) as server:
        yield server
        server.faults.clear()


def findings(server: VastServer, **changes: Any) -> list[str]:
    """What doctor finds, as it prints it, but for what is well."""
    found = doctor.check_vast(settings_of(server, **changes))
    return [f"{each.verdict:8} {each.check:23} {each.message}" for each in found if each.verdict != doctor.OK]


def test_46_47_49_53_doctor(vast: VastServer) -> None:
    check(46, *findings(vast, access_key=Secret("not-known")), *findings(vast, secret_key=Secret("not-the-right-one")))
    check(47, *findings(vast, bucket="elsewhere"))
    check(53, *findings(vast, schema="not_yet"))
    with connect(vast).transaction() as tx:
        tx.bucket("b").create_schema("other").create_table("files", pa.schema([("a", pa.utf8())]))
    check(49, of_call(lambda: VastStore(settings_of(vast, schema="other"))))


def test_54_versions(vast: VastServer) -> None:
    known = vast.version
    try:
        for version in ((5, 7), (5, 0)):
            vast.version = version
            check(54, findings(vast)[0])
    finally:
        vast.version = known


def test_48_56_damage(vast: VastServer) -> None:
    schema = "damaged"
    with VastStore(settings_of(vast, schema=schema)) as store:
        with connect(vast).transaction() as tx:
            table = tx.bucket("b").schema(schema).table("lock_shards")
            rows = table.select(columns=["shard"], predicate=table["shard"] > 0, internal_row_id=True).read_all()
            table.delete(rows.select(["$row_id"]))
        check(56, *findings(vast, schema=schema), of_call(lambda: store.write_batch(documents(2))))
    with connect(vast).transaction() as tx:
        tx.bucket("b").schema(schema).table("files").drop_column(pa.schema([("etag", pa.utf8())]))
    check(48, *findings(vast, schema=schema))


def test_55_a_cluster_that_is_not_safe(vast: VastServer, monkeypatch: pytest.MonkeyPatch) -> None:
    VastStore(settings_of(vast, schema="unsafe")).close()

    def claim(log: Any, rows: Any, claim: Any) -> Any:
        view = log.view(claim.snapshot, claim.writes)
        return view.positions[np.searchsorted(view.row_ids, rows)]

    monkeypatch.setattr(vast_rows.RowLog, "_claim", claim)
    check(55, *findings(vast, schema="unsafe"))


FAULTS = [
    (50, [("insert", "conflict")]),
    (51, [("commit", "drop_after"), ("rollback", "drop_before"), ("begin", "drop_before")]),
    (52, [("begin", "slow_down")]),
    (52, [("begin", "bad_gateway")]),
]


@pytest.mark.parametrize(("number", "faults"), FAULTS)
def test_faults_of_the_database(
    number: int, faults: list[tuple[str, str]], vast: VastServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 1)
    with VastStore(settings_of(vast, schema="faulty")) as store:
        try:
            for op, kind in faults:
                vast.faults.add(op=op, kind=kind, times=None, after=int(op == "begin" and number == 51))
            check(number, of_call(lambda: store.write_batch([document()])))
        finally:
            vast.faults.clear()
