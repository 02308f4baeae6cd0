"""What a policy may require: a table of kinds, each with its fields and its check."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from exr_inspector.errors import shown
from exr_inspector.exr.chunks import window_size
from exr_inspector.model import COMPRESSION_NAMES, PART_TYPE_NAMES, PIXEL_TYPE_NAMES, ExrHeader, Opaque, Part
from exr_inspector.rules import fields
from exr_inspector.rules.fields import Field
from exr_inspector.rules.records import SEVERITIES, Facts, Finding, Findings, at, at_name
from exr_inspector.values import CODECS

Options = Mapping[str, Any]

INTEGRITY_STATUSES = (
    "complete", "table_complete", "incomplete", "truncated", "trailing", "inconsistent", "unchecked",
)  # fmt: skip


class Requirement(NamedTuple):
    """One requirement of a policy, ready to be checked."""

    id: str
    severity: str
    check: Callable[[Facts], Findings]


class Kind(NamedTuple):
    """One kind of requirement: what it asks, its own fields, and the check of a file against them."""

    meaning: str
    fields: Mapping[str, Field]
    check: Callable[[Options, ExrHeader, Facts], Findings]


# ---- Which parts -------------------------------------------------------------------------------------------


def _selected(options: Options, header: ExrHeader) -> list[Part]:
    """The parts whose names match; a part without a name has the empty one."""
    names = options["parts"]
    return [part for part in header.parts if names is None or names.matches(part.value("name", "string") or "")]


_MOST_WORDS = 8


def _word(value: Any) -> str:
    """A value for a message: one line of ASCII, whatever its size."""
    return shown(value) if isinstance(value, str) else reprlib.repr(value).encode("ascii", "backslashreplace").decode()


def _words(values: tuple[Any, ...]) -> str:
    return ", ".join(map(_word, values[:_MOST_WORDS])) + (", …" if len(values) > _MOST_WORDS else "")


def _in_parts(options: Options, header: ExrHeader, flaws_of: Callable[[Part], Iterator[Finding]]) -> Findings:
    """The flaws of every selected part; with `in: any` none, if one part has none."""
    parts = _selected(options, header)
    if not parts and options["parts"] is not None:
        yield Finding(f"the policy asks for a part with a name like {_words(options['parts'].patterns)}")
    if options["in"] == "any" and any(next(flaws_of(part), None) is None for part in parts):
        return
    for part in parts:
        yield from flaws_of(part)


# ---- Attributes --------------------------------------------------------------------------------------------


def _attribute_flaws(options: Options, part: Part) -> Findings:
    name, type_name, allowed = options["name"], options["type"], options["values"]
    attribute = part.first.get(name)
    if attribute is None:
        yield Finding("the policy requires this attribute", part.part_index, name)
        return
    if type_name is not None and attribute.type_name != type_name:
        yield at(part, attribute, f"the policy requires the type {shown(type_name)}")
    elif allowed is not None:
        codec = None if type(attribute.value) is Opaque else CODECS.get(attribute.type_name)
        value = None if codec is None else codec.encode(attribute.value)
        if value is None or not allowed.holds(value):
            yield at(part, attribute, f"the value is {_words((value,))}; the policy allows {_words(allowed.values)}")


def _attribute(options: Options, header: ExrHeader, _facts: Facts) -> Findings:
    return _in_parts(options, header, lambda part: _attribute_flaws(options, part))


def _forbidden_attribute(options: Options, header: ExrHeader, _facts: Facts) -> Findings:
    for part in _selected(options, header):
        for attribute in part.attributes:
            if options["names"].matches(attribute.name):
                yield at(part, attribute, "the policy forbids this attribute")


# ---- Parts -------------------------------------------------------------------------------------------------


def _compression(options: Options, header: ExrHeader, _facts: Facts) -> Findings:
    for part in _selected(options, header):
        compression = part.value("compression", "compression")
        if compression is None:
            yield at_name(part, "compression", "there is no compression; the policy asks for one")
        elif compression.name not in options["allowed"]:
            yield at_name(part, "compression", f"{compression.name}; the policy allows {_words(options['allowed'])}")


def _part_type(options: Options, header: ExrHeader, _facts: Facts) -> Findings:
    for part in _selected(options, header):
        part_type = header.part_type(part)
        if part_type not in options["allowed"]:
            message = f"the part type is {shown(part_type)}; the policy allows {_words(options['allowed'])}"
            yield Finding(message, part.part_index)


def _display_window(options: Options, header: ExrHeader, _facts: Facts) -> Findings:
    for part in _selected(options, header):
        size = window_size(part.value("displayWindow", "box2i"))
        if size not in options["sizes"]:
            words = "has no size" if size is None else f"measures {size[0]} x {size[1]}"
            allowed = ", ".join(f"{width} x {height}" for width, height in options["sizes"][:8])
            yield at_name(part, "displayWindow", f"the display window {words}; the policy allows {allowed}")


def _overscan(options: Options, header: ExrHeader, _facts: Facts) -> Findings:
    most = options["pixels"]
    for part in _selected(options, header):
        data, display = part.value("dataWindow", "box2i"), part.value("displayWindow", "box2i")
        if data is None or display is None:
            yield at_name(part, "dataWindow", "the policy limits overscan, and a window is missing")
            continue
        beyond = (
            display.min.x - data.min.x,
            display.min.y - data.min.y,
            data.max.x - display.max.x,
            data.max.y - display.max.y,
        )
        if max(beyond) > most:
            words = f"the data window reaches {max(beyond)} pixels beyond the display window"
            yield at_name(part, "dataWindow", f"{words}; the policy allows {most}")


# ---- Channels and layers -----------------------------------------------------------------------------------


def _channel_type(options: Options, header: ExrHeader, _facts: Facts) -> Findings:
    for part in _selected(options, header):
        for channel in part.channels:
            if options["channels"].matches(channel.name) and channel.type not in options["allowed"]:
                message = f"channel {shown(channel.name)} is {channel.type}; the policy allows "
                yield at_name(part, "channels", message + _words(options["allowed"]))


def _missing_names(options: Options, part: Part, names: set[str], word: str) -> Findings:
    for pattern in options["names"]:
        if not any(map(pattern.matches, names)):
            yield at_name(part, "channels", f"the policy requires a {word} {_words(pattern.patterns)}")


def _channels(options: Options, header: ExrHeader, _facts: Facts) -> Findings:
    def flaws_of(part: Part) -> Findings:
        return _missing_names(options, part, {channel.name for channel in part.channels}, "channel")

    return _in_parts(options, header, flaws_of)


def _layers(options: Options, header: ExrHeader, _facts: Facts) -> Findings:
    def flaws_of(part: Part) -> Findings:
        layers = {channel.name.rpartition(".")[0] for channel in part.channels if "." in channel.name}
        return _missing_names(options, part, layers, "layer")

    return _in_parts(options, header, flaws_of)


# ---- The file ----------------------------------------------------------------------------------------------

MEASURES: dict[str, Callable[[ExrHeader, Facts], int | None]] = {
    "parts": lambda header, _: len(header.parts),
    "channels": lambda header, _: sum(len(part.channels) for part in header.parts),
    "attributes": lambda header, _: sum(len(part.attributes) for part in header.parts),
    "header_bytes": lambda header, _: header.size_bytes,
    "file_bytes": lambda _, facts: facts.document["file"]["size_bytes"],
}


def _maximum(options: Options, header: ExrHeader, facts: Facts) -> Findings:
    of, most = options["of"], options["value"]
    measured = MEASURES[of](header, facts)
    if measured is None:
        yield Finding(f"{of} is not known; the policy allows {most}")
    elif measured > most:
        yield Finding(f"{of} is {measured}; the policy allows {most}")


def _integrity(options: Options, _header: ExrHeader, facts: Facts) -> Findings:
    status = facts.document["integrity"]["status"]
    if status not in options["allowed"]:
        yield Finding(f"integrity is {status}; the policy allows {_words(options['allowed'])}")


def _path(options: Options, _header: ExrHeader, facts: Facts) -> Findings:
    path = facts.document["file"]["path"]
    if path is not None and options["of"] == "name":
        path = path.replace("\\", "/").rpartition("/")[2]
    if path is None or not options["patterns"].matches(path):
        words = "there is no path" if path is None else f"the {options['of']} is {shown(path)}"
        yield Finding(f"{words}; the policy allows {_words(options['patterns'].patterns)}")


def _frame_number(options: Options, _header: ExrHeader, facts: Facts) -> Findings:
    number, low, high = facts.document["file"]["frame_number"], options["minimum"], options["maximum"]
    if number is None:
        yield Finding("the path has no frame number; the policy requires one")
    elif (low is not None and number < low) or (high is not None and number > high):
        bounds = f"{'' if low is None else low} to {'' if high is None else high}"
        yield Finding(f"the frame number is {number}; the policy allows {bounds}")


# ---- The table ---------------------------------------------------------------------------------------------

_each_glob = fields.list_of(fields.glob)
_IN = {"in": Field(fields.one_of(("every", "any")), "every")}
_PARTS = {"parts": Field(fields.globs, None)}


def _allowed(words: tuple[str, ...]) -> dict[str, Field]:
    return {"allowed": Field(fields.list_of(fields.one_of(words)))}


KINDS: dict[str, Kind] = {
    "attribute": Kind(
        "the attribute is there, of this type, with one of these values",
        {
            "name": Field(fields.text),
            "type": Field(fields.text, None),
            "values": Field(fields.allowed_values, None),
            **_IN,
            **_PARTS,
        },
        _attribute,
    ),
    "forbidden_attribute": Kind(
        "no attribute's name matches", {"names": Field(fields.globs), **_PARTS}, _forbidden_attribute
    ),
    "compression": Kind("the compression is one of these", {**_allowed(COMPRESSION_NAMES), **_PARTS}, _compression),
    "part_type": Kind("the part type is one of these", {**_allowed(PART_TYPE_NAMES), **_PARTS}, _part_type),
    "display_window": Kind(
        "the display window has one of these sizes",
        {"sizes": Field(fields.list_of(fields.size)), **_PARTS},
        _display_window,
    ),
    "overscan": Kind(
        "the data window reaches no more pixels beyond the display window",
        {"pixels": Field(fields.count), **_PARTS},
        _overscan,
    ),
    "channel_type": Kind(
        "channels whose names match have one of these pixel types",
        {"channels": Field(fields.globs, fields.as_globs(("*",))), **_allowed(PIXEL_TYPE_NAMES), **_PARTS},
        _channel_type,
    ),
    "channels": Kind(
        "for each pattern there is a channel whose name matches",
        {"names": Field(_each_glob), **_IN, **_PARTS},
        _channels,
    ),
    "layers": Kind(
        "for each pattern there is a layer whose name matches", {"names": Field(_each_glob), **_IN, **_PARTS}, _layers
    ),
    "maximum": Kind(
        "there are no more, or no larger: " + ", ".join(MEASURES),
        {"of": Field(fields.one_of(MEASURES)), "value": Field(fields.count)},
        _maximum,
    ),
    "integrity": Kind("the verdict on the file's chunks is one of these", _allowed(INTEGRITY_STATUSES), _integrity),
    "path": Kind(
        "the file's name, or its whole path, matches one of the patterns",
        {"patterns": Field(fields.globs), "of": Field(fields.one_of(("name", "path")), "name")},
        _path,
    ),
    "frame_number": Kind(
        "the file's name has a frame number, within these bounds",
        {"minimum": Field(fields.integer, None), "maximum": Field(fields.integer, None)},
        _frame_number,
    ),
}


def read_requirement(value: Any, place: str) -> Requirement:
    """One entry of a policy's `requirements`. Raises PolicyError."""
    if not isinstance(value, dict):
        raise fields.fail(place, "an object", value)
    if "kind" not in value:
        raise fields.PolicyError(f"{place}.kind: this field is missing")
    name = fields.one_of(KINDS)(value["kind"], f"{place}.kind")
    kind = KINDS[name]
    common = {
        "kind": Field(fields.text),
        "id": Field(fields.text, f"policy.{name}"),
        "severity": Field(fields.one_of(SEVERITIES), "error"),
    }
    options = fields.read_fields(value, place, {**common, **kind.fields})

    def check(facts: Facts) -> Findings:
        return iter(()) if facts.header is None else kind.check(options, facts.header, facts)

    return Requirement(options["id"], options["severity"], check)
