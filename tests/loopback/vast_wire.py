"""The bodies that go over the wire: flatbuffers, Arrow IPC messages, and the frames of a select's answer."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import flatbuffers
import numpy as np
import pyarrow as pa
from vastdb.vast_flatbuf.org.apache.arrow.computeir.flatbuf.Relation import Relation
from vastdb.vast_flatbuf.org.apache.arrow.computeir.flatbuf.RelationImpl import RelationImpl
from vastdb.vast_flatbuf.org.apache.arrow.computeir.flatbuf.Source import Source
from vastdb.vast_flatbuf.tabular import (
    GetTableStatsResponse,
    ListSchemasResponse,
    ListTablesResponse,
    ObjectDetails,
    VectorIndexMetadata,
    VipRange,
)

from . import vast_predicate
from .vast_errors import ApiError
from .vast_predicate import Node, Predicate
from .vast_rows import Numbers
from .vast_tables import VectorIndex

ROW_ID = "$row_id"
NARROW_ROW_ID = pa.uint64()
WIDE_ROW_ID = pa.decimal128(38, 0)
NO_MORE_ROWS = (1 << 48) - 1
STREAM_COMPLETED = struct.pack("<L", 0xFFFFFFFE)
STREAM_FAILED = struct.pack("<LQL", 0xFFFFFFFD, 1, 0)  # error code 1, no further bytes
END_OF_IPC_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"

_WIDE_SHIFT = 64  # wide row ids do not fit 64 bits, so that nobody squeezes them into uint64
_SQL_FUNCTIONS = {"l2sq": "array_distance", "ip": "array_inner_product"}

Builder: TypeAlias = flatbuffers.Builder


# Arrow messages


def read_batch(body: bytes) -> pa.RecordBatch:
    """Return the one record batch of an IPC stream; a stream without one gives an empty batch."""
    try:
        with pa.ipc.open_stream(body) as reader:
            batches = list(reader)
    except pa.ArrowInvalid as error:
        raise ApiError("InvalidArgument", f"not an Arrow stream: {error}") from error
    if len(batches) > 1:
        raise ApiError("InvalidArgument", "the server takes a single record batch a request")
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=reader.schema)


def read_schema(body: bytes) -> pa.Schema:
    """Return the schema of an IPC schema message."""
    try:
        return pa.ipc.read_schema(pa.py_buffer(body))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, EOFError) as error:
        raise ApiError("InvalidArgument", f"not an Arrow schema: {error}") from error


def stream_of(batch: pa.RecordBatch) -> bytes:
    """Return the batch as an IPC stream."""
    return bytes(batch.schema.serialize()) + bytes(batch.serialize()) + END_OF_IPC_STREAM


def row_id_array(row_ids: Numbers, *, wide: bool) -> pa.Array:
    """Return row ids as the wire has them."""
    if not wide:
        return pa.array(row_ids.astype(np.uint64))
    words = np.ones((len(row_ids), 2), dtype="<i8")  # low word the id, high word 1
    words[:, 0] = row_ids
    return pa.Array.from_buffers(WIDE_ROW_ID, len(row_ids), [None, pa.py_buffer(words.tobytes())])


def row_ids_of(array: pa.Array, *, wide: bool) -> Numbers:
    """Return the row ids of a request's first column."""
    expected = WIDE_ROW_ID if wide else NARROW_ROW_ID
    if array.type != expected or array.null_count:
        message = f"{ROW_ID} must be {expected} without nulls, not {array.type}"
        raise ApiError("TabularMismatchColumnType", message)
    if wide:
        return np.array([int(value) - (1 << _WIDE_SHIFT) for value in array.to_pylist()], dtype=np.int64)
    row_ids: Numbers = array.to_numpy().astype(np.int64)
    return row_ids


# Lists and statistics


def _strings(builder: Builder, *texts: str) -> list[int]:
    return [builder.CreateString(text) for text in texts]


def _vector(builder: Builder, start: Callable[[Builder, int], int], offsets: Sequence[int]) -> int:
    start(builder, len(offsets))
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _finish(builder: Builder, root: int) -> bytes:
    builder.Finish(root)
    return bytes(builder.Output())


@dataclass(frozen=True)
class ListedTable:
    """What a list says of a table."""

    name: str
    handle: int = 0
    num_rows: int = 0
    size_bytes: int = 0
    sorted: bool = False


