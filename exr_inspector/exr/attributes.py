"""What each attribute type means: its declaration, its record, and the step from the one to the other.

`ATTRIBUTE_TYPES` is the table. A *meaning* is a function that takes what the declaration parses to and returns
the model's value; it raises `ValueFlaw` where the bytes are not what the type says. Compiled and interpreted
reading share the meanings, so that they can differ in nothing but speed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from construct import (
    Construct,
    ConstructError,
    Container,
    GreedyBytes,
    GreedyRange,
    ListContainer,
    Renamed,
    Struct,
)

from exr_inspector import model
from exr_inspector.errors import ValueFlaw
from exr_inspector.exr import layout
from exr_inspector.exr.idmanifest import decode_id_manifest
from exr_inspector.limits import Limits

Meaning = Callable[[Any, Limits], Any]


class Elements(NamedTuple):
    """What a list declaration parses to: its elements, the bytes that no element took, and if text was replaced."""

    elements: tuple[Any, ...]
    rest: bytes
    has_replaced_text: bool


class TooManyElements(Exception):
    """A list has more elements than the limit."""


# The records that a declaration's fields become. Struct objects are compared by identity.
RECORDS: tuple[tuple[Construct, Callable[..., Any]], ...] = (
    *((declaration, model.V2) for declaration in (layout.V2i, layout.V2f, layout.V2d)),
    *((declaration, model.V3) for declaration in (layout.V3i, layout.V3f, layout.V3d)),
    *((declaration, model.Box2) for declaration in (layout.Box2i, layout.Box2f)),
    *((declaration, model.Matrix) for declaration in (layout.M33f, layout.M33d, layout.M44f, layout.M44d)),
    (layout.Chromaticities, model.Chromaticities),
    (layout.Rational, model.Rational),
    (layout.KeyCode, model.KeyCode),
    (layout.TimeCode, model.TimeCode),
    (layout.TileDescription, model.TileDescription),
    (layout.Preview, model.Preview),
    (layout.HintedBytes, model.HintedBytes),
    (layout.Channel, model.Channel),
)


def record_of(declaration: Construct) -> Any:
    """The record class of a declaration; KeyError if it has none."""
    for known, record in RECORDS:
        if known is declaration:
            return record
    raise KeyError(declaration)


# ---- Meanings ----------------------------------------------------------------------------------------------


def text(data: bytes, _limits: Limits) -> str:
    """UTF-8 text, NULs included; bytes that are not UTF-8 appear as U+FFFD in the flaw's value."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueFlaw(
            "value_text", f"not UTF-8: {error.reason}", data.decode(errors="replace"), error.start
        ) from None


def enumeration(names: tuple[str, ...]) -> Meaning:
    """A meaning that turns one byte into its `Enumeration`."""
    values = tuple(model.Enumeration(code, model.code_name(names, code)) for code in range(256))
    known = len(names)

    def meaning(code: int, _limits: Limits) -> model.Enumeration:
        if code >= known:
            raise ValueFlaw("value_enumeration", f"code {code} has no name", values[code])
        return values[code]

    return meaning


def float_vector(parsed: Elements, _limits: Limits) -> tuple[float, ...]:
    """Single floats up to the end of the value."""
    if parsed.rest:
        raise ValueFlaw(
            "value_missing_bytes",
            f"{len(parsed.rest)} bytes are left over: not a multiple of 4",
            parsed.elements,
            4 * len(parsed.elements),
        )
    return parsed.elements


def string_vector(parsed: Elements, limits: Limits) -> tuple[str, ...]:
    """Texts with their lengths, up to the end of the value."""
    elements, texts = parsed.elements, []
    first: tuple[int, ValueFlaw] | None = None
    for index, element in enumerate(elements):
        try:
            texts.append(text(element, limits))
        except ValueFlaw as found:
            first = first or (index, found)
            texts.append(found.value)
    if parsed.rest:
        message = f"a string's length reaches past the value's end; {len(parsed.rest)} bytes are left over"
        raise ValueFlaw("value_missing_bytes", message, tuple(texts), _strings_bytes(elements))
    if first is not None:
        index, flaw = first
        offset = _strings_bytes(elements[:index]) + _LENGTH_BYTES + flaw.value_offset
        raise ValueFlaw(flaw.code, f"a string is {flaw.message}", tuple(texts), offset)
    return tuple(texts)


_LENGTH_BYTES = 4


def _strings_bytes(elements: tuple[bytes, ...]) -> int:
    return sum(_LENGTH_BYTES + len(element) for element in elements)


