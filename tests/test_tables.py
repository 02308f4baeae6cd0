"""The four tables: their columns, what makes a row, what is cut, and that no value fails a batch."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import math
import os
import posixpath
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exr_inspector import app, embedding, tables
from exr_inspector.errors import CODES, ExrError
from exr_inspector.tables import values
from exr_inspector.version import __version__
from tests.support.documents import channel, entry, hand_document, payloads

pa = pytest.importorskip("pyarrow")

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 5, 6, 7, 8, 9, 10, timezone.utc)
HASH = "ab" * 32

# Typed out from the contract: name, type, `!` where no null is allowed.
COLUMNS = {
    "files": """file_id string!, file_path string!, file_path_normalized string!, header_hash string, size_bytes int64,
        mtime timestamp[us], etag string, s3_version_id string, multipart_count int32, is_deep bool, is_tiled bool,
        frame_number int64, metadata_embedding fixed_size_list<item: float not null>[384],
        inspection_timestamp timestamp[us], inspection_count int64, last_inspected timestamp[us], integrity string,
        error_count int32, validation_status string, validation string, stats string, schema_version string,
        inspector_version string, embedding_version string, raw_output string""",
    "parts": """file_id string!, file_path string!, part_index int32!, part_name string, view_name string,
        multi_view string, part_type string, data_window string, display_window string, width int64, height int64,
        display_width int64, display_height int64, data_x_offset int64, data_y_offset int64, pixel_aspect_ratio float,
        line_order string, compression string, color_space string, render_software string, is_tiled bool,
        tile_width int64, tile_height int64, tile_depth int64, level_mode string, rounding_mode string, is_deep bool,
        chunk_count int64""",
    "channels": """file_id string!, file_path string!, part_index int32!, channel_name string, layer_name string,
        component_name string, channel_type string, x_sampling int64, y_sampling int64,
        channel_fingerprint fixed_size_list<item: float not null>[128]""",
    "attributes": """file_id string!, file_path string!, part_index int32!, attribute_name string,
        attribute_type string, attribute_value string, value_text string, value_int int64, value_float double""",
}


def rows(table: Any) -> list[dict[str, Any]]:
    table.validate(full=True)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def one(document: dict[str, Any], table: str) -> dict[str, Any]:
    (row,) = rows(getattr(tables.documents_to_tables([document], inspected_at=NOW), table))
    return row


def with_attribute(name: str, type_name: str, value: Any, **fields: Any) -> dict[str, Any]:
    document = hand_document()
    document["attributes"]["parts"] = [[{**entry(name, type_name, value), **fields}]]
    return document


# ---- Schemas -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_the_contracts(name: str) -> None:
    found = [f"{field.name} {field.type}{'' if field.nullable else '!'}" for field in tables.SCHEMAS[name]]
    assert found == [" ".join(column.split()) for column in COLUMNS[name].split(",")]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_is_described(name: str) -> None:
    for column, field in zip(tables.TABLES[name], tables.SCHEMAS[name], strict=True):
        assert field.metadata == {b"description": column.description.encode()}
        assert len(column.description) > 5
    assert tables.TABLE_DESCRIPTIONS.keys() == tables.SCHEMAS.keys()


def test_nothing_in_gives_empty_tables_with_the_full_schema() -> None:
    made = tables.documents_to_tables([])
    for name, table in zip(("files", "parts", "channels", "attributes"), made, strict=False):
        assert table.num_rows == 0
        assert table.schema.equals(tables.SCHEMAS[name], check_metadata=True)
    assert made.file_ids == made.problems == []


@pytest.mark.parametrize("missing", ["absent", "empty", "none"])
def test_empty_lists_give_empty_tables_with_the_full_schema(missing: str) -> None:
    empty = {"parts": [], "channels": [], "attributes": {}}
    payload = {
        "file": {"path": "/a.exr"},
        **({} if missing == "absent" else empty if missing == "empty" else dict.fromkeys(empty)),
    }
    made = {
        "parts": tables.payload_to_parts_rows(payload, "id"),
        "channels": tables.payload_to_channels_rows(payload, "id", [1.0] + [0.0] * 127),
        "attributes": tables.payload_to_attributes_rows(payload, "id"),
    }
    for name, table in made.items():
        assert rows(table) == []
        assert table.schema.equals(tables.SCHEMAS[name], check_metadata=True)


# ---- Rows --------------------------------------------------------------------------------------------------


def test_the_row_of_a_file() -> None:
    document = hand_document()
    row = one(document, "files")
    assert row.pop("metadata_embedding") == embedding.compute_metadata_embedding(document)
    assert json.loads(row.pop("raw_output")) == document
    moment = NOW.replace(tzinfo=None)
    assert row == {
        "file_id": hashlib.sha256(f"/shows/abc/beauty.1001.exr\0{HASH}".encode()).hexdigest()[:32],
        "file_path": "/shows/abc/beauty.1001.exr",
        "file_path_normalized": "/shows/abc/beauty.1001.exr",
        "header_hash": HASH,
        "size_bytes": 123456,
        "mtime": datetime(2026, 3, 4, 5, 6, 7, 89),
        "etag": None,
        "s3_version_id": None,
        "multipart_count": 1,
        "is_deep": False,
        "is_tiled": True,
        "frame_number": 1001,
        "inspection_timestamp": moment,
        "inspection_count": 1,
        "last_inspected": moment,
        "integrity": "complete",
        "error_count": 0,
        "validation_status": None,
        "validation": None,
        "stats": None,
        "schema_version": "1",
        "inspector_version": __version__,
        "embedding_version": "1",
    }


def test_the_row_of_a_part() -> None:
    document = hand_document()
    row = one(document, "parts")
    part = document["parts"][0]
    assert json.loads(row.pop("data_window")) == part.pop("data_window")
    assert json.loads(row.pop("display_window")) == part.pop("display_window")
    assert json.loads(row.pop("multi_view")) == part.pop("multi_view")
    keys = {"file_id": tables.file_id(document), "file_path": document["file"]["path"]}
    assert row == {**keys, **part}


def test_the_rows_of_channels() -> None:
    document = hand_document()
    made = rows(tables.documents_to_tables([document]).channels)
    prints = [row.pop("channel_fingerprint") for row in made]
    assert prints == [embedding.compute_channel_fingerprint(document["channels"]), None, None, None, None]
    keys = {"file_id": tables.file_id(document), "file_path": document["file"]["path"], "part_index": 0}
    usual = {"channel_type": "half", "x_sampling": 1, "y_sampling": 1}
    named = [
        ("R", None, "R"),
        ("Z", None, "Z"),
        ("key.light1.R", "key.light1", "R"),
        ("key.light2.R", "key.light2", "R"),
    ]
    expected = [
        {**keys, "channel_name": name, "layer_name": layer, "component_name": component, **usual}
        for name, layer, component in [*named, ("BY", None, "BY")]
    ]
    expected[1]["channel_type"] = "float"
    expected[4] |= {"x_sampling": 2, "y_sampling": 2}
    assert made == expected


def test_the_document_names_layers_and_bare_channels_are_split() -> None:
    channels = [
        channel("a.b", layer_name="given", component_name="too"),
        {"name": "a.b.c", "type": "half"},
        {"name": "d", "type": "half"},
    ]
    made = rows(tables.payload_to_channels_rows({"file": {"path": "/x"}, "channels": channels}, "id", None))
    assert [(row["layer_name"], row["component_name"]) for row in made] == [("given", "too"), ("a.b", "c"), (None, "d")]
    assert [row["part_index"] for row in made] == [0, 0, 0]
    assert [row["channel_fingerprint"] for row in made] == [None] * 3


def test_the_rows_of_attributes() -> None:
    document = hand_document()
    document["attributes"]["parts"].append([entry("view", "string", "left"), entry("view", "string", "right")])
    made = rows(tables.documents_to_tables([document]).attributes)
    assert [(row["part_index"], row["attribute_name"]) for row in made] == [
        (0, "compression"), (0, "arnold/host/name"), (0, "cryptomatte/3ae39a5/name"), (0, "capDate"),
        (0, "framesPerSecond"), (1, "view"), (1, "view"),
    ]  # fmt: skip
    assert made[0] == {
        "file_id": tables.file_id(document),
        "file_path": "/shows/abc/beauty.1001.exr",
        "part_index": 0,
        "attribute_name": "compression",
        "attribute_type": "compression",
        "attribute_value": '"dwaa"',
        "value_text": "dwaa",
        "value_int": None,
        "value_float": None,
    }
    assert made[4]["attribute_value"] == '{"numerator":24,"denominator":1}'
    assert [row["value_text"] for row in made[5:]] == ["left", "right"]


def test_flat_attributes_are_rows_of_part_0_without_a_type() -> None:
    payload = {"file": {"path": "/x"}, "attributes": {"owner": "me", "takes": 3, "gain": 0.5, "on": True, "none": None}}
    made = rows(tables.payload_to_attributes_rows(payload, "id"))
    plain = [(row["value_text"], row["value_int"], row["value_float"]) for row in made]
    assert plain == [("me", None, None), (None, 3, None), (None, None, 0.5), (None, None, None), (None, None, None)]
    assert {(row["part_index"], row["attribute_type"]) for row in made} == {(0, None)}
    assert [row["attribute_value"] for row in made] == ['"me"', "3", "0.5", "true", "null"]


def test_a_row_of_a_bare_payload() -> None:
    payload = {"file": {"path": "/x/y.exr"}, "channels": [], "parts": []}
    vector = embedding.compute_metadata_embedding(payload)
    (row,) = rows(tables.payload_to_files_row(payload, vector))
    assert row["metadata_embedding"] == vector
    assert row["embedding_version"] == "1"
    assert row["integrity"] == "unchecked"
    assert row["schema_version"] == "1"
    assert row["file_id"] == tables.file_id(payload)
    assert row["header_hash"] is None
    (named,) = rows(tables.payload_to_files_row(payload, vector, "mine"))
    assert named["file_id"] == "mine"


def test_validation_and_stats_are_json_with_the_verdict_beside() -> None:
    document = {**hand_document(), "validation": {"status": "failed", "findings": [1]}, "stats": {"a": None}}
    row = one(document, "files")
    assert row["validation_status"] == "failed"
    assert json.loads(row["validation"]) == document["validation"]
    assert row["stats"] == '{"a":null}'


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "Payload missing file.path"),
        ({"file": {}}, "Payload missing file.path"),
        ({"file": {"path": ""}}, "Payload missing file.path"),
        ({"file": {"path": None}}, "Payload missing file.path"),
        ({"file": None}, "Payload missing file.path"),
        ({"file": {"path": 7}}, "file.path"),
        ({"file": {"path": "/" + "x" * 70_000}}, "file.path"),
        ("x", "mapping"),
        ({"file": {"path": "/x"}, "parts": {}}, None),
        ({"file": {"path": "/x"}, "parts": "one"}, "parts"),
        ({"file": {"path": "/x"}, "channels": [1]}, r"channels\[0\]"),
        ({"file": {"path": "/x"}, "errors": ["bad"]}, r"errors\[0\]"),
        ({"file": {"path": "/x"}, "attributes": ["owner"]}, "attributes"),
        ({"file": {"path": "/x"}, "attributes": {"parts": [[], [7]]}}, r"attributes.parts\[1\]\[0\]"),
        ({"file": {"path": "/x"}, "attributes": {"owner": b"bytes"}}, "JSON"),
    ],
)
def test_what_is_no_document_names_the_field(payload: Any, message: str | None) -> None:
    builders: list[Callable[[], object]] = [
        lambda: tables.payload_to_files_row(payload, None),
        lambda: tables.documents_to_tables([hand_document(), payload]),
    ]
    for build in builders:
        if message is None:
            build()
            continue
        with pytest.raises(ValueError, match=message) as caught:
            build()
        assert isinstance(caught.value, ExrError)


def test_every_row_builder_wants_a_path() -> None:
    for build in (
        lambda: tables.payload_to_parts_rows({"file": {}}, "id"),
        lambda: tables.payload_to_channels_rows({"file": {}}, "id", None),
        lambda: tables.payload_to_attributes_rows({"file": {}}, "id"),
    ):
        with pytest.raises(ValueError, match=r"Payload missing file\.path"):
            build()


@pytest.mark.parametrize("vector", [[0.0] * 383, [[0.0] * 384], [math.nan] * 384, ["x"] * 384])
def test_a_vector_must_be_384_numbers(vector: Any) -> None:
    with pytest.raises(ValueError, match=r"metadata_embedding|could not convert"):
        tables.payload_to_files_row(hand_document(), vector)


# ---- Identity ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b.exr", "/a/b.exr"),
        ("/a//b///c.exr", "/a/b/c.exr"),
        ("/a/./b/../c.exr", "/a/c.exr"),
        ("/../../a.exr", "/a.exr"),
        ("/Shows/ABC.EXR", "/Shows/ABC.EXR"),
        ("\\\\server\\share\\a.exr", "/server/share/a.exr"),
        ("C:\\renders\\a.exr", "C:/renders/a.exr"),
        ("C:/renders/../a.exr", "C:/a.exr"),
        ("/a/b/", "/a/b"),
        ("/", "/"),
        ("/a/ b /c", "/a/ b /c"),
        ("/a/...", "/a/..."),
        ("s3://bucket/key//with/../odd.exr", "s3://bucket/key//with/../odd.exr"),
    ],
)
def test_normalized_paths(path: str, expected: str) -> None:
    assert tables.normalize_path(path) == expected


def test_a_relative_path_is_taken_from_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    here = str(Path.cwd()).replace("\\", "/")
    assert tables.normalize_path("x/../a.exr") == f"{here}/a.exr"
    assert tables.normalize_path(Path("a.exr")) == f"{here}/a.exr"
    assert tables.normalize_path("C:x.exr") == f"{here}/C:x.exr"
    (tmp_path / "link").symlink_to("/")
    assert tables.normalize_path("link/a.exr") == f"{here}/link/a.exr"


@given(st.text(alphabet="/.a: \n\u20ac", min_size=1, max_size=12))
@settings(max_examples=500)
def test_normalized_as_posix_says(path: str) -> None:
    """Python's own rule, but that it keeps two slashes at the front."""
    assert tables.normalize_path(f"/{path}") == posixpath.normpath(f"/./{path}")


