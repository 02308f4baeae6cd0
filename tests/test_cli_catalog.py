"""`query`, `similar`, `export` and `schema` as real processes."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from exr_inspector.stores.duckdb import DuckDBStore
from exr_inspector.tables import SCHEMAS, TABLES
from tests.store_contract import document
from tests.support import small_catalog
from tests.support.fixture_files import FOLDER
from tests.support.interrupts import heed_interrupts
from tests.support.small_catalog import BEAUTY, SH010, XYZ, SmallCatalog

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "exr_inspector"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallCatalog:
    return small_catalog.make(tmp_path_factory.mktemp("shows"))


def run(made: SmallCatalog, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The program, in the directory of the catalog, whose name is the default one."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(
        [*COMMAND, *arguments], cwd=made.root, env=environment, capture_output=True, timeout=120, check=False
    )


def answered(made: SmallCatalog, *arguments: str) -> Any:
    done = run(made, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---- query -------------------------------------------------------------------------------------------------


def test_list(made: SmallCatalog) -> None:
    listed = answered(made, "query", "--list")
    assert [row["number"] for row in listed] == list(range(1, 11))
    assert listed[2] == {
        "number": 3,
        "name": "anomalies",
        "title": "Anomalies",
        "parameters": "max_bytes=1073741824, max_channels=50, limit=1000",
    }


def test_json_elsewhere_than_on_a_terminal(made: SmallCatalog) -> None:
    rows = answered(made, "query", "shot_summary", "--param", f"root={made.path('shows/')}")
    assert rows[0]["missing_frames"] == 2
    assert rows[0]["latest_mtime"] == "2026-03-02T12:00:00.000000Z"
    assert answered(made, "query", "attribute_use", "--param", "name=nosuch") == []


def test_a_table_on_a_terminal(made: SmallCatalog) -> None:
    main, other = pty.openpty()
    command = [*COMMAND, "query", "deep_by_renderer"]
    with subprocess.Popen(command, cwd=made.root, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=other) as process:
        assert process.wait(timeout=60) == 0
    os.close(other)
    text = os.read(main, 100_000).decode()
    os.close(main)
    assert "renderer" in text
    assert "(unknown)" in text
    assert not text.startswith("[")


def test_parquet(made: SmallCatalog, tmp_path: Path) -> None:
    done = run(made, "query", "anomalies", "--format", "parquet")
    assert pq.read_table(io.BytesIO(done.stdout)).num_rows == 5
    assert run(made, "query", "anomalies", "--format", "parquet", "--output", str(tmp_path / "a")).returncode == 0
    assert pq.read_table(tmp_path / "a").column_names == ["file_path", "anomaly", "measured", "integrity"]


def test_values_of_all_kinds(made: SmallCatalog) -> None:
    sql = """SELECT 1::FLOAT / 3 AS single, 'nan'::DOUBLE AS nan, '-inf'::DOUBLE AS infinite, 9007199254740993 AS large,
        TIMESTAMP '2026-01-02 03:04:05' AS moment, DATE '2026-01-02' AS day, 1.5::DECIMAL(4,1) AS decimal, NULL AS none,
        170141183460469231731687303715884105727 AS huge, 'a'::BLOB AS bytes, [1, 2] AS list, {'a': true} AS struct,
        1 AS twice, 2 AS twice"""
    (row,) = answered(made, "query", "--sql", sql)
    assert row == {
        "single": 0.33333334,
        "nan": "NaN",
        "infinite": "-Infinity",
        "large": "9007199254740993",
        "moment": "2026-01-02T03:04:05.000000Z",
        "day": "2026-01-02",
        "decimal": 1.5,
        "none": None,
        "huge": row["huge"],
        "bytes": "YQ==",
        "list": [1, 2],
        "struct": {"a": True},
        "twice": 1,
        "twice_2": 2,
    }


HOSTILE = ["=1+1", "+1", "-1", "@x", "\t=1", "a\x1b[31mred", "\u202eabc", 'q"u,o', "a\nb", "plain"]


def test_csv_computes_nothing_and_shows_nothing_invisible(tmp_path: Path) -> None:
    with DuckDBStore(tmp_path / "catalog.duckdb") as store:
        store.write_batch([document(f"/x/{n}.exr", etag=text) for n, text in enumerate(HOSTILE)])
    there = SmallCatalog(str(tmp_path / "catalog.duckdb"), f"{tmp_path}/")
    asked = ("query", "--sql", 'SELECT etag AS "=name", -1 AS number FROM files ORDER BY file_path')
    done = run(there, *asked, "--format", "csv")
    rows = list(csv.reader(io.StringIO(done.stdout.decode())))
    assert [row[0] for row in rows] == [
        "'=name",
        "'=1+1",
        "'+1",
        "'-1",
        "'@x",
        "\\t=1",
        "a\\u001b[31mred",
        "\\u202eabc",
        'q"u,o',
        "a\\nb",
        "plain",
    ]
    assert {row[1] for row in rows[1:]} == {"-1"}
    table = run(there, *asked, "--format", "table").stdout.decode()
    assert "\x1b[31m" not in table
    assert "\u202e" not in table
    assert [row["=name"] for row in answered(there, *asked)] == HOSTILE


def test_print(made: SmallCatalog) -> None:
    done = run(made, "query", "coverage", "--print", "--dialect", "trino", "--schema", "b/s", "--db", "/nosuch")
    assert done.returncode == 0
    assert b'FROM "b/s"."files"' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "one of NAME, --list and --sql"),
        (("anomalies", "--list"), "one of NAME, --list and --sql"),
        (("nosuch",), "there is no query"),
        (("anomalies", "--param", "x=1"), "has no parameter"),
        (("anomalies", "--param", "limit=x"), "is no integer"),
        (("similar_renders",), "needs a value for: reference"),
        (("similar_renders", "--param", "reference=nosuch"), "the catalog has no"),
        (("--sql", "SELECT 1", "--print"), "--print shows a named query"),
        (("anomalies", "--dialect", "trino"), "go with --print"),
        (("anomalies", "--print", "--dialect", "oracle"), "invalid choice"),
    ],
)
def test_wrong_usage(made: SmallCatalog, arguments: tuple[str, ...], words: str) -> None:
    done = run(made, "query", *arguments)
    assert (done.returncode, done.stdout) == (64, b"")
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sql", "SELECT * FROM nosuch"), "nosuch"),
        (("--sql", "COPY files TO 'x'"), "only a SELECT"),
        (("anomalies", "--db", "nosuch.duckdb"), "there is no catalog"),
        (("anomalies", "--db", BEAUTY), "cannot be opened"),
        (("--sql", "SELECT error('\x1b[31m')"), "\\u001b[31m"),
    ],
)
def test_failures(made: SmallCatalog, arguments: tuple[str, ...], words: str) -> None:
    done = run(made, "query", *arguments)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert b"\x1b" not in done.stderr
    assert b"Traceback" not in done.stderr


# ---- similar -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
def test_ctrl_c_ends_a_query_that_would_take_years(made: SmallCatalog) -> None:
    others = ", ".join(f"attributes AS a{number}" for number in range(8))
    sql = f"SELECT count(*) FROM {others} WHERE a0.value_text <> a7.attribute_name"  # noqa: S608
    process = subprocess.Popen(
        [sys.executable, "-m", "exr_inspector", "query", "--db", made.db, "--sql", sql],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
    with process:
        time.sleep(1.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors == b""


def test_similar_to_a_file_of_the_catalog(made: SmallCatalog) -> None:
    (nearest,) = answered(made, "similar", BEAUTY, "-k", "1")
    assert nearest["file_path"] == made.path(f"{SH010}/bty.1006.exr")
    by_id = answered(made, "similar", nearest["file_id"], "-k", "1")
    assert by_id[0]["file_path"] == made.path(BEAUTY)


@pytest.mark.parametrize("by", ["metadata", "channels"])
def test_similar_to_a_file_that_is_not_in_it(made: SmallCatalog, tmp_path: Path, by: str) -> None:
    shutil.copyfile(FOLDER / "real/rich.exr", tmp_path / "new.exr")
    (nearest,) = answered(made, "similar", str(tmp_path / "new.exr"), "-k", "1", "--by", by)
    assert nearest["file_path"] == made.path(f"{XYZ}/many.0001.exr")
    assert nearest["distance"] == pytest.approx(0, abs=1e-6)


def test_similar_to_nothing(made: SmallCatalog) -> None:
    for reference, words in (("nosuch.exr", "No such file"), (f"{XYZ}/broken.exr", "empty")):
        done = run(made, "similar", reference)
        assert (done.returncode, done.stdout) == (2, b"")
        assert words in done.stderr.decode()
    for wrong in ((), ("a", "b"), ("a", "-k", "0"), ("a", "--by", "pixels")):
        assert run(made, "similar", *wrong).returncode == 64


# ---- export, schema ----------------------------------------------------------------------------------------


def test_export(made: SmallCatalog, tmp_path: Path) -> None:
    done = run(made, "export", "--parquet", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (0, b"")
    assert "files: 12" in done.stderr.decode()
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(SCHEMAS)
    assert run(made, "export").returncode == 64
    assert run(made, "export", "--parquet", BEAUTY).returncode == 2


def test_schema_arrow(made: SmallCatalog) -> None:
    described = answered(made, "schema", "--arrow")
    assert list(described) == list(TABLES)
    for name, columns in TABLES.items():
        assert [each["name"] for each in described[name]["columns"]] == [column.name for column in columns]


def test_schema_sql_makes_a_catalog(made: SmallCatalog, tmp_path: Path) -> None:
    done = run(made, "schema", "--sql")
    with duckdb.connect(str(tmp_path / "c.duckdb")) as connection:
        connection.execute(done.stdout.decode())
        for name, schema in SCHEMAS.items():
            assert connection.execute(f"SELECT * FROM {name}").to_arrow_table().column_names == schema.names  # noqa: S608
        assert connection.execute("SELECT count(*) FROM current_files").fetchone() == (0,)
    assert run(made, "schema", "--sql", "--arrow").returncode == 64
    assert answered(made, "schema") == answered(made, "schema", "--json-schema")
