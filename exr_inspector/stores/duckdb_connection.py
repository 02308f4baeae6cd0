"""A connection to a catalog: how it is opened, how much memory it takes, and what can go wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from exr_inspector.errors import Problem
from exr_inspector.stores import duckdb_schema as schema
from exr_inspector.stores.base import StoreError

IN_MEMORY = ":memory:"

# No extension is looked for, here or elsewhere. Set after opening: a process may open a catalog a second time only with
# the same configuration.
_SETTINGS = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    # By default, each 16 MB of new rows the last group of rows is packed again as a whole: a third of a scan's time.
    "SET checkpoint_threshold = '512MB'",
)

# New rows are in memory until they are packed, and with them the last group. Of DuckDB's own 122,880 rows, of some
# kilobytes each, that is hundreds of megabytes; small groups can be packed often.
_ROW_GROUP_SIZE = 8_192
_ALONE_SETTINGS = ("SET checkpoint_threshold = '32MB'",)

# The index of `files` stays in memory: some 70 bytes a file. Room is made for so many more files at a time.
_INDEX_BYTES = 128
_MORE_FILES = 200_000

_PID = re.compile(r"\bPID (\d+)")

_CODES: tuple[tuple[type[Exception], str], ...] = (
    (duckdb.TransactionException, "store_conflict"),
    (duckdb.IOException, "store_unreachable"),  # the disk is full, or gone: nothing about a document
    (duckdb.FatalException, "store_unreachable"),  # DuckDB takes nothing more until the catalog is opened again
)


def connect(path: str, *, read_only: bool, is_alone: bool) -> duckdb.DuckDBPyConnection:
    """A connection to a catalog; see `DuckDBStore`. Raises StoreError."""
    try:
        connection = _attached(path) if is_alone else duckdb.connect(path, read_only=read_only)
    except duckdb.Error as error:
        raise StoreError(_not_opened(path, error)) from error
    for setting in (*_SETTINGS, *(_ALONE_SETTINGS if is_alone else ())):
        connection.execute(setting)
    return connection


def _attached(path: str) -> duckdb.DuckDBPyConnection:
    """The catalog beside a database in memory: only one that is attached has groups of another size."""
    connection = duckdb.connect()
    try:
        connection.execute(f"ATTACH {schema.text(path)} AS catalog (ROW_GROUP_SIZE {_ROW_GROUP_SIZE})")
        connection.execute("USE catalog")
    except BaseException:
        connection.close()
        raise
    return connection


def _not_opened(path: str, error: duckdb.Error) -> Problem:
    words = str(error)
    if isinstance(error, duckdb.ConnectionException) or "Unique file handle conflict" in words:
        return Problem("store_busy", f"this process has the catalog {path} open already, in another way")
    if isinstance(error, duckdb.IOException) and "lock" in words:
        found = _PID.search(words)
        holder = f"process {found[1]}" if found else "another process"
        return Problem("store_busy", f"{holder} has the catalog {path} open")
    return Problem("store_failed", f"{path} cannot be opened: {first_line(error)}")


class MemoryLimit:
    """Keeps a connection to so many MiB beside the index, which grows with the files. None: no limit but DuckDB's."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, mib: int | None) -> None:
        self._connection = connection
        self._mib = mib
        self._room = 0
        self.make_room(0)

    def make_room(self, files: int) -> None:
        """So many new files come."""
        if self._mib is None:
            return
        self._room -= files
        if self._room > 0:
            return
        self._room = _MORE_FILES
        index_bytes = _INDEX_BYTES * (self._stored_files() + files + _MORE_FILES)
        self._connection.execute(f"SET memory_limit = '{self._mib + (index_bytes >> 20)}MiB'")

    def _stored_files(self) -> int:
        sql = "SELECT estimated_size FROM duckdb_tables() WHERE table_name = 'files'"
        found = self._connection.execute(sql).fetchone()
        return int(found[0]) if found else 0


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C while DuckDB works is a KeyboardInterrupt; DuckDB makes a RuntimeError of it."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


@contextmanager
def translated() -> Iterator[None]:
    """DuckDB's errors as StoreError."""
    try:
        with interruptible():
            yield
    except duckdb.Error as error:
        code = next((code for kind, code in _CODES if isinstance(error, kind)), "store_failed")
        raise StoreError(Problem(code, first_line(error))) from error


def first_line(error: Exception) -> str:
    """What DuckDB says, without what it goes on to advise."""
    return str(error).partition("\n")[0]
