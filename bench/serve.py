"""What does `exr-inspector serve` take? Start, files a second, memory, faults and mutated events.

    python bench/serve.py            # some three minutes
    python bench/serve.py --quick    # does it run?

The loopback S3 and VAST servers are Python processes of their own on 127.0.0.1, and so is what posts. The processor
time of each is told, since they share the machine's processors: what the serving process uses is its own limit.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import exr_files
from serving import (
    BUCKET,
    DATABASE,
    KEYS,
    ROOT,
    Serving,
    batches,
    cpu_seconds,
    environment,
    event,
    post_all,
    posted,
    resident_mb,
    server_process,
    serving,
)

from tests.loopback.s3_server import S3Server
from tests.loopback.vast_server import VastServer

BATCH_FILES = 50
AT_ONCE = 4
_KINDS = 20


class Sizes(NamedTuple):
    """How much of each is done."""

    starts: int = 5
    files: int = 5_000
    alone: int = 300
    small: int = 5_000
    faulty: int = 2_000
    mutated: int = 10_000


QUICK = Sizes(starts=1, files=150, alone=10, small=150, faulty=60, mutated=100)


def corpus(folder: str, count: int, make: Callable[[str, int], None] = exr_files.rich, show: str = "show") -> list[str]:
    """Keys of so many objects: frames of a renderer's file with 60 attributes and 80 channels, in a few shots."""
    for frame in range(_KINDS):
        make(os.path.join(folder, f"{show}{frame}"), exr_files.FIRST_FRAME + frame)
    keys = []
    for number in range(count):
        key = f"{show}/shot{number // 500:03}/beauty.{number % 500:04}.exr"
        os.makedirs(os.path.join(folder, os.path.dirname(key)), exist_ok=True)
        os.link(os.path.join(folder, f"{show}{number % _KINDS}"), os.path.join(folder, key))
        keys.append(key)
    return keys


# ---- Start, speed, memory ----------------------------------------------------------------------------------


def measure_start(variables: dict[str, str], starts: int) -> None:
    seconds = []
    for _ in range(starts):
        with serving(variables) as server:
            seconds.append(server.ready_seconds)
            server.end(signal.SIGTERM)
    print(f"| start to ready, VAST configured, median of {starts} | {sorted(seconds)[starts // 2]:.2f} s | ≤ 2 s |")


def measure_small(variables: dict[str, str], keys: Sequence[str], count_alone: int) -> None:
    """The same with headers of eight attributes and four channels: what a file costs beside its rows."""
    with serving(variables) as server:
        work = batches([event(key, f"small-{key}") for key in keys], BATCH_FILES)
        post_all(server, work[:2], AT_ONCE)
        before = cpu_seconds(server.process.pid)
        seconds, _ = post_all(server, work[2:], AT_ONCE)
        spent = cpu_seconds(server.process.pid) - before
        alone = measure_alone(server, count_alone, "small")
    rate = (len(keys) - 2 * BATCH_FILES) / seconds
    a_second = rate * seconds / spent
    print(f"| {len(keys)} events of small headers | {rate:.0f} files/s, {a_second:.0f} a CPU second | ≥ 300 |")
    print(f"| one of them at a time, {count_alone} | {alone:.0f} files/s, ratio {rate / alone:.1f} | ≥ 10 × |")


