"""OpenEXR bytes from `struct.pack` alone, so that the tests never compare the reader with itself.

Source: "OpenEXR File Layout" (openexr.com); all numbers are little-endian. Three layers, each usable alone:

    pack_…             one attribute value's payload
    attribute, header  `name NUL type NUL i32 size payload`; the attributes of one part and their NUL
    build, …_file      whole files: headers, offset tables, chunks; a `Built` tells where everything stands

Attributes of a part are a dict from a key (usually the name) to the attribute's bytes, so that a test can
replace, drop, add or double one of them and keep the rest:

    attributes = minimal_attributes(width=64, height=64)
    attributes["owner"] = attribute("owner", "string", b"me")
    data = single_part(attributes).data
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, TypedDict

MAGIC = 20000630
TILED, LONG_NAMES, DEEP, MULTIPART = 0x200, 0x400, 0x800, 0x1000
UINT, HALF, FLOAT = 0, 1, 2
ONE_LEVEL, MIPMAP, RIPMAP = 0, 1, 2
ROUND_DOWN, ROUND_UP = 0, 1

# Code of the compression attribute: scanlines in one chunk.
LINES_PER_CHUNK = {
    0: 1,
    1: 1,
    2: 1,
    3: 16,
    4: 32,
    5: 16,
    6: 32,
    7: 32,
    8: 32,
    9: 256,
    10: 256,
    11: 32,
    12: 256,
    13: 1,
}
PIXEL_BYTES = {UINT: 4, HALF: 2, FLOAT: 4}

Text = str | bytes
Attributes = dict[str, bytes]


def as_bytes(text: Text) -> bytes:
    """Text as UTF-8, bytes as they are."""
    return text.encode() if isinstance(text, str) else text


# ---- Payloads: numbers -------------------------------------------------------------------------------------


def pack_u8(*values: int) -> bytes:
    """compression, lineOrder, envmap, deepImageState."""
    return struct.pack(f"<{len(values)}B", *values)


def pack_i32(*values: int) -> bytes:
    """int, v2i, v3i, box2i (min x, min y, max x, max y), keycode (seven fields)."""
    return struct.pack(f"<{len(values)}i", *values)


def pack_u32(*values: int) -> bytes:
    """timecode (time and flags, user data)."""
    return struct.pack(f"<{len(values)}I", *values)


def pack_u64(*values: int) -> bytes:
    """Chunk offsets, sizes in deep leaders."""
    return struct.pack(f"<{len(values)}Q", *values)


def pack_f32(*values: float) -> bytes:
    """float, v2f, v3f, box2f, m33f and m44f (row-major), chromaticities (eight), floatvector."""
    return struct.pack(f"<{len(values)}f", *values)


def pack_f64(*values: float) -> bytes:
    """double, v2d, v3d, m33d and m44d (row-major)."""
    return struct.pack(f"<{len(values)}d", *values)


# ---- Payloads: records and lists ---------------------------------------------------------------------------


def pack_rational(numerator: int, denominator: int) -> bytes:
    """Signed over unsigned."""
    return struct.pack("<iI", numerator, denominator)


def pack_tiledesc(x_size: int, y_size: int, level_mode: int = ONE_LEVEL, rounding_mode: int = ROUND_DOWN) -> bytes:
    """The level mode is the low nibble, the rounding mode the high one."""
    return struct.pack("<IIB", x_size, y_size, level_mode | rounding_mode << 4)


def pack_string(text: Text) -> bytes:
    """No length, no NUL: the attribute's size is the text's."""
    return as_bytes(text)


def pack_stringvector(*texts: Text) -> bytes:
    """Each text after its i32 length."""
    return b"".join(pack_i32(len(as_bytes(text))) + as_bytes(text) for text in texts)


def pack_channel(
    name: Text,
    pixel_type: int = HALF,
    *,
    p_linear: int = 0,
    reserved: bytes = b"\0\0\0",
    x_sampling: int = 1,
    y_sampling: int = 1,
) -> bytes:
    """One record of a channel list."""
    numbers = struct.pack("<iB3sii", pixel_type, p_linear, reserved, x_sampling, y_sampling)
    return as_bytes(name) + b"\0" + numbers


def pack_chlist(*channels: bytes) -> bytes:
    """Records of `pack_channel`, then the NUL that ends the list."""
    return b"".join(channels) + b"\0"


def pack_preview(width: int, height: int, rgba: bytes | None = None) -> bytes:
    """Zero pixels if none are given."""
    return pack_u32(width, height) + (bytes(4 * width * height) if rgba is None else rgba)


def pack_bytes(type_hint: Text, data: bytes) -> bytes:
    """The `bytes` type of OpenEXR 3.4."""
    return pack_u32(len(as_bytes(type_hint))) + as_bytes(type_hint) + data


# ---- Attributes and headers --------------------------------------------------------------------------------


def attribute(name: Text, type_name: Text, payload: bytes, *, size: int | None = None) -> bytes:
    """One attribute; `size` declares another size than the payload has."""
    declared = len(payload) if size is None else size
    return as_bytes(name) + b"\0" + as_bytes(type_name) + b"\0" + pack_i32(declared) + payload


def header(attributes: Mapping[str, bytes] | Iterable[bytes]) -> bytes:
    """The attributes of one part, and the NUL that ends them."""
    values = attributes.values() if isinstance(attributes, Mapping) else attributes
    return b"".join(values) + b"\0"


def start(flags: int = 0, version: int = 2) -> bytes:
    """Magic number and version field."""
    return struct.pack("<iI", MAGIC, version | flags)


def minimal_attributes(
    *,
    width: int = 4,
    height: int = 4,
    origin: tuple[int, int] = (0, 0),
    compression: int = 0,
    channels: Sequence[bytes] | None = None,
    name: Text | None = None,
    part_type: Text | None = None,
    chunk_count: int | None = None,
    tiles: bytes | None = None,
    deep: bool = False,
) -> Attributes:
    """What every part must have, and what the arguments ask for; names in the order of the alphabet."""
    x, y = origin
    window = pack_i32(x, y, x + width - 1, y + height - 1)
    values: dict[str, tuple[str, bytes]] = {
        "channels": ("chlist", pack_chlist(*(channels or [pack_channel(each) for each in "BGR"]))),
        "compression": ("compression", pack_u8(compression)),
        "dataWindow": ("box2i", window),
        "displayWindow": ("box2i", window),
        "lineOrder": ("lineOrder", pack_u8(0)),
        "pixelAspectRatio": ("float", pack_f32(1.0)),
        "screenWindowCenter": ("v2f", pack_f32(0.0, 0.0)),
        "screenWindowWidth": ("float", pack_f32(1.0)),
    }
    if chunk_count is not None:
        values["chunkCount"] = ("int", pack_i32(chunk_count))
    if name is not None:
        values["name"] = ("string", pack_string(name))
    if part_type is not None:
        values["type"] = ("string", pack_string(part_type))
    if tiles is not None:
        values["tiles"] = ("tiledesc", tiles)
    if deep:
        values["version"] = ("int", pack_i32(1))
    return {key: attribute(key, *values[key]) for key in sorted(values)}


# ---- Chunks ------------------------------------------------------------------------------------------------


def scanline_chunk(y: int, data: bytes) -> bytes:
    """A chunk of flat scanlines, without a part number."""
    return pack_i32(y, len(data)) + data


def tile_chunk(tile: tuple[int, int, int, int], data: bytes) -> bytes:
    """A flat tile; `tile` is tile x, tile y, level x, level y."""
    return pack_i32(*tile, len(data)) + data


def deep_scanline_chunk(y: int, table: bytes, data: bytes) -> bytes:
    """Deep scanlines: sample count table and data, both as if not compressed."""
    return pack_i32(y) + pack_u64(len(table), len(data), len(data)) + table + data


def deep_tile_chunk(tile: tuple[int, int, int, int], table: bytes, data: bytes) -> bytes:
    """A deep tile: sample count table and data, both as if not compressed."""
    return pack_i32(*tile) + pack_u64(len(table), len(data), len(data)) + table + data


def levels(width: int, height: int, mode: int, rounding: int) -> list[tuple[int, int, int, int]]:
    """(level x, level y, width, height) in the order of the offset table."""

    def size(full: int, level: int) -> int:
        return max(1, -(-full >> level) if rounding == ROUND_UP else full >> level)

    def count(full: int) -> int:
        exponent = (full - 1).bit_length() if rounding == ROUND_UP else full.bit_length() - 1
        return exponent + 1

    if mode == ONE_LEVEL:
        return [(0, 0, width, height)]
    if mode == MIPMAP:
        return [(n, n, size(width, n), size(height, n)) for n in range(count(max(width, height)))]
    return [(x, y, size(width, x), size(height, y)) for y in range(count(height)) for x in range(count(width))]


def tiles_of(
    width: int, height: int, tile_size: tuple[int, int], mode: int = ONE_LEVEL, rounding: int = ROUND_DOWN
) -> list[tuple[int, int, int, int]]:
    """(tile x, tile y, level x, level y) of every tile in the order of the offset table."""
    return [
        (tile_x, tile_y, level_x, level_y)
        for level_x, level_y, level_width, level_height in levels(width, height, mode, rounding)
        for tile_y in range(-(-level_height // tile_size[1]))
        for tile_x in range(-(-level_width // tile_size[0]))
    ]


# ---- Files -------------------------------------------------------------------------------------------------


class PartBytes(NamedTuple):
    """One part to build: its attributes, and its chunks without part numbers."""

    attributes: Attributes
    chunks: Sequence[bytes] = ()


class Built(NamedTuple):
    """A file, and where its pieces stand. `chunk_offsets` is what the offset tables say, part by part."""

    data: bytes
    header_bytes: int
    table_offsets: tuple[int, ...]
    chunk_offsets: tuple[tuple[int, ...], ...]

    @property
    def header_data(self) -> bytes:
        """Magic number to last terminator."""
        return self.data[: self.header_bytes]

    @property
    def tables_end(self) -> int:
        """Where the first chunk may stand."""
        return self.header_bytes + 8 * sum(len(offsets) for offsets in self.chunk_offsets)

    def with_offsets(self, offsets: Sequence[Sequence[int]]) -> bytes:
        """The file with other offset tables of the same length."""
        tables = b"".join(pack_u64(*part) for part in offsets)
        return self.data[: self.header_bytes] + tables + self.data[self.header_bytes + len(tables) :]


def build(flags: int, parts: Sequence[PartBytes]) -> Built:
    """A whole file: headers, offset tables, chunks in the order of the tables."""
    multipart = bool(flags & MULTIPART)
    head = start(flags) + b"".join(header(part.attributes) for part in parts) + (b"\0" if multipart else b"")
    chunks = [
        [(pack_i32(index) if multipart else b"") + chunk for chunk in part.chunks] for index, part in enumerate(parts)
    ]
    counts = [len(part) for part in chunks]
    table_offsets = tuple(accumulate((8 * count for count in counts[:-1]), initial=len(head)))
    flat = [chunk for part in chunks for chunk in part]
    ends = list(accumulate(map(len, flat), initial=len(head) + 8 * sum(counts)))
    offsets = iter(ends)
    chunk_offsets = tuple(tuple(next(offsets) for _ in range(count)) for count in counts)
    tables = b"".join(pack_u64(*part) for part in chunk_offsets)
    return Built(head + tables + b"".join(flat), len(head), table_offsets, chunk_offsets)


def single_part(attributes: Attributes | None = None, chunks: Sequence[bytes] = (), flags: int = 0) -> Built:
    """A file of one part; `minimal_attributes()` and no chunks if nothing is given."""
    return build(flags, [PartBytes(minimal_attributes() if attributes is None else attributes, chunks)])


def multipart(parts: Sequence[PartBytes], flags: int = 0) -> Built:
    """A multipart file; `flags` is `DEEP` if a part is deep. Part numbers are added to the chunks."""
    return build(flags | MULTIPART, parts)


# ---- Complete parts: chunk data are zero bytes -------------------------------------------------------------


def scanline_part(
    width: int = 4,
    height: int = 4,
    *,
    compression: int = 0,
    chunk_bytes: int | None = None,
    name: Text | None = None,
) -> PartBytes:
    """Scanlines of the channels B, G, R (half). `name` makes it fit for a multipart file."""
    lines = LINES_PER_CHUNK[compression]
    ys = range(0, height, lines)
    chunks = [
        scanline_chunk(y, bytes(6 * width * min(lines, height - y) if chunk_bytes is None else chunk_bytes)) for y in ys
    ]
    attributes = minimal_attributes(
        width=width,
        height=height,
        compression=compression,
        **_part_identity(name, "scanlineimage", len(chunks)),
    )
    return PartBytes(attributes, chunks)


def tiled_part(
    width: int = 4,
    height: int = 4,
    tile_size: tuple[int, int] = (2, 2),
    *,
    mode: int = ONE_LEVEL,
    rounding: int = ROUND_DOWN,
    chunk_bytes: int | None = None,
    name: Text | None = None,
) -> PartBytes:
    """Tiles of the channels B, G, R (half), not compressed."""
    places = tiles_of(width, height, tile_size, mode, rounding)
    sizes = {(x, y): (w, h) for x, y, w, h in levels(width, height, mode, rounding)}

    def data(place: tuple[int, int, int, int]) -> bytes:
        if chunk_bytes is not None:
            return bytes(chunk_bytes)
        level_width, level_height = sizes[place[2], place[3]]
        across = min(tile_size[0], level_width - place[0] * tile_size[0])
        down = min(tile_size[1], level_height - place[1] * tile_size[1])
        return bytes(6 * across * down)

    attributes = minimal_attributes(
        width=width,
        height=height,
        tiles=pack_tiledesc(*tile_size, mode, rounding),
        **_part_identity(name, "tiledimage", len(places)),
    )
    return PartBytes(attributes, [tile_chunk(place, data(place)) for place in places])


def deep_scanline_part(width: int = 4, height: int = 4, *, name: Text | None = None) -> PartBytes:
    """Deep scanlines without a sample."""
    chunks = [deep_scanline_chunk(y, bytes(4 * width), b"") for y in range(height)]
    identity = _part_identity(name or "deep", "deepscanline", height)
    return PartBytes(minimal_attributes(width=width, height=height, deep=True, **identity), chunks)


def deep_tiled_part(
    width: int = 4, height: int = 4, tile_size: tuple[int, int] = (2, 2), *, name: Text | None = None
) -> PartBytes:
    """Deep tiles without a sample; the tile size must divide the window."""
    places = tiles_of(width, height, tile_size)
    chunks = [deep_tile_chunk(place, bytes(4 * tile_size[0] * tile_size[1]), b"") for place in places]
    attributes = minimal_attributes(
        width=width,
        height=height,
        deep=True,
        tiles=pack_tiledesc(*tile_size),
        **_part_identity(name or "deep", "deeptile", len(chunks)),
    )
    return PartBytes(attributes, chunks)


def scanline_file(width: int = 4, height: int = 4, *, compression: int = 0, chunk_bytes: int | None = None) -> Built:
    """A complete flat scanline file."""
    return build(0, [scanline_part(width, height, compression=compression, chunk_bytes=chunk_bytes)])


def tiled_file(
    width: int = 4,
    height: int = 4,
    tile_size: tuple[int, int] = (2, 2),
    *,
    mode: int = ONE_LEVEL,
    rounding: int = ROUND_DOWN,
) -> Built:
    """A complete flat tiled file, with every level."""
    return build(TILED, [tiled_part(width, height, tile_size, mode=mode, rounding=rounding)])


def deep_scanline_file(width: int = 4, height: int = 4) -> Built:
    """A complete deep scanline file without a sample."""
    return build(DEEP, [deep_scanline_part(width, height)])


def deep_tiled_file(width: int = 4, height: int = 4, tile_size: tuple[int, int] = (2, 2)) -> Built:
    """A complete deep tiled file without a sample."""
    return build(DEEP, [deep_tiled_part(width, height, tile_size)])


def multipart_file(part_count: int = 2, width: int = 4, height: int = 4) -> Built:
    """A complete file of flat scanline parts `part0`, `part1`, …"""
    return multipart([scanline_part(width, height, name=f"part{index}") for index in range(part_count)])


class _Identity(TypedDict, total=False):
    name: Text
    part_type: Text
    chunk_count: int


def _part_identity(name: Text | None, part_type: str, chunk_count: int) -> _Identity:
    """What a multipart or deep file asks of a part; nothing for a flat single part."""
    if name is None:
        return {}
    return {"name": name, "part_type": part_type, "chunk_count": chunk_count}
