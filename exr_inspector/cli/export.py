"""`exr-inspector export`: a catalog's four tables as Parquet files."""

from __future__ import annotations

import argparse

from exr_inspector.cli.catalogs import add_db_argument, asking, loaded
from exr_inspector.cli.escape import complain, plain, say
from exr_inspector.cli.status import DONE, FATAL
from exr_inspector.errors import ExrError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--parquet", metavar="DIR", required=True, help="the directory that gets one file per table")
    add_db_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status. Raises UsageError."""
    module = loaded("exr_inspector.catalog_export")
    try:
        with asking(options.db) as catalog:
            counts = module.export_parquet(catalog, options.parquet)
    except ExrError as error:
        complain(None, str(error))
        return FATAL
    rows = ", ".join(f"{table}: {count}" for table, count in counts.items())
    say(f"{plain(options.parquet)}: {rows}\n")
    return DONE
