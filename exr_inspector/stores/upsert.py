"""What an upsert writes, whatever the database: which rows are hits, whose children are outdated, what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from exr_inspector.stores.base import WriteResult

# Inspector and schema version of a row.
Versions = tuple[str, str]


def outdated(files: pa.Table, known: Mapping[str, Versions]) -> list[str]:
    """The rows that exist, but were written by another version of the program, or of the document."""
    columns = (files[name].to_pylist() for name in ("file_id", "inspector_version", "schema_version"))
    found = {file_id: (inspector, document) for file_id, inspector, document in zip(*columns, strict=True)}
    return [file_id for file_id, versions in found.items() if known.get(file_id, versions) != versions]


def without(rows: pa.Table, file_ids: Iterable[str]) -> pa.Table:
    """The rows of all other files."""
    left_out = pa.array(sorted(file_ids), pa.utf8())
    return rows.filter(pc.invert(pc.is_in(rows["file_id"], left_out))) if len(left_out) else rows


def results(file_ids: Sequence[str], known: Iterable[str]) -> list[WriteResult]:
    """One for each document; of the same key twice, the second is a hit."""
    seen = set(known)
    answers = []
    for file_id in file_ids:
        answers.append(WriteResult.of_written(file_id, inserted=file_id not in seen))
        seen.add(file_id)
    return answers
