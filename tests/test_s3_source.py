"""Headers of objects: which requests they take, what the document says, and that it is the file's own document."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("obstore")

from exr_inspector import inspect, read_header, rebuild_header
from exr_inspector.errors import ExrError, LimitExceeded
from exr_inspector.limits import KIB, MIB, Limits
from exr_inspector.s3 import S3Client, source
from tests.loopback.s3_server import S3Server
from tests.support.exr_bytes import (
    attribute,
    header,
    minimal_attributes,
    pack_string,
    scanline_file,
    single_part,
    start,
)

FIXTURES = Path(__file__).parent.parent / "fixtures"
FILES = {
    path.relative_to(FIXTURES).as_posix(): path
    for folder in ("real", "hand", "damaged")
    for path in (FIXTURES / folder).glob("*.exr")
}
SMALL = scanline_file(4, 4)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server(buckets=["renders"]) as running:
        yield running


@pytest.fixture
def client(server: S3Server) -> Iterator[S3Client]:
    server.faults.clear()
    server.reset_counts()
    client = S3Client(server.settings())
    yield client
    assert client.budget.held_bytes == 0
    client.close()


def with_manifests(count: int, size_bytes: int) -> bytes:
    """A header with so many long attributes, and the file's rest."""
    attributes = minimal_attributes(width=4, height=4)
    for number in range(count):
        attributes[f"m{number}"] = attribute(
            f"m{number}", "string", pack_string(bytes([65 + number % 26]) * size_bytes)
        )
    return single_part(attributes, [struct.pack("<ii", y, 4) + b"data" for y in range(4)]).data


# ---- How many requests, how many bytes -----------------------------------------------------------------------


def test_a_usual_header_is_one_get(server: S3Server, client: S3Client) -> None:
    server.put("renders", "a.exr", SMALL.data + bytes(200_000))
    opened = client.source("renders", "a.exr")
    assert server.counts() == {}  # nothing is asked before the first read
    document = inspect(opened)
    assert document["parts"][0]["width"] == 4
    assert [(asked.op, asked.range) for asked in server.asked] == [("get", "bytes=0-65535")]
    assert (opened.requests, opened.bytes_read) == (1, 65536)


@pytest.mark.parametrize(
    ("manifests", "most_requests"),
    [((1, 20_000_000), 2), ((3, 7_000_000), 4), ((1000, 20_000), 6), ((100, 200_000), 6), ((40, 500_000), 6)],
)
def test_a_manifest_of_20_megabytes(
    manifests: tuple[int, int], most_requests: int, server: S3Server, client: S3Client
) -> None:
    data = with_manifests(*manifests)
    server.put("renders", "manifest.exr", data + bytes(60_000_000))
    opened = client.source("renders", "manifest.exr")
    header_bytes = inspect(opened)["file"]["header_bytes"]
    assert 20_000_000 < header_bytes < len(data)
    counts = server.counts()
    assert counts["get"] == opened.requests <= most_requests
    assert counts["bytes_asked"] < 2 * header_bytes
    assert counts["bytes_sent"] == opened.bytes_read < 2 * header_bytes
    assert server.counts().get("head", 0) == 0


@pytest.mark.parametrize("count", [230, 300, 400, 600, 800])
def test_less_than_twice_the_header_where_it_is_long(count: int, server: S3Server, client: S3Client) -> None:
    server.put("renders", "steps.exr", with_manifests(count, 20_000) + bytes(40_000_000))
    opened = client.source("renders", "steps.exr")
    header_bytes = inspect(opened)["file"]["header_bytes"]
    assert header_bytes > 4 * MIB
    assert opened.bytes_read < 2 * header_bytes
    assert opened.requests <= 6


def test_a_header_that_grows_a_little(server: S3Server, client: S3Client) -> None:
    """Just beyond the first range: one more request, for less than a request is worth."""
    server.put("renders", "grown.exr", with_manifests(1, 64 * KIB) + bytes(10 * MIB))
    opened = client.source("renders", "grown.exr")
    assert inspect(opened)["file"]["header_bytes"] > 64 * KIB
    assert opened.requests == 2
    assert opened.bytes_read < 400 * KIB


def test_offset_tables_beyond_the_first_range(server: S3Server, client: S3Client) -> None:
    built = scanline_file(1, 40_000, chunk_bytes=1)  # 320,000 bytes of offset table
    server.put("renders", "tables.exr", built.data)
    opened = client.source("renders", "tables.exr")
    document = inspect(opened)
    assert document["integrity"]["checked"] == ["table"]
    assert document["integrity"]["status"] == "table_complete"
    assert opened.requests == 2
    assert opened.bytes_read == built.tables_end
    local = inspect(built.data)
    assert local["integrity"]["status"] == "complete"
    assert document["parts"] == local["parts"]