def measure_speed(variables: dict[str, str], pids: dict[str, int], keys: Sequence[str], sizes: Sizes) -> None:
    with serving(variables) as server:
        pids = {"serve": server.process.pid, **pids, "client": os.getpid()}
        work = batches([event(key, f"batch-{key}") for key in keys], BATCH_FILES)
        fifth = max(1, len(work) // 5)
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        first, statuses = post_all(server, work[:fifth], AT_ONCE)
        early = resident_mb(server.process.pid)
        rest, more = post_all(server, work[fifth:], AT_ONCE)
        late = resident_mb(server.process.pid)
        spent = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        seconds, statuses = first + rest, statuses + more
        rate = len(keys) / seconds
        stored = server.metric('exr_inspector_files_total{outcome="stored"}')
        transactions = server.metric("exr_inspector_transactions_total")
        alone = measure_alone(server, sizes.alone, "show")
    told = ", ".join(f"{name} {value:.1f}" for name, value in spent.items())
    print(f"| {len(keys)} events, batches of {BATCH_FILES}, {AT_ONCE} posts at once | {rate:.0f} files/s | ≥ 300 |")
    print(
        f"| of them stored, in how many transactions; answers | {stored:.0f}, {transactions:.0f}; {dict(statuses)} | |"
    )
    print(f"| processor seconds of these {seconds:.1f} s | {told} | |")
    print(f"| files a processor second of the serving process | {len(keys) / max(spent['serve'], 0.01):.0f} | |")
    print(f"| one event at a time, {sizes.alone} of them | {alone:.0f} files/s, ratio {rate / alone:.1f} | ≥ 10 × |")
    print(
        f"| resident after {fifth * BATCH_FILES} and {len(keys)} events | {early:.0f} and {late:.0f} MB | ≤ 250, flat |"
    )


def measure_alone(server: Serving, count: int, show: str) -> float:
    """Files a second of one event after another: objects that are there, under ids that are new."""
    connection, started = server.connection(), time.perf_counter()
    for number in range(count):
        status = posted(connection, [event(f"{show}/shot000/beauty.{number % 100:04}.exr", f"alone-{show}-{number}")])
        if status != 204:
            raise RuntimeError(f"answered {status}")
    connection.close()
    return count / (time.perf_counter() - started)


# ---- Faults ------------------------------------------------------------------------------------------------


class Delivering:
    """The platform's side: delivers batches until each is answered 204; some twice, in any order."""

    def __init__(self, keys: Sequence[str], seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - the same in every run
        events = [event(key, f"fault-{key}") for key in keys]
        events += dice.sample(events, len(events) // 10)
        dice.shuffle(events)
        self._waiting: list[Sequence[Any]] = []
        while events:
            size = dice.choice((1, 2, 10, 50))
            self._waiting.append(events[:size])
            events = events[size:]
        self._dice = dice
        self._lock = threading.Lock()
        self._port = 0
        self._left = len(self._waiting)
        self.answers: Counter[str] = Counter()
        self.taken = 0

    def to(self, server: Serving) -> None:
        """From now on to this process."""
        self._port = server.port

    def run(self) -> None:
        """Delivers until nothing is left; one of several threads."""
        while self._left:
            with self._lock:
                events = self._waiting.pop(self._dice.randrange(len(self._waiting))) if self._waiting else None
            if events is None:
                time.sleep(0.01)
                continue
            word = self._deliver(events)
            with self._lock:
                self.answers[word] += 1
                if word == "204":
                    self._left -= 1
                    self.taken += len(events)
                else:
                    self._waiting.append(events)
            if word != "204":
                time.sleep(0.05)

    def _deliver(self, events: Sequence[Any]) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            return str(posted(connection, events))
        except (OSError, http.client.HTTPException):
            return "no answer"
        finally:
            connection.close()


def measure_faults(folder: str, keys: Sequence[str], stack: ExitStack) -> None:
    """Everything goes wrong now and then; a SIGTERM and a SIGKILL in the middle."""
    with (
        VastServer(buckets=[DATABASE], access_key=KEYS[0], secret_key=KEYS[1]) as vast,
        S3Server(buckets=[], directories={BUCKET: Path(folder)}, access_key=KEYS[0], secret_key=KEYS[1]) as s3,
    ):
        variables = environment(s3.endpoint, vast.endpoint, S3_TIMEOUT_SECONDS="2")
        delivering = Delivering(keys, seed=4)
        server = stack.enter_context(serving(variables))
        delivering.to(server)
        plan_faults(s3, vast, keys)
        threads = [threading.Thread(target=delivering.run) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        ends = []
        for share, number in ((0.3, signal.SIGTERM), (0.6, signal.SIGKILL)):
            while delivering.taken < share * len(keys):
                time.sleep(0.005)
            ends.append(server.end(number))
            server = stack.enter_context(serving(variables))
            delivering.to(server)
        for thread in threads:
            thread.join()
        tell_faults(vast, delivering, keys, ends)


def plan_faults(s3: Any, vast: Any, keys: Sequence[str]) -> None:
    """Faults that repetitions get over, and ten objects that a first delivery cannot read."""
    for key in keys[:: len(keys) // 10]:
        s3.faults.add(op="get", kind="unavailable", times=8, key=key)
    for op, kind, share in (("get", "slow_down", 0.1), ("get", "drop", 0.05), ("get", "cut", 0.05)):
        s3.faults.add(op=op, kind=kind, times=None, probability=share, seed=len(kind))
    for op, kind, share in (
        ("*", "slow_down", 0.02),
        ("update", "conflict", 0.05),
        ("insert", "drop_before", 0.02),
        ("commit", "drop_after", 0.1),
        ("commit", "internal", 0.05),
    ):
        vast.faults.add(op=op, kind=kind, times=None, probability=share, seed=len(op))


def tell_faults(vast: Any, delivering: Delivering, keys: Sequence[str], ends: Sequence[int]) -> None:
    rows = {name: vast.table(DATABASE, "exr_metadata", name) for name in ("files", "parts", "channels", "attributes")}
    paths = Counter(rows["files"]["file_path"].to_pylist())
    wanted = {f"s3://{BUCKET}/{key}" for key in keys}
    file_ids = set(rows["files"]["file_id"].to_pylist())
    whole = {name: Counter(rows[name]["file_id"].to_pylist()) for name in ("parts", "channels", "attributes")}
    odd = sum(len(set(counts.values())) != 1 or set(counts) != file_ids for counts in whole.values())
    statuses = ", ".join(f"{word}: {count}" for word, count in sorted(delivering.answers.items()))
    print(
        f"| faults: objects, rows of files, objects without a row, paths twice | {len(keys)}, {len(paths)}, "
        f"{len(wanted - set(paths))}, {sum(count > 1 for count in paths.values())} | each once |"
    )
    print(f"| tables in which a file has not all of its rows | {odd} | 0 |")
    print(f"| answers; ends of the processes | {statuses}; {list(ends)} | 204, 500, 503; 0, -9 |")


# ---- Mutated events ----------------------------------------------------------------------------------------


def mutated(seeds: Sequence[bytes], dice: random.Random) -> bytes:
    """One of the seeds with some bytes changed, left out, repeated, or another seed's piece within."""
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        place = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0:
                data[place : place + 1] = bytes([dice.randrange(256)])
            case 1:
                del data[place : place + dice.randrange(1, 30)]
            case 2:
                data[place:place] = data[place : place + 40]
            case 3:
                other = dice.choice(seeds)
                start = dice.randrange(len(other))
                data[place:place] = other[start : start + 40]
            case _:
                data[place:place] = dice.choice((b'"', b"{", b"[" * 50, b"null", b"\xff", b"\\u0000", b"1e999", b"../"))
    return bytes(data)


def measure_mutated(variables: dict[str, str], count: int) -> None:
    folder = os.path.join(ROOT, "fixtures", "events")
    names = [name for name in sorted(os.listdir(folder)) if name.endswith(".json") and name != "manifest.json"]
    seeds = []
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            seeds.append(file.read())
    dice, answers = random.Random(11), Counter[str]()  # noqa: S311 - as above
    types = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "text/plain")
    with serving(variables) as server:
        connection, started = server.connection(), time.perf_counter()
        for _ in range(count):
            headers = {"content-type": dice.choice(types)}
            if dice.random() < 0.2:
                headers |= {"ce-specversion": "1.0", "ce-id": mutated(seeds, dice).hex()[:50], "ce-source": "s"}
                headers |= {"ce-type": "vastdata.com:Element", "ce-elementpath": f"{BUCKET}/%2e%2e/{dice.random()}"}
            connection.request("POST", "/", mutated(seeds, dice), headers)
            answer = connection.getresponse()
            answer.read()
            answers[str(answer.status)] += 1
        seconds = time.perf_counter() - started
        alive = server.get("/liveness")[0]
        memory = resident_mb(server.process.pid)
        status = server.end(signal.SIGTERM)
        leaked = sum(key in line for line in server.log for key in KEYS)
    told = ", ".join(f"{word}: {number}" for word, number in sorted(answers.items()))
    print(f"| {count} mutated events, answers | {told} | no crash |")
    print(
        f"| events a second, /liveness, exit, keys in the log, resident | {count / seconds:.0f}, {alive}, {status}, "
        f"{leaked}, {memory:.0f} MB | 200, 0, 0 |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="does it run?")
    parser.add_argument("--only", choices=("start", "speed", "faults", "mutated"), help="one of the measurements")
    options = parser.parse_args()
    sizes = QUICK if options.quick else Sizes()
    print("| what | measured | target |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        keys = corpus(folder, max(sizes.files, sizes.faulty))
        vast, vast_pid = stack.enter_context(server_process("vast_server", "--bucket", DATABASE))
        s3, s3_pid = stack.enter_context(server_process("s3_server", "--bucket", f"{BUCKET}={folder}"))
        variables = environment(s3, vast)
        wanted = (options.only,) if options.only else ("start", "speed", "faults", "mutated")
        if "start" in wanted:
            measure_start(variables, sizes.starts)
        if "speed" in wanted:
            measure_speed(variables, {"S3 server": s3_pid, "VAST server": vast_pid}, keys[: sizes.files], sizes)
            measure_small(variables, corpus(folder, sizes.small, exr_files.minimal, "small"), sizes.alone)
        if "faults" in wanted:
            measure_faults(folder, keys[: sizes.faulty], stack)
        if "mutated" in wanted:
            measure_mutated(variables, sizes.mutated)
    return 0


if __name__ == "__main__":
    sys.exit(main())
