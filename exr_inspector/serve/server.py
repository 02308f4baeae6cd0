"""The life of the process: it listens at once, gets ready in the background, and at a signal finishes what it has."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

import uvicorn

from exr_inspector.config_function import FunctionSettings
from exr_inspector.dataengine.function import Function
from exr_inspector.limits import MAX_EVENT_HEADER_CHARACTERS
from exr_inspector.serve.application import Application
from exr_inspector.serve.log import logger
from exr_inspector.serve.metrics import Metrics
from exr_inspector.serve.protocol import bounded_protocol

# Probes and scrapes beside the posts.
_MORE_CONNECTIONS = 64
_KEEP_ALIVE_SECONDS = 30
_BACKLOG = 1024
# Of the grace time, what is kept for the function's own end after the last answer.
_LAST_SHARE = 0.2


class Server(uvicorn.Server):
    """uvicorn with signals of our own: the first one ends gently and with status 0, the second one at once."""

    def __init__(self, application: Application, settings: FunctionSettings) -> None:
        self._application = application
        self.signal_number = 0
        self._deadline = 0.0
        self._grace_seconds = settings.grace_seconds
        super().__init__(_configuration(application, settings))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Instead of uvicorn's, which ends the process by the signal when all is done."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """A signal came."""
        if self.should_exit:
            os._exit(128 + sig)  # as shells tell of it; nothing that was not finished was answered
        self.signal_number = sig
        self._deadline = monotonic() + self._grace_seconds
        self._application.is_stopping = True
        self.should_exit = True

    def left_seconds(self) -> float:
        """What is left of the grace time."""
        return max(0.0, self._deadline - monotonic())


def _configuration(application: Application, settings: FunctionSettings) -> uvicorn.Config:
    return uvicorn.Config(
        application.asgi,
        http=bounded_protocol(settings.max_requests + _MORE_CONNECTIONS),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=MAX_EVENT_HEADER_CHARACTERS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.grace_seconds * (1 - _LAST_SHARE),  # type: ignore[arg-type]
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def serve(settings: FunctionSettings, listening: socket.socket) -> int:
    """Serves until a signal comes; returns its number. Raises SettingsError, and SourceError if S3 has no client."""
    told = logger()
    metrics = Metrics()
    function = Function(settings, logger=told, observer=metrics, is_served=True)
    function.start()
    application = Application(function, settings, metrics, told)
    server = Server(application, settings)
    told.info("listening on %s", _address(listening))
    server.run(sockets=[listening])
    application.close()
    function.close(server.left_seconds())
    told.info("stopped; posts that were cut short: %d", len(server.server_state.tasks))
    return server.signal_number


def _address(listening: socket.socket) -> str:
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