def test_no_byte_behind_the_tables_is_asked_for(server: S3Server, client: S3Client) -> None:
    """The leader of the last chunk would be a second request; where it was fetched already, it is looked at."""
    near, far = scanline_file(4, 4), scanline_file(4, 4, chunk_bytes=50_000)
    server.put("renders", "near.exr", near.data)
    server.put("renders", "far.exr", far.data)
    assert inspect(client.source("renders", "near.exr"))["integrity"]["status"] == "complete"
    assert inspect(client.source("renders", "far.exr"))["integrity"]["status"] == "table_complete"
    assert [asked.range for asked in server.asked] == ["bytes=0-65535"] * 2


def test_a_limit_on_the_header(server: S3Server, client: S3Client) -> None:
    server.put("renders", "long.exr", with_manifests(40, 500_000))
    opened = client.source("renders", "long.exr")
    with pytest.raises(LimitExceeded) as caught:
        read_header(opened, limits=Limits(max_header_bytes=MIB))
    assert caught.value.code == "limit_header_bytes"
    assert opened.bytes_read <= MIB


# ---- What the document says ----------------------------------------------------------------------------------


def test_what_the_answer_says_of_the_object(server: S3Server, client: S3Client) -> None:
    first = server.put("renders", "shots/b.0042.exr", SMALL.data, mtime=1_700_000_000.5)
    server.put("renders", "shots/b.0042.exr", SMALL.data + b"later", mtime=1_700_000_100)
    assert inspect(client.source("renders", "shots/b.0042.exr", version_id=first.version_id))["file"] == {
        **inspect(SMALL.data)["file"],
        "path": "s3://renders/shots/b.0042.exr",
        "mtime": "2023-11-14T22:13:20.000000Z",
        "frame_number": 42,
        "s3_bucket": "renders",
        "s3_key": "shots/b.0042.exr",
        "etag": first.etag.strip('"'),
        "s3_version_id": first.version_id,
    }
    latest = inspect(client.source("renders", "shots/b.0042.exr"))["file"]
    assert (latest["mtime"], latest["size_bytes"]) == ("2023-11-14T22:15:00.000000Z", len(SMALL.data) + 5)


def test_without_time_version_and_etag(server: S3Server, client: S3Client) -> None:
    server.put("renders", "bare.exr", SMALL.data)
    for kind in ("no_time", "no_etag"):
        server.faults.add("get", kind)
    files = [inspect(client.source("renders", "bare.exr"))["file"] for _ in range(2)]
    assert (files[0]["mtime"], files[1]["etag"]) == (None, None)
    assert files[1]["mtime"] is not None


def test_a_document_is_the_files_own(server: S3Server, client: S3Client) -> None:
    """Of every fixture: the same document as of the local file, but for what stands under `file`."""
    for key, path in FILES.items():
        server.put("renders", key, path.read_bytes())
    with ThreadPoolExecutor(4) as pool:
        documents = list(pool.map(lambda key: inspect(client.source("renders", key)), FILES))
    for (key, path), document in zip(FILES.items(), documents, strict=True):
        expected = inspect(path)
        for name in ("path", "mtime"):
            document["file"][name] = expected["file"][name]
        s3 = {name: document["file"].pop(name) for name in ("s3_bucket", "s3_key", "etag", "s3_version_id")}
        assert s3["s3_key"] == key
        if path.stat().st_size <= 65536:
            assert document == expected, path.name
        else:
            assert {**document, "integrity": None} == {**expected, "integrity": None}, path.name
    assert server.counts()["get"] <= len(FILES) + 3


def test_the_header_is_rebuilt_from_an_objects_document(server: S3Server, client: S3Client) -> None:
    server.put("renders", "rebuilt.exr", SMALL.data)
    assert rebuild_header(inspect(client.source("renders", "rebuilt.exr"))) == SMALL.header_data


def test_the_rows_of_an_object(server: S3Server, client: S3Client) -> None:
    tables = pytest.importorskip("exr_inspector.tables", exc_type=ImportError)
    version = server.put("renders", "rows.exr", SMALL.data, mtime=1_700_000_000)
    made = tables.documents_to_tables([inspect(client.source("renders", "rows.exr"))])
    (row,) = made.files.select(["file_path_normalized", "etag", "s3_version_id", "size_bytes"]).to_pylist()
    assert row == {
        "file_path_normalized": "s3://renders/rows.exr",
        "etag": version.etag.strip('"'),
        "s3_version_id": version.version_id,
        "size_bytes": len(SMALL.data),
    }


