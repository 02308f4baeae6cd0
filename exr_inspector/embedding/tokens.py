"""A document as words: what of it counts, and how.

Only structure becomes a token. The path, the frame number, dates, hosts, render times and every other attribute's
value (but for those of `weights.SETTING_ATTRIBUTES`) are never looked at, so they cannot move a vector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from exr_inspector.embedding.attributes import attribute_phrases
from exr_inspector.embedding.channels import channel_phrases
from exr_inspector.embedding.parts import part_phrases
from exr_inspector.embedding.payload import Record, check, records_of
from exr_inspector.embedding.weights import BIAS_TOKEN
from exr_inspector.embedding.words import all_phrases, kind_of, ladder, tokens_of

_FLAGS = ("is_deep", "is_tiled")


def document_tokens(payload: Record) -> dict[str, int]:
    """The tokens of a document with their weights, before blocks are scaled.

    Raises VectorEmbeddingError if the payload has no `file`, or a channel no `type`, or lists are not lists.
    """
    return _weighted(count_phrases(payload))


def channel_tokens(channels: Sequence[Record]) -> dict[str, int]:
    """The tokens of a channel list with their weights. Raises VectorEmbeddingError as `document_tokens` does."""
    return _weighted(count_channel_phrases(channels))


def _weighted(counts: Mapping[str, int]) -> dict[str, int]:
    weights: Counter[str] = Counter()
    for phrase in all_phrases(counts):
        for token in tokens_of(phrase):
            weights[token] += kind_of(token).weight
    return dict(weights)


def count_phrases(payload: Record) -> Counter[str]:
    """How often each phrase occurs in a document."""
    check(payload)
    parts = records_of(payload, "parts")
    phrases = [BIAS_TOKEN, *ladder("parts", len(parts))]
    phrases += [f"flag:{flag}" for flag in _FLAGS if payload["file"].get(flag) is True]
    for part in parts:
        phrases += part_phrases(part)
    phrases += attribute_phrases(payload.get("attributes"))
    phrases += channel_phrases(records_of(payload, "channels"))
    return Counter(phrases)


def count_channel_phrases(channels: Sequence[Record]) -> Counter[str]:
    """How often each phrase occurs in a channel list."""
    return Counter([BIAS_TOKEN, *channel_phrases(records_of({"channels": channels}, "channels"))])
