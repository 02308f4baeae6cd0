"""Events → deliveries: every kind of event, the fixtures' documents, foreign objects, and what is not understood."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from exr_inspector.config import inspect_config
from exr_inspector.errors import CODES
from exr_inspector.events import Delivery, EventError, deliveries
from exr_inspector.events.kinds import reason_to_skip
from exr_inspector.limits import MAX_EVENT_NESTING, MAX_EVENT_RECORDS, MAX_EVENT_TEXT

FOLDER = Path(__file__).parents[1] / "fixtures" / "events"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="ascii"))["files"]

KEY = "show/sq010/beauty.0101.exr"
REMOVED, TAGS = "the file was removed", "the file's tags changed, not the file"
FOLDER_MARKER = "the marker of a folder, not a file"


def event_of(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))


def one(event: Any) -> Delivery:
    (delivery,) = deliveries(event)
    return delivery


def problem_of(event: Any) -> str:
    with pytest.raises(EventError) as caught:
        deliveries(event)
    assert caught.value.code == "event_not_understood"
    assert not caught.value.retryable
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1200
    return str(caught.value)


def about(delivery: Delivery) -> tuple[Any, ...]:
    """Kind and place, and the reason if there is one."""
    said = (delivery.kind, delivery.place)
    return said if delivery.reason is None else (*said, delivery.reason)


# ---- The fixtures

EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "element_created": [("object", f"s3://renders/{KEY}")],
    "element_object_created": [("object", f"s3://renders/{KEY}")],
    "element_unknown_subtype": [("object", f"s3://renders/{KEY}")],
    "element_deleted": [("skip", f"s3://renders/{KEY}", REMOVED)],
    "element_tag_created": [("skip", f"s3://renders/{KEY}", TAGS)],
    "element_tag_deleted": [("skip", f"s3://renders/{KEY}", TAGS)],
    "element_folder": [("skip", "s3://renders/show/", FOLDER_MARKER)],
    "envelope_in_data": [("object", f"s3://renders/{KEY}")],
    "s3_put": [("object", f"s3://renders/{KEY}")],
    "s3_encoded_key": [("object", "s3://renders/show/café night+2/100%.exr")],
    "s3_versions": [("object", "s3://renders/a.exr")],
    "s3_records": [
        ("object", "s3://renders/a.exr"),
        ("object", "s3://renders/b.exr"),
        ("skip", "s3://renders/c.exr", REMOVED),
        ("skip", "s3://renders/show/", FOLDER_MARKER),
        ("skip", None, "record 4 is not understood: s3.object.key is no text"),
    ],
    "s3_removed": [("skip", "s3://renders/a.exr", REMOVED)],
    "s3_tagging": [("skip", "s3://renders/a.exr", TAGS)],
    "s3_tagging_minio": [("skip", "s3://renders/a.exr", TAGS)],
    "s3_test_event": [("skip", None, "a test event: notifications were switched on")],
    "s3_in_cloudevent": [("object", "s3://renders/show/café 1.exr")],
    "call_path": [("file", "/shows/abc/a.exr")],
    "call_data_path": [("file", "/shows/abc/a.exr")],
    "call_bucket_key": [("object", "s3://renders/show/a.exr")],
    "call_s3_address": [("object", "s3://renders/show/100%25 a.exr")],
    "call_with_settings": [("file", "/shows/abc/a.exr")],
    "call_with_database": [("file", "/shows/abc/a.exr")],
    "cloudevent_base64": [("file", "/shows/abc/a.exr")],
}
NOT_UNDERSTOOD: dict[str, str] = {
    "element_without_path": "triggerext2 (text), data (mapping of msg (text))",
    "element_bad_path": "elementpath (<bucket>/<key>) names no key",
    "schedule": "data (mapping of cron (text))",
    "s3_contradiction": "contradicts itself: elementpath and Records name different objects",
    "call_contradiction": "contradicts itself: the fields path, file, key, … name different files",
    "call_without_path": "mapping of data (mapping of message (text), count (number), list (list of 3))",
}
OF_HTTP = {"batch", "http_binary"}  # tests/test_events_http.py


def test_the_manifest_lists_the_documents() -> None:
    listed = [entry["path"] for entry in MANIFEST]
    assert listed == sorted(path.name for path in FOLDER.glob("*.json") if path.name != "manifest.json")
    assert all(entry["origin"] and entry["description"] for entry in MANIFEST)
    assert {name.removesuffix(".json") for name in listed} == set(EXPECTED) | set(NOT_UNDERSTOOD) | OF_HTTP


@pytest.mark.parametrize("name", EXPECTED)
def test_documents_are_understood(name: str) -> None:
    text = (FOLDER / f"{name}.json").read_text(encoding="ascii")
    for event in (json.loads(text), text, text.encode(), MappingProxyType(json.loads(text))):
        assert [about(delivery) for delivery in deliveries(event)] == EXPECTED[name]


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_documents_that_are_not_understood_say_what_was_found(name: str) -> None:
    assert NOT_UNDERSTOOD[name] in problem_of(event_of(name))


def test_an_event_is_told_by_its_attributes() -> None:
    delivery = one(event_of("element_created"))
    assert delivery.event_id == "2006217878667296"
    assert delivery.event_source == "vastdata.com:uploads.7bc3e17b-58f2-4a1c-9f0e-0d7a4b1c2d3e"
    assert delivery.event_type == "vastdata.com:Element.ElementCreated"
    assert delivery.event_subject == "vastdata.com:events-view.renders"
    assert delivery.attributes == {
        "elementpath": f"renders/{KEY}",
        "partitionkey": f"renders/{KEY}",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }


def test_records_have_versions_and_tags() -> None:
    delivery = one(event_of("s3_versions"))
    assert delivery.version_id == "096fKKXTRTtl3on89fVO.nfljtsv6qko"
    assert delivery.etag == "d41d8cd98f00b204e9800998ecf8427e"
    assert one({"Records": [record(versionId="")]}).version_id is None
    assert one({"Records": [record(eTag='"d41d8"')]}).etag == "d41d8"  # as in HTTP headers
    assert delivery.event_type == "ObjectCreated:Put"
    assert (delivery.event_id, delivery.event_source) == (None, None)


# ---- Which words count


def record(key: Any = "a.exr", bucket: Any = "b", name: str = "ObjectCreated:Put", **more: Any) -> dict[str, Any]:
    return {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key, **more}}}


@pytest.mark.parametrize("field", ["path", "file_path", "file", "key", "object_key", "s3_key"])
@pytest.mark.parametrize("is_under_data", [False, True])
def test_fields_that_name_a_file(field: str, is_under_data: bool) -> None:
    def wrapped(payload: Mapping[str, Any]) -> Any:
        return {"data": payload} if is_under_data else payload

    assert about(one(wrapped({field: "a/b.exr"}))) == ("file", "a/b.exr")
    assert about(one(wrapped({field: "a/b.exr", "bucket": "b"}))) == ("object", "s3://b/a/b.exr")
    assert about(one(wrapped({field: "a/b.exr", "s3_bucket": "b"}))) == ("object", "s3://b/a/b.exr")
    assert about(one(wrapped({field: "s3://c/d.exr"}))) == ("object", "s3://c/d.exr")
    assert "names no key" in problem_of(wrapped({field: "s3://c"}))
    assert "names no file" in problem_of(wrapped({field: ""}))
    assert "names no file" in problem_of(wrapped({field: 7}))


@pytest.mark.parametrize(
    ("event", "place"),
    [
        ({"path": "/outer.exr", "data": {"path": "/inner.exr"}}, "/inner.exr"),  # the innermost level counts
        ({"bucket": "b", "data": {"key": "k"}}, "s3://b/k"),  # a bucket around it
        ({"bucket": "b", "data": {"bucket": "c", "key": "k"}}, "s3://c/k"),  # a bucket beside it is nearer
        ({"bucket": "b", "path": "/mnt/b/k", "key": "k"}, "s3://b/k"),  # with a bucket, keys before paths
        ({"path": "k", "key": "k"}, "k"),
        ({"bucket": "b", "key": "k", "path": "s3://b/k"}, "s3://b/k"),
        ({"elementpath": "b/k", "path": "/etc/passwd"}, "s3://b/k"),  # the platform's words come first
        ({"elementpath": "b/k/../l//m"}, "s3://b/k/../l//m"),  # keys are no paths
        ({"Records": [record("k")], "key": "other"}, "s3://b/k"),
        ({"Records": [], "key": "k"}, "k"),
        (record("k"), "s3://b/k"),  # one record, without the list
        ({"data": {"data": {"data": record("k")}}}, "s3://b/k"),
        ({"data": '{"path": "/a.exr"}'}, "/a.exr"),
        ({"data": b' {"path": "/a.exr"}'}, "/a.exr"),
        ({"data_base64": base64.b64encode(b'{"path": "/a.exr"}').decode()}, "/a.exr"),
        ({"elementpath": "b/a+b.exr", "data": {"Records": [record("a%2Bb.exr")]}}, "s3://b/a+b.exr"),
        ({"elementpath": "b/a%2Bb.exr", "data": {"Records": [record("a%2Bb.exr")]}}, "s3://b/a+b.exr"),
    ],
)
def test_precedence(event: Any, place: str) -> None:
    assert one(event).place == place


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"path": "a", "key": "b"}, "name different files"),
        ({"path": "a", "file": "b"}, "name different files"),
        ({"bucket": "b", "key": "s3://c/k"}, "key and bucket name different buckets"),
        ({"elementpath": "b/k", "data": {"elementpath": "b/l"}}, "name different files"),
        ({"elementpath": "b/k", "Records": [record("l"), record("m")]}, "elementpath and Records"),
        ({"elementpath": "c/k", "Records": [record("k")]}, "elementpath and Records"),
        ({"elementpath": 7}, "elementpath must be <bucket>/<key>, not number"),
        ({"elementpath": "/k"}, "names no bucket"),
        ({"bucket": {"name": "b"}, "key": "k"}, "bucket names no bucket"),
        ({"bucket": "../b", "key": "k"}, "bucket names no bucket"),
        ({"bucket": "", "key": "k"}, "bucket names no bucket"),  # not a local file of that name
        ({"bucket": "b", "key": "k" * (MAX_EVENT_TEXT + 1)}, "key names no key"),
        ({"path": "p" * (MAX_EVENT_TEXT + 1)}, "path is no path"),
        ({"path": "a\0b"}, "path is no path"),
        ({"path": "\ud800"}, "path is no path"),
        ({"bucket": "b", "key": "\udc80"}, "key names no key"),
        ({"Records": [record("%ff")]}, "not UTF-8 once it is decoded"),
        ({"Records": [record("k", "b/../c")]}, "names no bucket"),
        ({"Records": [record("")]}, "names no key"),
        ({"Records": [None, 3]}, "none of 2 records names an object"),
        ({"Records": [record()] * (MAX_EVENT_RECORDS + 1)}, f"{MAX_EVENT_RECORDS + 1} records in one event"),
        (
            {"Records": {"0": record()}},
            "no elementpath, Records, path or key; it is a mapping of Records (mapping of 0 ",
        ),
    ],
)
def test_contradictions_and_nonsense(event: Any, words: str) -> None:
    assert words in problem_of(event)


def test_one_bad_record_does_not_block_the_others() -> None:
    good, bad = deliveries({"Records": [record("a.exr"), record("%ff")]})
    assert about(good) == ("object", "s3://b/a.exr")
    assert bad.kind == "skip"
    assert bad.reason is not None
    assert bad.reason.startswith("record 1 is not understood: ")


def test_as_many_records_as_allowed() -> None:
    assert len(deliveries({"Records": [record()] * MAX_EVENT_RECORDS})) == MAX_EVENT_RECORDS


def test_a_removed_file_is_skipped_whatever_else_the_event_says() -> None:
    for extra in ({}, {"elementpath": 7}, {"elementpath": "b/k", "data": {"elementpath": "c/l"}}):
        event = {"specversion": "1.0", "type": "Element.ElementDeleted", **extra}
        assert about(one(event)) == ("skip", None, REMOVED)


def test_a_record_says_before_its_envelope_what_happened() -> None:
    envelope = {"specversion": "1.0", "type": "vastdata.com:Element.ElementDeleted"}
    said, unsaid = record("a"), record("b")
    del unsaid["eventName"]
    kinds = [each.kind for each in deliveries({**envelope, "data": {"Records": [said, unsaid]}})]
    assert kinds == ["object", "skip"]


def test_a_payloads_type_is_not_the_events() -> None:
    assert about(one({"data": {"path": "/a.exr", "type": "ObjectRemoved:Delete"}})) == ("file", "/a.exr")


# The types that S3, VAST and MinIO list (see exr_inspector/events/kinds.py), and what is done.
READ = (
    "s3:ObjectCreated:Put", "s3:ObjectCreated:Post", "s3:ObjectCreated:Copy", "ObjectCreated:CompleteMultipartUpload",
    "ObjectCreated:*", "vastdata.com:Element.ElementCreated", "Element.ObjectCreated", "Element", "", "com.example.x",
    "Object Created", "vastdata.com:Element.ElementMoved", "tag", "com.example.tags.exr",
)  # fmt: skip
NOT_READ = (
    "s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated", "ObjectRemoved:*", "ObjectRemoved",
    "vastdata.com:Element.ElementDeleted", "Element.ElementRemoved", "Element.ObjectDeleted", "Object Deleted",
    "s3:LifecycleExpiration:Delete", "s3:LifecycleExpiration:DeleteMarkerCreated", "s3:ReducedRedundancyLostObject",
    "s3:ObjectTagging:Put", "s3:ObjectTagging:Delete", "ObjectTagging:*", "vastdata.com:Element.ElementTagCreated",
    "Element.ElementTagDeleted", "s3:ObjectCreated:PutTagging", "s3:ObjectCreated:DeleteTagging", "Object Tags Added",
    "s3:ObjectAcl:Put", "s3:ObjectRestore:Post", "s3:ObjectRestore:Completed", "s3:LifecycleTransition",
    "s3:IntelligentTiering", "s3:Replication:OperationMissedThreshold", "s3:ObjectCreated:PutRetention",
    "s3:ObjectCreated:PutLegalHold", "s3:ObjectAccessed:Get", "s3:ObjectAccessed:Head", "s3:TestEvent",
    "OBJECTREMOVED:DELETE", "element-deleted", "object_removed",
)  # fmt: skip


@pytest.mark.parametrize("event_type", READ)
def test_types_that_are_read(event_type: str) -> None:
    assert reason_to_skip(event_type) is None
    event = {"specversion": "1.0", "type": event_type, "elementpath": "b/k"}
    assert one(event).kind == "object"


@pytest.mark.parametrize("event_type", NOT_READ)
def test_types_that_are_not_read(event_type: str) -> None:
    reason = reason_to_skip(event_type)
    assert reason
    event = {"specversion": "1.0", "type": event_type, "elementpath": "b/k"}
    assert about(one(event)) == ("skip", "s3://b/k", reason)
    assert about(one({"Records": [record("k", name=event_type)]})) == ("skip", "s3://b/k", reason)


# ---- What an event brings along


def test_settings_of_all_places() -> None:
    config = one(event_of("call_with_settings")).config
    # stats: config before the level it stands in; enable_meta: the inner level, its long name before its short form.
    assert config == {
        "enable_stats": 0,
        "integrity": "chunks",
        "enable_meta": "true",
        "enable_validate": "yes",
        "policy_path": "/shows/abc/policy.json",
    }
    settings, problems = inspect_config(config)
    assert not problems
    assert (settings.enable_meta, settings.enable_stats, settings.enable_validate) == (True, False, True)


@pytest.mark.parametrize("wrap", ["{}", '{{"data": {}}}', '{{"data": {{"data": {}}}}}'])
def test_settings_beside_the_file_and_under_config(wrap: str) -> None:
    beside = json.loads(wrap.format('{"path": "/a", "validate": true}'))
    below = json.loads(wrap.format('{"path": "/a", "validate": false, "config": {"validate": true}}'))
    as_text = json.loads(wrap.format('{"path": "/a", "config": "{\\"validate\\": true}"}'))
    for event in (beside, below, as_text):
        assert one(event).config == {"enable_validate": True}


def test_a_database_comes_from_one_place() -> None:
    """The outer endpoint has no keys: it is not mixed with the inner one's."""
    database = one(event_of("call_with_database")).database
    assert database == {
        "vastdb_endpoint": "http://198.51.100.2:9090",
        "vastdb_access_key": "EXAMPLEACCESS",
        "vastdb_secret_key": "EXAMPLESECRET",
        "vastdb_region": "north",
    }
    lone = one({"vastdb_endpoint": "http://evil:1", "data": {"path": "/a", "vastdb_secret_key": "s"}}).database
    assert lone == {"vastdb_secret_key": "s"}
    below = one({"path": "/a", "vastdb_endpoint": "http://a:1", "config": {"vastdb_secret_key": "s"}}).database
    assert below == {"vastdb_secret_key": "s"}