@given(st.text(alphabet="ab./\\:s3C", max_size=20))
def test_normalizing_twice_changes_nothing(path: str) -> None:
    once = tables.normalize_path(path)
    assert tables.normalize_path(once) == once
    if not path.startswith("s3://"):
        assert "//" not in once
        assert not {".", ".."} & set(once.split("/"))


def test_the_key_is_of_path_and_header() -> None:
    assert tables.file_id(hand_document()) == tables.file_id(hand_document(path="/shows/./abc//beauty.1001.exr"))
    assert tables.file_id(hand_document()) != tables.file_id(hand_document(path="/shows/ABC/beauty.1001.exr"))
    assert tables.file_id(hand_document()) != tables.file_id(hand_document(header_hash="cd" * 32))
    assert tables.file_id(hand_document()) == tables.file_id(hand_document(size_bytes=1, mtime=None, frame_number=3))


def test_without_a_header_hash_the_content_stands_in() -> None:
    document = hand_document(header_hash=None)
    document["errors"] = [
        {"code": "truncated_header", "severity": "fatal", "message": "byte 17"},
        {"code": "value_size", "severity": "error"},
    ]
    content = {**{name: document[name] for name in ("parts", "channels", "attributes")}, "errors": ["truncated_header"]}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    expected = hashlib.sha256(f"/shows/abc/beauty.1001.exr\0{digest}".encode()).hexdigest()[:32]
    row = one(document, "files")
    assert row["file_id"] == tables.file_id(document) == expected
    assert row["header_hash"] is None
    assert row["metadata_embedding"] is None
    assert row["embedding_version"] is None
    fingerprints = [row["channel_fingerprint"] for row in rows(tables.documents_to_tables([document]).channels)]
    assert fingerprints == [None] * 5
    document["errors"][0]["message"] = "byte 18"
    assert tables.file_id(document) == expected
    document["errors"][0]["code"] = "not_exr"
    assert tables.file_id(document) != expected


