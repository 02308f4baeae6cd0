"""Documents as the four tables, one at a time or thousands.

Column by column, not row by row: a document has hundreds of rows, and Arrow wants columns. The children come first,
because `files.error_count` and `files.raw_output` tell what did not fit in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from exr_inspector.embedding import (
    EMBEDDING_VERSION,
    FINGERPRINT_DIM,
    METADATA_DIM,
    embed_documents,
    fingerprint_channels,
)
from exr_inspector.errors import DocumentError, Problem, shown
from exr_inspector.tables import identity
from exr_inspector.tables.columns import array
from exr_inspector.tables.schemas import SCHEMAS, TABLES, Column
from exr_inspector.tables.values import (
    NOTHING,
    DoesNotFit,
    PlainValue,
    cut,
    document_text,
    json_text,
    plain_value,
    stored,
)
from exr_inspector.version import __version__

Document = Mapping[str, Any]
Row = dict[str, Any]

SCHEMA_VERSION = "1"


class Tables(NamedTuple):
    """What documents become.

    `file_ids` has one entry for each document given, in order: the same key twice is one row of `files`, whose
    `inspection_count` says how many documents it stands for; its rows are those of the last one.
    `problems` has, for each row of `files`, the errors that the tables added to the document's own.
    """

    files: pa.Table
    parts: pa.Table
    channels: pa.Table
    attributes: pa.Table
    file_ids: list[str]
    problems: list[list[Row]]


def documents_to_tables(
    documents: Iterable[Document],
    *,
    metadata_embeddings: ArrayLike | None = None,
    channel_fingerprints: ArrayLike | None = None,
    inspected_at: datetime | None = None,
) -> Tables:
    """Documents as the four tables.

    The vectors, float32[n, 384] and float32[n, 128] in the documents' order, are computed if they are not given.
    A document without a header hash gets none: it is left out of similarity. `inspected_at` is now by default.
    Raises DocumentError (VectorEmbeddingError for vectors), with the document's number and the field, if a document
    has no path or another shape than a document; whatever else does not fit becomes null and an error.
    """
    sheets = [_numbered_sheet(number, document) for number, document in enumerate(documents)]
    file_ids = [sheet.file_id for sheet in sheets]
    latest = {sheet.file_id: number for number, sheet in enumerate(sheets)}
    numbers = list(latest.values())
    kept = [sheets[number] for number in numbers]
    embeddings = _taken(metadata_embeddings, METADATA_DIM, len(sheets), numbers) or _embedded(kept)
    fingerprints = _taken(channel_fingerprints, FINGERPRINT_DIM, len(sheets), numbers) or _fingerprinted(kept)
    for sheet, embedding, fingerprint in zip(kept, embeddings, fingerprints, strict=True):
        if identity.header_hash(sheet.document) is not None:
            sheet.embedding, sheet.fingerprint = embedding, fingerprint
    children = _parts_table(kept), _channels_table(kept), _attributes_table(kept)
    files = _files_table(kept, Counter(file_ids), inspected_at)
    return Tables(files, *children, file_ids, [sheet.problems for sheet in kept])


def payload_to_files_row(
    payload: Document, metadata_embedding: Sequence[float] | None, file_id: str | None = None
) -> pa.Table:
    """The row of `files` for one payload, its embedding as given. Raises as `documents_to_tables` does."""
    sheet = _Sheet(payload, file_id)
    sheet.embedding = _vector(metadata_embedding, "metadata_embedding", _METADATA)
    for build in (_parts_table, _channels_table, _attributes_table):  # for what does not fit there
        build([sheet])
    return _files_table([sheet], Counter((sheet.file_id,)), None)


def payload_to_parts_rows(payload: Document, file_id: str) -> pa.Table:
    """The rows of `parts` for one payload. Raises DocumentError as `documents_to_tables` does."""
    return _parts_table([_Sheet(payload, file_id)])


def payload_to_channels_rows(payload: Document, file_id: str, channel_fingerprint: Sequence[float] | None) -> pa.Table:
    """The rows of `channels` for one payload, the fingerprint in the first. Raises as `documents_to_tables` does."""
    sheet = _Sheet(payload, file_id)
    sheet.fingerprint = _vector(channel_fingerprint, "channel_fingerprint", _FINGERPRINT)
    return _channels_table([sheet])


def payload_to_attributes_rows(payload: Document, file_id: str) -> pa.Table:
    """The rows of `attributes` for one payload. Raises DocumentError as `documents_to_tables` does."""
    return _attributes_table([_Sheet(payload, file_id)])


# ---- One document ------------------------------------------------------------------------------------------


class _Sheet:
    """One document on its way into the tables: its key, its vectors, and what did not fit."""

    def __init__(self, document: Document, file_id: str | None = None) -> None:
        _check(document)
        self.document = document
        self.file_path = identity.file_path(document)
        self.file_path_normalized = identity.normalized_path(document)
        self.file_id = file_id if file_id is not None else self._own_file_id()
        self.problems: list[Row] = []
        self.embedding: Any = None
        self.fingerprint: Any = None

    def _own_file_id(self) -> str:
        digest = identity.header_hash(self.document) or identity.content_hash(self.document)
        return identity.file_id_of(self.file_path_normalized, digest)

    def does_not_fit(self, column: str, part_index: Any, attribute: Any, reason: str) -> None:
        self.problems.append(
            Problem(
                "column_misfit",
                f"{column}: {reason}; stored as null",
                part_index=part_index if type(part_index) is int else None,
                attribute=attribute if isinstance(attribute, str) else None,
            ).as_entry()
        )


def _numbered_sheet(number: int, document: Document) -> _Sheet:
    try:
        return _Sheet(document)
    except ValueError as error:
        raise DocumentError(f"document {number}: {error}") from error


def _check(document: Document) -> None:
    """The shape only: lists of mappings where the schema has them."""
    if not isinstance(document, Mapping):
        raise DocumentError(f"a document must be a mapping, not {type(document).__name__}")
    for field in ("parts", "channels", "errors"):
        _check_records(document.get(field) or (), field)
    attributes = document.get("attributes")
    if attributes is not None and not isinstance(attributes, Mapping):
        raise DocumentError("attributes must be a mapping")
    if attributes and isinstance(attributes.get("parts"), (list, tuple)):
        for index, part in enumerate(attributes["parts"]):
            _check_records(part, f"attributes.parts[{index}]")


def _check_records(records: Any, field: str) -> None:
    if not isinstance(records, (list, tuple)):
        raise DocumentError(f"{field} must be a list")
    for index, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise DocumentError(f"{field}[{index}] must be a mapping")


# Texts made here, of values that are cut already: they fit, although their escapes may take more than the values.
_OWN_JSON = frozenset(("multi_view", "data_window", "display_window", "attribute_value", "validation", "stats"))

# ---- Tables of columns -------------------------------------------------------------------------------------

Columns = dict[str, Sequence[Any]]


def _table(name: str, owners: Sequence[_Sheet], columns: Columns) -> pa.Table:
    """All columns of a table's schema, in its order. `owners`: the document that each row comes from."""
    columns["file_id"] = [sheet.file_id for sheet in owners]
    columns["file_path"] = [sheet.file_path for sheet in owners]
    arrays = [_array(name, column, owners, columns) for column in TABLES[name]]
    return pa.Table.from_arrays(arrays, schema=SCHEMAS[name])


