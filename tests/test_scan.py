"""A scan, as real processes: what it stores, what it leaves alone, what stays when it is stopped. No timings."""

# ruff: noqa: ARG002 - stand-ins for protocols; noise, no secrets

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from exr_inspector.cli.main import main
from exr_inspector.errors import DocumentError, Problem
from exr_inspector.scan import FEW_FILES, LARGEST_BATCH, Settings, Summary, is_unchanged, known_as, scan
from exr_inspector.scan_readers import Readers, ReadingProcesses, Task
from exr_inspector.stores.base import KnownFile, StoreError, WriteResult
from exr_inspector.stores.duckdb import DuckDBStore
from exr_inspector.tables import Tables, documents_to_tables, file_id
from tests.support import exr_bytes
from tests.support.deadly import make_files_deadly
from tests.support.fixture_files import FILES
from tests.support.interrupts import heed_interrupts

ROOT = Path(__file__).parent.parent
LONG_AGO = 1_700_000_000


def exr(owner: str = "ada") -> bytes:
    attributes = exr_bytes.minimal_attributes(width=64, height=48)
    attributes["owner"] = exr_bytes.attribute("owner", "string", exr_bytes.pack_string(owner))
    return exr_bytes.single_part(attributes).data


def put(path: Path, data: bytes | None = None, mtime: int = LONG_AGO) -> Path:
    """A file that was written long ago, so that its time is settled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(exr() if data is None else data)
    os.utime(path, (mtime, mtime))
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Eight files in three directories; two of them are no OpenEXR files at all."""
    root = tmp_path / "shows"
    for number in range(4):
        put(root / "abc" / f"beauty.{1001 + number}.exr")
    put(root / "abc" / "deeper" / "Zdepth.sxr")
    put(root / "café" / "überblick.EXR")
    put(root / "empty.exr", b"")
    put(root / "text.exr", b"not an image")
    put(root / "readme.txt", b"no")
    return root


@pytest.fixture
def db(tmp_path: Path) -> str:
    return str(tmp_path / "catalog.duckdb")


class Listener:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []
        self.calls = 0

    def progress(self, summary: Summary) -> None:
        self.calls += 1

    def problem(self, path: str, message: str) -> None:
        self.problems.append((path, message))


