"""Whether the database is reachable, right, and safe for upserts: one finding for each question, in plain words.

The questions build on each other: after a failure the rest is not asked. What is asked of VAST DataBase changes
nothing but, for the second probe, the `last_batch` of one lock row; `is_creating` makes missing tables first,
`is_pruning` deletes old lines of the batch ledger, which nobody asks for any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

from exr_inspector.config_vast import VastSettings
from exr_inspector.errors import ExrError

OK, WARNING, FAILED = "ok", "warning", "failed"


class Finding(NamedTuple):
    """The answer to one question. `verdict` is ok, warning or failed."""

    check: str
    verdict: str
    message: str


def check_catalog(path: str) -> Iterator[Finding]:
    """What can be said of a DuckDB catalog without writing to it."""
    try:
        store = import_module("exr_inspector.stores.duckdb").DuckDBStore(path, read_only=True)
    except ExrError as error:
        yield Finding("catalog", FAILED, str(error))
        return
    try:
        yield Finding("catalog", OK, f"{path} opens, its tables are of version {store.version()}")
    finally:
        store.close()


def check_vast(settings: VastSettings, *, is_creating: bool = False, is_pruning: bool = False) -> Iterator[Finding]:
    """What can be said of a schema in VAST DataBase. Raises VASTDatabaseError if the client is not installed."""
    where = f"bucket {settings.bucket}, schema {settings.schema}; endpoint and keys from {settings.place}"
    yield Finding("configuration", OK, where)
    import_module("exr_inspector.stores.vast").require_client()
    probe = import_module("exr_inspector.stores.vast_probe").Probe(settings)
    probe.is_creating, probe.is_pruning = is_creating, is_pruning
    try:
        for check, run in probe.checks():
            finding = _asked(check, run)
            yield finding
            if finding.verdict == FAILED:
                return
    finally:
        probe.close()


def _asked(check: str, run: Callable[[], Any]) -> Finding:
    try:
        verdict, message = run()
    except ExrError as error:
        return Finding(check, FAILED, str(error))
    return Finding(check, verdict, message)
