"""Lists of a document's values as Arrow arrays. A value that its column cannot hold becomes null, and is reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from sys import float_info
from typing import Any

import pyarrow as pa

from exr_inspector.tables.identity import storable
from exr_inspector.tables.schemas import Column
from exr_inspector.tables.values import MAX_VALUE_BYTES, DoesNotFit

Misfit = Callable[[int, str], None]  # row, reason

_DIGITS = re.compile(r"-?[0-9]{1,19}\Z")
_FLOAT64_MAX = float_info.max
_FLOAT32_MAX = (2.0 - 2.0**-23) * 2.0**127


def array(column: Column, values: Sequence[Any], misfit: Misfit) -> pa.Array:
    """A column's values as an array of its type; `misfit` hears of each value that was given, but does not fit."""
    fits, converts = _FITS[column.type], _CONVERTERS[column.type]
    if not fits(values):
        values = [_fitted(converts, value, row, misfit) for row, value in enumerate(values)]
    try:
        return pa.array(values, column.type)
    except UnicodeEncodeError:  # a lone surrogate: no file has one, but a payload made by hand may
        return pa.array([value and storable(value) for value in values], column.type)


def _fitted(converts: Callable[[Any], Any], value: Any, row: int, misfit: Misfit) -> Any:
    if value is None:
        return None
    try:
        return converts(value)
    except DoesNotFit as error:
        misfit(row, str(error))
        return None


# ---- Is a whole list of the column's type? The usual case, and quick ---------------------------------------


_NONE = type(None)


def _are_texts(values: Sequence[Any]) -> bool:
    if set(map(type, values)) - {str, _NONE}:
        return False
    return max(map(len, filter(None, values)), default=0) * 4 <= MAX_VALUE_BYTES


def _are_bools(values: Sequence[Any]) -> bool:
    return not set(map(type, values)) - {bool, _NONE}


def _are_integers(smallest: int, largest: int) -> Callable[[Sequence[Any]], bool]:
    def check(values: Sequence[Any]) -> bool:
        if set(map(type, values)) - {int, _NONE}:
            return False
        numbers = list(filter(None, values))
        return not numbers or (smallest <= min(numbers) and max(numbers) <= largest)

    return check


def _are_floats(largest: float) -> Callable[[Sequence[Any]], bool]:
    def check(values: Sequence[Any]) -> bool:
        if set(map(type, values)) - {float, _NONE}:
            return False
        return all(-largest <= value <= largest for value in filter(None, values))  # false for NaN

    return check


def _are_times(values: Sequence[Any]) -> bool:
    return not set(map(type, values)) - {_NONE}


# ---- One value ---------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DoesNotFit(f"a text was expected, not {type(value).__name__}")
    if len(value) * 4 > MAX_VALUE_BYTES and len(value.encode("utf-8", "surrogatepass")) > MAX_VALUE_BYTES:
        raise DoesNotFit(f"the text is longer than {MAX_VALUE_BYTES} bytes")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise DoesNotFit(f"true or false was expected, not {type(value).__name__}")
    return value


def _integer(smallest: int, largest: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        number = _whole(value)
        if not smallest <= number <= largest:
            raise DoesNotFit(f"the number is outside {smallest} to {largest}")
        return number

    return convert


def _whole(value: Any) -> int:
    """An integer; the document writes those beyond 2^53 as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _DIGITS.match(value):
        return int(value)
    raise DoesNotFit("an integer of 64 bits was expected")


def _float(largest: float) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise DoesNotFit(f"a number was expected, not {value!r:.20}")
        if not -largest <= value <= largest:  # nor is NaN
            raise DoesNotFit("the number is not finite, or too large")
        return float(value)

    return convert


def _time(value: Any) -> datetime:
    """Naive, holding UTC."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value.replace("Z", "+00:00"))
        return moment if moment.tzinfo is None else moment.astimezone(timezone.utc).replace(tzinfo=None)
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise DoesNotFit("a time in ISO 8601 was expected") from None


_I32 = (-(1 << 31), (1 << 31) - 1)
_I64 = (-(1 << 63), (1 << 63) - 1)
_FITS: dict[pa.DataType, Callable[[Sequence[Any]], bool]] = {
    pa.utf8(): _are_texts,
    pa.bool_(): _are_bools,
    pa.int32(): _are_integers(*_I32),
    pa.int64(): _are_integers(*_I64),
    pa.float32(): _are_floats(_FLOAT32_MAX),
    pa.float64(): _are_floats(_FLOAT64_MAX),
    pa.timestamp("us"): _are_times,
}
_CONVERTERS: dict[pa.DataType, Callable[[Any], Any]] = {
    pa.utf8(): _text,
    pa.bool_(): _bool,
    pa.int32(): _integer(*_I32),
    pa.int64(): _integer(*_I64),
    pa.float32(): _float(_FLOAT32_MAX),
    pa.float64(): _float(_FLOAT64_MAX),
    pa.timestamp("us"): _time,
}
