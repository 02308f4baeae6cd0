"""Is the file whole? Verdicts on fixtures and on built files, and what is read to reach them."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import exr_inspector
from exr_inspector import sources
from exr_inspector.exr.chunks import levels
from exr_inspector.exr.integrity import FileBytes, check_integrity
from exr_inspector.exr.reader import parse_header
from exr_inspector.limits import FIRST_READ_BYTES, MIB, Limits
from exr_inspector.model import TileDescription
from tests.support import fixture_files
from tests.support.counting import CountingFile, CountingStream
from tests.support.exr_bytes import (
    DEEP,
    LINES_PER_CHUNK,
    MIPMAP,
    ONE_LEVEL,
    RIPMAP,
    ROUND_DOWN,
    ROUND_UP,
    TILED,
    Built,
    PartBytes,
    attribute,
    build,
    deep_scanline_chunk,
    deep_scanline_file,
    deep_scanline_part,
    deep_tiled_file,
    deep_tiled_part,
    minimal_attributes,
    multipart,
    multipart_file,
    pack_i32,
    pack_string,
    pack_tiledesc,
    pack_u64,
    scanline_chunk,
    scanline_file,
    scanline_part,
    single_part,
    tile_chunk,
    tiled_file,
    tiled_part,
)
from tests.support.fixture_files import FixtureFile

MODES = ("table", "chunks")


def document_of(source: Any, mode: str = "table", **limits: int) -> dict[str, Any]:
    return exr_inspector.inspect(source, config={"integrity": mode}, limits=Limits(**limits))


def integrity_of(source: Any, mode: str = "table", **limits: int) -> dict[str, Any]:
    found: dict[str, Any] = document_of(source, mode, **limits)["integrity"]
    return found


def errors_of(source: Any, mode: str = "table", **limits: int) -> list[tuple[str, int | None, int | None]]:
    """Code, part and offset of what integrity says."""
    return [
        (error["code"], error["part_index"], error["offset"])
        for error in document_of(source, mode, **limits)["errors"]
        if error["code"].startswith(("integrity_", "chunk_count", "limit_chunks"))
    ]


# ---- What the manifest says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "mode"),
    [
        pytest.param(file, mode, id=f"{file.name}-{mode}")
        for file in fixture_files.FILES
        for mode in file.expect.get("integrity", ())  # a level that is not certain is absent
    ],
)
def test_fixtures_have_their_verdict(file: FixtureFile, mode: str) -> None:
    for source in (file.path, file.data, io.BytesIO(file.data)):
        found = integrity_of(source, mode)
        assert found["status"] == file.expect["integrity"][mode]
        is_walked = "chunks" in found["checked"]
        assert is_walked is (mode == "chunks" and found["parts"][0]["missing_chunks"] is not None)


def _having(*keys: str) -> list[Any]:
    return fixture_files.params(lambda file: any(key in file.expect for key in keys))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("file", _having("missing_bytes", "trailing_bytes", "missing_chunks", "incomplete_parts"))
def test_fixtures_miss_what_the_manifest_says(file: FixtureFile, mode: str) -> None:
    expect, found = file.expect, integrity_of(file.path, mode)
    assert found["trailing_bytes"] == expect.get("trailing_bytes")
    assert (found["missing_bytes"] is not None) is ("missing_bytes" in expect)
    if "missing_bytes" in expect:
        # At least so many: the data of a chunk that begins past the end cannot be known.
        assert 0 < int(found["missing_bytes"]) <= expect["missing_bytes"]
    if "missing_chunks" in expect:
        (part,) = found["parts"]
        assert part["missing_chunks"] == len(expect["missing_chunks"])
        listed = [index for first, last in part["missing_ranges"] for index in range(first, last + 1)]
        assert listed == expect["missing_chunks"]
    if "incomplete_parts" in expect:
        incomplete = [part["part_index"] for part in found["parts"] if part["missing_chunks"]]
        assert incomplete == expect["incomplete_parts"]


@pytest.mark.parametrize("file", _having("truncated_parts"))
def test_fixtures_name_the_truncated_part(file: FixtureFile) -> None:
    told = {part for code, part, _ in errors_of(file.path) if code == "integrity_truncated"}
    assert told == set(file.expect["truncated_parts"])


@pytest.mark.parametrize("file", _having("chunks_present"))
def test_fixtures_that_were_never_closed(file: FixtureFile) -> None:
    found = integrity_of(file.path, "chunks")
    assert [part["found_chunks"] for part in found["parts"]] == file.expect["chunks_present"]
    assert all(part["found_chunks"] is None for part in integrity_of(file.path)["parts"])


@pytest.mark.parametrize("file", _having("chunk_count", "chunk_count_differs"))
def test_fixtures_have_their_chunk_counts(file: FixtureFile) -> None:
    found = integrity_of(file.path)
    if "chunk_count" in file.expect:
        assert [part["chunk_count"] for part in found["parts"]] == [file.expect["chunk_count"]]
    codes = [code for code, _, _ in errors_of(file.path)]
    assert ("chunk_count" in codes) is file.expect.get("chunk_count_differs", False)


@pytest.mark.parametrize("file", _having("missing_bytes_at_least"))
def test_fixtures_cut_in_their_header(file: FixtureFile) -> None:
    document = document_of(file.path)
    if document["errors"][-1]["code"] == "limit_header_bytes":
        assert file.name == "damaged/size_maximum.exr"  # its 2 GiB are beyond the limit
        return
    assert document["integrity"]["status"] == "truncated"
    assert int(document["integrity"]["missing_bytes"]) >= file.expect["missing_bytes_at_least"]


@pytest.mark.parametrize(
    "file", fixture_files.params(lambda file: file.name.startswith("real/") and file.expect.get("readable") is True)
)
def test_the_wheels_tables_are_as_long_as_computed(file: FixtureFile) -> None:
    """The wheels write the first chunk directly after the tables: their length shows in the lowest offset."""
    data = file.data
    start = parse_header(data).size_bytes
    counts = [part["chunk_count"] for part in integrity_of(data)["parts"]]
    table = struct.unpack_from(f"<{sum(counts)}Q", data, start)
    assert min(filter(None, table)) == start + 8 * sum(counts)


# ---- Complete files ----------------------------------------------------------------------------------------

COMPLETE: dict[str, Built] = {
    "one line": scanline_file(1, 1),
    "deep lines": deep_scanline_file(3, 5),
    "deep tiles": deep_tiled_file(8, 8, (4, 4)),
    "tiles that do not divide the window": tiled_file(7, 5, (4, 2)),
    "three parts": multipart_file(3),
    "mixed parts": multipart(
        [
            scanline_part(4, 40, compression=3, name="a"),
            tiled_part(9, 5, (4, 4), mode=MIPMAP, name="b"),
            deep_scanline_part(name="c"),
            deep_tiled_part(name="d"),
        ],
        DEEP,
    ),
    "one part in a list": multipart([scanline_part(name="a")]),
    "empty chunks": scanline_file(4, 5, chunk_bytes=0),
}
COMPLETE |= {f"compression {code}": scanline_file(2, 300, compression=code, chunk_bytes=3) for code in LINES_PER_CHUNK}
COMPLETE |= {
    f"levels {mode} {rounding}": tiled_file(13, 7, (4, 4), mode=mode, rounding=rounding)
    for mode in (ONE_LEVEL, MIPMAP, RIPMAP)
    for rounding in (ROUND_DOWN, ROUND_UP)
}


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_files(name: str) -> None:
    built = COMPLETE[name]
    for mode, checked in (("table", ["table", "end"]), ("chunks", ["table", "end", "chunks"])):
        found = integrity_of(built.data, mode)
        assert found == {
            "status": "complete",
            "checked": checked,
            "missing_bytes": None,
            "trailing_bytes": None,
            "parts": [
                {
                    "part_index": index,
                    "chunk_count": len(offsets),
                    "missing_chunks": 0,
                    "missing_ranges": [],
                    "found_chunks": None,
                }
                for index, offsets in enumerate(built.chunk_offsets)
            ],
        }
        assert errors_of(built.data, mode) == []


def test_none_looks_at_nothing() -> None:
    found = integrity_of(scanline_file().data, "none")
    assert found == {"status": "unchecked", "checked": [], "missing_bytes": None, "trailing_bytes": None, "parts": []}


@pytest.mark.parametrize("name", COMPLETE)
def test_chunks_may_stand_in_any_order(name: str) -> None:
    """decreasingY and randomY files: the table's order is not the file's."""
    built = COMPLETE[name]
    chunks = sorted(offset for part in built.chunk_offsets for offset in part)
    ends = dict(zip(chunks, [*chunks[1:], len(built.data)], strict=True))
    at, moved, pieces = built.tables_end, {}, []
    for offset in reversed(chunks):
        moved[offset] = at
        pieces.append(built.data[offset : ends[offset]])
        at += len(pieces[-1])
    data = built.with_offsets([[moved[offset] for offset in part] for part in built.chunk_offsets])
    data = data[: built.tables_end] + b"".join(pieces)
    for mode in MODES:
        assert integrity_of(data, mode)["status"] == "complete"


@pytest.mark.parametrize("name", COMPLETE)
def test_every_cut_of_a_complete_file(name: str) -> None:
    """Wherever it is cut behind its header, both modes say so, and never too many missing bytes."""
    built = COMPLETE[name]
    size = len(built.data)
    step = 1 + (size - built.header_bytes) // 200
    for length in [*range(built.header_bytes, size, step), size - 1]:
        for mode in MODES:
            found = integrity_of(built.data[:length], mode)
            assert found["status"] == "truncated", (length, mode)
            assert 0 < found["missing_bytes"] <= size - length
        if length < built.tables_end:
            assert found["missing_bytes"] == built.tables_end - length
            assert found["checked"] == []


def test_a_cut_in_the_last_chunk_is_exact() -> None:
    built = scanline_file(4, 4)  # 24 bytes a line
    for missing in (1, 10, 24):
        data = built.data[: len(built.data) - missing]
        for mode in MODES:
            assert integrity_of(data, mode)["missing_bytes"] == missing
            assert errors_of(data, mode) == [("integrity_truncated", None, len(data))]
    # In the leader: what it still needs; before it: one byte, for all that is known.
    data = built.data[: len(built.data) - 24 - 3]
    assert integrity_of(data)["missing_bytes"] == 3
    assert errors_of(data) == [("integrity_truncated", 0, built.chunk_offsets[0][3])]
    data = built.data[: len(built.data) - 24 - 8]
    assert integrity_of(data)["missing_bytes"] == 1
    assert errors_of(data) == [("integrity_truncated", 0, len(data))]


def test_cut_tables() -> None:
    built = multipart_file(2)
    data = built.data[: built.tables_end - 1]
    for mode in MODES:
        found = integrity_of(data, mode)
        assert (found["status"], found["missing_bytes"], found["checked"]) == ("truncated", 1, [])
        assert [part["chunk_count"] for part in found["parts"]] == [4, 4]
        assert [part["missing_chunks"] for part in found["parts"]] == [None, None]
        assert errors_of(data, mode) == [("integrity_truncated", None, built.header_bytes)]


# ---- Verdicts, and which one counts ------------------------------------------------------------------------

FOUR = scanline_file(4, 4)
OFFSETS = FOUR.chunk_offsets[0]
SIZE = len(FOUR.data)


def with_offsets(*offsets: int) -> bytes:
    return FOUR.with_offsets([offsets])


A, B, C, D = OFFSETS
VERDICTS: dict[str, tuple[bytes, str, list[tuple[str, int | None, int | None]]]] = {
    "complete": (FOUR.data, "complete", []),
    "trailing": (FOUR.data + b"!", "trailing", [("integrity_trailing", None, SIZE)]),
    "incomplete": (with_offsets(A, 0, C, D), "incomplete", [("integrity_incomplete", 0, None)]),
    # What follows the last recorded chunk may be the one without an offset.
    "incomplete before trailing": (with_offsets(A, 0, C, D) + b"!", "incomplete", [("integrity_incomplete", 0, None)]),
    "incomplete at the end": (with_offsets(A, B, C, 0), "incomplete", [("integrity_incomplete", 0, None)]),
    "into the header": (with_offsets(9, B, C, D), "inconsistent", [("integrity_inconsistent", 0, 9)]),
    "into the table": (
        with_offsets(FOUR.tables_end - 1, B, C, D),
        "inconsistent",
        [("integrity_inconsistent", 0, FOUR.tables_end - 1)],
    ),
    "inconsistent before incomplete": (
        with_offsets(1, 0, C, D),
        "inconsistent",
        [("integrity_incomplete", 0, None), ("integrity_inconsistent", 0, 1)],
    ),
    "past the end": (with_offsets(A, B, C, SIZE), "truncated", [("integrity_truncated", 0, SIZE)]),
    "far past the end": (with_offsets(A, B, C, 2**64 - 1), "truncated", [("integrity_truncated", 0, SIZE)]),
    "truncated before all": (
        with_offsets(1, 0, C, SIZE + 5),
        "truncated",
        [("integrity_incomplete", 0, None), ("integrity_inconsistent", 0, 1), ("integrity_truncated", 0, SIZE)],
    ),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(name: str) -> None:
    data, status, errors = VERDICTS[name]
    assert integrity_of(data)["status"] == status
    assert errors_of(data) == errors
    assert integrity_of(data, "chunks")["status"] == status
    assert errors_of(data, "chunks") == errors
    for mode in MODES:
        assert (integrity_of(data, mode)["trailing_bytes"] is not None) is (status == "trailing")


def test_an_offset_at_the_tables_end_or_the_last_byte_is_inside() -> None:
    assert FOUR.tables_end == A
    codes = [code for code, _, _ in errors_of(with_offsets(A, B, C, SIZE - 1))]
    assert codes == ["integrity_truncated"]  # its leader is cut, but it begins inside
    assert integrity_of(with_offsets(A, B, C, SIZE - 1))["missing_bytes"] == 7


def test_missing_bytes_of_offsets_past_the_end() -> None:
    assert integrity_of(with_offsets(A, B, SIZE + 10, SIZE + 100))["missing_bytes"] == 101
    message = document_of(with_offsets(A, B, SIZE + 10, SIZE + 100))["errors"][-1]["message"]
    assert "2 of 4 chunks begin past the file's end" in message


def test_missing_ranges() -> None:
    built = scanline_file(1, 100, chunk_bytes=1)
    offsets = [0 if index % 3 == 0 or index > 97 else offset for index, offset in enumerate(built.chunk_offsets[0])]
    (part,) = integrity_of(built.with_offsets([offsets]))["parts"]
    assert part["missing_chunks"] == 34 + 1  # 0, 3, …, 99; and 98
    assert part["missing_ranges"] == [[index, index] for index in range(0, 94, 3)]  # the first 32

    offsets = [offset if index in (0, 50, 51, 99) else 0 for index, offset in enumerate(built.chunk_offsets[0])]
    (part,) = integrity_of(built.with_offsets([offsets]))["parts"]
    assert part["missing_ranges"] == [[1, 49], [52, 98]]


def leader_at(built: Built, part: int, index: int, leader: bytes) -> bytes:
    """The file with other bytes where a chunk begins."""
    offset = built.chunk_offsets[part][index]
    return built.data[:offset] + leader + built.data[offset + len(leader) :]


TILES = tiled_file(4, 4, (2, 2))
PARTS = multipart_file(2)
DEEP_LINES = deep_scanline_file(4, 4)
CONTRADICTIONS: dict[str, tuple[Built, int, int, bytes, str]] = {
    "line": (FOUR, 0, 3, pack_i32(2), "the leader says line 2, its entry line 3"),
    "negative line": (FOUR, 0, 3, pack_i32(-1), "the leader says line -1, its entry line 3"),
    "negative size": (FOUR, 0, 3, pack_i32(3, -1), "negative size"),
    "tile x": (TILES, 0, 3, pack_i32(0, 1, 0, 0), "tile 0, 1 of level 0, 0, its entry tile 1, 1 of level 0, 0"),
    "level": (TILES, 0, 3, pack_i32(1, 1, 0, 1), "of level 0, 1, its entry"),
    "part": (PARTS, 1, 3, pack_i32(0), "the leader says part 0"),
    "no such part": (PARTS, 1, 3, pack_i32(2), "the leader says part 2"),
    "negative part": (PARTS, 1, 3, pack_i32(-1), "the leader says part -1"),
    "deep line": (DEEP_LINES, 0, 3, pack_i32(7), "line 7, its entry line 3"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_leaders_that_contradict_their_entry(name: str) -> None:
    built, part, index, leader, words = CONTRADICTIONS[name]
    data = leader_at(built, part, index, leader)
    offset = built.chunk_offsets[part][index]
    for mode in MODES:
        assert integrity_of(data, mode)["status"] == "inconsistent"
        assert errors_of(data, mode) == [("integrity_inconsistent", part, offset)]
        assert words in document_of(data, mode)["errors"][0]["message"]


def test_only_the_walk_sees_a_leader_in_the_middle() -> None:
    data = leader_at(FOUR, 0, 1, pack_i32(77))
    assert integrity_of(data)["status"] == "complete"
    assert integrity_of(data, "chunks")["status"] == "inconsistent"
    assert errors_of(data, "chunks") == [("integrity_inconsistent", 0, B)]


def test_contradictions_are_counted_not_listed() -> None:
    offsets = [*OFFSETS[1:], OFFSETS[0]]  # every entry points to another line's chunk
    errors = document_of(FOUR.with_offsets([offsets]), "chunks")["errors"]
    assert [error["code"] for error in errors] == ["integrity_inconsistent"] * 2
    assert "line 1, its entry line 0" in errors[0]["message"]
    assert errors[1]["message"] == "3 more chunks contradict the offset table"


def test_chunks_that_overlap() -> None:
    """Chunk 1 says it is as long as two: it covers chunk 2."""
    data = leader_at(FOUR, 0, 1, pack_i32(1, 24 + 8 + 24))
    assert integrity_of(data)["status"] == "complete"
    assert errors_of(data, "chunks") == [("integrity_inconsistent", None, C)]
    # To its very end, not into the next one: no overlap.
    assert integrity_of(leader_at(FOUR, 0, 1, pack_i32(1, 24)), "chunks")["status"] == "complete"
    assert integrity_of(leader_at(FOUR, 0, 1, pack_i32(1, 25)), "chunks")["status"] == "inconsistent"
    assert integrity_of(leader_at(FOUR, 0, 1, pack_i32(1, 20)), "chunks")["status"] == "complete"


def test_the_same_chunk_for_two_entries() -> None:
    found = integrity_of(with_offsets(A, B, B, D), "chunks")
    assert found["status"] == "inconsistent"


@pytest.mark.parametrize("mode", MODES)
def test_deep_sizes_are_added(mode: str) -> None:
    """Count table and data follow the leader; the unpacked size does not count."""
    chunk = deep_scanline_chunk(0, b"table", b"da")
    chunk = chunk[:20] + pack_u64(10**15) + chunk[28:]
    attributes = deep_scanline_part(4, 1).attributes
    built = build(DEEP, [PartBytes(attributes, [chunk])])
    assert integrity_of(built.data, mode)["status"] == "complete"
    assert integrity_of(built.data + b"!", mode)["trailing_bytes"] == 1
    assert integrity_of(built.data[:-1], mode)["missing_bytes"] == 1


def test_hostile_deep_sizes() -> None:
    """Two u64 that overflow 64 bits together."""
    data = leader_at(DEEP_LINES, 0, 3, pack_i32(3) + pack_u64(2**64 - 1, 2**64 - 1, 0))
    for mode in MODES:
        found = integrity_of(data, mode)
        assert (found["status"], found["missing_bytes"]) == ("truncated", str(2**65 - 2 - 16))  # 16 bytes are there


# ---- How many chunks ---------------------------------------------------------------------------------------

# Width, height, tile, mode, rounding: tiles of each level, counted by hand.
LEVELS: list[tuple[int, int, tuple[int, int], int, int, list[int]]] = [
    (1, 1, (1, 1), ONE_LEVEL, ROUND_DOWN, [1]),
    (1, 1, (64, 64), MIPMAP, ROUND_UP, [1]),
    (1, 1, (64, 64), RIPMAP, ROUND_UP, [1]),
    (7, 5, (4, 2), ONE_LEVEL, ROUND_DOWN, [2 * 3]),
    (8, 8, (4, 4), MIPMAP, ROUND_DOWN, [4, 1, 1, 1]),  # 8, 4, 2, 1
    (8, 8, (4, 4), MIPMAP, ROUND_UP, [4, 1, 1, 1]),
    (13, 7, (4, 4), MIPMAP, ROUND_DOWN, [8, 2, 1, 1]),  # 13x7, 6x3, 3x1, 1x1
    (13, 7, (4, 4), MIPMAP, ROUND_UP, [8, 2, 1, 1, 1]),  # 13x7, 7x4, 4x2, 2x1, 1x1
    (5, 1, (2, 2), MIPMAP, ROUND_DOWN, [3, 1, 1]),  # 5, 2, 1
    (5, 1, (2, 2), MIPMAP, ROUND_UP, [3, 2, 1, 1]),  # 5, 3, 2, 1
    (1, 9, (1, 1), MIPMAP, ROUND_UP, [9, 5, 3, 2, 1]),
    # y outer: heights 2, 1; widths 4, 2, 1
    (4, 2, (1, 1), RIPMAP, ROUND_DOWN, [8, 4, 2, 4, 2, 1]),
    # heights and widths 3, 1; tiles 2, 1
    (3, 3, (2, 2), RIPMAP, ROUND_DOWN, [4, 2, 2, 1]),
    # 3, 2, 1; tiles 2, 1, 1
    (3, 3, (2, 2), RIPMAP, ROUND_UP, [4, 2, 2, 2, 1, 1, 2, 1, 1]),
    (2**32, 1, (2**31, 1), MIPMAP, ROUND_DOWN, [2] + [1] * 32),
]


@pytest.mark.parametrize("row", LEVELS, ids=range(len(LEVELS)))
def test_tiles_of_each_level(row: tuple[int, int, tuple[int, int], int, int, list[int]]) -> None:
    width, height, (tile_x, tile_y), mode, rounding, counts = row
    found = levels(width, height, TileDescription(tile_x, tile_y, rounding << 4 | mode))
    assert [level.tiles_x * level.tiles_y for level in found] == counts
    if mode == RIPMAP:
        x_levels = 1 + max(level.x for level in found)
        assert [(level.x, level.y) for level in found] == [
            (index % x_levels, index // x_levels) for index in range(len(found))
        ]
    else:
        assert [(level.x, level.y) for level in found] == [(index, index) for index in range(len(found))]


@pytest.mark.parametrize(
    "tiles",
    [TileDescription(0, 4, 0), TileDescription(4, 0, 0), TileDescription(4, 4, 3), TileDescription(4, 4, 0x20)],
)
def test_tiles_without_a_meaning(tiles: TileDescription) -> None:
    assert levels(8, 8, tiles) == ()
    attributes = minimal_attributes(tiles=pack_tiledesc(*tiles[:2], tiles.mode & 15, tiles.mode >> 4))
    data = single_part(attributes, [tile_chunk((0, 0, 0, 0), b"")], TILED).data
    assert integrity_of(data)["status"] == "unchecked"
    assert errors_of(data) == [("chunk_count_unknown", 0, None)]
    # With a chunkCount there is a table; where its chunks stand is not known, so no leader contradicts.
    attributes["chunkCount"] = attribute("chunkCount", "int", pack_i32(1))
    data = single_part(attributes, [tile_chunk((9, 9, 9, 9), b"data")], TILED).data
    for mode in MODES:
        assert integrity_of(data, mode)["status"] == "complete"
        assert integrity_of(data, mode)["parts"][0]["chunk_count"] == 1


@pytest.mark.parametrize(("code", "lines"), LINES_PER_CHUNK.items())
def test_lines_per_chunk(code: int, lines: int) -> None:
    for height in {1, lines, lines + 1, 2 * lines, 2 * lines + 1}:
        attributes = minimal_attributes(height=height, compression=code)
        (part,) = integrity_of(single_part(attributes).data)["parts"]
        assert part["chunk_count"] == (height + lines - 1) // lines


def test_a_declared_count_is_compared_never_trusted() -> None:
    for declared in (1, 3, 5, 2**31 - 1, 0, -1):
        part = scanline_part(4, 4)
        part.attributes["chunkCount"] = attribute("chunkCount", "int", pack_i32(declared))
        data = build(0, [part]).data
        assert integrity_of(data)["status"] == "complete"
        ((code, part_index, offset),) = errors_of(data)
        assert (code, part_index) == ("chunk_count", 0)
        assert data[(offset or 0) :][:4] == pack_i32(declared)
    part = scanline_part(4, 4)
    part.attributes["chunkCount"] = attribute("chunkCount", "int", pack_i32(4))
    assert errors_of(build(0, [part]).data) == []


UNKNOWN = 99


def unknown_compression(chunk_count: int, height: int = 20) -> Built:
    chunks = [scanline_chunk(7 * index, b"data") for index in range(chunk_count)]
    return single_part(minimal_attributes(height=height, compression=UNKNOWN), chunks)


@pytest.mark.parametrize("chunk_count", [1, 2, 3, 20])
@pytest.mark.parametrize("mode", MODES)
def test_an_unknown_compression_is_counted_by_the_first_offset(chunk_count: int, mode: str) -> None:
    built = unknown_compression(chunk_count)
    found = integrity_of(built.data, mode)
    assert found["status"] == "complete"
    assert found["parts"][0]["chunk_count"] == chunk_count
    assert integrity_of(built.data[:-1], mode)["status"] == "truncated"
    assert errors_of(built.data, mode) == []


def test_an_unknown_compression_that_cannot_be_counted() -> None:
    built = unknown_compression(3)
    first, second, third = built.chunk_offsets[0]
    wrong = {
        "no offset": (0, second, third),
        "more chunks than lines": tuple(offset + 8 * 20 for offset in built.chunk_offsets[0]),
        "not a multiple of 8": (first + 1, second, third),
        "into the header": (8, second, third),
        "directly at the table": (built.header_bytes, second, third),
        "not the first chunk": (second, first, third),
        "past the end": (2**63, second, third),
    }
    for name, offsets in wrong.items():
        data = built.with_offsets([offsets])
        assert integrity_of(data, "chunks")["status"] == "unchecked", name
        assert errors_of(data, "chunks") == [("chunk_count_unknown", 0, None)], name
    # A table that the file is too short for.
    assert integrity_of(built.data[: built.header_bytes + 11])["status"] == "unchecked"
    assert integrity_of(built.data[: built.header_bytes])["status"] == "unchecked"


def test_the_count_by_the_first_offset_is_for_one_scan_line_part() -> None:
    part = scanline_part(4, 4, name="a")
    part.attributes["compression"] = attribute("compression", "compression", bytes([UNKNOWN]))
    del part.attributes["chunkCount"]
    data = multipart([part, scanline_part(name="b")]).data
    assert integrity_of(data)["status"] == "unchecked"
    assert [row["chunk_count"] for row in integrity_of(data)["parts"]] == [None, 4]


def test_a_declared_count_serves_an_unknown_part_type() -> None:
    part = scanline_part(4, 4, name="a")
    part.attributes["type"] = attribute("type", "string", pack_string("volume"))
    data = multipart([part]).data
    for mode in MODES:
        found = integrity_of(data, mode)
        assert (found["status"], found["checked"]) == ("table_complete", ["table"])
    del part.attributes["chunkCount"]
    assert integrity_of(multipart([part]).data)["status"] == "unchecked"


def test_a_part_without_window_or_with_an_inverted_one() -> None:
    for window in (None, pack_i32(0, 0, -1, 3), pack_i32(0, 4, 3, 3)):
        part = scanline_part(4, 4)
        del part.attributes["dataWindow"]
        if window is not None:
            part.attributes["dataWindow"] = attribute("dataWindow", "box2i", window)
        assert integrity_of(build(0, [part]).data)["status"] == "unchecked"


def test_the_window_may_begin_anywhere() -> None:
    for y in (-(2**31), -5, 2**31 - 4):
        attributes = minimal_attributes(width=4, height=4, origin=(-7, y))
        built = single_part(attributes, [scanline_chunk(y + line, b"x") for line in range(4)])
        for mode in MODES:
            assert integrity_of(built.data, mode)["status"] == "complete"
        wrong = single_part(attributes, [scanline_chunk(line, b"x") for line in range(4)])
        assert integrity_of(wrong.data)["status"] == "inconsistent"


def test_files_without_parts_are_unchecked() -> None:
    data = fixture_files.data_of("hand/zero_parts.exr")
    assert integrity_of(data) == {
        "status": "unchecked",
        "checked": [],
        "missing_bytes": None,
        "trailing_bytes": None,
        "parts": [],
    }


def test_problems_of_many_parts_are_capped() -> None:
    built = multipart_file(30)
    data = built.with_offsets([[0, 1, 2, 3]] * 30)
    assert integrity_of(data, max_problems=10)["status"] == "inconsistent"
    errors = document_of(data, max_problems=10)["errors"]
    assert len(errors) == 11
    assert errors[-1]["code"] == "limit_problems"
    assert errors[-1]["message"].startswith("50 more")  # 30 with zeros and 30 into the header are 60
    for most in (60, 1000):
        assert "limit_problems" not in {error["code"] for error in document_of(data, max_problems=most)["errors"]}
    unknown = multipart([PartBytes(minimal_attributes(name=str(index))) for index in range(20)])
    assert errors_of(unknown.data, max_problems=10) == [("chunk_count_unknown", index, None) for index in range(10)]


# ---- Files that were never closed --------------------------------------------------------------------------


def never_closed(built: Built, length: int) -> bytes:
    """All offsets zero, and no more bytes than that."""
    zeros = [[0] * len(offsets) for offsets in built.chunk_offsets]
    return built.with_offsets(zeros)[:length]


NEVER_CLOSED = {
    "scan lines": scanline_file(4, 6),
    "zip": scanline_file(4, 40, compression=3, chunk_bytes=9),
    "tiles": tiled_file(5, 5, (2, 2)),
    "mipmap": tiled_file(9, 9, (4, 4), mode=MIPMAP),
    "deep lines": deep_scanline_file(4, 6),
    "deep tiles": deep_tiled_file(4, 4, (2, 2)),
}


@pytest.mark.parametrize("name", NEVER_CLOSED)
def test_never_closed_with_any_number_of_chunks(name: str) -> None:
    built = NEVER_CLOSED[name]
    (offsets,) = built.chunk_offsets
    ends = [*offsets, len(built.data)]
    for count, end in enumerate(ends):
        for more in (0, 1, 5, 9):  # none, or a piece of the next chunk's leader or data
            if count == len(offsets) and more:
                continue
            data = never_closed(built, min(end + more, len(built.data)))
            found = integrity_of(data, "chunks")
            assert (found["status"], found["checked"]) == ("incomplete", ["table", "chunks"])
            (part,) = found["parts"]
            assert (part["found_chunks"], part["missing_chunks"]) == (count, len(offsets))
            assert part["missing_ranges"] == [[0, len(offsets) - 1]]
            assert integrity_of(data)["checked"] == ["table"]


def test_never_closed_parts_take_turns() -> None:
    """Writers of several parts interleave their chunks."""
    a, b = (scanline_part(4, 4, name=name) for name in "ab")
    empty = multipart([PartBytes(a.attributes), PartBytes(b.attributes)])
    order = [(0, 0), (1, 0), (1, 1), (0, 1), (1, 2)]
    chunks = b"".join(pack_i32(part) + (a, b)[part].chunks[line] for part, line in order)
    data = empty.data + bytes(8 * 8) + chunks
    found = integrity_of(data, "chunks")
    assert [part["found_chunks"] for part in found["parts"]] == [2, 3]


def test_what_follows_must_be_chunks() -> None:
    built = NEVER_CLOSED["scan lines"]
    second = built.chunk_offsets[0][1]
    for leader in (pack_i32(-1, 24), pack_i32(6, 24), pack_i32(1, -1), pack_i32(1, 10**6)):
        data = never_closed(built, len(built.data))
        data = data[:second] + leader + data[second + 8 :]
        assert integrity_of(data, "chunks")["parts"][0]["found_chunks"] == 1
    tiles = NEVER_CLOSED["tiles"]
    second = tiles.chunk_offsets[0][1]
    for place in ((3, 0, 0, 0), (0, 3, 0, 0), (-1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)):
        data = never_closed(tiles, len(tiles.data))
        data = data[:second] + pack_i32(*place) + data[second + 16 :]
        assert integrity_of(data, "chunks")["parts"][0]["found_chunks"] == 1
    parts = multipart_file(2)
    second = parts.chunk_offsets[0][1]
    for number in (-1, 2, 2**31 - 1):
        data = never_closed(parts, len(parts.data))
        data = data[:second] + pack_i32(number) + data[second + 4 :]
        assert [part["found_chunks"] for part in integrity_of(data, "chunks")["parts"]] == [1, 0]


def test_no_more_chunks_are_found_than_a_part_has() -> None:
    """The first part's chunk over and over, where the second part's should stand."""
    built = multipart_file(2)
    chunk = built.data[built.chunk_offsets[0][0] : built.chunk_offsets[0][1]]
    data = never_closed(built, built.tables_end) + chunk * 8
    assert [part["found_chunks"] for part in integrity_of(data, "chunks")["parts"]] == [4, 0]


def test_one_part_never_closed_beside_one_that_was() -> None:
    built = multipart_file(2)
    data = built.with_offsets([[0] * 4, built.chunk_offsets[1]])
    found = integrity_of(data, "chunks")
    assert (found["status"], found["checked"]) == ("incomplete", ["table", "end", "chunks"])
    assert [part["found_chunks"] for part in found["parts"]] == [None, None]
    assert [part["missing_chunks"] for part in found["parts"]] == [4, 0]


# ---- Hostile windows ---------------------------------------------------------------------------------------


def hostile(flags: int = 0, **more: bytes) -> bytes:
    window = pack_i32(-(2**31), -(2**31), 2**31 - 1, 2**31 - 1)
    attributes = minimal_attributes()
    for name in ("dataWindow", "displayWindow"):
        attributes[name] = attribute(name, "box2i", window)
    if more:
        attributes["tiles"] = attribute("tiles", "tiledesc", more["tiles"])
    return single_part(attributes, flags=flags).data


HOSTILE = {
    "scan lines": (hostile(), 2**32),
    "tiles": (hostile(TILED, tiles=pack_tiledesc(1, 1)), 2**64),
    # (2^33 - 1) squared: every level of every axis, one pixel a tile
    "ripmap": (hostile(TILED, tiles=pack_tiledesc(1, 1, RIPMAP)), (2**33 - 1) ** 2),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("mode", MODES)
def test_hostile_windows_cost_nothing(name: str, mode: str) -> None:
    data, count = HOSTILE[name]
    file = CountingFile(data + bytes(100_000))
    tracemalloc.start()
    try:
        found = integrity_of(file, mode)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found["status"] == "truncated"
    assert int(found["parts"][0]["chunk_count"]) == count
    assert int(found["missing_bytes"]) == 8 * count - 100_000
    assert file.reads == [(0, FIRST_READ_BYTES)]
    assert peak < MIB


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_windows_in_a_stream(name: str) -> None:
    """A stream's size is unknown: the limit on chunks holds."""
    data, _ = HOSTILE[name]
    stream = CountingStream(data + bytes(100_000))
    assert integrity_of(stream)["status"] == "unchecked"
    assert stream.bytes_read <= FIRST_READ_BYTES
    assert errors_of(CountingStream(data)) == [("limit_chunks", None, None)]


