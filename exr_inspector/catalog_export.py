"""The four tables as Parquet files, one each. A file has its name only when all four are whole and on the disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from exr_inspector.catalog import Catalog
from exr_inspector.errors import Problem
from exr_inspector.stores.base import StoreError
from exr_inspector.tables import SCHEMAS


def export_parquet(catalog: Catalog, directory: str | os.PathLike[str]) -> dict[str, int]:
    """Writes `files.parquet`, `parts.parquet`, `channels.parquet` and `attributes.parquet`; returns their row counts.

    The directory is made if it is missing; files of an earlier export are replaced, all at the end. A catalog that is
    open for reading does not change meanwhile. Raises StoreError.
    """
    folder = os.fspath(directory)
    temporary = {name: os.path.join(folder, f".{name}-{os.urandom(8).hex()}.tmp") for name in SCHEMAS}
    try:
        os.makedirs(folder, exist_ok=True)
        counts = {name: _write(catalog.table(name, SCHEMAS[name]), SCHEMAS[name], temporary[name]) for name in SCHEMAS}
        for name, path in temporary.items():
            os.replace(path, os.path.join(folder, f"{name}.parquet"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(Problem("store_failed", f"{folder} cannot be written: {reason}")) from error
    finally:
        _remove(temporary)
    return counts


def parquet_schema(schema: pa.Schema) -> pa.Schema:
    """The schema as Parquet has it: vectors are lists, for pyarrow writes none of a fixed length that may be null."""
    fields = [field.with_type(_parquet_type(field.type)) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def _parquet_type(type_: pa.DataType) -> pa.DataType:
    return pa.list_(type_.value_field) if pa.types.is_fixed_size_list(type_) else type_


def _write(batches: pa.RecordBatchReader, schema: pa.Schema, path: str) -> int:
    count, written = 0, parquet_schema(schema)
    with open(path, "xb") as file:
        with pq.ParquetWriter(file, written, compression="zstd") as writer:
            for batch in batches:
                columns = [_of_type(batch.column(field.name), field.type) for field in written]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=written))
                count += batch.num_rows
        file.flush()
        os.fsync(file.fileno())
    return count


def _of_type(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """DuckDB's array as the schema has it: its vectors do not say that their elements are never null."""
    if not pa.types.is_list(type_):
        return array.cast(type_)
    lengths = pc.if_else(array.is_valid(), array.type.list_size, 0).cast(pa.int64())
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)]).cast(pa.int32())
    return pa.ListArray.from_arrays(offsets, array.flatten(), type=type_, mask=array.is_null())


def _remove(paths: Mapping[str, str]) -> None:
    for path in paths.values():
        with suppress(OSError):
            os.unlink(path)
