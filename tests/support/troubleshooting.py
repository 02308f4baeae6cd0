"""docs/TROUBLESHOOTING.md, read; and whether a real message stands on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from exr_inspector import inspect
from exr_inspector.cli.main import main
from exr_inspector.errors import ExrError
from tests.support.program_words import ROOT

PAGE = ROOT / "docs" / "TROUBLESHOOTING.md"
FIXTURES = ROOT / "fixtures"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODES = re.compile(r"^Codes? (`.+`)\.$|^No code\.$", re.MULTILINE)
_PREFIX = re.compile(r"exr-inspector: |(?:ok|warning|failed) +[a-z ]+?  +")


class Case(NamedTuple):
    """One problem of the page."""

    number: int
    title: str
    text: str

    @property
    def codes(self) -> list[str]:
        found = _CODES.search(self.text)
        assert found, f"{self.number}: no line of its code"
        return re.findall(r"`(\w+)`", found[1] or "")

    @property
    def shown(self) -> list[str]:
        """The lines that are shown as coming from the program, without its name."""
        lines = [line for _, text in _BLOCK.findall(self.text) for line in text.splitlines()]
        return [_PREFIX.sub("", line, count=1) for line in lines if not line.startswith("$ ")]

    @property
    def messages(self) -> list[str]:
        """Those that must be the program's words: what is no message in a console is other output."""
        lines = [(language, line) for language, text in _BLOCK.findall(self.text) for line in text.splitlines()]
        kept = [_PREFIX.sub("", line, count=1) for kind, line in lines if kind == "text" or _PREFIX.match(line)]
        return kept or self.shown


def cases() -> list[Case]:
    text = PAGE.read_text(encoding="utf-8")
    pieces = re.split(r"^##+ ", text, flags=re.MULTILINE)
    found = (re.match(r"(\d+)\. (.+)\n", piece) for piece in pieces)
    return [Case(int(match[1]), match[2], match.string) for match in found if match]


CASES = {case.number: case for case in cases()}


def plain(text: str) -> str:
    """A message without names and numbers."""
    text = _PREFIX.sub("", text.rstrip("\n"), count=1)
    text = re.sub(r"'[^']*'", "'…'", text)
    text = re.sub(r"(?:\w+:/)?[\w.-]*/[^\s:;,]*|[\w-]*\.(?:exr|duckdb|env|log)\b\S*(?<![:;,])", "PATH", text)
    return re.sub(r"\d+(?:\.\d+)?", "0", text)


class Said(NamedTuple):
    """A message and its code."""

    message: str
    code: str


def check(number: int, *messages: str | Said) -> None:
    """Each of the real messages stands on the page, under that number, and so does its code."""
    shown = [plain(line) for line in CASES[number].shown]
    assert messages
    for each in messages:
        message, codes = (each, []) if isinstance(each, str) else (each.message, [each.code])
        assert plain(message) in shown
        assert set(codes) <= set(CASES[number].codes)


def errors_of(source: Any, **config: Any) -> list[Said]:
    return [Said(error["message"], error["code"]) for error in inspect(source, config=config)["errors"]]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The last line on stderr of a command that fails."""
    assert main(arguments) in (2, 64)
    return capsys.readouterr().err.splitlines()[-1]


def of_call(call: Callable[[], Any]) -> Said:
    with pytest.raises(ExrError) as caught:
        call()
    return Said(str(caught.value), caught.value.code)
