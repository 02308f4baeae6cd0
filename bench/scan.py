"""How fast is a scan into a catalog? 20,000 small files, beside reading and embedding alone; then 20 kills.

    python bench/scan.py [--files N] [--rounds N] [--kills N] [--jobs N] [--folder DIR]

Prints a table: files per second, the ratio to reading the same headers and embedding them in one process without a
store, the second, unchanged run, and the memory of the scan of the files and of three times as many. The files
are warm. Seconds are wall-clock seconds of whole processes, start included; CPU seconds stand beside them, for
machines that others use. With --kills, a scan is killed so many times at random moments, and the catalog checked.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

from exr_files import minimal
from measure import ROOT, environment

FILES_PER_DIRECTORY = 500
LONG_AGO = 1_700_000_000

READ_AND_EMBED = """
import sys
from exr_inspector.app import inspect
from exr_inspector.cli.paths import files_below
from exr_inspector.embedding import embed_documents, fingerprint_channels
batch = []
def embed():
    embed_documents(batch)
    fingerprint_channels([each["channels"] for each in batch])
    batch.clear()
for path in files_below(sys.argv[1]):
    batch.append(inspect(path))
    if len(batch) == 500:
        embed()
embed()
"""

PEAK = """
import sys
from exr_inspector.cli.main import main
status = main(["scan", *sys.argv[1:]])
with open("/proc/self/status") as file:
    print(next(int(line.split()[1]) for line in file if line.startswith("VmHWM")), file=sys.stderr)
raise SystemExit(status)
"""


class Cost(NamedTuple):
    seconds: float
    cpu_seconds: float
    peak_mib: float


def run(*arguments: str) -> Cost:
    """A process, its children included. RuntimeError if it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{arguments[1:]}: {done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    last = done.stderr.split()[-1:] or ["0"]
    return Cost(seconds, cpu, int(last[0]) / 1024 if last[0].isdigit() else 0.0)


def make_files(folder: str, count: int) -> None:
    """Small files of many sequences, their times settled."""
    for number in range(count):
        directory = os.path.join(folder, f"sh{number // FILES_PER_DIRECTORY:04}")
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, f"beauty.{1001 + number:06}.exr")
        if not os.path.exists(path):
            minimal(path, number)
            os.utime(path, (LONG_AGO, LONG_AGO))


def best(measure: Callable[[], Cost], rounds: int) -> Cost:
    """The quickest of some rounds: what disturbs only makes slower."""
    return min((measure() for _ in range(rounds)), key=lambda cost: cost.seconds)


def compare(folder: str, options: argparse.Namespace) -> None:
    """The table."""
    db = os.path.join(options.folder, "bench.duckdb")
    more = os.path.join(options.folder, "more")
    make_files(more, 3 * options.files)

    def scan(root: str = folder, *, is_new: bool = True) -> Cost:
        if is_new:
            remove(db)
        return run("-c", PEAK, root, "--db", db, "--jobs", str(options.jobs))

    scan()  # warm
    alone, first, second = [], [], []
    for _ in range(options.rounds):
        alone.append(run("-c", READ_AND_EMBED, folder))
        first.append(scan())
        second.append(scan(is_new=False))
    large = scan(more)
    rows = (
        ("reading and embedding alone, one process", min(alone)),
        ("scan, first run", min(first)),
        ("scan, second run, nothing changed", min(second)),
    )
    print(f"{options.files} files, {options.jobs} jobs, {len(os.sched_getaffinity(0))} cores, best of {options.rounds}")
    for name, cost in rows:
        print(
            f"{name:42} {cost.seconds:7.2f} s {options.files / cost.seconds:8.0f} files/s {cost.cpu_seconds:7.2f} CPU s"
        )
    ratios = sorted(ours.seconds / theirs.seconds for ours, theirs in zip(first, alone, strict=True))
    again = sorted(ours.seconds / theirs.seconds for ours, theirs in zip(first, second, strict=True))
    print(f"scan / reading and embedding alone: {ratios[len(ratios) // 2]:.2f} (median; target at most 2)")
    print(f"first run / second run: {again[len(again) // 2]:.1f} (median; target at least 10)")
    peak = max(cost.peak_mib for cost in first)
    print(f"peak memory: {peak:.0f} MiB, and {large.peak_mib:.0f} MiB for three times as many files")


def remove(db: str) -> None:
    for path in (db, f"{db}.wal"):
        if os.path.exists(path):
            os.remove(path)


def kill(folder: str, options: argparse.Namespace) -> None:
    """Scans that are killed; then one that is not."""
    from exr_inspector.stores.duckdb import DuckDBStore  # noqa: PLC0415

    db, rng = os.path.join(options.folder, "killed.duckdb"), random.Random(1)  # noqa: S311
    remove(db)
    stored = 0
    for number in range(options.kills):
        process = subprocess.Popen(
            [sys.executable, "-m", "exr_inspector", "scan", folder, "--db", db],
            cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(rng.uniform(0.5, 4.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        with DuckDBStore(db) as store:
            (files, parts, attributes) = store.connection.execute(
                "SELECT (SELECT count(*) FROM files), (SELECT count(DISTINCT file_id) FROM parts), "
                "(SELECT count(*) FROM attributes)"
            ).fetchone() or (0, 0, 0)
        if not stored <= files == parts or attributes != 8 * files:
            raise SystemExit(
                f"kill {number}: {files} files, {parts} with parts, {attributes} attributes; {stored} before"
            )
        stored = files
        if stored == options.files:
            remove(db)
            stored = 0
    run("-m", "exr_inspector", "scan", folder, "--db", db)
    with DuckDBStore(db) as store:
        found = store.connection.execute("SELECT count(*), max(inspection_count) FROM files").fetchone()
    print(f"{options.kills} kills, every batch whole; at the end {found} files and the highest inspection_count")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or temporary
        folder = os.path.join(options.folder, "shows")
        make_files(folder, options.files)
        if options.rounds:
            compare(folder, options)
        if options.kills:
            kill(folder, options)


if __name__ == "__main__":
    main()
