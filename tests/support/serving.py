"""`exr-inspector serve` as a real process on 127.0.0.1, and what tests post to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
_OURS = re.compile(r"VAST_|S3_|AWS_|EXR_INSPECTOR_|K_|PORT$|PERSIST_FAILURE$|COVERAGE|COV_")
START_SECONDS = 20.0
PORT_0 = ("--port", "0")


class Answer(NamedTuple):
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Serving:
    """A serving process. With `with`, it listens when the block begins and is stopped at its end."""

    def __init__(self, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = PORT_0) -> None:
        kept = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
        self._environment = {**kept, "PYTHONPATH": str(ROOT), **(environment or {})}
        self._arguments = arguments
        self.lines: list[str] = []
        self.port = 0

    def __enter__(self) -> Serving:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "exr_inspector", "serve", *self._arguments],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_lines, daemon=True)
        self._reader.start()
        self.port = int(self.line(r"listening on http://.*:(\d+)")[1])
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def _read_lines(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def line(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """The first line of the log that has the pattern, waited for."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for line in list(self.lines):
                if match := re.search(pattern, line):
                    return match
            assert self.process.poll() is None, self.log
            time.sleep(0.005)
        raise AssertionError(f"no line {pattern!r} in {self.log}")

    def connect(self, seconds: float = 30.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        with contextlib.closing(self.connect()) as connection:
            return asked(connection, method, path, body, headers)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, event: Any, content_type: str = "application/json", **headers: str) -> Answer:
        """Posts an event: bytes as they are, anything else as JSON."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", "/", body, {"content-type": content_type, **named})

    def ready(self, seconds: float = START_SECONDS) -> float:
        """Waits until it is ready; the seconds since the process was started."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if self.get("/readiness").status == 200:
                return time.monotonic() - self.started
            time.sleep(0.01)
        raise AssertionError(f"not ready: {self.get('/readiness').text} {self.log}")

    def metric(self, name: str) -> float:
        """One sample of /metrics, 0 if it is not there."""
        match = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(match[1]) if match else 0.0

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30.0) -> int:
        """Sends a signal and waits for the end; the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(seconds)
        self._reader.join(5)
        return status


def asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection that stays open."""
    connection.request(method, path, body=body, headers=dict(headers or {}))
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def element_event(bucket: str, key: str, identity: str, **extensions: str) -> dict[str, Any]:
    """A structured CloudEvent as the platform sends it for an object that was made."""
    return {
        "specversion": "1.0",
        "id": identity,
        "source": "vastdata.com:element-trigger",
        "type": "vastdata.com:Element.ElementCreated",
        "elementpath": f"{bucket}/{key}",
        "datacontenttype": "application/json",
        "data": {},
        **extensions,
    }


class Received(NamedTuple):
    """What a sink got."""

    headers: Mapping[str, str]
    body: bytes


class SinkServer:
    """An HTTP server that keeps what is posted to it, and answers with the statuses it is given, then with 202."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self.pause = threading.Event()
        self.pause.set()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                sink.pause.wait(30)
                sink.received.append(Received({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(sink.statuses.pop(0) if sink.statuses else 202)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/in?tenant=a"

    def __enter__(self) -> SinkServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.pause.set()
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def serving(environment: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """A serving process that is ready."""
    with Serving(environment) as server:
        server.ready()
        yield server
