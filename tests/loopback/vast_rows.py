"""Row versions of one table: an append-only log that many snapshots read at once.

An update appends a new version of the row and ends the old one, a delete only ends it. A version is seen by
a snapshot when it began at or before it and had not ended by then; a transaction also sees its own versions.
Versions are numbered by position in the log, rows by row id; a read returns versions in row id order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .vast_errors import ApiError, conflict

Numbers = npt.NDArray[np.int64]

FOREVER = 1 << 62  # a version that has not ended, or not begun for anyone but its writer
DISCARDED = -1  # the end of a version that was rolled back
VACUUM_MIN_DEAD = 4096  # below this, rewriting the log costs more than it saves
EMPTY: Numbers = np.empty(0, dtype=np.int64)


@dataclass
class Writes:
    """What one open transaction did to one table, by position in its log."""

    created: Numbers = field(default_factory=lambda: EMPTY)
    ended: Numbers = field(default_factory=lambda: EMPTY)
    locked: set[int] = field(default_factory=set)  # row ids


@dataclass(frozen=True)
class Claim:
    """Who changes rows, and what they see."""

    txid: int
    snapshot: int
    writes: Writes


@dataclass(frozen=True)
class Segment:
    """A run of versions: for each column id an array; a column added later is absent."""

    length: int
    columns: Mapping[int, pa.Array]

    def column(self, column_id: int, arrow_type: pa.DataType) -> pa.Array:
        """Return the column's values, nulls if the column is younger than the segment."""
        found = self.columns.get(column_id)
        return nulls(self.length, arrow_type) if found is None else found

    @cached_property
    def size_bytes(self) -> int:
        """How much memory the arrays take."""
        return sum(array.nbytes for array in self.columns.values())

    def join(self, other: Segment) -> Segment:
        """Return this segment followed by `other`."""
        types = {i: a.type for i, a in (*self.columns.items(), *other.columns.items())}
        joined = {i: pa.concat_arrays([self.column(i, t), other.column(i, t)]) for i, t in types.items()}
        return Segment(self.length + other.length, joined)


