"""What a schema and a table are: the entries of the database's catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from . import vast_types
from .vast_errors import ApiError
from .vast_rows import Numbers, RowLog

Path = tuple[str, ...]

SCHEMA_DEPTH = 2
TABLE_DEPTH = 3


@dataclass(frozen=True)
class Column:
    """A table's column; the id stays when the name changes."""

    column_id: int
    field: pa.Field


@dataclass(frozen=True)
class VectorIndex:
    """What a table says of its vector index."""

    column: str
    distance_metric: str
    cluster_quantization: str
    search_quantization: str


@dataclass(frozen=True)
class SchemaEntry:
    """A schema: a container of tables and of further schemas."""


@dataclass(frozen=True, eq=False)
class TableEntry:
    """A table's description, and the log of its rows."""

    handle: int
    columns: tuple[Column, ...]
    sorted_by: tuple[int, ...] = ()  # column ids
    vector_index: VectorIndex | None = None
    log: RowLog = field(default_factory=RowLog)
    max_cell_bytes: int | None = None

    @property
    def wide_row_ids(self) -> bool:
        """Whether row ids are decimal128(38, 0) on the wire, not uint64."""
        return bool(self.sorted_by) or self.vector_index is not None

    def column(self, name: str) -> Column:
        """Return the column of that name."""
        for column in self.columns:
            if column.field.name == name:
                return column
        raise ApiError("TabularNoSuchColumn", f"no column {name}")

    def types(self) -> dict[int, pa.DataType]:
        """Return the Arrow type of each column id."""
        return {column.column_id: column.field.type for column in self.columns}

    def fixed_columns(self) -> set[int]:
        """Return the ids of the columns that cannot be updated."""
        index = self.vector_index
        return {*self.sorted_by, *([self.column(index.column).column_id] if index else ())}

    def checked(self, batch: pa.RecordBatch) -> dict[int, pa.Array]:
        """Return the columns of a sent batch by column id."""
        columns = {}
        for sent, array in zip(batch.schema, batch.columns, strict=True):
            column = self.column(sent.name)
            vast_types.check_sent_field(column.field, sent)
            vast_types.check_cells(array, sent.name, self.max_cell_bytes)
            columns[column.column_id] = array
        return columns


Entry = SchemaEntry | TableEntry


class NoSortColumn(ApiError):
    """A sorting key names a column that is not there; server versions tell it differently."""

    def __init__(self) -> None:
        super().__init__("InvalidArgument", "no such column to sort by")


def schema_below(path: Path, parent: Path) -> bool:
    """Whether `path` is a schema directly below the schema `parent` ((bucket, "") is the root)."""
    if len(path) != SCHEMA_DEPTH or path[0] != parent[0]:
        return False
    prefix = f"{parent[1]}/" if parent[1] else ""
    return path[1].startswith(prefix) and "/" not in path[1][len(prefix) :]


def inside(path: Path, schema: Path) -> bool:
    """Whether `path` is anything within the schema, at any depth, but not the schema itself."""
    deeper = path[1].startswith(f"{schema[1]}/") or (len(path) == TABLE_DEPTH and path[1] == schema[1])
    return path[0] == schema[0] and deeper


def sort_ids(entry: TableEntry, indices: Sequence[int]) -> tuple[int, ...]:
    """Return the ids of the columns at these indices."""
    if any(index >= len(entry.columns) for index in indices):
        raise NoSortColumn
    return tuple(entry.columns[index].column_id for index in indices)


def ascending_rows(rows: Numbers, batch: pa.RecordBatch) -> tuple[Numbers, pa.RecordBatch]:
    """Return row ids and their batch in row id order; refuse a row that comes twice."""
    order = np.argsort(rows, kind="stable")
    if np.any(np.diff(rows[order]) == 0):
        raise ApiError("InvalidArgument", "a row id comes twice in one request")
    return (rows, batch) if np.array_equal(rows[order], rows) else (rows[order], batch.take(pa.array(order)))
