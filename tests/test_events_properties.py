"""The contract of events: anything becomes deliveries or an EventError, in linear time, and nothing secret is shown."""

from __future__ import annotations

import copy
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exr_inspector.config import inspect_config
from exr_inspector.config_function import FunctionSettings
from exr_inspector.errors import ExrError
from exr_inspector.events import Delivery, EventError, allowed, deliveries, from_http, open_allowed
from exr_inspector.limits import MAX_EVENT_RECORDS

pytest.importorskip("cloudevents")

FOLDER = Path(__file__).parents[1] / "fixtures" / "events"
DOCUMENTS = [
    json.loads(path.read_text(encoding="ascii"))
    for path in sorted(FOLDER.glob("*.json"))
    if path.name != "manifest.json"
]
SECRET = "EXAMPLESECRET"

# A machine that is busy proves nothing.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# ---- What holds for whatever comes


def check_delivery(delivery: Delivery) -> None:
    assert delivery.kind in ("object", "file", "skip")
    assert (delivery.reason is not None) == (delivery.kind == "skip")
    if delivery.kind == "object":
        assert delivery.bucket
        assert delivery.key
        f"{delivery.bucket}/{delivery.key}{delivery.version_id}".encode()
    assert (delivery.path is not None) == (delivery.kind == "file")
    assert all(name.startswith("vastdb_") for name in delivery.database)
    assert all(isinstance(text, str) and name.isascii() for name, text in delivery.attributes.items())
    "".join(filter(None, delivery[8:12])).encode()  # id, source, type, subject: texts that can be sent
    assert repr(delivery).isprintable()
    inspect_config(delivery.config)
    for how in ({"is_served": True}, {}):
        try:
            allowed(delivery, FunctionSettings(), **how)
        except EventError as error:
            assert error.code == "event_refused"
        else:
            assert delivery.kind != "file"


def check(event: Any) -> list[Delivery]:
    try:
        found = deliveries(event)
    except EventError as error:
        assert error.code == "event_not_understood"
        assert str(error).isprintable()
        assert len(str(error)) < 1200
        assert SECRET not in str(error)
        return []
    assert 1 <= len(found) <= MAX_EVENT_RECORDS
    for delivery in found:
        check_delivery(delivery)
    return found


def check_http(headers: Any, body: bytes) -> None:
    try:
        events = from_http(headers, body)
    except EventError as error:
        assert error.code == "event_not_understood"
        assert str(error).isprintable()
        return
    for event in events[:3]:
        check(event)


# ---- Any JSON, any request

WORDS = (
    "data", "data_base64", "config", "specversion", "id", "type", "source", "subject", "subtype", "elementpath",
    "Records", "s3", "bucket", "name", "object", "key", "versionId", "eTag", "eventName", "path", "file_path", "file",
    "object_key", "s3_bucket", "s3_key", "meta", "enable_meta", "policy", "integrity", "vastdb_endpoint",
    "vastdb_secret_key", "traceparent", "Event", "datacontenttype",
)  # fmt: skip
VALUES = (
    "b/k", "b", "a.exr", "s3://b/k", "s3://", "a%2Fb+c", "%ff", "/", "1.0", "ObjectRemoved:Delete",
    "Element.ElementCreated", "s3:TestEvent", '{"path": "/a"}', '{"data": {}}', "[", "\ud800", "\0", "\u202e", "yes",
    "http://evil:1", SECRET,
)  # fmt: skip
names = st.sampled_from(WORDS) | st.text(max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(VALUES)
    | st.binary(max_size=8)
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=25
)


@patient
@given(values | st.dictionaries(st.sampled_from(WORDS), values, max_size=6))
def test_any_value_is_deliveries_or_an_error(event: Any) -> None:
    check(event)


@patient
@given(st.dictionaries(st.sampled_from(WORDS), values, max_size=6))
def test_json_text_is_understood_as_the_mapping_is(event: Any) -> None:
    try:
        text = json.dumps(event, allow_nan=False)
    except (ValueError, TypeError):  # bytes, NaN
        return
    mapping = json.loads(text)
    expected = check(mapping)
    assert check(text) == expected
    assert check(text.encode()) == expected


header_names = st.sampled_from(("content-type", "Content-Type", *(f"ce-{name}" for name in WORDS))) | st.text(
    max_size=8
)
content_types = st.sampled_from(
    (
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json; charset=utf-8",
        "text/plain",
    )
)


@patient
@given(
    st.lists(st.tuples(header_names, st.text(max_size=12) | st.sampled_from(VALUES)), max_size=8),
    content_types | st.text(max_size=20),
    st.binary(max_size=40) | values.map(lambda value: repr(value).encode("utf-8", "replace")),
)
def test_any_request_is_events_or_an_error(headers: Any, content_type: str, body: bytes) -> None:
    check_http([("content-type", content_type), *headers], body)


@patient
@given(
    st.lists(st.dictionaries(st.sampled_from(WORDS), st.sampled_from(VALUES), max_size=8), max_size=3), content_types
)
def test_any_json_request_is_events_or_an_error(events: Any, content_type: str) -> None:
    check_http({"content-type": content_type}, json.dumps(events).encode())
    check_http({"content-type": content_type}, json.dumps(events[0] if events else None).encode())


