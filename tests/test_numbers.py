"""Numbers as JSON: the shortest decimal of a single float, held against numpy's."""

from __future__ import annotations

import json
import random
import struct
from itertools import chain

import numpy as np
import pytest

from exr_inspector.numbers import double, integer, number_of, single

SINGLE = struct.Struct("<f")


def float_of(bits: int) -> float:
    (value,) = SINGLE.unpack(struct.pack("<I", bits))
    return float(value)


def significant_digits(value: float) -> str:
    """The digits of a decimal in JSON, without sign, point, exponent and outer zeros."""
    return json.dumps(abs(value)).split("e")[0].replace(".", "").strip("0")


def check(bits: int) -> None:
    value = float_of(bits)
    shown = single(value)
    assert isinstance(shown, float)
    # Reads back to the same four bytes, also where JSON stands between.
    assert struct.unpack("<I", SINGLE.pack(json.loads(json.dumps(shown)))) == (bits,), hex(bits)
    # numpy prints the shortest decimal that does so, and of several the one next to the value.
    expected = np.format_float_scientific(np.float32(value), unique=True)
    assert significant_digits(shown) == significant_digits(float(expected)), hex(bits)
    assert shown == float(expected), hex(bits)
    assert shown == float(str(np.float32(value))), hex(bits)


# A power of two has a fraction of zero; beside each its neighbours, where the spacing changes.
POWERS = sorted({power << 23 for power in range(1, 255)})
# Where a shorter decimal is the second nearest one: both signs, every power of two.
NEIGHBOURS = sorted({bits + step for bits in POWERS for step in (-1, 1, 2)})
SUBNORMALS = [*range(1, 300), *(1 << bit for bit in range(23)), *(3 << bit for bit in range(21)), 0x7FFFFF, 0x7FFFFE]
SEED = random.Random("single floats")  # not for secrets
RANDOM = [SEED.randrange(1, 0x7F800000) for _ in range(12_000)]
RANDOM_SUBNORMALS = [SEED.randrange(1, 0x800000) for _ in range(2000)]
# 0.1, 0.2, … as single floats, and what renderers write: times, apertures, frame rates.
DECIMALS = [
    struct.unpack("<I", SINGLE.pack(number / scale))[0]
    for scale in (10, 100, 1000, 1001, 3, 7)
    for number in range(1, 500)
]


@pytest.mark.parametrize(
    "group",
    [POWERS, NEIGHBOURS, SUBNORMALS, RANDOM, RANDOM_SUBNORMALS, DECIMALS],
    ids=["powers", "neighbours", "subnormals", "random", "random subnormals", "decimals"],
)
def test_the_shortest_decimal(group: list[int]) -> None:
    for bits in group:
        check(bits)
        check(bits | 0x80000000)


BY_HAND = {
    0x00000000: "0.0",
    0x80000000: "-0.0",
    0x00000001: "1e-45",  # the smallest
    0x007FFFFF: "1.1754942e-38",  # the largest subnormal
    0x00800000: "1.1754944e-38",  # the smallest normal
    0x3DCCCCCD: "0.1",
    0xBDCCCCCD: "-0.1",
    0x3EAAAAAB: "0.33333334",
    0x3F800000: "1.0",
    0x3F800001: "1.0000001",
    0x4019999A: "2.4",
    0x41BFCED9: "23.976",  # 24000 / 1001
    0x4B7FFFFF: "16777215.0",
    0x4B800000: "16777216.0",
    0x7149F2CA: "1e+30",
    0x5D5E0B6B: "1e+18",
    0x7F7FFFFF: "3.4028235e+38",
    0xFF7FFFFF: "-3.4028235e+38",
}


@pytest.mark.parametrize("bits", BY_HAND, ids=hex)
def test_by_hand(bits: int) -> None:
    shown = json.dumps(single(float_of(bits)))
    assert shown == BY_HAND[bits]
    assert SINGLE.pack(json.loads(shown)) == struct.pack("<I", bits)


def test_integers_below_2_to_24_are_themselves() -> None:
    for value in chain(range(-300, 300), (1 << bit for bit in range(24)), (-(1 << 24) + 1, (1 << 24) - 1)):
        shown = single(float(value))
        assert json.dumps(shown) == f"{value}.0"


def test_what_json_has_no_number_for() -> None:
    for words in (single, double):
        assert words(float("inf")) == "Infinity"
        assert words(float("-inf")) == "-Infinity"
        assert words(float("nan")) == "NaN"
        assert words(-float("nan")) == "NaN"


def test_doubles_are_themselves() -> None:
    for value in (0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3):
        assert struct.pack("<d", json.loads(json.dumps(double(value)))) == struct.pack("<d", value)


# RFC 8259, section 6: beyond 2^53 a JSON number may not be read as the integer that was written.
LARGEST = 2**53
INTEGERS = (0, 1, -1, 2**31, -(2**31), LARGEST - 1, LARGEST, LARGEST + 1, -LARGEST, -LARGEST - 1, 2**64 - 1, -(2**63))


@pytest.mark.parametrize("value", INTEGERS)
def test_integers(value: int) -> None:
    shown = integer(value)
    assert shown == (str(value) if abs(value) > LARGEST else value)
    assert type(shown) is (str if abs(value) > LARGEST else int)
    assert number_of(json.loads(json.dumps(shown))) == value


def test_number_of_is_the_inverse() -> None:
    values = [float_of(bits) for bits in (*POWERS, *RANDOM[:500])] + [0.0, -0.0, float("inf"), float("-inf")]
    for value in values:
        assert SINGLE.pack(number_of(single(value))) == SINGLE.pack(value)
        assert struct.pack("<d", number_of(double(value))) == struct.pack("<d", value)
    assert np.isnan(number_of("NaN"))
    assert np.isnan(number_of(single(float("nan"))))


@pytest.mark.parametrize("text", ["", "-", "--1", "0x10", "one", "1,5", "²", "1.2.3"])
def test_number_of_refuses_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"convert|literal"):
        number_of(text)