def test_too_many_chunks_for_a_file_that_could_have_them(tmp_path: Path, preads: list[tuple[int, int]]) -> None:
    attributes = minimal_attributes(width=1, height=2**24 + 1)
    path = tmp_path / "sparse.exr"
    path.write_bytes(single_part(attributes).data)
    os.truncate(path, 2**30)
    for mode in MODES:
        assert errors_of(path, mode) == [("limit_chunks", None, None)]
        assert integrity_of(path, mode)["status"] == "unchecked"
    assert set(preads) == {(0, FIRST_READ_BYTES)}


# ---- What is read ------------------------------------------------------------------------------------------


@pytest.fixture
def preads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Every positioned read of a local file: (offset, bytes that came)."""
    reads: list[tuple[int, int]] = []
    pread: Callable[[int, int, int], bytes] = sources._pread

    def counted(descriptor: int, size_bytes: int, offset: int) -> bytes:
        data = pread(descriptor, size_bytes, offset)
        reads.append((offset, len(data)))
        return data

    monkeypatch.setattr(sources, "_pread", counted)
    return reads


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file that is opened."""
    opened: list[str] = []
    real_open = os.open

    def counted(path: Any, *arguments: Any, **options: Any) -> int:
        opened.append(os.fspath(path))
        return real_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", counted)
    return opened


