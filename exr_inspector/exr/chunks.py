"""How many chunks each part has, and how they are laid out. Computed from the header, never trusted.

Source: "OpenEXR File Layout", chunk offset tables and chunk layout; lines per chunk and level sizes as in the
library. A part's `ChunkLayout` knows its number of chunks, its leaders, and which coordinates stand in which
leader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from construct import Struct

from exr_inspector.exr import layout
from exr_inspector.exr.compiled import fixed
from exr_inspector.model import Box2, ExrHeader, Part, TileDescription

# Compression code → scan lines per chunk, in the order of model.COMPRESSION_NAMES.
LINES_PER_CHUNK = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256, 256, 32, 256, 1)


class LeaderFormat(NamedTuple):
    """A kind of leader: its bytes, alone and behind a part number, and its number of fields.

    The first `coordinates` fields are y, or tile x, tile y, level x, level y. The `sizes` fields after them add up
    to the bytes that follow the leader in the file.
    """

    alone: struct.Struct
    numbered: struct.Struct
    fields: int
    coordinates: int
    sizes: int


def _leader_format(declaration: Struct, coordinates: int, sizes: int) -> LeaderFormat:
    numbered = fixed(layout.ChunkPartNumber, declaration)
    return LeaderFormat(fixed(declaration), numbered, len(declaration.subcons), coordinates, sizes)


LEADERS: dict[str | None, LeaderFormat] = {
    "scanlineimage": _leader_format(layout.ScanlineLeader, 1, 1),
    "tiledimage": _leader_format(layout.TileLeader, 4, 1),
    "deepscanline": _leader_format(layout.DeepScanlineLeader, 1, 2),
    "deeptile": _leader_format(layout.DeepTileLeader, 4, 2),
}
PART_NUMBER = fixed(layout.ChunkPartNumber)
OFFSET_BYTES = fixed(layout.ChunkOffset).size


class Level(NamedTuple):
    """One resolution level: its indices, and its numbers of tiles."""

    x: int
    y: int
    tiles_x: int
    tiles_y: int


class ChunkLayout(NamedTuple):
    """The chunks of one part. `chunk_count` is None if it cannot be known from the header."""

    part_index: int
    part_type: str | None
    chunk_count: int | None
    declared_count: int | None
    min_y: int
    lines_per_chunk: int | None  # None: the compression is unknown
    levels: tuple[Level, ...]

    @property
    def has_known_places(self) -> bool:
        """Whether the coordinates of a chunk follow from its index."""
        if self.part_type in ("tiledimage", "deeptile"):
            return bool(self.levels)
        return self.lines_per_chunk is not None

    def has_place(self, coordinates: tuple[int, ...]) -> bool:
        """Whether a chunk of these coordinates belongs to the part. Only where `has_known_places`."""
        if not self.levels:
            index, odd_lines = divmod(coordinates[0] - self.min_y, self.lines_per_chunk or 1)
            return not odd_lines and 0 <= index < (self.chunk_count or 0)
        x, y, level_x, level_y = coordinates
        return any(
            (each.x, each.y) == (level_x, level_y) and 0 <= x < each.tiles_x and 0 <= y < each.tiles_y
            for each in self.levels
        )

    def coordinates(self) -> Iterator[tuple[int, ...]]:
        """The coordinates of each chunk's leader, in the order of the offset table."""
        if not self.levels:
            lines = self.lines_per_chunk or 1
            for index in range(self.chunk_count or 0):
                yield (self.min_y + index * lines,)
        for level in self.levels:
            for tile_y in range(level.tiles_y):
                for tile_x in range(level.tiles_x):
                    yield tile_x, tile_y, level.x, level.y

    def coordinates_at(self, index: int) -> tuple[int, ...]:
        """The coordinates of the leader of chunk `index`."""
        for level in self.levels:
            tiles = level.tiles_x * level.tiles_y
            if index < tiles:
                return index % level.tiles_x, index // level.tiles_x, level.x, level.y
            index -= tiles
        return (self.min_y + index * (self.lines_per_chunk or 1),)


def window_size(window: Box2 | None) -> tuple[int, int] | None:
    """Width and height in pixels; None if there is no window or it is inverted."""
    if window is None:
        return None
    (x_min, y_min), (x_max, y_max) = window
    if x_max < x_min or y_max < y_min:
        return None
    return int(x_max - x_min + 1), int(y_max - y_min + 1)


def lines_per_chunk(part: Part) -> int | None:
    """Scan lines per chunk of the part's compression; None for an unknown code."""
    compression = part.value("compression", "compression")
    if compression is None or compression.code >= len(LINES_PER_CHUNK):
        return None
    return LINES_PER_CHUNK[compression.code]


# ---- Levels of a tiled part --------------------------------------------------------------------------------


def _round_log2(number: int, *, up: bool) -> int:
    return (number - 1).bit_length() if up else number.bit_length() - 1


def _level_size(size: int, level: int, *, up: bool) -> int:
    rounded = -(-size >> level) if up else size >> level
    return max(1, rounded)


def levels(width: int, height: int, tiles: TileDescription) -> tuple[Level, ...]:
    """The resolution levels in the order of the offset table; empty if the tile description has no meaning."""
    up = tiles.mode >> 4 == 1
    if not tiles.x_size or not tiles.y_size or tiles.mode >> 4 > 1:
        return ()

    def level(x: int, y: int) -> Level:
        level_width, level_height = _level_size(width, x, up=up), _level_size(height, y, up=up)
        return Level(x, y, -(-level_width // tiles.x_size), -(-level_height // tiles.y_size))

    mode = tiles.mode & 15
    if mode == 0:
        return (level(0, 0),)
    if mode == 1:
        return tuple(level(each, each) for each in range(_round_log2(max(width, height), up=up) + 1))
    if mode == 2:
        x_levels, y_levels = (_round_log2(size, up=up) + 1 for size in (width, height))
        return tuple(level(x, y) for y in range(y_levels) for x in range(x_levels))
    return ()


# ---- A part's layout ---------------------------------------------------------------------------------------


def chunk_layout(header: ExrHeader, part: Part) -> ChunkLayout:
    """The layout of a part's chunks. An unknown compression or part type falls back on `chunkCount`."""
    part_type = header.part_type(part)
    window = part.value("dataWindow", "box2i")
    size = window_size(window)
    lines = lines_per_chunk(part)
    part_levels: tuple[Level, ...] = ()
    count: int | None = None
    if size is not None and part_type in ("tiledimage", "deeptile"):
        tiles = part.value("tiles", "tiledesc")
        part_levels = levels(*size, tiles) if tiles is not None else ()
        count = sum(level.tiles_x * level.tiles_y for level in part_levels) or None
    elif size is not None and lines is not None and part_type in ("scanlineimage", "deepscanline"):
        count = -(-size[1] // lines)
    declared = part.value("chunkCount", "int")
    if count is None and declared is not None and declared > 0:
        count = declared
    min_y = int(window.min.y) if window is not None else 0
    return ChunkLayout(part.part_index, part_type, count, declared, min_y, lines, part_levels)


def chunk_layouts(header: ExrHeader) -> list[ChunkLayout]:
    """The layout of every part's chunks."""
    return [chunk_layout(header, part) for part in header.parts]


# ---- What stands in the file -------------------------------------------------------------------------------


def place_words(coordinates: tuple[int, ...]) -> str:
    """A leader's coordinates in words."""
    if len(coordinates) == 1:
        return f"line {coordinates[0]}"
    x, y, level_x, level_y = coordinates
    return f"tile {x}, {y} of level {level_x}, {level_y}"
