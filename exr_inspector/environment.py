"""The process's environment: the only place that reads it, and the secrets that stand beside it as files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

# A folder of files that are named as variables, or of such folders, as a cluster mounts secrets.
SECRETS_FOLDER = "EXR_INSPECTOR_SECRETS"

_NAME = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_MAX_FILE_BYTES = 64 * 1024


def variables() -> Mapping[str, str]:
    """The environment variables as they are now. A variable that is empty counts as not set, for all readers.

    A variable that is not set may be a file in the folder that EXR_INSPECTOR_SECRETS names, or in a folder right below
    it: its first 64 KiB without the line break at their end. What cannot be read is not set.
    """
    folder = os.environ.get(SECRETS_FOLDER)
    if not folder:
        return os.environ
    return dict(_mounted(folder)) | {name: value for name, value in os.environ.items() if value}


def _mounted(folder: str) -> Iterator[tuple[str, str]]:
    """Each file's name and text. Kubernetes' own entries begin with dots and are no names of variables."""
    for entry in _entries(folder):
        if entry.is_dir() and not entry.name.startswith("."):
            yield from ((each.name, _text(each.path)) for each in _entries(entry.path) if _is_variable(each))
        elif _is_variable(entry):
            yield entry.name, _text(entry.path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _is_variable(entry: os.DirEntry[str]) -> bool:
    return _NAME.match(entry.name) is not None and entry.is_file()


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_FILE_BYTES).decode("utf-8", "replace").removesuffix("\n")
    except OSError:
        return ""
