"""What an event may ask for: which local paths, which buckets, which databases.

| asked for | by hand | by the platform | over HTTP |
|---|---|---|---|
| a local path | any | under the roots | under the roots |
| a policy (`policy_path`) | any | under the roots | none |
| an object | of the buckets | of the buckets | of the buckets |
| a database (`vastdb_*`) | any | any | whose endpoint is listed |

Messages name the rule, never the path, the address or the key.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from exr_inspector.config_function import FunctionSettings, comparable_endpoint
from exr_inspector.errors import ExrError, Problem, SourceError
from exr_inspector.events.delivery import Delivery, EventError
from exr_inspector.settings import SettingsError
from exr_inspector.sources import LocalFile, Source

_ENDPOINT = "vastdb_endpoint"
_OUTSIDE = "the event's path is under none of EXR_INSPECTOR_ROOTS"


def allowed(
    delivery: Delivery, settings: FunctionSettings, *, is_by_hand: bool = False, is_served: bool = False
) -> Delivery:
    """The delivery, if it asks for nothing that it may not. Raises EventError (`event_refused`).

    `is_by_hand`: a call without a context (`ctx is None`), which may read any local path. `is_served`: over HTTP,
    where policies of events are refused, and databases whose endpoint the settings do not list. A local path is looked
    at here, so that nothing is opened in vain; what counts is `open_allowed`.
    """
    if delivery.kind == "skip":
        return delivery
    if not is_by_hand and delivery.path is not None:
        _check_path(delivery.path, settings.roots)
    if settings.buckets is not None and delivery.bucket is not None and delivery.bucket not in settings.buckets:
        raise _refused("the event's bucket is none of EXR_INSPECTOR_BUCKETS")
    if not is_by_hand:
        _check_policy(delivery, settings.roots, is_served=is_served)
    if is_served and delivery.database:
        _check_database(delivery, settings.event_endpoints)
    return delivery


def open_allowed(path: str, roots: Sequence[str]) -> Source:
    """The opened file, if its real path lies under one of the roots.

    What counts is the open descriptor's path, not the name that was asked for: whatever links are changed while it is
    opened, what is read lies under a root. A hard link that lies there does, too. Raises EventError (`event_refused`)
    and SourceError.
    """
    _check_path(path, roots)
    file = LocalFile(path)
    try:
        _check_opened(file, roots)
    except ExrError:
        file.close()
        raise
    return file


def _check_opened(file: LocalFile, roots: Sequence[str]) -> None:
    real = file.real_path()
    if real is None:
        raise _refused("this system does not tell where an open file is: no event may name a local path here")
    if not _is_under(real, roots):
        raise _refused(_OUTSIDE)
    if not file.is_at(real):
        raise SourceError(Problem("source_changed", "the file was moved or replaced while it was opened"))


def _check_path(path: str, roots: Sequence[str]) -> None:
    if not roots:
        raise _refused("the event names a local path, and EXR_INSPECTOR_ROOTS is not set")
    try:
        real = os.path.realpath(path)
    except (OSError, ValueError):  # a NUL, a text that is no path
        raise _refused("the event's path is no path") from None
    if not _is_under(real, roots):
        raise _refused(_OUTSIDE)


def _is_under(real: str, roots: Sequence[str]) -> bool:
    """Whether a real path is below the real path of a root. A root that is a link is the operator's own."""
    return any(real.startswith(root.rstrip(os.sep) + os.sep) for root in map(os.path.realpath, roots))


def _check_policy(delivery: Delivery, roots: Sequence[str], *, is_served: bool) -> None:
    path = delivery.config.get("policy_path")
    if not path:
        return
    if is_served:
        raise _refused("the event names a policy_path: over HTTP no event may")
    if isinstance(path, str):
        _check_path(path, roots)


def _check_database(delivery: Delivery, endpoints: frozenset[str]) -> None:
    endpoint = delivery.database.get(_ENDPOINT)
    try:
        is_listed = isinstance(endpoint, str) and comparable_endpoint(endpoint) in endpoints
    except SettingsError:
        is_listed = False
    if not is_listed:
        raise _refused("the event names a database (vastdb_*) of an endpoint not in EXR_INSPECTOR_EVENT_ENDPOINTS")


def _refused(message: str) -> EventError:
    return EventError(Problem("event_refused", message))
