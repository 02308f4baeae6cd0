"""`exr-inspector inspect`: prints what the headers of OpenEXR files say, as JSON or as tables. Reads no pixels."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from exr_inspector.app import inspect
from exr_inspector.cli.escape import complain
from exr_inspector.cli.json_text import INDENT, json_pieces
from exr_inspector.cli.output import Output, open_output
from exr_inspector.cli.paths import STANDARD_INPUT, ListError, expanded, is_directory, listed
from exr_inspector.cli.progress import Progress, is_terminal
from exr_inspector.cli.status import DONE, FAILED, FATAL, UsageError
from exr_inspector.config import INTEGRITY_MODES
from exr_inspector.cut import cut_document
from exr_inspector.normalizer import Document

if TYPE_CHECKING:
    from exr_inspector.cli.arguments import Parser

# What `--fail-on` knows: the verdicts on whether a file is whole.
STATUSES = ("complete", "table_complete", "incomplete", "truncated", "trailing", "inconsistent", "unchecked")

Writer = Callable[[Iterator[Document], Output], None]


class Options(NamedTuple):
    """The command's options; `--help` tells what they mean."""

    paths: Sequence[str] = ()
    recursive: bool = False
    files_from: str | None = None
    jsonl: bool = False
    table: bool = False
    compact: bool = False
    output: str | None = None
    integrity: str = "table"
    max_value_bytes: int | None = None
    fail_on: tuple[str, ...] = ()
    validate: bool = False
    policy: str | None = None
    remote_chunks: bool = False

    @property
    def gives_one(self) -> bool:
        """Whether one document is asked for, not a list of them, however many files that may be."""
        if self.files_from is not None or len(self.paths) != 1:
            return False
        return not (self.recursive and is_directory(self.paths[0]))


def add_arguments(parser: Parser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        metavar="PATH",
        help="a file, s3://bucket/key, or - for stdin; with --recursive also a directory",
    )
    add("--recursive", action="store_true", help="read the .exr, .sxr and .mxr files in directories and below")
    add("--files-from", metavar="FILE", help="read paths from a list, one a line or NUL-separated; - is stdin")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--jsonl", action="store_true", help="one document a line, each as soon as its file is read")
    form.add_argument("--table", action="store_true", help="tables for people")
    add("--compact", action="store_true", help="JSON without line breaks and spaces")
    add("--output", metavar="FILE", help="write to a file, which is replaced only when the data is whole")
    add(
        "--integrity",
        choices=INTEGRITY_MODES,
        help="is the file whole? Do not look, look at the offset tables and the end (default), look at every chunk",
    )
    add("--remote-chunks", action="store_true", help="--integrity chunks may ask an object store for every chunk")
    add("--max-value-bytes", type=_byte_count, metavar="N", help="cut longer values: length, SHA-256 and N bytes")
    add("--fail-on", type=_statuses, metavar="STATUS,...", help=f"exit 1 on any of {', '.join(STATUSES)}")
    add("--validate", action="store_true", help="check the header against the rules; exit 1 if they are not met")
    add("--policy", metavar="FILE", help="check it against a studio's policy, too")


def _byte_count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"--max-value-bytes: {text!a} is not a number of bytes")
    return int(text)


def _statuses(text: str) -> tuple[str, ...]:
    statuses = tuple(text.split(","))
    for status in statuses:
        if status not in STATUSES:
            raise UsageError(f"--fail-on: {status!a} is not one of {', '.join(STATUSES)}")
    return statuses


def run(options: Options) -> int:
    """Runs the command; returns the exit status. Raises UsageError and OutputError."""
    _check(options)
    reading = Reading(options)
    with open_output(options.output) as output:
        _writer(options)(reading.documents(), output)
    return reading.status


def _check(options: Options) -> None:
    if not options.paths and options.files_from is None:
        raise UsageError("a PATH is needed, or --files-from")
    if [*options.paths, options.files_from].count(STANDARD_INPUT) > 1:
        raise UsageError("- stands for stdin, which can be read only once")


# ---- Reading -----------------------------------------------------------------------------------------------


