"""A document as words: what of it counts, and how.

Only structure becomes a token. The path, the frame number, dates, hosts, render times and every other attribute's
value (but for those of `weights.SETTING_ATTRIBUTES`) are never looked at, so they cannot move a vector.

Tokens that always come together (a channel's name, and its name with its pixel type) are one *phrase*, a string with
a NUL between them. Phrases repeat from file to file, so they are made once and remembered, and counted as a whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from exr_inspector.embedding.errors import VectorEmbeddingError
from exr_inspector.embedding.weights import (
    BIAS_TOKEN,
    KINDS,
    LOSSLESS_COMPRESSIONS,
    LOSSY_COMPRESSIONS,
    MAX_NUMBER,
    MAX_OCCURRENCES,
    MAX_RUNG,
    MAX_SETTING_DEPTH,
    MAX_SETTING_FIELDS,
    MAX_TEXT_CHARACTERS,
    MAX_VIEWS,
    RENDERER_PREFIXES,
    RENDERER_WORDS,
    SETTING_ATTRIBUTES,
    STRUCTURAL_ATTRIBUTES,
    Kind,
)

Record = Mapping[str, Any]

# ASCII only: what counts as a digit or a small letter elsewhere changes from one Python to the next.
_TRAILING_DIGITS = re.compile(r"[0-9]+(?=\.|/|\Z)")
_CRYPTOMATTE_ID = re.compile(r"(?<=cryptomatte/)[^/]+")
_GROUP = re.compile(r"[^./:]+[./:]")
_SOFTWARE = re.compile(r"\s*([A-Za-z][A-Za-z-]{1,31})(?![A-Za-z0-9_./\\:@-])")

BUCKETS_PER_OCTAVE = 8


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


# No text that counts has these characters: see `_text`.
_BETWEEN_TOKENS, _BEFORE_NUMBER = "\0", "\1"


def _phrase(*tokens: str) -> str:
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
    return tuple(_phrase(*(f"{token}{_BEFORE_NUMBER}{number}" for token in tokens)) for number in range(2, count + 1))


def count_phrases(payload: Record) -> Counter[str]:
    """How often each phrase occurs in a document."""
    _check(payload)
    parts = _records(payload, "parts")
    phrases = [BIAS_TOKEN, *_ladder("parts", len(parts))]
    phrases += [f"flag:{flag}" for flag in _FLAGS if payload["file"].get(flag) is True]
    for part in parts:
        phrases += _part_phrases(part)
    phrases += _attribute_phrases(payload.get("attributes"))
    phrases += _channel_phrases(_records(payload, "channels"))
    return Counter(phrases)


def count_channel_phrases(channels: Sequence[Record]) -> Counter[str]:
    """How often each phrase occurs in a channel list."""
    return Counter([BIAS_TOKEN, *_channel_phrases(_records({"channels": channels}, "channels"))])


# ---- The payload's shape -----------------------------------------------------------------------------------


def _check(payload: Record) -> None:
    if not isinstance(payload, Mapping):
        raise VectorEmbeddingError(f"the payload must be a mapping, not {type(payload).__name__}")
    if not isinstance(payload.get("file"), Mapping):
        raise VectorEmbeddingError("Payload missing file")


def _records(payload: Record, field: str) -> Sequence[Record]:
    """A list of the payload, none where it is missing."""
    records = payload.get(field)
    if records is None:
        return ()
    if not isinstance(records, (list, tuple)):
        raise VectorEmbeddingError(f"{field} must be a list, not {type(records).__name__}")
    if set(map(type, records)) - {dict}:  # the usual case is quick
        _check_records(records, field)
    return records


def _check_records(records: Sequence[Any], field: str) -> None:
    for index, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise VectorEmbeddingError(f"{field}[{index}] must be a mapping, not {type(record).__name__}")


def _rows(records: Sequence[Record], fields: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The named fields of each record, None where one is missing."""
    try:
        return list(map(itemgetter(*fields), records))
    except KeyError:
        return [tuple(map(record.get, fields)) for record in records]


def _text(value: Any) -> str:
    """A text that counts; empty if it is none, or too long to count."""
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        return ""
    return value if value.isprintable() else value.replace("\0", "\ufffd").replace("\1", "\ufffd")


def _integer(value: Any) -> int | None:
    """An integer that counts. The document writes those beyond 2^53 as text, and they tell nothing here."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) <= MAX_NUMBER else None


def _number(value: Any) -> float | None:
    """A number that counts: NaN and infinities do not. Equal numbers of other types count alike (1, 1.0, True)."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    return _integer(value)


