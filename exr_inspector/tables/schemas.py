"""The four tables, column by column: the only home of their names, types and meanings.

The descriptions become the Arrow fields' metadata (key `description`), the SQL comments and the table in the docs.
DuckDB, VAST and Parquet all take these schemas as they are. Geometry is int64, although headers hold int32:
windows are hostile, and sums of them overflow.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from exr_inspector.embedding.weights import FINGERPRINT_DIM, METADATA_DIM


class Column(NamedTuple):
    """One column. Only keys are not nullable."""

    name: str
    type: pa.DataType
    description: str
    nullable: bool = True


def vector_type(dim: int) -> pa.DataType:
    """float32[dim], no element null: the only shape of vector that VAST takes."""
    return pa.list_(pa.field("item", pa.float32(), nullable=False), dim)


_TEXT, _BOOL, _TIME = pa.utf8(), pa.bool_(), pa.timestamp("us")
_I32, _I64, _F32, _F64 = pa.int32(), pa.int64(), pa.float32(), pa.float64()

_FILE_ID = Column("file_id", _TEXT, "first 32 hex digits of SHA-256 over file_path_normalized, NUL, header_hash", False)
_FILE_PATH = Column("file_path", _TEXT, "the path as it was given", False)
_PART_INDEX = Column("part_index", _I32, "the part's number in the file, from 0", False)

TABLES: dict[str, tuple[Column, ...]] = {
    "files": (
        _FILE_ID,
        _FILE_PATH,
        Column("file_path_normalized", _TEXT, "the path made absolute, forward slashes, no . or ..", False),
        Column("header_hash", _TEXT, "SHA-256 of the header's bytes; null if the header could not be walked"),
        Column("size_bytes", _I64, "the file's size"),
        Column("mtime", _TIME, "last modification, UTC"),
        Column("etag", _TEXT, "the object's ETag (S3)"),
        Column("s3_version_id", _TEXT, "the object's version (S3)"),
        Column("multipart_count", _I32, "number of parts"),
        Column("is_deep", _BOOL, "any part is deep"),
        Column("is_tiled", _BOOL, "any part is tiled"),
        Column("frame_number", _I64, "last group of digits in the file's name"),
        Column("metadata_embedding", vector_type(METADATA_DIM), "structure as a vector; null without header_hash"),
        Column("inspection_timestamp", _TIME, "first committed inspection, UTC"),
        Column("inspection_count", _I64, "committed inspections, redeliveries included"),
        Column("last_inspected", _TIME, "latest committed inspection, UTC"),
        Column(
            "integrity", _TEXT, "complete, table_complete, incomplete, truncated, trailing, inconsistent, unchecked"
        ),
        Column("error_count", _I32, "entries of the document's errors"),
        Column("validation_status", _TEXT, "the policy's verdict"),
        Column("validation", _TEXT, "the policy's findings (JSON)"),
        Column("stats", _TEXT, "statistics (JSON)"),
        Column("schema_version", _TEXT, "version of the document's schema"),
        Column("inspector_version", _TEXT, "version of the program that wrote the row"),
        Column("embedding_version", _TEXT, "version of the vectors; null where there is none"),
        Column("raw_output", _TEXT, "the document (JSON), values over 64 KiB cut; null if still above 1 MiB"),
    ),
    "parts": (
        _FILE_ID,
        _FILE_PATH,
        _PART_INDEX,
        Column("part_name", _TEXT, "attribute name"),
        Column("view_name", _TEXT, "attribute view"),
        Column("multi_view", _TEXT, "attribute multiView (JSON)"),
        Column("part_type", _TEXT, "scanlineimage, tiledimage, deepscanline or deeptile"),
        Column("data_window", _TEXT, "attribute dataWindow (JSON)"),
        Column("display_window", _TEXT, "attribute displayWindow (JSON)"),
        Column("width", _I64, "of the data window, pixels"),
        Column("height", _I64, "of the data window, pixels"),
        Column("display_width", _I64, "of the display window, pixels"),
        Column("display_height", _I64, "of the display window, pixels"),
        Column("data_x_offset", _I64, "data window's left edge, counted from the display window's"),
        Column("data_y_offset", _I64, "data window's top edge, counted from the display window's"),
        Column("pixel_aspect_ratio", _F32, "attribute pixelAspectRatio"),
        Column("line_order", _TEXT, "increasingY, decreasingY or randomY"),
        Column("compression", _TEXT, "attribute compression"),
        Column("color_space", _TEXT, "derived: see docs/format.md"),
        Column("render_software", _TEXT, "derived: see docs/format.md"),
        Column("is_tiled", _BOOL, "the part is tiled"),
        Column("tile_width", _I64, "pixels"),
        Column("tile_height", _I64, "pixels"),
        Column("tile_depth", _I64, "always 1: OpenEXR's tiles are flat"),
        Column("level_mode", _TEXT, "oneLevel, mipmapLevels or ripmapLevels"),
        Column("rounding_mode", _TEXT, "roundDown or roundUp"),
        Column("is_deep", _BOOL, "the part is deep"),
        Column("chunk_count", _I64, "attribute chunkCount"),
    ),
    "channels": (
        _FILE_ID,
        _FILE_PATH,
        _PART_INDEX,
        Column("channel_name", _TEXT, "the whole name"),
        Column("layer_name", _TEXT, "what stands before the name's last dot"),
        Column("component_name", _TEXT, "what stands after the name's last dot"),
        Column("channel_type", _TEXT, "uint, half or float"),
        Column("x_sampling", _I64, "one sample for so many pixels"),
        Column("y_sampling", _I64, "one sample for so many lines"),
        Column(
            "channel_fingerprint",
            vector_type(FINGERPRINT_DIM),
            "all channels of the file as a vector; in the file's first row only",
        ),
    ),
    "attributes": (
        _FILE_ID,
        _FILE_PATH,
        _PART_INDEX,
        Column("attribute_name", _TEXT, "the name as it stands in the header"),
        Column("attribute_type", _TEXT, "the type's name as it stands in the header"),
        Column("attribute_value", _TEXT, "the value (JSON); over 64 KiB its length, SHA-256 and first 1 KiB"),
        Column("value_text", _TEXT, "the value, if it is text"),
        Column("value_int", _I64, "the value, if it is an integer"),
        Column("value_float", _F64, "the value, if it is a number with a fraction"),
    ),
}

TABLE_DESCRIPTIONS: dict[str, str] = {
    "files": "one row for each path and header",
    "parts": "one row for each part of a file",
    "channels": "one row for each channel of a part",
    "attributes": "one row for each attribute of a part, in the header's order, duplicates kept",
}


def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    return pa.schema(
        [
            pa.field(column.name, column.type, column.nullable, metadata={"description": column.description})
            for column in columns
        ]
    )


SCHEMAS: dict[str, pa.Schema] = {name: _schema(columns) for name, columns in TABLES.items()}