class Reading:
    """The files of one run, read one after the other. `status` is the exit status, as far as it is known."""

    def __init__(self, options: Options) -> None:
        self.status = DONE
        self._has_told_of_policy = False
        self._options = options
        self._config = {
            "integrity": options.integrity,
            "enable_validate": options.validate or options.policy is not None,
            "policy_path": options.policy,
            "remote_chunks": options.remote_chunks,
        }
        data_is_elsewhere = options.output is not None or not is_terminal(sys.stdout)
        self._progress = Progress(is_wanted=data_is_elsewhere and not options.gives_one)

    def documents(self) -> Iterator[Document]:
        """The document of each file; what is fatal for one is told on stderr. Holds one document at a time."""
        try:
            for path in self._paths():
                self._progress.begin(path)
                yield self._document(path)
        except ListError as error:
            self._fatal(error.place, error.reason)
        finally:
            self._progress.clear()

    def _paths(self) -> Iterator[str]:
        options = self._options
        lists: list[Iterable[str]] = [options.paths]
        if options.files_from is not None:
            # In a list, - is a file's name.
            lists.append(path if path != STANDARD_INPUT else "./-" for path in listed(options.files_from))
        for paths in lists:
            yield from expanded(paths) if options.recursive else paths

    def _document(self, path: str) -> Document:
        document = _standard_input(self._config) if path == STANDARD_INPUT else inspect(path, config=self._config)
        self._judge(path, document)
        limit = self._options.max_value_bytes
        return document if limit is None else cut_document(document, limit)

    def _judge(self, path: str, document: Document) -> None:
        for error in document["errors"]:
            if error["severity"] == "fatal":
                self._fatal(path, error["message"] + self._advice(path))
            elif error["code"] == "policy_unreadable":
                self._tell_of_policy(error["message"])
        is_broken = document["integrity"]["status"] in self._options.fail_on
        if is_broken or document["validation"].get("status") == "failed":
            self.status = max(self.status, FAILED)

    def _tell_of_policy(self, message: str) -> None:
        """Once: it is the same for every file, and none can be judged."""
        if not self._has_told_of_policy:
            self._has_told_of_policy = True
            self._progress.clear()
            complain(self._options.policy, message)

    def _fatal(self, path: str, message: str) -> None:
        self.status = FATAL
        self._progress.clear()
        complain(path, message)

    def _advice(self, path: str) -> str:
        return "; --recursive reads the files in it" if not self._options.recursive and is_directory(path) else ""


def _standard_input(config: dict[str, Any]) -> Document:
    file = cast("IO[bytes]", _ClosedInput()) if sys.stdin is None else sys.stdin.buffer
    document = inspect(file, config=config)
    document["file"]["path"] = STANDARD_INPUT
    return document


class _ClosedInput:
    """Stands for a stdin that the caller has closed."""

    def read(self, _size_bytes: int) -> bytes:
        """Fails as reading the descriptor would."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


# ---- Writing -----------------------------------------------------------------------------------------------


def _writer(options: Options) -> Writer:
    if options.table:
        from exr_inspector.cli import table  # noqa: PLC0415  rich costs more than all the rest

        return table.write_one if options.gives_one else table.write_many
    if options.jsonl:
        return write_lines
    writer = write_one if options.gives_one else write_array
    return partial(writer, is_compact=options.compact)


def write_one(documents: Iterator[Document], output: Output, *, is_compact: bool) -> None:
    """The JSON text of one document."""
    for pieces in map(partial(json_pieces, is_compact=is_compact), documents):
        output.write([*pieces, "\n"])


def write_lines(documents: Iterator[Document], output: Output) -> None:
    """One document a line, handed on as soon as it is there."""
    for pieces in map(partial(json_pieces, is_compact=True), documents):
        output.write([*pieces, "\n"])
        output.flush()


def write_array(documents: Iterator[Document], output: Output, *, is_compact: bool) -> None:
    """One array, element by element: never more than one document in memory."""
    line = "" if is_compact else "\n" + INDENT
    before = "[" + line
    for pieces in map(partial(json_pieces, is_compact=is_compact, depth=1), documents):
        output.write([before, *pieces])
        before = "," + line
    if before[0] == "[":
        output.write(["[]\n"])
    else:
        output.write([line[:1], "]\n"])
