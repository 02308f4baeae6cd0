"""The function as VAST DataEngine calls it: `init` once for each container, `handler` for each event.

`main.py` at the top of the repository is what the platform's build tool takes. Without `init`, the first call does it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from exr_inspector.config_function import function_settings
from exr_inspector.dataengine.function import Function
from exr_inspector.dataengine.outcomes import Outcome, RetryableFailure, raised_for

__all__ = ["RetryableFailure", "batch_handler", "close", "handler", "init"]

# Of a long list of events: while one piece is written, others are read.
_PIECES_AT_ONCE = 3


class _Holder:
    """The one function of this process: the platform's pair of calls has no other place to keep it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.function: Function | None = None


_HOLDER = _Holder()


def init(ctx: Any) -> None:
    """Makes the clients once, and begins to open the database: that it is down is no error here.

    `ctx` may have `logger` and `secrets`; None is a call by hand. Raises SettingsError, and SourceError if S3 is
    configured and its client is not installed.
    """
    with _HOLDER.lock:
        if _HOLDER.function is not None:
            return
        secrets, logger = getattr(ctx, "secrets", None), getattr(ctx, "logger", None)
        function = Function(function_settings(), secrets=secrets, logger=logger)
        function.start()
        _HOLDER.function = function


def handler(ctx: Any, event: Any) -> dict[str, Any]:
    """The document of the event's file with `persistence`; of several files `documents`, a list of such documents.

    `ctx` None is a call by hand, which may read any local path. What was not read has `persistence` and `errors`
    only. Raises RetryableFailure where a source or the database failed in a way that may pass, if PERSIST_FAILURE is
    `retry`; every other failure is in the result.
    """
    function = _function(ctx)
    outcomes = function.submit(event, is_by_hand=ctx is None).result()
    _raise_for(function, outcomes)
    return _result(outcomes)


def batch_handler(ctx: Any, events: Iterable[Any]) -> list[dict[str, Any]]:
    """What `handler` returns, for each event, in order: headers read at once, one transaction for many.

    Raises RetryableFailure if one of them failed so; when the events come again, what was written is not written
    again.
    """
    function, waiting = _function(ctx), list(events)
    pending: deque[Future[list[list[Outcome]]]] = deque()
    answered: list[list[Outcome]] = []
    piece = function.settings.batch_files
    for start in range(0, len(waiting), piece):
        if len(pending) == _PIECES_AT_ONCE:
            answered += pending.popleft().result()
        pending.append(function.submit_batch(waiting[start : start + piece], is_by_hand=ctx is None))
    for future in pending:
        answered += future.result()
    _raise_for(function, [outcome for outcomes in answered for outcome in outcomes])
    return [_result(outcomes) for outcomes in answered]


def close(grace_seconds: float = 8.0) -> None:
    """Finishes what is in flight, and gives back what `init` made. The next call makes it anew."""
    with _HOLDER.lock:
        function, _HOLDER.function = _HOLDER.function, None
    if function is not None:
        function.close(grace_seconds)


def _function(ctx: Any) -> Function:
    while (function := _HOLDER.function) is None:
        init(ctx)
    return function


def _raise_for(function: Function, outcomes: Sequence[Outcome]) -> None:
    failure = raised_for(outcomes) if function.settings.persist_failure == "retry" else None
    if failure is not None:
        raise failure


def _result(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    results = [outcome.result() for outcome in outcomes]
    return results[0] if len(results) == 1 else {"documents": results}
