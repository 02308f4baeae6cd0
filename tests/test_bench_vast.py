"""The bench of the VAST store runs, and its tables have rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("vastdb")

ROOT = Path(__file__).parent.parent


def test_the_bench_runs() -> None:
    command = [sys.executable, "bench/vast.py", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(lines) == 9  # three heads, two rows each
    assert lines[1].startswith("| 1 | 144 | 10 | 7 |")
    assert lines[-1].endswith("| 0 |")