def channel_list(parsed: Elements, _limits: Limits) -> tuple[model.Channel, ...]:
    """Channel records up to an empty name, which ends the value."""
    channels, rest = parsed.elements, parsed.rest
    if rest != b"\0":
        if not rest:
            raise ValueFlaw("value_missing_bytes", "the channel list has no terminator", channels)
        if rest[0]:
            message = f"the record after channel {len(channels)} is cut; {len(rest)} bytes are left over"
            raise ValueFlaw("value_missing_bytes", message, channels)
        raise ValueFlaw("value_trailing_bytes", f"{len(rest) - 1} bytes follow the channel list", channels)
    if parsed.has_replaced_text:
        raise ValueFlaw("value_text", "a channel's name is not UTF-8", channels)
    for channel in channels:
        if not 0 <= channel.pixel_type <= 2:
            message = f"pixel type {channel.pixel_type} has no name"
            raise ValueFlaw("value_enumeration", message, channels)
    return channels


def tile_description(tiles: model.TileDescription, _limits: Limits) -> model.TileDescription:
    """Sizes and modes; a mode without a name is a flaw."""
    if tiles.mode & 15 > 2 or tiles.mode >> 4 > 1:
        raise ValueFlaw("value_enumeration", f"mode {tiles.mode:#04x} has no name", tiles, 8)
    return tiles


def time_code(code: model.TimeCode, _limits: Limits) -> model.TimeCode:
    """Hours, minutes, seconds, frame: a flaw where a digit is no decimal digit or a value too large."""
    bounds = (("hours", 23), ("minutes", 59), ("seconds", 59), ("frame", 59))
    word = code.time_and_flags
    digits = (word & 15, word >> 8 & 15, word >> 16 & 15, word >> 24 & 15)
    wrong = [name for name, most in bounds if getattr(code, name) > most]
    if wrong or max(digits) > 9:
        where = f"{', '.join(wrong)} out of range" if wrong else "not binary coded decimal"
        raise ValueFlaw("value_range", f"time and flags {word:#010x}: {where}", code)
    return code


KEY_CODE_RANGES: tuple[tuple[str, int, int], ...] = (
    ("film_mfc_code", 0, 99),
    ("film_type", 0, 99),
    ("prefix", 0, 999999),
    ("count", 0, 9999),
    ("perf_offset", 0, 119),
    ("perfs_per_frame", 1, 15),
    ("perfs_per_count", 20, 120),
)


def key_code(code: model.KeyCode, _limits: Limits) -> model.KeyCode:
    """Seven integers; a flaw outside the ranges that OpenEXR's documentation gives."""
    for (name, low, high), value in zip(KEY_CODE_RANGES, code, strict=True):
        if not low <= value <= high:
            raise ValueFlaw("value_range", f"{name} {value} is not in {low} to {high}", code)
    return code


def preview(image: model.Preview, _limits: Limits) -> model.Preview:
    """A preview whose pixels are all there."""
    expected = 4 * image.width * image.height
    if len(image.rgba) != expected:
        message = f"{image.width} x {image.height} pixels need {expected} bytes, there are {len(image.rgba)}"
        raise ValueFlaw("value_size", message, None, 8)
    return image


def hinted_bytes(parsed: model.HintedBytes, limits: Limits) -> model.HintedBytes:
    """Bytes behind a type hint, which is text."""
    try:
        hint = text(parsed.type_hint, limits)  # type: ignore[arg-type]
    except ValueFlaw as flaw:
        message = f"the type hint is {flaw.message}"
        raise ValueFlaw(flaw.code, message, model.HintedBytes(flaw.value, parsed.data), 4 + flaw.value_offset) from None
    return model.HintedBytes(hint, parsed.data)


# ---- The table ---------------------------------------------------------------------------------------------


class AttributeType(NamedTuple):
    """One row: the type's name in the file, its declaration, and its meaning (None: the record as it is)."""

    name: str
    declaration: Construct
    meaning: Meaning | None = None


ATTRIBUTE_TYPES: dict[str, AttributeType] = {
    row.name: row
    for row in (
        AttributeType("box2f", layout.Box2f),
        AttributeType("box2i", layout.Box2i),
        AttributeType("bytes", layout.HintedBytes, hinted_bytes),
        AttributeType("chlist", layout.ChannelList, channel_list),
        AttributeType("chromaticities", layout.Chromaticities),
        AttributeType("compression", layout.Byte, enumeration(model.COMPRESSION_NAMES)),
        AttributeType("deepImageState", layout.Byte, enumeration(model.DEEP_IMAGE_STATE_NAMES)),
        AttributeType("double", layout.Double),
        AttributeType("envmap", layout.Byte, enumeration(model.ENVMAP_NAMES)),
        AttributeType("float", layout.Float),
        AttributeType("floatvector", layout.FloatVector, float_vector),
        AttributeType("idmanifest", layout.IdManifest, decode_id_manifest),
        AttributeType("int", layout.Int),
        AttributeType("keycode", layout.KeyCode, key_code),
        AttributeType("lineOrder", layout.Byte, enumeration(model.LINE_ORDER_NAMES)),
        AttributeType("m33d", layout.M33d),
        AttributeType("m33f", layout.M33f),
        AttributeType("m44d", layout.M44d),
        AttributeType("m44f", layout.M44f),
        AttributeType("preview", layout.Preview, preview),
        AttributeType("rational", layout.Rational),
        AttributeType("string", layout.String, text),
        AttributeType("stringvector", layout.StringVector, string_vector),
        AttributeType("tiledesc", layout.TileDescription, tile_description),
        AttributeType("timecode", layout.TimeCode, time_code),
        AttributeType("v2d", layout.V2d),
        AttributeType("v2f", layout.V2f),
        AttributeType("v2i", layout.V2i),
        AttributeType("v3d", layout.V3d),
        AttributeType("v3f", layout.V3f),
        AttributeType("v3i", layout.V3i),
    )
}

