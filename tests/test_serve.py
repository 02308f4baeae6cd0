"""`exr-inspector serve` as a process: what it answers, what it refuses, how it starts and ends. No S3, no database."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from exr_inspector.dataengine.outcomes import failed
from exr_inspector.errors import Problem
from exr_inspector.events import Delivery
from exr_inspector.serve.metrics import Metrics
from tests.support.serving import ROOT, Serving, asked, serving

RGBA = ROOT / "fixtures" / "real" / "minimal_rgba.exr"
BODY_LIMIT = 20_000
EVERYWHERE = "0.0.0.0"  # noqa: S104 - as the image says
KNATIVE_RETRIES = {404, 408, 409, 429, *range(500, 600)}


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    """One that may read the fixtures, and takes bodies of 20,000 bytes."""
    environment = {"EXR_INSPECTOR_ROOTS": str(ROOT / "fixtures"), "EXR_INSPECTOR_MAX_BODY_BYTES": str(BODY_LIMIT)}
    with serving(environment) as running:
        yield running


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A serve that ends by itself."""
    kept = Serving(environment)._environment
    run = [sys.executable, "-m", "exr_inspector", "serve", *arguments]
    return subprocess.run(run, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=30, check=False)


def raw(server: Serving, *pieces: bytes, seconds: float = 10.0) -> bytes:
    """What comes back for bytes on a connection of its own, until it is closed or nothing comes for a while."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return received(connection)


def received(connection: socket.socket, until: bytes = b"") -> bytes:
    """Bytes until the other end closes, or until some come."""
    answer = b""
    with contextlib.suppress(ConnectionError, socket.timeout):
        while piece := connection.recv(65536):
            answer += piece
            if until and until in answer:
                break
    return answer


# ---- Probes ------------------------------------------------------------------------------------------------


def test_probes(server: Serving) -> None:
    assert server.get("/liveness")[::2] == (200, b"alive\n")
    assert server.get("/readiness")[::2] == (200, b"ready\n")


def test_options_answers_the_probe_against_abuse(server: Serving) -> None:
    """CloudEvents HTTP webhooks 1.0.2, section 4: the origin and the rate are granted, POST is allowed."""
    asks = {"WebHook-Request-Origin": "events.example.com", "WebHook-Request-Rate": "120"}
    answer = server.request("OPTIONS", "/", headers=asks)
    assert answer.status == 200
    assert answer.headers["webhook-allowed-origin"] == "*"
    assert answer.headers["webhook-allowed-rate"] == "*"
    assert "POST" in answer.headers["allow"]
    plain = server.request("OPTIONS", "/")
    assert plain.status == 200
    assert "webhook-allowed-origin" not in plain.headers


def test_metrics_are_prometheus_text(server: Serving) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    answer = server.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name for family in parser.text_string_to_metric_families(answer.text)}
    ours = {"files", "errors", "read_bytes", "s3_requests", "transactions", "http_requests", "sink_events"}
    ours |= {
        "file_seconds",
        "read_seconds",
        "persist_seconds",
        "request_seconds",
        "transaction_files",
        "in_flight",
        "ready",
    }
    assert {f"exr_inspector_{name}" for name in ours} <= families
    assert server.metric("exr_inspector_ready") == 1


def test_the_metrics_are_those_of_the_page(server: Serving) -> None:
    page = (ROOT / "docs" / "SERVERLESS_INTEGRATION.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(exr_inspector_\w+)", page))
    typed = re.findall(r"^# TYPE (exr_inspector_\w+) \w+$", server.get("/metrics").text, re.MULTILINE)
    assert told == {name for name in typed if not name.endswith("_created")}


# ---- Wrong requests ----------------------------------------------------------------------------------------


def chunked(*pieces: bytes) -> bytes:
    """A body in HTTP/1.1's chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


