"""The embedded catalog: the contract of all stores, and what is DuckDB's own."""

# ruff: noqa: S608 - the tests' own names

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from exr_inspector.errors import Problem
from exr_inspector.stores import duckdb_connection
from exr_inspector.stores.base import Document, StoreError, WriteResult, write_halving
from exr_inspector.stores.duckdb import DuckDBStore
from exr_inspector.stores.migrations import CURRENT_VERSION
from exr_inspector.tables import TABLES
from tests.store_contract import Row, Rows, StoreContract, document, documents

ROOT = Path(__file__).parent.parent


class TestContract(StoreContract):
    """The contract, on a file."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        return str(tmp_path / "catalog.duckdb")

    @pytest.fixture
    def open_store(self, path: str) -> Iterator[Callable[[], DuckDBStore]]:
        opened: list[DuckDBStore] = []

        def open_() -> DuckDBStore:
            opened.append(DuckDBStore(path))
            return opened[-1]

        yield open_
        for store in opened:
            store.close()

    @pytest.fixture
    def rows(self, path: str) -> Rows:
        def read(table: str) -> list[Row]:
            with duckdb.connect(path) as connection:  # the same database: DuckDB shares it within a process
                found: list[Row] = (
                    connection.execute(f"SELECT * FROM {table} ORDER BY rowid").to_arrow_table().to_pylist()
                )
                return found

        return read

    @pytest.fixture
    def broken(self, path: str) -> Callable[[], AbstractContextManager[None]]:
        @contextmanager
        def break_() -> Iterator[None]:
            with duckdb.connect(path) as connection:
                connection.execute("ALTER TABLE attributes RENAME TO hidden")
                yield
                connection.execute("ALTER TABLE hidden RENAME TO attributes")

        return break_


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "catalog.duckdb")


def test_in_memory_is_a_store_too() -> None:
    with DuckDBStore() as store:
        store.write_batch(documents(3))
        assert store.connection.execute("SELECT count(*) FROM current_files").fetchone() == (3,)


def test_what_was_stored_is_there_after_opening_again(path: str) -> None:
    for expected in (True, False):
        with DuckDBStore(path) as store:
            assert store.write_batch([document()])[0].inserted is expected


def test_every_column_is_described(path: str) -> None:
    with DuckDBStore(path) as store:
        found = store.connection.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE schema_name = 'main'"
        ).fetchall()
    described = {(table, name): comment for table, name, comment in found}
    for table, columns in TABLES.items():
        for column in columns:
            assert described[table, column.name] == column.description


def test_current_files_are_the_latest_rows(path: str) -> None:
    with DuckDBStore(path) as store:
        store.write_batch([document(owner="ada"), *documents(4)[1:]])
        store.write_batch([document(owner="eve", size_bytes=5)])
        sql = "SELECT size_bytes FROM current_files WHERE file_path = '/shows/abc/beauty.1001.exr'"
        assert store.connection.execute(sql).fetchall() == [(5,)]
        store.write_batch([document(owner="ada", size_bytes=6)])  # the first render is back
        assert store.connection.execute(sql).fetchall() == [(6,)]
        assert store.connection.execute("SELECT count(*) FROM current_files").fetchone() == (4,)
        assert store.connection.execute("SELECT count(*) FROM files").fetchone() == (5,)


def test_two_headers_of_a_path_in_one_batch_have_one_current_row(path: str) -> None:
    with DuckDBStore(path) as store:
        store.write_batch(
            [
                document(owner="ada", mtime="2026-01-02T00:00:00Z"),
                document(owner="eve", mtime="2026-01-01T00:00:00Z"),
                document(owner="bob", mtime=None),
            ]
        )
        (known,) = store.known_files(["/shows/abc/beauty.1001.exr"]).values()
        found = store.connection.execute("SELECT mtime FROM current_files").fetchall()
        assert found == [(known.mtime,)]
        assert known.mtime is not None
        assert known.mtime.day == 2


def test_readers_do_not_write(path: str) -> None:
    with DuckDBStore(path) as store:
        store.write_batch([document()])
    with DuckDBStore(path, read_only=True) as reader, DuckDBStore(path, read_only=True) as other:
        assert reader.known_files(["/shows/abc/beauty.1001.exr"]) == other.known_files(["/shows/abc/beauty.1001.exr"])
        with pytest.raises(StoreError, match="read-only"):
            reader.write_batch([document()])


def test_a_missing_catalog_is_not_made_by_a_reader(path: str) -> None:
    with pytest.raises(StoreError, match="there is no catalog"):
        DuckDBStore(path, read_only=True)
    assert not os.path.exists(path)


def test_a_newer_catalog_is_refused(path: str) -> None:
    with DuckDBStore(path) as store:
        store.connection.execute("INSERT INTO schema_migrations VALUES (99, 'tomorrow', now()::TIMESTAMP)")
    with pytest.raises(StoreError, match=f"version 99; this program knows versions up to {CURRENT_VERSION}") as caught:
        DuckDBStore(path)
    assert caught.value.code == "store_schema"


def test_another_schema_is_refused_with_the_difference(path: str) -> None:
    with DuckDBStore(path) as store:
        store.connection.execute("ALTER TABLE parts ALTER width TYPE VARCHAR")
        store.connection.execute("ALTER TABLE parts DROP height")
        store.connection.execute("ALTER TABLE channels ADD COLUMN mine INTEGER")
    with pytest.raises(StoreError) as caught:
        DuckDBStore(path)
    assert caught.value.code == "store_schema"
    for difference in ("parts.width is VARCHAR, not BIGINT", "parts.height is missing", "channels.mine is INTEGER"):
        assert difference in str(caught.value)


def test_foreign_tables_of_the_same_name_are_left_alone(path: str) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE files (a INTEGER)")
    with pytest.raises(StoreError, match="not a catalog"):
        DuckDBStore(path)


def test_a_file_that_is_no_database_is_left_alone(path: str) -> None:
    Path(path).write_bytes(b"something else" * 1000)
    with pytest.raises(StoreError) as caught:
        DuckDBStore(path)
    assert caught.value.code == "store_failed"
    assert Path(path).read_bytes() == b"something else" * 1000


def test_a_place_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        DuckDBStore(tmp_path / "no" / "such" / "folder" / "catalog.duckdb")


_HOLDER = """
import sys
from exr_inspector.stores.duckdb import DuckDBStore
with DuckDBStore(sys.argv[1]) as store:
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("read_only", [False, True])
def test_another_process_with_the_catalog_is_named(path: str, read_only: bool) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreError, match=f"process {holder.pid} has the catalog .* open") as caught:
            DuckDBStore(path, read_only=read_only)
        holder.communicate("")
    assert (caught.value.code, caught.value.retryable) == ("store_busy", True)
    DuckDBStore(path).close()


