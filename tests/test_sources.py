"""Where bytes come from: paths, bytes, file objects, pipes, HTTP bodies; and every way in which they do not come."""

from __future__ import annotations

import array
import base64
import errno
import gzip
import http.server
import io
import json
import mmap
import os
import pathlib
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import exr_inspector
from exr_inspector import sources
from exr_inspector.errors import SourceError
from exr_inspector.limits import FIRST_READ_BYTES
from exr_inspector.sources import open_source
from tests.support.counting import CountingFile, CountingStream
from tests.support.exr_bytes import attribute, minimal_attributes, scanline_part, single_part

ROOT = pathlib.Path(__file__).parents[1]


def _large() -> bytes:
    attributes = minimal_attributes()
    attributes["text"] = attribute("text", "string", b"x" * 3 * FIRST_READ_BYTES)
    return single_part(attributes, scanline_part().chunks).data


LARGE = _large()  # its header takes more than one read
SMALL = single_part(minimal_attributes(), scanline_part().chunks).data
HEADERS = {data: exr_inspector.read_header(data).data for data in (LARGE, SMALL)}


def problem_of(source: Any) -> dict[str, Any]:
    """The one error of the source's document; `read_header` raises the same."""
    document = exr_inspector.inspect(source)
    (error,) = document["errors"]
    with pytest.raises(SourceError) as caught:
        exr_inspector.read_header(source)
    assert caught.value.problem.as_entry() == error
    assert document["file"]["header_hash"] is None
    assert document["integrity"]["status"] == "unchecked"
    assert (document["parts"], document["channels"], document["attributes"]) == ([], [], {"parts": []})
    json.dumps(document, allow_nan=False)
    return dict(error)


def code_of(source: Any) -> str:
    code = problem_of(source)["code"]
    assert isinstance(code, str)
    return code


@pytest.fixture(params=[SMALL, LARGE], ids=["small", "large"])
def data(request: pytest.FixtureRequest) -> bytes:
    value: bytes = request.param
    return value


@pytest.fixture
def path(tmp_path: pathlib.Path, data: bytes) -> pathlib.Path:
    target = tmp_path / "frame.0101.exr"
    target.write_bytes(data)
    return target


# ---- What can be read --------------------------------------------------------------------------------------


class AsPath:
    """An os.PathLike."""

    def __init__(self, path: str | bytes) -> None:
        self._path = path

    def __fspath__(self) -> str | bytes:
        return self._path


@pytest.mark.parametrize(
    "make", [str, pathlib.Path, lambda path: AsPath(str(path)), lambda path: AsPath(os.fsencode(path))]
)
def test_paths(make: Callable[[pathlib.Path], Any], path: pathlib.Path, data: bytes) -> None:
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    source = make(path)
    assert exr_inspector.read_header(source).data == HEADERS[data]
    file = exr_inspector.inspect(source)["file"]
    assert file["path"] == str(path)
    assert file["size_bytes"] == len(data)
    assert file["mtime"] == "2023-11-14T22:13:20.123456Z"
    assert file["frame_number"] == 101


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: memoryview(data * 2)[: len(data)]])
def test_bytes(make: Callable[[bytes], Any], data: bytes) -> None:
    source = make(data)
    assert exr_inspector.read_header(source).data == HEADERS[data]
    document = exr_inspector.inspect(source)
    assert [document["file"][key] for key in ("path", "size_bytes", "mtime")] == [None, len(data), None]
    assert document["integrity"]["status"] == "complete"


def test_a_view_with_gaps(data: bytes) -> None:
    doubled = bytes(byte for each in data for byte in (each, 0))
    assert exr_inspector.read_header(memoryview(doubled)[::2]).data == HEADERS[data]


def test_open_files(path: pathlib.Path, data: bytes) -> None:
    with path.open("rb") as buffered, path.open("rb", buffering=0) as raw:
        for file in (buffered, raw):
            document = exr_inspector.inspect(file)
            assert document == exr_inspector.inspect(path)
            assert file.tell() == 0
            assert not file.closed


def test_bytes_io_has_no_path(data: bytes) -> None:
    document = exr_inspector.inspect(io.BytesIO(data))
    assert [document["file"][key] for key in ("path", "size_bytes", "mtime")] == [None, len(data), None]
    assert document["integrity"]["status"] == "complete"


def test_a_file_object_is_read_from_where_it_stands(data: bytes) -> None:
    file = io.BytesIO(b"archive member before" + data)
    file.seek(21)
    document = exr_inspector.inspect(file, config={"integrity": "chunks"})
    assert document["file"]["size_bytes"] == len(data)
    assert document["integrity"]["status"] == "complete"
    assert document["attributes"] == exr_inspector.inspect(data)["attributes"]
    assert file.tell() == 21


