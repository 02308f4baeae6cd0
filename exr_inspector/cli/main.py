"""The program's entry: finds the command, runs it, turns what stops it into an exit status.

What is heavy is imported by the command that needs it, here and not above: the interruption of an import is an
interruption like any other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from exr_inspector.cli.escape import complain, say
from exr_inspector.cli.output import OutputError
from exr_inspector.cli.status import FATAL, INTERRUPTED, NOBODY_LISTENS, WRONG_USAGE, UsageError
from exr_inspector.garbage import look_rarely

if TYPE_CHECKING:
    from exr_inspector.cli.arguments import Parser


class Command(NamedTuple):
    """A command's module and what it does.

    The module has `add_arguments(parser)` and `run(options)`, which returns the exit status. Where it has `Options`,
    a NamedTuple with a default for each, that is what `run` gets, else argparse's own namespace.
    """

    module: str
    help: str


DEFAULT_COMMAND = "inspect"
COMMANDS: dict[str, Command] = {
    "inspect": Command("exr_inspector.cli.inspect", "print the documents of files; may be left out"),
    "scan": Command("exr_inspector.cli.scan", "read the headers below directories into a catalog"),
    "serve": Command("exr_inspector.cli.serve", "answer events by HTTP, as a function of VAST DataEngine"),
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


def program() -> int:
    """`main` as a process of its own."""
    look_rarely()
    return main()


def _run(given: list[str]) -> int:
    name, rest = (given[0], given[1:]) if given and given[0] in COMMANDS else (DEFAULT_COMMAND, given)
    module = import_module(COMMANDS[name].module)
    try:
        return int(module.run(_options(name, module, rest)))
    except UsageError as error:
        say(_parser(name, module).format_usage())
        complain(None, str(error))
        return WRONG_USAGE
    except OutputError as error:
        complain(error.place, error.reason)
        return FATAL
    except BrokenPipeError:
        return NOBODY_LISTENS


def _options(name: str, module: ModuleType, arguments: list[str]) -> Any:
    """The command's `Options`. Raises UsageError."""
    has_options = any(each[:1] == "-" and each != "-" for each in arguments)
    if name == DEFAULT_COMMAND and not has_options:
        return module.Options(paths=arguments)
    from exr_inspector.cli.arguments import parsed  # noqa: PLC0415  argparse is loaded for options only

    given = parsed(_parser(name, module), arguments)
    return module.Options(**given) if hasattr(module, "Options") else SimpleNamespace(**given)


def _parser(name: str, module: ModuleType) -> Parser:
    from exr_inspector.cli.arguments import command_parser  # noqa: PLC0415  as above

    purpose = (module.__doc__ or "").partition(": ")[2]
    helps = ((each, row.help) for each, row in COMMANDS.items())
    has_defaults = hasattr(module, "Options")
    parser = command_parser(name, purpose, helps, is_default=name == DEFAULT_COMMAND, has_defaults=has_defaults)
    module.add_arguments(parser)
    return parser
