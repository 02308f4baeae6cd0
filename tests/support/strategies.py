"""Hypothesis strategies: payloads, attributes, headers, whole files, and damage to any of them.

Two kinds of headers. `headers()` are such as the format allows, whatever the values; `wild_headers()` also have
what real and hostile files have: duplicates, unknown types, names that are not UTF-8 or too long, values that do
not fit their type, required attributes left out, flags that exclude each other. The framing of both is sound, so
every attribute that went in must come out. `mutated()` breaks that as well.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from tests.support import exr_bytes, id_manifest_bytes
from tests.support.exr_bytes import DEEP, LONG_NAMES, MULTIPART, TILED, Built, PartBytes

# ---- Numbers -----------------------------------------------------------------------------------------------

_SINGLE_BITS = (
    0x00000000, 0x80000000,  # zeros
    0x3F800000, 0x3DCCCCCD,  # 1, 0.1
    0x00000001, 0x007FFFFF, 0x00800000,  # smallest and largest subnormal, smallest normal
    0x7F7FFFFF, 0xFF7FFFFF,  # largest and lowest
    0x7F800000, 0xFF800000,  # infinities
    0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FFFFFFF,  # quiet and signalling NaNs
    0x4B800000, 0x4B800001,  # where integers stop being exact
)  # fmt: skip
_DOUBLE_BITS = (
    0x0000000000000000, 0x8000000000000000, 0x3FF0000000000000, 0x3FB999999999999A,
    0x0000000000000001, 0x000FFFFFFFFFFFFF, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000,
    0x7FF8000000000000, 0x7FF0000000000001, 0x4340000000000000, 0x4340000000000001,
)  # fmt: skip

# Raw bits, because floats lose the payload of a NaN on their way through Python.
single_bytes = st.one_of(st.sampled_from(_SINGLE_BITS), st.integers(0, 2**32 - 1)).map(struct.Struct("<I").pack)
double_bytes = st.one_of(st.sampled_from(_DOUBLE_BITS), st.integers(0, 2**64 - 1)).map(struct.Struct("<Q").pack)

_EDGES = [0, 1, -1, 2, 255, 256, 2**31 - 1, -(2**31), 2**30]
i32s = st.one_of(st.sampled_from(_EDGES), st.integers(-(2**31), 2**31 - 1))
u32s = st.one_of(st.sampled_from([0, 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
i32_bytes = i32s.map(struct.Struct("<i").pack)
u32_bytes = u32s.map(struct.Struct("<I").pack)
bytes_of_one = st.integers(0, 255).map(struct.Struct("<B").pack)


def repeated(strategy: st.SearchStrategy[bytes], count: int) -> st.SearchStrategy[bytes]:
    """So many of them, joined."""
    return st.lists(strategy, min_size=count, max_size=count).map(b"".join)


# ---- Text and names ----------------------------------------------------------------------------------------

_TRICKY_TEXTS = [
    b"", b"\0", b"a\0b", b"caf\xe9", b"\xff\xfe", "é".encode(), "👁".encode(), "\u202etxt.exe".encode(), b"\x1b[31m",
    b"=1+1", b'"', b"\\", b"\x7f", b"\r\n", "\ufffd".encode(), b"\xed\xa0\x80", b"1.5", b"true", b"x" * 1000,
]  # fmt: skip
utf8_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(str.encode)
texts = st.one_of(utf8_texts, st.sampled_from(_TRICKY_TEXTS), st.binary(max_size=20))


def _without_nul(text: bytes) -> bytes:
    return text.replace(b"\0", b"")


_PLAIN = st.text("abcdefgXYZ019_./:", min_size=1, max_size=31).map(str.encode)
plain_names = _PLAIN
odd_names = st.one_of(
    _PLAIN,
    st.binary(min_size=1, max_size=40).map(_without_nul).filter(bool),
    st.sampled_from([text for text in map(_without_nul, _TRICKY_TEXTS) if text]),
    st.integers(32, 600).map(lambda length: b"n" * length),
    st.sampled_from([b"caf\xe9", b"\n", b" ", b"a" * 255, b"b" * 256, b"c" * 4000, "é".encode() * 128]),
)


# ---- Payloads, by type -------------------------------------------------------------------------------------


def _channel(names: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    numbers = st.tuples(
        st.integers(0, 2), st.integers(0, 1), st.just(b"\0\0\0"), st.integers(1, 4), st.integers(1, 4)
    ).map(lambda fields: struct.pack("<iB3sii", *fields))
    return st.tuples(names, numbers).map(lambda pair: pair[0] + b"\0" + pair[1])


_ODD_CHANNEL = st.tuples(
    odd_names, st.tuples(i32s, st.integers(0, 255), st.binary(min_size=3, max_size=3), i32s, i32s)
).map(lambda pair: pair[0] + b"\0" + struct.pack("<iB3sii", *pair[1]))

channel_lists = st.lists(_channel(plain_names), max_size=6).map(lambda records: b"".join(records) + b"\0")
odd_channel_lists = st.lists(st.one_of(_channel(odd_names), _ODD_CHANNEL), max_size=6).map(
    lambda records: b"".join(records) + b"\0"
)

previews = st.tuples(st.integers(0, 4), st.integers(0, 4)).flatmap(
    lambda size: st.binary(min_size=4 * size[0] * size[1], max_size=4 * size[0] * size[1]).map(
        lambda pixels: exr_bytes.pack_preview(*size, pixels)
    )
)
hinted_bytes = st.tuples(texts, st.binary(max_size=20)).map(lambda pair: exr_bytes.pack_bytes(*pair))
string_vectors = st.lists(texts, max_size=5).map(lambda values: exr_bytes.pack_stringvector(*values))
float_vectors = st.lists(single_bytes, max_size=6).map(b"".join)
tile_descriptions = st.tuples(u32_bytes, u32_bytes, bytes_of_one).map(b"".join)


@st.composite
def id_manifests(draw: st.DrawFn) -> bytes:
    """Small and sound; `test_idmanifest.py` has every other kind."""
    table = draw(st.lists(utf8_texts, min_size=1, max_size=4))
    last = len(table) - 1
    ids = draw(st.lists(st.integers(0, 2**64 - 1), max_size=4, unique=True))
    rows = [id_manifest_bytes.Row(number, [draw(st.integers(0, last))]) for number in ids]
    group = id_manifest_bytes.Group(rows, components=[b"name"])
    body = id_manifest_bytes.body(id_manifest_bytes.prefix_coded(table), [(0, last)], [group])
    return id_manifest_bytes.payload(body)


# Whatever the type's size allows: NaNs, codes without a word, numbers out of every range.
PAYLOADS: Mapping[str, st.SearchStrategy[bytes]] = {
    "box2f": repeated(single_bytes, 4),
    "box2i": repeated(i32_bytes, 4),
    "bytes": hinted_bytes,
    "chlist": st.one_of(channel_lists, odd_channel_lists),
    "chromaticities": repeated(single_bytes, 8),
    "compression": bytes_of_one,
    "deepImageState": bytes_of_one,
    "double": double_bytes,
    "envmap": bytes_of_one,
    "float": single_bytes,
    "floatvector": float_vectors,
    "idmanifest": id_manifests(),
    "int": i32_bytes,
    "keycode": repeated(i32_bytes, 7),
    "lineOrder": bytes_of_one,
    "m33d": repeated(double_bytes, 9),
    "m33f": repeated(single_bytes, 9),
    "m44d": repeated(double_bytes, 16),
    "m44f": repeated(single_bytes, 16),
    "preview": previews,
    "rational": st.tuples(i32_bytes, u32_bytes).map(b"".join),
    "string": texts,
    "stringvector": string_vectors,
    "tiledesc": tile_descriptions,
    "timecode": repeated(u32_bytes, 2),
    "v2d": repeated(double_bytes, 2),
    "v2f": repeated(single_bytes, 2),
    "v2i": repeated(i32_bytes, 2),
    "v3d": repeated(double_bytes, 3),
    "v3f": repeated(single_bytes, 3),
    "v3i": repeated(i32_bytes, 3),
}
TYPES = tuple(PAYLOADS)

# The same where both wheels read the value: codes with words, ranges, UTF-8, something in everything.
_U8_TEXTS = utf8_texts.map(_without_nul).filter(bool)
TAME_PAYLOADS: Mapping[str, st.SearchStrategy[bytes]] = {
    **PAYLOADS,
    "bytes": st.tuples(_U8_TEXTS, st.binary(min_size=1, max_size=20)).map(lambda pair: exr_bytes.pack_bytes(*pair)),
    "chlist": st.lists(plain_names, unique=True, max_size=6).flatmap(
        lambda names: st.tuples(*(_channel(st.just(name)) for name in names)).map(
            lambda records: b"".join(records) + b"\0"
        )
    ),
    "compression": st.integers(0, 13).map(exr_bytes.pack_u8),
    "deepImageState": st.integers(0, 3).map(exr_bytes.pack_u8),
    "envmap": st.integers(0, 1).map(exr_bytes.pack_u8),
    "keycode": st.tuples(
        st.integers(0, 99),
        st.integers(0, 99),
        st.integers(0, 999999),
        st.integers(0, 9999),
        st.integers(0, 119),
        st.integers(1, 15),
        st.integers(20, 120),
    ).map(lambda fields: exr_bytes.pack_i32(*fields)),
    "lineOrder": st.integers(0, 2).map(exr_bytes.pack_u8),
    "preview": previews.filter(lambda payload: len(payload) > 8),
    "rational": st.tuples(i32s, st.integers(1, 2**31 - 1)).map(lambda pair: exr_bytes.pack_rational(*pair)),
    "string": _U8_TEXTS,
    "stringvector": st.lists(_U8_TEXTS, min_size=1, max_size=5).map(
        lambda values: exr_bytes.pack_stringvector(*values)
    ),
    "tiledesc": st.tuples(
        st.integers(1, 2**29 - 1), st.integers(1, 2**29 - 1), st.integers(0, 2), st.integers(0, 1)
    ).map(lambda fields: exr_bytes.pack_tiledesc(*fields)),
}


@st.composite
def damaged_payloads(draw: st.DrawFn, type_name: str) -> bytes:
    """A payload of that type, cut, prolonged or with a few bytes changed; now and then it is still sound."""
    return draw(mutated(draw(PAYLOADS[type_name])))


# ---- Attributes --------------------------------------------------------------------------------------------


class AttributeBytes(NamedTuple):
    """One attribute as it stands in the file."""

    name: bytes
    type_name: bytes
    payload: bytes

    @property
    def data(self) -> bytes:
        """`name NUL type NUL i32 size payload`."""
        return exr_bytes.attribute(self.name, self.type_name, self.payload)


def attributes(
    names: st.SearchStrategy[bytes] = plain_names, types: Sequence[str] = TYPES, *, tame: bool = False
) -> st.SearchStrategy[AttributeBytes]:
    """Attributes of these types with any value of the type's size; `tame`: one that both wheels read."""
    payloads = TAME_PAYLOADS if tame else PAYLOADS
    return st.sampled_from(types).flatmap(
        lambda type_name: st.builds(AttributeBytes, names, st.just(type_name.encode()), payloads[type_name])
    )


