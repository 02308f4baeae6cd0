"""The bench of the function runs, and what it counts is right; its times are no matter of tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("vastdb")
pytest.importorskip("obstore")

ROOT = Path(__file__).parent.parent


def test_the_bench_runs() -> None:
    command = [sys.executable, "bench/function.py", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert lines[0] == "| what | found | target |"
    assert len(lines) == 13
    cells = (line.split("|") for line in lines)
    found = {what.strip(): value.strip() for _, what, value, *_ in cells}
    assert found["failed and sent again; never finished"].endswith("; 0")
    assert found["0 objects without their one row and right count"] == "0"
    assert found["keys, endpoints, what lies outside the roots: in results, log lines, rows"] == "0"
