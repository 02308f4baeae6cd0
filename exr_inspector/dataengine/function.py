"""Events in, rows out: headers read many at once, written by one thread, one transaction for all that waits."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from exr_inspector.config_function import FunctionSettings
from exr_inspector.dataengine.outcomes import Observer, Outcome, RetryableFailure

__all__ = ["Function", "Observer", "Outcome", "RetryableFailure"]


class Function:
    """One S3 client, one store, the threads that use them. Safe to share between threads.

    `secrets`: the platform's mounted secrets. `is_served`: events come over HTTP, and may name less.
    """

    def __init__(
        self,
        settings: FunctionSettings,
        *,
        secrets: Mapping[str, Any] | None = None,
        logger: logging.Logger | None = None,
        observer: Observer | None = None,
        is_served: bool = False,
    ) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Makes the S3 client and begins to open the store, in the background: returns at once.

        Raises SettingsError if a setting of S3 or of the database makes no sense. A store that cannot be opened is
        tried again and again: alive, not ready.
        """
        raise NotImplementedError

    @property
    def is_ready(self) -> bool:
        """Whether events can be handled: started, not closed, and the store, if one is configured, is open."""
        raise NotImplementedError

    @property
    def reason(self) -> str:
        """Why it is not ready, without secrets; "" if it is."""
        raise NotImplementedError

    def submit(self, event: Any, *, is_by_hand: bool = False) -> Future[list[Outcome]]:
        """One Outcome for each delivery of the event; never blocks, and the future never raises.

        Beyond what may wait at once, and after `close`, deliveries are refused: a `failed` outcome that is
        retryable, code `function_busy`. An event that is not understood is one `failed` outcome that is not.
        Cancelling the future changes nothing.
        """
        raise NotImplementedError

    def submit_batch(self, events: Sequence[Any], *, is_by_hand: bool = False) -> Future[list[list[Outcome]]]:
        """The outcomes of each event; the events' files are written together, `batch_files` in a transaction."""
        raise NotImplementedError

    def close(self, grace_seconds: float) -> None:
        """Refuses what comes from now on, finishes what is in flight, and ends the threads.

        What is not finished within the grace time is answered with a retryable failure.
        """
        raise NotImplementedError