_STANDARD_NAMES = (
    "channels", "chunkCount", "compression", "dataWindow", "displayWindow", "lineOrder", "name", "pixelAspectRatio",
    "preview", "screenWindowCenter", "screenWindowWidth", "tiles", "type", "version", "view", "multiView", "owner",
    "comments", "capDate", "timeCode", "keyCode", "chromaticities", "envmap", "idManifest", "software", "xDensity",
)  # fmt: skip


def wild_attributes() -> st.SearchStrategy[AttributeBytes]:
    """Any name, any type, any value: known types damaged, unknown types, standard names with other types."""
    names = st.one_of(plain_names, odd_names, st.sampled_from([name.encode() for name in _STANDARD_NAMES]))
    damaged = st.sampled_from(TYPES).flatmap(
        lambda type_name: st.builds(AttributeBytes, names, st.just(type_name.encode()), damaged_payloads(type_name))
    )
    unknown = st.builds(AttributeBytes, names, odd_names, st.binary(max_size=40))
    return st.one_of(attributes(names), damaged, unknown)


# ---- Headers -----------------------------------------------------------------------------------------------


class HeaderBytes(NamedTuple):
    """A whole header: its flags, what went into it, and its bytes from the magic number to the last terminator."""

    flags: int
    parts: tuple[tuple[AttributeBytes, ...], ...]

    @property
    def data(self) -> bytes:
        """The header's bytes."""
        parts = b"".join(exr_bytes.header([each.data for each in part]) for part in self.parts)
        return exr_bytes.start(self.flags) + parts + (b"\0" if self.flags & MULTIPART else b"")


