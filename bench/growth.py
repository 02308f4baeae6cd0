"""Does a catalog slow down as it grows? Upserts at 10^4 and 10^6 rows, and the ten most similar files at 10^6.

    python bench/growth.py [--small N] [--large N] [--base N] [--batch N] [--rounds N] [--folder DIR]

The catalog is filled with copies of some thousand varied documents under other paths and hashes, their vectors moved a
little. Measured are batches of `write_batch`, half of them new and half known,
embedding and tables included, and `write_tables` alone; the best of the rounds, for what disturbs only makes slower.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow as pa
from corpus import rich_document

from exr_inspector.embedding import METADATA_DIM
from exr_inspector.stores.duckdb import DuckDBStore
from exr_inspector.tables import SCHEMAS, Tables, documents_to_tables

LAYERS, ATTRIBUTES = 0, 11

SIMILAR = """
SELECT file_path, array_cosine_distance(metadata_embedding, $1::FLOAT[384]) AS distance
FROM {} WHERE metadata_embedding IS NOT NULL ORDER BY distance LIMIT 10
"""


def documents(start: int, count: int) -> list[dict[str, Any]]:
    made = [rich_document(number, LAYERS, ATTRIBUTES) for number in range(start, start + count)]
    for number, document in enumerate(made, start):
        document["file"]["path"] = f"/measured/{number // 500}/beauty.{number:08}.exr"
        document["file"]["header_hash"] = hashlib.sha256(str(number).encode()).hexdigest()
    return made


class Copies:
    """The base's rows as those of other files, again and again."""

    def __init__(self, base: Tables) -> None:
        self._base = base
        self.size = len(base.file_ids)
        places = {key: place for place, key in enumerate(base.file_ids)}
        self._places = {
            name: pa.array([places[key] for key in getattr(base, name)["file_id"].to_pylist()]) for name in SCHEMAS
        }

    def write(self, store: DuckDBStore, number: int) -> None:
        """One copy, as a transaction of plain inserts."""
        ids = pa.array([hashlib.sha256(f"{number} {place}".encode()).hexdigest()[:32] for place in range(self.size)])
        paths = pa.array([f"/shows/{number:05}/beauty.{place:04}.exr" for place in range(self.size)])
        rng = np.random.default_rng(number)
        with store.transaction():
            for name, places in self._places.items():
                table: pa.Table = getattr(self._base, name)
                columns = {"file_id": ids.take(places), "file_path": paths.take(places)}
                if name == "files":
                    columns["file_path_normalized"] = columns["file_path"]
                    columns["metadata_embedding"] = moved(table["metadata_embedding"], rng)
                for column, values in columns.items():
                    table = table.set_column(table.schema.get_field_index(column), SCHEMAS[name].field(column), values)
                store.connection.register("copied", table)
                store.connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM copied")  # noqa: S608
                store.connection.unregister("copied")


def moved(vectors: pa.ChunkedArray, rng: np.random.Generator) -> pa.Array:
    flat = np.asarray(vectors.combine_chunks().flatten()).reshape(-1, METADATA_DIM)
    noisy = (flat + rng.normal(0, 0.02, flat.shape)).astype(np.float32)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    type_ = SCHEMAS["files"].field("metadata_embedding").type
    return pa.FixedSizeListArray.from_arrays(pa.array(noisy.ravel()), type=type_)


def batch_seconds(store: DuckDBStore, options: argparse.Namespace, start: int) -> tuple[float, float]:
    """Best seconds of a batch, from documents and from tables."""
    from_documents, from_tables = [], []
    half = options.batch // 2
    known = documents(start, half)
    store.write_batch(known)
    for number in range(options.rounds):
        new = start + (number + 1) * 10 * options.batch
        batch = known + documents(new, half)
        begun = time.perf_counter()
        store.write_batch(batch)
        from_documents.append(time.perf_counter() - begun)
        tables = documents_to_tables(known + documents(new + half, half))
        begun = time.perf_counter()
        store.write_tables(tables)
        from_tables.append(time.perf_counter() - begun)
    return min(from_documents), min(from_tables)


def fill(store: DuckDBStore, copies: Copies, first: int, last: int) -> None:
    for number in range(first // copies.size, last // copies.size):
        copies.write(store, number)
        if number % 20 == 0:
            print(f"  {number * copies.size} files", flush=True)


def similar_seconds(store: DuckDBStore, relation: str, vector: list[float], rounds: int) -> float:
    seconds = []
    for _ in range(rounds + 1):  # the first one warms up
        begun = time.perf_counter()
        found = store.connection.execute(SIMILAR.format(relation), [vector]).fetchall()
        seconds.append(time.perf_counter() - begun)
        assert len(found) == 10  # noqa: S101
    return min(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--base", type=int, default=5000, help="so many different documents")
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = os.path.join(options.folder or temporary, "growth.duckdb")
        if os.path.exists(path):
            os.remove(path)
        base = documents_to_tables(documents(0, options.base))
        copies = Copies(base)
        measured = []
        size = 0
        for target in (options.small, options.large):
            with DuckDBStore(path) as store:
                fill(store, copies, size, target)
            with DuckDBStore(path) as store:  # what was filled is in the file, as after any scan
                measured.append(batch_seconds(store, options, 10**9 + target))
                size = target
                if target == options.large:
                    vector = base.files["metadata_embedding"][7].as_py()
                    for relation in ("files", "current_files"):
                        seconds = similar_seconds(store, relation, vector, options.rounds)
                        print(f"similar, top 10 of {target} {relation}: {seconds:.2f} s (target at most 2)")
            print(f"{target} files: {os.path.getsize(path) >> 20} MiB", flush=True)
    for name, small, large in zip(("write_batch", "write_tables"), *measured, strict=True):
        print(
            f"{name}, {options.batch} documents, half known: {small * 1000:.0f} ms at {options.small}, "
            f"{large * 1000:.0f} ms at {options.large}: {large / small:.2f} times (target at most 1.5)"
        )


if __name__ == "__main__":
    main()
