"""VAST DataBase, as callers see it. The client costs half a second and 119 MB, and is loaded when a store is opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from exr_inspector.config_vast import VastSettings, vast_settings
from exr_inspector.errors import Problem
from exr_inspector.settings import SettingsError
from exr_inspector.stores.base import Document, StoreError, WriteResult, write_halving
from exr_inspector.tables import Tables, documents_to_tables

if TYPE_CHECKING:
    from exr_inspector.stores.vast_store import VastStore

NOT_CONFIGURED = WriteResult("skipped", None, False, "VAST DataBase not configured")


class VASTDatabaseError(StoreError):
    """The database could not do what it was asked for. The message has no key, address or URL.

    `is_of_rows`: the server failed when it got rows, so that other rows may do better. `is_unsure`: nobody knows
    whether the batch was committed; writing it again is safe, and may count its inspections twice.
    """

    def __init__(self, problem: Problem, *, is_of_rows: bool = False, is_unsure: bool = False) -> None:
        super().__init__(problem)
        self.is_of_rows = is_of_rows
        self.is_unsure = is_unsure


def open_vast_store(settings: VastSettings | None = None, session: Any = None) -> VastStore:
    """A store, its tables made if they are missing. It belongs to the thread that opens it.

    `settings`: those of the environment by default. `session`: a `vastdb.Session` to use instead of a new one.
    Raises SettingsError and VASTDatabaseError; `store_unconfigured` if there are no settings.
    """
    settings = settings or vast_settings()
    if settings is None:
        message = "VAST DataBase is not configured: set VAST_DB_ENDPOINT, VAST_DB_ACCESS_KEY, VAST_DB_SECRET_KEY, "
        raise SettingsError(Problem("store_unconfigured", f"{message}VAST_DB_BUCKET"))
    return require_client().VastStore(settings, session)  # type: ignore[no-any-return]


def require_client() -> Any:
    """The module that needs the client. Raises VASTDatabaseError if it is not installed."""
    try:
        return import_module("exr_inspector.stores.vast_store")
    except ModuleNotFoundError as error:
        if error.name != "vastdb":
            raise
        message = "the VAST DataBase client is not installed: pip install 'exr-inspector[vast]'"
        raise VASTDatabaseError(Problem("store_unconfigured", message)) from error


class _Opened(threading.local):
    """The store of each thread, for calls that come without one: a session for each event would exhaust connections."""

    key: Any = None
    store: VastStore | None = None


_OPENED = _Opened()


def persist_to_vast_database(
    payload: Document, event: Mapping[str, Any] | None = None, session: Any = None, *, ctx: Any = None
) -> dict[str, Any]:
    """Upserts one document; returns `WriteResult.as_dict()`.

    Where the database is, and with which keys, is found by `config_vast.vast_settings` in `event`, `ctx.secrets` and
    the environment; nothing there: `skipped`. `session` is an open `VastStore`, or a `vastdb.Session` to use.
    The thread's last store is kept open and used again. Raises DocumentError (a ValueError) for a payload that is no
    document, naming the field; every other failure is in the result.
    """
    tables = documents_to_tables([payload])  # a bad payload is the caller's error, whatever the database
    try:
        store = _store(event, session, getattr(ctx, "secrets", None))
        if store is None:
            return NOT_CONFIGURED.as_dict()
        (result,) = write_halving(_writer(store, payload, tables), [payload])
    except (SettingsError, StoreError) as error:
        if not error.retryable:
            close_kept_store()  # what it knows of the tables may be wrong
        return WriteResult.of_error(error).as_dict()
    return result.as_dict()


def _writer(store: VastStore, payload: Document, tables: Tables) -> Callable[[Sequence[Document]], list[WriteResult]]:
    """Writes the tables of the payload, which are made already, or else the document that takes its place."""

    def write(documents: Sequence[Document]) -> list[WriteResult]:
        return store.write_tables(tables) if documents[0] is payload else store.write_batch(documents)

    return write


def close_kept_store() -> None:
    """Closes the store that `persist_to_vast_database` keeps for this thread."""
    store, _OPENED.store, _OPENED.key = _OPENED.store, None, None
    if store is not None:
        store.close()


def _store(event: Mapping[str, Any] | None, session: Any, secrets: Mapping[str, Any] | None) -> VastStore | None:
    if hasattr(session, "write_batch"):
        return session  # type: ignore[no-any-return]
    settings = vast_settings(event if isinstance(event, Mapping) else None, secrets)
    if settings is None:
        return None
    key = (settings, id(session))
    if _OPENED.store is None or _OPENED.key != key:
        close_kept_store()
        _OPENED.store = open_vast_store(settings, session)
        _OPENED.key = key
    return _OPENED.store