def test_paths_that_are_not_utf8_stay_apart() -> None:
    def named(raw: bytes) -> dict[str, Any]:
        shown = raw.decode(errors="replace")
        return hand_document(path=shown, path_raw=base64.b64encode(raw).decode())

    first, second = one(named(b"/a/\xff.exr"), "files"), one(named(b"/a//\xfe.exr"), "files")
    assert first["file_path"] == "/a/\ufffd.exr"
    assert first["file_path_normalized"] == "/a/\\xff.exr"
    assert second["file_path_normalized"] == "/a/\\xfe.exr"
    assert first["file_id"] != second["file_id"]
    assert one(hand_document(path="/a/\udcff.exr"), "files")["file_path"] == "/a/\\udcff.exr"


# ---- Batches -----------------------------------------------------------------------------------------------


def test_a_batch_is_its_documents() -> None:
    documents = [hand_document(path=f"/a/{number}.exr") for number in range(5)]
    documents[1]["channels"], documents[2]["parts"], documents[3]["attributes"] = [], [], {}
    batch = tables.documents_to_tables(documents, inspected_at=NOW)
    single = [tables.documents_to_tables([document], inspected_at=NOW) for document in documents]
    for name in tables.SCHEMAS:
        assert getattr(batch, name).equals(pa.concat_tables([getattr(each, name) for each in single]))
    assert batch.file_ids == [tables.file_id(document) for document in documents]


