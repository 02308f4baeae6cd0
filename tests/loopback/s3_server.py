"""An S3 server on 127.0.0.1 for tests and benches: real HTTP, path-style addresses, signatures checked.

    with S3Server(buckets=["renders"]) as server:
        server.put("renders", "a/b.exr", data)
        settings = server.settings()          # for S3Client; server.environment() for processes
        server.faults.add(op="get", kind="slow_down")
        assert server.counts()["get"] == 1

It proves the use of the protocol, nothing of a cluster's own behaviour. As a process, with directories as buckets:
`python -m tests.loopback.s3_server --bucket renders=DIR`; it prints its endpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import socketserver
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from exr_inspector.config_s3 import S3Settings
from exr_inspector.settings import Secret

from . import s3_api, vast_auth
from .s3_api import Answer, Request
from .s3_faults import Fault, Faults
from .s3_objects import Bucket, DirectoryBucket, Version
from .vast_errors import ApiError

HOST = "127.0.0.1"
DEFAULT_KEYS = ("loopback-access", "loopback-secret")
REGION = "us-east-1"
_MAX_LINE = 1 << 16
_MAX_HEADERS = 100
_MAX_BODY = 1 << 28
_KEPT_REQUESTS = 10_000
_PIECE_BYTES = 1 << 18


class Asked(NamedTuple):
    """One request as it came, for tests to look at."""

    op: str
    bucket: str
    key: str
    range: str | None
    if_match: str | None
    status: int
    header_names: frozenset[str]


class Dropped(Exception):
    """The connection is to be closed without an answer."""


class S3Server:
    """A server with its own buckets. Start it with `with`, or `start()` and `stop()`; it may start again.

    `directories`: bucket name -> directory. `page_keys`: most keys of one page of a listing.
    `is_signed`: whether requests must be signed; otherwise those that are signed are refused.
    """

    def __init__(
        self,
        *,
        buckets: Iterable[str] = ("bucket",),
        directories: Mapping[str, Path] | None = None,
        access_key: str = DEFAULT_KEYS[0],
        secret_key: str = DEFAULT_KEYS[1],
        port: int = 0,
        page_keys: int = 1000,
        is_signed: bool = True,
    ) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.page_keys = page_keys
        self.is_signed = is_signed
        self.faults = Faults()
        self.stopping = threading.Event()
        self.crashes: list[Exception] = []
        self.asked: deque[Asked] = deque(maxlen=_KEPT_REQUESTS)
        self.connections = 0
        self._buckets: dict[str, Bucket] = {name: Bucket() for name in buckets}
        for name, root in (directories or {}).items():
            self._buckets[name] = DirectoryBucket(root)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._port = port
        self._tcp: _TcpServer | None = None

    # Life

    def __enter__(self) -> S3Server:
        """Start."""
        self.start()
        return self

    def __exit__(self, exception: object, *_rest: object) -> None:
        """Stop, and raise what went wrong within the server itself, if nothing else is being raised."""
        self.stop()
        if self.crashes and exception is None:
            raise RuntimeError("the loopback server failed") from self.crashes[0]

    def start(self) -> None:
        """Listen, on the same port as before if it was started before."""
        self.stopping.clear()
        self._tcp = _TcpServer((HOST, self._port), self)
        self._port = self._tcp.server_address[1]
        threading.Thread(target=self._tcp.serve_forever, args=(0.02,), daemon=True, name="s3-loopback").start()

    def stop(self) -> None:
        """Stop listening and close all connections; the objects stay."""
        self.stopping.set()
        if self._tcp is not None:
            self._tcp.shutdown()
            self._tcp.server_close()
            self._tcp.close_connections()
            self._tcp = None

    @property
    def endpoint(self) -> str:
        """The URL to connect to."""
        return f"http://{HOST}:{self._port}"

    def settings(self, **changes: Any) -> S3Settings:
        """Return the settings of a client for this server."""
        keys = Secret(self.access_key), Secret(self.secret_key)
        return S3Settings(self.endpoint, *keys, place="the test")._replace(**changes)

    def environment(self) -> dict[str, str]:
        """Return the variables that configure a process for this server."""
        return {
            "S3_ENDPOINT": self.endpoint,
            "S3_ACCESS_KEY": self.access_key,
            "S3_SECRET_KEY": self.secret_key,
            "S3_REGION": REGION,
        }

    # Objects, without a request

    def put(self, bucket: str, key: str, data: bytes, *, mtime: float | None = None) -> Version:
        """Store an object; what was there before stays as an older version."""
        return self._buckets[bucket].put(key, data, mtime=mtime)

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object."""
        self._buckets[bucket].delete(key)

    # What tests look at

    def counts(self) -> dict[str, int]:
        """Return how many requests of each op came, and `bytes_asked` (by ranges) and `bytes_sent` (of bodies)."""
        with self._lock:
            return dict(self._counts)

    def reset_counts(self) -> None:
        """Begin counting anew."""
        with self._lock:
            self._counts.clear()
            self.asked.clear()

    @contextlib.contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """Give what is counted within the block, filled in at its end."""
        before, within = Counter(self.counts()), Counter[str]()
        yield within
        within.update(Counter(self.counts()) - before)

    def _count(self, **numbers: int) -> None:
        with self._lock:
            self._counts.update(numbers)

    # Requests

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[Answer, Fault | None]:
        """Carry out a request; raises `Dropped` if a fault says so."""
        request = s3_api.parse(method, target, headers, body)
        fault: Fault | None = None
        try:
            fault = self._strike(request)
            answer = self._answer(request, vast_auth.Signed(method, target, headers, body), fault)
        except ApiError as error:
            answer = Answer(error.status, {"Content-Type": "application/xml"}, error.document())
        except Dropped:
            raise
        except Exception as error:  # noqa: BLE001 - the outer door: a bug here must show, not hide as a lost connection
            self.crashes.append(error)
            answer = Answer(500)
        self.asked.append(_asked(request, answer.status))
        return answer, fault

    def _strike(self, request: Request) -> Fault | None:
        first, last = request.range or (None, None)
        asked = last - first + 1 if first is not None and last is not None else 0
        self._count(**{request.op: 1, "bytes_asked": asked})
        return self.faults.strike(request.op, request.key)

    def _answer(self, request: Request, signed: vast_auth.Signed, fault: Fault | None) -> Answer:
        self._check_signature(signed)
        kind = fault.kind if fault is not None else None
        if fault is not None and kind is not None:
            if kind.is_drop:
                self.asked.append(_asked(request, 0))
                raise Dropped
            if kind.code is not None:
                raise fault.error()
            if kind.is_slow:
                self.stopping.wait(fault.seconds)
        bucket = self._buckets.get(request.bucket)
        if bucket is None:
            raise ApiError("NoSuchBucket", "The specified bucket does not exist")
        is_range_ignored = kind is not None and kind.is_whole
        answer = s3_api.answer(bucket, request, page_keys=self.page_keys, is_range_ignored=is_range_ignored)
        if fault is not None and kind is not None:
            _spoil(answer, fault)
            if kind.is_replacing:
                bucket.put(request.key, fault.content)
        return answer

    def _check_signature(self, signed: vast_auth.Signed) -> None:
        if self.is_signed:
            vast_auth.check_signature(signed, {self.access_key: self.secret_key})
        elif "authorization" in signed.headers:
            raise ApiError("AccessDenied", "this server wants unsigned requests")


