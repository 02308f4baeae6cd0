"""The checks of windows, channels, tiles and chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from exr_inspector.errors import shown
from exr_inspector.model import Channel, ExrHeader, Part
from exr_inspector.rules.always import DEEP_PART_TYPES, TILED_PART_TYPES
from exr_inspector.rules.records import Facts, Finding, Findings, at_name

# ---- Windows and the screen --------------------------------------------------------------------------------

_WINDOWS = ("dataWindow", "displayWindow")
# OpenEXRCore: half of what 32 bits hold, so that a width never overflows.
_WINDOW_BOUND = (1 << 30) - 1


def window_inverted(part: Part) -> Findings:
    """A window's maximum lies below its minimum."""
    for name in _WINDOWS:
        window = part.value(name, "box2i")
        if window is not None and (window.max.x < window.min.x or window.max.y < window.min.y):
            yield at_name(part, name, f"the maximum {tuple(window.max)} lies below the minimum {tuple(window.min)}")


def window_range(part: Part) -> Findings:
    """A window reaches out of the range in which its size is a 32-bit number."""
    for name in _WINDOWS:
        window = part.value(name, "box2i")
        if window is not None and (min(window.min) <= -_WINDOW_BOUND or max(window.max) >= _WINDOW_BOUND):
            message = f"{tuple(window.min)} to {tuple(window.max)} is not within ±{_WINDOW_BOUND - 1}"
            yield at_name(part, name, message)


# The reference compares single floats: 1e-6 as one.
_SMALLEST_ASPECT = 9.999999974752427e-07
_LARGEST_ASPECT = 1e6


def pixel_aspect_ratio(part: Part) -> Findings:
    """A ratio that is no number, or no ratio of a pixel."""
    ratio = part.value("pixelAspectRatio", "float")
    if ratio is not None and not _SMALLEST_ASPECT <= ratio <= _LARGEST_ASPECT:
        yield at_name(part, "pixelAspectRatio", f"{ratio:g} is not within 1e-06 to 1e+06")


def screen_window_width(part: Part) -> Findings:
    """A negative width. NaN passes, as it does in the reference."""
    width = part.value("screenWindowWidth", "float")
    if width is not None and width < 0:
        yield at_name(part, "screenWindowWidth", f"{width:g} is negative")


# ---- Channels ----------------------------------------------------------------------------------------------


def of_channels(wrong: Callable[[Channel], str]) -> Callable[[Part], Findings]:
    """A check of each channel; `wrong` says what is wrong with it, or nothing."""

    def check(part: Part) -> Findings:
        for channel in part.channels:
            words = wrong(channel)
            if words:
                yield at_name(part, "channels", f"channel {shown(channel.name)}: {words}")

    return check


def channels_present(part: Part) -> Findings:
    """An empty channel list."""
    if part.value("channels", "chlist") == ():
        yield at_name(part, "channels", "the channel list is empty")


def channel_duplicate(part: Part) -> Findings:
    """A channel that stands more than once."""
    names = [channel.name for channel in part.channels]
    if len(set(names)) < len(names):
        for name, count in Counter(names).items():
            if count > 1:
                yield at_name(part, "channels", f"the channel {shown(name)} stands {count} times")


def channel_order(part: Part) -> Findings:
    """The first channel that stands behind one of a later name. Code points sort as their UTF-8 bytes do."""
    before = ""
    for channel in part.channels:
        if channel.name < before:
            yield at_name(part, "channels", f"{shown(channel.name)} stands behind {shown(before)}: not sorted")
            return
        before = channel.name


@of_channels
def channel_pixel_type(channel: Channel) -> str:
    """The pixel type is uint, half or float."""
    return "" if 0 <= channel.pixel_type <= 2 else f"pixel type {channel.pixel_type} is not 0, 1 or 2"


@of_channels
def channel_p_linear(channel: Channel) -> str:
    """The pLinear byte is a boolean."""
    return "" if channel.p_linear <= 1 else f"pLinear {channel.p_linear} is not 0 or 1"


@of_channels
def channel_sampling(channel: Channel) -> str:
    """Samplings are positive."""
    x, y = channel.x_sampling, channel.y_sampling
    return "" if x >= 1 and y >= 1 else f"sampling {x} x {y} is not positive"


def channel_sampling_one(header: ExrHeader, part: Part) -> Findings:
    """In tiled and deep parts every pixel has a sample of every channel."""
    part_type = header.part_type(part)
    if part_type not in TILED_PART_TYPES and part_type not in DEEP_PART_TYPES:
        return iter(())

    @of_channels
    def check(channel: Channel) -> str:
        x, y = channel.x_sampling, channel.y_sampling
        return "" if x == y == 1 or x < 1 or y < 1 else f"sampling {x} x {y} in a part of type {part_type}"

    return check(part)


def channel_sampling_window(part: Part) -> Findings:
    """The data window begins on a sample of every channel, and holds whole ones."""
    window = part.value("dataWindow", "box2i")
    if window is None:
        return iter(())
    (x_min, y_min), (x_max, y_max) = window

    @of_channels
    def check(channel: Channel) -> str:
        x, y = channel.x_sampling, channel.y_sampling
        if x < 1 or y < 1 or not (x_min % x or y_min % y or (x_max - x_min + 1) % x or (y_max - y_min + 1) % y):
            return ""
        return f"sampling {x} x {y} does not divide the data window {(x_min, y_min)} to {(x_max, y_max)}"

    return check(part)


# ---- Tiles and deep data -----------------------------------------------------------------------------------

_LARGEST_TILE = 0x7FFFFFFF // 4


def tile_size(header: ExrHeader, part: Part) -> Findings:
    """Tiles have pixels, and no more than fit a 32-bit size."""
    tiles = part.value("tiles", "tiledesc")
    if tiles is None or header.part_type(part) not in TILED_PART_TYPES:
        return
    if not (1 <= tiles.x_size <= _LARGEST_TILE and 1 <= tiles.y_size <= _LARGEST_TILE):
        yield at_name(part, "tiles", f"{tiles.x_size} x {tiles.y_size} is not within 1 to {_LARGEST_TILE}")


# none, rle, zips, zstd: what compresses each line for itself.
_DEEP_COMPRESSIONS = (0, 1, 2, 13)


def deep_compression(header: ExrHeader, part: Part) -> Findings:
    """Deep data are compressed by a method that takes samples of any number."""
    compression = part.value("compression", "compression")
    if compression is None or compression.code in _DEEP_COMPRESSIONS:
        return
    if header.part_type(part) in DEEP_PART_TYPES:
        yield at_name(part, "compression", f"{compression.name} cannot hold deep data")


# ---- Chunks ------------------------------------------------------------------------------------------------

_LARGEST_TABLE = 1 << 20


def chunk_table(facts: Facts) -> Findings:
    """A part's offset table has no more entries than the reference reads. Counted by the integrity check."""
    for part in facts.document.get("integrity", {}).get("parts", ()):
        count = part["chunk_count"]
        if count is not None and int(count) > _LARGEST_TABLE:
            yield Finding(f"{count} chunks are more than {_LARGEST_TABLE}", part["part_index"])