def run(*arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
    found_in = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))
    environment = {**os.environ, "PYTHONPATH": found_in}
    done = subprocess.run(
        [sys.executable, "-m", "exr_inspector", "scan", *arguments],
        cwd=cwd or ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def query(db: str, sql: str) -> list[Any]:
    with duckdb.connect(db, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def counts(db: str) -> dict[str, int]:
    return dict(query(db, "SELECT file_path, inspection_count FROM files"))


# ---- What is stored, and what is left alone ----------------------------------------------------------------


def test_a_tree_is_stored_and_not_read_again(tree: Path, db: str) -> None:
    status, output, errors = run(str(tree), "--db", db)
    assert (status, output) == (2, "8 files: 8 read, 8 new, 2 unreadable, 0 unchanged, 0 deleted since\n")
    assert "empty.exr: " in errors
    assert "text.exr: " in errors
    assert "\x1b" not in errors
    assert counts(db) == {str(path): 1 for path in tree.rglob("*") if path.suffix in (".exr", ".sxr", ".EXR")}
    assert query(db, "SELECT count(*) FROM files WHERE header_hash IS NULL AND error_count > 0") == [(2,)]

    assert run(str(tree), "--db", db)[:2] == (0, "8 files: 0 read, 0 new, 0 unreadable, 8 unchanged, 0 deleted since\n")
    assert set(counts(db).values()) == {1}
    assert run(str(tree), "--db", db, "--force")[1].startswith("8 files: 8 read, 0 new")
    assert set(counts(db).values()) == {2}


def test_what_has_changed_is_read_again(tree: Path, db: str) -> None:
    run(str(tree), "--db", db)
    other_header = put(tree / "abc" / "beauty.1001.exr", exr("eve"))
    other_time = put(tree / "abc" / "beauty.1002.exr", mtime=LONG_AGO + 60)
    put(tree / "text.exr", exr())
    added = put(tree / "abc" / "beauty.1009.exr")
    status, output, _ = run(str(tree), "--db", db)
    # Same size and time, another header: nothing tells. Its size would, or its time.
    assert (status, output) == (0, "9 files: 3 read, 2 new, 0 unreadable, 6 unchanged, 0 deleted since\n")
    assert counts(db)[str(other_time)] == 2
    assert counts(db)[str(added)] == 1
    put(other_header, exr("somebody else"))
    assert "1 read, 1 new" in run(str(tree), "--db", db)[1]
    assert query(db, f"SELECT count(*) FROM files WHERE file_path = '{other_header}'") == [(2,)]  # noqa: S608
    assert query(db, "SELECT count(*) FROM current_files") == [(9,)]


def test_a_file_written_just_before_is_read_again(tmp_path: Path, db: str) -> None:
    put(tmp_path / "new.exr", mtime=int(time.time()) + 600)  # so that a slow machine's start does not matter
    for read in (1, 1):
        assert f"1 files: {read} read" in run(str(tmp_path), "--db", db)[1]


@pytest.mark.parametrize(
    ("size", "mtime", "read_at", "expected"),
    [
        (10, 100, 103, True),
        (10, 100, 102, False),
        (10, 100, 100, False),
        (11, 100, 200, False),
        (10, 101, 200, False),
        (None, 100, 200, False),
        (10, None, 200, False),
    ],
)
def test_unchanged_is_same_size_and_a_settled_time(
    tmp_path: Path, size: int | None, mtime: int | None, read_at: int, expected: bool
) -> None:
    def moment(second: int) -> datetime:
        return datetime(1970, 1, 1) + timedelta(seconds=second)

    known = KnownFile(size, None if mtime is None else moment(mtime), moment(read_at))
    state = put(tmp_path / "ten.exr", b"ten bytes!", 100).stat()
    assert is_unchanged(known, state) is expected
    assert not is_unchanged(known, None)


def test_names_are_known_as_the_tables_have_them(tmp_path: Path) -> None:
    for name in (b"plain.exr", "é.exr".encode(), b"\xff\xfe.exr", b"new\nline.exr"):
        path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
        with open(path, "wb") as file:
            file.write(exr())
        os.utime(path, (LONG_AGO, LONG_AGO))
    with DuckDBStore() as store:
        found = [os.fsdecode(entry.path) for entry in os.scandir(tmp_path)]
        first = scan(store, found, settings=Settings(processes=0), watcher=Listener())
        again = scan(store, found, directories=[str(tmp_path)], settings=Settings(processes=0), watcher=Listener())
    assert (first.read, first.inserted, again.unchanged, again.deleted) == (4, 4, 4, 0)
    assert known_as("a/./b") == os.path.join(os.getcwd(), "a/b")


def test_deleted_files_are_told_and_removed_if_asked_to(tree: Path, db: str) -> None:
    run(str(tree), "--db", db)
    shutil.rmtree(tree / "abc" / "deeper")
    (tree / "abc" / "beauty.1003.exr").unlink()
    status, output, _ = run(str(tree / "abc"), "--db", db)
    assert status == 0
    assert f"deleted since: {tree}/abc/beauty.1003.exr\n" in output
    assert output.endswith("3 files: 0 read, 0 new, 0 unreadable, 3 unchanged, 2 deleted since\n")
    assert len(counts(db)) == 8
    assert "2 deleted since" in run(str(tree), "--db", db, "--prune", "--dry-run")[1]
    assert len(counts(db)) == 8
    assert "2 deleted since, 2 removed" in run(str(tree), "--db", db, "--prune")[1]
    assert len(counts(db)) == 6
    assert query(db, "SELECT count(*) FROM parts WHERE file_path LIKE '%1003%'") == [(0,)]
    assert "0 deleted since" in run(str(tree), "--db", db)[1]


def test_what_a_scan_does_not_see_is_not_deleted(tree: Path, db: str, tmp_path: Path) -> None:
    other = put(tmp_path / "shows2" / "a.exr")
    odd = put(tree / "odd.name")
    run(str(tree), str(other), str(odd), "--db", db)
    assert "0 deleted since" in run(str(tree / "abc"), "--db", db, "--prune")[1]
    assert "0 deleted since" in run(str(tree), "--db", db, "--prune")[1]
    shutil.move(tree, tmp_path / "elsewhere")
    status, output, errors = run(str(tree), "--db", db, "--prune")
    assert status == 2
    assert "no such file or directory" in errors
    assert output.endswith("0 deleted since, 0 removed\n")
    assert len(counts(db)) == 10


def test_dry_run_counts_and_writes_nothing(tree: Path, db: str) -> None:
    assert run(str(tree), "--db", db, "--dry-run") == (0, "8 files: 8 to read, 0 unchanged, 0 deleted since\n", "")
    assert not os.path.exists(db)
    run(str(tree), "--db", db)
    put(tree / "abc" / "new.exr")
    before = Path(db).read_bytes()
    assert run(str(tree), "--db", db, "--dry-run")[1] == "9 files: 1 to read, 8 unchanged, 0 deleted since\n"
    assert Path(db).read_bytes() == before


def test_lists_of_files(tree: Path, db: str, tmp_path: Path) -> None:
    names = tmp_path / "list.txt"
    names.write_text(f"{tree}/abc/beauty.1001.exr\n{tree}/abc/gone.exr\n")
    status, output, errors = run("--files-from", str(names), "--db", db)
    assert (status, output) == (2, "2 files: 2 read, 2 new, 1 unreadable, 0 unchanged, 0 deleted since\n")
    assert "gone.exr" in errors


def test_the_default_catalog_stands_in_the_working_directory(tree: Path) -> None:
    assert run("abc", cwd=tree)[0] == 0
    assert (tree / "catalog.duckdb").exists()
    assert query(str(tree / "catalog.duckdb"), "SELECT count(*) FROM files") == [(5,)]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_directories_that_cannot_be_listed_are_told(tree: Path, db: str) -> None:
    (tree / "abc").chmod(0)
    try:
        status, _, errors = run(str(tree), "--db", db)
    finally:
        (tree / "abc").chmod(0o755)
    assert status == 2
    assert "cannot be listed" in errors


# ---- Wrong usage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "a ROOT is needed"),
        (["s3://bucket/prefix"], "S3_ENDPOINT"),  # where no object store is configured
        (["-"], "--files-from"),
        (["x", "--jobs", "0"], "not a number from 1"),
        (["x", "--db", "a", "--vast"], "not allowed with"),
    ],
)
def test_wrong_usage(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_ANONYMOUS"):
        monkeypatch.delenv(name, raising=False)
    assert main(["scan", *arguments]) == 64
    assert words in capsys.readouterr().err


def test_a_catalog_that_is_in_use(tree: Path, db: str) -> None:
    with DuckDBStore(db):
        status, output, errors = run(str(tree), "--db", db)
    assert (status, output) == (2, "")
    assert f"process {os.getpid()} has the catalog" in errors
    assert "Traceback" not in errors


# ---- Reading in processes ----------------------------------------------------------------------------------


def test_processes_and_threads_read_the_same() -> None:
    paths = [str(file.path) for file in FILES]
    tasks = (Task(paths, "table", threads, as_tables=True) for threads in (1, 8))
    (alone,), (threaded,) = (Readers().submit(task).result() for task in tasks)
    with ReadingProcesses(2) as readers:
        futures = [readers.submit(Task(paths, "table", 2, as_tables=True)) for _ in range(5)]
        answers = [answer for future in futures for answer in future.result()]
    for answer in (threaded, *answers):
        assert answer.tables is not None
        assert alone.tables is not None
        assert answer.tables.file_ids == alone.tables.file_ids
        for table in ("parts", "channels", "attributes"):
            assert getattr(answer.tables, table).to_pylist() == getattr(alone.tables, table).to_pylist()
        assert answer.messages == alone.messages


@pytest.fixture
def _deadly_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files_deadly(tmp_path / "hook", monkeypatch)


@pytest.mark.usefixtures("_deadly_files")
@pytest.mark.parametrize("as_tables", [True, False])
def test_a_file_that_kills_its_reader_is_found(tmp_path: Path, as_tables: bool) -> None:
    names = ["a", "b", "deadly", "c", "d", "deadly2", "e"]
    paths = [str(put(tmp_path / f"{name}.exr")) for name in names]
    with ReadingProcesses(1) as readers:
        pieces = readers.submit(Task(paths, "table", 1, as_tables=as_tables)).result()
        again = readers.submit(Task(paths[:2], "table", 1, as_tables=as_tables)).result()
    assert [path for piece in pieces for path in piece.paths] == paths
    assert [piece.fatal_count for piece in pieces if "deadly" in piece.paths[0]] == [1, 1]
    assert [piece.tables is not None for piece in pieces] == [as_tables] * len(pieces)
    documents = [each for piece in pieces for each in piece.documents]
    codes = [each["errors"][0]["code"] == "source_reader_died" for each in documents]
    assert codes == ([] if as_tables else [False, False, True, False, False, True, False])
    assert [path for piece in pieces for path, _ in piece.messages] == [paths[2], paths[5]]
    assert [piece.fatal_count for piece in again] == [0]


@pytest.mark.usefixtures("_deadly_files")
def test_a_scan_goes_on_without_the_file_that_kills_its_reader(tmp_path: Path, db: str) -> None:
    names = [f"f.{number:05}" for number in range(FEW_FILES)] + ["deadly", "last"]
    for name in names:
        put(tmp_path / "many" / f"{name}.exr", exr())
    status, output, errors = run(str(tmp_path / "many"), "--db", db)
    assert status == 2
    assert (
        output
        == f"{len(names)} files: {len(names)} read, {len(names)} new, 1 unreadable, 0 unchanged, 0 deleted since\n"
    )
    assert "deadly.exr: the process that read this file died of it" in errors
    assert query(db, "SELECT file_path FROM files WHERE integrity = 'unchecked'") == [(f"{tmp_path}/many/deadly.exr",)]


def test_many_files_are_read_by_processes(tmp_path: Path, db: str) -> None:
    data = exr()
    for number in range(3 * FEW_FILES):
        put(tmp_path / "many" / f"f.{number:05}.exr", data)
    status, output, _ = run(str(tmp_path / "many"), "--db", db)
    assert (status, output.split(":")[0]) == (0, f"{3 * FEW_FILES} files")
    assert query(db, "SELECT count(*), min(inspection_count) FROM files") == [(3 * FEW_FILES, 1)]
    # In the order of the walk: a reader of the catalog finds neighbours side by side.
    paths = [path for (path,) in query(db, "SELECT file_path FROM files ORDER BY rowid")]
    assert paths == sorted(paths)


class Fussy:
    """A store that takes no tables, and not every document."""

    def __init__(self, *, takes_tables: bool) -> None:
        self.stored: list[str] = []
        if takes_tables:
            self.write_tables = self._refuse

    def _refuse(self, _tables: Tables) -> list[WriteResult]:
        raise StoreError(Problem("store_failed", "no tables today"))

    def write_batch(self, documents: Sequence[Any], *, inspected_at: Any = None) -> list[WriteResult]:
        assert inspected_at is not None
        if any("1002" in each["file"]["path"] and each["channels"] for each in documents):
            raise DocumentError("refused")
        documents_to_tables(documents)
        self.stored += [each["file"]["path"] for each in documents]
        return [WriteResult.of_written(file_id(each), inserted=True) for each in documents]

    def known_files(self, paths: Sequence[str]) -> dict[str, KnownFile]:
        return {}

    def paths_below(self, directory: str) -> Iterator[list[str]]:
        yield []

    def remove_paths(self, paths: Sequence[str]) -> int:
        return 0

    def close(self) -> None:
        pass


@pytest.mark.parametrize("takes_tables", [False, True])
def test_one_bad_document_does_not_stop_a_scan(tree: Path, takes_tables: bool) -> None:
    store, listener = Fussy(takes_tables=takes_tables), Listener()
    paths = sorted(map(str, (tree / "abc").glob("*.exr")))
    summary = scan(store, paths, settings=Settings(processes=0), watcher=listener)
    assert (summary.read, summary.not_stored, summary.failed) == (4, 1, 0)
    assert sorted(store.stored) == paths  # an error row stands for the one
    assert [path for path, _ in listener.problems] == [paths[1]]


# ---- Stopped -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large")
    data = [exr(f"owner {number}") for number in range(50)]
    for number in range(3000):
        put(root / f"d{number % 7}" / f"f.{number:05}.exr", data[number % 50])
    return root


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "exr_inspector", "scan", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )


