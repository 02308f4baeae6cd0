"""`exr-inspector schema`: prints the schema of the documents that `inspect` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from exr_inspector.cli.output import open_output
from exr_inspector.cli.status import DONE, UsageError
from exr_inspector.schema import document_schema_text

if TYPE_CHECKING:
    from exr_inspector.cli.arguments import Parser


class Options(NamedTuple):
    """The command's options."""

    json_schema: bool = True
    output: str | None = None
    paths: tuple[str, ...] = ()


def add_arguments(parser: Parser) -> None:
    """The command's arguments."""
    parser.add_argument("--json-schema", action="store_true", help="the document's JSON Schema, 2020-12 (default)")
    parser.add_argument("--output", metavar="FILE", help="write to a file, which is replaced at the end")


def run(options: Options) -> int:
    """Runs the command; returns the exit status. Raises UsageError and OutputError."""
    if options.paths:  # behind `--`
        raise UsageError("this command takes no paths")
    with open_output(options.output) as output:
        output.write([document_schema_text()])
    return DONE
