"""Numbers as JSON: the shortest decimal that reads back to the same single float, and integers of any size.

No numpy: the reader's half must start fast. Source: FORMAT of IEEE 754 binary32, whose values are determined by
nine significant decimal digits, and which keeps every decimal of six.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from math import frexp, isfinite

_FLOAT = struct.Struct("<f")
# Below this every integer is a single float, and its shortest decimal is itself.
_EXACT_INTEGERS = float(1 << 24)
# From here on six digits never read back to another float than the decimal's own; below, precision falls to one bit.
_SMALLEST_NORMAL = 2.0**-126
# Above this a JSON number read as a double may not be the integer that was written (RFC 8259, section 6).
_SAFE_INTEGER = 1 << 53

# Numbers of digits to be tried, and how to write them.
_FORMATS = tuple((digits, f"%.{digits}g") for digits in (6, 7, 8))
_SUBNORMAL_FORMATS = tuple((digits, f"%.{digits}g") for digits in range(1, 9))

WORDS = {float("inf"): "Infinity", float("-inf"): "-Infinity"}
NOT_A_NUMBER = "NaN"


def _rounds_to(candidate: float, value: float) -> bool:
    try:
        return bool(_FLOAT.unpack(_FLOAT.pack(candidate))[0] == value)
    except OverflowError:
        return False


def _shortest(value: float) -> float:
    is_lopsided = frexp(value)[0] in (0.5, -0.5)
    for digits, format_ in _FORMATS if abs(value) >= _SMALLEST_NORMAL else _SUBNORMAL_FORMATS:
        candidate = float(format_ % value)
        if _rounds_to(candidate, value):
            return candidate
        # Below a power of two the floats lie closer together than above: the nearest decimal may miss the float
        # where the next one away from zero still reads back to it.
        if is_lopsided:
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


class _Singles(dict[float, float]):
    """Single floats → their JSON, a bounded memory: cameras, colours and windows repeat from part to part.

    A dictionary that fills itself, because a lookup that hits then costs no Python frame. Zeros stay out: 0.0 and
    -0.0 would share an entry.
    """

    MAX_ENTRIES = 1 << 14

    def __missing__(self, value: float) -> float | str:
        if not isfinite(value):
            return WORDS.get(value, NOT_A_NUMBER)
        if not value:
            return value
        if len(self) >= self.MAX_ENTRIES:
            self.clear()
        is_exact = -_EXACT_INTEGERS < value < _EXACT_INTEGERS and value.is_integer()
        shortest = self[value] = value if is_exact else _shortest(value)
        return shortest


SINGLES = _Singles()

# A single float as JSON: the shortest decimal, or the word for NaN or an infinity.
single: Callable[[float], float | str] = SINGLES.__getitem__


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
