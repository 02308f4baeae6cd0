"""The payload of an `idmanifest` attribute, from `struct.pack` and zlib alone.

Source of the layout: OpenEXR's `ImfIDManifest`. Everything takes what is stored, so that nonsense can be written
as easily as sense; `prefix_coded` turns whole strings into what is stored.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

IDS_U64, IDS_U32, IDS_VARIABLE = 0, 1, 2


class Row(NamedTuple):
    """One entry: the whole id, and for each component an index of the map."""

    id: int
    indices: Sequence[int] = ()


class Group(NamedTuple):
    """The ids of some channels."""

    rows: Sequence[Row] = ()
    components: Sequence[bytes] = ()
    channels: Sequence[bytes] = (b"id",)
    coding: int = IDS_VARIABLE
    lifetime: int = 0
    hash_scheme: bytes = b"none"
    encoding_scheme: bytes = b"id"

    def encode(self) -> bytes:
        """The group's bytes."""
        head = byte_list(self.channels) + byte_list(self.components) + bytes([self.lifetime])
        head += pascal(self.hash_scheme) + pascal(self.encoding_scheme) + bytes([self.coding])
        return head + i32(len(self.rows)) + b"".join(self._entries())

    def _entries(self) -> Iterable[bytes]:
        previous = 0
        for row in self.rows:
            yield encoded_id(row.id - previous & 2**64 - 1, self.coding) + b"".join(map(variable, row.indices))
            previous = row.id


def i32(*values: int) -> bytes:
    """Signed 32-bit numbers."""
    return struct.pack(f"<{len(values)}i", *values)


def encoded_id(distance: int, coding: int) -> bytes:
    """The distance to the previous id in that coding."""
    if coding == IDS_U64:
        return struct.pack("<Q", distance)
    if coding == IDS_U32:
        return struct.pack("<I", distance)
    return variable(distance)


def variable(number: int) -> bytes:
    """Seven bits a byte, lowest first; the high bit says that another byte follows."""
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def byte_list(texts: Sequence[bytes]) -> bytes:
    """Count, all lengths, all texts."""
    return i32(len(texts)) + b"".join(variable(len(text)) for text in texts) + b"".join(texts)


def pascal(text: bytes) -> bytes:
    """A u32 length, and the text."""
    return struct.pack("<I", len(text)) + text


def prefix_coded(texts: Sequence[bytes]) -> list[bytes]:
    """What is stored for these strings: each but the first after the length that it shares with the one before."""
    stored = list(texts[:1])
    for previous, text in pairwise(texts):
        width = 2 if len(previous) > 255 else 1
        most = min(len(previous), len(text), 256**width - 1)
        shared = next((n for n in range(most) if previous[n] != text[n]), most)
        stored.append(shared.to_bytes(width, "big") + text[shared:])
    return stored


def body(
    stored: Sequence[bytes] = (),
    runs: Sequence[tuple[int, int]] = (),
    groups: Sequence[Group] = (),
    *,
    version: int = 0,
) -> bytes:
    """A whole body. `stored` is the string table as it is stored, see `prefix_coded`."""
    table = struct.pack("<I", version) + byte_list(stored)
    mapping = i32(len(runs)) + b"".join(i32(*run) for run in runs)
    return table + mapping + i32(len(groups)) + b"".join(group.encode() for group in groups)


def payload(inflated: bytes, *, declared: int | None = None) -> bytes:
    """The body as it stands in the attribute; `declared` overrides the size before the zlib stream."""
    return struct.pack("<Q", len(inflated) if declared is None else declared) + zlib.compress(inflated)