SECRET = "EXAMPLESECRET"


def test_secrets_are_neither_shown_nor_handed_on(caplog: pytest.LogCaptureFixture) -> None:
    event = {
        "specversion": "1.0",
        "elementpath": "b/k",
        "vastdb_secret_key": SECRET,
        "vastdbsecretkey": SECRET,
        "secretkey": SECRET,
        "accesskey": SECRET,
        "password": SECRET,
        "authorization": SECRET,
        "sessiontoken": SECRET,
        "policy": SECRET,
        "config": {"policy_path": SECRET},
        "data": {"vastdb_endpoint": SECRET},
    }
    delivery = one(event)
    assert SECRET in delivery.database.values()
    assert delivery.attributes == {"elementpath": "b/k"}
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r", delivery, [delivery])
    assert SECRET not in repr(delivery) + str(delivery) + f"{delivery}" + caplog.text
    for broken in ({**event, "elementpath": 7}, {**event, "elementpath": None}, {**event, "elementpath": "b"}):
        assert SECRET not in problem_of(broken)


@pytest.mark.parametrize("name", ["integrity", "policy", "validate", "schema_version"])
def test_a_mapping_in_a_settings_place_is_not_shown(name: str) -> None:
    _, problems = inspect_config(one({"path": "/a", name: {"vastdb_secret_key": SECRET}}).config)
    assert [problem.code for problem in problems] == ["config_invalid"]
    assert "is a value of type dict, wanted" in problems[0].message
    assert SECRET not in problems[0].message