LINE_BYTES = 4096 * 6


@pytest.fixture(scope="module")
def sparse_frame(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, Sequence[int]]:
    """4096 x 2160, not compressed: path, header's bytes, offsets. Only leaders are written, pixels are holes."""
    attributes = minimal_attributes(width=4096, height=2160)
    head = single_part(attributes).data
    offsets = [len(head) + 2160 * 8 + line * (8 + LINE_BYTES) for line in range(2160)]
    path = tmp_path_factory.mktemp("frames") / "sparse.exr"
    with path.open("wb") as file:
        file.write(head + pack_u64(*offsets))
        for line, offset in enumerate(offsets):
            file.seek(offset)
            file.write(pack_i32(line, LINE_BYTES))
    os.truncate(path, offsets[-1] + 8 + LINE_BYTES)
    return path, len(head), offsets


def test_the_walk_reads_leaders_only(
    sparse_frame: tuple[Path, int, Sequence[int]], preads: list[tuple[int, int]], opens: list[str]
) -> None:
    path, header_bytes, offsets = sparse_frame
    found = integrity_of(path, "chunks")
    assert (found["status"], found["checked"]) == ("complete", ["table", "end", "chunks"])
    assert opens == [str(path)]
    tables_end = header_bytes + 8 * 2160
    # The first 16 KiB, the rest of the table, and eight bytes of each chunk.
    assert preads[:2] == [(0, FIRST_READ_BYTES), (FIRST_READ_BYTES, tables_end - FIRST_READ_BYTES)]
    assert preads[2:] == [(offset, 8) for offset in offsets]
    assert sum(size for _, size in preads) <= tables_end + 8 * 2160


