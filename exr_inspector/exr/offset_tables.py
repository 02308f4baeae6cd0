"""The offset tables: how they are read, and where each part's lies.

Source: "OpenEXR File Layout", chunk offset tables: one u64 for each chunk, part after part, directly after the
headers; 0 where no offset was recorded.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import dropwhile, islice
from typing import NamedTuple

from exr_inspector.exr.chunks import ChunkLayout

# How many ranges of missing chunks are listed for each part.
MAX_MISSING_RANGES = 32

# Of a remote file, so many leaders are asked for together.
MAX_LEADERS_AHEAD = 4096


class FileBytes:
    """How the checks get at a file: what was read already, and a function that reads more.

    `read(offset, size_bytes)` gives fewer bytes only at the file's end. `size_bytes` is None where it is unknown.
    Without `is_random` only what directly follows can be read, and is kept. With `read_many` each read costs a
    request: leaders are then read many at once.
    """

    def __init__(
        self,
        first: bytes,
        read: Callable[[int, int], bytes],
        size_bytes: int | None,
        *,
        is_random: bool,
        read_many: Callable[[Sequence[tuple[int, int]]], Iterable[tuple[int, bytes]]] | None = None,
    ) -> None:
        self._first = first
        self._read = read
        self._read_many = read_many
        self._ahead: dict[int, bytes] = {}
        self.size_bytes = size_bytes
        self.is_random = is_random

    def at(self, offset: int, size_bytes: int) -> bytes:
        """The bytes at an offset, out of what is there already if possible."""
        if offset in self._ahead:
            return self._ahead[offset][:size_bytes]
        first, available = self._first, len(self._first)
        if offset >= available and self.is_random:
            return self._read(offset, size_bytes)
        end = offset + size_bytes
        if end <= available:
            return first[offset:end]
        more = self._read(available, end - available)
        if not self.is_random:
            self._first = first + more
        return (first + more)[offset:] if offset >= available else first[offset:] + more

    @property
    def is_remote(self) -> bool:
        """Whether each read costs a request."""
        return self._read_many is not None

    def leaders(self, offsets: Sequence[int], leader_bytes: int, start: int) -> Callable[[int, int], bytes]:
        """`at` for a walk that asks for a leader at each of these offsets that lies from `start` on, in order."""
        if self._read_many is None:
            return self.at
        size, remaining = self.size_bytes or 0, iter(offsets)
        inside = (offset for offset in remaining if start <= offset < size)

        def at(offset: int, size_bytes: int) -> bytes:
            if offset not in self._ahead:
                following = islice(dropwhile(lambda each: each != offset, inside), MAX_LEADERS_AHEAD)
                self._ahead = dict(self._many({offset, *following}, leader_bytes))
            return self.at(offset, size_bytes)

        return at

    def _many(self, offsets: Iterable[int], size_bytes: int) -> Iterator[tuple[int, bytes]]:
        outside = []
        for offset in offsets:
            if offset + size_bytes <= len(self._first):
                yield offset, self._first[offset : offset + size_bytes]
            else:
                outside.append((offset, size_bytes))
        if outside and self._read_many is not None:
            yield from self._read_many(outside)

    def can_read(self, offset: int, size_bytes: int) -> bool:
        """Whether `at` may be asked for bytes of a chunk."""
        return self.is_random or offset + size_bytes <= len(self._first)


class PartTable(NamedTuple):
    """The offset table of one part, as it stands in the file."""

    chunks: ChunkLayout
    offsets: array[int]
    missing: int  # zero offsets
    lowest: int  # of those that are not zero
    highest: int

    @property
    def is_empty(self) -> bool:
        """Whether no chunk has an offset: the file was never closed."""
        return not self.highest


def part_table(chunks: ChunkLayout, offsets: array[int]) -> PartTable:
    """The table with its bounds: a table has up to millions of offsets, each look at all of them counts."""
    lowest, highest = min(offsets, default=0), max(offsets, default=0)
    if lowest or not highest:
        return PartTable(chunks, offsets, 0 if lowest else len(offsets), lowest, highest)
    return PartTable(chunks, offsets, offsets.count(0), min(filter(None, offsets)), highest)


def table_offsets(data: bytes) -> array[int]:
    """The offsets of a table's bytes."""
    offsets = array("Q", data)
    if sys.byteorder == "big":
        offsets.byteswap()
    return offsets


def zero_ranges(offsets: array[int]) -> list[list[int]]:
    """The first runs of zeros, each as [first index, last index]."""
    ranges: list[list[int]] = []
    for index, offset in enumerate(offsets):
        if offset:
            continue
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1][1] = index
        elif len(ranges) == MAX_MISSING_RANGES:
            break
        else:
            ranges.append([index, index])
    return ranges