def test_the_repr_of_a_delivery_is_one_plain_line() -> None:
    delivery = one({"elementpath": "b/\u202egnp.exe\n\x1b[2J", "specversion": "1.0", "id": "i\r\n"})
    assert repr(delivery).isprintable()
    assert repr(delivery).isascii()


def test_attributes_are_the_extensions_as_texts() -> None:
    event = {
        "specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": "2026-03-02T10:11:12Z", "subject": "u",
        "elementpath": "b/k", "yes": True, "number": -7, "huge": 10**30, "mapping": {"a": 1}, "none": None,
        "Upper": "x", "under_score": "x", "key": "the broker's", "long": "x" * (MAX_EVENT_TEXT + 1),
        "surrogate": "\ud800", "empty": "", "data": {"inner": "x"},
    }  # fmt: skip
    assert one(event).attributes == {"elementpath": "b/k", "yes": "true", "number": "-7"}
    many = {"specversion": "1.0", "elementpath": "b/k", **{f"a{index}": "x" for index in range(1000)}}
    assert len(one(many).attributes) == 64
    assert one({"path": "/a", "traceparent": "00"}).attributes == {}  # a payload has none
    nested = {"specversion": "1.0", "a": "outer", "data": {"specversion": "1.0", "a": "inner", "b": "x", "path": "/a"}}
    assert one(nested).attributes == {"a": "outer", "b": "x"}