def test_the_table_reads_one_leader(
    sparse_frame: tuple[Path, int, Sequence[int]], preads: list[tuple[int, int]], opens: list[str]
) -> None:
    path, header_bytes, offsets = sparse_frame
    assert integrity_of(path)["status"] == "complete"
    assert opens == [str(path)]
    assert preads == [
        (0, FIRST_READ_BYTES),
        (FIRST_READ_BYTES, header_bytes + 8 * 2160 - FIRST_READ_BYTES),
        (offsets[-1], 8),
    ]


def test_the_walk_of_a_frame_that_was_never_closed(
    sparse_frame: tuple[Path, int, Sequence[int]], tmp_path: Path, preads: list[tuple[int, int]]
) -> None:
    path, header_bytes, offsets = sparse_frame
    copy = tmp_path / "copy.exr"
    with path.open("rb") as source, copy.open("wb") as target:
        target.write(source.read(header_bytes) + bytes(8 * 2160))
        for offset in offsets[:1000]:
            source.seek(offset)
            target.seek(offset)
            target.write(source.read(8))
        target.truncate(offsets[1000])
    found = integrity_of(copy, "chunks")
    assert (found["status"], found["parts"][0]["found_chunks"]) == ("incomplete", 1000)
    assert sum(size for _, size in preads) <= header_bytes + 8 * 2160 + 8 * 1000


