"""Event → deliveries."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from exr_inspector.events.brought import attributes, config, database
from exr_inspector.events.delivery import Delivery, EventError
from exr_inspector.events.envelope import Envelope, envelope_of, is_envelope, text_of
from exr_inspector.events.found import found
from exr_inspector.events.kinds import reason_to_skip
from exr_inspector.events.naming import Place, Record, check_element, element, file_named, records
from exr_inspector.events.parsing import not_understood

_WAYS = "elementpath, Records, path or key"
_FOLDER = "the marker of a folder, not a file"


def deliveries(event: Any) -> list[Delivery]:
    """The files that an event asks for; one for each record of an S3 notification.

    `event`: a typed event of the platform (`get_data()`, `as_element_event()`), a CloudEvent of the `cloudevents`
    package, an envelope or a payload as a mapping, or JSON of one (str, bytes). Removed files, changed tags and other
    events that no file is read for are deliveries of the kind `skip`, and so is a record that is not understood
    beside others that are. Raises EventError (`event_not_understood`), which names what was found.
    """
    envelope = envelope_of(event)
    template = _template(envelope)
    reason = _reason(envelope)
    listed = records(envelope)
    if listed:
        check_element(element(envelope), listed)
        return _of_records(template, listed, reason)
    place = _skipped_place(envelope) if reason else element(envelope) or file_named(envelope)
    if place is None:
        raise not_understood(f"the event names no file: no {_WAYS}; it is a {found(envelope.levels[0])}")
    return [_delivery(template, place, reason)]


def _skipped_place(envelope: Envelope) -> Place:
    """The object of an event that asks for no file; it need not have one, nor a sound one."""
    try:
        return element(envelope) or Place()
    except EventError:
        return Place()


def _template(envelope: Envelope) -> Delivery:
    """What all deliveries of the event have."""
    return Delivery(
        "skip",
        config=MappingProxyType(config(envelope)),
        database=MappingProxyType(database(envelope)),
        event_id=envelope.attribute("id"),
        event_source=envelope.attribute("source"),
        event_type=envelope.attribute("type"),
        event_subject=envelope.attribute("subject"),
        attributes=MappingProxyType(attributes(envelope)),
    )


def _reason(envelope: Envelope) -> str | None:
    """Why the event asks for no file, by its types; S3's test event has its name under `Event`."""
    types = [envelope.subtype, *(text_of(level, "type") for level in envelope.levels if is_envelope(level))]
    types += [text_of(level, "Event") for level in envelope.levels]
    return next((reason for each in types if each and (reason := reason_to_skip(each))), None)


def _of_records(template: Delivery, listed: list[Record], reason: str | None) -> list[Delivery]:
    """One delivery for each record; what has happened to the file, the record says before the event does."""
    if all(each.place is None for each in listed):
        raise not_understood(f"none of {len(listed)} records names an object; the first: {listed[0].problem}")
    return [_of_record(template, index, each, reason) for index, each in enumerate(listed)]


def _of_record(template: Delivery, index: int, record: Record, reason: str | None) -> Delivery:
    if record.place is None:
        return template._replace(reason=f"record {index} is not understood: {record.problem}")
    if record.event_type is not None:
        reason = reason_to_skip(record.event_type)
        template = template._replace(event_type=template.event_type or record.event_type)
    return _delivery(template, record.place, reason)


def _delivery(template: Delivery, place: Place, reason: str | None) -> Delivery:
    if place.key is not None and place.key.endswith("/"):
        reason = reason or _FOLDER
    kind = "skip" if reason else "object" if place.bucket is not None else "file"
    return template._replace(kind=kind, reason=reason, **place._asdict())
