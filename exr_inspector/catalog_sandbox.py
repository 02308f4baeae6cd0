"""What keeps an SQL text from doing anything but asking the catalog.

Three walls. The database is open read-only and has no access to files, to the network or to extensions, and its
settings are locked. The text must be one SELECT, which DuckDB's own parser says. And of the functions that stand
where a table stands, and that could reach outside or change the running database, only those listed here are let
through: `enable_logging()` for one is a SELECT, no file, no setting to DuckDB, and yet changes where it writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from exr_inspector.errors import Problem, shown
from exr_inspector.stores.base import StoreError
from exr_inspector.stores.duckdb_connection import first_line, interruptible

# A query that needs more fails; the machine goes on. Scans and limits stream, sorting whole catalogs of millions fits.
MEMORY_LIMIT = "4GB"
MAX_THREADS = 4
# The parser recurses; no query that a person writes is longer.
MAX_SQL_CHARACTERS = 1 << 17

# In this order: the last two make the others last.
_SETTINGS = (
    ("temp_directory", "''"),  # nothing is written, not even what does not fit in memory
    ("python_enable_replacements", "false"),  # a table's name never means a Python variable
    ("allow_community_extensions", "false"),
    ("enable_external_access", "false"),
    ("lock_configuration", "true"),
)

_TABLE_FUNCTIONS = frozenset(
    (
        "duckdb_columns",
        "duckdb_tables",
        "duckdb_views",
        "generate_series",
        "json_each",
        "json_tree",
        "range",
        "repeat_row",
        "unnest",
    )
)
# They do more than compute a value.
_REFUSED_FUNCTIONS = frozenset(("getenv", "nextval", "write_log", "setseed", "current_setting"))


def lock(connection: duckdb.DuckDBPyConnection, memory_limit: str = MEMORY_LIMIT) -> None:
    """Takes everything from a connection that asking its tables does not need, for good."""
    connection.execute("SET memory_limit = $limit", {"limit": memory_limit})
    threads = connection.execute("SELECT current_setting('threads')").fetchone()
    if threads is not None and int(threads[0]) > MAX_THREADS:
        connection.execute(f"SET threads = {MAX_THREADS}")
    for name, value in _SETTINGS:
        connection.execute(f"SET {name} = {value}")


def refuse(message: str) -> StoreError:
    """The error for SQL that is not run."""
    return StoreError(Problem("store_failed", message))


def check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raises StoreError unless the text is one SELECT that only asks."""
    if len(sql) > MAX_SQL_CHARACTERS:
        raise refuse(f"the SQL is longer than {MAX_SQL_CHARACTERS} characters")
    row = connection.execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [sql]).fetchone()
    parsed = json.loads(row[0]) if row is not None else {}
    if parsed.get("error"):
        message = parsed.get("error_message", "")
        is_syntax = parsed.get("error_type") == "parser"
        raise refuse(f"the SQL cannot be parsed: {message}" if is_syntax else "only a SELECT can be asked here")
    if len(parsed.get("statements", ())) != 1:
        raise refuse("one SELECT at a time can be asked here")
    for name, is_table in _functions(parsed):
        if name in _REFUSED_FUNCTIONS or (is_table and name not in _TABLE_FUNCTIONS):
            raise refuse(f"the function {shown(name)} cannot be used here")


def _functions(tree: Any) -> Iterator[tuple[str, bool]]:
    """Every function's name in a parsed statement, and whether it stands where a table does."""
    pending = [(tree, False)]
    while pending:
        node, is_table = pending.pop()
        if isinstance(node, list):
            pending += ((each, False) for each in node)
        elif isinstance(node, dict):
            if isinstance(node.get("function_name"), str):
                yield node["function_name"].lower(), is_table
            pending += (
                (each, node.get("type") == "TABLE_FUNCTION" and key == "function") for key, each in node.items()
            )


@contextmanager
def translated() -> Iterator[None]:
    """DuckDB's errors as StoreError."""
    try:
        with interruptible():
            yield
    except duckdb.OutOfMemoryException as error:
        raise _too_large() from error
    except duckdb.Error as error:
        raise refuse(first_line(error)) from error


def passed_on(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Batches as they are computed; an error in the midst of them, which Arrow reports, is a StoreError too."""
    try:
        with translated():
            yield from reader
    except (pa.ArrowException, OSError) as error:
        raise _too_large() if "Out of Memory" in str(error) else refuse(first_line(error)) from error


def _too_large() -> StoreError:
    return refuse("the answer needs more memory than a query may have: ask for less at a time")
