"""Run the SDK's own tests, as they are installed with `vastdb`, against the loopback server.

    python -m tests.loopback.run_sdk_suite [--version 5.5] [--all] [-- pytest arguments]

Needs `vastdb`, `pytest`, `pandas`, `pytest-check`, `pytest-timeout`. The tests' conftest imports boto3 for
tests that are left out here; where it is missing, an empty stand-in takes its place. What is left out, and
why, stands in NOT_APPLICABLE; `--all` runs it too.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .vast_server import VastServer

BUCKET = "sdk-suite"
TEST_SECONDS = 120
# Some tests wait minutes for a cluster's background work; this server has none.
SHORT_SLEEP = "import time\n_sleep = time.sleep\ntime.sleep = lambda seconds: _sleep(min(seconds, 0.5))\n"

# Left out: a file, or a test in a file, and why.
NOT_APPLICABLE = {
    "test_adbc_integration.py": "needs the ADBC driver and a cluster's query engine",
    "test_by_column_inserter.py": "never talks to a server",
    "test_blob_expansion.py": "skipped by the SDK itself; blob expansion is not served",
    "test_duckdb.py": "compares what DuckDB's .arrow() returns, which changed in DuckDB 1.4",
    "test_ibis_utils.py": "never talks to a server",
    "test_imports.py": "imports Parquet objects that the server reads from S3",
    "test_projections.py": "semi-sorted projections are not served",
    "test_util.py": "never talks to a server",
    "test_vector_search.py": "vector search is SQL through ADBC",
    "test_sanity.py::test_bad_endpoint": "looks up a host name outside",
    "test_table_in_tx.py::test_projections": "semi-sorted projections are not served",
    "test_tables.py::test_audit_log_select": "reads a cluster's audit log",
    "test_tables.py::test_catalog_select": "reads the VAST catalog",
    "test_tables.py::test_catalog_snapshots_select": "reads the VAST catalog's snapshots",
    "test_tables.py::test_external_row_id": "row ids given by the caller are not served",
}


@dataclass(frozen=True)
class Outcome:
    """One test's result."""

    file: str
    name: str
    result: str  # passed, failed, skipped
    message: str = ""


def sdk_folder() -> Path:
    """Return the folder of the installed SDK."""
    found = importlib.util.find_spec("vastdb")
    if found is None or found.origin is None:
        raise SystemExit("vastdb is not installed")
    return Path(found.origin).parent


def run(version: tuple[int, int], extra: Sequence[str], *, everything: bool) -> list[Outcome]:
    """Run the suite against a fresh server of that version."""
    folder = sdk_folder()
    with VastServer(version=version, buckets=[BUCKET]) as server, tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        _write_plugin(Path(scratch))
        command = [sys.executable, "-m", "pytest", *_pytest_options(folder, report, server)]
        if not everything:
            command += [option for test in NOT_APPLICABLE for option in _leave_out(folder, test)]
        chosen = [argument for argument in extra if (folder / "tests" / argument).exists()]
        command += [*extra, *([] if chosen else [str(folder / "tests")])]
        subprocess.run(command, env=_environment(scratch), cwd=scratch, check=False)
        return list(_read(report))


def _pytest_options(folder: Path, report: Path, server: VastServer) -> list[str]:
    return [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "short_sleep",
        "-c",
        os.devnull,
        f"--rootdir={folder}",
        f"--confcutdir={folder}",
        f"--junitxml={report}",
        "--tb=short",
        f"--timeout={TEST_SECONDS}",
        "-W",
        "ignore",
        f"--tabular-endpoint-url={server.endpoint}",
        f"--tabular-bucket-name={BUCKET}",
        f"--tabular-access-key={server.access_key}",
        f"--tabular-secret-key={server.secret_key}",
    ]


def _leave_out(folder: Path, test: str) -> list[str]:
    path = folder / "tests" / test
    return [f"--deselect=tests/{test}"] if "::" in test else [f"--ignore={path}"]


def _write_plugin(scratch: Path) -> None:
    """Write what pytest is to load besides: short sleeps, and a stand-in for boto3 if there is none."""
    (scratch / "short_sleep.py").write_text(SHORT_SLEEP)
    if importlib.util.find_spec("boto3") is None:
        (scratch / "boto3.py").write_text('"""A stand-in: the tests that use S3 are left out."""\n')


def _environment(scratch: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [scratch, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def _read(report: Path) -> Iterator[Outcome]:
    for case in ET.parse(report).getroot().iter("testcase"):
        file = case.get("classname", "").rpartition(".")[2] + ".py"
        bad = next((case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None), None)
        skipped = case.find("skipped")
        noted = bad if bad is not None else skipped
        result = "failed" if bad is not None else "skipped" if skipped is not None else "passed"
        message = "" if noted is None else (noted.get("message") or "").splitlines()[0][:100]
        yield Outcome(file, case.get("name", ""), result, message)


def summary(outcomes: Iterable[Outcome], *, everything: bool) -> str:
    """Return the table of results by file, what did not pass, and what was left out."""
    outcomes = list(outcomes)
    lines = [f"{'file':24} passed failed skipped"]
    files = sorted({outcome.file for outcome in outcomes})
    lines += [_line(file, [outcome for outcome in outcomes if outcome.file == file]) for file in files]
    lines.append(_line("total", outcomes))
    lines += [f"{o.result}: {o.file}::{o.name}: {o.message}" for o in outcomes if o.result != "passed"]
    if not everything:
        lines += [f"not applicable: {test}: {why}" for test, why in NOT_APPLICABLE.items()]
    return "\n".join(lines)


def _line(title: str, outcomes: Sequence[Outcome]) -> str:
    counted = Counter(outcome.result for outcome in outcomes)
    return f"{title:24} {counted['passed']:6} {counted['failed']:6} {counted['skipped']:7}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the summary, and fail if a test failed."""
    parser = argparse.ArgumentParser(description="Run the SDK's own tests against the loopback server.")
    parser.add_argument("--version", default="5.5", help="5.4 or 5.5")
    parser.add_argument("--all", action="store_true", help="run what is not applicable, too")
    parser.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    options = parser.parse_args(arguments)
    major, minor = map(int, options.version.split("."))
    outcomes = run((major, minor), options.pytest, everything=options.all)
    sys.stdout.write(summary(outcomes, everything=options.all) + "\n")
    return int(not outcomes or any(outcome.result == "failed" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
