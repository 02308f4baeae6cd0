"""HTTP requests → events: the three modes of the CloudEvents binding, plain JSON, and what is none of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exr_inspector.events import EventError, deliveries, from_http
from exr_inspector.limits import MAX_EVENT_BYTES, MAX_EVENT_HEADER_CHARACTERS, MAX_EVENT_HEADERS, MAX_EVENT_RECORDS

pytest.importorskip("cloudevents")

FOLDER = Path(__file__).parents[1] / "fixtures" / "events"
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
EVENT = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
CE = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"}


def structured(event: Any, content_type: str = STRUCTURED) -> list[Mapping[str, Any]]:
    return from_http({"Content-Type": content_type}, json.dumps(event).encode())


def problem_of(headers: Any, body: bytes = b"{}") -> str:
    with pytest.raises(EventError) as caught:
        from_http(headers, body)
    assert caught.value.code == "event_not_understood"
    assert str(caught.value).isprintable()
    return str(caught.value)


# ---- Binary mode


def test_the_binary_mode() -> None:
    document = json.loads((FOLDER / "http_binary.json").read_text(encoding="ascii"))
    (event,) = from_http(map(tuple, document["headers"]), document["body"].encode())
    assert event == {
        "specversion": "1.0",
        "id": 'a "quoted" id',
        "source": "vastdata.com:uploads.7bc3e17b",
        "type": "vastdata.com:Element.ElementCreated",
        "subject": "Euro € 😀",  # the example of section 3.1.3.2
        "elementpath": "renders/show/café 100%.exr",
        "datacontenttype": "application/json; charset=utf-8",
        "data": {"msg": "hello"},
    }
    (delivery,) = deliveries(event)
    assert (delivery.kind, delivery.place) == ("object", "s3://renders/show/café 100%.exr")
    assert delivery.event_id == 'a "quoted" id'


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        ("plain", "plain"),
        ("a+b", "a+b"),  # a plus is a plus
        ("%48%65llo", "Hello"),  # needlessly encoded
        ("%2525", "%25"),  # one round only
        ("100%.exr", "100%.exr"),  # no percent-encoding at all
        ('"a \\\\ \\" b"', 'a \\ " b'),
        ('"%41"', "A"),
        ('a"b"', 'a"b"'),
        ("%F0%9F%98%80", "😀"),
        ("cafÃ©", "café"),  # bytes of UTF-8, as servers hand them over: not encoded as they should have been
        ("日本", "日本"),
    ],
)
def test_header_values_are_decoded(value: str, decoded: str) -> None:
    (event,) = from_http({**CE, "ce-elementpath": value}, b"")
    assert event["elementpath"] == decoded
    assert "data" not in event


@pytest.mark.parametrize("value", ["%C0%A0", "%FF", "%ED%A0%80", "caf\xe9"])
def test_header_values_that_are_not_utf8(value: str) -> None:
    """The first is the specification's own example: an overlong encoding of a blank."""
    assert "the header 'ce-subject' is not UTF-8" in problem_of({**CE, "ce-subject": value})


def test_bodies_of_the_binary_mode() -> None:
    (event,) = from_http({**CE, "content-type": "text/plain"}, b'{"path": "/a"}')
    assert event["data"] == b'{"path": "/a"}'
    (delivery,) = deliveries(event)
    assert delivery.path == "/a"
    (event,) = from_http({**CE, "content-type": "application/vnd.vast.v1+json"}, b"[1]")
    assert event["data"] == [1]
    assert "not JSON" in problem_of({**CE, "content-type": "application/json"}, b"{")


def test_names_of_headers_are_of_any_case_and_others_are_left_alone() -> None:
    headers = [(name.upper(), value) for name, value in CE.items()]
    headers += [("X-Forwarded-For", "a"), ("x-forwarded-for", "b"), ("Traceparent", "00")]
    assert from_http(headers, b"") == [EVENT]


@pytest.mark.parametrize("name", ["ce-id", "CE-Elementpath", "Content-Type"])
def test_headers_that_come_twice(name: str) -> None:
    headers = [*CE.items(), (name.lower(), "application/json"), (name, "application/json")]
    assert f"the header '{name.lower()}' comes twice" in problem_of(headers)


