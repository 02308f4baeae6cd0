"""Clients that take their time, or too much room: connections and bodies are bounded. With short times, here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn")

import uvicorn

from exr_inspector.serve import body as body_module
from exr_inspector.serve import protocol
from exr_inspector.serve.body import Body, Gone, Refused, Room
from exr_inspector.serve.log import OneLine


async def hello(_scope: Any, receive: Any, send: Any) -> None:
    """Answers any request, when its body is there."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server whose heads must come within 0.3 s."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        http = protocol.bounded_protocol(100)
        config = uvicorn.Config(hello, http=http, ws="none", lifespan="off", log_config=None, timeout_keep_alive=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(10)


def closed_after(port: int, *pieces: bytes, pause: float = 0.1) -> bytes:
    """What is answered to pieces that come slowly, until the other end closes the connection."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        stopping = threading.Event()

        def send() -> None:
            with contextlib.suppress(OSError):
                for piece in pieces:
                    connection.sendall(piece)
                    if stopping.wait(pause):
                        return

        sending = threading.Thread(target=send)
        sending.start()
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(4096):
                answer += piece
        stopping.set()
        sending.join()
    return answer


HEAD = b"POST / HTTP/1.1\r\nhost: a\r\n"


def test_a_client_that_says_nothing_is_left(port: int) -> None:
    assert closed_after(port) == b""


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(port: int) -> None:
    """Each byte comes in time, all of them do not."""
    assert closed_after(port, *([b"x"] * 200)) == b""
    assert closed_after(port, HEAD, *([b"x: y\r\n"] * 200)) == b""


def test_after_an_answer_the_next_head_must_come_in_time_too(port: int) -> None:
    answer = closed_after(port, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"GET /", *([b"x"] * 200))
    assert answer.count(b"HTTP/1.1 200") == 1


def test_a_body_may_take_longer_than_a_head(port: int) -> None:
    pieces = (HEAD + b"content-length: 8\r\nconnection: close\r\n\r\n", *([b"x"] * 8))
    assert closed_after(port, *pieces).endswith(b"ok")


# ---- Bodies ------------------------------------------------------------------------------------------------


def coming(*pieces: bytes, is_ending: bool = True) -> Any:
    """A `receive` of ASGI that gives the pieces, and then waits for ever unless the body ends."""
    left = list(pieces)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(3600)
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left) or not is_ending}

    return receive


def read(receive: Any, *, max_bytes: int = 10, room: Room | None = None, declared: str | None = None) -> bytes:
    async def run() -> bytes:
        with Body(room or Room(1), max_bytes) as body:
            return await body.read(receive, declared)

    return asyncio.run(run())


def test_a_body_in_pieces() -> None:
    assert read(coming(b"abc", b"", b"defghij")) == b"abcdefghij"


@pytest.mark.parametrize("declared", [None, "11", "999999999999"])
def test_a_body_over_the_limit(declared: str | None) -> None:
    with pytest.raises(Refused) as refused:
        read(coming(b"abcdef", b"ghijk", is_ending=False), declared=declared)
    assert refused.value.status == 413


def test_a_body_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "BODY_SECONDS", 0.05)
    with pytest.raises(Refused) as refused:
        read(coming(b"abc", is_ending=False))
    assert refused.value.status == 408  # worth a retry: nothing was done


def test_a_client_that_went_away() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(Gone):
        read(receive)


def test_bodies_share_their_room() -> None:
    """What one holds, another cannot have; when it is gone, there is room again, whatever happened."""
    room = Room(2, 10)
    with Body(room, 10) as first:
        assert asyncio.run(first.read(coming(b"abcdef"), None)) == b"abcdef"
        with pytest.raises(Refused) as refused:
            read(coming(b"vwxyz"), room=room)
        assert (refused.value.status, refused.value.retry_seconds) == (503, 1)
        assert read(coming(b"wxyz"), room=room) == b"wxyz"
    assert read(coming(b"abcdefghij"), room=room) == b"abcdefghij"


def test_places_are_given_back() -> None:
    room = Room(1)
    with Body(room, 10), pytest.raises(Refused), Body(room, 10):
        raise AssertionError("there was a place")
    assert read(coming(b"a"), room=room) == b"a"


# ---- Log lines ---------------------------------------------------------------------------------------------


def test_a_record_is_one_line_without_control_characters_or_tracebacks() -> None:
    error = ValueError("secret-in-a-message")
    record = logging.LogRecord("n", logging.ERROR, "f", 1, "a\nb\x1b[31m%s", ("\u202ec",), (ValueError, error, None))
    line = OneLine("%(levelname)s %(message)s").format(record)
    assert line == "ERROR a\\nb\\x1b[31m\\u202ec (ValueError)"
