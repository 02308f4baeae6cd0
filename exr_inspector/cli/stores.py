"""The arguments by which a command finds its store, and the store."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from exr_inspector.cli.status import UsageError
from exr_inspector.errors import ExrError

DEFAULT_CATALOG = "catalog.duckdb"


def add_store_arguments(parser: argparse.ArgumentParser) -> None:
    """`--db` and `--vast`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--db",
        metavar="FILE",
        default=DEFAULT_CATALOG,
        help=f"the catalog, a DuckDB file; {DEFAULT_CATALOG} by default",
    )
    where.add_argument("--vast", action="store_true", help="VAST DataBase, as the environment configures it")


def open_store(options: argparse.Namespace, **how: Any) -> Any:
    """The store that the arguments name, open. `how` goes to a DuckDB catalog.

    Raises UsageError if it is not configured or its packages are not installed, and StoreError.
    """
    module, extra = ("vast", "vast") if options.vast else ("duckdb", "catalog")
    try:
        found = import_module(f"exr_inspector.stores.{module}")
    except ImportError as error:
        raise UsageError(f"{error.name} is missing: pip install 'exr-inspector[{extra}]'") from error
    try:
        return found.open_vast_store() if options.vast else found.DuckDBStore(options.db, **how)
    except ExrError as error:
        if error.code == "store_unconfigured":
            raise UsageError(str(error)) from error
        raise