# ---- Words -------------------------------------------------------------------------------------------------


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
def _near(kind: str, value: float) -> tuple[str, ...]:
    """A number's bucket and both neighbours: numbers close by share two of three tokens, then one."""
    before, _, after = kind.partition("=")
    if value == 0:
        return (f"{before}:{after}0",)
    sign, middle = "-" if value < 0 else "", bucket(abs(value))
    return tuple(f"{before}:{after}{sign}~{near}" for near in (middle - 1, middle, middle + 1))


EXACT_RUNGS = 32


@lru_cache(maxsize=1 << 9)
def _ladder(kind: str, number: int) -> tuple[str, ...]:
    """The rungs up to a number: a smaller number has the same rungs, but fewer."""
    top = number if number <= EXACT_RUNGS else EXACT_RUNGS + bucket(number) - bucket(EXACT_RUNGS)
    return tuple(f"{kind}:{rung}" for rung in range(1, min(top, MAX_RUNG) + 1))


# ---- Channels ----------------------------------------------------------------------------------------------

_CHANNEL_FIELDS = ("name", "type", "x_sampling", "y_sampling", "part_index")


class _Channel(NamedTuple):
    """What one channel says by itself, and what it says together with others like it."""

    phrase: str
    pixel_type: str
    layer: tuple[Any, str] | None  # part and layer's name, empty for the channels without one


_TOO_LONG = _Channel("", "", None)


def _channel_phrases(channels: Sequence[Record]) -> list[str]:
    rows = _rows(channels, _CHANNEL_FIELDS)
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
    phrases += _ladder("layers", len(layers))
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
    name, pixel_type = _text(name), _text(pixel_type)
    folded = fold(name)
    tokens = [f"channel:{folded}", f"channel_type:{folded} {pixel_type}"]
    if sampling := _sampling(x_sampling, y_sampling):
        tokens.append(f"channel_sampling:{folded} {sampling}")
    return _Channel(_phrase(*tokens), f"pixel_type:{pixel_type}", (part_index, name.rpartition(".")[0]))


def _sampling(x: Any, y: Any) -> str:
    """The sampling as a word, empty for the usual 1 by 1 and where it is not known."""
    if _number(x) is None or _number(y) is None or x == y == 1:
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


# ---- Parts -------------------------------------------------------------------------------------------------

_FLAGS = ("is_deep", "is_tiled")
_WINDOW_FIELDS = ("width", "height", "display_width", "display_height", "data_x_offset", "data_y_offset")
_STORAGE_FIELDS = ("compression", "part_type", "line_order", "level_mode", "rounding_mode")


def _part_phrases(part: Record) -> list[str]:
    phrases = [*_window_phrases(*(_integer(part.get(field)) for field in _WINDOW_FIELDS))]
    phrases += _aspect_phrases(_number(part.get("pixel_aspect_ratio")))
    phrases += _storage_phrases(*(_text(part.get(field)) for field in _STORAGE_FIELDS))
    phrases += _tile_phrases(_integer(part.get("tile_width")), _integer(part.get("tile_height")))
    phrases += _name_phrases(part)
    phrases += _origin_phrases(_text(part.get("render_software")), _text(part.get("color_space")))
    return phrases


@lru_cache(maxsize=1 << 12)
def _window_phrases(
    width: int | None,
    height: int | None,
    display_width: int | None,
    display_height: int | None,
    x_offset: int | None,
    y_offset: int | None,
) -> tuple[str, ...]:
    phrases = []
    for kind, size in (("display_width", display_width), ("display_height", display_height)):
        if size is not None:
            phrases.append(_phrase(f"{kind}:{size}", *_near(f"{kind}_near", size)))
    for kind, size in (("data_width_near", width), ("data_height_near", height)):
        if size is not None:
            phrases.append(_phrase(*_near(kind, size)))
    phrases += _overscan_phrases("left", "right", width, display_width, x_offset)
    phrases += _overscan_phrases("top", "bottom", height, display_height, y_offset)
    return tuple(phrases)


def _overscan_phrases(
    before: str, after: str, size: int | None, display_size: int | None, offset: int | None
) -> Iterator[str]:
    """How far the data window reaches over the display window on two sides; negative where it is cropped."""
    if size is None or display_size is None or offset is None:
        return
    for side, pixels in ((before, -offset), (after, size - display_size + offset)):
        yield _phrase(f"overscan:{side} {pixels}", *_near(f"overscan_near={side} ", pixels))


@lru_cache(maxsize=1 << 8)
def _aspect_phrases(aspect: float | None) -> tuple[str, ...]:
    if aspect is None:
        return ()
    return (_phrase(f"pixel_aspect:{exact(aspect)}", *_near("pixel_aspect_near", aspect)),)


