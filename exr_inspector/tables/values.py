"""A document's values as they are stored: JSON text, cut if they are long, and as a plain text or number beside it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

# A longer value is stored as its length, SHA-256 and first bytes: one Cryptomatte manifest of 100 MB must not
# become a database cell. VAST takes no cell above about 5 MB.
MAX_VALUE_BYTES = 64 * 1024
HEAD_BYTES = 1024
# A longer document is not stored as a whole; its values are in the tables all the same.
MAX_DOCUMENT_BYTES = 1024 * 1024
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1


# ---- JSON --------------------------------------------------------------------------------------------------


def json_text(value: Any) -> str:
    """Compact JSON (RFC 8259), ASCII only; NaN and infinities, which JSON does not have, as the document's words.

    Raises ValueError if the value is no JSON.
    """
    if type(value) is int:  # most of what is not text, and quicker this way
        return str(value)
    try:
        return _ENCODER.encode(value)
    except ValueError:
        return _ENCODER.encode(_without_nan(value))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


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
    """The same text for the same value, whatever the order of its keys. Raises ValueError if it is no JSON."""
    try:
        return json.dumps(_without_nan(value), allow_nan=False, separators=(",", ":"), sort_keys=True)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


# ---- Cutting -----------------------------------------------------------------------------------------------


def is_cut(value: Any) -> bool:
    """Whether a value is what `cut` leaves of a long one."""
    return isinstance(value, dict) and "cut_bytes" in value


def cut(value: Any) -> Any:
    """The value itself, or, if it is over 64 KiB, its length, SHA-256 and first 1 KiB. Raises ValueError if no JSON.

    Measured are the text's UTF-8 or the decoded bytes of base64, which for whole values of the types `string` and
    unknown are the bytes in the file; of everything else its JSON text. Cutting twice changes nothing.
    """
    if _is_surely_short(value):
        return value
    data, head = _bytes_of(value)
    if len(data) <= MAX_VALUE_BYTES:
        return value
    return {"cut_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "head": head(data[:HEAD_BYTES])}


def cut_base64(text: Any) -> Any:
    """Like `cut`, for a text that is base64."""
    if _is_surely_short(text) or not isinstance(text, str):
        return text
    value = cut({"encoding": "base64", "data": text})
    return value if is_cut(value) else text


def _is_surely_short(value: Any) -> bool:
    # No character takes more than four bytes of UTF-8; three bytes become four characters of base64.
    if isinstance(value, str):
        return len(value) * 4 <= MAX_VALUE_BYTES
    return value is None or isinstance(value, (int, float))


def _bytes_of(value: Any) -> tuple[bytes, Callable[[bytes], Any]]:
    """A value's bytes, and how their beginning is shown."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass"), _text_head
    if isinstance(value, dict) and value.get("encoding") == "base64":
        try:
            return base64.b64decode(value["data"], validate=True), _base64_head
        except (KeyError, TypeError, binascii.Error, ValueError):
            pass  # made by hand: then it is JSON like any other
    return json_text(value).encode(), _text_head


def _text_head(data: bytes) -> str:
    return data.decode("utf-8", "ignore")  # a character in two halves at the end is left out


def _base64_head(data: bytes) -> dict[str, str]:
    return {"encoding": "base64", "data": base64.b64encode(data).decode("ascii")}


def cut_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with long values cut: those of the attributes, their raw bytes, and the parts' fields."""
    smaller = dict(document)
    if document.get("parts"):
        smaller["parts"] = [{name: cut(value) for name, value in part.items()} for part in document["parts"]]
    attributes = document.get("attributes")
    if attributes:
        smaller["attributes"] = _cut_attributes(attributes)
    return smaller


def _cut_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    parts = attributes.get("parts")
    if not isinstance(parts, (list, tuple)):
        return {name: cut(value) for name, value in attributes.items()}
    return {**attributes, "parts": [[_cut_entry(entry) for entry in part] for part in parts]}


def _cut_entry(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    value, raw = entry.get("value"), entry.get("raw")
    smaller_value, smaller_raw = cut(value), cut_base64(raw)
    if smaller_value is value and smaller_raw is raw:
        return entry
    smaller = {**entry, "value": smaller_value}
    return smaller if raw is None else {**smaller, "raw": smaller_raw}


def document_text(document: Mapping[str, Any]) -> str | None:
    """The document as it is stored, long values cut; None if it is still above 1 MiB. Raises ValueError if no JSON."""
    text = json_text(document)
    if len(text) > MAX_VALUE_BYTES:  # else nothing in it is over the bound
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
    if isinstance(value, int) and INT64_MIN <= value <= INT64_MAX:
        return PlainValue(int=int(value))
    raise DoesNotFit("not an integer of 64 bits")


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


# First: a null and a cut value fill no column. Second: the attribute type's own rule. Third, for all other types
# and for flat attributes without one: the JSON value's kind. What no rule names is in `attribute_value` only.
RULES_BY_TYPE: dict[str, Rule] = {
    "string": Rule(_as_text, "value_text: the text"),
    "int": Rule(_as_int, "value_int: the number"),
    "float": Rule(_as_float, "value_float: the number; null and an error for NaN and infinities"),
    "double": Rule(_as_float, "value_float: the number; null and an error for NaN and infinities"),
    "rational": Rule(_rational, "value_float: numerator over denominator; null and an error if that is 0"),
    "timecode": Rule(_time_code, "value_text: hh:mm:ss:ff, or hh:mm:ss;ff if frames are dropped"),
}
RULES_BY_KIND: tuple[tuple[type, Rule], ...] = (
    (bool, Rule(lambda _value: NOTHING, "nothing: the format has no truth values")),
    (str, Rule(_as_text, "value_text: the text; so for enumerations, OpenEXR's word")),
    (int, Rule(_as_int, "value_int: the number")),
    (float, Rule(_as_float, "value_float: the number; null and an error for NaN and infinities")),
)


def plain_value(type_name: Any, value: Any) -> PlainValue:
    """A value's plain columns. Raises DoesNotFit if it has the type, but no value that a column can hold."""
    if value is None or is_cut(value):
        return NOTHING
    rule = RULES_BY_TYPE.get(type_name) if isinstance(type_name, str) else None
    if rule is None or _is_undecoded(value):
        rule = next((rule for kind, rule in RULES_BY_KIND if isinstance(value, kind)), None)
    return rule.convert(value) if rule is not None else NOTHING


def _is_undecoded(value: Any) -> bool:
    return isinstance(value, dict) and "encoding" in value