def required_attributes(part: PartBytes) -> list[AttributeBytes]:
    """The attributes that `exr_bytes` built, taken apart again."""
    return [_parted(data) for data in part.attributes.values()]


def _parted(data: bytes) -> AttributeBytes:
    name, type_name, rest = data.split(b"\0", 2)
    return AttributeBytes(name, type_name, rest[4:])


def _part(kind: str, name: str | None) -> PartBytes:
    if kind == "scanline":
        return exr_bytes.scanline_part(name=name)
    if kind == "tiled":
        return exr_bytes.tiled_part(name=name)
    if kind == "deep scanline":
        return exr_bytes.deep_scanline_part(name=name)
    return exr_bytes.deep_tiled_part(name=name)


_KINDS = ("scanline", "tiled", "deep scanline", "deep tiled")
_SINGLE_PART_FLAGS = {"scanline": 0, "tiled": TILED, "deep scanline": DEEP, "deep tiled": DEEP}


@st.composite
def _parts(draw: st.DrawFn, max_parts: int) -> tuple[int, list[PartBytes]]:
    """Flags and parts of 4 by 4 pixels, with chunks."""
    kinds = draw(st.lists(st.sampled_from(_KINDS), min_size=1, max_size=max_parts))
    if len(kinds) == 1:
        return _SINGLE_PART_FLAGS[kinds[0]], [_part(kinds[0], None)]
    flags = MULTIPART | (DEEP if any(kind.startswith("deep") for kind in kinds) else 0)
    return flags, [_part(kind, f"part{index}") for index, kind in enumerate(kinds)]