def test_context_attributes_that_are_no_texts_are_not_there() -> None:
    event = {"specversion": "1.0", "id": 7, "source": ["s"], "type": "\ud800", "subject": "x" * 5000, "path": "/a"}
    delivery = one(event)
    assert (delivery.event_id, delivery.event_source, delivery.event_type, delivery.event_subject) == (None,) * 4


# ---- Objects


class ElementEvent:
    """What the platform's runtime 5.5 hands over: an ElementTriggerVastEvent, as it was observed."""

    def __init__(
        self, data: Any = None, *, subtype: str = "ElementCreated", path: str | None = f"renders/{KEY}"
    ) -> None:
        self.id, self.type, self.subtype = "7f", "Element", subtype
        self.source, self.subject = "vastdata.com:uploads.guid", "vastdata.com:view.topic"
        self.extensions = {"elementpath": path, "partitionkey": path} if path else {}
        self.bucket, _, self.object_key = path.partition("/") if path else (None, None, None)
        self._data = data

    def get_attributes(self) -> dict[str, Any]:
        named = {"id": self.id, "source": self.source, "subject": self.subject, "specversion": "1.0"}
        return {**named, "type": f"vastdata.com:Element.{self.subtype}", **self.extensions}

    def get_data(self) -> Any:
        """The whole envelope, the payload under `data`."""
        return {**self.get_attributes(), "data": self._data}

    def as_element_event(self) -> ElementEvent:
        return self


