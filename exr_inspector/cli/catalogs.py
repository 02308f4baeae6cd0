"""What the commands that ask a catalog have in common: their arguments, and which failures are whose."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from exr_inspector.cli.status import UsageError
from exr_inspector.cli.stores import DEFAULT_CATALOG

if TYPE_CHECKING:
    from exr_inspector.catalog import Catalog

FORMATS = ("table", "json", "csv", "parquet")


def add_db_argument(parser: argparse.ArgumentParser) -> None:
    """`--db`: these commands ask the embedded catalog; a VAST cluster is asked through its own engines."""
    parser.add_argument(
        "--db",
        metavar="FILE",
        default=DEFAULT_CATALOG,
        help=f"the catalog, a DuckDB file that scan made; {DEFAULT_CATALOG} by default",
    )


def add_result_arguments(parser: argparse.ArgumentParser) -> None:
    """How the answer looks, and where it goes."""
    parser.add_argument("--format", choices=FORMATS, help="default: a table on a terminal, else JSON")
    parser.add_argument("--output", metavar="FILE", help="write to a file, which is replaced only by a whole answer")


def loaded(module: str) -> Any:
    """A module that needs the packages of the catalog. Raises UsageError if they are not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        if (error.name or "").startswith("exr_inspector"):
            raise
        raise UsageError(f"{error.name} is missing: pip install 'exr-inspector[catalog]'") from error


@contextmanager
def asking(path: str) -> Iterator[Catalog]:
    """The catalog, open. Wrong names and values are wrong usage; StoreError is left to the command."""
    module = loaded("exr_inspector.catalog")
    with wrong_usage(), module.Catalog(path) as catalog:
        yield catalog


@contextmanager
def wrong_usage() -> Iterator[None]:
    """What the arguments got wrong, as UsageError."""
    from exr_inspector.catalog_queries import QueryError  # noqa: PLC0415  for these commands only

    try:
        yield
    except QueryError as error:
        raise UsageError(str(error)) from error