HEAD = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status"),
    [
        ("GET", "/", None, "", 405),
        ("PUT", "/", b"{}", "application/json", 405),
        ("POST", "/readiness", b"{}", "application/json", 405),
        ("POST", "/elsewhere", b"{}", "application/json", 404),
        ("POST", "/", b"a=b", "application/x-www-form-urlencoded", 415),
        ("POST", "/", b"<a/>", "application/cloudevents+xml", 415),
        ("POST", "/", b"{", "application/json", 400),
        ("POST", "/", b"\xff\xfe", "application/json", 400),
        ("POST", "/", b"{}", "application/cloudevents+json", 400),
        ("POST", "/", b"{}", "application/cloudevents-batch+json", 400),
        ("POST", "/", b"[" * 10_000, "application/json", 400),
        ("POST", "/", b" " * (BODY_LIMIT + 1), "application/json", 413),
    ],
)
def test_what_is_no_event(
    server: Serving, method: str, path: str, body: bytes | None, content_type: str, status: int
) -> None:
    answer = server.request(method, path, body, {"content-type": content_type})
    assert answer.status == status
    assert "Traceback" not in answer.text
    if status == 405:
        assert "allow" in answer.headers


def test_what_can_never_be_an_event_is_not_delivered_again(server: Serving) -> None:
    for body, content_type in ((b"{", "application/json"), (b" " * (BODY_LIMIT + 1), "application/json"), (b"", "a/b")):
        assert server.request("POST", "/", body, {"content-type": content_type}).status not in KNATIVE_RETRIES


def test_a_compressed_body_is_not_unpacked(server: Serving) -> None:
    assert server.post(b"\x1f\x8b", content_encoding="gzip").status == 415