class OlderEvent:
    """Of release 5.3: fewer members, and the element's own after a cast only."""

    def __init__(self, kind: str, bucket: str, key: str) -> None:
        self.id, self.type, self.subtype, self.source = "7f", kind, None, "trigger"
        self._element = SimpleNamespace(bucket=bucket, object_key=key)

    def get_data(self) -> Any:
        return {"s3_bucket": "never", "s3_key": "read"}

    def as_element_event(self) -> Any:
        if self.type != "Element":
            raise TypeError("not an element event")
        return self._element


def test_typed_events() -> None:
    delivery = one(ElementEvent({"validate": True}))
    assert about(delivery) == ("object", f"s3://renders/{KEY}")
    assert (delivery.event_id, delivery.event_type) == ("7f", "vastdata.com:Element.ElementCreated")
    assert delivery.event_source == "vastdata.com:uploads.guid"
    assert delivery.event_subject == "vastdata.com:view.topic"
    assert delivery.config == {"enable_validate": True}
    assert delivery.attributes == {"elementpath": f"renders/{KEY}", "partitionkey": f"renders/{KEY}"}
    assert about(one(OlderEvent("Element", "b", "k"))) == ("object", "s3://b/k")
    assert about(one(OlderEvent("Function", "b", "k"))) == ("object", "s3://never/read")


