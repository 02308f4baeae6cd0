"""The program's entry: finds the command, runs it, turns what stops it into an exit status.

What is heavy is imported by the command that needs it, here and not above: the interruption of an import is an
interruption like any other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from exr_inspector.cli.arguments import command_parser, parsed
from exr_inspector.cli.escape import complain, say
from exr_inspector.cli.output import OutputError, forget_standard_output
from exr_inspector.cli.status import FATAL, INTERRUPTED, NOBODY_LISTENS, WRONG_USAGE, UsageError


class Command(NamedTuple):
    """A command's module, which has `add_arguments(parser)` and `run(options)`, and what it does."""

    module: str
    help: str


DEFAULT_COMMAND = "inspect"
COMMANDS: dict[str, Command] = {
    "inspect": Command("exr_inspector.cli.inspect", "print the documents of files; may be left out"),
    "scan": Command("exr_inspector.cli.scan", "read the headers below directories into a catalog"),
    "doctor": Command("exr_inspector.cli.doctor", "ask whether the database is reachable, right, and safe"),
    "query": Command("exr_inspector.cli.query", "ask a catalog: named queries, or SQL that can only read"),
    "similar": Command("exr_inspector.cli.similar", "find the files of a catalog that are most like one"),
    "export": Command("exr_inspector.cli.export", "write a catalog's tables as Parquet files"),
    "migrate": Command("exr_inspector.cli.migrate", "bring a catalog to another version of the tables"),
    "schema": Command("exr_inspector.cli.schema", "print the JSON Schema of the document, or the tables' schemas"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program. Returns the exit status; `cli/status.py` has them all."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(given: list[str]) -> int:
    name, rest = (given[0], given[1:]) if given and given[0] in COMMANDS else (DEFAULT_COMMAND, given)
    command = COMMANDS[name]
    module = import_module(command.module)
    helps = ((each, row.help) for each, row in COMMANDS.items())
    purpose = (module.__doc__ or "").partition(": ")[2]
    parser = command_parser(name, purpose, helps, is_default=name == DEFAULT_COMMAND)
    module.add_arguments(parser)
    try:
        return int(module.run(parsed(parser, rest)))
    except UsageError as error:
        say(parser.format_usage())
        complain(None, str(error))
        return WRONG_USAGE
    except OutputError as error:
        complain(error.place, error.reason)
        return FATAL
    except BrokenPipeError:
        forget_standard_output()
        return NOBODY_LISTENS
