"""Writes the tables' columns into docs/SCHEMA_AND_DEPLOYMENT.md; with --check says whether they are up to date."""

from __future__ import annotations

from sections import run

from exr_inspector.stores.duckdb_schema import sql_type
from exr_inspector.tables import TABLE_DESCRIPTIONS, TABLES


def tables() -> str:
    """The four tables as Markdown."""
    return "\n" + "\n".join(_table(name) for name in TABLES) + "\n"


def _table(name: str) -> str:
    rows = [
        f"| `{column.name}` | {column.type if not _is_vector(column.type) else sql_type(column.type)} "
        f"| {'yes' if column.nullable else 'no'} | {column.description} |"
        for column in TABLES[name]
    ]
    head = [f"### `{name}`: {TABLE_DESCRIPTIONS[name]}", "", "| column | type | null | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _is_vector(type_: object) -> bool:
    return "fixed_size_list" in str(type_)


if __name__ == "__main__":
    raise SystemExit(run("SCHEMA_AND_DEPLOYMENT.md", {"tables": tables}))
