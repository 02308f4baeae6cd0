"""HTTP request → events: the CloudEvents HTTP protocol binding 1.0.2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def from_http(headers: Iterable[tuple[str, str]] | Mapping[str, str], body: bytes) -> list[Mapping[str, Any]]:
    """The events of a POST: binary, structured or batched CloudEvents, or plain JSON, as plain envelopes.

    Each is a mapping of the context attributes (`id`, `type`, `source`, `subject`, `specversion`, extensions) and
    `data`; plain JSON stays as it is. Raises EventError (`event_not_understood`).
    """
    raise NotImplementedError