@pytest.mark.parametrize("name", ["real/rich.exr", "real/multipart_two.exr", "real/minimal_rgba.exr"])
def test_a_usual_header_is_one_open_and_one_read(name: str, preads: list[tuple[int, int]], opens: list[str]) -> None:
    path = fixture_files.FOLDER / name
    exr_inspector.read_header(path)
    size = min(path.stat().st_size, FIRST_READ_BYTES)
    assert (opens, preads) == ([str(path)], [(0, size)])
    preads.clear()
    assert integrity_of(path)["status"] == "complete"
    assert preads == [(0, size)]  # the whole file is there: no leader needs another read


def test_large_headers_are_read_with_few_reads(tmp_path: Path, preads: list[tuple[int, int]]) -> None:
    for mebibytes in (1, 4, 16):
        attributes = minimal_attributes()
        for index in range(mebibytes * 16):
            attributes[f"x{index}"] = attribute(f"x{index}", "string", b"x" * 65536)
        path = tmp_path / f"{mebibytes}.exr"
        built = single_part(attributes, scanline_part(4, 4).chunks)
        path.write_bytes(built.data)
        os.truncate(path, 64 * MIB)
        preads.clear()
        integrity_of(path)
        assert len(preads) <= 12
        assert sum(size for _, size in preads) <= 2 * built.header_bytes