def test_the_same_key_twice_is_one_row_and_the_last_one_counts() -> None:
    first, other, last = hand_document(), hand_document(path="/other"), hand_document(size_bytes=7)
    last["channels"].pop()
    made = tables.documents_to_tables([first, other, last])
    assert made.file_ids == [tables.file_id(first), tables.file_id(other), tables.file_id(first)]
    found = {row["file_path"]: row for row in rows(made.files)}
    assert len(found) == made.files.num_rows == len(made.problems) == 2
    assert (
        found["/shows/abc/beauty.1001.exr"]["size_bytes"],
        found["/shows/abc/beauty.1001.exr"]["inspection_count"],
    ) == (7, 2)
    assert found["/other"]["inspection_count"] == 1
    assert made.channels.num_rows == 5 + 4
    assert made.parts.num_rows == 2


def test_given_vectors_are_taken_by_document() -> None:
    documents = [hand_document(), hand_document(path="/b"), hand_document(path="/c", header_hash=None), hand_document()]
    given_ = np.eye(4, 384, dtype=np.float32)
    prints = np.eye(4, 128, dtype=np.float32)
    made = tables.documents_to_tables(documents, metadata_embeddings=given_, channel_fingerprints=prints)
    found = [row["metadata_embedding"] for row in rows(made.files)]
    assert found == [given_[3].tolist(), given_[1].tolist(), None]
    firsts = [row["channel_fingerprint"] for row in rows(made.channels) if row["channel_name"] == "R"]
    assert firsts == [prints[3].tolist(), prints[1].tolist(), None]