# ---- Events that were real once


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in a JSON value: its container, and its key or index there."""
    if isinstance(value, dict):
        for key in list(value):
            yield value, key
            yield from nodes(value[key])
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value, index
            yield from nodes(value[index])


def mutated(document: Any, chance: random.Random) -> Any:
    """A copy, one to three of its places changed: replaced, moved, renamed, doubled, or taken away."""
    changed = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        places = list(nodes(changed))
        if not places:
            break
        container, key = chance.choice(places)
        other, other_key = chance.choice(places)
        action = chance.randrange(5)
        if action == 0:
            container[key] = chance.choice([None, True, -1, 1e308, [], {}, *VALUES])
        elif action == 1:
            container[key] = copy.deepcopy(other.get(other_key)) if isinstance(other, dict) else None
        elif action == 2 and isinstance(container, dict):
            container[chance.choice(WORDS)] = container.pop(key, None)
        elif action == 3:
            container[key] = (
                [copy.deepcopy(changed) for _ in range(2)] if chance.random() < 0.1 else {"data": container[key]}
            )
        elif isinstance(container, dict):
            container.pop(key, None)
    return changed


def test_ten_thousand_mutated_events() -> None:
    chance = random.Random(61)
    understood = 0
    for index in range(10_000):
        event = mutated(DOCUMENTS[index % len(DOCUMENTS)], chance)
        if index % 2:
            understood += bool(check(event))
            continue
        text = bytearray(json.dumps(event).encode())
        for _ in range(chance.randrange(4)):
            text[chance.randrange(len(text))] = chance.randrange(256)
        understood += bool(check(bytes(text)))
        content_type = chance.choice(
            ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"]
        )
        check_http({"content-type": content_type}, bytes(text))
    assert 1_000 < understood < 9_000  # neither is all refused nor all taken


# ---- Time


def lines_run(call: Callable[[], Any]) -> int:
    """How many lines of the package's events the call runs."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        if "exr_inspector" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def _records(count: int) -> Any:
    return {"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": f"k{index}"}}} for index in range(count)]}


def _wrapped(count: int) -> Any:
    event: Any = {"path": "/a", "filler": "x" * count}
    for _ in range(20):
        event = {"data": json.dumps(event), "config": '{"meta": 1}'} if len(str(event)) < 100_000 else event
    return event


LARGE: dict[str, Callable[[int], Any]] = {
    "records": lambda count: _records(count // 100),
    "names": lambda count: {"specversion": "1.0", **{f"a{index}": "x" for index in range(count)}},
    "database": lambda count: {"path": "/a", **{f"vastdb_{index}": "x" for index in range(count)}},
    "wrapped": lambda count: _wrapped(count // 100),
    "nothing": lambda count: {f"name{index}": {"a": [1] * 10} for index in range(count)},
    "key": lambda count: {"bucket": "b", "key": "%" * count},
    "elementpath": lambda count: {"elementpath": "/" * count},
    "type": lambda count: {"specversion": "1.0", "type": "." * count, "path": "/a"},
    "texts": lambda count: {"data": " " * count + "{"},
}


@pytest.mark.parametrize("name", LARGE)
def test_time_is_linear(name: str) -> None:
    small, large = (LARGE[name](count) for count in (20_000, 80_000))
    assert lines_run(lambda: check(large)) <= 5 * lines_run(lambda: check(small)) + 1000


@pytest.mark.parametrize("name", LARGE)
def test_large_events_end(name: str) -> None:
    """What is not linear in a library would not come to an end here."""
    event = LARGE[name](100_000 if name in ("records", "names", "database", "nothing") else 1_000_000)
    check(event)
    check_http({"content-type": "application/json"}, json.dumps(event).encode())


@pytest.mark.parametrize("body", [b'{"a":' * 500_000, b"[" * 2_000_000, b'"' + b"\\u0000" * 500_000, b"{}," * 500_000])
def test_large_bodies_end(body: bytes) -> None:
    check_http({}, body)
    check(body)


@pytest.mark.parametrize("value", ['"' * 30_000, "%" * 30_000, "\\" * 30_000, '"' + "\\" * 30_000, "%e2" * 10_000])
def test_large_headers_end(value: str) -> None:
    check_http({"ce-id": value}, b"")
    check_http({"content-type": value}, b"{}")
    check_http({"content-type": "application/json;" + value[:900]}, b"{}")


# ---- Paths


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with files and links in and out of it; whatever is outside says so."""
    folder = tmp_path_factory.mktemp("paths").resolve()
    for name in ("root/a", "root/d/a", "out/a", "rootless/a"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("inside" if name.startswith("root/") else "outside")
    for link, target in (("in", "d"), ("up", ".."), ("out", "../out"), ("d/o", "../../out/a"), ("self", "self")):
        (folder / "root" / link).symlink_to(target)
    return folder / "root"


steps = st.sampled_from(
    ("a", "d", "in", "up", "out", "o", "self", "..", ".", "", "root", "rootless", "x", "\0", "~", "\ud800")
)


@patient
@given(st.lists(steps, max_size=8), st.booleans())
def test_no_path_leads_out_of_the_root(root: Path, steps: list[str], is_absolute: bool) -> None:
    path = f"{root if is_absolute else root.parent}/{'/'.join(steps)}"
    try:
        with open_allowed(path, [str(root)]) as source:
            assert source.read(0, 100) == b"inside"
    except ExrError:
        pass
