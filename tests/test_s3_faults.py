"""What goes wrong on the way to an object: each gives the right error, retryable or not, and shows no secret."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("obstore")

from exr_inspector import inspect, read_header
from exr_inspector.errors import CODES, ExrError, SourceError
from exr_inspector.limits import KIB
from exr_inspector.s3 import S3Client
from exr_inspector.s3 import client as s3_client
from exr_inspector.settings import Secret
from tests.loopback.s3_server import S3Server
from tests.support.exr_bytes import attribute, header, pack_string, scanline_file, start

SMALL = scanline_file(4, 4).data
KEY = "shots/a.exr"


def long_header(letter: bytes, size_bytes: int = 300_000) -> bytes:
    """A header that takes two ranges."""
    return start() + header([attribute("text", "string", letter * size_bytes), attribute("after", "string", letter)])


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server(buckets=["renders"]) as running:
        yield running


@pytest.fixture
def client(server: S3Server) -> Iterator[S3Client]:
    server.faults.clear()
    server.put("renders", KEY, SMALL)
    server.reset_counts()
    client = S3Client(server.settings(timeout_seconds=6.0))
    yield client
    assert client.budget.held_bytes == 0


def problem_of(client: S3Client) -> tuple[str, bool, str]:
    document = inspect(client.source("renders", KEY))
    fatal = [error for error in document["errors"] if error["severity"] == "fatal"]
    if not fatal:
        return "", False, ""
    return fatal[0]["code"], fatal[0]["retryable"], fatal[0]["message"]


# ---- What passes, and what stays ---------------------------------------------------------------------------------

PASSING = ["slow_down", "unavailable", "internal", "bad_gateway", "drop", "cut", "cut_at_once", "short", "shifted",
           "no_range"]  # fmt: skip


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_is_tried_again(kind: str, server: S3Server, client: S3Client) -> None:
    fault = server.faults.add("get", kind, times=2)
    opened = client.source("renders", KEY)
    assert inspect(opened)["errors"] == []
    assert fault.hits == 2
    assert opened.requests == server.counts()["get"] == 3


@pytest.mark.parametrize("kind", PASSING)
def test_what_does_not_pass(kind: str, server: S3Server) -> None:
    """The tries are bounded in number and in time."""
    server.faults.clear()
    server.put("renders", KEY, SMALL)
    server.reset_counts()
    server.faults.add("get", kind, times=None)
    code, is_retryable, message = problem_of(S3Client(server.settings(timeout_seconds=0.5)))
    assert (code, is_retryable) == ("source_failed", True)
    assert 1 <= server.counts()["get"] <= 5  # after the pauses of five more, the time is over
    assert "127.0.0.1" not in message


def test_the_tries_are_bounded_also_where_there_is_time(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "_LONGEST_PAUSE_SECONDS", 0.001)
    server.faults.clear()
    server.reset_counts()
    server.faults.add("get", "slow_down", times=None)
    assert problem_of(S3Client(server.settings()))[:2] == ("source_failed", True)
    assert server.counts()["get"] == s3_client.MOST_TRIES


STAYING = {
    "forbidden": ("source_no_permission", "403 AccessDenied"),
    "no_such_key": ("source_not_found", "there is no such object"),
    "no_such_bucket": ("source_not_found", "there is no such bucket"),
    "bad_request": ("source_refused", "400 InvalidRequest"),
}


@pytest.mark.parametrize("kind", STAYING)
def test_what_stays_is_not_tried_again(kind: str, server: S3Server, client: S3Client) -> None:
    server.faults.add("get", kind, times=None)
    code, words = STAYING[kind]
    found, is_retryable, message = problem_of(client)
    assert (found, is_retryable) == (code, False)
    assert words in message
    assert server.counts()["get"] == 1


def test_an_answer_that_says_that_nothing_is_there(server: S3Server, client: S3Client) -> None:
    """416 to the first range means an empty object; one that has bytes all the same is a server's fault."""
    server.faults.add("get", "invalid_range")
    assert problem_of(client)[:2] == ("source_failed", True)