@pytest.mark.parametrize("shape", [(1, 384), (3, 384), (2, 383), (384,)])
def test_given_vectors_must_be_one_for_each_document(shape: tuple[int, ...]) -> None:
    documents = [hand_document(), hand_document(path="/b")]
    with pytest.raises(ValueError, match=r"float32\[2, 384\]"):
        tables.documents_to_tables(documents, metadata_embeddings=np.zeros(shape))
    with pytest.raises(ValueError, match="finite"):
        tables.documents_to_tables(documents, metadata_embeddings=np.full((2, 384), np.nan))


def test_the_time_is_now_unless_it_is_given() -> None:
    before = datetime.now(timezone.utc).replace(tzinfo=None)
    (row,) = rows(tables.documents_to_tables([hand_document()]).files)
    assert before <= row["inspection_timestamp"] == row["last_inspected"] <= before + timedelta(minutes=1)
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    (row,) = rows(tables.documents_to_tables([hand_document()], inspected_at=elsewhere).files)
    assert row["last_inspected"] == NOW.replace(tzinfo=None)


# ---- What does not fit -------------------------------------------------------------------------------------


def hostile_document() -> dict[str, Any]:
    document = hand_document(path="/hostile.exr", size_bytes="9007199254740993", mtime="not a time")
    part = document["parts"][0]
    part.update(
        width=1 << 32, height=1 << 32, data_x_offset=-(1 << 31), tile_width=(1 << 32) - 1, chunk_count=str(1 << 62)
    )
    part.update(display_width=1 << 63, pixel_aspect_ratio="NaN", part_name="x" * 5_000_000)
    document["attributes"]["parts"] = [
        [
            entry("pixelAspectRatio", "float", "NaN"),
            entry("d", "double", "-Infinity"),
            entry("v", "v2f", {"x": "NaN", "y": "NaN"}),
            entry("r", "rational", {"numerator": 1, "denominator": 0}),
            entry("manifest", "string", "m" * 5_000_000),
            entry("nan", "float", math.nan),
        ]
    ]
    return document


def test_one_hostile_document_among_fifty_is_one_row_with_its_errors() -> None:
    documents = [hand_document(path=f"/fine/{number}.exr") for number in range(49)]
    documents.insert(20, hostile_document())
    made = tables.documents_to_tables(documents, inspected_at=NOW)
    files = rows(made.files)
    assert len(files) == 50
    assert [row["error_count"] for row in files if row["file_path"] != "/hostile.exr"] == [0] * 49
    assert all(row["metadata_embedding"] for row in files)
    hostile = files[20]
    assert (hostile["size_bytes"], hostile["mtime"]) == (9007199254740993, None)
    assert hostile["error_count"] == len(made.problems[20]) == 8
    told = {
        (problem["message"].split(":")[1].strip(), problem["attribute"])
        for problem in made.problems[20]
        if problem["part_index"] == 0
    }
    assert {name for name, _ in told} == {
        "parts.display_width", "parts.pixel_aspect_ratio", "parts.part_name", "attributes.value"
    }  # fmt: skip
    assert {name for _, name in told} == {None, "pixelAspectRatio", "d", "r", "nan"}
    (part,) = [row for row in rows(made.parts) if row["file_path"] == "/hostile.exr"]
    assert (part["width"], part["data_x_offset"], part["tile_width"], part["chunk_count"]) == (
        1 << 32,
        -(1 << 31),
        (1 << 32) - 1,
        1 << 62,
    )
    assert part["display_width"] is part["pixel_aspect_ratio"] is part["part_name"] is None
    attributes = {row["attribute_name"]: row for row in rows(made.attributes) if row["file_path"] == "/hostile.exr"}
    assert all(attributes[name]["value_float"] is None for name in ("pixelAspectRatio", "d", "r", "nan"))
    assert attributes["d"]["attribute_value"] == '"-Infinity"'
    assert attributes["nan"]["attribute_value"] == '"NaN"'
    assert len(attributes["manifest"]["attribute_value"]) < 2000
    widest = max(sum(len(str(cell)) for cell in row.values()) for table in made[:4] for row in table.to_pylist())
    assert widest < 100_000


