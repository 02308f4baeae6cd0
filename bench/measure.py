"""How the bench measures: alternately, in one run, as ratios.

A machine that others use has no absolute times worth noting. Every comparison therefore runs its two sides in
turn, round by round, the order reversed every other round, and takes the ratio of each round by itself: what
slows one side down slows the other one too. The figure is the median of these ratios, the noise their quartiles.
Garbage is collected before each round and never during one, on both sides.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

Run = Callable[[], float]  # runs once, returns seconds


class Comparison(NamedTuple):
    """Seconds are medians of the rounds; `ratio` is the median of ours / theirs in each round."""

    ours: float
    theirs: float
    ratio: float
    low: float  # first quartile of the ratios
    high: float  # third quartile
    rounds: int


def alternate(ours: Run, theirs: Run, *, seconds: float, rounds: int) -> Comparison:
    """Runs both sides in turn, for at least that many rounds and about that many seconds, after one to warm up."""
    ours(), theirs()
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        while len(pairs) < rounds or time.perf_counter() < end:
            gc.collect()
            if len(pairs) % 2:
                second = theirs()
                pairs.append((ours(), second))
            else:
                first = ours()
                pairs.append((first, theirs()))
    finally:
        if was_enabled:
            gc.enable()
    ratios = [first / second for first, second in pairs]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Comparison(mine, other, ratio, low, high, len(pairs))


def over(paths: Sequence[str], read: Callable[[str], object], prepare: Callable[[], object] | None = None) -> Run:
    """Seconds a file, reading all paths once; `prepare` runs before each file and is not counted."""

    def run() -> float:
        total, clock = 0.0, time.perf_counter
        for path in paths:
            if prepare is not None:
                prepare()
            start = clock()
            read(path)
            total += clock() - start
        return total / len(paths)

    return run


def process(*command: str) -> Run:
    """Seconds of a whole process, its output thrown away. RuntimeError if it fails."""

    def run() -> float:
        start = time.perf_counter()
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), check=False
        )
        elapsed = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"{command} failed with {done.returncode}: {done.stderr[-2000:]!r}")
        return elapsed

    return run


def child(script: str, *arguments: str) -> str:
    """What a fresh Python prints that runs the script. RuntimeError if it fails."""
    command = (sys.executable, "-c", script, *arguments)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        raise RuntimeError(f"a child failed: {done.stderr[-2000:]}")
    return done.stdout.strip()


def environment() -> dict[str, str]:
    """The environment of children: this checkout comes first."""
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": ROOT + (os.pathsep + before if before else "")}


# ---- Children ----------------------------------------------------------------------------------------------

# The highest resident size of this process alone: `ru_maxrss` would also count the parent it was started from.
_PEAK = """
import sys
def peak_bytes():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
"""

PEAK_OF_INSPECT = (
    _PEAK
    + """
import exr_inspector
exr_inspector.inspect(sys.argv[1])
before = peak_bytes()
document = exr_inspector.inspect(sys.argv[2])
print(peak_bytes() - before)
"""
)

PEAK_OF_COMMAND = (
    _PEAK
    + """
import io, contextlib, os
from exr_inspector.cli.main import main
sys.stdout.flush()
saved, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
os.dup2(null, 1)
main([sys.argv[1]])
sys.stdout.flush()
before = peak_bytes()
main([sys.argv[2]])
sys.stdout.flush()
os.dup2(saved, 1)
print(peak_bytes() - before)
"""
)

TRACED_PEAK_OF_INSPECT = """
import sys, tracemalloc, exr_inspector
exr_inspector.inspect(sys.argv[1])
tracemalloc.start()
document = exr_inspector.inspect(sys.argv[2])
print(tracemalloc.get_traced_memory()[1])
"""

# Every call of `os` that gives bytes of a file is counted; importing modules does not go through them.
BYTES_READ = """
import os, sys, json
read = 0
def counted(name):
    call = getattr(os, name, None)
    def count(*arguments):
        global read
        got = call(*arguments)
        read += len(got) if isinstance(got, bytes) else got
        return got
    if call is not None:
        setattr(os, name, count)
for name in ("read", "pread", "readv", "preadv"):
    counted(name)
import exr_inspector
document = exr_inspector.inspect(sys.argv[1], config={"integrity": sys.argv[2]})
found = document["integrity"]
print(json.dumps({"bytes": read, "status": found["status"], "checked": found["checked"]}))
"""

IMPORT_SECONDS = """
import time
start = time.perf_counter()
import exr_inspector
print(time.perf_counter() - start)
"""

FIRST_READ_SECONDS = """
import sys, time
start = time.perf_counter()
import exr_inspector
exr_inspector.read_header(sys.argv[1])
print(time.perf_counter() - start)
"""

LOADED_MODULES = """
import sys
before = set(sys.modules)
import exr_inspector
print(*sorted(set(sys.modules) - before))
"""
