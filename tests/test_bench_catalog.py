"""The benches of scans and of growing catalogs run. No timings: they belong in bench/catalog.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from exr_inspector.stores.duckdb import DuckDBStore

ROOT = Path(__file__).parent.parent


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_scan(tmp_path: Path) -> None:
    output = run("bench/scan.py", "--files", "200", "--rounds", "1", "--kills", "1", "--folder", str(tmp_path))
    assert "scan, second run, nothing changed" in output
    assert "1 kills, every batch whole; at the end (200, 1)" in output


def test_growth(tmp_path: Path) -> None:
    sizes = ("--small", "100", "--large", "300", "--base", "50", "--batch", "10", "--rounds", "1")
    output = run("bench/growth.py", *sizes, "--folder", str(tmp_path))
    assert "similar, top 10 of 300 current_files" in output
    with DuckDBStore(tmp_path / "growth.duckdb", read_only=True) as store:
        # 300 copies, and at each of the two sizes 5 known and 10 new documents
        assert store.connection.execute("SELECT count(*) FROM current_files").fetchone() == (330,)
