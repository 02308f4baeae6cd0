"""The program's exit statuses, and what leads to them."""

from __future__ import annotations

DONE = 0
FAILED = 1  # a policy was not met, or `--fail-on` matched
FATAL = 2  # something was fatal for a file, or the data could not be written
WRONG_USAGE = 64  # EX_USAGE of sysexits.h
INTERRUPTED = 130  # as shells tell of SIGINT
NOBODY_LISTENS = 141  # as shells tell of SIGPIPE


class UsageError(Exception):
    """The arguments make no sense together; the message says why."""
