"""Writes the tables' columns into docs/SCHEMA_AND_DEPLOYMENT.md; with --check says whether they are up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from exr_inspector.stores.duckdb_schema import sql_type
from exr_inspector.tables import TABLE_DESCRIPTIONS, TABLES

PAGE = Path(__file__).parent / "SCHEMA_AND_DEPLOYMENT.md"
BEGIN, END = "<!-- tables -->\n", "<!-- /tables -->\n"


def tables() -> str:
    """The four tables as Markdown."""
    return "\n".join(_table(name) for name in TABLES)


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


def page() -> str:
    """The page with its tables as they should be."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def main() -> int:
    """Returns 1 with --check if the page is out of date."""
    if "--check" in sys.argv[1:]:
        return int(page() != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