def test_typed_events_that_are_skipped_or_name_nothing() -> None:
    assert about(one(ElementEvent(subtype="ElementDeleted"))) == ("skip", f"s3://renders/{KEY}", REMOVED)
    assert one(ElementEvent(subtype="ElementTagCreated")).reason == TAGS
    assert "names no file" in problem_of(ElementEvent({"msg": "hello"}, path=None))
    # A person may send one by hand, to a function that was made for elements.
    assert about(one(ElementEvent({"path": "/a.exr"}, path=None))) == ("file", "/a.exr")


def test_a_typed_event_that_contradicts_itself() -> None:
    event = ElementEvent()
    event.object_key = "other"
    assert "bucket, key and elementpath name different files" in problem_of(event)


def test_the_subtype_alone_is_enough() -> None:
    event = SimpleNamespace(type="Element", subtype="ElementDeleted", bucket="b", object_key="k")
    assert about(one(event)) == ("skip", "s3://b/k", REMOVED)
    event = SimpleNamespace(type="Element", subtype="ElementCreated", bucket="b", object_key="k")
    assert about(one(event)) == ("object", "s3://b/k")


def test_kinds_may_be_enumerations() -> None:
    class Kind(str, Enum):
        DELETED = "ElementDeleted"

    event = SimpleNamespace(id="7", type="Element", subtype=Kind.DELETED, bucket="b", object_key="k")
    assert about(one(event)) == ("skip", "s3://b/k", REMOVED)


def test_members_are_enough() -> None:
    """Without get_attributes and get_data."""
    delivery = one(SimpleNamespace(id="7", source="s", data={"path": "/a.exr"}))
    assert about(delivery) == ("file", "/a.exr")
    assert (delivery.event_id, delivery.event_source) == ("7", "s")