def test_an_error_is_told_as_the_document_tells_its_own() -> None:
    document = hand_document()
    document["parts"][0]["tile_width"] = 1 << 63
    document["errors"] = [{"code": "value_size", "severity": "error"}]
    made = tables.documents_to_tables([document])
    (problem,) = made.problems[0]
    assert problem == {
        "code": "column_misfit",
        "severity": CODES["column_misfit"].severity,
        "retryable": False,
        "message": f"part 0: parts.tile_width: the number is outside {-(1 << 63)} to {(1 << 63) - 1}; stored as null",
        "part_index": 0,
        "attribute": None,
        "offset": None,
    }
    (row,) = rows(made.files)
    assert row["error_count"] == 2
    assert json.loads(row["raw_output"])["errors"] == [*document["errors"], problem]
    assert document["errors"] == [{"code": "value_size", "severity": "error"}]
    (again,) = rows(tables.documents_to_tables([json.loads(row["raw_output"])]).files)
    assert (again["error_count"], again["raw_output"]) == (2, row["raw_output"])


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("size_bytes", (1 << 63) - 1, (1 << 63) - 1),
        ("size_bytes", 1 << 63, None),
        ("size_bytes", "12", 12),
        ("size_bytes", "-12", -12),
        ("size_bytes", "12 ", None),
        ("size_bytes", "1" * 5000, None),
        ("size_bytes", 12.0, 12),
        ("size_bytes", 12.5, None),
        ("size_bytes", math.inf, None),
        ("size_bytes", True, None),
        ("size_bytes", [1], None),
        ("multipart_count", (1 << 31) - 1, (1 << 31) - 1),
        ("multipart_count", 1 << 31, None),
        ("multipart_count", -(1 << 31), -(1 << 31)),
        ("multipart_count", -(1 << 31) - 1, None),
        ("is_deep", "yes", None),
        ("is_deep", 1, None),
        ("is_deep", True, True),
        ("etag", 5, None),
        ("etag", {"a": 1}, None),
        ("etag", "x" * 65_536, "x" * 65_536),
        ("etag", "x" * 65_537, None),
        ("etag", "\ud800", "\\ud800"),
        ("etag", "", ""),
        ("mtime", "2026-01-01T00:00:00.000000Z", datetime(2026, 1, 1)),
        ("mtime", "2026-01-01T02:00:00+02:00", datetime(2026, 1, 1)),
        ("mtime", "9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999)),
        ("mtime", "0001-01-01T00:00:00+01:00", None),
        ("mtime", 1234567890, None),
    ],
)
def test_what_fits_a_column(column: str, value: Any, stored: Any) -> None:
    made = tables.documents_to_tables([hand_document(**{column: value})])
    (row,) = rows(made.files)
    assert row[column] == stored
    assert len(made.problems[0]) == row["error_count"] == (stored is None)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (3.4028234663852886e38, 3.4028234663852886e38),
        (3.5e38, None),
        (-math.inf, None),
        (math.nan, None),
        (True, None),
    ],
)
def test_what_fits_the_aspect(value: Any, stored: float | None) -> None:
    document = hand_document()
    document["parts"][0]["pixel_aspect_ratio"] = value
    assert one(document, "parts")["pixel_aspect_ratio"] == stored


def test_the_values_beside_one_that_does_not_fit_are_kept() -> None:
    numbers = [1 << 31, -(1 << 31), (1 << 31) - 1, "5", None]
    documents = [hand_document(path=f"/{index}", multipart_count=number) for index, number in enumerate(numbers)]
    made = tables.documents_to_tables(documents)
    assert [row["multipart_count"] for row in rows(made.files)] == [None, -(1 << 31), (1 << 31) - 1, 5, None]
    assert [len(problems) for problems in made.problems] == [1, 0, 0, 0, 0]


def test_bare_parts_are_numbered() -> None:
    payload = {"file": {"path": "/x"}, "parts": [{}, {"part_name": "b"}, {"part_index": 7}, {"part_index": "odd"}]}
    made = rows(tables.payload_to_parts_rows(payload, "id"))
    assert [row["part_index"] for row in made] == [0, 1, 7, 0]


def test_nulls_of_the_document_are_no_errors() -> None:
    document = hand_document(size_bytes=None, mtime=None)
    document["parts"] = [dict.fromkeys(document["parts"][0])]
    made = tables.documents_to_tables([document])
    assert made.problems == [[]]
    (part,) = rows(made.parts)
    assert {value for key, value in part.items() if key not in ("file_id", "file_path", "part_index")} == {None}
    assert part["part_index"] == 0


# ---- Plain values ------------------------------------------------------------------------------------------

_TIME = {"hours": 1, "minutes": 2, "seconds": 3, "frame": 4}