def test_an_empty_object(server: S3Server, client: S3Client) -> None:
    """Any range of it is answered 416: what it is then takes a HEAD."""
    server.put("renders", "empty.exr", b"", mtime=1_700_000_000)
    document = inspect(client.source("renders", "empty.exr"))
    assert [error["code"] for error in document["errors"]] == ["empty_file"]
    assert (document["file"]["size_bytes"], document["file"]["mtime"]) == (0, "2023-11-14T22:13:20.000000Z")
    assert [asked.op for asked in server.asked] == ["get", "head"]


KEYS = [
    "a.exr", "shots/é/ж 日本.exr", "a b+c&d=e?f#g.exr", "100%.exr", "a%2Fb.exr", "%41.exr", "a//b.exr", "/leading.exr",
    "//two.exr", "trailing.exr/", "back\\slash.exr", "tab\tline\nescape\x1b.exr", "nul\0.exr", "not utf-8 \udcff.exr",
    "~!*'();:@,$[].exr", "...exr", "a/...", "k" * 1024, "\u202erxe.exr",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=ascii)
def test_keys_are_passed_as_they_are(key: str, server: S3Server, client: S3Client) -> None:
    server.put("renders", key, SMALL.data)
    document = inspect(client.source("renders", key))
    assert document["errors"] == []
    assert server.asked[-1].key == key
    assert document["file"]["s3_key"] == key.encode(errors="surrogateescape").decode(errors="replace")


@pytest.mark.parametrize(
    ("bucket", "key", "code"),
    [
        ("renders", "", "source_not_regular"),
        ("renders", "k" * 1025, "source_not_found"),
        ("renders", "a/../b.exr", "source_unsupported"),
        ("renders", "./b.exr", "source_unsupported"),
        ("renders", "half \ud800 of a pair.exr", "source_not_found"),
        ("", "a.exr", "source_not_found"),
        ("..", "a.exr", "source_not_found"),
        ("a bucket", "a.exr", "source_not_found"),
        ("bücket", "a.exr", "source_not_found"),
        ("renders?x=y", "a.exr", "source_not_found"),
        ("renders@example.com", "a.exr", "source_not_found"),
    ],
)
def test_names_that_no_object_has(bucket: str, key: str, code: str, server: S3Server, client: S3Client) -> None:
    (error,) = inspect(client.source(bucket, key))["errors"]
    assert (error["code"], error["retryable"]) == (code, False)
    assert server.counts() == {}


@pytest.mark.parametrize("version_id", ["", "two\nlines", "\ud800", "é"])
def test_versions_that_no_object_has(version_id: str, server: S3Server, client: S3Client) -> None:
    (error,) = inspect(client.source("renders", "a.exr", version_id=version_id))["errors"]
    assert (error["code"], error["retryable"]) == ("source_not_found", False)
    assert server.counts() == {}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bucket=st.sampled_from(["renders", "renders", "x"]) | st.text(max_size=5),
    key=st.text(st.characters(), max_size=20) | st.text("/.a%\\\0 ", max_size=8),
    version_id=st.none() | st.text(max_size=5),
)
def test_names_of_any_kind(bucket: str, key: str, version_id: str | None, server: S3Server, client: S3Client) -> None:
    """No exception, and no other object than the one that was asked for."""
    document = inspect(client.source(bucket, key, version_id=version_id))
    assert [error["code"] for error in document["errors"]] in (
        [["source_not_found"], ["source_not_regular"], ["source_unsupported"], ["source_no_permission"]]
    )
    if server.asked and server.asked[-1].status:
        assert (server.asked[-1].bucket, server.asked[-1].key) == (bucket, key)
    server.asked.clear()


# ---- Every chunk, where that is allowed ------------------------------------------------------------------------


def chunks(opened: Any, **config: Any) -> dict[str, Any]:
    return inspect(opened, config={"integrity": "chunks", **config})


def test_every_chunk_needs_permission(server: S3Server, client: S3Client) -> None:
    far = scanline_file(4, 8, chunk_bytes=50_000)
    server.put("renders", "chunks.exr", far.data)
    opened = client.source("renders", "chunks.exr")
    document = chunks(opened)
    assert [(error["code"], error["severity"]) for error in document["errors"]] == [("feature_unavailable", "error")]
    assert "--remote-chunks" in document["errors"][0]["message"]
    assert document["integrity"]["status"] == "table_complete"
    assert opened.requests == 1


