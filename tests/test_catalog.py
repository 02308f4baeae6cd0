"""Similarity, export, and an answer as Arrow; on a small catalog of real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from exr_inspector import catalog as catalog_module
from exr_inspector import inspect
from exr_inspector.catalog import Catalog, UnknownReference
from exr_inspector.catalog_export import export_parquet, parquet_schema
from exr_inspector.catalog_queries import QueryError
from exr_inspector.embedding import compute_channel_fingerprint, compute_metadata_embedding
from exr_inspector.stores.base import StoreError
from exr_inspector.stores.duckdb import DuckDBStore
from exr_inspector.tables import SCHEMAS
from tests.store_contract import document
from tests.support import small_catalog
from tests.support.small_catalog import BEAUTY, SH010, SH020, XYZ, SmallCatalog


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallCatalog:
    return small_catalog.make(tmp_path_factory.mktemp("shows"))


@pytest.fixture
def catalog(made: SmallCatalog) -> Iterator[Catalog]:
    with Catalog(made.db) as catalog:
        yield catalog


# ---- Similarity --------------------------------------------------------------------------------------------


def test_the_nearest_by_metadata(catalog: Catalog, made: SmallCatalog) -> None:
    found = catalog.similar(made.path(BEAUTY), 3).to_pylist()
    assert found[0]["file_path"] == made.path(f"{SH010}/bty.1006.exr")
    assert found[0]["distance"] == pytest.approx(0, abs=1e-6)
    own = np.array(compute_metadata_embedding(inspect(made.path(BEAUTY))))
    for row in found:
        other = np.array(compute_metadata_embedding(inspect(row["file_path"])))
        assert row["distance"] == pytest.approx(1 - float(own @ other), abs=1e-6)
    assert [row["distance"] for row in found] == sorted(row["distance"] for row in found)


def test_the_nearest_by_channels(catalog: Catalog, made: SmallCatalog) -> None:
    found = catalog.similar(made.path(f"{SH020}/deep.0001.exr"), 1, by="channels").to_pylist()
    assert found[0]["file_path"] == made.path(f"{SH020}/deep.0002.exr")
    fingerprint = compute_channel_fingerprint(inspect(made.path(BEAUTY))["channels"])
    alike = catalog.similar_to(fingerprint, 5, by="channels").to_pylist()
    # R, G, B, A as half: the four beauties and the file whose window is inverted. Ties stand by path.
    assert [Path(row["file_path"]).name for row in alike[:4]] == [f"bty.{n}.exr" for n in (1001, 1002, 1005, 1006)]


def test_a_file_id_means_its_own_row(catalog: Catalog, made: SmallCatalog) -> None:
    file_id = catalog.file_id_of(made.path(BEAUTY))
    assert file_id is not None
    assert catalog.similar(file_id, 3).equals(catalog.similar(made.path(BEAUTY), 3))


def test_only_latest_rows_and_only_files_with_a_vector(catalog: Catalog, made: SmallCatalog) -> None:
    found = catalog.similar_to(compute_metadata_embedding(inspect(made.path(BEAUTY))), 100).to_pylist()
    paths = [row["file_path"].removeprefix(made.root) for row in found]
    assert sorted(paths) == sorted(render.path for render in small_catalog.RENDERS if "broken" not in render.path)


def test_a_path_is_normalised(made: SmallCatalog, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.root)
    assert catalog.vector_of(f"shows/../{BEAUTY}") == catalog.vector_of(made.path(BEAUTY))


@pytest.mark.parametrize("reference", ["nosuch.exr", "0" * 32, "x' OR true --", ""])
def test_unknown_references(catalog: Catalog, reference: str) -> None:
    with pytest.raises(UnknownReference, match="the catalog has no"):
        catalog.similar(reference)


def test_what_cannot_be_asked(catalog: Catalog, made: SmallCatalog) -> None:
    with pytest.raises(UnknownReference, match="no vector"):
        catalog.similar(made.path(f"{XYZ}/broken.exr"))
    with pytest.raises(QueryError, match="384 numbers"):
        catalog.similar_to([1.0, 2.0])
    with pytest.raises(QueryError, match="at least one"):
        catalog.similar_to([0.0] * 384, 0)


def test_old_rows_do_not_use_up_the_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that was rendered again and again, each row as near as the latest; then the files behind them."""
    monkeypatch.setattr(catalog_module, "_CANDIDATES", 2)
    monkeypatch.setattr(catalog_module, "_MORE", 2)
    with DuckDBStore(tmp_path / "c.duckdb") as store:
        for n in range(20):
            again = document("/shows/a/x.1.exr", header_hash=f"{n:064x}")
            store.write_batch([again], inspected_at=datetime(2026, 1, 1 + n))
        store.write_batch([document("/shows/b/y.1.exr"), document("/shows/b/y.2.exr")])
    with Catalog(tmp_path / "c.duckdb") as catalog:
        found = catalog.similar("/shows/b/y.1.exr", 5).to_pylist()
    assert [row["file_path"] for row in found] == ["/shows/a/x.1.exr", "/shows/b/y.2.exr"]


