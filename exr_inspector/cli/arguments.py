"""Arguments to options: argparse, with this program's exit status for wrong usage and its words for help.

Loaded only if there are options: argparse and what it needs take a tenth of the time that a small file takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from exr_inspector.cli.status import UsageError
from exr_inspector.version import __version__

PROGRAM = "exr-inspector"

_EPILOG = """\
commands:
{commands}
  Each has a --help of its own. A file named like a command is ./{first}.

exit status:
  0  all files were read
  1  a policy was not met, or --fail-on matched
  2  something was fatal for a file; the others were read
  64 wrong usage
"""


class Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would end the process with its own status."""

    def error(self, message: str) -> NoReturn:
        """Wrong usage."""
        raise UsageError(message)


def command_parser(
    name: str, purpose: str, commands: Iterable[tuple[str, str]], *, is_default: bool, has_defaults: bool
) -> Parser:
    """A parser for one command, which `purpose` describes; the default command's help tells of all of them.

    With `has_defaults` the command knows its own: an option that is not given is left out.
    """
    commands = list(commands)
    epilog = None
    if is_default:
        lines = "\n".join(f"  {each:10} {words}" for each, words in commands)
        epilog = _EPILOG.format(commands=lines, first=commands[0][0])
    parser = Parser(
        prog=PROGRAM if is_default else f"{PROGRAM} {name}",
        description=purpose[:1].upper() + purpose[1:],
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS if has_defaults else None,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def parsed(parser: Parser, arguments: Sequence[str]) -> dict[str, Any]:
    """The options that are given, by name. Raises UsageError.

    Paths may stand anywhere among the options, and everything after `--` is a path.
    """
    before, after = list(arguments), []
    if "--" in before:
        place = before.index("--")
        before, after = before[:place], before[place + 1 :]
    options = vars(parser.parse_intermixed_args(before))
    if after:
        options["paths"] = [*options.get("paths", ()), *after]
    return options