@pytest.mark.parametrize(
    ("chunk_bytes", "chunk_count", "most_requests"),
    [
        (100, 500, 1),  # all in the first range
        (1_000, 2_000, 2),  # 2 MB, leaders near each other: one more
        (10_000, 2_000, 7),  # 20 MB in ranges of 4 MiB
        (100_000, 50, 51),  # leaders far from each other: one range for each
    ],
)
def test_leaders_near_each_other_come_together(
    chunk_bytes: int, chunk_count: int, most_requests: int, server: S3Server, client: S3Client
) -> None:
    built = scanline_file(4, chunk_count, chunk_bytes=chunk_bytes)
    server.put("renders", "walked.exr", built.data)
    opened = client.source("renders", "walked.exr")
    document = chunks(opened, remote_chunks=True)
    assert document["integrity"] == chunks(built.data)["integrity"]
    assert document["integrity"]["status"] == "complete"
    assert most_requests - 1 <= opened.requests <= most_requests
    if chunk_bytes == 100_000:
        assert opened.bytes_read < 70_000  # not the chunks


def test_every_chunk_of_every_fixture(server: S3Server, client: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the local file, but that a file that was never closed is not searched for its chunks."""
    monkeypatch.setattr(source.S3Source, "first_read_bytes", 512)
    monkeypatch.setattr(source.S3Source, "read_ahead", lambda *_: 0)
    for key, path in random.Random(1).sample(sorted(FILES.items()), 80):
        server.put("renders", key, path.read_bytes())
        document, expected = chunks(client.source("renders", key), remote_chunks=True), chunks(path)
        if "never_closed" not in path.name:
            assert document["integrity"] == expected["integrity"], path.name
            assert document["errors"] == expected["errors"], path.name
        else:
            assert document["integrity"]["status"] in (expected["integrity"]["status"], "incomplete")


def test_contradictions_take_no_further_requests(server: S3Server, client: S3Client) -> None:
    built = scanline_file(4, 2_000, chunk_bytes=1_000)
    data = bytearray(built.data)
    for offset in built.chunk_offsets[0]:
        struct.pack_into("<i", data, offset, -5)  # another line
    server.put("renders", "wrong.exr", bytes(data))
    opened = client.source("renders", "wrong.exr")
    assert chunks(opened, remote_chunks=True)["integrity"]["status"] == "inconsistent"
    assert opened.requests == 2


# ---- By address, and from other sources -------------------------------------------------------------------------


def test_an_address(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.put("renders", "a/b c.exr", SMALL.data)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    document = inspect("s3://renders/a/b c.exr")
    assert (document["file"]["path"], document["errors"]) == ("s3://renders/a/b c.exr", [])
    assert read_header("s3://renders/a/b c.exr").data == SMALL.header_data
    with pytest.raises(ExrError) as caught:
        read_header("s3://renders/missing.exr")
    assert caught.value.code == "source_not_found"


def test_half_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_ANONYMOUS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:1")
    document = inspect("s3://renders/a.exr")
    assert [error["code"] for error in document["errors"]] == ["source_unconfigured"]
    assert "S3_ACCESS_KEY is missing" in document["errors"][0]["message"]
    assert "127.0.0.1" not in str(document)
    assert (document["file"]["s3_bucket"], document["file"]["s3_key"]) == ("renders", "a.exr")


def test_a_source_is_closed(server: S3Server, client: S3Client) -> None:
    server.put("renders", "closed.exr", SMALL.data)
    opened = client.source("renders", "closed.exr")
    with opened:
        opened.read(0, 10)
        assert client.budget.held_bytes == 10
        opened.read(10, 65536)
        assert client.budget.held_bytes == len(SMALL.data)  # what was asked for beyond the end is given back
    assert client.budget.held_bytes == 0
    assert inspect(opened)["errors"] == []  # reads again: a source holds nothing that is closed for good
    assert inspect(client.source("renders", "closed.exr"))["file"]["header_hash"]


def test_many_threads_share_a_client(server: S3Server, client: S3Client) -> None:
    for number in range(200):
        server.put("renders", f"many/{number}.exr", start() + header([attribute("n", "string", b"%d" % number)]))
    before = server.connections
    with ThreadPoolExecutor(16) as pool:
        numbers = list(pool.map(lambda n: read_header(client.source("renders", f"many/{n}.exr")), range(200)))
    assert [found.parts[0].value("n", "string") for found in numbers] == [str(number) for number in range(200)]
    assert server.counts()["get"] == 200
    assert server.connections - before <= 32  # connections are kept
