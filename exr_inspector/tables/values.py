"""A document's values as they are stored: JSON text, cut if they are long, and as a plain text or number beside it."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from exr_inspector.cut import cut_attribute
from exr_inspector.errors import DocumentError
from exr_inspector.normalizer import is_cut

# A longer value is stored as its length, SHA-256 and first bytes: one Cryptomatte manifest of 100 MB must not
# become a database cell. VAST takes no cell above about 5 MB.
MAX_VALUE_BYTES = 64 * 1024
HEAD_BYTES = 1024
# A longer document is not stored as a whole; its values are in the tables all the same.
MAX_DOCUMENT_BYTES = 1024 * 1024


# ---- JSON --------------------------------------------------------------------------------------------------


def json_text(value: Any) -> str:
    """Compact JSON (RFC 8259), ASCII only; NaN and infinities, which JSON does not have, as the document's words.

    Raises DocumentError if the value is no JSON.
    """
    if type(value) is int or (type(value) is float and math.isfinite(value)):  # quicker, and the same
        return repr(value)
    try:
        return _ENCODER.encode(value)
    except ValueError:
        return _ENCODER.encode(_without_nan(value))
    except (TypeError, RecursionError) as error:
        raise DocumentError(f"no JSON: {error}") from error


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return value


def canonical_json(value: Any) -> str:
    """The same text for the same value, whatever the order of its keys. Raises DocumentError if it is no JSON."""
    try:
        return json.dumps(_without_nan(value), allow_nan=False, separators=(",", ":"), sort_keys=True)
    except (TypeError, RecursionError) as error:
        raise DocumentError(f"no JSON: {error}") from error


# ---- Cutting -----------------------------------------------------------------------------------------------

# What can go wrong while `cut_attribute` makes the payload's bytes of an entry that was made by hand.
_NOT_OF_THE_SCHEMA = (KeyError, TypeError, AttributeError, ValueError, OverflowError, struct.error)


# A value takes at least three quarters of its bytes as JSON: an empty string of a string vector four bytes in the
# file and three here; all others more. So a shorter JSON needs no closer look.
_SURELY_SHORT = MAX_VALUE_BYTES // 4 * 3


def stored(entry: Mapping[str, Any]) -> tuple[Any, str]:
    """An attribute's value as it is stored, cut if it is over 64 KiB, and its JSON. Raises DocumentError if no JSON."""
    value = entry.get("value")
    text = json_text(value)
    if len(text) <= _SURELY_SHORT and _is_surely_short(entry.get("raw")):
        return value, text
    value = cut_entry(entry).get("value")
    return value, json_text(value)