def _array(table: str, column: Column, owners: Sequence[_Sheet], columns: Columns) -> pa.Array:
    """One column; what does not fit is null, and the document that it comes from hears of it."""
    values = columns[column.name]
    if pa.types.is_fixed_size_list(column.type):
        return _vector_array(values, column.type)
    if column.name in _OWN_JSON:
        return pa.array(values, column.type)

    def misfit(row: int, reason: str) -> None:
        part_index, attribute = (columns[name][row] if name in columns else None for name in _PLACE)
        owners[row].does_not_fit(f"{table}.{column.name}", part_index, attribute, reason)

    made = array(column, values, misfit)
    # A key has no null to fall back to: only a payload made by hand needs one, and 0 is then its part.
    return made if column.nullable or not made.null_count else made.fill_null(0)


_PLACE = ("part_index", "attribute_name")


def _gathered(sheets: Sequence[_Sheet], field: str) -> tuple[list[_Sheet], list[Document]]:
    """The records of a list of all documents, and the document of each."""
    lists = [sheet.document.get(field) or () for sheet in sheets]
    owners = [sheet for sheet, records in zip(sheets, lists, strict=True) for _ in records]
    return owners, list(chain.from_iterable(lists))


def _field(records: Sequence[Document], name: str, default: Any = None) -> list[Any]:
    return [record.get(name, default) for record in records]


# ---- Parts -------------------------------------------------------------------------------------------------

