"""The tables in DuckDB: SQL derived from the columns of `tables.TABLES`, and the ledger of their versions.

Only `files` has an index, its primary key. An index of the children would hold a hundred entries for each file, and
nothing but the rewriting of a file's children, which a new version of the program alone brings, would use it: see
docs/decisions/0030-duckdb-store.md.
"""

# ruff: noqa: S608 - all names are this module's own

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pyarrow as pa

from exr_inspector.errors import Problem
from exr_inspector.stores.base import StoreError
from exr_inspector.stores.migrations import CURRENT_VERSION, MIGRATIONS, columns_at, unknown_version
from exr_inspector.tables import TABLE_DESCRIPTIONS, TABLES, Column
from exr_inspector.tables.latest import LATEST_SQL

if TYPE_CHECKING:
    import duckdb

CHILDREN = ("parts", "channels", "attributes")
LEDGER = "schema_migrations"
CURRENT_VIEW = "current_files"

_TYPES: dict[pa.DataType, str] = {
    pa.utf8(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.timestamp("us"): "TIMESTAMP",
}

# What is left out are the few rows of paths that have several: vectors and documents go through no grouping.
CREATE_VIEW = f"""\
CREATE OR REPLACE VIEW {CURRENT_VIEW} AS
SELECT * FROM files
WHERE file_id NOT IN (
    SELECT file_id FROM (
        SELECT file_id, row_number() OVER (PARTITION BY file_path_normalized ORDER BY {LATEST_SQL} DESC) AS place
        FROM files
        SEMI JOIN (SELECT file_path_normalized FROM files GROUP BY ALL HAVING count(*) > 1)
            USING (file_path_normalized)
    )
    WHERE place > 1
)"""
_VIEW_COMMENT = "the latest row of each path: by last_inspected, then mtime, then file_id"


def sql_type(type_: pa.DataType) -> str:
    """DuckDB's name of a column's type."""
    if pa.types.is_fixed_size_list(type_):
        return f"{_TYPES[type_.value_type]}[{type_.list_size}]"
    return _TYPES[type_]


def text(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def schema_statements(columns: Mapping[str, tuple[Column, ...]] = TABLES) -> Iterator[str]:
    """The SQL that makes the tables, the ledger and the view."""
    for table, its_columns in columns.items():
        yield f"CREATE TABLE {table} (\n    {_column_list(table, its_columns)}\n)"
        yield f"COMMENT ON TABLE {table} IS {text(TABLE_DESCRIPTIONS[table])}"
        for column in its_columns:
            yield comment_on(table, column)
    yield f"CREATE TABLE {LEDGER} (version INTEGER NOT NULL, description VARCHAR, applied_at TIMESTAMP NOT NULL)"
    yield f"COMMENT ON TABLE {LEDGER} IS 'one row for each version of the tables that was applied'"
    yield from view_statements()


def view_statements() -> Iterator[str]:
    """The SQL that makes the view; again after each change of columns, which it is bound to."""
    yield CREATE_VIEW
    yield f"COMMENT ON VIEW {CURRENT_VIEW} IS {text(_VIEW_COMMENT)}"


def comment_on(table: str, column: Column) -> str:
    """The SQL that describes a column."""
    return f"COMMENT ON COLUMN {table}.{column.name} IS {text(column.description)}"


def _column_list(table: str, columns: tuple[Column, ...]) -> str:
    return ",\n    ".join(_column(table, column) for column in columns)


def _column(table: str, column: Column) -> str:
    is_key = table == "files" and column.name == "file_id"
    constraint = " PRIMARY KEY" if is_key else "" if column.nullable else " NOT NULL"
    return f"{column.name} {sql_type(column.type)}{constraint}"


# ---- What a database has -----------------------------------------------------------------------------------


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes everything, at the newest version."""
    for statement in schema_statements():
        connection.execute(statement)
    for migration in MIGRATIONS:
        record(connection, migration.version, migration.description)


def record(connection: duckdb.DuckDBPyConnection, version: int, description: str) -> None:
    """A line of the ledger."""
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    connection.execute(f"INSERT INTO {LEDGER} VALUES (?, ?, ?)", [version, description, now])


def found_tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The names of the tables that are there."""
    rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'").fetchall()
    return {name for (name,) in rows}


def version(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The version of the tables; None if there are none. Raises StoreError if they are not this program's."""
    found = found_tables(connection)
    if LEDGER not in found:
        if taken := sorted(found & set(TABLES)):
            raise StoreError(Problem("store_schema", f"not a catalog: it has {taken[0]}, but no {LEDGER}"))
        return None
    row = connection.execute(f"SELECT max(version) FROM {LEDGER}").fetchone()
    if row is None or row[0] is None:
        raise StoreError(Problem("store_schema", f"the catalog is damaged: {LEDGER} is empty"))
    number = int(row[0])
    if number > CURRENT_VERSION:
        raise StoreError(Problem("store_schema", unknown_version(number)))
    return number


def check(connection: duckdb.DuckDBPyConnection, number: int) -> None:
    """Compares the tables with what that version has. Raises StoreError with the differences."""
    differences: list[str] = []
    for table, columns in columns_at(number).items():
        wanted = {column.name: sql_type(column.type) for column in columns}
        found = dict(
            connection.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'main' AND table_name = ?",
                [table],
            ).fetchall()
        )
        differences += [
            f"{table}.{name} is {found.get(name, 'missing')}, not {wanted.get(name, 'a column of it')}"
            for name in dict.fromkeys((*wanted, *found))
            if wanted.get(name) != found.get(name)
        ]
    if differences:
        raise StoreError(Problem("store_schema", f"not version {number} of the tables: " + "; ".join(differences[:5])))