def test_a_file_object_is_put_back_after_an_error() -> None:
    file = io.BytesIO(b"12345 not an EXR")
    file.seek(5)
    assert exr_inspector.inspect(file)["errors"][0]["code"] == "not_exr"
    assert file.tell() == 5
    with pytest.raises(exr_inspector.ExrError):
        exr_inspector.read_header(file)
    assert file.tell() == 5


def test_a_file_object_that_stands_past_its_end() -> None:
    file = io.BytesIO(SMALL)
    file.seek(len(SMALL) + 100)
    document = exr_inspector.inspect(file)
    assert document["errors"][0]["code"] == "empty_file"
    assert document["file"]["size_bytes"] == 0


@contextmanager
def pipe_of(data: bytes) -> Iterator[io.BufferedReader]:
    """The reading end of a pipe into which a thread writes."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            try:
                file.write(data)
            except BrokenPipeError:
                return  # the reader has what it needs

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with os.fdopen(reading, "rb") as file:
            yield file
    finally:
        thread.join()


def test_a_pipe(data: bytes) -> None:
    with pipe_of(data) as pipe:
        document = exr_inspector.inspect(pipe)
        pipe.read()
    assert [document["file"][key] for key in ("path", "size_bytes", "mtime")] == [None, None, None]
    assert document["integrity"]["status"] == "table_complete"
    assert document["attributes"] == exr_inspector.inspect(data)["attributes"]


def test_an_empty_pipe() -> None:
    with pipe_of(b"") as pipe:
        assert exr_inspector.inspect(pipe)["errors"][0]["code"] == "empty_file"


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_short_reads(most: int) -> None:
    """A raw file may give fewer bytes than asked for; only none means the end."""
    assert exr_inspector.read_header(CountingStream(SMALL, most)).data == HEADERS[SMALL]


def test_short_reads_of_a_local_file(monkeypatch: pytest.MonkeyPatch, path: pathlib.Path, data: bytes) -> None:
    pread: Callable[[int, int, int], bytes] = sources._pread
    monkeypatch.setattr(sources, "_pread", lambda descriptor, size, offset: pread(descriptor, min(size, 700), offset))
    assert exr_inspector.read_header(path).data == HEADERS[data]


def test_without_pread_it_seeks(monkeypatch: pytest.MonkeyPatch, path: pathlib.Path, data: bytes) -> None:
    monkeypatch.setattr(sources, "_pread", sources._pread_by_seeking)
    assert exr_inspector.inspect(path)["integrity"]["status"] == "complete"
    assert exr_inspector.read_header(path).data == HEADERS[data]


def test_an_object_that_only_reads(data: bytes) -> None:
    class Reads:
        def __init__(self) -> None:
            self.read = io.BytesIO(data).read

    document = exr_inspector.inspect(Reads())  # type: ignore[arg-type]
    assert document["file"]["size_bytes"] is None
    assert document["attributes"] == exr_inspector.inspect(data)["attributes"]


def test_files_within_archives(tmp_path: pathlib.Path, data: bytes) -> None:
    archive, packed = tmp_path / "a.zip", tmp_path / "a.exr.gz"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.exr", data)
    with zipfile.ZipFile(archive) as file, file.open("a.exr") as member:
        assert exr_inspector.read_header(member).data == HEADERS[data]
    packed.write_bytes(gzip.compress(data))
    with gzip.open(packed) as unpacked:
        assert exr_inspector.read_header(unpacked).data == HEADERS[data]  # type: ignore[arg-type]


def test_memory_maps(path: pathlib.Path, data: bytes) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert exr_inspector.read_header(mapped).data == HEADERS[data]  # type: ignore[arg-type]


# ---- HTTP bodies -------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves LARGE: whole, in chunks, in chunks that are cut, or cut against its Content-Length."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the base class's word
        is_chunked = self.path.startswith("/chunked")
        body = LARGE[: len(LARGE) // 2] if "cut" in self.path else LARGE
        self.send_response(200)
        self.send_header(*(("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(len(LARGE)))))
        self.send_header("Connection", "close")
        self.end_headers()
        for start in range(0, len(body), 5000):
            piece = body[start : start + 5000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked and body is LARGE:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_arguments: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def body_of(url: str) -> Any:
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20)


@pytest.mark.parametrize("kind", ["whole", "chunked"])
def test_an_http_body(server: str, kind: str) -> None:
    with body_of(f"{server}/{kind}") as body:
        document = exr_inspector.inspect(body)
    assert document["errors"] == []
    assert document["integrity"]["status"] == "table_complete"
    assert document["attributes"] == exr_inspector.inspect(LARGE)["attributes"]


@pytest.mark.parametrize("kind", ["whole-cut", "chunked-cut"])
def test_an_http_body_that_ends_early(server: str, kind: str) -> None:
    """http.client tells it by IncompleteRead, or by the end; it is in the document either way."""
    with body_of(f"{server}/{kind}") as body:
        document = exr_inspector.inspect(body)
    (error,) = document["errors"]
    assert error["severity"] == "fatal"
    assert error["code"] == "truncated_header" if kind == "whole-cut" else "source_failed"


# ---- What cannot be opened ---------------------------------------------------------------------------------


def test_missing(tmp_path: pathlib.Path) -> None:
    error = problem_of(tmp_path / "missing.exr")
    assert error["code"] == "source_not_found"
    assert error["message"] == "No such file or directory"
    assert (error["severity"], error["retryable"], error["offset"]) == ("fatal", False, None)
    assert exr_inspector.inspect(tmp_path / "f.7.exr")["file"]["path"] == str(tmp_path / "f.7.exr")
    assert exr_inspector.inspect(tmp_path / "f.7.exr")["file"]["frame_number"] == 7


def test_paths_that_lead_nowhere(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_bytes(SMALL)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nothing")
    nowhere = ["", "a" * 300, "\0", "a\0b.exr", "\ud800.exr", "1" * 20000 + "a"]
    for path in (tmp_path / "file" / "below", tmp_path / "loop", tmp_path / "dangling", *nowhere):
        assert code_of(path) == "source_not_found", path


def test_a_symbolic_link_is_followed(path: pathlib.Path, data: bytes) -> None:
    link = path.with_name("link.exr")
    link.symlink_to(path)
    assert exr_inspector.inspect(link)["file"]["size_bytes"] == len(data)


def test_a_directory(tmp_path: pathlib.Path) -> None:
    error = problem_of(tmp_path)
    assert error["code"] == "source_not_regular"
    assert "a directory" in error["message"]


def test_a_fifo_does_not_wait_for_a_writer(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    # In a process that can be ended: without O_NONBLOCK the call would wait for ever.
    code = f"import exr_inspector\nprint(exr_inspector.inspect({str(path)!r})['errors'][0]['code'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT)
    assert run.stdout == "source_not_regular\n"
    error = problem_of(path)
    assert error["code"] == "source_not_regular"
    assert "a FIFO: read it through `-`" in error["message"]


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_a_device(device: str) -> None:
    if not pathlib.Path(device).is_char_device():
        pytest.skip("no such device here")
    error = problem_of(device)
    assert error["code"] == "source_not_regular"
    assert "a character device" in error["message"]


def test_a_socket(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert code_of("socket") == "source_not_regular"


def test_what_is_no_regular_file_is_closed(tmp_path: pathlib.Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for _ in range(20):
        exr_inspector.inspect(tmp_path)
        exr_inspector.inspect("/dev/null")
        exr_inspector.inspect(__file__)
    after = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    assert after == before


def _as_nobody(call: Callable[[], Any]) -> Any:
    """What the call gives in a child that has no rights, through JSON."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of earlier tests have ended
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, json.dumps(call()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def test_no_permission() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder).chmod(0o755)
        readable, secret = pathlib.Path(folder, "readable.exr"), pathlib.Path(folder, "secret.exr")
        for path in (readable, secret):
            path.write_bytes(SMALL)
        readable.chmod(0o644)
        secret.chmod(0)

        def codes() -> list[list[str]]:
            return [[error["code"] for error in exr_inspector.inspect(path)["errors"]] for path in (readable, secret)]

        found = _as_nobody(codes) if os.geteuid() == 0 else codes()
        assert found == [[], ["source_no_permission"]]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_path_that_is_not_utf8(tmp_path: pathlib.Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.0007.exr"
    with open(raw, "wb") as file:
        file.write(SMALL)
    for source in (os.fsdecode(raw), AsPath(raw), pathlib.Path(os.fsdecode(raw))):
        file_entry = exr_inspector.inspect(source)["file"]  # type: ignore[arg-type]
        assert file_entry["path"] == f"{tmp_path}/caf\ufffd.0007.exr"
        assert file_entry["frame_number"] == 7
        assert base64_of(file_entry["path_raw"]) == raw
    missing = exr_inspector.inspect(os.fsdecode(raw) + "x")["file"]
    assert base64_of(missing["path_raw"]) == raw + b"x"


def base64_of(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def test_a_path_in_utf8_needs_no_raw_bytes(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "é\ufffd.exr"
    path.write_bytes(SMALL)
    file = exr_inspector.inspect(path)["file"]
    assert file["path"] == str(path)
    assert "path_raw" not in file


@pytest.mark.parametrize("address", ["s3://bucket/key.exr", "s3://", "s3://bucket"])
def test_an_object_where_no_store_is_configured(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_ANONYMOUS"):
        monkeypatch.delenv(name, raising=False)
    error = problem_of(address)
    assert error["code"] == "source_unconfigured"
    assert "S3_ENDPOINT" in error["message"]
    assert exr_inspector.inspect(address)["file"]["path"] == address


# ---- What fails while it is read ---------------------------------------------------------------------------


def _reading(monkeypatch: pytest.MonkeyPatch, step: Callable[[int], None]) -> None:
    """Calls `step` with the number of the read before each read of a local file."""
    pread: Callable[[int, int, int], bytes] = sources._pread
    count = iter(range(1000))

    def read(descriptor: int, size_bytes: int, offset: int) -> bytes:
        step(next(count))
        return pread(descriptor, size_bytes, offset)

    monkeypatch.setattr(sources, "_pread", read)


@pytest.mark.parametrize("length", [FIRST_READ_BYTES, FIRST_READ_BYTES + 5, len(LARGE) - 200])
def test_a_file_that_shrinks_while_it_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, length: int
) -> None:
    path = tmp_path / "a.exr"
    path.write_bytes(LARGE)
    _reading(monkeypatch, lambda number: os.truncate(path, length) if number == 1 else None)
    (error,) = exr_inspector.inspect(path)["errors"]
    assert (error["code"], error["retryable"]) == ("source_changed", True)
    assert f"had {len(LARGE)} bytes when it was opened, now it ends at byte {length}" in error["message"]


def test_a_file_that_shrinks_behind_its_header(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.exr"
    data = single_part(minimal_attributes(height=5000), [bytes(8)] * 5000).data
    path.write_bytes(data)
    _reading(monkeypatch, lambda number: os.truncate(path, FIRST_READ_BYTES) if number == 1 else None)
    document = exr_inspector.inspect(path)
    assert document["integrity"]["status"] == "truncated"
    assert document["file"]["header_hash"] is not None


def test_a_file_that_grows_is_read_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.exr"
    path.write_bytes(LARGE)

    def append(_number: int) -> None:
        with path.open("ab") as file:
            file.write(bytes(1000))

    _reading(monkeypatch, append)
    document = exr_inspector.inspect(path)
    assert document["file"]["size_bytes"] == len(LARGE)
    assert document["integrity"]["status"] == "complete"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, number: int) -> None:
    """At the first read, within the header, at the table: what was read until then stays."""
    path = tmp_path / "a.exr"
    chunks = [bytes(8)] * 5000
    attributes = minimal_attributes(height=5000)
    attributes["text"] = attribute("text", "string", b"x" * 2 * FIRST_READ_BYTES)
    path.write_bytes(single_part(attributes, chunks).data)

    def fail(count: int) -> None:
        if count == number:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    _reading(monkeypatch, fail)
    document = exr_inspector.inspect(path)
    error = document["errors"][-1]
    assert (error["code"], error["retryable"], error["severity"]) == ("source_failed", True, "fatal")
    assert error["message"] == os.strerror(errno.EIO)
    assert (document["file"]["header_hash"] is not None) is (number == 2)
    assert len(document["parts"]) == (0, 1, 1)[number]


class Failing(io.RawIOBase):
    """Gives the beginning of a file, then raises."""

    def __init__(self, data: bytes, error: Exception) -> None:
        self._data = io.BytesIO(data)
        self._error = error

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        data = self._data.read(size)
        if not data:
            raise self._error
        return data


FOREIGN = [
    (OSError(errno.EIO, "input/output error"), "source_failed", "input/output error"),
    (ConnectionResetError(errno.ECONNRESET, "reset by peer"), "source_failed", "reset by peer"),
    (TimeoutError("timed out"), "source_failed", "TimeoutError"),
    (PermissionError(errno.EACCES, "denied"), "source_no_permission", "denied"),
    (FileNotFoundError(errno.ENOENT, "gone"), "source_not_found", "gone"),
    (EOFError("ended before the end-of-stream marker"), "source_failed", "EOFError: ended before"),
    (ValueError("I/O operation on closed file."), "source_failed", "ValueError: I/O operation"),
    (RuntimeError("\x1b[31m\n"), "source_failed", "RuntimeError: \\x1b[31m\\n"),
]


@pytest.mark.parametrize(("error", "code", "words"), FOREIGN, ids=[type(row[0]).__name__ for row in FOREIGN])
def test_what_a_file_object_raises_is_translated(error: Exception, code: str, words: str) -> None:
    document = exr_inspector.inspect(Failing(LARGE[:20000], error))
    entry = document["errors"][-1]
    assert entry["code"] == code
    assert words in entry["message"]
    assert len(document["parts"]) == 1  # what was read of it
    with pytest.raises(SourceError) as caught:
        exr_inspector.read_header(Failing(LARGE[:20000], error))
    assert caught.value.__cause__ is error


def test_a_damaged_archive(tmp_path: pathlib.Path) -> None:
    packed = tmp_path / "cut.exr.gz"
    noise = os.urandom(60000)
    attributes = minimal_attributes()
    attributes["noise"] = attribute("noise", "mine", noise)
    packed.write_bytes(gzip.compress(single_part(attributes).data)[:30000])
    with gzip.open(packed) as file:
        assert exr_inspector.inspect(file)["errors"][0]["code"] == "source_failed"  # type: ignore[arg-type]


def test_a_closed_file() -> None:
    file = io.BytesIO(SMALL)
    file.close()
    assert code_of(file) == "source_failed"


def test_a_file_that_is_closed_while_it_is_read() -> None:
    class Closing(CountingFile):
        def read(self, size: int = -1) -> bytes:  # type: ignore[override]
            data = super().read(size)
            self._inner.close()
            return data

    assert exr_inspector.inspect(Closing(LARGE))["errors"][-1]["code"] == "source_failed"
    assert exr_inspector.inspect(Closing(SMALL))["errors"] == []  # all was there; nothing can be put back


def test_a_file_object_that_cannot_tell_its_place() -> None:
    class Lying(CountingFile):
        def tell(self) -> int:
            raise OSError(errno.ESPIPE, "illegal seek")

    assert code_of(Lying(SMALL)) == "source_failed"


def test_a_file_object_that_gives_nothing_yet() -> None:
    """A raw file that does not block answers None: that is neither the end nor an argument of a wrong type."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        with os.fdopen(reading, "rb", buffering=0) as file:
            assert code_of(file) == "source_failed"
    finally:
        os.close(writing)


# ---- Arguments of a wrong type -----------------------------------------------------------------------------

WRONG: list[Any] = [None, 5, 5.0, True, [], {}, ..., array.array("b"), [b"bytes"], str, open]


@pytest.mark.parametrize("source", WRONG, ids=repr)
def test_wrong_types(source: Any) -> None:
    for call in (exr_inspector.inspect, exr_inspector.read_header):
        with pytest.raises(TypeError, match="binary file object is needed"):
            call(source)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii", "utf-16"])
def test_a_file_opened_for_text(path: pathlib.Path, encoding: str) -> None:
    with path.open(encoding=encoding) as file:
        for call in (exr_inspector.inspect, exr_inspector.read_header):
            with pytest.raises(TypeError, match="binary file object is needed"):
                call(file)  # type: ignore[operator]


def test_text_in_memory() -> None:
    with pytest.raises(TypeError, match="text"):
        exr_inspector.inspect(io.StringIO("v/1"))  # type: ignore[arg-type]


def test_an_object_whose_read_gives_no_bytes() -> None:
    class Reads:
        def read(self, _size: int) -> Any:
            return "text"

    with pytest.raises(TypeError, match="gave str"):
        exr_inspector.inspect(Reads())  # type: ignore[arg-type]


# ---- Sources themselves ------------------------------------------------------------------------------------


def test_sources_give_ranges(path: pathlib.Path, data: bytes) -> None:
    with path.open("rb") as file:
        for argument in (path, data, file):
            with open_source(argument) as source:
                assert source.size_bytes == len(data)
                assert source.is_random
                for offset, size in (
                    (0, 10),
                    (100, 7),
                    (len(data) - 3, 10),
                    (len(data), 5),
                    (len(data) + 9, 5),
                    (50, 0),
                ):
                    assert source.read(offset, size) == data[offset : offset + size]


def test_the_descriptor_is_closed(path: pathlib.Path) -> None:
    with open_source(path) as source:
        assert stat.S_ISREG(os.fstat(source._descriptor).st_mode)  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(source._descriptor)  # type: ignore[attr-defined]
