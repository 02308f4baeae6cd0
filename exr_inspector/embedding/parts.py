"""What a part says: windows, storage, names, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from exr_inspector.embedding.payload import Record, integer_of, number_of, text_of
from exr_inspector.embedding.weights import (
    LOSSLESS_COMPRESSIONS,
    LOSSY_COMPRESSIONS,
    MAX_VIEWS,
    RENDERER_WORDS,
)
from exr_inspector.embedding.words import exact, fold, near, phrase_of

# The first word of a software's name, if no path, host, date or version clings to it.
_SOFTWARE = re.compile(r"\s*([A-Za-z][A-Za-z-]{1,31})(?![A-Za-z0-9_./\\:@-])", re.ASCII)

_WINDOW_FIELDS = ("width", "height", "display_width", "display_height", "data_x_offset", "data_y_offset")
_STORAGE_FIELDS = ("compression", "part_type", "line_order", "level_mode", "rounding_mode")


def part_phrases(part: Record) -> list[str]:
    """The phrases of one part."""
    phrases = [*_window_phrases(*(integer_of(part.get(field)) for field in _WINDOW_FIELDS))]
    phrases += _aspect_phrases(number_of(part.get("pixel_aspect_ratio")))
    phrases += _storage_phrases(*(text_of(part.get(field)) for field in _STORAGE_FIELDS))
    phrases += _tile_phrases(integer_of(part.get("tile_width")), integer_of(part.get("tile_height")))
    phrases += _name_phrases(part)
    phrases += _origin_phrases(text_of(part.get("render_software")), text_of(part.get("color_space")))
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
            phrases.append(phrase_of(f"{kind}:{size}", *near(f"{kind}_near", size)))
    for kind, size in (("data_width_near", width), ("data_height_near", height)):
        if size is not None:
            phrases.append(phrase_of(*near(kind, size)))
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
        yield phrase_of(f"overscan:{side} {pixels}", *near(f"overscan_near={side} ", pixels))


@lru_cache(maxsize=1 << 8)
def _aspect_phrases(aspect: float | None) -> tuple[str, ...]:
    if aspect is None:
        return ()
    return (phrase_of(f"pixel_aspect:{exact(aspect)}", *near("pixel_aspect_near", aspect)),)


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
    return (phrase_of(f"tile:{width}x{height}", *near("tile_near", width)),)


def _name_phrases(part: Record) -> Iterator[str]:
    if name := text_of(part.get("part_name")):
        yield f"part:{fold(name)}"
    if view := text_of(part.get("view_name")):
        yield f"view:{view}"
    views = part.get("multi_view")
    if isinstance(views, (list, tuple)) and len(views) <= MAX_VIEWS:
        yield from (f"view:{view}" for view in map(text_of, views) if view)


@lru_cache(maxsize=1 << 8)
def _origin_phrases(software: str, color_space: str) -> tuple[str, ...]:
    phrases = [f"color_space:{color_space}"] if color_space else []
    # The first word only: versions, paths and hosts come after it.
    if found := _SOFTWARE.match(software):
        word = found[1].lower()
        phrases += [f"software:{word}", *(f"renderer:{family}" for family in [RENDERER_WORDS.get(word)] if family)]
    return tuple(phrases)