@pytest.mark.parametrize("mode", MODES)
def test_streams_are_read_to_the_tables_end(mode: str) -> None:
    built = scanline_file(1, 5000)
    assert built.tables_end > 2 * FIRST_READ_BYTES
    stream = CountingStream(built.data)
    found = integrity_of(stream, mode)
    assert (found["status"], found["checked"]) == ("table_complete", ["table"])
    assert stream.bytes_read == built.tables_end
    # In pieces of any size it is the same.
    assert integrity_of(CountingStream(built.data, 1000), mode) == found


@pytest.mark.parametrize("mode", MODES)
def test_streams_with_flaws(mode: str) -> None:
    built = scanline_file(1, 5000)
    zeros = [0, *built.chunk_offsets[0][1:]]
    assert integrity_of(CountingStream(built.with_offsets([zeros])), mode)["status"] == "incomplete"
    found = integrity_of(CountingStream(built.data[: built.tables_end - 3]), mode)
    assert (found["status"], found["missing_bytes"]) == ("truncated", 3)
    into_header = [9, *built.chunk_offsets[0][1:]]
    assert integrity_of(CountingStream(built.with_offsets([into_header])), mode)["status"] == "inconsistent"


@pytest.mark.parametrize("walk_chunks", [False, True])
@pytest.mark.parametrize("height", [40, 2000])
def test_a_source_of_known_size_that_is_not_random(height: int, walk_chunks: bool) -> None:
    """An object in a bucket: its size is known, each range is a request. Only what was fetched may be looked at."""
    built = scanline_file(8, height)
    header = parse_header(built.data)
    for first_bytes in (built.header_bytes, built.tables_end, built.chunk_offsets[0][-1] + 7, len(built.data)):
        asked: list[tuple[int, int]] = []

        def read(offset: int, size_bytes: int) -> bytes:
            asked.append((offset, size_bytes))  # noqa: B023  # called before the next turn
            return built.data[offset : offset + size_bytes]

        file = FileBytes(built.data[:first_bytes], read, len(built.data), is_random=False)
        found = check_integrity(header, file, Limits(), walk_chunks=walk_chunks).entry
        is_fetched = first_bytes == len(built.data)
        assert found["status"] == ("complete" if is_fetched else "table_complete")
        assert found["checked"] == (["table", "end"] if is_fetched else ["table"])
        missing = built.tables_end - first_bytes
        assert asked == ([(first_bytes, missing)] if missing > 0 else [])