_REQUIRED_NAMES = frozenset(name.encode() for name in (*_STANDARD_NAMES, "type"))


@st.composite
def headers(draw: st.DrawFn, *, tame: bool = False, types: Sequence[str] = TYPES, max_parts: int = 3) -> HeaderBytes:
    """Sound headers: single part or multipart, flat or deep, scanlines or tiles, and attributes of any type.

    `tame`: only values that both wheels read. No name stands twice in a part.
    """
    flags, parts = draw(_parts(max_parts))
    extra = attributes(types=types, tame=tame)
    unique = st.lists(extra, max_size=8, unique_by=lambda each: each.name.lower())
    lists = [
        required_attributes(part) + [each for each in draw(unique) if each.name not in _REQUIRED_NAMES]
        for part in parts
    ]
    long_names = LONG_NAMES if draw(st.booleans()) else 0
    return HeaderBytes(flags | long_names, tuple(tuple(draw(st.permutations(part))) for part in lists))


def with_chunks(header: HeaderBytes) -> Built:
    """A complete file with that header, if it came from `headers()`: parts of 4 by 4 pixels."""
    parts = []
    for index, part in enumerate(header.parts):
        keyed = {str(number): each.data for number, each in enumerate(part)}
        types = {each.name: each.payload for each in part}
        name = f"part{index}" if header.flags & MULTIPART else None
        parts.append(PartBytes(keyed, _part(_kind_of(header.flags, types), name).chunks))
    return exr_bytes.build(header.flags, parts)


