"""What does the function take, without HTTP? Files a second, memory, faults, hostile events, and where the time goes.

    python bench/function.py            # some two minutes
    python bench/function.py --quick    # does it run?
    python bench/function.py --profile  # the calls that cost most, from event to rows

For speed the loopback S3 and VAST servers are processes of their own; for faults they are threads, since their faults
are planned from here.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import pstats
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from serve import corpus
from serving import BUCKET, batches, cpu_seconds, environment, event, resident_mb, server_process

from exr_inspector import dataengine
from exr_inspector.config_function import FunctionSettings
from exr_inspector.dataengine.databases import Pace
from exr_inspector.dataengine.function import Function
from exr_inspector.stores import vast_store
from tests.loopback.s3_server import S3Server
from tests.loopback.vast_server import VastServer
from tests.support import functions as parts
from tests.support.deliveries import deliver, planned
from tests.support.hostile import EVENT_KEYS, OBJECT_KEYS, OUTSIDE, Folders, Hostile

BATCH_FILES = 50
_SLOWEST = 25


class Sizes(NamedTuple):
    """How much of each is done."""

    files: int = 5_000
    alone: int = 300
    faulty: int = 1_500  # some 2,000 deliveries
    hostile: int = 10_000


QUICK = Sizes(files=100, alone=10, faulty=40, hostile=100)


@contextmanager
def configured(variables: dict[str, str], context: Any, **others: str) -> Iterator[None]:
    """The function of this process, ready; closed at the end. Nothing else of the environment counts."""
    for name in [name for name in os.environ if name.startswith(parts.VARIABLES)]:
        del os.environ[name]
    os.environ.update({name: value for name, value in variables.items() if name.startswith(parts.VARIABLES)} | others)
    gc.set_threshold(100_000)  # as main.py has it
    dataengine.init(context)
    function = dataengine._HOLDER.function  # noqa: SLF001 - to see when it is ready
    assert function is not None  # noqa: S101 - it was made above
    parts.until(lambda: function.is_ready, 60)
    yield
    dataengine.close(30)


def _nothing(_text: str) -> None:
    """Where log lines go that nobody reads."""


SILENT = SimpleNamespace(logger=SimpleNamespace(info=_nothing, warning=_nothing, error=_nothing))


# ---- Speed and memory --------------------------------------------------------------------------------------


def measure_speed(variables: dict[str, str], pids: dict[str, int], keys: Sequence[str], sizes: Sizes) -> None:
    pids = {"function": os.getpid(), **pids}
    with configured(variables, SILENT):
        dataengine.handler(SILENT, event(keys[0], "first"))
        work = batches([event(key, f"batch-{key}") for key in keys], BATCH_FILES)
        fifth = max(1, len(work) // 5)
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        started = time.perf_counter()
        for_all(work[:fifth])
        early = resident_mb(os.getpid())
        for_all(work[fifth:])
        seconds = time.perf_counter() - started
        late = resident_mb(os.getpid())
        spent = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        alone = measure_alone(keys[: sizes.alone])
    rate = len(keys) / seconds
    told = ", ".join(f"{name} {value:.1f}" for name, value in spent.items())
    print(f"| {len(keys)} events, batches of {BATCH_FILES}, two at once | {rate:.0f} files/s | ≥ 300 |")
    print(f"| processor seconds of these {seconds:.1f} s | {told} | |")
    print(f"| files a processor second of the function | {len(keys) / max(spent['function'], 0.01):.0f} | |")
    print(f"| one event at a time, {sizes.alone} of them | {alone:.0f} files/s, ratio {rate / alone:.1f} | ≥ 10 × |")
    print(
        f"| resident after {fifth * BATCH_FILES} and {len(keys)} events | {early:.0f} and {late:.0f} MB | ≤ 250, flat |"
    )


def for_all(work: Sequence[Sequence[Any]], threads: int = 2) -> None:
    """Calls the batch handler for each batch, from so many threads."""
    waiting, lock = list(reversed(work)), threading.Lock()

    def run() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                events = waiting.pop()
            for result in dataengine.batch_handler(SILENT, events):
                if result["persistence"]["status"] != "success":
                    raise RuntimeError(str(result["persistence"]))

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def measure_alone(keys: Sequence[str]) -> float:
    started = time.perf_counter()
    for key in keys:
        dataengine.handler(SILENT, event(key, f"alone-{key}"))
    return len(keys) / (time.perf_counter() - started)


# ---- Where the time goes -----------------------------------------------------------------------------------


def profile(variables: dict[str, str], keys: Sequence[str]) -> None:
    """Of the thread that writes, and of the threads that read: each has a profile of its own."""
    profiles: dict[str, cProfile.Profile] = {}
    run = threading.Thread.run

    def profiled(thread: threading.Thread) -> None:
        name = thread.name.rstrip("0123456789-")
        if not name.startswith("exr-"):
            run(thread)
            return
        mine = cProfile.Profile()
        mine.runcall(run, thread)
        profiles[f"{thread.name} {thread.ident}"] = mine

    threading.Thread.run = profiled  # type: ignore[method-assign]  # before the threads are started
    with configured(variables, SILENT, EXR_INSPECTOR_CONCURRENCY="1"):
        for_all(batches([event(key, key) for key in keys], BATCH_FILES))
    time.sleep(0.5)  # until the threads have ended
    for name, found in profiles.items():
        if len(found.getstats()) < _SLOWEST:
            continue  # the thread for events' own databases, which had nothing to do
        print(f"\n{name}")
        pstats.Stats(found).sort_stats("tottime").print_stats(_SLOWEST)
        pstats.Stats(found).sort_stats("cumtime").print_stats(_SLOWEST)


# ---- Faults ------------------------------------------------------------------------------------------------

# Which server, which operations, what happens, how likely.
FAULTS = (
    ("s3", "get", "slow_down", 0.05),
    ("s3", "get", "internal", 0.02),
    ("s3", "get", "drop", 0.03),
    ("s3", "get", "cut", 0.03),
    ("vast", "*", "slow_down", 0.02),
    ("vast", ("begin", "select"), "internal", 0.02),
    ("vast", ("insert", "update"), "bad_gateway", 0.02),
    ("vast", ("insert", "update"), "conflict", 0.03),
    ("vast", "*", "drop_before", 0.02),
    ("vast", ("insert", "update", "commit"), "drop_after", 0.03),
    ("vast", "commit", "internal_after", 0.1),
    ("vast", "commit", "conflict", 0.05),
)


def measure_faults(count: int) -> None:
    """With few tries of the store's own, so that much is left to be delivered again."""
    dice = random.Random(62)  # noqa: S311 - the same faults in each run
    vast_store.BATCH_TRIES = vast_store.SINGLE_TRIES = 2
    with S3Server(buckets=[BUCKET]) as s3, VastServer(buckets=[parts.DATABASE]) as vast:
        os.environ.update(parts.environment(s3, vast, S3_TIMEOUT_SECONDS="2"))
        settings = FunctionSettings(persist_failure="retry", batch_files=BATCH_FILES)
        function = parts.ready(Function(settings, logger=SILENT.logger, pace=Pace(0.02, 0.1, 0.1)))
        keys = [f"f{number}.exr" for number in range(count)]
        parts.put_all(s3, keys)
        servers: dict[str, Any] = {"s3": s3, "vast": vast}
        for number, (name, op, kind, probability) in enumerate(FAULTS):
            servers[name].faults.add(op=op, kind=kind, times=None, probability=probability, seed=number)
        for key in keys[:: max(1, count // 30)]:
            s3.faults.add(op="get", kind="unavailable", times=8, key=key)
        started = time.perf_counter()
        report = deliver(function, planned(keys, dice), dice)
        seconds = time.perf_counter() - started
        vast.faults.clear()
        function.close(10)
        wrong = {key: number for key, number in parts.counts(vast).items() if number != report.events[key]}
        parts.check_whole(vast)
    found = f"{count - len(set(report.events) - set(wrong))} objects without their one row and right count"
    print(f"| {report.deliveries} deliveries of {sum(report.events.values())} events, {seconds:.0f} s | | |")
    print(f"| failed and sent again; never finished | {report.failed_deliveries}; {report.unfinished} | 0 |")
    print(f"| {found} | {len(wrong)} | 0 |")


# ---- Hostile events ----------------------------------------------------------------------------------------


def measure_hostile(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        s3 = stack.enter_context(S3Server(buckets=[BUCKET]))
        vast = stack.enter_context(VastServer(buckets=[parts.DATABASE]))
        folders = Folders(Path(folder))
        hostile = Hostile(62, folders, [vast.endpoint, "http://127.0.0.1:9", "http://user:pw@h", "nonsense"])
        variables = parts.environment(s3, vast, EXR_INSPECTOR_ROOTS=str(folders.root), EXR_INSPECTOR_BUCKETS=BUCKET)
        lines, answers = parts.Lines(), Counter[str]()
        context = SimpleNamespace(logger=lines.logger)
        leaks, slowest, started = 0, 0.0, time.perf_counter()
        with configured(variables, context):
            for number in range(0, count, 20):
                for key in OBJECT_KEYS[number % 40 : number % 40 + 20]:
                    s3.put(BUCKET, key, hostile.object())
                events = [hostile.event() for _ in range(20)]
                begun = time.perf_counter()
                results = dataengine.batch_handler(context, events)
                slowest = max(slowest, time.perf_counter() - begun)
                for result in results:
                    leaks += told_too_much(json.dumps(result, allow_nan=False), s3, vast)
                    answers.update(each["persistence"]["status"] for each in result.get("documents", [result]))
        seconds = time.perf_counter() - started
        leaks += sum(told_too_much(text, s3, vast) for text in lines.texts)
        leaks += sum(told_too_much(str(row), s3, vast) for row in parts.rows(vast))
        parts.check_no_orphans(vast)
    told = ", ".join(f"{word}: {number}" for word, number in sorted(answers.items()))
    print(f"| {count} hostile events, {seconds:.0f} s; answers | {told} | no crash |")
    print(f"| the slowest 20 of them | {slowest:.1f} s | no hang |")
    print(f"| keys, endpoints, what lies outside the roots: in results, log lines, rows | {leaks} | 0 |")
    print(f"| resident at the end | {resident_mb(os.getpid()):.0f} MB | |")


def told_too_much(text: str, s3: S3Server, vast: VastServer) -> bool:
    hidden = (*EVENT_KEYS, OUTSIDE, s3.secret_key, vast.secret_key, "root:x:0")
    found = [each for each in hidden if each in text]
    if found:
        print(f"{found} in {text[:1000]}", file=sys.stderr)
    return bool(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", choices=("speed", "faults", "hostile"), help="one of the measurements")
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    options = parser.parse_args()
    sizes = QUICK if options.quick else Sizes()
    measured: dict[str, Callable[[], None]] = {
        "faults": lambda: measure_faults(sizes.faulty),
        "hostile": lambda: measure_hostile(sizes.hostile),
    }
    print("| what | found | target |\n|---|---|---|")
    if options.only in (None, "speed"):
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            keys = corpus(folder, sizes.files)
            s3, s3_pid = stack.enter_context(server_process("s3_server", "--bucket", f"{BUCKET}={folder}"))
            vast, vast_pid = stack.enter_context(server_process("vast_server", "--bucket", parts.DATABASE))
            variables = environment(s3, vast)
            if options.profile:
                profile(variables, keys[:1000])
                return 0
            measure_speed(variables, {"S3": s3_pid, "VAST": vast_pid}, keys, sizes)
    for name, measure in measured.items():
        if options.only in (None, name):
            measure()
    return 0


if __name__ == "__main__":
    sys.exit(main())
