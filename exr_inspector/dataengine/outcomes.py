"""What became of one delivery, and who hears of it."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from exr_inspector.errors import ExrError
from exr_inspector.events import Delivery

STORED, SKIPPED, FAILED = "stored", "skipped", "failed"


class Outcome(NamedTuple):
    """What became of one delivery.

    `status`: `stored`, `skipped` (nothing was to be done) or `failed`. A file with a fatal error that was stored as an
    error row is `stored`; `code` is then the first fatal code of its document. `persistence` is the dictionary of
    `stores.base.WriteResult`; `document` is None if nothing was read. `message` has no secrets and one line.
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


class RetryableFailure(ExrError):
    """Something failed that may go better at another delivery: raised so that the platform delivers again."""


class Observer(Protocol):
    """Hears how the function does. Called from the function's threads; must be quick and must not raise."""

    def file(self, outcome: Outcome) -> None:
        """After each delivery."""

    def batch(self, files: int, seconds: float) -> None:
        """After each transaction that was tried: how many files it had, and how long it took."""
