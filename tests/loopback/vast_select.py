"""A select: rows are split among fibers by row group, filtered, cut into pages, and framed.

A client asks for one split of several, each of some sub-splits; every (split, sub-split) is a fiber that
reads so many row groups, then skips those of the other fibers. A fiber's answer ends with the row to go on
from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from . import vast_predicate, vast_wire
from .vast_errors import ApiError
from .vast_rows import LogView, Numbers
from .vast_tables import TableEntry
from .vast_wire import NO_MORE_ROWS, Query

ROWS_PER_GROUP = 1 << 16
ESTIMATION_SPLIT = 0xFFFFFFFC  # asks only how many row groups there are
MAX_FIBER_BYTES = 32 << 20  # a fiber ends its page here, so that no answer is held whole in memory
DEFAULT_LIMIT = 1 << 17


@dataclass(frozen=True)
class Page:
    """Which part of a select's rows one request asks for."""

    split: int
    splits: int
    groups_per_fiber: int
    sub_splits: int
    starts: Mapping[int, int]
    limit: int

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Page:
        """Read the page from a request's headers."""
        try:
            split, splits, groups = map(int, headers["tabular-split"].split(","))
            sub_splits = int(headers["tabular-num-of-subsplits"])
            starts = [headers.get(f"tabular-start-row-id-{i}") or f"{i},0" for i in range(sub_splits)]
            pairs = [(int(start.split(",")[0]), int(start.split(",")[1])) for start in starts]
            limit = int(headers.get("tabular-limit-rows") or DEFAULT_LIMIT)
            queue_priority = int(headers.get("tabular-schedule-id") or 0)
        except (KeyError, ValueError, IndexError) as error:
            raise ApiError("InvalidArgument", f"bad select headers: {error}") from error
        if queue_priority < 0 or min(splits, groups, sub_splits, limit) < 1:
            raise ApiError("InvalidArgument", "a select header is out of range")
        return cls(split, splits, groups, sub_splits, dict(pairs), limit)


def select(entry: TableEntry, view: LogView, body: bytes, page: Page) -> bytes:
    """Return the whole answer to a select."""
    table = _Reader(entry, view)
    query = vast_wire.read_query(body, table.type_of)
    if page.split == ESTIMATION_SPLIT:
        groups = -(-len(view.row_ids) // ROWS_PER_GROUP)
        return vast_wire.frames(0, NO_MORE_ROWS, [], groups) + vast_wire.STREAM_COMPLETED
    answers = [_fiber(table, query, page, sub_split) for sub_split in range(page.sub_splits)]
    return b"".join(answers) + vast_wire.STREAM_COMPLETED


def _fiber(table: _Reader, query: Query, page: Page, sub_split: int) -> bytes:
    start = page.starts[sub_split]
    rows = np.empty(0, dtype=np.int64) if start == NO_MORE_ROWS else _rows_of(table.view, page, sub_split, start)
    if query.predicate is not None and len(rows):
        rows = table.matching(query.predicate, rows)
    limit = min(page.limit, table.rows_per_page)
    next_row = int(table.view.row_ids[rows[limit]]) if len(rows) > limit else NO_MORE_ROWS
    rows = rows[:limit]
    columns = [table.column(name, rows) for name in query.columns]
    return vast_wire.frames(sub_split, next_row, columns, len(rows))


def _rows_of(view: LogView, page: Page, sub_split: int, start: int) -> Numbers:
    """Return the indices of the view's rows from `start` on that belong to one fiber."""
    first = int(np.searchsorted(view.row_ids, start))
    rows: Numbers = np.arange(first, len(view.row_ids))
    fibers = page.splits * page.sub_splits
    block = view.row_ids[first:] // (ROWS_PER_GROUP * page.groups_per_fiber)
    mine: Numbers = rows[block % fibers == page.split * page.sub_splits + sub_split]
    return mine


class _Reader:
    """A table's columns by name, `$row_id` among them."""

    def __init__(self, entry: TableEntry, view: LogView) -> None:
        self.view = view
        self._entry = entry
        self.rows_per_page = max(1, int(MAX_FIBER_BYTES / max(1.0, view.bytes_per_row())))

    def type_of(self, name: str) -> pa.DataType:
        """Return a column's type."""
        if name == vast_wire.ROW_ID:
            return vast_wire.WIDE_ROW_ID if self._entry.wide_row_ids else vast_wire.NARROW_ROW_ID
        return self._entry.column(name).field.type

    def column(self, name: str, rows: Numbers) -> pa.Array:
        """Return a column's values at the view's indices `rows`."""
        if name == vast_wire.ROW_ID:
            return vast_wire.row_id_array(self.view.row_ids[rows], wide=self._entry.wide_row_ids)
        column = self._entry.column(name)
        return self.view.column(column.column_id, column.field.type, rows)

    def matching(self, predicate: vast_predicate.Predicate, rows: Numbers) -> Numbers:
        """Return those of `rows` that the predicate is true of."""
        found = vast_predicate.evaluate(predicate, lambda name: self.column(name, rows))
        matching: Numbers = rows[found.fill_null(fill_value=False).to_numpy(zero_copy_only=False)]
        return matching
