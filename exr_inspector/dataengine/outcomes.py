"""What became of one delivery, and who hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from exr_inspector.errors import ExrError, Problem
from exr_inspector.events import Delivery
from exr_inspector.stores.base import WriteResult

STORED, SKIPPED, FAILED = "stored", "skipped", "failed"
_NAMED_FAILURES = 3


class Outcome(NamedTuple):
    """What became of one delivery.

    `status`: `stored`, `skipped` (nothing was stored, and nothing should have been) or `failed`. A file with a fatal
    error that was stored as an error row is `stored`; `code` is then the code of that error. `persistence` is the
    dictionary of `stores.base.WriteResult`; `document` is None if nothing was read. `message` has no secrets.
    `seconds`: from the event's arrival to the answer; `bytes_read`, `requests` and `read_seconds` are the source's.
    """

    delivery: Delivery
    status: str
    document: dict[str, Any] | None
    persistence: dict[str, Any]
    is_retryable: bool = False
    message: str = ""
    code: str | None = None
    bytes_read: int = 0
    requests: int = 0
    seconds: float = 0.0
    read_seconds: float = 0.0

    def result(self) -> dict[str, Any]:
        """What the caller gets: the document with `persistence`; where nothing was read, `errors` with it."""
        if self.document is not None:
            return {**self.document, "persistence": self.persistence}
        errors = [Problem(self.code, self.message).as_entry()] if self.code is not None else []
        return {"errors": errors, "persistence": self.persistence}


class RetryableFailure(ExrError):
    """Something failed that may go better at another delivery: raised so that the platform delivers again.

    `outcomes`: those that failed so.
    """

    retryable = True

    def __init__(self, problem: Problem, outcomes: Sequence[Outcome] = ()) -> None:
        super().__init__(problem)
        self.outcomes = tuple(outcomes)


class Observer(Protocol):
    """Hears how the function does. Called from the function's threads: must be quick."""

    def file(self, outcome: Outcome) -> None:
        """After each delivery."""

    def batch(self, files: int, seconds: float) -> None:
        """After each batch, written or not: how many files it had, and how long it took."""


def stored(delivery: Delivery, document: dict[str, Any], written: WriteResult, fatal: Problem | None = None) -> Outcome:
    """The outcome of what a store answered for a document; `fatal` is what stands in the way of reading the file.

    What has not even an error row comes again, whatever the reason: a database that fails for an hour at whatever it
    is sent looks like one that cannot store the document.
    """
    if written.status == "error":
        code = "store_conflict" if written.retryable else "not_stored" if written.file_id else "store_failed"
        written = written._replace(retryable=written.retryable or not written.file_id)
        return Outcome(delivery, FAILED, document, written.as_dict(), written.retryable, written.message, code)
    persistence = written.as_dict()
    status = STORED if written.status == "success" else SKIPPED
    if fatal is None:
        return Outcome(delivery, status, document, persistence, message=written.message)
    return Outcome(delivery, status, document, persistence, message=fatal.message, code=fatal.code)


def skipped(delivery: Delivery, message: str, document: dict[str, Any] | None = None) -> Outcome:
    """The outcome of a delivery that has nothing to store."""
    persistence = WriteResult("skipped", None, False, message).as_dict()
    return Outcome(delivery, SKIPPED, document, persistence, message=message)


def failed(
    delivery: Delivery, problem: Problem, document: dict[str, Any] | None = None, *, is_retryable: bool
) -> Outcome:
    """The outcome of a delivery of which nothing was stored."""
    message = problem.full_message
    persistence = WriteResult("error", None, False, message, message, is_retryable).as_dict()
    return Outcome(delivery, FAILED, document, persistence, is_retryable, message, problem.code)


def raised_for(outcomes: Sequence[Outcome]) -> RetryableFailure | None:
    """What is raised for outcomes of which some should be delivered again; None if none should."""
    again = [outcome for outcome in outcomes if outcome.status == FAILED and outcome.is_retryable]
    if not again:
        return None
    words = "; ".join(dict.fromkeys(outcome.message for outcome in again[:_NAMED_FAILURES]))
    message = f"{len(again)} of {len(outcomes)} files should be delivered again: {words}"
    return RetryableFailure(Problem(again[0].code or "function_failed", message), again)