def nulls(length: int, arrow_type: pa.DataType) -> pa.Array:
    """Return `length` nulls, with vector items that are not null themselves (the wire forbids that)."""
    if not pa.types.is_fixed_size_list(arrow_type):
        return pa.nulls(length, arrow_type)
    size, item_type = length * arrow_type.list_size, arrow_type.value_type
    zeros = pa.py_buffer(bytes(size * item_type.bit_width // 8))
    items = pa.Array.from_buffers(item_type, size, [None, zeros])
    return pa.FixedSizeListArray.from_arrays(items, type=arrow_type, mask=pa.array(np.ones(length, dtype=bool)))


class GrowingNumbers:
    """An int64 array that is appended to in amortised constant time."""

    def __init__(self) -> None:
        self._buffer: Numbers = np.empty(64, dtype=np.int64)
        self._length = 0

    def replace(self, values: Numbers) -> None:
        """Forget all values but these."""
        self._buffer, self._length = values.copy(), len(values)

    def extend(self, values: Numbers | int, count: int) -> None:
        """Append `count` values (or one value `count` times)."""
        needed = self._length + count
        if needed > len(self._buffer):
            grown: Numbers = np.empty(2 * needed, dtype=np.int64)
            grown[: self._length] = self.values
            self._buffer = grown
        self._buffer[self._length : needed] = values
        self._length = needed

    @property
    def values(self) -> Numbers:
        """The values so far, as a view that may be written to."""
        return self._buffer[: self._length]


@dataclass(frozen=True)
class LogView:
    """What one transaction sees of a log: positions in row id order, safe to read without the lock."""

    segments: tuple[Segment, ...]
    positions: Numbers
    row_ids: Numbers

    def column(self, column_id: int, arrow_type: pa.DataType, chosen: Numbers | None = None) -> pa.Array:
        """Return a column's values, of all visible rows or of those at the indices `chosen`."""
        positions = self.positions if chosen is None else self.positions[chosen]
        return take(self.segments, column_id, arrow_type, positions)

    def bytes_per_row(self) -> float:
        """Return the average size of a stored version."""
        length = sum(segment.length for segment in self.segments)
        size = sum(segment.size_bytes for segment in self.segments)
        return size / length if length else 0.0


def take(segments: Sequence[Segment], column_id: int, arrow_type: pa.DataType, positions: Numbers) -> pa.Array:
    """Return a column's values at `positions`, as one array; a nested one shares no children with the log."""
    if not len(positions):
        return pa.array([], type=arrow_type)
    bounds = np.cumsum([0, *(segment.length for segment in segments)])
    homes = np.searchsorted(bounds, positions, side="right") - 1
    order = np.argsort(homes, kind="stable")
    parts = []
    for home in np.unique(homes).tolist():
        values = segments[home].column(column_id, arrow_type)
        parts.append(_take_local(values, positions[order[homes[order] == home]] - bounds[home]))
    joined = pa.concat_arrays(parts) if len(parts) > 1 else parts[0]
    return joined if _ascending(order) else joined.take(pa.array(np.argsort(order)))


def _take_local(values: pa.Array, positions: Numbers) -> pa.Array:
    """Return the values at `positions`: a slice where that does, for it costs nothing."""
    contiguous = positions[-1] - positions[0] == len(positions) - 1 and _ascending(positions)
    if contiguous and not pa.types.is_nested(values.type):
        return values.slice(int(positions[0]), len(positions))
    return values.take(pa.array(positions))


def _ascending(numbers: Numbers) -> bool:
    return bool(np.all(numbers[1:] > numbers[:-1]))


class RowLog:
    """The versions of one table's rows. Not thread-safe: the database's lock guards it."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.next_row_id = 0
        self._row_ids = GrowingNumbers()
        self._begins = GrowingNumbers()
        self._ends = GrowingNumbers()
        self._owners: dict[int, int] = {}  # row id -> the open transaction that changed it
        self._dead = 0

    def __len__(self) -> int:
        return len(self._row_ids.values)

    def view(self, snapshot: int, writes: Writes) -> LogView:
        """Return what a transaction with this snapshot and these own writes sees."""
        seen = (self._begins.values <= snapshot) & (self._ends.values > snapshot)
        seen[writes.created] = True
        seen[writes.ended] = False
        positions = np.flatnonzero(seen)
        row_ids = self._row_ids.values[positions]
        if not _ascending(row_ids):
            order = np.argsort(row_ids, kind="stable")
            positions, row_ids = positions[order], row_ids[order]
        return LogView(tuple(self.segments), positions, row_ids)

    def insert(self, columns: Mapping[int, pa.Array], count: int, writes: Writes) -> Numbers:
        """Append new rows for an open transaction; return their row ids."""
        row_ids: Numbers = np.arange(self.next_row_id, self.next_row_id + count, dtype=np.int64)
        self.next_row_id += count
        self._append(columns, row_ids, writes)
        return row_ids

    def update(
        self, rows: Numbers, new: Mapping[int, pa.Array], types: Mapping[int, pa.DataType], claim: Claim
    ) -> None:
        """Replace the columns `new` of the given rows, keeping the other columns in `types`."""
        positions = self._claim(rows, claim)
        kept = {i: take(self.segments, i, t, positions) for i, t in types.items() if i not in new}
        claim.writes.ended = np.concatenate([claim.writes.ended, positions])
        self._append({**kept, **new}, rows, claim.writes)

    def delete(self, rows: Numbers, claim: Claim) -> None:
        """End the given rows for an open transaction."""
        positions = self._claim(rows, claim)
        claim.writes.ended = np.concatenate([claim.writes.ended, positions])

    def _append(self, columns: Mapping[int, pa.Array], row_ids: Numbers, writes: Writes) -> None:
        start, count = len(self), len(row_ids)
        if not count:
            return
        self._row_ids.extend(row_ids, count)
        self._begins.extend(FOREVER, count)
        self._ends.extend(FOREVER, count)
        writes.created = np.concatenate([writes.created, np.arange(start, start + count)])
        self.segments.append(Segment(count, columns))
        while len(self.segments) > 1 and self.segments[-2].length <= 2 * self.segments[-1].length:
            last = self.segments.pop()
            self.segments[-1] = self.segments[-1].join(last)

    def _claim(self, rows: Numbers, claim: Claim) -> Numbers:
        """Lock rows for a transaction: first updater wins. Return the positions it sees them at."""
        view = self.view(claim.snapshot, claim.writes)
        found = np.searchsorted(view.row_ids, rows)
        if len(rows) and (found[-1] >= len(view.row_ids) or not np.array_equal(view.row_ids[found], rows)):
            raise ApiError("TabularNoSuchRow", "a row id is not that of a visible row")
        positions = view.positions[found]
        ends = self._ends.values[positions]
        if np.any(ends != FOREVER):
            raise conflict("a row was changed by a transaction that committed after this one began")
        if any(self._owners.get(row, claim.txid) != claim.txid for row in rows.tolist()):
            raise conflict("a row is being changed by another open transaction")
        self._owners.update(dict.fromkeys(rows.tolist(), claim.txid))
        claim.writes.locked.update(rows.tolist())
        return positions

    def commit(self, writes: Writes, number: int) -> None:
        """Make a transaction's writes visible from commit `number` on."""
        self._begins.values[writes.created] = number
        self._ends.values[writes.ended] = number
        self._release(writes, len(writes.ended))

    def rollback(self, writes: Writes) -> None:
        """Discard a transaction's writes."""
        self._ends.values[writes.created] = DISCARDED
        self._release(writes, len(writes.created))

    def _release(self, writes: Writes, dead: int) -> None:
        for row in writes.locked:
            self._owners.pop(row, None)
        self._dead += dead

    def vacuum(self, oldest_snapshot: int, open_writes: Iterable[Writes]) -> None:
        """Drop the versions that no snapshot can see, if they are many."""
        if self._dead < max(VACUUM_MIN_DEAD, len(self) - self._dead):
            return
        keep = self._ends.values > oldest_snapshot
        renumbered = np.cumsum(keep) - 1
        for writes in open_writes:
            writes.created = renumbered[writes.created]
            writes.ended = renumbered[writes.ended]
        self._rewrite(np.flatnonzero(keep))

    def _rewrite(self, kept: Numbers) -> None:
        types = {i: array.type for segment in self.segments for i, array in segment.columns.items()}
        columns = {i: take(self.segments, i, t, kept) for i, t in types.items()}
        self.segments = [Segment(len(kept), columns)] if len(kept) else []
        for numbers in (self._row_ids, self._begins, self._ends):
            numbers.replace(numbers.values[kept])
        self._dead = 0