@lru_cache(maxsize=1 << 10)
def _storage_phrases(*words: str) -> tuple[str, ...]:
    phrases = [f"{field}:{word}" for field, word in zip(_STORAGE_FIELDS, words, strict=True) if word]
    loss = {"lossy": LOSSY_COMPRESSIONS, "lossless": LOSSLESS_COMPRESSIONS}
    phrases += [f"compression_loss:{word}" for word, members in loss.items() if words[0] in members]
    return tuple(phrases)


@lru_cache(maxsize=1 << 8)
def _tile_phrases(width: int | None, height: int | None) -> tuple[str, ...]:
    if width is None or height is None:
        return ()
    return (_phrase(f"tile:{width}x{height}", *_near("tile_near", width)),)


def _name_phrases(part: Record) -> Iterator[str]:
    if name := _text(part.get("part_name")):
        yield f"part:{fold(name)}"
    if view := _text(part.get("view_name")):
        yield f"view:{view}"
    views = part.get("multi_view")
    if isinstance(views, (list, tuple)) and len(views) <= MAX_VIEWS:
        yield from (f"view:{view}" for view in map(_text, views) if view)


@lru_cache(maxsize=1 << 8)
def _origin_phrases(software: str, color_space: str) -> tuple[str, ...]:
    phrases = [f"color_space:{color_space}"] if color_space else []
    # The first word only: versions, paths and hosts come after it.
    if found := _SOFTWARE.match(software):
        word = found[1].lower()
        phrases += [f"software:{word}", *(f"renderer:{family}" for family in [RENDERER_WORDS.get(word)] if family)]
    return tuple(phrases)


# ---- Attributes --------------------------------------------------------------------------------------------


class _Attribute(NamedTuple):
    """What an attribute's name and type say; empty for the structural ones. The group and family are shared."""

    phrase: str
    group: str
    family: str


def _attribute_phrases(attributes: Any) -> list[str]:
    phrases: set[str] = set()
    for entries in _attribute_lists(attributes):
        rows = _rows(entries, ("name", "type"))
        try:
            found = set(map(_attribute, rows))
        except TypeError:  # a list or a mapping where a text should be: no word
            rows = [tuple(map(_text, row)) for row in rows]
            found = set(map(_attribute, rows))
        phrases.update(*found)
        for index in [index for index, row in enumerate(rows) if row[0] in SETTING_ATTRIBUTES]:
            phrases.update(_setting_phrases(rows[index][0], entries[index].get("value")))
    phrases.discard("")
    return list(phrases)


def _attribute_lists(attributes: Any) -> list[Sequence[Record]]:
    """The attributes part by part; of flat ones (`{"owner": "x"}`) the type is not known."""
    if attributes is None:
        return []
    if not isinstance(attributes, Mapping):
        raise VectorEmbeddingError(f"attributes must be a mapping, not {type(attributes).__name__}")
    parts = attributes.get("parts")
    if not isinstance(parts, (list, tuple)):
        return [[{"name": name, "type": "", "value": value} for name, value in attributes.items()]]
    return [_records({"attributes": part}, "attributes") for part in parts]


@lru_cache(maxsize=1 << 14)
def _attribute(row: tuple[Any, ...]) -> _Attribute:
    name, type_name = map(_text, row)
    if not name or name in STRUCTURAL_ATTRIBUTES:
        return _Attribute("", "", "")
    folded = fold(_CRYPTOMATTE_ID.sub("#", name))
    typed = [f"attribute_type:{folded} {type_name}"] if type_name else []
    group = _GROUP.match(folded)
    family = next((family for prefix, family in RENDERER_PREFIXES if name.startswith(prefix)), "")
    return _Attribute(
        _phrase(f"attribute:{folded}", *typed),
        f"attribute_group:{group[0]}*" if group else "",
        f"renderer:{family}" if family else "",
    )


def _setting_phrases(name: str, value: Any) -> Iterator[str]:
    word = _setting_word(value)
    if word is not None:
        yield f"setting:{name} {word}"


def _setting_word(value: Any, depth: int = 0) -> str | None:
    """A setting's value as one word; None unless all of it counts, so that a cut value and a long one agree."""
    if isinstance(value, Mapping):
        return _fields_word(value, depth)
    if isinstance(value, str):
        return _text(value) or None
    number = _number(value)
    return None if number is None else exact(number)


def _fields_word(fields: Mapping[Any, Any], depth: int) -> str | None:
    if not 0 < len(fields) <= MAX_SETTING_FIELDS or depth >= MAX_SETTING_DEPTH or "cut_bytes" in fields:
        return None
    if not all(map(_text, fields)):
        return None
    words = [(name, _setting_word(fields[name], depth + 1)) for name in sorted(fields)]
    return None if any(word is None for _, word in words) else " ".join(f"{name} {word}" for name, word in words)
