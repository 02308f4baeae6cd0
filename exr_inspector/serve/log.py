"""Log lines: one for each record, on stderr, with nothing in it that steers a terminal or begins another line."""

from __future__ import annotations

import logging
import sys
import time

_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_MAX_CHARACTERS = 4_000


class OneLine(logging.Formatter):
    r"""A record as one line: what does not print is `\xNN` or `\uNNNN`; of an exception only its type is told.

    A traceback could have anything in it that stood in a request.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = self.formatMessage(self._prepared(record))
        if record.exc_info and record.exc_info[0] is not None:
            line = f"{line} ({record.exc_info[0].__name__})"
        return _escaped(line[:_MAX_CHARACTERS])

    def _prepared(self, record: logging.LogRecord) -> logging.LogRecord:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        return record


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def logger() -> logging.Logger:
    """The logger of the served function, writing to stderr; uvicorn's errors go the same way."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(_FORMAT))
    for name, level in (("exr_inspector", logging.INFO), ("uvicorn.error", logging.ERROR)):
        each = logging.getLogger(name)
        each.handlers[:] = [handler]
        each.setLevel(level)
        each.propagate = False
    logging.getLogger("uvicorn.access").disabled = True
    return logging.getLogger("exr_inspector")
