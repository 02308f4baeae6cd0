"""`exr-inspector s3://bucket/key` and `scan s3://bucket/prefix`, as real processes against a real server."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("obstore")
pytest.importorskip("duckdb")

from exr_inspector.cli.main import main
from exr_inspector.scan_objects import objects_below
from exr_inspector.stores.duckdb import DuckDBStore
from tests.loopback.s3_server import S3Server
from tests.support.exr_bytes import scanline_file
from tests.support.interrupts import heed_interrupts

ROOT = Path(__file__).parent.parent
SMALL = scanline_file(4, 4).data
THEN = 1_700_000_000


@pytest.fixture
def server() -> Iterator[S3Server]:
    with S3Server(buckets=["renders"], page_keys=7) as running:
        yield running


@pytest.fixture
def db(tmp_path: Path) -> str:
    return str(tmp_path / "catalog.duckdb")


def fill(server: S3Server, count: int = 20) -> None:
    for number in range(count):
        server.put("renders", f"shots/a b.{number:04d}.exr", SMALL, mtime=THEN + number)


def start(server: S3Server, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "exr_inspector", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **server.environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )


def run(server: S3Server, *arguments: str, **environment: str) -> tuple[int, str, str]:
    with start(server, *arguments, **environment) as process:
        output, errors = process.communicate(timeout=120)
    for secret in (server.access_key, server.secret_key, server.endpoint):
        assert secret not in output + errors
    return process.returncode, output, errors


def scan(server: S3Server, db: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """In this process, which is quicker."""
    server.reset_counts()
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        for name, value in {**server.environment(), **environment}.items():
            patch.setenv(name, value)
        status = main(["scan", *arguments, "--db", db])
    for secret in (server.access_key, server.secret_key, server.endpoint):
        assert secret not in output.getvalue() + errors.getvalue()
    return status, output.getvalue(), errors.getvalue()


def paths(db: str) -> list[str]:
    with DuckDBStore(db, read_only=True) as store:
        found = store.connection.execute("SELECT file_path FROM files ORDER BY ALL").fetchall()
    return [path for (path,) in found]


# ---- inspect ---------------------------------------------------------------------------------------------------


def test_objects_and_files_together(server: S3Server) -> None:
    fill(server, 2)
    given = ["s3://renders/shots/a b.0000.exr", "fixtures/real/rich.exr", "s3://renders/shots/a b.0001.exr"]
    local = str(ROOT / given[1])
    status, output, errors = run(server, given[0], local, given[2], "s3://renders/missing.exr")
    documents = json.loads(output)
    assert [document["file"]["path"] for document in documents[:3]] == [given[0], local, given[2]]
    assert [len(document["errors"]) for document in documents] == [0, 0, 0, 1]
    assert status == 2
    assert "s3://renders/missing.exr: there is no such object" in errors
    assert server.counts()["get"] == 3


def test_every_chunk_if_it_is_allowed(server: S3Server) -> None:
    server.put("renders", "far.exr", scanline_file(4, 4, chunk_bytes=100_000).data)
    verdicts = []
    for more in ((), ("--remote-chunks",)):
        _, output, _ = run(server, "s3://renders/far.exr", "--integrity", "chunks", *more)
        document = json.loads(output)
        verdicts.append((document["integrity"]["status"], [error["code"] for error in document["errors"]]))
    assert verdicts == [("table_complete", ["feature_unavailable"]), ("complete", [])]


@pytest.mark.parametrize("arguments", [["s3://renders/shots/a b.0000.exr"], ["scan", "s3://renders/shots", "--db"]])
def test_ctrl_c_while_the_server_is_slow(arguments: list[str], server: S3Server, db: str) -> None:
    fill(server, 9)
    server.faults.add("get", "slow", times=None, seconds=30)
    with start(server, *arguments, *([db] if "--db" in arguments else [])) as process:
        deadline = time.monotonic() + 30
        while not server.counts().get("get") and time.monotonic() < deadline:
            time.sleep(0.02)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - begin < 20  # the request itself would be given up after 30 seconds


# ---- scan: what is read, what is not ---------------------------------------------------------------------------


def test_new_unchanged_changed_deleted(server: S3Server, db: str) -> None:
    fill(server)
    server.put("renders", "shots/notes.txt", b"no picture")
    server.put("renders", "shots/folder/", b"")
    server.put("renders", "shots//ü%2F.SXR", SMALL, mtime=THEN)
    server.put("renders", "shots2/other.exr", SMALL, mtime=THEN)
    status, output, errors = scan(server, db, "s3://renders/shots")
    assert (status, errors) == (0, "")
    assert output == "21 files: 21 read, 21 new, 0 unreadable, 0 unchanged, 0 deleted since\n"
    assert {name: server.counts()[name] for name in ("get", "list")} == {"get": 21, "list": 4}
    assert "s3://renders/shots//ü%2F.SXR" in paths(db)

    status, output, _ = scan(server, db, "s3://renders/shots/")
    assert output == "21 files: 0 read, 0 new, 0 unreadable, 21 unchanged, 0 deleted since\n"
    assert "get" not in server.counts()

    server.put("renders", "shots/a b.0003.exr", SMALL, mtime=THEN + 1000)  # the same bytes at another time
    server.put("renders", "shots/a b.0004.exr", SMALL + b"x", mtime=THEN + 4)  # other bytes at the same time
    server.delete("renders", "shots/a b.0005.exr")
    gone = "deleted since: s3://renders/shots/a b.0005.exr\n"
    _, output, _ = scan(server, db, "s3://renders/shots", "--dry-run", "--prune")
    assert output == gone + "20 files: 2 to read, 18 unchanged, 1 deleted since\n"
    assert "get" not in server.counts()
    _, output, _ = scan(server, db, "s3://renders/shots")
    assert output == gone + "20 files: 2 read, 0 new, 0 unreadable, 18 unchanged, 1 deleted since\n"
    _, output, _ = scan(server, db, "s3://renders/shots", "--prune")
    assert output == gone + "20 files: 0 read, 0 new, 0 unreadable, 20 unchanged, 1 deleted since, 1 removed\n"
    assert len(paths(db)) == 20


def test_rows_of_other_objects_are_not_gone(server: S3Server, db: str) -> None:
    """Of another prefix, of another bucket, or with a name that no scan looks for."""
    fill(server, 3)
    server.put("renders", "shots/frame", SMALL)
    server.put("renders", "shots2/other.exr", SMALL)
    assert scan(server, db, "s3://renders/shots2/other.exr", "s3://renders/shots")[0] == 0
    listed = Path(db).with_name("list")
    listed.write_text("s3://renders/shots/frame\n")
    assert scan(server, db, "--files-from", str(listed))[0] == 0
    status, output, _ = scan(server, db, "s3://renders/shots", "--prune")
    assert (status, output[-39:]) == (0, "3 unchanged, 0 deleted since, 0 removed\n"[-39:])
    assert len(paths(db)) == 5


def test_many_objects_are_read_by_processes(server: S3Server, db: str) -> None:
    """Their settings come by the environment, not by arguments, which others can see."""
    server.page_keys = 1000
    fill(server, 420)
    status, output, errors = run(server, "scan", "s3://renders", "--jobs", "4", "--db", db)
    assert (status, errors) == (0, "")
    assert output == "420 files: 420 read, 420 new, 0 unreadable, 0 unchanged, 0 deleted since\n"
    assert server.counts()["get"] == 420


def test_objects_and_files_in_one_scan(server: S3Server, db: str, tmp_path: Path) -> None:
    fill(server, 3)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "c.exr").write_bytes(SMALL)
    _, output, _ = scan(server, db, str(tmp_path / "local"), "s3://renders/shots")
    assert output.startswith("4 files: 4 read, 4 new")


# ---- scan: what goes wrong ---------------------------------------------------------------------------------------


def test_a_listing_that_breaks_off_deletes_nothing(server: S3Server, db: str) -> None:
    fill(server)
    scan(server, db, "s3://renders/shots")
    server.faults.add("list", "internal", after=1, times=None)
    status, output, errors = scan(server, db, "s3://renders/shots", "--prune", S3_TIMEOUT_SECONDS="0.3")
    assert status == 2
    assert "s3://renders/shots: the object store answers 500 InternalError" in errors
    assert output.endswith("0 deleted since, 0 removed\n")
    assert len(paths(db)) == 20


@pytest.mark.parametrize("kind", ["slow_down", "drop", "cut"])
def test_a_listing_is_tried_again(kind: str, server: S3Server, db: str) -> None:
    fill(server, 3)
    server.faults.add("list", kind, times=2)
    assert scan(server, db, "s3://renders/shots")[1].startswith("3 files: 3 read")


def test_a_bucket_that_is_not_there(server: S3Server, db: str) -> None:
    fill(server, 1)
    status, output, errors = scan(server, db, "s3://missing/shots", "s3://renders/shots", "--prune")
    assert status == 2
    assert "there is no such bucket" in errors
    assert output.startswith("1 files: 1 read, 1 new")


def test_an_object_that_cannot_be_read(server: S3Server, db: str) -> None:
    fill(server, 3)
    server.put("renders", "shots/bad.exr", b"no picture", mtime=THEN)
    server.faults.add("get", "forbidden", key="shots/a b.0001.exr")
    status, output, errors = scan(server, db, "s3://renders/shots")
    assert status == 2
    assert "4 read, 4 new, 2 unreadable" in output
    assert "a b.0001.exr: the object store answers 403 AccessDenied" in errors
    _, output, _ = scan(server, db, "s3://renders/shots")
    assert "1 read" in output  # of the refused one neither size nor time is known


@pytest.mark.parametrize(
    ("environment", "arguments", "words"),
    [
        ({"S3_SECRET_KEY": ""}, (), "S3_SECRET_KEY is missing"),
        ({"S3_ENDPOINT": "", "S3_ACCESS_KEY": "", "S3_SECRET_KEY": ""}, (), "need S3_ENDPOINT"),
        ({}, ("--integrity", "chunks"), "--integrity chunks is for files"),
    ],
)
def test_wrong_usage(
    environment: dict[str, str], arguments: tuple[str, ...], words: str, server: S3Server, db: str
) -> None:
    status, output, errors = scan(server, db, "s3://renders/shots", *arguments, **environment)
    assert (status, output) == (64, "")
    assert words in errors
    assert not Path(db).exists()


def test_killed_and_run_again(server: S3Server, db: str) -> None:
    server.page_keys = 1000
    fill(server, 450)
    with start(server, "scan", "s3://renders/shots", "--db", db) as process:
        deadline = time.monotonic() + 60
        while server.counts().get("get", 0) < 100 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.communicate()
    status, output, errors = scan(server, db, "s3://renders/shots")
    assert (status, errors) == (0, "")
    assert output.startswith("450 files: ")
    with DuckDBStore(db, read_only=True) as store:
        rows = store.connection.execute("SELECT count(*), count(DISTINCT file_path) FROM files").fetchone()
        children = store.connection.execute("SELECT count(*) FROM parts").fetchone()
    assert (rows, children) == ((450, 450), (450,))


# ---- Listings ------------------------------------------------------------------------------------------------------


def listed(server: S3Server, monkeypatch: pytest.MonkeyPatch, address: str) -> list[Any]:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return list(objects_below(address))


def test_odd_keys_are_listed_as_they_are(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["/a.exr", "..exr", "a/../b.exr", "a//b.exr", "a+b c.exr", "c&<>\"'.exr", "d\t\n\x01.exr", "é.exr",
            "z\udcff.exr", "%2F%41.exr"]  # fmt: skip
    for key in keys:
        server.put("renders", key, SMALL, mtime=THEN)
    found = listed(server, monkeypatch, "s3://renders")
    assert sorted(found) == sorted(f"s3://renders/{key}" for key in keys)
    assert {(each.st_size, each.st_mtime_ns) for each in found} == {(len(SMALL), THEN * 10**9)}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://renders", ["a/b/c.exr", "a/d.exr", "ab/e.exr"]),
        ("s3://renders/", ["a/b/c.exr", "a/d.exr", "ab/e.exr"]),
        ("s3://renders/a", ["a/b/c.exr", "a/d.exr"]),
        ("s3://renders/a/", ["a/b/c.exr", "a/d.exr"]),
        ("s3://renders/a/b", ["a/b/c.exr"]),
        ("s3://renders/x", []),
    ],
)
def test_a_prefix_is_a_directory(
    address: str, expected: list[str], server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a/b/c.exr", "a/d.exr", "ab/e.exr"):
        server.put("renders", key, SMALL)
    assert listed(server, monkeypatch, address) == [f"s3://renders/{key}" for key in expected]
