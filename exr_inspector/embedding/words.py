"""Words: how names and numbers are written as tokens, and how tokens are bound into phrases.

Tokens that always come together (a channel's name, and its name with its pixel type) are one *phrase*, a string with
a NUL between them. Phrases repeat from file to file, so they are made once and remembered, and counted as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from exr_inspector.embedding.weights import KINDS, MAX_OCCURRENCES, MAX_RUNG, Kind

# ASCII only: what counts as a digit elsewhere changes from one Python to the next.
_TRAILING_DIGITS = re.compile(r"[0-9]+(?=\.|/|\Z)")

BUCKETS_PER_OCTAVE = 8
EXACT_RUNGS = 32

# ---- Phrases -----------------------------------------------------------------------------------------------


# No text that counts has these characters: see `payload.text_of`.
_BETWEEN_TOKENS, _BEFORE_NUMBER = "\0", "\1"


def phrase_of(*tokens: str) -> str:
    """The phrase that binds these tokens."""
    return _BETWEEN_TOKENS.join(tokens)


def tokens_of(phrase: str) -> list[str]:
    """The tokens of a phrase."""
    return phrase.split(_BETWEEN_TOKENS)


def kind_of(token: str) -> Kind:
    """The kind of a token, or of a phrase's first one."""
    return KINDS[token.partition(":")[0]]


def all_phrases(counts: Mapping[str, int]) -> list[str]:
    """The phrases, and behind them the further occurrences of those that are counted."""
    phrases = list(counts)
    for phrase in [phrase for phrase, count in counts.items() if count > 1]:
        phrases += _further_occurrences(phrase, min(counts[phrase], MAX_OCCURRENCES))
    return phrases


@lru_cache(maxsize=1 << 10)
def _further_occurrences(phrase: str, count: int) -> tuple[str, ...]:
    if not kind_of(phrase).is_counted:
        return ()
    tokens = tokens_of(phrase)
    return tuple(phrase_of(*(f"{token}{_BEFORE_NUMBER}{number}" for token in tokens)) for number in range(2, count + 1))


# ---- Names and numbers -------------------------------------------------------------------------------------


def fold(name: str) -> str:
    """A name without what changes from render to render: trailing digits of each segment become `#`."""
    return _TRAILING_DIGITS.sub("#", name)


def exact(value: float) -> str:
    """A number as a word; 24 and 24.0 are the same one."""
    numerator, denominator = value.as_integer_ratio()
    return str(numerator) if denominator == 1 else f"{numerator}/{denominator}"


def bucket(value: float) -> int:
    """The bucket of a positive number, eight to an octave, found without a logarithm: exact everywhere."""
    numerator, denominator = value.as_integer_ratio()
    octave = numerator.bit_length() - denominator.bit_length()
    numerator <<= max(0, -octave)
    denominator <<= max(0, octave)
    if numerator < denominator:
        octave -= 1
        numerator <<= 1
    return BUCKETS_PER_OCTAVE * octave + (numerator - denominator) * BUCKETS_PER_OCTAVE // denominator


@lru_cache(maxsize=1 << 13)
def near(kind: str, value: float) -> tuple[str, ...]:
    """A number's bucket and both neighbours: numbers close by share two of three tokens, then one."""
    before, _, after = kind.partition("=")
    if value == 0:
        return (f"{before}:{after}0",)
    sign, middle = "-" if value < 0 else "", bucket(abs(value))
    return tuple(f"{before}:{after}{sign}~{place}" for place in (middle - 1, middle, middle + 1))


@lru_cache(maxsize=1 << 9)
def ladder(kind: str, number: int) -> tuple[str, ...]:
    """The rungs up to a number: a smaller number has the same rungs, but fewer."""
    top = number if number <= EXACT_RUNGS else EXACT_RUNGS + bucket(number) - bucket(EXACT_RUNGS)
    return tuple(f"{kind}:{rung}" for rung in range(1, min(top, MAX_RUNG) + 1))
