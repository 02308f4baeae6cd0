"""A serving process with loopback S3 and VAST servers, and clients that post events: what `serve.py` measures with."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

KEYS = ("bench-access", "bench-secret")
BUCKET, DATABASE = "renders", "b"
BATCH_TYPE = "application/cloudevents-batch+json"
EVENT_TYPE = "application/cloudevents+json"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def environment(s3: str, vast: str, **more: str) -> dict[str, str]:
    """What configures the serving process, and nothing else that this one may have."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    access, secret = KEYS
    return {
        **kept,
        "PYTHONPATH": ROOT,
        "S3_ENDPOINT": s3,
        "S3_ACCESS_KEY": access,
        "S3_SECRET_KEY": secret,
        "VAST_DB_ENDPOINT": vast,
        "VAST_DB_ACCESS_KEY": access,
        "VAST_DB_SECRET_KEY": secret,
        "VAST_DB_BUCKET": DATABASE,
        "PERSIST_FAILURE": "retry",
        **more,
    }


@contextmanager
def server_process(module: str, *arguments: str) -> Iterator[tuple[str, int]]:
    """A loopback server in a process of its own: its endpoint, and the process's id."""
    keys = ["--access-key", KEYS[0], "--secret-key", KEYS[1]]
    command = [sys.executable, "-m", f"tests.loopback.{module}", *arguments, *keys, "--until-input-ends"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes were asked for
        yield process.stdout.readline().strip(), process.pid
        process.stdin.close()


class Serving:
    """`exr-inspector serve` on a free port."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.ready_seconds = 0.0
        self.started = time.perf_counter()
        command = [sys.executable, "-m", "exr_inspector", "serve", "--port", "0"]
        self.process = subprocess.Popen(command, env=dict(variables), stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None  # noqa: S101 - a pipe was asked for
        self.log: list[str] = []
        for line in self.process.stderr:
            self.log.append(line)
            if "listening on" in line:
                break
        else:
            raise RuntimeError("".join(self.log))
        self.port = int(self.log[-1].rsplit(":", 1)[1])
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        assert self.process.stderr is not None  # noqa: S101 - as above
        self.log.extend(self.process.stderr)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, path: str) -> tuple[int, str]:
        connection = self.connection()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ready(self, seconds: float = 30) -> float:
        """Seconds from the process's start until it is ready."""
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            if self.get("/readiness")[0] == 200:
                return time.perf_counter() - self.started
            time.sleep(0.005)
        raise RuntimeError(f"not ready: {self.get('/readiness')}")

    def metric(self, name: str) -> float:
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def end(self, number: int, seconds: float = 30) -> int:
        self.process.send_signal(number)
        status = self.process.wait(seconds)
        self._reader.join(5)
        return status


@contextmanager
def serving(variables: Mapping[str, str]) -> Iterator[Serving]:
    """A serving process that is ready, killed at the end of the block if it still runs."""
    server = Serving(variables)
    try:
        server.ready_seconds = server.ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()


def resident_mb(pid: int) -> float:
    """Resident memory now."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES / 1e6


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def event(key: str, identity: str) -> dict[str, Any]:
    """What the platform sends for an object that was made."""
    return {
        "specversion": "1.0",
        "id": identity,
        "source": "vastdata.com:bench",
        "type": "vastdata.com:Element.ElementCreated",
        "elementpath": f"{BUCKET}/{key}",
        "data": {},
    }


def batches(events: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [events[start : start + size] for start in range(0, len(events), size)]


def posted(connection: http.client.HTTPConnection, events: Sequence[Any]) -> int:
    """The status of one post: a batch, or one event alone."""
    is_batch = len(events) > 1
    body = json.dumps(events if is_batch else events[0]).encode()
    connection.request("POST", "/", body, {"content-type": BATCH_TYPE if is_batch else EVENT_TYPE})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def post_all(server: Serving, work: Sequence[Sequence[Any]], at_once: int) -> tuple[float, Counter[int]]:
    """Posts everything once, so many posts at once; seconds, and the statuses."""
    waiting, statuses, lock = list(reversed(work)), Counter[int](), threading.Lock()

    def run() -> None:
        connection = server.connection()
        while True:
            with lock:
                if not waiting:
                    break
                events = waiting.pop()
            status = posted(connection, events)
            with lock:
                statuses[status] += 1
        connection.close()

    started = time.perf_counter()
    threads = [threading.Thread(target=run) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, statuses