def test_wrong_keys(server: S3Server) -> None:
    client = S3Client(server.settings(secret_key=Secret("another")))
    code, is_retryable, message = problem_of(client)
    assert (code, is_retryable) == ("source_no_permission", False)
    assert "SignatureDoesNotMatch" in message


def test_no_server() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        settings = S3Server().settings(endpoint=endpoint, timeout_seconds=0.5)
        code, is_retryable, message = problem_of(S3Client(settings))
    assert (code, is_retryable) == ("source_failed", True)
    assert "127.0.0.1" not in message


def test_a_server_that_is_restarted(server: S3Server, client: S3Client) -> None:
    """Connections that were kept are gone."""
    opened = client.source("renders", KEY)
    assert inspect(opened)["errors"] == []
    server.stop()
    server.start()
    assert problem_of(client)[0] == ""


def test_a_server_that_answers_too_late(server: S3Server) -> None:
    server.put("renders", KEY, SMALL)
    for kind in ("slow", "stall"):
        server.faults.clear()
        fault = server.faults.add("get", kind, times=1, seconds=5)
        opened = S3Client(server.settings(timeout_seconds=1.0)).source("renders", KEY)
        assert inspect(opened)["errors"] == []
        assert (fault.hits, opened.requests) == (1, 2)


def test_a_server_that_never_answers() -> None:
    """Not even HTTP; the bounds are those of the settings."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = S3Client(S3Server().settings(endpoint=f"http://127.0.0.1:{port}", timeout_seconds=0.6))
        found: list[tuple[str, bool, str]] = []
        asking = threading.Thread(target=lambda: found.append(problem_of(client)), daemon=True)
        asking.start()
        asking.join(30)
    assert [each[:2] for each in found] == [("source_failed", True)]


ENDLESS = b'HTTP/1.1 206 X\r\nContent-Range: bytes 0-65535/65536\r\nETag: "x"\r\nContent-Length: {}\r\n\r\n'


def test_a_server_that_sends_more_than_it_says() -> None:
    """The answer is not read to its end: it may have none."""
    piece, sent = bytes(1_000_000), []
    with socket.create_server(("127.0.0.1", 0)) as endless:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = endless.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(65536)
                        connection.sendall(ENDLESS.replace(b"{}", b"10000000000"))
                        for _ in range(1000):
                            connection.sendall(piece)
                            sent.append(len(piece))

        threading.Thread(target=serve, daemon=True).start()
        endpoint = f"http://127.0.0.1:{endless.getsockname()[1]}"
        found = problem_of(S3Client(S3Server().settings(endpoint=endpoint, timeout_seconds=0.6)))
        assert found[:2] == ("source_failed", True)
        assert sum(sent) < 200_000_000
        endless.shutdown(socket.SHUT_RDWR)


def test_a_redirect_does_not_take_the_signature_along(server: S3Server) -> None:
    """Neither of an object nor of a listing, which is not followed at all."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as first:
        target = f"http://127.0.0.1:{other.getsockname()[1]}/b/k"
        redirect = f"HTTP/1.1 307 X\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        for listening, answer in ((other, b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n"), (first, redirect)):
            threading.Thread(target=serve_once_more, args=(listening, answer, heard), daemon=True).start()
        client = S3Client(server.settings(endpoint=f"http://127.0.0.1:{first.getsockname()[1]}"))
        assert problem_of(client)[:2] == ("source_no_permission", False)
        assert len(heard) == 2
        with pytest.raises(SourceError) as caught:
            list(client.list("renders", ""))
        assert caught.value.code == "source_refused"
        assert len(heard) == 3
        for listening in (other, first):
            listening.shutdown(socket.SHUT_RDWR)
    assert [b"authorization: aws4" in each.lower() for each in heard] == [True, False, True]