# The attributes that the format itself uses: name → type ("OpenEXR File Layout", predefined attributes).
STANDARD_TYPES: dict[str, str] = {
    "channels": "chlist",
    "compression": "compression",
    "dataWindow": "box2i",
    "displayWindow": "box2i",
    "lineOrder": "lineOrder",
    "pixelAspectRatio": "float",
    "screenWindowCenter": "v2f",
    "screenWindowWidth": "float",
    "tiles": "tiledesc",
    "name": "string",
    "type": "string",
    "version": "int",
    "chunkCount": "int",
    "view": "string",
    "multiView": "stringvector",
}


# ---- Interpreted reading: the declarations as they are, slow and plain -------------------------------------


def element_limit(element: Construct, limits: Limits) -> int:
    """How many elements a list of this declaration may have."""
    return limits.max_channels if element is layout.Channel else limits.max_elements


def interpret(attribute_type: AttributeType, payload: bytes, limits: Limits) -> Any:
    """The model's value of a payload, by construct alone. Raises ValueFlaw. The yardstick for `compiled.py`."""
    try:
        parsed = attribute_type.declaration.parse(payload)
        if not _is_open(attribute_type.declaration) and attribute_type.declaration.sizeof() != len(payload):
            raise ValueFlaw("value_size", size_message(attribute_type.declaration, payload))
        value = _modelled(attribute_type.declaration, parsed, limits)
    except ConstructError:
        raise ValueFlaw("value_size", size_message(attribute_type.declaration, payload)) from None
    except TooManyElements:
        raise ValueFlaw("value_limit", limit_message(attribute_type.declaration, limits)) from None
    return value if attribute_type.meaning is None else attribute_type.meaning(value, limits)


def size_message(declaration: Construct, payload: bytes) -> str:
    """Why the payload cannot be cut into the declaration's fields."""
    if _is_open(declaration):
        return f"{len(payload)} bytes are too few, or a length inside reaches past the end"
    return f"the size is {len(payload)}, the type has {declaration.sizeof()} bytes"


def limit_message(declaration: Construct, limits: Limits) -> str:
    """Why the list was not decoded."""
    return f"more than {element_limit(list_element(declaration), limits)} elements: kept as bytes"


def list_element(declaration: Construct) -> Construct:
    """The declaration of a list's elements; None if the declaration is no list."""
    first = declaration.subcons[0].subcon if isinstance(declaration, Struct) else None
    return first.subcon if isinstance(first, GreedyRange) else None


def _is_open(declaration: Construct) -> bool:
    """Whether the declaration runs to the end of the value."""
    last = declaration.subcons[-1].subcon if isinstance(declaration, Struct) else declaration
    return last is GreedyBytes


def _modelled(declaration: Construct, parsed: Any, limits: Limits) -> Any:
    """Containers become records, lists become tuples, names become text."""
    if isinstance(declaration, Renamed):
        return _modelled(declaration.subcon, parsed, limits)
    element = list_element(declaration)
    if element is not None:
        return _modelled_list(element, parsed, limits)
    if isinstance(parsed, Container):
        fields = (_modelled(field, parsed[field.name], limits) for field in declaration.subcons)
        return record_of(declaration)(*fields)
    if isinstance(parsed, ListContainer):
        return tuple(_modelled(declaration.subcon, element, limits) for element in parsed)
    if declaration is layout.NonEmptyName:
        return parsed.decode(errors="replace")
    return parsed


def _modelled_list(element: Construct, parsed: Container, limits: Limits) -> Elements:
    if len(parsed.elements) > element_limit(element, limits):
        raise TooManyElements
    elements = tuple(map(partial(_modelled, element, limits=limits), parsed.elements))
    replaced = element is layout.Channel and any(not _is_utf8(channel.name) for channel in parsed.elements)
    return Elements(elements, parsed.rest, replaced)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
