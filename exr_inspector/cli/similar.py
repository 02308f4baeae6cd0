"""`exr-inspector similar`: the files of a catalog whose structure is most like one file's.

The file may be one that the catalog does not have: it is read, and compared without being stored.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from exr_inspector.app import inspect
from exr_inspector.cli.catalogs import add_db_argument, add_result_arguments, asking, loaded
from exr_inspector.cli.escape import complain
from exr_inspector.cli.status import DONE, FATAL, UsageError
from exr_inspector.errors import ExrError

if TYPE_CHECKING:
    from exr_inspector.catalog import Catalog

MEASURES = ("metadata", "channels")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("paths", nargs="*", metavar="PATH|FILE_ID", help="a file, in the catalog or not, or a file_id")
    parser.add_argument("-k", type=_count, default=10, metavar="N", help="so many files; 10 by default")
    parser.add_argument("--by", choices=MEASURES, default="metadata", help="all of the structure, or channels alone")
    add_db_argument(parser)
    add_result_arguments(parser)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 100_000 and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text!a} is not a number from 1 to 100000")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status. Raises UsageError and OutputError."""
    if len(options.paths) != 1:
        raise UsageError("one PATH or FILE_ID is needed")
    results = loaded("exr_inspector.cli.results")
    try:
        with asking(options.db) as catalog:
            found = _similar(catalog, options.paths[0], options)
            if found is None:
                return FATAL
            results.write_results(options, found.to_reader())
    except ExrError as error:
        complain(None, str(error))
        return FATAL
    return DONE


def _similar(catalog: Catalog, reference: str, options: argparse.Namespace) -> Any:
    """The table of files; None, and a complaint, for a file that cannot be read."""
    from exr_inspector.catalog import UnknownReference  # noqa: PLC0415  loads the database

    try:
        return catalog.similar(reference, options.k, by=options.by)
    except UnknownReference as unknown:
        document = inspect(reference, config={"integrity": "none"})
        if document["file"]["header_hash"] is None:
            for error in document["errors"]:
                complain(reference, f"{error['message']}; {unknown}")
            return None
    return catalog.similar_to(_vector(document, options.by), options.k, by=options.by)


def _vector(document: dict[str, Any], by: str) -> list[float]:
    from exr_inspector import embedding  # noqa: PLC0415  loads numpy

    if by == "channels":
        return list(embedding.compute_channel_fingerprint(document["channels"]))
    return list(embedding.compute_metadata_embedding(document))
