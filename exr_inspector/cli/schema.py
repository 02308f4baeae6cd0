"""`exr-inspector schema`: prints the schema of the documents that `inspect` prints, or of a catalog's tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from exr_inspector.cli.output import open_output
from exr_inspector.cli.status import DONE, UsageError
from exr_inspector.schema import document_schema_text

if TYPE_CHECKING:
    from exr_inspector.cli.arguments import Parser


class Options(NamedTuple):
    """The command's options."""

    json_schema: bool = True
    arrow: bool = False
    sql: bool = False
    output: str | None = None
    paths: tuple[str, ...] = ()


def add_arguments(parser: Parser) -> None:
    """The command's arguments."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json-schema", action="store_true", help="the document's JSON Schema, 2020-12 (default)")
    form.add_argument("--arrow", action="store_true", help="the four tables' Arrow schemas, as JSON")
    form.add_argument("--sql", action="store_true", help="the SQL that makes a catalog in DuckDB")
    parser.add_argument("--output", metavar="FILE", help="write to a file, which is replaced at the end")


def run(options: Options) -> int:
    """Runs the command; returns the exit status. Raises UsageError and OutputError."""
    if options.paths:  # behind `--`
        raise UsageError("this command takes no paths")
    text = _arrow() if options.arrow else _sql() if options.sql else document_schema_text()
    with open_output(options.output) as output:
        output.write([text])
    return DONE


def _arrow() -> str:
    from exr_inspector.cli.catalogs import loaded  # noqa: PLC0415  for the tables only

    tables = loaded("exr_inspector.tables")
    described = {
        name: {"description": tables.TABLE_DESCRIPTIONS[name], "columns": list(_columns(columns))}
        for name, columns in tables.TABLES.items()
    }
    return json.dumps(described, indent=2) + "\n"


def _columns(columns: tuple[tuple[str, object, str, bool], ...]) -> Iterator[dict[str, object]]:
    for name, type_, description, nullable in columns:
        yield {"name": name, "type": str(type_), "nullable": nullable, "description": description}


def _sql() -> str:
    from exr_inspector.cli.catalogs import loaded  # noqa: PLC0415  for the tables only

    statements = loaded("exr_inspector.stores.duckdb_schema").schema_statements()
    return "".join(f"{statement};\n" for statement in statements)
