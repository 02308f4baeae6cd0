"""Numbers as JSON: the shortest decimal that reads back to the same single float, and integers of any size.

No numpy: the reader's half must start fast. Source: FORMAT of IEEE 754 binary32, whose values are determined by
nine significant decimal digits, and which keeps every decimal of six.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from math import isfinite

_FLOAT = struct.Struct("<f")
# Below this every integer is a single float, and its shortest decimal is itself.
_EXACT_INTEGERS = float(1 << 24)
# From here on six digits never read back to another float than the decimal's own; below, precision falls to one bit.
_SMALLEST_NORMAL = 2.0**-126
# Above this a JSON number read as a double may not be the integer that was written (RFC 8259, section 6).
_SAFE_INTEGER = 1 << 53

WORDS = {float("inf"): "Infinity", float("-inf"): "-Infinity"}
NOT_A_NUMBER = "NaN"


def _rounds_to(candidate: float, value: float) -> bool:
    try:
        return bool(_FLOAT.unpack(_FLOAT.pack(candidate))[0] == value)
    except OverflowError:
        return False


@lru_cache(maxsize=1 << 14)
def _shortest(value: float) -> float:
    for digits in range(6 if abs(value) >= _SMALLEST_NORMAL else 1, 9):
        candidate = float(f"{value:.{digits}g}")
        if _rounds_to(candidate, value):
            return candidate
        # Below a power of two the floats lie closer together than above: the nearest decimal may miss the float
        # where the next one away from zero still reads back to it.
        neighbour = _next_decimal(value, digits)
        if _rounds_to(neighbour, value):
            return neighbour
    return float(f"{value:.9g}")


def _next_decimal(value: float, digits: int) -> float:
    """The decimal of that many digits next to the nearest one, on the other side of the value."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    step = int(exponent) - digits + 1
    number = int(mantissa.replace(".", ""))
    is_below = abs(float(f"{number}e{step}")) < abs(value)
    away = 1 if (number > 0) == is_below else -1
    return float(f"{number + away}e{step}")


def single(value: float) -> float | str:
    """A single float as JSON: the shortest decimal, or the word for NaN or an infinity."""
    if value.is_integer() and -_EXACT_INTEGERS < value < _EXACT_INTEGERS:
        return value
    if isfinite(value):
        return _shortest(value)
    return WORDS.get(value, NOT_A_NUMBER)


def double(value: float) -> float | str:
    """A double as JSON: itself, or the word for NaN or an infinity."""
    return value if isfinite(value) else WORDS.get(value, NOT_A_NUMBER)


def integer(value: int) -> int | str:
    """An integer as JSON: itself, or its digits as text beyond 2^53."""
    return value if -_SAFE_INTEGER <= value <= _SAFE_INTEGER else str(value)


def number_of(value: float | str) -> float:
    """The number that `single`, `double` or `integer` wrote. Raises ValueError."""
    if isinstance(value, str):
        return int(value) if value.lstrip("-").isdigit() else float(value)
    return value
