"""`exr-inspector doctor`: asks whether the database is reachable, right, and safe for upserts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable

from exr_inspector import doctor
from exr_inspector.cli.escape import plain
from exr_inspector.cli.status import DONE, FAILED, UsageError
from exr_inspector.config_vast import VastSettings, vast_settings
from exr_inspector.errors import ExrError
from exr_inspector.settings import SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--db", metavar="FILE", help="ask of a DuckDB catalog")
    where.add_argument("--vast", action="store_true", help="ask of VAST DataBase; so without --db")
    parser.add_argument("--create", action="store_true", help="make missing tables in VAST DataBase first")
    parser.add_argument("--prune", action="store_true", help="delete what is older than 30 days in the batch ledger")
    parser.add_argument("--json", action="store_true", help="the findings as a JSON array")


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status: 1 if a check failed. Raises UsageError."""
    if options.db:
        return _told(doctor.check_catalog(options.db), is_json=options.json)
    try:
        return _told(_of_vast(options), is_json=options.json)
    except ExrError as error:  # the client is not installed
        raise UsageError(str(error)) from error


def _of_vast(options: argparse.Namespace) -> Iterable[doctor.Finding]:
    return doctor.check_vast(_settings(), is_creating=options.create, is_pruning=options.prune)


def _settings() -> VastSettings:
    try:
        settings = vast_settings()
    except SettingsError as error:
        raise UsageError(str(error)) from error
    if settings is None:
        raise UsageError("VAST DataBase not configured: set VAST_DB_ENDPOINT, its keys and VAST_DB_BUCKET, or use --db")
    return settings


def _told(findings: Iterable[doctor.Finding], *, is_json: bool) -> int:
    told = []
    for finding in findings:
        told.append(finding)
        if not is_json:
            sys.stdout.write(f"{finding.verdict:8} {finding.check:23} {plain(finding.message)}\n")
            sys.stdout.flush()
    if is_json:
        sys.stdout.write(json.dumps([finding._asdict() for finding in told], indent=2) + "\n")
    return FAILED if any(finding.verdict == doctor.FAILED for finding in told) else DONE