def assert_whole(db: str) -> int:
    """Every batch is there with all its children, or not at all. Returns how many files there are."""
    with DuckDBStore(db) as store:
        (total,) = store.connection.execute("SELECT count(*) FROM files").fetchone() or (0,)
        for table, count in (("parts", 1), ("channels", 1), ("attributes", 9)):
            sql = f"SELECT count(DISTINCT file_id), count(*) FROM {table}"  # noqa: S608
            found, rows = store.connection.execute(sql).fetchone() or (0, 0)
            assert found == total
            assert rows >= count * total
            assert not rows % max(total, 1)
        assert store.connection.execute("SELECT count(*) FROM files WHERE inspection_count <> 1").fetchone() == (0,)
    return int(total)


def test_killed_at_any_moment_and_run_again(large_tree: Path, db: str) -> None:
    rng, seen = random.Random(7), []
    for _ in range(5):
        process = start(str(large_tree), "--db", db)
        with process:
            time.sleep(rng.uniform(0.3, 3.0))
            process.kill()
            process.communicate()
        seen.append(assert_whole(db))
    assert seen == sorted(seen)
    status, output, errors = run(str(large_tree), "--db", db)
    assert status == 0, errors
    assert f"{3000 - seen[-1]} read, {3000 - seen[-1]} new" in output
    assert assert_whole(db) == 3000


def test_ctrl_c_stops_at_once_and_leaves_what_was_committed(large_tree: Path, db: str) -> None:
    process = start(str(large_tree), "--db", db, "--jobs", "2")
    with process:
        deadline = time.monotonic() + 60
        while not (os.path.exists(db) and os.path.getsize(db)) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, 0), errors  # 0: a machine so quick that the scan was over
    assert "Traceback" not in errors
    assert_whole(db)
    assert len(os.listdir(large_tree)) * LARGEST_BATCH > 3000


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_progress_is_shown_on_a_terminal(tree: Path, db: str) -> None:
    import pty  # noqa: PLC0415 - POSIX only

    (tree / "abc" / "beauty.1001.exr").rename(tree / "abc" / "\x1b[31m.exr")
    (tree / "abc" / "\x1b[31m.exr").write_bytes(b"no image")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "exr_inspector", "scan", str(tree), "--db", db]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # the terminal's other end was closed
            pass
        output, _ = process.communicate()
    os.close(ours)
    assert output.startswith(b"8 files: ")
    assert b"8 files " in shown
    assert b"3 unreadable" in shown
    assert b"\\u001b[31m.exr" in shown
    assert b"\x1b[31m.exr" not in shown
