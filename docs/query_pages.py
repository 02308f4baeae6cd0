"""Writes the ten queries into docs/VAST_ANALYTICS_QUERIES.md; with --check says whether they are up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from exr_inspector.catalog_queries import NamedQuery, named_queries

PAGE = Path(__file__).parent / "VAST_ANALYTICS_QUERIES.md"
BEGIN, END = "<!-- queries -->\n", "<!-- /queries -->\n"


def queries() -> str:
    """The queries as Markdown: what for, parameters, an example, the SQL."""
    return "\n".join(map(_section, named_queries().values()))


def _section(query: NamedQuery) -> str:
    rows = [
        f"| `{name}` | {type_} | {_default(default)} | {words} |" for name, type_, default, words in query.parameters
    ]
    parameters = ["| parameter | type | default | meaning |", "|---|---|---|---|", *rows]
    head, *examples = [_row(line) for line in query.example.splitlines()]
    example = ["An example:", "", head, "|" + "---|" * (head.count("|") - 1), *examples]
    title = f"### {query.number}. {query.title}: `{query.name}`"
    lines = [title, "", query.purpose, "", *parameters, "", *example, "", "```sql", query.sql.rstrip(), "```", ""]
    return "\n".join(lines)


def _default(default: str | None) -> str:
    return "must be given" if default is None else f"`{default}`"


def _row(line: str) -> str:
    return "| " + " | ".join(cell.strip() for cell in line.split("|")) + " |"


def page() -> str:
    """The page with its queries as they should be."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{queries()}\n{END}{after}"


def main() -> int:
    """Returns 1 with --check if the page is out of date."""
    if "--check" in sys.argv[1:]:
        return int(page() != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