def test_events_of_the_cloudevents_package() -> None:
    pytest.importorskip("cloudevents")
    from cloudevents.core.v1.event import CloudEvent  # noqa: PLC0415 - of the extra `serve`
    from cloudevents.v1.http import CloudEvent as CloudEventOfV1  # noqa: PLC0415 - as 1.x has it

    attributes = {"id": "7", "source": "s", "type": "Element.ElementCreated", "elementpath": "b/k", "traceparent": "00"}
    for event in (CloudEvent(dict(attributes), {"meta": False}), CloudEventOfV1(attributes, {"meta": False})):
        delivery = one(event)
        assert about(delivery) == ("object", "s3://b/k")
        assert (delivery.event_id, delivery.event_source) == ("7", "s")
        assert delivery.attributes == {"elementpath": "b/k", "traceparent": "00"}
        assert delivery.config == {"enable_meta": False}
    assert about(one(CloudEvent({"id": "7", "source": "s", "type": "t"}, b'{"path": "/a"}'))) == ("file", "/a")


class Raising:
    """Whatever is looked at raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(SECRET)


class RaisingMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(SECRET)

    def __iter__(self) -> Any:
        yield "path"

    def __len__(self) -> int:
        return 1


class RaisingDict(dict[str, Any]):
    def keys(self) -> Any:
        raise RuntimeError(SECRET)

    def get(self, *_args: Any) -> Any:
        raise RuntimeError(SECRET)


def test_members_that_raise_are_not_there() -> None:
    class Half(ElementEvent):
        def __getattribute__(self, name: str) -> Any:
            if name in ("type", "subtype"):
                raise ValueError("malformed vast event: type")
            return super().__getattribute__(name)

        def get_attributes(self) -> Any:
            raise RuntimeError("no attributes")

        def get_data(self) -> Any:
            raise RuntimeError("no data")

        def as_element_event(self) -> Any:
            raise TypeError("no element")

    assert about(one(Half())) == ("object", f"s3://renders/{KEY}")
    assert "not Raising" in problem_of(Raising())
    assert "not RaisingMapping" in problem_of(RaisingMapping())
    assert about(one({"data": RaisingMapping(), "path": "/a"})) == ("file", "/a")
    assert SECRET not in problem_of({"data": RaisingDict(a=1)})
    assert SECRET not in problem_of(RaisingDict(a=1))


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (None, "not null"),
        (True, "not true or false"),
        (7, "not number"),
        (float("nan"), "not number"),
        ([{"path": "/a"}], "not list of 1"),
        ({"a", "b"}, "not set"),
        (object(), "not object"),
        ({}, "mapping of 0"),
        ("", "not JSON: Expecting value at character 0"),
        ("s3://b/k", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        ('{"path": "/a", "path": "/a"}', "a name stands twice in one JSON object"),
        ('{"path": "/a", "b": [{"c": 1, "c": 2}]}', "a name stands twice in one JSON object"),
        ('{"path": "/a", "b": NaN}', "not JSON: a number that is none"),
        ('{"path": "/a", "b": Infinity}', "not JSON: a number that is none"),
        ("[" * 100_000, "nested too deeply"),
        ('{"data":' * 100_000, "nested too deeply"),
        ("1" * 100_000, "not JSON: a number that is none, or too long"),
        ({7: "path", ("t",): 1, "\u202e\n": "x"}, r"mapping of int (text), tuple (number), \u202e\n (text)"),
        ({"x" * 500: {"y" * 500: 1}}, "x" * 40 + "… (mapping of " + "y" * 40 + "… (number))"),
        ({"a": {"b": {"c": {"d": {"e": 1}}}}}, "it is a mapping of a (mapping of b (mapping of c (mapping of 1)))"),
        ({f"name{index}": index for index in range(100)}, "name11 (number), and 88 more"),
    ],
)
def test_what_is_no_event(event: Any, words: str) -> None:
    assert words in problem_of(event)


def test_a_mapping_that_holds_itself() -> None:
    event: dict[str, Any] = {"path": "/a"}
    event["data"] = event["config"] = event
    assert about(one(event)) == ("file", "/a")
    event["path"] = 7
    assert "names no file" in problem_of(event)


def test_data_is_unwrapped_to_a_bound() -> None:
    def nested(levels: int) -> Any:
        event: Any = {"path": "/a"}
        for _ in range(levels):
            event = {"data": event}
        return event

    assert about(one(nested(MAX_EVENT_NESTING - 1))) == ("file", "/a")
    assert "names no file" in problem_of(nested(MAX_EVENT_NESTING))


def test_the_codes_of_events_cannot_be_retried() -> None:
    for code in ("event_not_understood", "event_refused"):
        assert not CODES[code].retryable