@pytest.mark.parametrize("name", ["ce-data", "ce-data_base64"])
def test_headers_that_would_be_data(name: str) -> None:
    assert "none of an event's attributes" in problem_of({**CE, name: "x"})


def test_headers_are_bounded() -> None:
    many = [(f"x-{index}", "v") for index in range(MAX_EVENT_HEADERS + 1)]
    assert "too many headers" in problem_of(many)
    assert from_http([*CE.items(), *many[: MAX_EVENT_HEADERS - len(CE)]], b"") == [EVENT]
    assert "too many headers" in problem_of({**CE, "ce-subject": "x" * MAX_EVENT_HEADER_CHARACTERS})
    assert "too long" in problem_of({**CE, "content-type": "application/json;" * 100})


# ---- Attributes


@pytest.mark.parametrize("name", EVENT)
def test_required_attributes(name: str) -> None:
    headers = {key: value for key, value in CE.items() if key != f"ce-{name}"}
    assert f"has no {name};" in problem_of(headers)
    event = {key: value for key, value in EVENT.items() if key != name}
    for missing in (event, {**event, name: None}):
        with pytest.raises(EventError, match=f"the event has no {name}; it is a mapping of "):
            structured(missing)
    for wrong in (7, "", ["1.0"], {}, "2.0" if name == "specversion" else 1.0):
        with pytest.raises(EventError, match=f"not as CloudEvents 1.0 says: {name}"):
            structured({**event, name: wrong})


@pytest.mark.parametrize("name", ["subject", "datacontenttype", "dataschema"])
def test_optional_attributes(name: str) -> None:
    with pytest.raises(EventError, match=f"not as CloudEvents 1.0 says: {name}"):
        structured({**EVENT, name: 7})
    assert structured({**EVENT, name: None}) == [EVENT]
    assert structured({**EVENT, name: ""}) == [{**EVENT, name: ""}]


def test_what_only_breaks_times_and_extensions_is_not_refused() -> None:
    event = {**EVENT, "time": "yesterday", "Upper_case": {"a": 1}}
    assert structured(event) == [event]


# ---- Structured mode


def test_the_structured_mode() -> None:
    document = json.loads((FOLDER / "element_created.json").read_text(encoding="ascii"))
    for content_type in (STRUCTURED, f"{STRUCTURED}; charset=UTF-8", 'Application/CloudEvents+JSON;charset="utf-8"'):
        assert structured(document, content_type) == [document]


def test_headers_are_ignored_in_the_structured_mode() -> None:
    headers = {"content-type": STRUCTURED, "ce-id": "other", "ce-elementpath": "other/key"}
    assert from_http(headers, json.dumps(EVENT).encode()) == [EVENT]


def test_data_as_base64() -> None:
    document = json.loads((FOLDER / "cloudevent_base64.json").read_text(encoding="ascii"))
    (event,) = structured(document)
    assert event["data"] == {"path": "/shows/abc/a.exr"}
    assert "data_base64" not in event
    text = base64.b64encode(b"\xff\0").decode()
    assert structured({**EVENT, "data_base64": text, "datacontenttype": "image/x-exr"})[0]["data"] == b"\xff\0"
    for extra in ({"data_base64": "!"}, {"data_base64": 7}, {"data_base64": text, "data": 1}):
        with pytest.raises(EventError, match="not base64, or data beside it"):
            structured({**EVENT, **extra})
    with pytest.raises(EventError, match="not UTF-8"):
        structured({**EVENT, "data_base64": text})  # JSON unless it says otherwise


@pytest.mark.parametrize("event", [None, 7, "text", [EVENT], True])
def test_a_structured_event_is_an_object(event: Any) -> None:
    with pytest.raises(EventError, match="must be a JSON object, not "):
        structured(event)


# ---- Batched mode


def test_the_batched_mode() -> None:
    document = json.loads((FOLDER / "batch.json").read_text(encoding="ascii"))
    events = structured(document, BATCHED)
    assert events == document
    assert [deliveries(event)[0].kind for event in events] == ["object", "skip"]
    assert structured([], BATCHED) == []  # section 3.3: an empty batch is one