# ---- Export ------------------------------------------------------------------------------------------------


def test_export_holds_every_row_of_every_table(catalog: Catalog, made: SmallCatalog, tmp_path: Path) -> None:
    counts = export_parquet(catalog, tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == [f"{name}.parquet" for name in sorted(SCHEMAS)]
    assert counts["files"] == len(small_catalog.RENDERS) + 1  # the row before the second rendering as well
    for name, schema in SCHEMAS.items():
        exported = pq.read_table(tmp_path / "out" / f"{name}.parquet")
        assert exported.num_rows == counts[name]
        assert exported.schema.names == parquet_schema(schema).names
        for field in schema:
            written = exported.schema.field(field.name)
            assert written.metadata[b"description"] == field.metadata[b"description"]
            assert written.nullable == field.nullable
        rows = catalog.table(name, schema).read_all().to_pylist()
        assert exported.to_pylist() == rows


def test_export_replaces_all_or_nothing(made: SmallCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SCHEMAS:
        (tmp_path / f"{name}.parquet").write_text("old")

    def fails(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with Catalog(made.db) as catalog:
        monkeypatch.setattr(os, "fsync", fails)
        with pytest.raises(StoreError, match="No space left"):
            export_parquet(catalog, tmp_path)
        assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}
        assert len(list(tmp_path.iterdir())) == len(SCHEMAS)
        monkeypatch.undo()
        export_parquet(catalog, tmp_path)
    assert all(path.read_bytes()[:4] == b"PAR1" for path in tmp_path.iterdir())


def test_export_of_an_empty_catalog(tmp_path: Path) -> None:
    DuckDBStore(tmp_path / "c.duckdb").close()
    with Catalog(tmp_path / "c.duckdb") as catalog:
        assert set(export_parquet(catalog, tmp_path).values()) == {0}
    files = duckdb.read_parquet(str(tmp_path / "files.parquet"))
    assert files.columns == SCHEMAS["files"].names


# ---- Opening -----------------------------------------------------------------------------------------------


def test_what_is_no_catalog(tmp_path: Path) -> None:
    (tmp_path / "text.duckdb").write_text("no database")
    for name in ("missing.duckdb", "text.duckdb"):
        with pytest.raises(StoreError):
            Catalog(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["text.duckdb"]


def test_the_reader_loads_nothing_of_the_catalog() -> None:
    code = """
import sys
from exr_inspector.cli.main import main
main(["inspect", "fixtures/real/minimal_rgba.exr", "--output", "/dev/null"])
heavy = {"duckdb", "numpy", "pyarrow", "sqlglot", "vastdb"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent, timeout=60)


def test_answers_are_arrow(catalog: Catalog) -> None:
    reader = catalog.sql("SELECT metadata_embedding, last_inspected FROM files")
    schema = SCHEMAS["files"]
    assert reader.schema.field("metadata_embedding").type.list_size == 384
    assert reader.schema.field("last_inspected").type == schema.field("last_inspected").type
    assert json.dumps(reader.read_all().num_rows) == str(len(small_catalog.RENDERS) + 1)
