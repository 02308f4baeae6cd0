"""The function's own store, or a few of those that events bring along. Used by one writer's thread.

The own store is opened at the start, which checks the tables once, and again after a failure that says that the
session or the tables may be wrong. While it cannot be opened it is tried again and again, each time later.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from exr_inspector.config_vast import VastSettings
from exr_inspector.errors import ExrError, Problem
from exr_inspector.stores.base import StoreError
from exr_inspector.stores.vast import open_vast_store, require_client

if TYPE_CHECKING:
    from exr_inspector.stores.vast_store import VastStore

STARTING, OPEN, DOWN, ABSENT = "starting", "open", "down", "absent"

# Each has connections of its own.
MAX_EVENT_DATABASES = 4


class Pace(NamedTuple):
    """How long to wait before the store is opened again, in seconds.

    `first` doubles up to `longest`. `slow`: where it is no question of time, as with wrong keys, but people may help.
    """

    first: float = 0.5
    longest: float = 30.0
    slow: float = 60.0

    def pause(self, error: ExrError, failures: int) -> float:
        """The pause after so many failures in a row; random, so that not all containers come at once."""
        bound = min(self.longest, self.first * 2 ** min(failures, 30)) if error.retryable else self.slow
        return bound * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


class State(NamedTuple):
    """How the function's own store is: `starting` means that nobody knows yet. `error` says why it is `down`."""

    phase: str
    error: ExrError | None = None


class Databases:
    """Stores by their settings. `own` is None where no database is configured. For one thread, but for `state`."""

    def __init__(self, own: VastSettings | None, *, pace: Pace, note: Callable[[str], None]) -> None:
        self.state = State(ABSENT if own is None else STARTING)
        self._own = own
        self._store: VastStore | None = None
        self._pace = pace
        self._note = note
        self._failures = 0
        self._due = 0.0
        self._others: OrderedDict[VastSettings, _Other] = OrderedDict()

    @property
    def name(self) -> str:
        """Whose databases these are."""
        return "own" if self._own is not None else "events"

    def seconds_until_due(self) -> float | None:
        """When `open_if_due` has something to do; None if it has not."""
        is_wanted = self._own is not None and self._store is None
        return max(0.0, self._due - time.monotonic()) if is_wanted else None

    def open_if_due(self) -> None:
        """Opens the own store, if it is not open and it is time for the next try. Raises nothing."""
        if self._own is None or self._store is not None or time.monotonic() < self._due:
            return
        try:
            self._store = _opened(self._own)
        except ExrError as error:
            self._is_down(error)
        except Exception as error:  # noqa: BLE001 - nothing that the client raises may end the tries
            self._is_down(StoreError(Problem("store_unreachable", f"the client failed: {type(error).__name__}")))
        else:
            if self._failures:
                self._note("the database is open again")
            self._failures = 0
            self.state = State(OPEN)

    def _is_down(self, error: ExrError) -> None:
        pause = self._pace.pause(error, self._failures)
        self._failures += 1
        self._due = time.monotonic() + pause
        self.state = State(DOWN, error)
        self._note(f"the database cannot be opened, next try in {pause:.1f} s: {error}")

    def store(self, database: VastSettings | None) -> VastStore:
        """The open store of an event's database, or the own one. Raises SettingsError and VASTDatabaseError."""
        if database is not None:
            return self._other(database)
        self.open_if_due()
        if self._store is None:
            raise self.state.error or StoreError(Problem("store_unconfigured", "no database is configured"))
        return self._store

    def _other(self, database: VastSettings) -> VastStore:
        kept = self._others.get(database)
        if kept is None or (kept.store is None and kept.until <= time.monotonic()):
            kept = self._others[database] = self._opened_other(database)
        self._others.move_to_end(database)
        while len(self._others) > MAX_EVENT_DATABASES:
            _, oldest = self._others.popitem(last=False)
            oldest.close()
        if kept.store is None:
            raise kept.error or StoreError(Problem("store_failed", "the database could not be opened"))
        return kept.store

    def _opened_other(self, database: VastSettings) -> _Other:
        try:
            return _Other(_opened(database), None, 0.0)
        except ExrError as error:
            # Events come in numbers: the next one need not wait for the same time-out.
            return _Other(None, error, time.monotonic() + self._pace.pause(error, 0))

    def failed(self, database: VastSettings | None, error: ExrError | None) -> None:
        """A write failed; None: for a reason that is not known. Closes what may be broken; the next write opens it."""
        if error is not None and error.code == "store_conflict":
            return
        if database is not None:
            if kept := self._others.get(database):
                if kept.store is not None:
                    self._others.pop(database)
                kept.close()
            return
        if self._store is not None:
            store, self._store = self._store, None
            self._due = 0.0
            self.state = State(STARTING)
            store.close()

    def close(self) -> None:
        """Closes all of them."""
        if self._store is not None:
            self._store.close()
            self._store = None
        while self._others:
            self._others.popitem()[1].close()


def _opened(settings: VastSettings) -> VastStore:
    """A store that can be written to. Raises VASTDatabaseError, also where the tables are of an older version."""
    store = open_vast_store(settings)
    try:
        require_client().require_current(store.catalog)
    except ExrError:
        store.close()
        raise
    return store


class _Other(NamedTuple):
    """An event's database: open, or why not, and until when that is believed."""

    store: VastStore | None
    error: ExrError | None
    until: float

    def close(self) -> None:
        if self.store is not None:
            self.store.close()
