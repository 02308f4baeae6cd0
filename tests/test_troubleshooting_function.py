"""docs/TROUBLESHOOTING.md: messages of S3, the function and `serve`, provoked."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest

pytest.importorskip("obstore")
pytest.importorskip("vastdb")
pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("cloudevents")
pytest.importorskip("prometheus_client")

from exr_inspector import dataengine
from exr_inspector.config_function import function_settings
from exr_inspector.dataengine.function import Function
from exr_inspector.s3 import S3Client
from tests.loopback.s3_server import S3Server
from tests.loopback.vast_server import VastServer
from tests.support.functions import environment, event, exr
from tests.support.serving import Serving, SinkServer
from tests.support.troubleshooting import CASES, FIXTURES, Said, check, errors_of, of_call, told

# ---- Objects


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server(buckets=["renders"]) as server:
        server.put("renders", "a.exr", (FIXTURES / "real" / "rich.exr").read_bytes())
        yield server


@pytest.fixture
def client(s3: S3Server) -> Iterator[S3Client]:
    yield S3Client(s3.settings(timeout_seconds=0.5))
    s3.faults.clear()


OBJECT_FAULTS = [
    (58, "forbidden"), (59, "no_such_key"), (59, "no_such_bucket"), (62, "slow_down"), (62, "drop"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "kind"), OBJECT_FAULTS)
def test_faults_of_the_object_store(number: int, kind: str, s3: S3Server, client: S3Client) -> None:
    s3.faults.add("get", kind, times=None)
    check_object(number, *errors_of(client.source("renders", "a.exr")))


def check_object(number: int, *messages: Said) -> None:
    """As `check`, behind the object's address, as the command line has it."""
    check(number, *(each._replace(message=f"s3://renders/a.exr: {each.message}") for each in messages))


def test_61_replaced_again_and_again(s3: S3Server, client: S3Client) -> None:
    def long(letter: bytes) -> bytes:
        return exr(others={"text": b"text\0string\0" + (300_000).to_bytes(4, "little") + letter * 300_000})

    s3.put("renders", "long.exr", long(b"a"))
    for letter in (b"b", b"c", b"d", b"e", b"f", b"g"):
        s3.faults.add("get", "replace", content=long(letter))
    check_object(61, *errors_of(client.source("renders", "long.exr")))


def test_63_chunks_over_s3(client: S3Client) -> None:
    check(63, *errors_of(client.source("renders", "a.exr"), integrity="chunks"))


# ---- The function


@pytest.fixture(scope="module")
def vast() -> Iterator[VastServer]:
    with VastServer(buckets=["b"]) as server:
        yield server


class Served(NamedTuple):
    """A serving process, its sink, and what it logged when the database was away."""

    process: Serving
    sink: SinkServer
    first_line: str


@pytest.fixture(scope="module")
def serving(vast: VastServer, s3: S3Server) -> Iterator[Served]:
    """The database is away at first."""
    more = {"EXR_INSPECTOR_MAX_BODY_BYTES": "2000", "EXR_INSPECTOR_MAX_REQUESTS": "1", "PERSIST_FAILURE": "retry"}
    with SinkServer() as sink:
        vast.faults.add(op="begin", kind="drop_before", times=None)
        with Serving(environment(s3, vast, K_SINK=sink.url, VAST_DB_SCHEMA="served", **more)) as process:
            line = process.line("the database cannot be opened").string
            vast.faults.clear()
            process.ready()
            yield Served(process, sink, line)


def test_65_not_ready_yet(serving: Served) -> None:
    logged = serving.first_line
    check(65, json.loads(logged[logged.index("{") :])["function"])


def test_72_73_what_must_be_delivered_again(serving: Served, vast: VastServer) -> None:
    vast.faults.add(op="insert", kind="forbidden", times=None)
    answer = serving.process.post(event("a.exr")).text
    vast.faults.clear()
    assert json.loads(answer) == json.loads(CASES[72].shown[0])
    serving.process.ready()
    for status, words in ((500, "not taken"), (400, "refused")):
        serving.sink.statuses[:] = [status] * 4
        serving.process.post(event("a.exr"))
        serving.sink.statuses.clear()
        line = serving.process.line(f"its result was {words}").string
        check(73, line[line.index("event ") :])


def test_74_75_77_posts_that_are_refused(serving: Served) -> None:
    check(74, serving.process.post(b"x" * 3000).text)
    check(77, serving.process.post(b"a=b", "application/x-www-form-urlencoded").text)
    with socket.create_connection(("127.0.0.1", serving.process.port), timeout=10) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")
        answers = (serving.process.post({}) for _ in range(500))  # until the slow one has come
        check(75, next(answer.text for answer in answers if answer.status == 503))


def test_71_76_the_handler(vast: VastServer, monkeypatch: pytest.MonkeyPatch, s3: S3Server) -> None:
    for name, value in environment(s3, vast, VAST_DB_SCHEMA="handled", PERSIST_FAILURE="retry").items():
        monkeypatch.setenv(name, value)
    function = Function(function_settings())
    function.close(0)
    (outcome,) = function.submit(event("a.exr")).result()
    check(76, Said(outcome.message, str(outcome.code)))
    try:
        vast.faults.add(op="insert", kind="forbidden", table="files", times=None)
        check(71, of_call(lambda: dataengine.handler(None, event("a.exr"))))
    finally:
        vast.faults.clear()
        dataengine.close(1)


def test_79_the_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        check(79, told(capsys, "serve", "--port", str(taken.getsockname()[1])))
