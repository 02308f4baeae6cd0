"""What every store must do, whatever its database. A store's own tests derive from `StoreContract`.

Rows are compared as dicts, read by another way than the store's. Nothing here knows a database.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from exr_inspector import inspect
from exr_inspector.errors import DocumentError, ExrError
from exr_inspector.stores.base import ScanStore, Store, StoreError, WriteResult, write_halving
from exr_inspector.tables import SCHEMAS, file_id
from tests.support import exr_bytes
from tests.support.fixture_files import FILES

Row = dict[str, Any]
Rows = Callable[[str], list[Row]]
Document = dict[str, Any]

CHILDREN = ("parts", "channels", "attributes")
NAN = float("nan")


def document(path: str = "/shows/abc/beauty.1001.exr", owner: str = "ada", **changes: Any) -> Document:
    """A document as the reader makes it, of a file with two parts' worth of everything; `changes` go into `file`."""
    attributes = exr_bytes.minimal_attributes(width=64, height=48)
    attributes["owner"] = exr_bytes.attribute("owner", "string", exr_bytes.pack_string(owner))
    made = inspect(exr_bytes.single_part(attributes).data, config={"integrity": "none"})
    made["file"] |= {"path": path, "size_bytes": 1000, "mtime": "2026-01-02T03:04:05.000006Z", **changes}
    return made


def documents(count: int, folder: str = "/shows/abc") -> list[Document]:
    """So many documents of different paths."""
    first = document()
    return [{**first, "file": {**first["file"], "path": f"{folder}/beauty.{1001 + n}.exr"}} for n in range(count)]


def is_of(rows: Sequence[Row], result: WriteResult) -> list[Row]:
    """The rows of one result's file."""
    return [row for row in rows if row["file_id"] == result.file_id]


def hostile_documents() -> dict[str, Document]:
    """Documents that no honest program writes, by what is wrong with them; each can be stored."""
    wide = document("/hostile/wide.exr")
    window = {"min": {"x": -(1 << 31), "y": -(1 << 31)}, "max": {"x": (1 << 31) - 1, "y": (1 << 31) - 1}}
    wide["parts"][0] |= {"data_window": window, "width": 1 << 32, "height": 1 << 32, "tile_width": 1 << 31}
    beyond = document("/hostile/beyond.exr")
    beyond["parts"][0] |= {"width": str(1 << 80), "chunk_count": 1 << 63, "compression": 7}
    beyond["file"]["frame_number"] = 10**30
    nan = document("/hostile/nan.exr")
    nan["parts"][0]["pixel_aspect_ratio"] = NAN
    nan["attributes"]["parts"][0] += [
        {"name": "gain", "type": "float", "value": NAN},
        {"name": "matrix", "type": "m33f", "value": [[NAN] * 3] * 3},
    ]
    long = document("/hostile/long.exr")
    long["attributes"]["parts"][0].append({"name": "manifest", "type": "string", "value": "é" * 2_500_000})
    names = document("/hostile/names.exr")
    names["attributes"]["parts"][0].append({"name": "'; DROP TABLE files; --", "type": "\x00\x1b", "value": "\u202e"})
    return {"wide": wide, "beyond": beyond, "nan": nan, "long": long, "names": names}


