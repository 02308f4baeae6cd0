"""Writes the ten queries into docs/VAST_ANALYTICS_QUERIES.md; with --check says whether they are up to date."""

from __future__ import annotations

from sections import run

from exr_inspector.catalog_queries import NamedQuery, named_queries


def queries() -> str:
    """The queries as Markdown: what for, parameters, an example, the SQL."""
    return "\n" + "\n".join(map(_section, named_queries().values())) + "\n"


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


if __name__ == "__main__":
    raise SystemExit(run("VAST_ANALYTICS_QUERIES.md", {"queries": queries}))
