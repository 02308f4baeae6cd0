"""What goes to the sink: the events' form, their size, and what is done when the sink does not take them."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from exr_inspector.config_function import FunctionSettings, function_settings
from exr_inspector.serve import sink as sink_module
from exr_inspector.serve.results import MAX_EVENT_BYTES, kept_trace, message_of, result_body
from exr_inspector.serve.sink import FAILED, REFUSED, SENT, Sink
from tests.support.serving import ROOT, Received, Serving, SinkServer, element_event, serving

RGBA = ROOT / "fixtures" / "real" / "minimal_rgba.exr"
RICH = ROOT / "fixtures" / "real" / "rich.exr"
# The example of the W3C's Trace Context.
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
SETTINGS = FunctionSettings(function_name="exr-inspector")


@pytest.fixture(scope="module")
def sink() -> Iterator[SinkServer]:
    with SinkServer() as running:
        yield running


@pytest.fixture(scope="module")
def server(sink: SinkServer) -> Iterator[Serving]:
    environment = {
        "EXR_INSPECTOR_ROOTS": str(ROOT / "fixtures"),
        "PERSIST_FAILURE": "retry",
        "K_SINK": sink.url,
        "K_CE_OVERRIDES": '{"extensions": {"pipeline": "dailies", "show": "été"}}',
        "EXR_INSPECTOR_FUNCTION_NAME": "header-reader",
    }
    with serving(environment) as running:
        yield running


@pytest.fixture(autouse=True)
def emptied(sink: SinkServer) -> None:
    sink.received.clear()
    sink.statuses.clear()


def envelope(path: Any = RGBA, **attributes: Any) -> dict[str, Any]:
    base = {"specversion": "1.0", "id": "e-1", "source": "vastdata.com:trigger", "type": "vastdata.com:Element"}
    return {**base, **attributes, "data": {"path": str(path)}}


def parsed(received: Received) -> Any:
    """The event as the `cloudevents` package reads it: an oracle for its form."""
    http = pytest.importorskip("cloudevents.core.bindings.http")
    return http.from_http_event(http.HTTPMessage(dict(received.headers), received.body))


# ---- Form --------------------------------------------------------------------------------------------------


def test_a_result_is_a_new_event(server: Serving, sink: SinkServer) -> None:
    event = envelope(id="e 1/é%", partitionkey="shot-7", traceparent=PARENT, tracestate="vendor=1")
    assert server.post(event, "application/cloudevents+json").status == 204
    (received,) = sink.received
    attributes = parsed(received).get_attributes()
    assert attributes["id"] == "e 1/é%"
    assert attributes["type"] == "vastdata.com:Function"
    assert attributes["source"] == "vastdata.com:header-reader"
    assert attributes["specversion"] == "1.0"
    assert attributes["partitionkey"] == "shot-7"
    assert attributes["traceparent"] == received.headers["traceparent"] == PARENT
    assert attributes["tracestate"] == received.headers["tracestate"] == "vendor=1"
    assert (attributes["pipeline"], attributes["show"]) == ("dailies", "été")
    assert received.headers["ce-id"] == "e%201/%C3%A9%25"  # the HTTP binding's own rule
    document = parsed(received).get_data()
    assert document["file"]["path"] == str(RGBA)
    assert document["persistence"]["message"] == "VAST DataBase not configured"


def test_a_request_s_own_trace_goes_on(server: Serving, sink: SinkServer) -> None:
    assert server.post({"data": {"path": str(RGBA)}}, traceparent=PARENT, tracestate="a=b").status == 204
    both = envelope(traceparent=OTHER_PARENT)
    assert server.post(both, "application/cloudevents+json", traceparent=PARENT).status == 204
    first, second = sink.received
    assert (first.headers["traceparent"], first.headers["tracestate"]) == (PARENT, "a=b")
    assert first.headers["ce-traceparent"] == PARENT
    assert (second.headers["traceparent"], second.headers["ce-traceparent"]) == (PARENT, OTHER_PARENT)
    assert "tracestate" not in second.headers


@pytest.mark.parametrize("parent", ["", "1", PARENT.upper(), PARENT + "\n", PARENT + " x", PARENT[:-1], "x" * 5000, 7])
def test_what_is_no_trace_is_not_passed_on(parent: Any) -> None:
    assert kept_trace({"traceparent": parent, "tracestate": "a=b"}) == {}


def test_each_event_of_a_batch_has_its_result(server: Serving, sink: SinkServer) -> None:
    events = [envelope(path, id=f"e-{number}") for number, path in enumerate([RGBA, RICH, "/nowhere", RGBA])]
    assert server.post(events, "application/cloudevents-batch+json").status == 204
    by_id = {received.headers["ce-id"]: json.loads(received.body) for received in sink.received}
    assert by_id["e-1"]["file"]["path"] == str(RICH)
    assert by_id["e-2"]["persistence"]["status"] == "error"
    assert sorted(by_id) == ["e-0", "e-1", "e-2", "e-3"]


def test_nothing_that_the_event_brought_reaches_the_sink(server: Serving, sink: SinkServer) -> None:
    brought = {"vastdb_endpoint": "http://203.0.113.9", "vastdb_access_key": "AKIASECRET", "policy_path": "/p/secret"}
    assert server.post({"data": {"path": str(RGBA), **brought, "vastdb_secret_key": "hush-hush"}}).status == 204
    assert server.post({"data": {"path": str(RGBA), "policy_path": "/p/secret", "validate": True}}).status == 204
    text = " ".join(str(received) for received in sink.received)
    assert len(sink.received) == 2
    for word in ("203.0.113.9", "AKIASECRET", "/p/secret", "hush-hush", "vastdb_"):
        assert word not in text
        assert word not in server.log


# ---- Size --------------------------------------------------------------------------------------------------


def document(*values: bytes, channels: int = 0) -> dict[str, Any]:
    """A document with one attribute of unknown type for each value."""
    entries = [
        {
            "name": f"a{number}",
            "type": "blob",
            "value": {"encoding": "base64", "data": base64.b64encode(value).decode()},
        }
        for number, value in enumerate(values)
    ]
    return {
        "schema_version": 1,
        "file": {"path": "s3://b/k.exr"},
        "parts": [{"part_index": 0}],
        "channels": [{"part_index": 0, "name": f"channel.{number}" * 20} for number in range(channels)],
        "attributes": {"parts": [entries]},
        "errors": [],
        "persistence": {"status": "success", "file_id": "0" * 32},
    }


def test_values_are_cut_at_4_kib() -> None:
    told = json.loads(result_body(document(b"a" * 4096, b"b" * 4097)))
    kept, cut = told["attributes"]["parts"][0]
    assert base64.b64decode(kept["value"]["data"]) == b"a" * 4096
    assert cut["value"]["cut_bytes"] == 4097
    assert base64.b64decode(cut["value"]["start"]["data"]) == b"b" * 4096
    assert "left_out" not in told


@pytest.mark.parametrize(
    ("large", "left_out"),
    [
        (document(*[b"v" * 4000] * 400), None),  # 2 MB of values: cut shorter
        (document(*[b"v" * 100] * 8000), ["attributes"]),
        (document(b"v", channels=9000), ["attributes", "channels"]),
        ({**document(b"v"), "parts": [{"part_name": "p" * 1000}] * 1100}, ["attributes", "parts"]),
        ({**document(b"v"), "errors": [{"message": "m" * 1000}] * 1100}, ["attributes", "parts"]),
    ],
)
def test_an_event_is_below_1_mib_whatever_the_file(large: dict[str, Any], left_out: list[str] | None) -> None:
    body = result_body(large)
    assert len(body) <= MAX_EVENT_BYTES < 1 << 20
    told = json.loads(body)
    assert told.get("left_out") == left_out
    assert told["file"] == large["file"]
    assert told["persistence"] == large["persistence"]


def test_several_files_of_one_event_share_its_size() -> None:
    body = result_body({"documents": [document(b"v" * 3000) for _ in range(300)]})
    assert len(body) <= MAX_EVENT_BYTES
    told = json.loads(body)
    assert len(told["documents"]) == 300
    assert all(each["persistence"]["status"] == "success" for each in told["documents"])
    assert json.loads(result_body({"documents": [document(b"v")] * 20_000})) == {
        "left_out": ["documents"],
        "count": 20_000,
    }


def test_a_file_with_long_values(server: Serving, sink: SinkServer) -> None:
    """A real one: no value of what arrives is longer than its cut."""
    assert server.post(envelope(RICH), "application/cloudevents+json").status == 204
    told = json.loads(sink.received[0].body)
    assert told["attributes"]["parts"][0]
    assert len(sink.received[0].body) < 1 << 20


def test_long_attributes_do_not_grow_the_event() -> None:
    event = {"id": "i" * 100_000, "partitionkey": "k" * 100_000}
    message = message_of(event, document(b"v"), {}, SETTINGS)
    again = message_of(event, document(b"v"), {}, SETTINGS)
    assert sum(map(len, message.headers.values())) < 10_000
    assert message.headers["ce-id"] == again.headers["ce-id"] != message.headers["ce-partitionkey"]
    first, second = (message_of({}, document(b"v"), {}, SETTINGS).headers["ce-id"] for _ in range(2))
    assert first != second


def test_headers_count_as_parts_of_the_event() -> None:
    """Quoted, an override can be nine times as long."""
    settings = function_settings({"K_CE_OVERRIDES": json.dumps({"extensions": {"x": "\u20ac" * 2500}})})
    large = document(b"v", channels=3950)
    for event in ({"id": "1"}, {"id": "\u20ac" * 2000, "partitionkey": "\u20ac" * 2000}):
        message = message_of(event, large, {}, settings)
        assert sum(len(name) + len(value) + 4 for name, value in message.headers.items()) > 20_000
        assert len(message.body) + sum(map(len, message.headers.values())) < 1 << 20
        assert json.loads(message.body)["left_out"] == ["attributes", "channels"]
    assert "left_out" not in json.loads(message_of({"id": "1"}, large, {}, SETTINGS).body)


def test_overrides_come_last() -> None:
    overrides = '{"extensions": {"type": "studio.header", "partitionkey": "all"}}'
    settings = function_settings({"K_CE_OVERRIDES": overrides})
    headers = message_of({"id": "1", "partitionkey": "mine"}, document(b"v"), {}, settings).headers
    assert (headers["ce-type"], headers["ce-partitionkey"], headers["ce-id"]) == ("studio.header", "all", "1")


# ---- A sink that does not take it --------------------------------------------------------------------------


@pytest.fixture
def sending(sink: SinkServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    monkeypatch.setattr(sink_module, "PAUSES_SECONDS", (0.0, 0.0, 0.0, 0.0))
    made = Sink(sink.url)
    yield made
    made.close()


MESSAGE = message_of({"id": "1"}, document(b"v"), {}, SETTINGS)


@pytest.mark.parametrize(
    ("statuses", "outcome", "tries"),
    [
        ([], SENT, 1),
        ([200], SENT, 1),
        ([503, 429, 404, 202], SENT, 4),
        ([500] * 4, FAILED, 4),
        ([400], REFUSED, 1),
        ([413], REFUSED, 1),
        ([301], REFUSED, 1),  # no redirect is followed
    ],
)
def test_tries(sink: SinkServer, sending: Sink, statuses: list[int], outcome: str, tries: int) -> None:
    sink.statuses[:] = statuses
    assert sending.submit(MESSAGE).result(10) == outcome
    assert len(sink.received) == tries
    assert {received.body for received in sink.received} == {MESSAGE.body}


def test_nobody_listens(sink: SinkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "PAUSES_SECONDS", (0.0, 0.0))
    nobody = Sink("http://127.0.0.1:1/")
    assert nobody.submit(MESSAGE).result(10) == FAILED
    nobody.close()


def test_a_sink_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "PAUSES_SECONDS", (0.0,))
    monkeypatch.setattr(sink_module, "TRY_SECONDS", 0.3)
    with SinkServer() as silent:
        silent.pause.clear()
        sending = Sink(silent.url)
        assert sending.submit(MESSAGE).result(10) == FAILED
        sending.close()


def test_a_sink_that_answers_byte_by_byte_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in a socket's time, all of them do not."""
    monkeypatch.setattr(sink_module, "PAUSES_SECONDS", (0.0,))
    monkeypatch.setattr(sink_module, "TRY_SECONDS", 0.4)
    stopping = threading.Event()

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
            while not stopping.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = threading.Thread(target=drip, args=[listening])
        dripping.start()
        sending = Sink(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        try:
            assert sending.submit(MESSAGE).result(5) == FAILED
        finally:
            stopping.set()
            sending.close()
            dripping.join()


def test_what_failed_has_no_result_yet(server: Serving, sink: SinkServer) -> None:
    """Where objects are is not configured here: that may be mended, so the event comes again."""
    events = [element_event("renders", "a.exr", "failed"), envelope(id="done")]
    answer = server.post(events, "application/cloudevents-batch+json")
    assert answer.status == 500
    assert [(failure["index"], failure["code"]) for failure in answer.json["failures"]] == [(0, "source_unconfigured")]
    assert [received.headers["ce-id"] for received in sink.received] == ["done"]


def test_what_a_sink_does_not_take_is_delivered_again(server: Serving, sink: SinkServer) -> None:
    sink.statuses[:] = [503] * 4
    events = [envelope(id="again")]
    answer = server.post(events, "application/cloudevents-batch+json")
    assert answer.status == 500
    assert answer.json["failures"] == [
        {"index": 0, "id": "again", "code": "sink_failed", "message": answer.json["failures"][0]["message"]}
    ]
    assert server.post(events, "application/cloudevents-batch+json").status == 204
    assert {received.headers["ce-id"] for received in sink.received} == {"again"}
    assert len(sink.received) == 5
    assert server.metric('exr_inspector_sink_events_total{outcome="failed"}') == 1


def test_what_a_sink_refuses_is_not_delivered_again(server: Serving, sink: SinkServer) -> None:
    sink.statuses[:] = [422]
    assert server.post(envelope(id="refused"), "application/cloudevents+json").status == 204
    server.line("'refused': its result was refused by the sink")


def test_where_failures_are_only_reported_a_sink_is_no_reason_to_deliver_again(sink: SinkServer) -> None:
    environment = {"EXR_INSPECTOR_ROOTS": str(ROOT / "fixtures"), "K_SINK": "http://127.0.0.1:1/secret-path?token=abc"}
    with serving(environment) as server:
        assert server.post(envelope(id="lost"), "application/cloudevents+json").status == 204
        server.line("'lost': its result was not taken by the sink")
        assert "token" not in server.log
        assert "secret-path" not in server.log