class StoreContract:
    """The tests. A subclass gives three fixtures."""

    @pytest.fixture
    def open_store(self) -> Callable[[], ScanStore]:
        """Opens a store on the test's database; what was stored before is there again. Closed by the fixture."""
        raise NotImplementedError

    @pytest.fixture
    def rows(self) -> Rows:
        """All rows of a table, in the order in which they were inserted if the database keeps one."""
        raise NotImplementedError

    @pytest.fixture
    def broken(self) -> Callable[[], AbstractContextManager[Any]]:
        """Makes a batch fail after its first rows were sent, for as long as the context lasts."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: Callable[[], ScanStore]) -> ScanStore:
        return open_store()

    # ---- Upserts -------------------------------------------------------------------------------------------

    def test_a_document_becomes_rows_of_all_tables(self, store: Store, rows: Rows) -> None:
        given = document()
        (result,) = store.write_batch([given])
        assert result == WriteResult("success", file_id(given), True, f"File persisted: {file_id(given)}")
        (row,) = rows("files")
        assert set(row) >= set(SCHEMAS["files"].names)
        assert row["file_id"] == result.file_id
        assert row["file_path"] == row["file_path_normalized"] == "/shows/abc/beauty.1001.exr"
        assert (row["size_bytes"], row["inspection_count"]) == (1000, 1)
        assert row["mtime"] == datetime(2026, 1, 2, 3, 4, 5, 6)
        assert row["inspection_timestamp"] == row["last_inspected"]
        assert len(row["metadata_embedding"]) == 384
        assert json.loads(row["raw_output"])["channels"] == given["channels"]
        assert len(rows("parts")) == 1
        assert {each["channel_name"] for each in rows("channels")} == {each["name"] for each in given["channels"]}
        assert len(rows("attributes")) == len(given["attributes"]["parts"][0])
        assert sum(each["channel_fingerprint"] is not None for each in rows("channels")) == 1

    def test_no_documents_are_no_batch(self, store: Store, rows: Rows) -> None:
        assert store.write_batch([]) == []
        assert rows("files") == []

    def test_again_is_a_hit(self, store: Store, rows: Rows) -> None:
        (first,) = store.write_batch([document()])
        (before,) = rows("files")
        children = {name: rows(name) for name in CHILDREN}
        (second,) = store.write_batch([document(size_bytes=2000)])
        (after,) = rows("files")
        assert second == WriteResult("success", first.file_id, False, f"File already persisted: {first.file_id}")
        assert (after["inspection_count"], after["size_bytes"]) == (2, 2000)
        assert after["inspection_timestamp"] == before["inspection_timestamp"]
        assert after["last_inspected"] > before["last_inspected"]
        assert json.loads(after["raw_output"])["file"]["size_bytes"] == 2000
        assert {name: rows(name) for name in CHILDREN} == children

    def test_counts_grow_by_one_each_time(self, open_store: Callable[[], ScanStore], rows: Rows) -> None:
        for _ in range(5):
            open_store().write_batch([document()])
        assert [row["inspection_count"] for row in rows("files")] == [5]

    def test_a_value_may_become_null(self, store: Store, rows: Rows) -> None:
        store.write_batch([document(frame_number=7)])
        store.write_batch([document(frame_number=None, mtime=None)])
        (row,) = rows("files")
        assert (row["frame_number"], row["mtime"]) == (None, None)

    def test_the_same_key_twice_in_a_batch_is_one_row(self, store: Store, rows: Rows) -> None:
        results = store.write_batch([document(size_bytes=1), *documents(3)[1:], document(size_bytes=2)])
        assert [result.inserted for result in results] == [True, True, True, False]
        assert results[0].file_id == results[3].file_id
        (row,) = is_of(rows("files"), results[0])
        assert (row["inspection_count"], row["size_bytes"]) == (2, 2)
        assert len(is_of(rows("parts"), results[0])) == 1
        store.write_batch([document(), document(), document()])
        (row,) = is_of(rows("files"), results[0])
        assert row["inspection_count"] == 5

    def test_results_are_in_the_documents_order(self, store: Store) -> None:
        given = documents(40)
        store.write_batch(given[10:20])
        results = store.write_batch(given)
        assert [result.file_id for result in results] == [file_id(each) for each in given]
        assert [result.inserted for result in results] == [not 10 <= number < 20 for number in range(40)]

    def test_another_header_is_another_row(self, store: Store, rows: Rows) -> None:
        store.write_batch([document(owner="ada")])
        (result,) = store.write_batch([document(owner="eve")])
        assert result.inserted
        assert [row["inspection_count"] for row in rows("files")] == [1, 1]
        assert {row["value_text"] for row in rows("attributes") if row["attribute_name"] == "owner"} == {"ada", "eve"}

    def test_paths_are_told_apart_and_normalised(self, store: Store, rows: Rows) -> None:
        given = [document(path) for path in ("/a/./b//c.exr", "/a/b/c.exr", "/A/b/c.exr", "s3://bucket/a//b.exr")]
        results = store.write_batch(given)
        assert [result.inserted for result in results] == [True, False, True, True]
        assert len(rows("files")) == 3

    @pytest.mark.parametrize("version", ["inspector", "schema"])
    def test_children_are_rewritten_by_another_version_only(
        self, store: Store, rows: Rows, monkeypatch: pytest.MonkeyPatch, version: str
    ) -> None:
        def owners() -> list[str]:
            return [row["value_text"] for row in rows("attributes") if row["attribute_name"] == "owner"]

        def written(owner: str) -> Document:
            given = document(owner=owner, header_hash="ab" * 32)
            return {**given, "schema_version": 2} if version == "schema" and owner == "new" else given

        bystander = document("/other.exr", owner="bystander")
        store.write_batch([written("old"), bystander])
        store.write_batch([written("same version")])
        assert sorted(owners()) == ["bystander", "old"]
        if version == "inspector":
            monkeypatch.setattr("exr_inspector.tables.rows.__version__", "99.0.0")
        store.write_batch([written("new")])
        assert sorted(owners()) == ["bystander", "new"]
        assert sorted(len(is_of(rows(name), result)) for name in CHILDREN for result in [_found(rows, "/other.exr")])
        assert len(rows("parts")) == 2
        assert max(row["inspection_count"] for row in rows("files")) == 3

    def test_children_keep_their_order(self, store: Store, rows: Rows) -> None:
        given = document()
        entry = {"name": "twice", "type": "string", "value": "first"}
        given["attributes"]["parts"][0] += [entry, {**entry, "value": "second"}]
        store.write_batch([given])
        found = [(row["attribute_name"], row["value_text"]) for row in rows("attributes")]
        assert [value for name, value in found if name == "twice"] == ["first", "second"]

    def test_the_moment_of_reading_can_be_given(self, store: Store, rows: Rows) -> None:
        moment = datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=timezone.utc)
        store.write_batch([document()], inspected_at=moment)
        (row,) = rows("files")
        assert row["last_inspected"] == row["inspection_timestamp"] == moment.replace(tzinfo=None)

    def test_a_batch_of_thousands(self, store: Store, rows: Rows) -> None:
        given = documents(2500)
        assert all(result.inserted for result in store.write_batch(given))
        assert not any(result.inserted for result in store.write_batch(given))
        found = rows("files")
        assert len(found) == 2500
        assert {row["inspection_count"] for row in found} == {2}
        assert len(rows("parts")) == 2500

    # ---- What must not be stored ---------------------------------------------------------------------------

    def test_a_failure_writes_nothing(
        self, store: Store, rows: Rows, broken: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        store.write_batch([document()])
        before = {name: rows(name) for name in SCHEMAS}
        with broken(), pytest.raises(ExrError) as caught:
            store.write_batch([document(size_bytes=5), *documents(3, "/new")])
        assert isinstance(caught.value, StoreError)
        assert {name: rows(name) for name in SCHEMAS} == before
        assert [result.inserted for result in store.write_batch(documents(3, "/new"))] == [True] * 3

    @pytest.mark.parametrize(
        ("bad", "field"),
        [
            ({}, "file.path"),
            ({"file": {}}, "file.path"),
            ({"file": {"path": 5}}, "file.path"),
            ({"file": {"path": "/a.exr"}, "parts": {"x": 1}}, "parts"),
            ({"file": {"path": "/a.exr"}, "channels": [5]}, r"channels\[0\]"),
            ({"file": {"path": "/a.exr"}, "attributes": [1]}, "attributes"),
            ({"file": {"path": "/a.exr"}, "attributes": {"parts": [["x"]]}}, r"attributes\.parts\[0\]\[0\]"),
            ({"file": {"path": "/a.exr"}, "attributes": {"owner": {1, 2}}}, "JSON"),
            ({"file": {"path": "/a.exr", "header_hash": "00"}, "channels": [{"name": "R"}]}, "type"),
        ],
    )
    def test_what_is_no_document_names_its_field(
        self, store: Store, rows: Rows, bad: Mapping[str, Any], field: str
    ) -> None:
        with pytest.raises(ValueError, match=field) as caught:
            store.write_batch([document(), bad])
        assert isinstance(caught.value, DocumentError)
        assert all(rows(name) == [] for name in SCHEMAS)

    # ---- What must be stored all the same ------------------------------------------------------------------

    @pytest.mark.parametrize("name", hostile_documents())
    def test_one_hostile_document_among_fifty(self, store: Store, rows: Rows, name: str) -> None:
        hostile = hostile_documents()[name]
        given = documents(50)
        given[17] = hostile
        results = write_halving(store.write_batch, given)
        assert [result.status for result in results] == ["success"] * 50
        assert all(len(is_of(rows("parts"), result)) == 1 for result in results)
        (row,) = is_of(rows("files"), results[17])
        is_told = name in {"beyond", "nan"}  # the others fit
        assert (row["error_count"] > len(hostile["errors"])) == is_told
        ordinary = [row for row in rows("files") if row["file_id"] != results[17].file_id]
        assert {row["error_count"] for row in ordinary} == {len(given[0]["errors"])}

    def test_what_hostile_documents_leave(self, store: Store, rows: Rows) -> None:
        given = hostile_documents()
        results = dict(zip(given, store.write_batch(list(given.values())), strict=True))
        (wide,) = is_of(rows("parts"), results["wide"])
        assert (wide["width"], wide["height"], wide["tile_width"]) == (1 << 32, 1 << 32, 1 << 31)
        (beyond,) = is_of(rows("parts"), results["beyond"])
        assert (beyond["width"], beyond["chunk_count"], beyond["compression"]) == (None, None, None)
        (nan,) = is_of(rows("parts"), results["nan"])
        assert nan["pixel_aspect_ratio"] is None
        (gain,) = [row for row in is_of(rows("attributes"), results["nan"]) if row["attribute_name"] == "gain"]
        assert (gain["value_float"], gain["attribute_value"]) == (None, '"NaN"')
        long = is_of(rows("attributes"), results["long"])
        assert max(len(row["attribute_value"]) for row in long) < 70_000
        assert all(row["metadata_embedding"] is not None for row in rows("files"))
        names = {row["attribute_name"] for row in is_of(rows("attributes"), results["names"])}
        assert "'; DROP TABLE files; --" in names

    def test_files_that_cannot_be_walked_are_error_rows(self, store: Store, rows: Rows) -> None:
        given = [inspect("/no/such.exr"), inspect(b"not an image")]
        given[1]["file"]["path"] = "/shows/text.exr"
        results = store.write_batch(given)
        assert [result.status for result in results] == ["success"] * 2
        for result in results:
            (row,) = is_of(rows("files"), result)
            assert (row["header_hash"], row["metadata_embedding"], row["embedding_version"]) == (None, None, None)
            assert row["error_count"] >= 1
        assert rows("channels") == []
        assert not any(result.inserted for result in store.write_batch(copy.deepcopy(given)))

    def test_every_fixture_file_can_be_stored(self, store: Store, rows: Rows) -> None:
        given = [inspect(file.path) for file in FILES]
        results = store.write_batch(given)
        assert len(rows("files")) == len({result.file_id for result in results}) == len(FILES)
        assert len(rows("parts")) == sum(len(each["parts"]) for each in given)
        assert len(rows("channels")) == sum(len(each["channels"]) for each in given)
        entries = [part for each in given for part in each.get("attributes", {}).get("parts", [])]
        assert len(rows("attributes")) == sum(map(len, entries))

    def test_a_document_that_cannot_be_stored_does_not_block_the_others(self, store: Store, rows: Rows) -> None:
        def write(batch: Sequence[Mapping[str, Any]]) -> list[WriteResult]:
            if any(each["channels"] for each in batch if each["file"]["path"] == "/bad.exr"):
                raise DocumentError("refused")
            return store.write_batch(batch)

        given = [*documents(20), document("/bad.exr"), *documents(20, "/more")]
        results = write_halving(write, given)
        assert [result.status for result in results] == ["success"] * 20 + ["error"] + ["success"] * 20
        assert len(rows("files")) == 41
        (row,) = is_of(rows("files"), results[20])
        assert "not_stored" in row["raw_output"]

    # ---- For a scan ----------------------------------------------------------------------------------------

    def test_known_files_are_those_of_the_latest_row(self, store: ScanStore) -> None:
        early, late = datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 2, 2, tzinfo=timezone.utc)
        path = "/shows/abc/beauty.1001.exr"
        store.write_batch([document(owner="ada", size_bytes=1), *documents(5, "/more")], inspected_at=early)
        store.write_batch([document(owner="eve", size_bytes=2, mtime=None)], inspected_at=late)
        known = store.known_files([path, "/more/beauty.1003.exr", "/unknown.exr"])
        assert set(known) == {path, "/more/beauty.1003.exr"}
        assert known[path] == (2, None, late.replace(tzinfo=None))
        store.write_batch([document(owner="ada", size_bytes=3)], inspected_at=late + timedelta(seconds=1))
        assert store.known_files([path])[path].size_bytes == 3
        assert store.known_files([]) == {}

    def test_what_is_worth_a_retry_is_not_known(self, store: ScanStore) -> None:
        given = document("/flaky.exr")
        error = {"code": "source_failed", "severity": "fatal", "retryable": True, "message": "I/O error"}
        place = {"part_index": None, "attribute": None, "offset": None}
        store.write_batch([{**given, "errors": [{**error, **place}]}])
        assert store.known_files(["/flaky.exr"]) == {}
        store.write_batch([given])
        assert set(store.known_files(["/flaky.exr"])) == {"/flaky.exr"}

    def test_paths_below_a_directory(self, store: ScanStore) -> None:
        paths = ["/a/b/1.exr", "/a/b/c/2.exr", "/a/bc/3.exr", "/a/B/4.exr", "/a/b%/5.exr"]
        store.write_batch([document(path) for path in paths] + [document(paths[0], owner="eve")])
        found: Callable[[str], list[str]] = partial(_below, store)
        assert found("/a/b") == ["/a/b/1.exr", "/a/b/c/2.exr"]
        assert found("/a/b%") == ["/a/b%/5.exr"]
        assert found("/") == sorted(paths)
        assert found("/x") == []

    def test_removed_paths_are_gone_from_all_tables(self, store: ScanStore, rows: Rows) -> None:
        store.write_batch([document("/gone.exr", owner="ada"), document("/gone.exr", owner="eve"), *documents(3)])
        assert store.remove_paths(["/gone.exr", "/never.exr"]) == 2
        assert all({row["file_path"] for row in rows(name)} == _paths(3) for name in SCHEMAS)
        assert store.remove_paths([]) == 0
        assert store.write_batch([document("/gone.exr")])[0].inserted


def _found(rows: Rows, path: str) -> WriteResult:
    (row,) = [row for row in rows("files") if row["file_path"] == path]
    return WriteResult.of_written(row["file_id"], inserted=False)


def _below(store: ScanStore, directory: str) -> list[str]:
    return sorted(path for paths in store.paths_below(directory) for path in paths)


def _paths(count: int) -> set[str]:
    return {each["file"]["path"] for each in documents(count)}