def test_look_ups_use_the_index(path: str) -> None:
    with DuckDBStore(path) as store:
        results = store.write_batch(documents(3000))
        sql = f"EXPLAIN ANALYZE SELECT inspector_version FROM files WHERE file_id IN ('{results[7].file_id}', 'x')"
        assert "Index Scan" in store.connection.execute(sql).fetchall()[0][1]


def test_a_failure_within_a_commit_leaves_a_usable_store(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with DuckDBStore(path) as store:
        store.write_batch(documents(2))

        def fail(*_arguments: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(DuckDBStore, "_delete_children", fail)
            with pytest.raises(KeyboardInterrupt):
                store.write_batch(documents(4))
        assert [result.inserted for result in store.write_batch(documents(4))] == [False, False, True, True]


def test_what_may_pass_is_raised_and_not_halved() -> None:
    calls = 0

    def write(_batch: Sequence[Document]) -> list[WriteResult]:
        nonlocal calls
        calls += 1
        raise StoreError(Problem("store_unreachable", "no answer"))

    with pytest.raises(StoreError):
        write_halving(write, documents(20))
    assert calls == 1


def memory_limit_mib(store: DuckDBStore) -> float:
    (limit,) = store.connection.execute("SELECT current_setting('memory_limit')").fetchone()
    number, unit = limit.split()
    assert unit == "MiB"
    return float(number)


def test_cores_and_memory_can_be_bounded(path: str) -> None:
    with DuckDBStore(path, threads=1, memory_mib=200) as store:
        store.write_batch(documents(2000))
        assert store.connection.execute("SELECT current_setting('threads')").fetchone() == (1,)
        assert 200 < memory_limit_mib(store) < 250


def test_memory_grows_with_the_index_of_the_files(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index stays in memory: a limit that did not grow would stop a scan of millions of files."""
    monkeypatch.setattr(duckdb_connection, "_MORE_FILES", 500)
    monkeypatch.setattr(duckdb_connection, "_INDEX_BYTES", 1 << 19)
    with DuckDBStore(path, memory_mib=100) as store:
        assert memory_limit_mib(store) == 100 + 500 / 2
        store.write_batch(documents(400))
        assert memory_limit_mib(store) == 100 + 500 / 2
        store.write_batch(documents(800)[400:])
        assert memory_limit_mib(store) == 100 + (400 + 400 + 500) / 2
    with DuckDBStore(path, memory_mib=100) as store:
        assert memory_limit_mib(store) == 100 + (800 + 500) / 2


class TestAlone:
    """A store that shares the catalog with no other connection of its process, as a scan's."""

    def test_row_groups_are_small(self, path: str) -> None:
        with DuckDBStore(path, is_alone=True) as store:
            store.write_batch(documents(5000))
            store.write_batch(documents(10_000)[5000:])
        with duckdb.connect(path) as connection:
            groups = "SELECT max(row_group_id) + 1 FROM pragma_storage_info('files')"
            assert connection.execute(groups).fetchone() == (2,)  # of 8,192 rows at most

    def test_others_read_it_afterwards(self, path: str) -> None:
        with DuckDBStore(path, is_alone=True) as store:
            store.write_batch(documents(3))
            assert [len(paths) for paths in store.paths_below("/")] == [3]
        for how in ({}, {"read_only": True}, {"is_alone": True}):
            with DuckDBStore(path, **how) as store:
                assert store.connection.execute("SELECT count(*) FROM current_files").fetchone() == (3,)

    @pytest.mark.parametrize("first", [{}, {"is_alone": True}])
    def test_it_is_alone(self, path: str, first: dict[str, bool]) -> None:
        with DuckDBStore(path, **first), pytest.raises(StoreError) as caught:
            DuckDBStore(path, is_alone=True)
        assert caught.value.code == "store_busy"
        DuckDBStore(path, is_alone=True).close()

    def test_quotes_in_the_path(self, tmp_path: Path) -> None:
        with DuckDBStore(tmp_path / 'it\'s "my" catalog', is_alone=True) as store:
            store.write_batch(documents(1))
            assert list(store.paths_below("/nowhere")) == []
