"""One log line for each file: JSON, one line, without control characters and secrets."""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from exr_inspector.dataengine.outcomes import FAILED, Outcome

_MAX_TEXT = 500
_DELETE = "\x7f"  # the one control character that JSON does not escape
# Shorter ones are words like any other: striking them out would hide everything else.
_SHORTEST_SECRET = 4
_FRAMES = 5


class FileLog:
    """Writes the line of each file to a logger, which may be any object that has the methods of one.

    `secrets`: texts that are struck out of every line.
    """

    def __init__(self, logger: Any, secrets: Iterable[str] = ()) -> None:
        self._logger = logger if logger is not None else logging.getLogger("exr_inspector.dataengine")
        self._secrets = list(secrets)

    def file(self, outcome: Outcome) -> None:
        """The line of a file: information, a warning if it may go better later, an error if not."""
        write = self._logger.info
        if outcome.status == FAILED:
            write = self._logger.warning if outcome.is_retryable else self._logger.error
        self._write(write, line(outcome, self._secrets))

    def note(self, message: str) -> None:
        """A line about the function itself, for which people may have to do something."""
        self._write(self._logger.warning, _json({"function": _text(message, self._secrets)}))

    def failure(self, error: BaseException) -> None:
        """A line about an error of this program: what and where. Not its text, which may be a client's, with URLs."""
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        places = [f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames]
        self._write(self._logger.error, _json({"function": f"failed: {type(error).__name__}", "at": places}))

    @staticmethod
    def _write(write: Any, text: str) -> None:
        with suppress(Exception):  # the platform's logger, foreign code: no file is lost for a line of log
            write(text)


def line(outcome: Outcome, secrets: Iterable[str] = ()) -> str:
    """What is logged of a file."""
    delivery, persistence = outcome.delivery, outcome.persistence
    hidden = [*secrets, *(value for value in delivery.database.values() if isinstance(value, str))]
    fields = {
        "outcome": outcome.status,
        "path": _text(delivery.place, hidden),
        "file_id": persistence.get("file_id"),
        "ms": round(outcome.seconds * 1000, 1),
        "bytes": outcome.bytes_read,
        "requests": outcome.requests,
    }
    if outcome.code is not None or outcome.status != "stored":
        fields |= {"code": outcome.code, "message": _text(outcome.message, hidden)}
    if outcome.status == FAILED:
        fields["retryable"] = outcome.is_retryable
    return _json(fields)


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields).replace(_DELETE, "\\u007f")


def _text(text: str | None, hidden: Iterable[str]) -> str | None:
    if text is None:
        return None
    for secret in hidden:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "..."