def test_a_body_that_grows_too_large_is_refused_while_it_comes(server: Serving) -> None:
    """It has no length and no end: the answer comes after the limit, though the body goes on."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"ffffff\r\n" + b" " * (BODY_LIMIT + 1))
        assert received(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")


def test_a_body_that_says_it_is_too_large_is_not_waited_for(server: Serving) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (BODY_LIMIT + 1))
        assert received(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),  # a TLS hello
        b"GET / HTTQ/1.1\r\nhost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",  # no host
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        HEAD + b"content-length: 99999999999999999999999\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"x: " + b"a" * 100_000 + b"\r\n\r\n",
        HEAD + b"ce-\x00id: 1\r\n\r\n",
        b"GET /\x1b[31m HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
)
def test_what_is_no_http(server: Serving, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request_bytes)
        status = received(connection, b"\r\n\r\n")[9:12]
    assert status in (b"400", b"413", b"")  # or the connection is closed
    assert server.get("/liveness").status == 200
    assert "Traceback" not in server.log


def test_a_head_may_have_the_attributes_of_an_event(server: Serving) -> None:
    """64 KiB, as the events' own limit says; uvicorn's would be 16."""
    headers = {"ce-specversion": "1.0", "ce-id": "9", "ce-source": "s", "ce-type": "t"}
    headers |= {f"ce-extension{number}": "a" * 3000 for number in range(10)}
    assert server.post({"path": str(RGBA)}, **headers).status == 204


def test_a_websocket_is_not_opened(server: Serving) -> None:
    upgrade = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(upgrade)
        assert received(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 405 ")


def test_a_connection_is_kept(server: Serving) -> None:
    with contextlib.closing(server.connect()) as connection:
        assert asked(connection, "GET", "/liveness").status == 200
        port = connection.sock.getsockname()[1]
        assert asked(connection, "POST", "/", b"{", {"content-type": "application/json"}).status == 400
        assert (
            asked(connection, "POST", "/", b" " * (BODY_LIMIT + 1), {"content-type": "application/json"}).status == 413
        )
        assert asked(connection, "GET", "/liveness").status == 200
        assert connection.sock.getsockname()[1] == port


# ---- Events ------------------------------------------------------------------------------------------------


def test_events_are_answered_204_in_every_mode(server: Serving) -> None:
    path = str(RGBA)
    envelope = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": {"path": path}}
    binary = {"ce-specversion": "1.0", "ce-id": "2", "ce-source": "s", "ce-type": "t"}
    before = server.metric('exr_inspector_files_total{outcome="skipped"}')
    answers = [
        server.post({"data": {"path": path}}),
        server.post(envelope, "application/cloudevents+json"),
        server.post([envelope, {**envelope, "id": "3"}], "application/cloudevents-batch+json; charset=utf-8"),
        server.post({"path": path}, **binary),
    ]
    assert [(answer.status, answer.body) for answer in answers] == [(204, b"")] * 4
    assert server.metric('exr_inspector_files_total{outcome="skipped"}') - before == 5  # no database: nothing stored


def test_an_event_that_names_no_file_is_no_reason_to_deliver_it_again(server: Serving) -> None:
    event = {"specversion": "1.0", "id": "77", "source": "s", "type": "t", "data": {"color": "s3cr3t-value"}}
    assert server.post(event, "application/cloudevents+json").status == 204
    assert server.metric('exr_inspector_errors_total{code="event_not_understood"}') == 1
    line = server.line("event_not_understood")[0]
    assert line
    assert "s3cr3t-value" not in server.log


def test_a_path_outside_the_roots_is_not_read(server: Serving) -> None:
    assert server.post({"data": {"path": "/etc/passwd"}}).status == 204
    assert server.metric('exr_inspector_errors_total{code="event_refused"}') == 1


def test_databases_of_events_are_refused_and_told_nowhere(server: Serving) -> None:
    keys = {"vastdb_access_key": "AKIASECRET", "vastdb_secret_key": "verysecret"}
    event = {"data": {"path": str(RGBA), "vastdb_endpoint": "http://203.0.113.9", **keys}}
    answer = server.post(event)
    assert answer.status == 204
    for secret in ("AKIASECRET", "verysecret", "203.0.113.9"):
        assert secret not in server.log
        assert secret not in server.get("/metrics").text


def test_no_log_line_has_control_characters(server: Serving) -> None:
    server.post({"data": {"path": f"{ROOT}/fixtures/\x1b[31m\n2026 INFO forged\u202e.exr"}})
    server.request("POST", "/?q=%0a%1b[31m", b"{", {"content-type": "application/json"})
    server.line("forged")
    assert all(line.isprintable() for line in server.lines)
    assert not any(line.startswith("2026 INFO") for line in server.lines)


def test_a_label_is_a_word_of_this_program() -> None:
    metrics = Metrics()
    outcome = failed(Delivery("file", path="/secret/path"), Problem("not_exr", "no"), is_retryable=False)
    for code in ("not_exr", "made up \n by a file"):
        metrics.file(outcome._replace(code=code))
    metrics.answered(299, 0.1)
    text = metrics.text().decode()
    assert 'errors_total{code="not_exr"} 1.0' in text
    assert 'errors_total{code="other"} 1.0' in text
    assert 'http_requests_total{status="other"} 1.0' in text


def test_metrics_have_no_paths(server: Serving) -> None:
    server.post({"data": {"path": str(RGBA)}})
    text = server.get("/metrics").text
    assert "fixtures" not in text
    assert ".exr" not in text
    labels = set(re.findall(r'(\w+)="', text))
    assert labels <= {"outcome", "code", "status", "le"}


# ---- Limits ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def half_posts(server: Serving, count: int) -> Iterator[list[socket.socket]]:
    """Posts of which only half of the body has come."""
    with contextlib.ExitStack() as stack:
        posts = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            stack.enter_context(connection)
            connection.sendall(HEAD + b"content-length: 2\r\n\r\n{")
            posts.append(connection)
        yield posts


def until(condition: Any, seconds: float = 10.0) -> None:
    """Waits for something; a failure says what."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_posts_beyond_the_limit_may_come_later() -> None:
    with serving({"EXR_INSPECTOR_MAX_REQUESTS": "2"}) as server, half_posts(server, 2) as held:
        until(lambda: server.metric("exr_inspector_in_flight") == 2)
        answer = server.post({"data": {"path": "/a"}})
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert server.get("/liveness").status == 200
        assert server.get("/readiness").status == 200
        held[0].sendall(b"}")
        assert received(held[0], b"\r\n\r\n").startswith(b"HTTP/1.1 204 ")  # `{}`: an event that names no file
        until(lambda: server.metric("exr_inspector_in_flight") == 1)
        assert server.post({"data": {"path": "/a"}}).status == 204


