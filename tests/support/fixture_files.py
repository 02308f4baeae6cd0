"""The files under `fixtures/`, with what the manifest says about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

FOLDER = Path(__file__).parents[2] / "fixtures"


class FixtureFile(NamedTuple):
    """One entry of the manifest; `expect` are facts of the format, not of the program."""

    name: str
    expect: Mapping[str, Any]

    @property
    def path(self) -> Path:
        return FOLDER / self.name

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()


FILES: tuple[FixtureFile, ...] = tuple(
    FixtureFile(entry["path"], entry["expect"])
    for entry in json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["files"]
)
BY_NAME = {file.name: file for file in FILES}


def data_of(name: str) -> bytes:
    """The bytes of a fixture."""
    return BY_NAME[name].data


def params(is_wanted: Callable[[FixtureFile], bool] = lambda _file: True) -> list[Any]:
    """The wanted fixtures, for `pytest.mark.parametrize`; never an empty list."""
    found = [pytest.param(file, id=file.name) for file in FILES if is_wanted(file)]
    assert found
    return found