def serve_once_more(listening: socket.socket, answer: bytes, heard: list[bytes]) -> None:
    """The same answer to whoever comes."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(answer)


@pytest.mark.parametrize(
    "answer", [b"", b"\0\xff" * 100, b"HTTP/1.1 206 Partial Content\r\n\r\n", b"HTTP/1.1 999 \r\n\r\n"]
)
def test_a_server_that_talks_nonsense(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nonsense:

        def serve() -> None:
            while True:
                try:
                    connection, _ = nonsense.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        endpoint = f"http://127.0.0.1:{nonsense.getsockname()[1]}"
        code, _, message = problem_of(S3Client(S3Server().settings(endpoint=endpoint, timeout_seconds=0.6)))
        assert code in ("source_failed", "source_refused")
        assert "127.0.0.1" not in message
        nonsense.shutdown(socket.SHUT_RDWR)


# ---- Servers that ignore ranges -----------------------------------------------------------------------------------


def test_a_server_that_ignores_ranges(server: S3Server, client: S3Client) -> None:
    """Its answer is read as far as it is needed, in one go."""
    server.put("renders", KEY, long_header(b"a") + bytes(50_000_000))
    server.faults.add("get", "whole", times=None)
    opened = client.source("renders", KEY)
    document = inspect(opened)
    assert document["attributes"]["parts"][0][1]["value"] == "a"
    assert document["file"]["size_bytes"] > 50_000_000
    assert opened.requests == 2  # one that was to be a range, one that is read
    assert inspect(opened) == document  # and again, from the beginning
    server.reset_counts()
    opened = client.source("renders", KEY)
    inspect(opened)
    assert opened.bytes_read < 700 * KIB
    assert server.counts()["bytes_sent"] < 20_000_000  # what fits into sockets' buffers


def test_chunks_of_a_server_that_ignores_ranges(server: S3Server, client: S3Client) -> None:
    server.put("renders", KEY, scanline_file(4, 8, chunk_bytes=50_000).data)
    server.faults.add("get", "whole", times=None)
    document = inspect(client.source("renders", KEY), config={"integrity": "chunks", "remote_chunks": True})
    assert document["file"]["header_hash"]
    assert [error["code"] for error in document["errors"]] == ["source_unsupported"]


# ---- Objects that are replaced while they are read ------------------------------------------------------------------


def test_replaced_once(server: S3Server, client: S3Client) -> None:
    """Read anew from the beginning: no byte of the first object is in the document."""
    server.put("renders", KEY, long_header(b"a"))
    server.faults.add("get", "replace", content=long_header(b"b"))
    opened = client.source("renders", KEY)
    document = inspect(opened)
    values = [each["value"] for each in document["attributes"]["parts"][0]]
    assert [set(value) for value in values] == [{"b"}, {"b"}]
    assert document["file"]["etag"] == server._buckets["renders"].get(KEY).etag.strip('"')
    ranges = [(asked.range, asked.status) for asked in server.asked]
    assert [status for _, status in ranges] == [206, 412, 206, 206]
    assert server.asked[0].if_match is None
    assert server.asked[1].if_match is not None
    assert server.asked[2].if_match is None


def test_replaced_again_and_again(server: S3Server, client: S3Client) -> None:
    server.put("renders", KEY, long_header(b"a"))
    for letter in (b"b", b"c", b"d", b"e", b"f", b"g"):  # every second request is refused, and replaces nothing
        server.faults.add("get", "replace", content=long_header(letter))
    code, is_retryable, message = problem_of(client)
    assert (code, is_retryable) == ("source_changed", True)
    assert "replaced" in message
    assert server.counts()["get"] == 6  # three times from the beginning
    server.put("renders", KEY, long_header(b"a"))
    for letter in (b"b", b"c", b"d", b"e", b"f", b"g"):  # every second request is refused, and replaces nothing
        server.faults.add("get", "replace", content=long_header(letter))
    with pytest.raises(SourceError) as caught:
        read_header(client.source("renders", KEY))
    assert caught.value.code == "source_changed"


def test_read_header_begins_anew_too(server: S3Server, client: S3Client) -> None:
    server.put("renders", KEY, long_header(b"a"))
    server.faults.add("get", "replace", content=long_header(b"b"))
    assert read_header(client.source("renders", KEY)).parts[0].value("after", "string") == "b"


def test_replaced_while_the_tables_are_read(server: S3Server, client: S3Client) -> None:
    first, second = (scanline_file(1, 40_000, chunk_bytes=size).data for size in (1, 2))
    server.put("renders", KEY, first)
    server.faults.add("get", "replace", content=second)
    document = inspect(client.source("renders", KEY))
    assert document["errors"] == []
    assert document["file"]["size_bytes"] == len(second)
    assert server.counts()["get"] == 4


def test_replaced_by_a_shorter_one(server: S3Server, client: S3Client) -> None:
    server.put("renders", KEY, long_header(b"a"))
    server.faults.add("get", "replace", content=SMALL)
    document = inspect(client.source("renders", KEY))
    assert document["errors"] == []
    assert document["file"]["size_bytes"] == len(SMALL)


@pytest.mark.parametrize("change", [{}, {"mtime": 1_800_000_000}])
def test_replaced_where_answers_have_no_etag(change: dict[str, float], server: S3Server, client: S3Client) -> None:
    """Then size, time and version tell: with the same size, and also with the same time."""
    server.faults.add("get", "no_etag", times=None)
    server.put("renders", KEY, long_header(b"a"), mtime=1_700_000_000)
    with client.source("renders", KEY) as opened:
        first = opened.read(0, 65536)
        server.put("renders", KEY, long_header(b"b"), **{"mtime": 1_700_000_000, **change})
        with pytest.raises(SourceError) as caught:
            opened.read(65536, 65536)
        assert caught.value.code == "source_changed"
        assert opened.restart()
        again = opened.read(0, 65536)
    assert (len(first), len(again), first == again) == (65536, 65536, False)
    assert not any(asked.if_match for asked in server.asked)


def test_a_version_stays_what_it_is(server: S3Server, client: S3Client) -> None:
    version = server.put("renders", KEY, long_header(b"a"))
    server.put("renders", KEY, long_header(b"b"))
    server.faults.add("get", "replace", content=long_header(b"c"))
    found = read_header(client.source("renders", KEY, version_id=version.version_id))
    assert found.parts[0].value("after", "string") == "a"
    document = inspect(client.source("renders", KEY, version_id="version-999"))
    code, message = document["errors"][0]["code"], document["errors"][0]["message"]
    assert code == "source_not_found"
    assert "version" in message


def test_deleted_between_two_ranges(server: S3Server, client: S3Client) -> None:
    server.put("renders", KEY, long_header(b"a"))
    server.faults.add("get", "no_such_key", after=1)
    assert problem_of(client)[:2] == ("source_not_found", False)


# ---- Nothing is told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["forbidden", "internal", "bad_request", "no_such_key", "drop", "cut", "precondition"])
def test_no_secret_and_no_endpoint_anywhere(
    kind: str, server: S3Server, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Not in documents, exceptions, their causes, or the log; also where the server repeats them."""
    caplog.set_level(logging.DEBUG)
    server.faults.clear()
    message = f"{server.access_key} {server.secret_key} {server.endpoint}"
    server.faults.add("get", kind, times=None, message=message)
    client = S3Client(server.settings(timeout_seconds=0.3))
    told = [json.dumps(inspect(client.source("renders", KEY))), repr(client), repr(server.settings())]
    with pytest.raises(ExrError) as caught:
        read_header(client.source("renders", KEY))
    told += traceback.format_exception(caught.value)
    output = capfd.readouterr()
    everything = "\n".join([*told, caplog.text, output.out, output.err])
    for secret in (server.access_key, server.secret_key, server.endpoint, "AWS4-HMAC", "Signature="):
        assert secret not in everything
    assert KEY in everything


def test_every_code_of_a_source_is_known() -> None:
    codes = {"source_failed", "source_changed", "source_not_found", "source_no_permission", "source_refused"}
    assert codes < set(CODES)


# ---- A few thousand, some of which fail ------------------------------------------------------------------------------


def test_a_storm(server: S3Server, client: S3Client) -> None:
    """5 % of the requests fail in one of many ways: every header is read all the same."""
    for number, kind in enumerate(PASSING):
        server.faults.add("get", kind, times=None, probability=0.01, seed=number)
    server.put("renders", KEY, long_header(b"x", 100_000) + pack_string(b"rest"))
    results: list[Any] = []

    def work() -> None:
        for _ in range(50):
            found = inspect(client.source("renders", KEY))
            results.append(found["file"]["header_hash"])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 400
    assert len(set(results)) == 1
    assert results[0] is not None
    assert server.counts()["get"] > 820
