"""`exr-inspector migrate`: brings a catalog's tables to another version, and fills what is new in them."""

from __future__ import annotations

import argparse
from typing import Any

from exr_inspector.cli.escape import complain
from exr_inspector.cli.status import DONE, FATAL, UsageError
from exr_inspector.cli.stores import add_store_arguments, open_store
from exr_inspector.errors import ExrError

_MOST_MESSAGES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add(
        "--to", type=int, metavar="VERSION", help="the version to reach, by default the newest; older ones lose columns"
    )
    add("--dry-run", action="store_true", help="only tell what would be done")
    add("--reread", action="store_true", help="read the files of those rows that have no stored document")
    add_store_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status. Raises UsageError."""
    try:
        store = open_store(options) if options.vast else open_store(options, is_migrated=False, is_made=False)
        try:
            return _migrate(options, store)
        finally:
            store.close()
    except ExrError as error:
        complain(None, str(error))
        return FATAL


def _migrate(options: argparse.Namespace, store: Any) -> int:
    from exr_inspector.app import inspect  # noqa: PLC0415  as all that follows, after the arguments are checked
    from exr_inspector.stores.migrations import CURRENT_VERSION, OLDEST_VERSION, migrate, plan  # noqa: PLC0415

    to = CURRENT_VERSION if options.to is None else options.to
    if not OLDEST_VERSION <= to <= CURRENT_VERSION:
        raise UsageError(f"there is no version {to}: this program knows {OLDEST_VERSION} to {CURRENT_VERSION}")
    before = store.version()
    for migration, is_applied in plan(before, to):
        sign = "+" if is_applied else "-"
        print(f"{sign} {migration.version} {migration.description}")
    if options.dry_run:
        print(f"version {before}; {to} is what it would be")
        return DONE
    report = migrate(store, to, reread=inspect if options.reread else None)
    for path, reason in report.unfilled[:_MOST_MESSAGES]:
        complain(path, reason)
    if len(report.unfilled) > _MOST_MESSAGES:
        complain(None, f"{len(report.unfilled) - _MOST_MESSAGES} more messages like these")
    print(f"version {report.after}; {report.filled} rows filled, {len(report.unfilled)} not")
    return FATAL if report.unfilled else DONE
