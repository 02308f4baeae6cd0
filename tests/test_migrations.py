"""The tables' versions: there and back on a real catalog, what is filled, and what is told."""

# ruff: noqa: S608 - the tests' own names

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exr_inspector import inspect
from exr_inspector.cli.main import main
from exr_inspector.embedding import compute_metadata_embedding
from exr_inspector.stores.base import StoreError
from exr_inspector.stores.duckdb import DuckDBStore
from exr_inspector.stores.migrations import (
    CURRENT_VERSION,
    MIGRATIONS,
    AddColumn,
    DropColumn,
    Fill,
    columns_at,
    migrate,
    plan,
)
from exr_inspector.tables import TABLES
from tests.store_contract import document, documents
from tests.support import exr_bytes
from tests.support.fixture_files import FILES

ROOT = Path(__file__).parent.parent
Row = dict[str, Any]


@pytest.fixture
def db(tmp_path: Path) -> str:
    return str(tmp_path / "catalog.duckdb")


def contents(store: DuckDBStore) -> dict[str, list[Row]]:
    """All rows of the four tables; the children's order within a file counts, their files' does not."""
    found = {}
    for table in TABLES:
        sql = f"SELECT * FROM {table} ORDER BY file_id, rowid"
        found[table] = store.connection.execute(sql).to_arrow_table().to_pylist()
    return found


def columns_of(store: DuckDBStore, table: str) -> set[str]:
    rows = store.connection.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = ?", [table]).fetchall()
    return {name for (name,) in rows}


def at_version(db: str, version: int, given: list[Any]) -> None:
    """A catalog of an older version, with the documents in it."""
    with DuckDBStore(db) as store:
        store.write_batch(given)
        migrate(store, version)


def frames() -> list[Any]:
    """Documents with something in every column that a version brought."""
    given = [inspect(file.path) for file in FILES[:60]]
    attributes = exr_bytes.minimal_attributes(width=8, height=8)
    attributes["software"] = exr_bytes.attribute("software", "string", b"Arnold 7.3.4.1")
    rendered = inspect(exr_bytes.single_part(attributes).data)
    rendered["file"] |= {"path": "/shows/abc/beauty.1001.exr", "frame_number": 1001}
    return [*given, rendered]


# ---- The list ----------------------------------------------------------------------------------------------


def test_versions_follow_each_other() -> None:
    assert [migration.version for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    assert CURRENT_VERSION == MIGRATIONS[-1].version >= 2
    assert columns_at(CURRENT_VERSION) == TABLES


@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda migration: str(migration.version))
def test_the_way_back_undoes_the_way_there(migration: Any) -> None:
    added = [(step.table, step.column) for step in migration.forward if isinstance(step, AddColumn)]
    dropped = [(step.table, step.column) for step in migration.back if isinstance(step, DropColumn)]
    filled = [(step.table, step.column) for step in migration.forward if isinstance(step, Fill)]
    assert dropped == added[::-1]
    assert set(added) <= set(filled)
    for table, column in added:
        assert column in {each.name for each in TABLES[table]}
        assert column not in {each.name for each in columns_at(migration.version - 1)[table]}


def test_plans() -> None:
    assert plan(1, 1) == []
    assert [(each.version, is_applied) for each, is_applied in plan(1, 2)] == [(2, True)]
    assert [(each.version, is_applied) for each, is_applied in plan(2, 1)] == [(2, False)]
    for before, after in ((1, 99), (99, 1), (0, 1), (1, 0)):
        with pytest.raises(StoreError):
            plan(before, after)


# ---- There and back ----------------------------------------------------------------------------------------


def test_there_and_back_again(db: str) -> None:
    with DuckDBStore(db) as store:
        store.write_batch(frames())
        store.write_batch(frames()[:5])
        before = contents(store)
        report = migrate(store, 1)
        assert (report.before, report.after, store.version()) == (CURRENT_VERSION, 1, 1)
        assert "frame_number" not in columns_of(store, "files")
        assert "render_software" not in columns_of(store, "parts")
        assert "frame_number" not in columns_of(store, "current_files")
        assert store.connection.execute("SELECT version FROM schema_migrations").fetchall() == [(1,)]
        report = migrate(store)
        assert (report.before, report.after, store.version()) == (1, CURRENT_VERSION, CURRENT_VERSION)
        assert report.filled == len(before["files"])
        assert report.unfilled == ()
        after = contents(store)
        assert after == before
    assert any(row["frame_number"] == 1001 for row in after["files"])
    assert any(row["render_software"] == "Arnold 7.3.4.1" for row in after["parts"])


def test_an_older_catalog_is_migrated_when_it_is_opened(db: str) -> None:
    at_version(db, 1, documents(3))
    with pytest.raises(StoreError, match="run migrate"):
        DuckDBStore(db, read_only=True)
    with DuckDBStore(db) as store:
        assert store.migration is not None
        assert (store.migration.before, store.migration.filled) == (1, 3)
        assert [result.inserted for result in store.write_batch(documents(4))] == [False, False, False, True]
        assert store.connection.execute("SELECT count(frame_number) FROM current_files").fetchone() == (0,)
    with DuckDBStore(db) as store:
        assert store.migration is None


def test_columns_at_the_end_take_no_part_in_what_rows_mean(db: str, tmp_path: Path) -> None:
    """A migrated catalog has its columns in another order than a new one."""
    at_version(db, 1, [])
    with DuckDBStore(db) as migrated, DuckDBStore(tmp_path / "new.duckdb") as new:
        for store in (migrated, new):
            store.write_batch(frames())
        for store in (migrated, new):
            store.connection.execute("UPDATE files SET inspection_timestamp = NULL, last_inspected = NULL")
        assert contents(migrated) == contents(new)