def cut_entry(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry of the document's attributes, its value cut if it is over 64 KiB; else the same entry.

    The measure is the payload's size in the file. An entry that is not of the schema has no payload: see `cut`.
    """
    value = entry.get("value")
    if _is_surely_short(value) and _is_surely_short(entry.get("raw")):
        return entry
    if not is_cut(value):
        try:
            return cut_attribute(dict(entry), MAX_VALUE_BYTES, HEAD_BYTES)
        except _NOT_OF_THE_SCHEMA:
            pass
    smaller = cut(value)
    return entry if smaller is value else {**entry, "value": smaller}


def cut(value: Any) -> Any:
    """The value itself, or, if it is over 64 KiB, its size, SHA-256 and first 1 KiB. Raises DocumentError if no JSON.

    For values without a payload in the file: measured are a text's UTF-8, and of everything else its JSON.
    """
    if _is_surely_short(value):
        return value
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json_text(value).encode()
    if len(data) <= MAX_VALUE_BYTES:
        return value
    start = data[:HEAD_BYTES].decode("utf-8", "ignore")  # a character in two halves at the end is left out
    return {"cut_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "start": start}


def _is_surely_short(value: Any) -> bool:
    """Whether a value's bytes cannot be over 64 KiB, seen without making them."""
    if isinstance(value, str):
        return len(value) * 4 <= MAX_VALUE_BYTES  # no character takes more than four bytes of UTF-8
    return value is None or isinstance(value, (int, float))


def cut_document(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document with long values of its attributes cut; the same one if there is none."""
    attributes = document.get("attributes")
    if not attributes:
        return document
    parts = attributes.get("parts")
    if not isinstance(parts, (list, tuple)):
        smaller = {name: cut(value) for name, value in attributes.items()}
    else:
        smaller = {**attributes, "parts": [list(map(cut_entry, part)) for part in parts]}
    return {**document, "attributes": smaller}


def document_text(document: Mapping[str, Any]) -> str | None:
    """The document as stored, long values cut; None if it is still above 1 MiB. Raises DocumentError if no JSON."""
    text = json_text(document)
    if len(text) > _SURELY_SHORT:
        text = json_text(cut_document(document))
    return text if len(text) <= MAX_DOCUMENT_BYTES else None


# ---- A value as text, integer or float ---------------------------------------------------------------------


class PlainValue(NamedTuple):
    """The columns value_text, value_int and value_float: at most one of them is set."""

    text: str | None = None
    int: int | None = None
    float: float | None = None


class DoesNotFit(Exception):
    """A value that its column cannot hold; the message says why."""


NOTHING = PlainValue()


def _as_text(value: Any) -> PlainValue:
    return PlainValue(text=value) if isinstance(value, str) else NOTHING


def _as_int(value: Any) -> PlainValue:
    if isinstance(value, int):
        return PlainValue(int=int(value))
    raise DoesNotFit("not an integer")


def _as_float(value: Any) -> PlainValue:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DoesNotFit("not a number") from None
    if not math.isfinite(number):
        raise DoesNotFit(f"{number} is no finite number")
    return PlainValue(float=number)


def _rational(value: Any) -> PlainValue:
    try:
        return _as_float(value["numerator"] / value["denominator"])
    except (TypeError, KeyError, ZeroDivisionError, OverflowError):
        raise DoesNotFit("a ratio without a value") from None


def _time_code(value: Any) -> PlainValue:
    """`hh:mm:ss:ff`, with a semicolon before the frame if frames are dropped (SMPTE ST 12-1's usual notation)."""
    try:
        hours, minutes, seconds, frame = (int(value[name]) for name in ("hours", "minutes", "seconds", "frame"))
        separator = ";" if value.get("drop_frame") else ":"
    except (TypeError, KeyError, ValueError):
        return NOTHING
    return PlainValue(text=f"{hours:02d}:{minutes:02d}:{seconds:02d}{separator}{frame:02d}")


class Rule(NamedTuple):
    """How one attribute type fills the plain columns."""

    convert: Callable[[Any], PlainValue]
    meaning: str


# First: a null, a cut value and bytes fill no column. Second: the attribute type's own rule. Third, for all other types
# and for flat attributes without one: the JSON value's kind. What no rule names is in `attribute_value` only.
RULES_BY_TYPE: dict[str, Rule] = {
    "string": Rule(_as_text, "value_text: the text"),
    "int": Rule(_as_int, "value_int: the number"),
    "float": Rule(_as_float, "value_float: the number; null and an error for NaN and infinities"),
    "double": Rule(_as_float, "value_float: the number; null and an error for NaN and infinities"),
    "rational": Rule(_rational, "value_float: numerator over denominator; null and an error if that is 0"),
    "timecode": Rule(_time_code, "value_text: hh:mm:ss:ff, or hh:mm:ss;ff if frames are dropped"),
}
RULES_BY_KIND: dict[type, Rule] = {
    str: Rule(_as_text, "value_text: the text; so for enumerations, OpenEXR's word"),
    int: Rule(_as_int, "value_int: the number"),
    float: Rule(_as_float, "value_float: the number; null and an error for NaN and infinities"),
}


def plain_value(type_name: Any, value: Any) -> PlainValue:
    """A value's plain columns. Raises DoesNotFit if it has the type, but no value that a column can hold."""
    if value is None or (isinstance(value, dict) and ("cut_bytes" in value or "encoding" in value)):
        return NOTHING  # cut, or bytes that were not decoded
    rule = RULES_BY_TYPE.get(type_name) if isinstance(type_name, str) else None
    rule = rule or RULES_BY_KIND.get(type(value))
    return rule.convert(value) if rule is not None else NOTHING