def test_connections_are_limited() -> None:
    with serving({"EXR_INSPECTOR_MAX_REQUESTS": "1"}) as server, contextlib.ExitStack() as stack:
        connections = []
        for _ in range(1 + 64 + 8):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=0.5)
            connections.append(stack.enter_context(connection))
        closed = sum(is_closed(connection) for connection in connections)
        assert closed >= 8
        connections[0].close()
        assert connections[1].fileno() >= 0


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end has closed the connection."""
    try:
        connection.settimeout(0.02)
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


# ---- Start and end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (("--port", "http"), {}, "a port is a number"),
        (("--port", "65536"), {}, "a port is a number"),
        (("--host", ""), {}, "an address is needed"),
        ((), {"EXR_INSPECTOR_PORT": "x"}, "EXR_INSPECTOR_PORT"),
        ((), {"K_SINK": "ftp://a"}, "K_SINK"),
        ((), {"K_CE_OVERRIDES": "[]"}, "K_CE_OVERRIDES"),
        ((), {"PERSIST_FAILURE": "maybe"}, "PERSIST_FAILURE"),
        (("--port", "0"), {"VAST_DB_ENDPOINT": "http://127.0.0.1:1", "VAST_DB_ACCESS_KEY": "a"}, "VAST_DB_SECRET_KEY"),
        (("--port", "0"), {"S3_ENDPOINT": "http://127.0.0.1:1", "S3_ACCESS_KEY": "hidden-key"}, "S3_SECRET_KEY"),
        (("somewhere",), {}, "somewhere"),
    ],
)
def test_wrong_settings_are_wrong_usage(arguments: tuple[str, ...], environment: dict[str, str], told: str) -> None:
    done = command(*arguments, **environment)
    assert (done.returncode, done.stdout) == (64, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "hidden-key" not in done.stderr


@pytest.mark.parametrize("missing", ["uvicorn", "starlette", "cloudevents", "prometheus_client"])
def test_a_missing_package_is_named_with_its_cure(missing: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; from exr_inspector.cli.main import main; sys.exit(main())"
    run = [sys.executable, "-c", script, "serve", "--port", "0"]
    done = subprocess.run(
        run, cwd=ROOT, env=Serving()._environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 64
    assert f"{missing} is missing: pip install 'exr-inspector[serve]'" in done.stderr


def test_an_address_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("--port", str(port))
    assert done.returncode == 2
    assert f"port {port}: Address already in use" in done.stderr


def test_it_listens_on_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with Serving({}, ("--host", "::1", "--port", "0")) as server:
        assert server.line("listening on (.*)")[1] == f"http://[::1]:{server.port}"


def test_it_listens_on_the_loopback_address_unless_told_otherwise() -> None:
    with Serving() as server:
        assert server.line("listening on (.*)")[1] == f"http://127.0.0.1:{server.port}"
    with Serving({"EXR_INSPECTOR_HOST": EVERYWHERE, "PORT": "0"}, ()) as server:
        assert server.line("listening on (.*)")[1] == f"http://0.0.0.0:{server.port}"
    with Serving({"EXR_INSPECTOR_HOST": EVERYWHERE}, ("--host", "127.0.0.2", "--port", "0")) as server:
        assert server.line("listening on (.*)")[1] == f"http://127.0.0.2:{server.port}"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it(number: int, status: int) -> None:
    with serving() as server, contextlib.closing(server.connect()) as idle:
        assert asked(idle, "GET", "/liveness").status == 200
        assert server.stop(number) == status
        assert "stopped" in server.lines[-1]
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""


def test_a_second_signal_ends_it_at_once() -> None:
    with serving({"EXR_INSPECTOR_GRACE_SECONDS": "60"}) as server, half_posts(server, 1):
        until(lambda: server.metric("exr_inspector_in_flight") == 1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.process.poll() is None
        assert server.stop(signal.SIGTERM, 5) == 128 + signal.SIGTERM


def test_the_grace_time_is_the_longest_that_an_end_takes() -> None:
    with serving({"EXR_INSPECTOR_GRACE_SECONDS": "1"}) as server, half_posts(server, 1) as held:
        until(lambda: server.metric("exr_inspector_in_flight") == 1)
        assert server.stop(signal.SIGTERM, 10) == 0
        assert received(held[0])[9:12] in (b"500", b"")  # never 204


def test_a_post_in_the_grace_time_is_finished() -> None:
    with serving({"EXR_INSPECTOR_GRACE_SECONDS": "20"}) as server, half_posts(server, 1) as held:
        until(lambda: server.metric("exr_inspector_in_flight") == 1)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not accepts(server))
        held[0].sendall(b"}")
        assert received(held[0], b"\r\n\r\n").startswith(b"HTTP/1.1 204 ")
        assert server.process.wait(10) == 0


def accepts(server: Serving) -> bool:
    """Whether a new connection is taken."""
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
    except OSError:
        return False
    return True
