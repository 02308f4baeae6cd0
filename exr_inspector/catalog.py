"""Questions to a catalog: the named queries, SQL, and which files are similar. Answers are Arrow.

A catalog is open for reading only, behind the walls of `catalog_sandbox`. Values go to the database as parameters,
never as SQL text.
"""

# ruff: noqa: S608 - names come from this module's tables; values are bound

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import pyarrow as pa

from exr_inspector import catalog_sandbox as sandbox
from exr_inspector.catalog_queries import NamedQuery, QueryError, Reference
from exr_inspector.embedding import FINGERPRINT_DIM, METADATA_DIM
from exr_inspector.errors import shown
from exr_inspector.stores.duckdb import DuckDBStore
from exr_inspector.tables import normalize_path
from exr_inspector.tables.latest import LATEST_FIRST_SQL, LATEST_SQL

# So many rows are in memory at a time.
BATCH_ROWS = 10_000

_FILE_ID = re.compile(r"[0-9a-f]{32}\Z")


class Measure(NamedTuple):
    """What files are compared by: a table's column of vectors."""

    table: str
    column: str
    dim: int


MEASURES: dict[str, Measure] = {
    "metadata": Measure("files", "metadata_embedding", METADATA_DIM),
    "channels": Measure("channels", "channel_fingerprint", FINGERPRINT_DIM),
}

# The nearest vectors are found first, whatever row they stand in; only those few are then looked up. Of a path only the
# latest row counts, so a path with many rows may use up the candidates: then the same is asked for more of them.
_CANDIDATES = 64
_MORE = 16


class UnknownReference(QueryError):
    """A path or `file_id` that the catalog has no vector of."""


class Catalog:
    """A catalog's answers. A context manager. Raises StoreError where the file is no catalog, or cannot be asked."""

    def __init__(self, path: str | os.PathLike[str], *, memory_limit: str = sandbox.MEMORY_LIMIT) -> None:
        self._store = DuckDBStore(path, read_only=True)
        try:
            with sandbox.translated():
                sandbox.lock(self._store.connection, memory_limit)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the catalog."""
        self._store.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def query(self, query: NamedQuery, given: Mapping[str, str] | None = None) -> pa.RecordBatchReader:
        """The answer to a named query. `given`: parameters as text; others keep their defaults.

        Raises QueryError and StoreError.
        """
        values = query.values(given or {})
        return self._ask(query.sql, {name: self._bound(value) for name, value in values.items()})

    def sql(self, text: str, given: Mapping[str, str] | None = None) -> pa.RecordBatchReader:
        """The answer to anyone's SELECT; `$name` in it stands for a text of `given`. Raises StoreError."""
        with sandbox.translated():
            sandbox.check(self._store.connection, text)
        return self._ask(text, dict(given or {}))

    def _bound(self, value: Any) -> Any:
        return self.vector_of(value.text) if isinstance(value, Reference) else value

    def _ask(self, sql: str, values: Mapping[str, Any] | Sequence[Any]) -> pa.RecordBatchReader:
        with sandbox.translated():
            found = self._store.connection.execute(sql, values or None)
            reader = found.to_arrow_reader(BATCH_ROWS)
        return pa.RecordBatchReader.from_batches(reader.schema, sandbox.passed_on(reader))

    def table(self, name: str, schema: pa.Schema) -> pa.RecordBatchReader:
        """All rows of one of the four tables, in the schema's columns; no other row is left out."""
        columns = ", ".join(schema.names)
        return self._ask(f"SELECT {columns} FROM {name}", [])

    # ---- Similarity ----------------------------------------------------------------------------------------

    def file_id_of(self, reference: str) -> str | None:
        """The `file_id` that a reference means: itself, or the latest row of a path; None if there is none."""
        if _FILE_ID.match(reference):
            found = self._ask("SELECT file_id FROM files WHERE file_id = ?", [reference]).read_all()
            if found.num_rows:
                return reference
        found = self._ask(
            f"SELECT file_id FROM files WHERE file_path_normalized = ? ORDER BY {LATEST_FIRST_SQL} LIMIT 1",
            [normalize_path(reference)],
        ).read_all()
        return found["file_id"][0].as_py() if found.num_rows else None

    def vector_of(self, reference: str, by: str = "metadata") -> list[float]:
        """The vector of a `file_id` or a path. Raises UnknownReference."""
        table, column, _ = MEASURES[by]
        file_id = self.file_id_of(reference)
        if file_id is None:
            raise UnknownReference(f"the catalog has no {shown(reference)}")
        found = self._ask(
            f"SELECT {column} FROM {table} WHERE file_id = ? AND {column} IS NOT NULL LIMIT 1", [file_id]
        ).read_all()
        if not found.num_rows:
            raise UnknownReference(f"the catalog has no vector of {shown(reference)}: its header could not be read")
        vector: list[float] = found[column][0].as_py()
        return vector

    def similar(self, reference: str, k: int = 10, *, by: str = "metadata") -> pa.Table:
        """The `k` files most like one that the catalog has, itself left out. Raises UnknownReference."""
        return self.similar_to(self.vector_of(reference, by), k, by=by, without=self.file_id_of(reference))

    def similar_to(
        self, vector: Sequence[float], k: int = 10, *, by: str = "metadata", without: str | None = None
    ) -> pa.Table:
        """The `k` files nearest to a vector: `distance` (0: the same structure, 1: nothing in common), file, facts.

        Only the latest row of each path. Raises QueryError for a vector of another length, or a `k` below 1.
        """
        measure = MEASURES[by]
        if len(vector) != measure.dim:
            raise QueryError(f"a vector of {measure.dim} numbers was expected, not of {len(vector)}")
        if k < 1:
            raise QueryError("at least one file must be asked for")
        values = {"vector": list(vector), "k": k, "without": without or ""}
        sql, candidates = _NEAREST.format(**measure._asdict(), latest=LATEST_SQL), k + _CANDIDATES
        found = self._ask(sql, {**values, "candidates": candidates}).read_all()
        while found.num_rows < k and self._has_more(measure, candidates):
            candidates *= _MORE
            found = self._ask(sql, {**values, "candidates": candidates}).read_all()
        return found

    def _has_more(self, measure: Measure, candidates: int) -> bool:
        counted = self._ask(f"SELECT count({measure.column}) AS n FROM {measure.table}", []).read_all()
        return bool(counted["n"][0].as_py() > candidates)


_NEAREST = """\
WITH nearest AS MATERIALIZED (
    SELECT v.file_id, v.file_path, array_cosine_distance(v.{column}, $vector::FLOAT[{dim}]) AS distance
    FROM {table} AS v
    WHERE v.{column} IS NOT NULL
    ORDER BY distance, v.file_path, v.file_id
    LIMIT $candidates
),
latest AS (
    SELECT arg_max(file_id, {latest}) AS file_id
    FROM files
    WHERE file_path_normalized IN (
        SELECT file_path_normalized FROM files WHERE file_id IN (SELECT nearest.file_id FROM nearest)
    )
    GROUP BY file_path_normalized
)
SELECT
    greatest(nearest.distance, 0) AS distance,
    f.file_id,
    f.file_path,
    f.frame_number,
    f.size_bytes,
    f.multipart_count,
    f.integrity
FROM nearest
JOIN files AS f ON f.file_id = nearest.file_id
WHERE f.file_id IN (SELECT file_id FROM latest) AND f.file_id <> $without
ORDER BY nearest.distance, nearest.file_path, nearest.file_id
LIMIT $k
"""