def _details(builder: Builder, listed: ListedTable) -> int:
    name, properties, handle = _strings(builder, listed.name, "", str(listed.handle))
    ObjectDetails.Start(builder)
    ObjectDetails.AddName(builder, name)
    ObjectDetails.AddProperties(builder, properties)
    ObjectDetails.AddHandle(builder, handle)
    ObjectDetails.AddNumRows(builder, listed.num_rows)
    ObjectDetails.AddSizeInBytes(builder, listed.size_bytes)
    ObjectDetails.AddSortingKeyEnabled(builder, listed.sorted)
    return int(ObjectDetails.End(builder))


def schema_list(bucket: str, names: Iterable[str]) -> bytes:
    """Return a ListSchemasResponse."""
    builder = Builder(256)
    details = [_details(builder, ListedTable(name)) for name in names]
    schemas = _vector(builder, ListSchemasResponse.StartSchemasVector, details)
    (bucket_name,) = _strings(builder, bucket)
    ListSchemasResponse.Start(builder)
    ListSchemasResponse.AddBucketName(builder, bucket_name)
    ListSchemasResponse.AddSchemas(builder, schemas)
    return _finish(builder, ListSchemasResponse.End(builder))


def table_list(bucket: str, schema: str, tables: Iterable[ListedTable]) -> bytes:
    """Return a ListTablesResponse."""
    builder = Builder(256)
    details = [_details(builder, listed) for listed in tables]
    vector = _vector(builder, ListTablesResponse.StartTablesVector, details)
    bucket_name, schema_name = _strings(builder, bucket, schema)
    ListTablesResponse.Start(builder)
    ListTablesResponse.AddBucketName(builder, bucket_name)
    ListTablesResponse.AddSchemaName(builder, schema_name)
    ListTablesResponse.AddTables(builder, vector)
    return _finish(builder, ListTablesResponse.End(builder))


def table_stats(listed: ListedTable, addresses: Iterable[str], index: VectorIndex | None) -> bytes:
    """Return a GetTableStatsResponse; `addresses` are where selects go."""
    builder = Builder(256)
    vips = _vector(builder, GetTableStatsResponse.StartVipsVector, [_vip(builder, a) for a in addresses])
    index_offset = None if index is None else _vector_index(builder, index)
    GetTableStatsResponse.Start(builder)
    GetTableStatsResponse.AddNumRows(builder, listed.num_rows)
    GetTableStatsResponse.AddSizeInBytes(builder, listed.size_bytes)
    GetTableStatsResponse.AddVips(builder, vips)
    GetTableStatsResponse.AddSortingKeyEnabled(builder, listed.sorted)
    if index_offset is not None:
        GetTableStatsResponse.AddVectorIndexMetadata(builder, index_offset)
    return _finish(builder, GetTableStatsResponse.End(builder))


def _vip(builder: Builder, address: str) -> int:
    (start,) = _strings(builder, address)
    VipRange.Start(builder)
    VipRange.AddStartAddress(builder, start)
    VipRange.AddAddressCount(builder, 1)
    return int(VipRange.End(builder))


def _vector_index(builder: Builder, index: VectorIndex) -> int:
    function = _SQL_FUNCTIONS[index.distance_metric]
    column, metric, sql_function, cluster, search = _strings(
        builder,
        index.column,
        index.distance_metric,
        function,
        index.cluster_quantization,
        index.search_quantization,
    )
    VectorIndexMetadata.Start(builder)
    VectorIndexMetadata.AddColumnName(builder, column)
    VectorIndexMetadata.AddDistanceMetric(builder, metric)
    VectorIndexMetadata.AddSqlFunctionName(builder, sql_function)
    VectorIndexMetadata.AddClusterQuantization(builder, cluster)
    VectorIndexMetadata.AddSearchQuantization(builder, search)
    return int(VectorIndexMetadata.End(builder))


# Select


@dataclass(frozen=True)
class Query:
    """A select: the columns to return, in order, and the filter."""

    columns: tuple[str, ...]
    predicate: Predicate | None


def read_query(body: bytes, type_of: Callable[[str], pa.DataType]) -> Query:
    """Decode a select's relation; `type_of` gives the table's type of a column."""
    source = _source(body)
    schema = source.Schema()
    names = [schema.Fields(i).Name().decode() for i in range(schema.FieldsLength())]
    nodes = [node for name in names for node in vast_predicate.nodes_of(name, type_of(name))]
    positions = [source.Projection(i).Position() for i in range(source.ProjectionLength())]
    return Query(_projected(nodes, positions), _filter(source.Filter(), nodes))


