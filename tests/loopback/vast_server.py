"""A VAST DataBase server on 127.0.0.1 for tests and benches: the real wire protocol over plain HTTP.

    with VastServer(version=(5, 5), buckets=["b"]) as server:
        session = vastdb.connect(endpoint=server.endpoint, access=server.access_key, secret=server.secret_key)

It proves that the SDK is used rightly and that the code stands faults and conflicts. It proves nothing of a
cluster's isolation, limits or error codes. As a process: `python -m tests.loopback.vast_server --bucket b`.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa

from . import vast_api, vast_auth, vast_wire
from .vast_api import Answer, Request
from .vast_errors import ApiError
from .vast_faults import Fault, Faults
from .vast_store import Database

HOST = "127.0.0.1"
DEFAULT_KEYS = ("loopback-access", "loopback-secret")
MAX_CELL_BYTES = 126 * 1024  # what VAST's field tools warn of; None: unlimited


class Dropped(Exception):
    """The connection is to be closed, after half of `answer` if there is one."""

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__()
        self.answer = answer


class VastServer:
    """A server with its own database. Start it with `with`, or `start()` and `stop()`; it may start again.

    `version`: (5, 4) or (5, 5).
    `transaction_timeout`: seconds after which a transaction that is not used is rolled back.
    `data_addresses`: where table statistics send selects; with "127.0.0.2" those that are not pinned fail.
    `max_cell_bytes`: the longest string or binary, None for any.
    """

    def __init__(
        self,
        *,
        version: tuple[int, int] = (5, 5),
        buckets: Iterable[str] = ("bucket",),
        access_key: str = DEFAULT_KEYS[0],
        secret_key: str = DEFAULT_KEYS[1],
        port: int = 0,
        transaction_timeout: float = 60.0,
        data_addresses: Sequence[str] = (HOST,),
        max_cell_bytes: int | None = MAX_CELL_BYTES,
    ) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.version = version
        self.faults = Faults()
        self.database = Database(buckets, transaction_timeout, max_cell_bytes)
        self.stopping = threading.Event()
        self.crashes: list[Exception] = []
        self._api = vast_api.Api(self.database, version, data_addresses)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._counts_lock = threading.Lock()
        self._port = port
        self._http: _HttpServer | None = None

    # Life

    def __enter__(self) -> VastServer:
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
        self._http = _HttpServer((HOST, self._port), self)
        self._port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True, name="vast-loopback").start()

    def stop(self) -> None:
        """Stop listening and close all connections; the database stays."""
        self.stopping.set()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http.close_connections()
            self._http = None

    @property
    def endpoint(self) -> str:
        """The URL to connect to."""
        return f"http://{HOST}:{self._port}"

    # What tests look at

    def counts(self) -> dict[str, int]:
        """Return how many requests of each operation came, refused and struck ones included."""
        with self._counts_lock:
            totals: Counter[str] = Counter()
            for (op, _), number in self._counts.items():
                totals[op] += number
            return dict(totals)

    def counts_by_table(self) -> dict[tuple[str, str], int]:
        """Return how many requests came of each (operation, table name)."""
        with self._counts_lock:
            return dict(self._counts)

    def reset_counts(self) -> None:
        """Begin counting anew."""
        with self._counts_lock:
            self._counts.clear()

    @contextlib.contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """Give the requests that come within the block, filled in at its end."""
        before, within = Counter(self.counts()), Counter[str]()
        yield within
        within.update(Counter(self.counts()) - before)

    def table(self, bucket: str, schema: str, table: str) -> pa.Table:
        """Return a table's committed rows, without a request."""
        return self.database.committed((bucket, schema, table))

    # Requests

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Carry out a request; raises `Dropped` if a fault says so."""
        try:
            return self._answer(method, target, headers, body)
        except ApiError as error:
            return _refusal(error)
        except Dropped:
            raise
        except Exception as error:  # noqa: BLE001 - the outer door: a bug here must show, not hide as a lost connection
            self.crashes.append(error)
            return _refusal(ApiError("InternalError", f"the loopback server failed: {error!r}"))

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        request = vast_api.parse(method, target, headers, body)
        with self._counts_lock:
            self._counts[request.op, request.table] += 1
        signed = vast_auth.Signed(method, target, headers, body)
        vast_auth.check_signature(signed, {self.access_key: self.secret_key})
        fault = self.faults.strike(request.op, request.table)
        return self._api.answer(request) if fault is None else self._faulty(request, fault)

    def _faulty(self, request: Request, fault: Fault) -> Answer:
        kind = fault.kind
        answer = self._api.answer(request) if kind.applied else Answer()
        if kind.slow:
            self.stopping.wait(fault.seconds)
            return answer if kind.applied else self._api.answer(request)
        if kind.drop:
            raise Dropped
        if kind.cut:
            raise Dropped(answer)
        if kind.fail_stream:
            return Answer(answer.status, answer.headers, vast_wire.STREAM_FAILED)
        if request.op == "commit" and kind.code == "Conflict":
            self.database.rollback(request.txid)  # as a server that finds the conflict only then
        raise fault.error()


def _refusal(error: ApiError) -> Answer:
    return Answer(error.status, {"Content-Type": "application/xml"}, error.document())


class _HttpServer(ThreadingHTTPServer):
    """Threads that die with the process, and connections that can be closed from outside."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], vast: VastServer) -> None:
        super().__init__(address, _Handler)
        self.vast = vast
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection."""
        with self._lock:
            self._connections.add(request)
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


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with connections kept open, without Nagle's algorithm, one write an answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _HttpServer

    def _serve(self) -> None:
        body = self._read_body()
        try:
            answer = self.server.vast.answer(self.command, self.path, self.headers, body)  # type: ignore[arg-type]
        except Dropped as dropped:
            self._drop(dropped.answer)
        else:
            self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, answer: Answer, share: float = 1.0) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: int(share * len(answer.body))])

    def _drop(self, half_of: Answer | None) -> None:
        """Close the connection, after half of an answer's body if there is one."""
        self.close_connection = True
        if half_of is not None and half_of.body:
            self._send(half_of, share=0.5)

    def version_string(self) -> str:
        """Return the Server header, by which the SDK knows the version."""
        return "vast " + ".".join(map(str, (*self.server.vast.version, 0, 0)))

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a server until it is told to stop, its time is over, or (on demand) its input ends."""
    options = _parser().parse_args(arguments)
    major, minor = map(int, options.version.split("."))
    server = VastServer(
        version=(major, minor),
        buckets=options.bucket,
        access_key=options.access_key,
        secret_key=options.secret_key,
        port=options.port,
        transaction_timeout=options.transaction_timeout,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stopping.set())
    with server:
        print(server.endpoint, flush=True)
        if options.until_input_ends:
            threading.Thread(target=_watch_input, args=(server,), daemon=True).start()
        server.stopping.wait(options.max_seconds)
    return 0


def _watch_input(server: VastServer) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    server.stopping.set()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vast_server", description="A VAST DataBase server on 127.0.0.1 for tests.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one; the endpoint is printed")
    parser.add_argument("--bucket", action="append", required=True, help="may be given several times")
    parser.add_argument("--version", default="5.5", help="5.4 or 5.5")
    parser.add_argument("--access-key", default=DEFAULT_KEYS[0])
    parser.add_argument("--secret-key", default=DEFAULT_KEYS[1])
    parser.add_argument("--transaction-timeout", type=float, default=60.0, help="seconds")
    parser.add_argument("--max-seconds", type=float, default=3600.0, help="stop by itself after so long")
    parser.add_argument("--until-input-ends", action="store_true", help="stop when standard input is closed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
