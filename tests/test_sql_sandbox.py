"""`--sql` cannot write, read files, attach, load or change anything, and cannot take all the memory there is."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exr_inspector.catalog import Catalog
from exr_inspector.catalog_sandbox import MAX_SQL_CHARACTERS
from exr_inspector.stores.base import StoreError
from exr_inspector.stores.duckdb import DuckDBStore

ROOT = Path(__file__).parent.parent
CONTENT = "stands-in-a-file"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalog, and beside it files that nobody may read."""
    DuckDBStore(tmp_path / "catalog.duckdb").close()
    DuckDBStore(tmp_path / "other.duckdb").close()
    for name in ("data.csv", "data.json", "data.parquet", "data.txt"):
        (tmp_path / name).write_text(f"a,b\n{CONTENT},2\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    with Catalog(folder / "catalog.duckdb") as catalog:
        yield catalog


READING = (
    "SELECT * FROM read_csv('{0}/data.csv')",
    "SELECT * FROM read_csv_auto('{0}/data.csv')",
    "SELECT * FROM read_text('{0}/data.txt')",
    "SELECT * FROM read_blob('{0}/data.txt')",
    "SELECT * FROM read_json('{0}/data.json')",
    "SELECT * FROM read_json_objects('{0}/data.json')",
    "SELECT * FROM read_ndjson('{0}/data.json')",
    "SELECT * FROM read_parquet('{0}/data.parquet')",
    "SELECT * FROM parquet_scan('{0}/data.parquet')",
    "SELECT * FROM parquet_metadata('{0}/data.parquet')",
    "SELECT * FROM sniff_csv('{0}/data.csv')",
    "SELECT * FROM read_duckdb('{0}/other.duckdb')",
    "SELECT * FROM glob('{0}/*')",
    "SELECT (SELECT max(file) FROM glob('{0}/*'))",
    "SELECT 1 WHERE EXISTS (FROM read_text('{0}/data.txt'))",
    "WITH x AS (FROM read_text('{0}/data.txt')) SELECT * FROM x",
    "SELECT * FROM '{0}/data.csv'",
    'SELECT * FROM "{0}/data.csv"',
    "FROM '{0}/data.parquet'",
    "SELECT * FROM '{0}/other.duckdb'",
    "SELECT * FROM query('SELECT * FROM read_text(''{0}/data.txt'')')",
    "SELECT * FROM query_table('{0}/data.csv')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''{0}/data.txt'')'))",
    "SELECT getenv('HOME')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM folder",  # a Python variable's name
)
WRITING = (
    "COPY files TO '{0}/made'",
    "COPY (SELECT 1) TO '{0}/made'",
    "COPY files FROM '{0}/data.csv'",
    "EXPORT DATABASE '{0}/made'",
    "IMPORT DATABASE '{0}'",
    "ATTACH '{0}/made'",
    "ATTACH '{0}/other.duckdb' AS o",
    "ATTACH ':memory:' AS o",
    "DETACH catalog",
    "INSTALL httpfs",
    "INSTALL httpfs FROM '{0}'",
    "LOAD httpfs",
    "LOAD '{0}/made'",
    "INSERT INTO files (file_id) VALUES ('x')",
    "UPDATE files SET etag = 'x'",
    "DELETE FROM files",
    "TRUNCATE files",
    "MERGE INTO files USING files AS f ON false WHEN NOT MATCHED THEN INSERT",
    "WITH x AS (SELECT 1) INSERT INTO files SELECT * FROM x",
    "CREATE TABLE t (a INTEGER)",
    "CREATE TEMP TABLE t (a INTEGER)",
    "CREATE OR REPLACE VIEW current_files AS SELECT 1",
    "CREATE TEMP MACRO f(x) AS x",
    "CREATE CONTENT (TYPE s3)",
    "ALTER TABLE files ADD COLUMN x INTEGER",
    "DROP TABLE files",
    "COMMENT ON TABLE files IS 'x'",
    "CHECKPOINT",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM force_checkpoint()",
    "VACUUM",
    "ANALYZE",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{0}/made')",
    "SELECT * FROM main.enable_logging(storage = 'file', storage_path = '{0}/made')",
    "SELECT * FROM (SELECT 1) AS a, LATERAL (SELECT * FROM enable_logging()) AS b",
    "CALL enable_logging()",
    "SELECT * FROM enable_profiling()",
    "SELECT write_log('x')",
    "SET threads = 64",
    "SET GLOBAL memory_limit = '100GB'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET memory_limit",
    "SET VARIABLE x = 1",
    "PRAGMA threads = 64",
    "PRAGMA table_info('files')",
    "PRAGMA enable_profiling",
    "PRAGMA import_database('{0}')",
    "USE memory",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN ANALYZE DELETE FROM files",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY files TO '{0}/made'",
    "",
    "-- nothing",
    "SELEC 1",
)


@pytest.mark.parametrize("sql", READING + WRITING)
def test_it_fails(sql: str, catalog: Catalog, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(StoreError) as failed:
        catalog.sql(sql.format(folder.as_posix())).read_all()
    assert CONTENT not in str(failed.value)
    assert "\n" not in str(failed.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # And nothing of it lasts.
    assert catalog.sql("SELECT count(*) AS n FROM files").read_all().to_pylist() == [{"n": 0}]


@pytest.mark.parametrize("sql", READING[:24] + WRITING[:40])
def test_the_database_itself_refuses_most_of_it(sql: str, catalog: Catalog, folder: Path) -> None:
    """Without the check of the text, the database's own walls hold; what passes them touches no file."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if "enable_logging" in sql:
        return  # the reason for the check
    try:
        answer = str(catalog._ask(sql.format(folder.as_posix()), []).read_all().to_pylist())
    except StoreError as error:
        answer = str(error)
    assert CONTENT not in answer
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM current_files",
        "FROM files",
        "VALUES (1), (2)",
        "DESCRIBE files",
        "SHOW TABLES",
        "SUMMARIZE parts",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT * FROM t",
        "SELECT * FROM range(3) AS r(n), unnest([1, 2]) AS u(m)",
        "SELECT json_extract_string(raw_output, '$.file.path') FROM files",
        "SELECT e.value FROM files AS f, json_each(f.raw_output, '$.errors') AS e",
        "SELECT table_name FROM duckdb_tables()",
        "SELECT table_name FROM information_schema.tables",
        "SELECT layer_name, list(channel_name ORDER BY channel_name) FROM channels GROUP BY ALL",
        "SELECT * FROM files WHERE file_path LIKE '%COPY files TO%' -- ; DROP TABLE files",
    ],
)
def test_asking_works(sql: str, catalog: Catalog) -> None:
    catalog.sql(sql).read_all()


def test_parameters_are_bound(catalog: Catalog) -> None:
    answer = catalog.sql("SELECT $word AS word", {"word": "'; DROP TABLE files; --"}).read_all()
    assert answer.to_pylist() == [{"word": "'; DROP TABLE files; --"}]


def test_long_and_deep_texts_are_refused(catalog: Catalog) -> None:
    with pytest.raises(StoreError, match="longer than"):
        catalog.sql("SELECT 1" + " " * MAX_SQL_CHARACTERS)
    with pytest.raises(StoreError):
        catalog.sql("SELECT " + "(" * 20_000 + "1" + ")" * 20_000).read_all()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM range(100000000000) AS t(n) ORDER BY n DESC",
        "SELECT list(n) FROM range(100000000000) AS t(n)",
        "SELECT DISTINCT n FROM range(100000000000) AS t(n)",
        "SELECT string_agg(repeat('x', 1000)) FROM range(100000000000)",
    ],
)
def test_what_needs_too_much_memory_is_refused(sql: str, folder: Path) -> None:
    with Catalog(folder / "catalog.duckdb", memory_limit="100MB") as catalog:
        with pytest.raises(StoreError, match="more memory than a query may have"):
            catalog.sql(sql).read_all()
        assert catalog.sql("SELECT 1 AS n").read_all().num_rows == 1


def test_the_machines_memory_is_left_alone(folder: Path) -> None:
    """In a process whose address space is bounded: it must not come near. Nothing is written, half an answer least."""
    sql = "SELECT * FROM range(100000000000) AS t(n) ORDER BY n DESC"
    done = in_process(folder, sql, "--output", str(folder / "out.json"))
    assert done.returncode == 2
    assert "more memory than a query may have" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "out.json").exists()


def test_what_is_only_long_streams(folder: Path) -> None:
    """More rows than fit in memory, read as they come; whoever asked stops listening."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "exr_inspector",
        "query",
        "--db",
        str(folder / "catalog.duckdb"),
        "--format",
        "csv",
    ]
    command += ["--sql", "SELECT n, repeat('x', 100) AS x FROM range(100000000000) AS t(n)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, preexec_fn=bounded) as process:
        assert process.stdout is not None
        for _ in range(50_000):
            assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 141


def bounded() -> None:
    limit = 12 << 30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def in_process(folder: Path, sql: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exr_inspector", "query", "--db", str(folder / "catalog.duckdb"), "--sql", sql, *more],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=bounded,
    )