def _asked(request: Request, status: int) -> Asked:
    headers = request.headers
    asked = (headers.get("range"), headers.get("if-match"), status, frozenset(headers))
    return Asked(request.op, request.bucket, request.key, *asked)


def _spoil(answer: Answer, fault: Fault) -> None:
    kind = fault.kind
    if kind.without is not None:
        answer.headers.pop(kind.without, None)
    if kind.shift and "Content-Range" in answer.headers:
        span, _, size = answer.headers["Content-Range"].removeprefix("bytes ").partition("/")
        first, last = (int(text) + kind.shift for text in span.split("-"))
        answer.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    if kind.is_honest:
        answer.body = answer.body[: int(len(answer.body) * kind.share)]
        answer.size = len(answer.body)


class _TcpServer(socketserver.ThreadingTCPServer):
    """Threads that die with the process, and connections that can be closed from outside."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], s3: S3Server) -> None:
        super().__init__(address, _Handler)
        self.s3 = s3
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection."""
        with self._lock:
            self._connections.add(request)
            self.s3.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Close what is still open, so that its threads end."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away; tell everything else."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(socketserver.StreamRequestHandler):
    """HTTP/1.1 by hand: http.server takes longer for the headers than everything else here."""

    disable_nagle_algorithm = True
    server: _TcpServer

    def handle(self) -> None:
        """Serve requests until the connection is closed."""
        with contextlib.suppress(ConnectionError):
            while self._serve():
                pass

    def _serve(self) -> bool:
        line = self.rfile.readline(_MAX_LINE).decode("latin-1").split()
        if len(line) != 3:
            return False
        method, target, _ = line
        headers = self._headers()
        size = int(headers.get("content-length") or 0)
        if size > _MAX_BODY:
            return False
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.rfile.read(size)
        try:
            answer, fault = self.server.s3.answer(method, target, headers, body)
        except Dropped:
            return False
        return self._send(method, answer, fault) and headers.get("connection", "").lower() != "close"

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(_MAX_LINE).decode("latin-1").strip()) and len(headers) < _MAX_HEADERS:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _send(self, method: str, answer: Answer, fault: Fault | None) -> bool:
        """Send an answer; False if the connection is to be closed."""
        size = len(answer.body) if answer.size is None else answer.size
        length = "Transfer-Encoding: chunked" if answer.is_chunked else f"Content-Length: {size}"
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", length]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        body = b"" if method == "HEAD" else answer.body
        if answer.is_chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        kind = fault.kind if fault is not None else None
        is_cut = kind is not None and kind.share < 1 and not kind.is_honest
        if kind is not None and is_cut:
            body = body[: int(len(body) * kind.share)]
        if fault is not None and fault.kind.is_stalling:
            half = len(body) // 2
            self._write(head, body[:half])
            self.server.s3.stopping.wait(fault.seconds)
            head, body = b"", body[half:]
        self._write(head, body)
        return not is_cut

    def _write(self, head: bytes, body: bytes) -> None:
        """One write for what is small, so that it is one packet; pieces for what is large, counted as they go."""
        first = body[:_PIECE_BYTES]
        self.server.s3._count(bytes_sent=len(first))  # before who is answered can ask for the counts
        self.wfile.write(head + first)
        for start in range(_PIECE_BYTES, len(body), _PIECE_BYTES):
            piece = body[start : start + _PIECE_BYTES]
            self.server.s3._count(bytes_sent=len(piece))
            self.wfile.write(piece)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a server until it is told to stop, its time is over, or (on demand) its input ends."""
    options = _parser().parse_args(arguments)
    named = [text.partition("=") for text in options.bucket]
    server = S3Server(
        buckets=[name for name, _, root in named if not root],
        directories={name: Path(root) for name, _, root in named if root},
        access_key=options.access_key,
        secret_key=options.secret_key,
        port=options.port,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stopping.set())
    with server:
        print(server.endpoint, flush=True)
        if options.until_input_ends:
            threading.Thread(target=_watch_input, args=(server,), daemon=True).start()
        server.stopping.wait(options.max_seconds)
    return 0


def _watch_input(server: S3Server) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    server.stopping.set()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="s3_server", description="An S3 server on 127.0.0.1 for tests.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one; the endpoint is printed")
    parser.add_argument("--bucket", action="append", required=True, metavar="NAME[=DIR]", help="several if wanted")
    parser.add_argument("--access-key", default=DEFAULT_KEYS[0])
    parser.add_argument("--secret-key", default=DEFAULT_KEYS[1])
    parser.add_argument("--max-seconds", type=float, default=3600.0, help="stop by itself after so long")
    parser.add_argument("--until-input-ends", action="store_true", help="stop when standard input is closed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
