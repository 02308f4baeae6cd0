"""Documents as four Arrow tables: files, parts, channels, attributes.

`schemas` is the only home of the columns, `identity` says what makes a row, `values` cuts long values, `columns`
keeps what does not fit from failing a batch, `rows` puts it all together.
"""

from exr_inspector.tables.identity import file_id, normalize_path, normalized_path
from exr_inspector.tables.rows import (
    Tables,
    documents_to_tables,
    payload_to_attributes_rows,
    payload_to_channels_rows,
    payload_to_files_row,
    payload_to_parts_rows,
)
from exr_inspector.tables.schemas import SCHEMAS, TABLE_DESCRIPTIONS, TABLES, Column

__all__ = [
    "SCHEMAS",
    "TABLES",
    "TABLE_DESCRIPTIONS",
    "Column",
    "Tables",
    "documents_to_tables",
    "file_id",
    "normalize_path",
    "normalized_path",
    "payload_to_attributes_rows",
    "payload_to_channels_rows",
    "payload_to_files_row",
    "payload_to_parts_rows",
]