_PART_JSON = ("multi_view", "data_window", "display_window")


def _parts_table(sheets: Sequence[_Sheet]) -> pa.Table:
    owners, parts = _gathered(sheets, "parts")
    columns: Columns = {column.name: _field(parts, column.name) for column in TABLES["parts"]}
    for name in _PART_JSON:
        columns[name] = [None if value is None else json_text(cut(value)) for value in columns[name]]
    numbers = chain.from_iterable(range(len(sheet.document.get("parts") or ())) for sheet in sheets)
    columns["part_index"] = [part.get("part_index", number) for part, number in zip(parts, numbers, strict=True)]
    return _table("parts", owners, columns)


# ---- Channels ----------------------------------------------------------------------------------------------


def _channels_table(sheets: Sequence[_Sheet]) -> pa.Table:
    owners, channels = _gathered(sheets, "channels")
    layers, components = _layers_and_components(channels)
    columns: Columns = {
        "part_index": _field(channels, "part_index", 0),
        "channel_name": _field(channels, "name"),
        "layer_name": layers,
        "component_name": components,
        "channel_type": _field(channels, "type"),
        "x_sampling": _field(channels, "x_sampling"),
        "y_sampling": _field(channels, "y_sampling"),
        "channel_fingerprint": _in_first_rows(owners),
    }
    return _table("channels", owners, columns)


def _layers_and_components(channels: Sequence[Document]) -> tuple[list[Any], list[Any]]:
    """As the document gives them; a payload without them has them taken from the name."""
    layers, components = _field(channels, "layer_name"), _field(channels, "component_name")
    for index, component in enumerate(components):
        name = channels[index].get("name")
        if component is None and isinstance(name, str):
            layer, dot, components[index] = name.rpartition(".")
            layers[index] = layer if dot else None
    return layers, components


def _in_first_rows(owners: Sequence[_Sheet]) -> list[Any]:
    """Each document's fingerprint in the first of its rows."""
    before = [None, *owners]
    return [sheet.fingerprint if sheet is not last else None for sheet, last in zip(owners, before, strict=False)]


# ---- Attributes --------------------------------------------------------------------------------------------


def _attributes_table(sheets: Sequence[_Sheet]) -> pa.Table:
    rows = [
        (sheet, part_index, entry)
        for sheet in sheets
        for part_index, entries in enumerate(_attribute_lists(sheet.document))
        for entry in entries
    ]
    entries = [entry for _, _, entry in rows]
    values = list(map(_stored, entries))
    plain = [_plain(*row, value) for row, (value, _) in zip(rows, values, strict=True)]
    columns: Columns = {
        "part_index": [part_index for _, part_index, _ in rows],
        "attribute_name": _field(entries, "name"),
        "attribute_type": _field(entries, "type"),
        "attribute_value": [text for _, text in values],
        "value_text": [each.text for each in plain],
        "value_int": [each.int for each in plain],
        "value_float": [each.float for each in plain],
    }
    return _table("attributes", [sheet for sheet, _, _ in rows], columns)


def _attribute_lists(document: Document) -> Sequence[Sequence[Document]]:
    """The attributes part by part; flat ones (`{"owner": "x"}`) have no type and belong to part 0."""
    attributes = document.get("attributes") or {}
    parts = attributes.get("parts")
    if isinstance(parts, (list, tuple)):
        return parts
    return [[{"name": name, "value": value} for name, value in attributes.items()]]


def _stored(entry: Document) -> tuple[Any, str]:
    try:
        return stored(entry)
    except ValueError as error:
        raise DocumentError(f"the value of attribute {shown(str(entry.get('name')))}: {error}") from error


def _plain(sheet: _Sheet, part_index: int, entry: Document, value: Any) -> PlainValue:
    try:
        return plain_value(entry.get("type"), value)
    except DoesNotFit as error:
        sheet.does_not_fit("attributes.value", part_index, entry.get("name"), str(error))
        return NOTHING


# ---- Files -------------------------------------------------------------------------------------------------


def _files_table(sheets: Sequence[_Sheet], counts: Mapping[str, int], inspected_at: datetime | None) -> pa.Table:
    now = inspected_at if inspected_at is not None else datetime.now(timezone.utc)
    rows = [_file_row(sheet, counts[sheet.file_id], now) for sheet in sheets]
    columns: Columns = {column.name: [row.get(column.name) for row in rows] for column in TABLES["files"]}
    table = _table("files", sheets, columns)
    # What does not fit in this table itself is known only now, and these two columns tell of it.
    told = [_errors_and_output(sheet) for sheet in sheets]
    for name, values in (("error_count", [count for count, _ in told]), ("raw_output", [text for _, text in told])):
        position = table.schema.get_field_index(name)
        field = table.schema.field(position)
        table = table.set_column(position, field, pa.array(values, field.type))
    return table