@pytest.mark.parametrize(
    ("type_name", "value", "text", "integer", "number"),
    [
        ("string", "a b", "a b", None, None),
        ("string", "12", "12", None, None),
        ("string", "", "", None, None),
        ("compression", "zip", "zip", None, None),
        ("lineOrder", "unknown(9)", "unknown(9)", None, None),
        ("int", -5, None, -5, None),
        ("float", 0.25, None, None, 0.25),
        ("float", 3, None, None, 3.0),
        ("double", 1e300, None, None, 1e300),
        ("rational", {"numerator": -24000, "denominator": 1001}, None, None, -24000 / 1001),
        ("timecode", {**_TIME, "drop_frame": False}, "01:02:03:04", None, None),
        ("timecode", {**_TIME, "drop_frame": True}, "01:02:03;04", None, None),
        ("timecode", {"raw": 1}, None, None, None),
        ("v2f", {"x": 1.0, "y": 2.0}, None, None, None),
        ("stringvector", ["a"], None, None, None),
        ("string", {"encoding": "base64", "data": "AAA="}, None, None, None),
        ("int", {"encoding": "base64", "data": "AAA="}, None, None, None),
        ("studioType", {"encoding": "base64", "data": "AAA="}, None, None, None),
        ("studioType", 7, None, 7, None),
        ("float", None, None, None, None),
    ],
)
def test_plain_columns(type_name: str, value: Any, text: Any, integer: Any, number: Any) -> None:
    made = tables.documents_to_tables([with_attribute("a", type_name, value)])
    (row,) = rows(made.attributes)
    assert (row["value_text"], row["value_int"], row["value_float"]) == (text, integer, number)
    assert json.loads(row["attribute_value"]) == value
    assert made.problems == [[]]


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("float", "NaN"),
        ("double", "Infinity"),
        ("float", math.nan),
        ("float", {}),
        ("int", "7"),
        ("int", 1 << 63),
        ("int", 0.5),
        ("rational", {"numerator": 1, "denominator": 0}),
        ("rational", {"numerator": 1}),
        ("rational", "1/2"),
        ("rational", {"numerator": 10**400, "denominator": 1}),
    ],
)
def test_a_value_that_fits_no_plain_column_is_an_error(type_name: str, value: Any) -> None:
    made = tables.documents_to_tables([with_attribute("a", type_name, value)])
    (row,) = rows(made.attributes)
    assert (row["value_text"], row["value_int"], row["value_float"]) == (None, None, None)
    ((problem,),) = made.problems
    assert (problem["attribute"], problem["part_index"], problem["code"]) == ("a", 0, "column_misfit")


def test_rules_for_plain_columns_say_what_they_fill() -> None:
    for rule in [*values.RULES_BY_TYPE.values(), *values.RULES_BY_KIND.values()]:
        assert rule.meaning.startswith(("value_text: ", "value_int: ", "value_float: "))


# ---- Cutting -----------------------------------------------------------------------------------------------

LIMIT = 64 * 1024