def test_batches_that_are_none() -> None:
    with pytest.raises(EventError, match="a batch must be a list of events, not mapping of specversion"):
        structured(EVENT, BATCHED)
    with pytest.raises(EventError, match="event 1 of the batch has no id, source, specversion, type"):
        structured([EVENT, {}], BATCHED)
    with pytest.raises(EventError, match=f"{MAX_EVENT_RECORDS + 1} events in one batch"):
        structured([EVENT] * (MAX_EVENT_RECORDS + 1), BATCHED)
    assert len(structured([EVENT] * MAX_EVENT_RECORDS, BATCHED)) == MAX_EVENT_RECORDS


# ---- Plain JSON


@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json"}, {"Content-Type": "text/json"}])
def test_plain_json(headers: dict[str, str]) -> None:
    assert from_http(headers, b'{"data": {"path": "/a"}}') == [{"data": {"path": "/a"}}]
    assert from_http(headers, b'[{"path": "/a"}, {"path": "/b"}]') == [{"path": "/a"}, {"path": "/b"}]
    assert "must be a JSON object, not number" in problem_of(headers, b"[{}, 7]")
    assert "must be a JSON object, not text" in problem_of(headers, b'"s3://b/k"')
    assert "not JSON: Expecting value at character 0" in problem_of(headers, b"")
    assert "events in one batch" in problem_of(headers, b"[" + b"{}," * MAX_EVENT_RECORDS + b"{}]")


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        ("application/x-www-form-urlencoded", "a body of the type 'application/x-www-form-urlencoded'"),
        ("text/plain", "a body of the type 'text/plain'"),  # a browser may post it from any page
        ("application/cloudevents+xml", "events in the format 'application/cloudevents+xml'"),
        ("application/cloudevents-batch+avro", "events in the format"),
        ("application/json; Charset=UTF-16", "the charset must be UTF-8"),
        ("application/json; charset*=latin1''x", "the charset must be UTF-8"),
        (f"{STRUCTURED}; charset=iso-8859-1", "the charset must be UTF-8"),
        ("nonsense", "a body of the type 'nonsense'"),
        ("\x1b[2J\u202e", r"a body of the type '\x1b[2j\u202e'"),
    ],
)
def test_content_types_that_are_not_understood(content_type: str, words: str) -> None:
    assert words in problem_of({"content-type": content_type})


@pytest.mark.parametrize("content_type", [STRUCTURED, BATCHED, "application/json"])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff{}", b'{"a": NaN}', b"[" * 100_000, b"\xef\xbb\xbf{}"])
def test_bodies_that_are_not_json(content_type: str, body: bytes) -> None:
    message = problem_of({"content-type": content_type}, body)
    assert any(words in message for words in ("not JSON", "not UTF-8", "nested too deeply"))


def test_bodies_are_bounded() -> None:
    assert f"more than {MAX_EVENT_BYTES}" in problem_of({}, bytes(MAX_EVENT_BYTES + 1))


def test_no_value_is_shown() -> None:
    for headers, body in (
        ({**CE, "ce-vastdb_secret_key": "EXAMPLESECRET", "ce-id": ""}, b""),
        ({"content-type": STRUCTURED}, b'{"vastdb_secret_key": "EXAMPLESECRET"}'),
        ({"content-type": "application/json"}, b'{"vastdb_secret_key": "EXAMPLESECRET'),
        ({"content-type": "application/json"}, b'["EXAMPLESECRET"]'),
    ):
        assert "EXAMPLESECRET" not in problem_of(headers, body)


def test_databases_of_headers_are_databases() -> None:
    """They are refused, or used, where `allowed` says so; they are no attributes."""
    (event,) = from_http({**CE, "ce-elementpath": "b/k", "ce-vastdb_endpoint": "http://evil:1"}, b"")
    (delivery,) = deliveries(event)
    assert delivery.database == {"vastdb_endpoint": "http://evil:1"}
    assert "vastdb_endpoint" not in delivery.attributes