# These stand in the document's `file` under the same names.
_FILE_FIELDS = (
    "size_bytes", "mtime", "etag", "s3_version_id", "multipart_count", "is_deep", "is_tiled", "frame_number",
)  # fmt: skip


def _file_row(sheet: _Sheet, count: int, now: datetime) -> dict[str, Any]:
    document, file = sheet.document, sheet.document["file"]
    integrity, validation = document.get("integrity"), document.get("validation")
    return {
        **{name: file.get(name) for name in _FILE_FIELDS},
        "file_path_normalized": sheet.file_path_normalized,
        "header_hash": identity.header_hash(document),
        "metadata_embedding": sheet.embedding,
        "inspection_timestamp": now,
        "inspection_count": count,
        "last_inspected": now,
        "integrity": integrity.get("status") if isinstance(integrity, Mapping) else "unchecked",
        "validation_status": validation.get("status") if isinstance(validation, Mapping) else None,
        "validation": _json_or_null(validation),
        "stats": _json_or_null(document.get("stats")),
        "schema_version": str(document.get("schema_version", SCHEMA_VERSION)),
        "inspector_version": __version__,
        "embedding_version": EMBEDDING_VERSION if sheet.embedding is not None else None,
    }


def _errors_and_output(sheet: _Sheet) -> tuple[int, str | None]:
    own = list(sheet.document.get("errors") or ())
    # A stored document has these errors already: storing it again adds none.
    errors = own + [problem for problem in sheet.problems if problem not in own]
    document = {**sheet.document, "errors": errors} if errors else sheet.document
    return len(errors), document_text(document)


def _json_or_null(value: Any) -> str | None:
    """JSON; null for the document's empty mappings, which say that there is nothing."""
    return json_text(cut(value)) if value else None


# ---- Vectors -----------------------------------------------------------------------------------------------

_METADATA: pa.DataType = SCHEMAS["files"].field("metadata_embedding").type
_FINGERPRINT: pa.DataType = SCHEMAS["channels"].field("channel_fingerprint").type


def _embedded(sheets: Sequence[_Sheet]) -> list[Any]:
    """The vectors of the documents that have a header hash; the others', which are left out, are null."""
    return _where_walked(sheets, embed_documents)


def _fingerprinted(sheets: Sequence[_Sheet]) -> list[Any]:
    return _where_walked(sheets, lambda documents: fingerprint_channels(d.get("channels") or () for d in documents))


def _where_walked(sheets: Sequence[_Sheet], embed: Any) -> list[Any]:
    walked = [identity.header_hash(sheet.document) is not None for sheet in sheets]
    vectors = iter(embed([sheet.document for sheet, is_walked in zip(sheets, walked, strict=True) if is_walked]))
    return [next(vectors) if is_walked else None for is_walked in walked]


def _taken(vectors: ArrayLike | None, dim: int, count: int, numbers: Sequence[int]) -> list[Any] | None:
    """Of the vectors given for `count` documents, those of the documents that are kept."""
    if vectors is None:
        return None
    given = np.asarray(vectors, dtype=np.float32)
    if given.shape != (count, dim) or not np.isfinite(given).all():
        raise DocumentError(f"vectors must be finite, float32[{count}, {dim}]")
    return list(given[numbers])


def _vector(values: Sequence[float] | None, name: str, type_: pa.DataType) -> NDArray[np.float32] | None:
    if values is None:
        return None
    vector = np.asarray(values, dtype=np.float32)
    if vector.shape != (type_.list_size,) or not np.isfinite(vector).all():
        raise DocumentError(f"{name} must have {type_.list_size} finite numbers")
    return vector


def _vector_array(vectors: Sequence[Any], type_: pa.DataType) -> pa.Array:
    numbers = np.zeros((len(vectors), type_.list_size), dtype=np.float32)  # Arrow has room for nulls too
    missing = np.array([vector is None for vector in vectors], dtype=np.bool_)
    for row in np.flatnonzero(~missing).tolist():
        numbers[row] = vectors[row]
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), type=type_, mask=pa.array(missing))
