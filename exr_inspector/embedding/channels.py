"""What a channel list says: channels, pixel types, layers, and how many layers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from exr_inspector.embedding.errors import VectorEmbeddingError
from exr_inspector.embedding.payload import Record, number_of, rows_of, text_of
from exr_inspector.embedding.weights import MAX_TEXT_CHARACTERS
from exr_inspector.embedding.words import exact, fold, ladder, phrase_of

_CHANNEL_FIELDS = ("name", "type", "x_sampling", "y_sampling", "part_index")


class _Channel(NamedTuple):
    """What one channel says by itself, and what it says together with others like it."""

    phrase: str
    pixel_type: str
    layer: tuple[Any, str] | None  # part and layer's name, empty for the channels without one


_TOO_LONG = _Channel("", "", None)


def channel_phrases(channels: Sequence[Record]) -> list[str]:
    """The phrases of a channel list. Raises VectorEmbeddingError if a channel has no name or no type."""
    rows = rows_of(channels, _CHANNEL_FIELDS)
    try:
        found = list(map(_channel, rows))
    except (TypeError, VectorEmbeddingError):  # TypeError: a list or a mapping where a text or a number should be
        _check_channels(rows)
        raise
    phrases = list(map(itemgetter(0), found))
    phrases += set(map(itemgetter(1), found))
    if _TOO_LONG in found:
        phrases = list(filter(None, phrases))
    layers = set(map(itemgetter(2), found)) - {None}
    phrases += [_layer_phrase(layer) for _, layer in _with_ancestors(layers)]
    phrases += ladder("layers", len(layers))
    return phrases


def _check_channels(rows: list[tuple[Any, ...]]) -> None:
    """Names the first channel that cannot be embedded."""
    for index, row in enumerate(rows):
        for field, value in zip(("name", "type"), row, strict=False):
            if not isinstance(value, str):
                raise VectorEmbeddingError(f"channels[{index}] missing {field}")
        if any(isinstance(value, (list, dict)) for value in row):
            raise VectorEmbeddingError(f"channels[{index}]: a list or mapping where a number should be")


@lru_cache(maxsize=1 << 14)
def _channel(row: tuple[Any, ...]) -> _Channel:
    """What a channel's fields say; nothing if its name is too long to count."""
    name, pixel_type, x_sampling, y_sampling, part_index = row
    if not isinstance(name, str) or not isinstance(pixel_type, str):
        raise VectorEmbeddingError("a channel misses name or type")
    if max(len(name), len(pixel_type)) > MAX_TEXT_CHARACTERS:
        return _TOO_LONG
    name, pixel_type = text_of(name), text_of(pixel_type)
    folded = fold(name)
    tokens = [f"channel:{folded}", f"channel_type:{folded} {pixel_type}"]
    if sampling := _sampling(x_sampling, y_sampling):
        tokens.append(f"channel_sampling:{folded} {sampling}")
    return _Channel(phrase_of(*tokens), f"pixel_type:{pixel_type}", (part_index, name.rpartition(".")[0]))


def _sampling(x: Any, y: Any) -> str:
    """The sampling as a word, empty for the usual 1 by 1 and where it is not known."""
    if number_of(x) is None or number_of(y) is None or x == y == 1:
        return ""
    return f"{exact(x)}x{exact(y)}"


@lru_cache(maxsize=1 << 12)
def _layer_phrase(layer: str) -> str:
    return f"layer:{fold(layer)}"


def _with_ancestors(layers: set[tuple[Any, str]]) -> set[tuple[Any, str]]:
    """Layers lie in layers: `character.skin` also speaks for `character`."""
    found = set(layers)
    for part_index, layer in layers:
        ancestor = layer
        while "." in ancestor:
            ancestor = ancestor.rpartition(".")[0]
            found.add((part_index, ancestor))
    return found
