"""Which objects and files an event names, and by which of its words.

1. The platform's own words: a typed event's bucket and key, the extension `elementpath` (`<bucket>/<key>`), S3's
   `Records`. All of them must name the same object; of several records, `elementpath` must name one.
2. Only without these: a person's words, `path`, `file`, `key`, … of the innermost level that has any. Within a level
   they must agree.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from exr_inspector.events.delivery import EventError
from exr_inspector.events.envelope import Envelope, clean
from exr_inspector.events.found import found
from exr_inspector.events.parsing import not_understood, unpacked
from exr_inspector.limits import MAX_EVENT_RECORDS, MAX_EVENT_TEXT

BUCKET_FIELDS = ("bucket", "s3_bucket")
KEY_FIELDS = ("object_key", "s3_key", "key")
PATH_FIELDS = ("path", "file_path", "file")

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")
_S3 = "s3://"


class Place(NamedTuple):
    """An object (bucket and key) or a local file (path)."""

    bucket: str | None = None
    key: str | None = None
    path: str | None = None
    version_id: str | None = None
    etag: str | None = None


class Record(NamedTuple):
    """One record of an S3 notification; `problem` is why it names no object."""

    event_type: str | None
    place: Place | None
    raw_key: str | None = None
    problem: str | None = None


def object_at(bucket: Any, key: Any, words: str) -> Place:
    """The place of an object. Raises EventError if there can be no such bucket or key."""
    if not isinstance(bucket, str) or not _BUCKET.match(bucket):
        raise not_understood(f"{words} names no bucket: letters, digits, dots, dashes and underscores")
    if clean(key) is None:
        raise not_understood(f"{words} names no key: a text of 1 to {MAX_EVENT_TEXT} characters")
    return Place(bucket, key)


# ---- The platform's words


def element(envelope: Envelope) -> Place | None:
    """The object that a typed event or `elementpath` names. Raises EventError if they differ."""
    places = [] if envelope.element is None else [object_at(*envelope.element, "the event")]
    texts = (level.get("elementpath") for level in envelope.levels)
    places += [_of_elementpath(text) for text in texts if text is not None]
    return _agreed(places, "the event's bucket, key and elementpath")


def _of_elementpath(text: Any) -> Place:
    if not isinstance(text, str):
        raise not_understood(f"elementpath must be <bucket>/<key>, not {found(text)}")
    bucket, _, key = text.partition("/")
    return object_at(bucket, key, "elementpath (<bucket>/<key>)")


def records(envelope: Envelope) -> list[Record]:
    """The records of an S3 notification, of the outermost level that has any. Raises EventError if too many."""
    for level in envelope.levels:
        listed = level.get("Records")
        if isinstance(listed, (list, tuple)) and listed:
            if len(listed) > MAX_EVENT_RECORDS:
                raise not_understood(f"{len(listed)} records in one event, more than {MAX_EVENT_RECORDS}")
            return [_record(each) for each in listed]
        if "s3" in level and unpacked(level["s3"]) is not None:
            return [_record(level)]
    return []


def _record(value: Any) -> Record:
    """A record: `eventName`, `s3.bucket.name`, `s3.object.key` (URL-encoded), `.versionId`, `.eTag`."""
    record = unpacked(value) or {}
    s3 = unpacked(record.get("s3")) or {}
    bucket, described = unpacked(s3.get("bucket")) or {}, unpacked(s3.get("object")) or {}
    raw_key, event_type = described.get("key"), clean(record.get("eventName"))
    try:
        if not isinstance(raw_key, str):
            raise not_understood("s3.object.key is no text")
        key = unquote_plus(raw_key, errors="strict")
        place = object_at(bucket.get("name"), key, "s3.bucket.name, s3.object.key")
    except UnicodeDecodeError:
        return Record(event_type, None, None, "s3.object.key is not UTF-8 once it is decoded")
    except EventError as error:
        return Record(event_type, None, None, error.problem.message)
    etag = (clean(described.get("eTag")) or "").strip('"') or None
    return Record(event_type, place._replace(version_id=clean(described.get("versionId")), etag=etag), raw_key)


def check_element(said: Place | None, listed: Sequence[Record]) -> None:
    """Raises EventError if the event names an object that none of its records does, decoded or as it stands."""
    if said is None or not listed:
        return
    named = {(each.place.bucket, key) for each in listed if each.place for key in (each.place.key, each.raw_key)}
    if (said.bucket, said.key) not in named:
        raise not_understood("the event contradicts itself: elementpath and Records name different objects")


# ---- A person's words


def file_named(envelope: Envelope) -> Place | None:
    """What the innermost level with a path or a key names: see the module's docstring. Raises EventError."""
    for index in range(len(envelope.levels) - 1, -1, -1):
        bucket = _bucket_near(envelope, index)
        place = _agreed(_named(envelope.levels[index], bucket), "the fields path, file, key, …")
        if place is not None:
            return place
    return None


def _bucket_near(envelope: Envelope, index: int) -> str | None:
    """The bucket that stands beside, or else around, the path or key."""
    for level in reversed(envelope.levels[: index + 1]):
        for name in BUCKET_FIELDS:
            if level.get(name) is not None:
                return object_at(level[name], "-", name).bucket
    return None


def _named(level: dict[Any, Any], bucket: str | None) -> list[Place]:
    """What a level names. With a bucket, keys count before paths; `s3://` addresses name their own."""
    groups = (KEY_FIELDS, PATH_FIELDS) if bucket else (PATH_FIELDS + KEY_FIELDS,)
    for names in groups:
        given = [(name, level[name]) for name in names if isinstance(level.get(name), str) and level[name]]
        if given:
            return [_place(name, text, bucket) for name, text in given]
    return []


def _place(name: str, text: str, bucket: str | None) -> Place:
    if text.startswith(_S3):
        own, _, key = text[len(_S3) :].partition("/")
        if bucket is not None and own != bucket:
            raise not_understood(f"the event contradicts itself: {name} and bucket name different buckets")
        return object_at(own, key, f"{name} (s3://<bucket>/<key>)")
    if bucket is not None:
        return object_at(bucket, text, name)
    return Place(path=_local(name, text))


def _local(name: str, path: str) -> str:
    """A path as it stands; it may have bytes that are no text, as file names do."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise not_understood(f"{name} is no path: not a text") from None
    if "\0" in path or len(path) > MAX_EVENT_TEXT:
        raise not_understood(f"{name} is no path: a NUL, or more than {MAX_EVENT_TEXT} characters")
    return path


def _agreed(places: Sequence[Place], words: str) -> Place | None:
    """The one place that all of them are. Raises EventError if they differ."""
    if len(set(places)) > 1:
        raise not_understood(f"the event contradicts itself: {words} name different files")
    return places[0] if places else None