def _kind_of(flags: int, payloads: Mapping[bytes, bytes]) -> str:
    words = {b"scanlineimage": "scanline", b"tiledimage": "tiled", b"deepscanline": "deep scanline"}
    if flags & (MULTIPART | DEEP):
        return words.get(payloads[b"type"], "deep tiled")
    return "tiled" if flags & TILED else "scanline"


@st.composite
def wild_headers(draw: st.DrawFn) -> HeaderBytes:
    """Headers whose framing is sound, and nothing else need be."""
    legal = st.sampled_from([0, TILED, DEEP, MULTIPART, MULTIPART | DEEP])
    illegal = st.sampled_from([TILED | DEEP, TILED | MULTIPART, TILED | DEEP | MULTIPART])
    flags = draw(st.one_of(legal, legal, illegal)) | draw(st.sampled_from([0, LONG_NAMES]))
    count = draw(st.integers(1, 4)) if flags & MULTIPART else 1
    return HeaderBytes(flags, tuple(draw(_wild_part()) for _ in range(count)))


@st.composite
def _wild_part(draw: st.DrawFn) -> tuple[AttributeBytes, ...]:
    """At least one attribute: a part without one would end the list of parts."""
    base = required_attributes(_part(draw(st.sampled_from(_KINDS)), draw(st.sampled_from([None, "part", "é"]))))
    kept = [each for each in base if draw(st.integers(0, 9))]
    part = kept + draw(st.lists(wild_attributes(), max_size=6)) or [AttributeBytes(b"a", b"int", bytes(4))]
    if draw(st.booleans()):
        part.append(draw(st.sampled_from(part)))  # the same name twice
    return tuple(draw(st.permutations(part)))


# ---- Files -------------------------------------------------------------------------------------------------

_SIZES = st.integers(1, 40)
_TILE_SIZES = st.tuples(st.integers(1, 16), st.integers(1, 16))

complete_files: st.SearchStrategy[Built] = st.one_of(
    st.builds(
        exr_bytes.scanline_file,
        _SIZES,
        _SIZES,
        compression=st.sampled_from(sorted(exr_bytes.LINES_PER_CHUNK)),
        chunk_bytes=st.integers(0, 50),
    ),
    st.builds(exr_bytes.tiled_file, _SIZES, _SIZES, _TILE_SIZES, mode=st.integers(0, 2), rounding=st.integers(0, 1)),
    st.builds(exr_bytes.deep_scanline_file, _SIZES, _SIZES),
    st.builds(exr_bytes.multipart_file, st.integers(1, 5), _SIZES, _SIZES),
)


# ---- Damage ------------------------------------------------------------------------------------------------

_TELLING_BYTES = [
    b"\0", b"\xff", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", bytes(8), b"channels\0chlist\0",
    exr_bytes.start(), exr_bytes.start(MULTIPART), b"idmanifest\0", b"a\0int\0\x04\0\0\0\0\0\0\0",
]  # fmt: skip


@st.composite
def _mutation(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    kind = draw(st.sampled_from(["flip", "replace", "insert", "delete", "truncate", "splice"]))
    if kind == "flip" and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
    if kind == "delete":
        return data[:at] + data[at + draw(st.integers(1, 8)) :]
    if kind == "truncate":
        return data[:at]
    if kind == "splice":
        source = draw(st.integers(0, len(data)))
        return data[:at] + data[source : source + draw(st.integers(1, 64))] + data[at:]
    piece = draw(st.one_of(st.sampled_from(_TELLING_BYTES), st.binary(min_size=1, max_size=8)))
    return data[:at] + piece + data[at + len(piece) if kind == "replace" else at :]


@st.composite
def mutated(draw: st.DrawFn, data: bytes, *, max_changes: int = 3) -> bytes:
    """The bytes with bits flipped, pieces replaced, put in, left out, repeated elsewhere, or the end cut off."""
    for _ in range(draw(st.integers(1, max_changes))):
        data = draw(_mutation(data))
    return data
