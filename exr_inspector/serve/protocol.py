"""HTTP/1.1 connections, bounded in number and in time.

uvicorn closes a connection that is idle after an answer, but waits for ever for a request that does not come, or comes
byte by byte.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# A request's head must be there in this time, after connecting or after its first byte.
HEAD_SECONDS = 10.0


class BoundedProtocol(H11Protocol):
    """One connection. It is closed if a request's head does not come in time, or if there are too many already."""

    # Each costs a descriptor and some kilobytes. Posts are limited more tightly: probes and scrapes must get through.
    max_connections = 512
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
        else:
            # asyncio does so only for sockets that were made with TCP's own number. Without, an answer, which is more
            # than one write, takes 40 ms.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Bytes have come: of a head, then the time goes on, or of a body, which `serve.body` bounds."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect_head()
        else:
            self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._forget()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._expire)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def bounded_protocol(max_connections: int) -> type[BoundedProtocol]:
    """The protocol with a limit of its own: the server makes one for each connection, without arguments of ours."""
    return type("BoundedProtocol", (BoundedProtocol,), {"max_connections": max_connections})
