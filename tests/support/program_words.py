"""What the program can say, read out of its own source: every string and f-string of the package, and deploy.sh's.

`is_said(text)` tells whether a text is made of those. What stands for a placeholder may be anything short, or else
must be said by the program again, or by somebody whose words it passes on.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

# So many characters of a message must be the program's own, and so many of each further piece of it.
LEAST, LEAST_OF_PIECES = 12, 6
# A text of fewer words may stand for a placeholder: a name, a number, a path. Words are those in small letters.
_FEW_WORDS = 2

# What others say, and the program passes on: DuckDB, Python's JSON and codecs.
_FOREIGN = (
    "IO Error: The file {} exists, but it is not a valid DuckDB database file!",
    "Expecting value in line {}, column {}",
    "Expecting property name enclosed in double quotes",
    "invalid continuation byte",
)
_NO_WORDS = re.compile(
    r"""'[^']*'|"[^"]*"|\b\w+=\S*|\S*[/.:]\w\S*"""  # what is quoted, name=value, paths and addresses
    r"|\w+(?:, \w+)+|\w+ \(text\)|\b(?:docker|vastde)\b"  # lists of names, fields of events, commands
)
# What `errors.placed` and the command line put before a message.
_PLACE = re.compile(r"\A(?:\S+: )?(?:part \d+|attribute '[^']*'(?: \('[^']*'\))?|byte \d+|, )+: ")
_WORD = re.compile(r"\b[a-z]{3,}\b")
_DIES = re.compile(r"\bdie(?:_usage)? ")
_BASH_VALUE = re.compile(r"\$\{[^}]*\}|\$\w+|\$\([^)]*\)|\{\w+\}|%s")


class Words(NamedTuple):
    """One text of the program: a regular expression with a group for each placeholder, and its fixed characters."""

    pattern: re.Pattern[str]
    fixed: int
    longest: str


def words(*pieces: str | None) -> Words | None:
    """Of fixed texts and placeholders (None); None if there is too little fixed in it."""
    fixed = [piece for piece in pieces if piece is not None]
    if sum(map(len, fixed)) < LEAST_OF_PIECES:
        return None
    pattern = "".join("(.*?)" if piece is None else re.escape(piece) for piece in pieces)
    return Words(re.compile(pattern), sum(map(len, fixed)), max(fixed, key=len))


def _of_template(text: str, placeholder: str) -> Words | None:
    pieces: list[str | None] = []
    for number, piece in enumerate(re.split(placeholder, text)):
        pieces += [None] * bool(number) + [piece]
    return words(*pieces)


def _of_node(node: ast.AST) -> Words | None:
    if isinstance(node, ast.JoinedStr):
        return words(*(str(part.value) if isinstance(part, ast.Constant) else None for part in node.values))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _of_template(node.value, "%[sd]|{}")
    return None


def _of_module(path: Path) -> Iterator[Words | None]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # docstrings
            left_out.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            left_out |= {id(part) for part in node.values}
    yield from (_of_node(node) for node in ast.walk(tree) if id(node) not in left_out)


def _of_script(path: Path) -> Iterator[Words | None]:
    """The quoted texts of a shell script, and of the Python in it."""
    for line in path.read_text(encoding="utf-8").splitlines():
        for found in re.finditer(r""""((?:[^"\\]|\\.)*)"|'((?:[^'])*)'""", line.strip()):
            text = next(filter(None, found.groups()), "").replace('\\"', '"').replace("\\n", "")
            says = _DIES.search(line)  # its texts get the script's name
            yield _of_template(f"deploy.sh: {text}" if says else text, _BASH_VALUE.pattern)


@cache
def everything() -> tuple[Words, ...]:
    """All texts, those with most fixed characters first."""
    found: list[Words | None] = [_of_template(text, "{}") for text in (*_FOREIGN, *map(os.strerror, range(1, 134)))]
    for path in sorted((ROOT / "exr_inspector").rglob("*.py")):
        found += _of_module(path)
    found += _of_script(ROOT / "deploy.sh")
    return tuple(sorted(filter(None, dict.fromkeys(found)), key=lambda each: -each.fixed))


def is_said(text: str, least: int = LEAST) -> bool:
    """Whether a text is made of the program's words: `least` characters of one of its texts, and so for the rest."""
    text = _PLACE.sub("", text)
    for each in everything():
        if each.fixed < least:
            return False
        if each.longest in text and (found := each.pattern.search(text)):
            rest = [text[: found.start()], *found.groups(), text[found.end() :]]
            return all(_is_short(piece) or is_said(piece, LEAST_OF_PIECES) for piece in rest)
    return False


def _is_short(text: str) -> bool:
    return len(_WORD.findall(_NO_WORDS.sub(" ", text))) < _FEW_WORDS