def test_an_unknown_compression_in_a_stream() -> None:
    """The count is taken from the first offset, the table from what was read then."""
    chunks = [scanline_chunk(index, b"data") for index in range(4000)]
    built = single_part(minimal_attributes(height=5000, compression=UNKNOWN), chunks)
    stream = CountingStream(built.data)
    found = integrity_of(stream)
    assert (found["status"], found["parts"][0]["chunk_count"]) == ("table_complete", 4000)
    assert stream.bytes_read == built.tables_end


def test_seekable_files_read_leaders_where_they_stand() -> None:
    built = scanline_file(1000, 40)  # 6008 bytes a chunk
    file = CountingFile(b"before" + built.data)
    file.seek(6)
    assert integrity_of(file, "chunks")["status"] == "complete"
    assert file.tell() == 6
    first, *leaders = file.reads
    assert first == (6, FIRST_READ_BYTES)
    inside = [offset for offset in built.chunk_offsets[0] if offset + 8 <= FIRST_READ_BYTES]
    assert leaders == [(6 + offset, 8) for offset in built.chunk_offsets[0][len(inside) :]]


def test_a_leader_that_was_read_in_part_is_read_to_its_end() -> None:
    """The first read may end within a table or within a leader."""
    for pad in range(14):
        attributes = minimal_attributes(width=1, height=1024)
        attributes["pad"] = attribute("pad", "string", bytes(FIRST_READ_BYTES - 313 - 8 * 1024 - 19 - pad))
        chunks = [scanline_chunk(line, b"123456") for line in range(1024)]
        built = single_part(attributes, chunks)
        assert abs(built.tables_end - FIRST_READ_BYTES) < 20
        for mode in MODES:
            assert integrity_of(io.BytesIO(built.data), mode)["status"] == "complete"


def test_counts_beyond_2_53_are_text() -> None:
    """A JSON number of that size may not read back as the same integer (RFC 8259, section 6)."""
    offsets = FOUR.table_offsets[0]
    far = FOUR.data[:offsets] + pack_u64(2**62) + FOUR.data[offsets + 8 :]
    found = exr_inspector.inspect(far)["integrity"]
    assert found["status"] == "truncated"
    assert found["missing_bytes"] == str(2**62 - len(far) + 1)