def test_a_migration_that_fails_leaves_everything_as_it_was(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_version(db, 1, documents(3))
    with DuckDBStore(db, is_migrated=False) as store:
        before = contents(store)
        store.connection.execute("UPDATE files SET raw_output = '{\"file\": {}}' WHERE file_path LIKE '%1002%'")
        with pytest.raises(ValueError, match=r"file\.path"):
            migrate(store)
        assert store.version() == 1
        store.connection.execute("UPDATE files SET raw_output = NULL WHERE file_path LIKE '%1002%'")
        found = contents(store)
        for row in [*before["files"], *found["files"]]:
            row.pop("raw_output")
        assert found == before


# ---- Rows without a stored document ------------------------------------------------------------------------


def put(path: Path, owner: str = "ada") -> str:
    attributes = exr_bytes.minimal_attributes(width=8, height=8)
    attributes["owner"] = exr_bytes.attribute("owner", "string", owner.encode())
    attributes["software"] = exr_bytes.attribute("software", "string", b"V-Ray 6.1")
    path.write_bytes(exr_bytes.single_part(attributes).data)
    return str(path)


def test_rows_without_a_document_are_told_and_reread(tmp_path: Path, db: str) -> None:
    paths = [put(tmp_path / f"beauty.{1001 + number}.exr") for number in range(3)]
    at_version(db, 1, [inspect(path) for path in paths])
    with DuckDBStore(db, is_migrated=False) as store:
        store.connection.execute("UPDATE files SET raw_output = NULL WHERE file_path <> ?", [paths[0]])
    put(Path(paths[2]), "somebody else")
    frames_of = "SELECT frame_number FROM files ORDER BY file_path"
    with DuckDBStore(db) as store:
        assert store.migration is not None
        assert store.migration.filled == 1
        assert [path for path, _ in store.migration.unfilled] == paths[1:]
        assert store.connection.execute(frames_of).fetchall() == [(1001,), (None,), (None,)]
        report = migrate(store, reread=inspect)
        assert report.filled == 1
        assert [(path, "another one" in reason) for path, reason in report.unfilled] == [(paths[2], True)]
        assert store.connection.execute(frames_of).fetchall() == [(1001,), (1002,), (None,)]
        software = store.connection.execute("SELECT render_software FROM parts ORDER BY file_path").fetchall()
        assert software == [("V-Ray 6.1",), ("V-Ray 6.1",), (None,)]
        assert store.connection.execute("SELECT DISTINCT inspection_count FROM files").fetchall() == [(1,)]


# ---- Vectors -----------------------------------------------------------------------------------------------


def test_vectors_of_another_version_are_made_anew(db: str) -> None:
    with DuckDBStore(db) as store:
        store.write_batch([document(), *documents(3, "/other"), inspect("/no/such/file.exr")])
        before = contents(store)
        zeros = "array_value(" + ", ".join(["0"] * 384) + ")::FLOAT[384]"
        store.connection.execute(
            f"UPDATE files SET embedding_version = '0', metadata_embedding = {zeros} WHERE file_path LIKE '/other/%'"
        )
        report = migrate(store)
        assert (report.before, report.after, report.filled) == (CURRENT_VERSION, CURRENT_VERSION, 3)
        assert contents(store) == before
        assert migrate(store).filled == 0
        row = store.connection.execute(
            "SELECT metadata_embedding, raw_output FROM files WHERE file_path LIKE '/other/%' LIMIT 1"
        ).fetchone()
        assert row is not None
        assert list(row[0]) == compute_metadata_embedding(json.loads(row[1]))


# ---- The command -------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "exr_inspector", "migrate", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_goes_back_and_forth(tmp_path: Path, db: str) -> None:
    path = put(tmp_path / "beauty.1001.exr")
    with DuckDBStore(db) as store:
        store.write_batch([inspect(path)])
    assert run("--db", db) == (0, f"version {CURRENT_VERSION}; 0 rows filled, 0 not\n", "")
    status, output, _ = run("--db", db, "--to", "1", "--dry-run")
    assert (status, output.splitlines()[-1]) == (0, f"version {CURRENT_VERSION}; 1 is what it would be")
    assert output.startswith(f"- {CURRENT_VERSION} ")
    status, output, _ = run("--db", db, "--to", "1")
    assert (status, output.splitlines()[-1]) == (0, "version 1; 0 rows filled, 0 not")
    status, output, _ = run("--db", db)
    assert output.startswith("+ 2 files.frame_number")
    assert (status, output.splitlines()[-1]) == (0, f"version {CURRENT_VERSION}; 1 rows filled, 0 not")
    with DuckDBStore(db) as store:
        store.connection.execute("UPDATE files SET raw_output = NULL")
    run("--db", db, "--to", "1")
    status, output, errors = run("--db", db)
    assert (status, "no stored document" in errors) == (2, True)
    assert run("--db", db, "--reread")[:2] == (0, f"version {CURRENT_VERSION}; 1 rows filled, 0 not\n")


def test_the_command_refuses(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--db", db]) == 2
    assert "there is no catalog" in capsys.readouterr().err
    assert not os.path.exists(db)
    DuckDBStore(db).close()
    assert main(["migrate", "--db", db, "--to", "99"]) == 64
    assert "no version 99" in capsys.readouterr().err
    assert main(["migrate", "--db", db, "extra"]) == 64
