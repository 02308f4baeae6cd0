"""`exr-inspector schema`: prints the schema of the documents that `inspect` prints."""

from __future__ import annotations

import argparse

from exr_inspector.cli.output import open_output
from exr_inspector.cli.status import DONE
from exr_inspector.schema import document_schema_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--json-schema", action="store_true", help="the document's JSON Schema, 2020-12 (default)")
    parser.add_argument("--output", metavar="FILE", help="write to a file, which is replaced at the end")


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status. Raises OutputError."""
    with open_output(options.output) as output:
        output.write([document_schema_text()])
    return DONE
