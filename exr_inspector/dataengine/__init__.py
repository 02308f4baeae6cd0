"""The function as VAST DataEngine calls it: `init` once for each container, `handler` for each event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exr_inspector.dataengine.outcomes import RetryableFailure

__all__ = ["RetryableFailure", "batch_handler", "handler", "init"]


def init(ctx: Any) -> None:
    """Makes the clients once. `ctx` has `logger` and `secrets`, or is None. Raises SettingsError."""
    raise NotImplementedError


def handler(ctx: Any, event: Any) -> dict[str, Any]:
    """The document of the event's file with `persistence`; of several files, `documents`, a list of them.

    Raises RetryableFailure where a source or the store failed and PERSIST_FAILURE is `retry`.
    """
    raise NotImplementedError


def batch_handler(ctx: Any, events: Sequence[Any]) -> list[dict[str, Any]]:
    """What `handler` returns, for each event, in order: headers read at once, one transaction.

    Raises RetryableFailure if one of them failed in that way; what was written is then not written again.
    """
    raise NotImplementedError
