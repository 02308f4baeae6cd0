"""What an event may ask for: which local paths, which buckets, which databases."""

from __future__ import annotations

from collections.abc import Sequence

from exr_inspector.config_function import FunctionSettings
from exr_inspector.events.delivery import Delivery
from exr_inspector.sources import Source


def allowed(
    delivery: Delivery, settings: FunctionSettings, *, is_by_hand: bool = False, is_served: bool = False
) -> Delivery:
    """The delivery, if it asks for nothing that it may not. Raises EventError (`event_refused`).

    `is_by_hand`: a call without a context (`ctx is None`), which may read any local path. `is_served`: over HTTP,
    where databases and policies of the event are refused unless the settings list the endpoint.
    A local path is only looked at here, and checked where it is opened: by `open_allowed`.
    """
    raise NotImplementedError


def open_allowed(path: str, roots: Sequence[str]) -> Source:
    """The opened file, if its real path lies under one of the roots.

    What is checked is the open descriptor's path, not the name: links and races lead to nothing else. Raises
    EventError (`event_refused`) and SourceError.
    """
    raise NotImplementedError