@pytest.mark.parametrize(
    ("type_name", "value", "payload", "start"),
    [
        ("string", "é" * (LIMIT // 2) + "x", ("é" * (LIMIT // 2) + "x").encode(), "é" * 512),
        ("string", "x" + "é" * (LIMIT // 2), ("x" + "é" * (LIMIT // 2)).encode(), "x" + "é" * 511),
        ("studio", {"encoding": "base64", "data": base64.b64encode(bytes(LIMIT + 1)).decode()}, bytes(LIMIT + 1), None),
        ("floatvector", [0.0] * (LIMIT // 4 + 1), bytes(LIMIT + 4), None),
        ("stringvector", [""] * (LIMIT // 4 + 1), bytes(LIMIT + 4), None),
    ],
)
def test_a_long_value_is_its_length_hash_and_first_kilobyte(
    type_name: str, value: Any, payload: bytes, start: Any
) -> None:
    row = one(with_attribute("a", type_name, value), "attributes")
    assert json.loads(row["attribute_value"]) == {
        "cut_bytes": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "start": start or {"encoding": "base64", "data": base64.b64encode(payload[:1024]).decode()},
    }
    assert row["value_text"] is row["value_int"] is row["value_float"] is None


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("string", "x" * LIMIT),
        ("string", "é" * (LIMIT // 2)),
        ("studio", {"encoding": "base64", "data": base64.b64encode(bytes(LIMIT)).decode()}),
    ],
)
def test_a_value_of_64_kib_is_whole(type_name: str, value: Any) -> None:
    row = one(with_attribute("a", type_name, value), "attributes")
    assert json.loads(row["attribute_value"]) == value


def test_a_long_payload_is_cut_even_if_its_value_is_short() -> None:
    raw = b"\xff" * (LIMIT + 1)
    document = with_attribute("odd", "string", "\ufffd", raw=base64.b64encode(raw).decode())
    stored = json.loads(one(document, "attributes")["attribute_value"])
    assert (stored["cut_bytes"], stored["sha256"]) == (len(raw), hashlib.sha256(raw).hexdigest())


def test_a_cut_value_of_a_number_type_is_no_error() -> None:
    undecoded = {"encoding": "base64", "data": base64.b64encode(bytes(LIMIT + 1)).decode()}
    made = tables.documents_to_tables([with_attribute("a", "float", undecoded)])
    (row,) = rows(made.attributes)
    assert "cut_bytes" in row["attribute_value"]
    assert (row["value_float"], made.problems) == (None, [[]])


def test_a_bare_text_of_64_kib_is_whole() -> None:
    payload = {"file": {"path": "/x"}, "attributes": {"a": "x" * LIMIT, "b": list(range(12_000))}}
    made = rows(tables.payload_to_attributes_rows(payload, "id"))
    assert [json.loads(row["attribute_value"]) for row in made] == list(payload["attributes"].values())


@pytest.mark.parametrize("value", ["x" * (LIMIT + 1), list(range(LIMIT)), {"cut_bytes": 1, "start": "x" * LIMIT}])
def test_long_values_of_bare_payloads_are_cut_too(value: Any) -> None:
    data = (value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))).encode()
    payload = {"file": {"path": "/x"}, "attributes": {"a": value}}
    (row,) = rows(tables.payload_to_attributes_rows(payload, "id"))
    assert json.loads(row["attribute_value"]) == {
        "cut_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "start": data[:1024].decode()
    }  # fmt: skip
    nested = {"file": {"path": "/x"}, "attributes": {"parts": [[{"name": "a", "value": value}]]}}
    (again,) = rows(tables.payload_to_attributes_rows(nested, "id"))
    assert again["attribute_value"] == row["attribute_value"]


def test_raw_output_has_long_values_cut_and_the_rest_whole() -> None:
    document = with_attribute("manifest", "string", "m" * 5_000_000)
    document["attributes"]["parts"][0].append(
        {**entry("odd", "string", "\ufffd"), "raw": base64.b64encode(b"\xff" * 90_000).decode()}
    )
    stored = json.loads(one(document, "files")["raw_output"])
    cut = [each.pop("value")["cut_bytes"] for each in stored["attributes"]["parts"][0]]
    assert cut == [5_000_000, 90_000]
    assert stored["attributes"]["parts"][0] == [
        {"name": "manifest", "type": "string"},
        {"name": "odd", "type": "string"},
    ]
    assert {**stored, "attributes": None} == {**document, "attributes": None}
    assert len(document["attributes"]["parts"][0][0]["value"]) == 5_000_000


def test_raw_output_is_null_above_a_mebibyte() -> None:
    def sized(filler: int) -> str | None:
        document = hand_document()
        document["stats"] = {"filler": "x" * filler}
        text: str | None = one(document, "files")["raw_output"]
        return text

    room = 1024 * 1024 - len(sized(0) or "")
    assert len(sized(room) or "") == 1024 * 1024
    assert sized(room + 1) is None


def test_a_stored_document_has_the_row_that_it_was_stored_with() -> None:
    for header_hash in (HASH, None):
        document = hostile_document()
        document["file"]["header_hash"] = header_hash
        document["parts"][0]["part_name"] = "short"
        made = tables.documents_to_tables([document], inspected_at=NOW)
        (row,) = rows(made.files)
        again = tables.documents_to_tables([json.loads(row["raw_output"])], inspected_at=NOW)
        for name in tables.SCHEMAS:
            assert getattr(again, name).equals(getattr(made, name)), name


# ---- Real documents and any payload ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_documents() -> list[dict[str, Any]]:
    return [app.inspect(str(path)) for path in sorted((ROOT / "fixtures").rglob("*.exr"))]


def test_every_fixture_becomes_rows_and_comes_back(real_documents: list[dict[str, Any]]) -> None:
    assert len(real_documents) > 50
    made = tables.documents_to_tables(real_documents, inspected_at=NOW)
    files = rows(made.files)
    assert made.file_ids == [row["file_id"] for row in files]
    assert made.parts.num_rows == sum(len(document["parts"]) for document in real_documents)
    assert made.channels.num_rows == sum(len(document["channels"]) for document in real_documents)
    kept = [json.loads(row["raw_output"]) for row in files if row["raw_output"] is not None]
    assert len(kept) > 0.95 * len(files)
    again = {row["file_id"]: row for row in rows(tables.documents_to_tables(kept, inspected_at=NOW).files)}
    assert [again[row["file_id"]] for row in files if row["raw_output"] is not None] == [
        row for row in files if row["raw_output"] is not None
    ]
    for row, document in zip(files, real_documents, strict=True):
        assert row["error_count"] >= len(document["errors"])
        assert (row["metadata_embedding"] is None) == (document["file"]["header_hash"] is None)


@settings(max_examples=60, deadline=None)
@given(st.lists(payloads, min_size=1, max_size=3))
def test_no_value_fails_a_batch(documents: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(documents)
    made = tables.documents_to_tables(documents)
    for name, table in zip(tables.SCHEMAS, made, strict=False):
        assert table.schema.equals(tables.SCHEMAS[name], check_metadata=True)
        rows(table)
    assert repr(documents) == repr(before)
    assert len(set(made.file_ids)) == made.files.num_rows
    for row in rows(made.files):
        json.loads(row["raw_output"])


def test_nothing_looks_at_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the disk was looked at")

    for name in ("stat", "lstat", "open", "readlink"):
        monkeypatch.setattr(os, name, refuse)
    assert tables.normalize_path("/a/../b.exr") == "/b.exr"
    tables.documents_to_tables([hand_document()])
