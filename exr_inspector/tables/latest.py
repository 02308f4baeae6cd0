"""Which of a path's rows is the latest: the one that orders last. Said once, for SQL and for rows in memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

# The columns that order a path's rows; a missing mtime is before any other. SQL that DuckDB, Trino and Spark know.
_COLUMNS = ("last_inspected", "coalesce(mtime, TIMESTAMP '0001-01-01')", "file_id")

# One value that orders as the columns do.
LATEST_SQL = f"row({', '.join(_COLUMNS)})"
# An ORDER BY, the latest first.
LATEST_FIRST_SQL = ", ".join(f"{column} DESC" for column in _COLUMNS)


def age(row: Mapping[str, Any]) -> tuple[datetime, datetime, str]:
    """Orders rows of `files` as `LATEST_SQL` does."""
    return row["last_inspected"] or datetime.min, row["mtime"] or datetime.min, row["file_id"]  # noqa: DTZ901 - naive UTC
