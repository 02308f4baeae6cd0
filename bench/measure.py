"""How the bench measures: alternately, in one run, as ratios.

A machine that others use has no absolute times worth noting. Every comparison therefore lets its two sides read
the same file one directly after the other, in turn first and second, and takes the ratio of each such pair by
itself: what slows one side down slows the other one too. The figure is the median of these ratios, the noise their
quartiles. Garbage is collected after each round over the files and never while a side runs, on both sides.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

Run = Callable[[], float]  # runs once, returns seconds
Side = Sequence[Run]  # one for each file


class Comparison(NamedTuple):
    """`ours` and `theirs` are seconds a file: the shortest time of each file, their mean."""

    ours: float
    theirs: float
    ratio: float  # the median of ours / theirs over all pairs
    low: float  # first quartile
    high: float  # third quartile
    rounds: int


def alternate(ours: Side, theirs: Side, *, seconds: float, rounds: int) -> Comparison:
    """Runs both sides in turn, for at least that many rounds over the files and about that many seconds."""
    warm_up(ours), warm_up(theirs)
    found: list[list[tuple[float, float]]] = []
    end = time.perf_counter() + seconds
    with no_garbage_collection():
        while len(found) < rounds or time.perf_counter() < end:
            found.append(
                [pair(*sides, len(found) + index) for index, sides in enumerate(zip(ours, theirs, strict=True))]
            )
            gc.collect()
    ratios = [first / second for each in found for first, second in each]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    shortest = [tuple(map(min, zip(*of_file, strict=True))) for of_file in zip(*found, strict=True)]
    mine, other = map(statistics.fmean, zip(*shortest, strict=True))
    return Comparison(mine, other, ratio, low, high, len(found))


def pair(ours: Run, theirs: Run, number: int) -> tuple[float, float]:
    """One run of each side, the second one first every other time."""
    if number % 2:
        second = theirs()
        return ours(), second
    return ours(), theirs()


def warm_up(side: Side) -> None:
    for run in side:
        run()


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """What is there already is no garbage: the collections between the rounds are quick."""
    was_enabled = gc.isenabled()
    gc.disable()
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def over(items: Sequence[str], read: Callable[[str], object], prepare: Callable[[], object] | None = None) -> Side:
    """Reads each item; `prepare` runs before and is not counted."""

    def run(item: str) -> float:
        if prepare is not None:
            prepare()
        start = time.perf_counter()
        read(item)
        return time.perf_counter() - start

    return [partial(run, item) for item in items]


def process(*command: str) -> Side:
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

    return [run]


def timed_child(script: str, *arguments: str) -> Side:
    """Seconds that a script in a fresh Python measures and prints: nothing is left over from runs before."""
    return [lambda: float(child(script, *arguments))]


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

FIRST_INSPECT_SECONDS = """
import sys, time, exr_inspector
exr_inspector.inspect(sys.argv[1])
start = time.perf_counter()
exr_inspector.inspect(sys.argv[2])
print(time.perf_counter() - start)
"""

LOADED_MODULES = """
import sys
before = set(sys.modules)
import exr_inspector
print(*sorted(set(sys.modules) - before))
"""
