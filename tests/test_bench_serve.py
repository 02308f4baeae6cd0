"""The bench of serve runs, and what it tells of faults is what must be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

for package in ("uvicorn", "vastdb", "obstore"):
    pytest.importorskip(package)

ROOT = Path(__file__).parent.parent


def test_the_bench_runs() -> None:
    command = [sys.executable, "bench/serve.py", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    told = {row[0].removeprefix("| "): row[1] for row in rows}
    assert told["of them stored, in how many transactions; answers"] == "150, 3; {204: 3}"
    assert told["faults: objects, rows of files, objects without a row, paths twice"] == "60, 60, 0, 0"
    assert told["tables in which a file has not all of its rows"] == "0"
    assert ", 200, 0, 0, " in told["events a second, /liveness, exit, keys in the log, resident"]
