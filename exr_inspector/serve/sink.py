"""Events to the sink: HTTP posts by a few threads, each with a connection of its own, bounded in time and in tries.

No redirect is followed, no proxy is looked for, nothing of an answer is used but its status.
"""

from __future__ import annotations

import http.client
import queue
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from exr_inspector.limits import KIB
from exr_inspector.serve.results import Message
from exr_inspector.version import __version__

SENT, FAILED, REFUSED = "sent", "failed", "refused"

# Each holds a connection.
THREADS = 8
# Before each try. The first repetition is at once: a connection that was kept may have been closed at the other end.
PAUSES_SECONDS = (0.0, 0.0, 0.2, 0.8)
# For one try, connecting included; the answer of a sink that takes longer is not waited for.
TRY_SECONDS = 5.0
_MAX_ANSWER_BYTES = 64 * KIB
# What Knative delivers again, too; any other refusal would be one again.
_WORTH_A_RETRY = frozenset((404, 408, 409, 429))


class Sink:
    """The address that results are posted to. Raises nothing: what became of an event is one of three words."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._waiting: queue.SimpleQueue[tuple[Message, Future[str]]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._local = threading.local()
        self._open: set[http.client.HTTPConnection] = set()
        for number in range(THREADS):  # as daemons: a sink that hangs keeps no process alive
            threading.Thread(target=self._send_all, name=f"exr-sink-{number}", daemon=True).start()

    def submit(self, message: Message) -> Future[str]:
        """Posts an event: `sent`, `failed` (it may be sent later), or `refused` (it never will)."""
        future: Future[str] = Future()
        self._waiting.put((message, future))
        return future

    def close(self) -> None:
        """Gives up what is not sent yet."""
        self._stopping.set()
        for connection in list(self._open):
            _disconnect(connection)

    def _send_all(self) -> None:
        """A sending thread."""
        while True:
            message, future = self._waiting.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(self._send(message))
                except Exception:  # noqa: BLE001 - an outer door: whatever it was, it may go better later
                    future.set_result(FAILED)

    def _send(self, message: Message) -> str:
        outcome = FAILED
        for pause in PAUSES_SECONDS:
            if self._stopping.wait(pause * random.uniform(0.5, 1.5)):  # noqa: S311 - spreads, guards nothing
                break
            outcome = _outcome(self._post(message))
            if outcome != FAILED:
                break
        return outcome

    def _post(self, message: Message) -> int:
        """The answer's status, 0 if there is none."""
        connection = self._connection()
        try:
            with _deadline(connection) as is_over:
                connection.request("POST", self._target(), body=message.body, headers=self._headers(message))
                answer = connection.getresponse()
                answer.read(_MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            return 0
        if is_over.is_set():  # what was read is what had come when it was cut
            connection.close()
            return 0
        if not answer.isclosed():  # a longer answer: not read, and so in the next one's way
            connection.close()
        return answer.status

    def _connection(self) -> http.client.HTTPConnection:
        """The connection of the thread that asks."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
            connection = self._local.connection = kind(self._url.hostname or "", self._url.port, timeout=TRY_SECONDS)
            self._open.add(connection)
        return connection

    def _target(self) -> str:
        query = f"?{self._url.query}" if self._url.query else ""
        return (self._url.path or "/") + query

    def _headers(self, message: Message) -> dict[str, str]:
        return {**message.headers, "user-agent": f"exr-inspector/{__version__}"}


@contextmanager
def _deadline(connection: http.client.HTTPConnection) -> Iterator[threading.Event]:
    """Cuts the connection when a try's time is over, and tells it: a socket's timeout counts for each byte anew."""
    is_over = threading.Event()

    def cut() -> None:
        is_over.set()
        _disconnect(connection)

    timer = threading.Timer(TRY_SECONDS, cut)
    timer.daemon = True
    timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()


def _outcome(status: int) -> str:
    if 200 <= status < 300:
        return SENT
    return FAILED if status == 0 or status >= 500 or status in _WORTH_A_RETRY else REFUSED


def _disconnect(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError, AttributeError):  # not connected, or not any more
        connection.sock.shutdown(socket.SHUT_RDWR)