def _source(body: bytes) -> Any:
    relation = Relation.GetRootAs(body)
    if relation.ImplType() != RelationImpl.Source:
        raise ApiError("InvalidArgument", "a select's relation must be a source")
    table = relation.Impl()
    source = Source()
    source.Init(table.Bytes, table.Pos)
    return source


def _projected(nodes: Sequence[Node], positions: Sequence[int]) -> tuple[str, ...]:
    """Return the top-level columns whose leaves are asked for; the SDK always asks for whole columns."""
    if any(position >= len(nodes) or not nodes[position].is_leaf for position in positions):
        raise ApiError("InvalidArgument", "a projection names leaf columns")
    return tuple(dict.fromkeys(nodes[position].column for position in positions))


def _filter(expression: Any, nodes: Sequence[Node]) -> Predicate | None:
    """Decode the filter; the SDK sends an `and` of nothing where there is none."""
    if expression is None or vast_predicate.is_empty(expression):
        return None
    return vast_predicate.decode(expression, nodes)


def leaf_arrays(array: pa.Array) -> list[pa.Array]:
    """Split a column into one array per leaf, each with the nesting levels above it.

    The array must not be a slice. A map goes as a list of structs of one field (see the SDK's FieldNode).
    """
    arrow_type = array.type
    if pa.types.is_struct(arrow_type):
        children = [array.field(i) for i in range(arrow_type.num_fields)]
        leaves = [leaf for child in children for leaf in leaf_arrays(child)]
        return [_wrap(array, pa.struct([("", leaf.type)]), leaf) for leaf in leaves]
    if pa.types.is_map(arrow_type):
        entries = [_struct_of(leaf) for child in (array.keys, array.items) for leaf in leaf_arrays(child)]
        return [_wrap(array, pa.list_(entry.type), entry) for entry in entries]
    if pa.types.is_list(arrow_type):
        return [_wrap(array, pa.list_(leaf.type), leaf) for leaf in leaf_arrays(array.values)]
    if pa.types.is_fixed_size_list(arrow_type):
        item = arrow_type.value_field
        return [
            _wrap(array, pa.list_(item.with_type(leaf.type), arrow_type.list_size), leaf)
            for leaf in leaf_arrays(array.values)
        ]
    return [array]


def _wrap(parent: pa.Array, arrow_type: pa.DataType, child: pa.Array) -> pa.Array:
    buffers = parent.buffers()[: arrow_type.num_buffers]
    return pa.Array.from_buffers(arrow_type, len(parent), buffers, children=[child])


def _struct_of(child: pa.Array) -> pa.Array:
    return pa.Array.from_buffers(pa.struct([("", child.type)]), len(child), [None], children=[child])


def frames(stream_id: int, next_row: int, columns: Sequence[pa.Array], num_rows: int) -> bytes:
    """Return the frames of one sub-split's rows: each leaf column is an IPC stream of its own."""
    prefix = struct.pack("<LQ", stream_id, next_row)
    if not columns:
        return _framed(prefix, _schema_message(None), _batch_without_columns(num_rows))
    leaves = [leaf for column in columns for leaf in leaf_arrays(column)]
    return b"".join(_framed(prefix, _schema_message(leaf.type), _batch_message(leaf)) for leaf in leaves)


def _framed(prefix: bytes, *messages: bytes) -> bytes:
    return b"".join(prefix + message for message in (*messages, END_OF_IPC_STREAM))


@lru_cache(maxsize=256)
def _schema_message(arrow_type: pa.DataType | None) -> bytes:
    schema = pa.schema([] if arrow_type is None else [("leaf", arrow_type)])
    return bytes(schema.serialize())


def _batch_message(leaf: pa.Array) -> bytes:
    if not len(leaf):
        return _empty_batch_message(leaf.type)
    return bytes(pa.RecordBatch.from_arrays([leaf], names=["leaf"]).serialize())


@lru_cache(maxsize=256)
def _empty_batch_message(arrow_type: pa.DataType) -> bytes:
    empty = pa.array([], type=arrow_type)
    return bytes(pa.RecordBatch.from_arrays([empty], names=["leaf"]).serialize())


def _batch_without_columns(num_rows: int) -> bytes:
    """Return a record batch that has rows but no columns: how the server tells a bare row count."""
    counted = pa.RecordBatch.from_arrays([pa.nulls(num_rows)], names=["n"])
    return bytes(counted.select([]).serialize())
