"""The loopback S3 server itself, asked by plain HTTP: what the other tests rely on."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.loopback.s3_server import S3Server

ROOT = Path(__file__).parent.parent
DATA = bytes(range(100))


@pytest.fixture
def server() -> Iterator[S3Server]:
    with S3Server(buckets=["b"], is_signed=False, page_keys=2) as running:
        running.put("b", "k", DATA, mtime=1_700_000_000)
        yield running


def ask(
    server: S3Server, target: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: bytes = b""
) -> tuple[int, Mapping[str, str], bytes]:
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, target, body=body or None, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


# RFC 9110, Range Requests; S3 API reference, GetObject
@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("bytes=0-9", 206, "bytes 0-9/100", DATA[:10]),
        ("bytes=90-", 206, "bytes 90-99/100", DATA[90:]),
        ("bytes=95-1000", 206, "bytes 95-99/100", DATA[95:]),
        ("bytes=-5", 206, "bytes 95-99/100", DATA[95:]),
        ("bytes=-500", 206, "bytes 0-99/100", DATA),
        ("bytes=100-", 416, None, None),
        ("bytes=100-200", 416, None, None),
        ("bytes=-0", 416, None, None),
        ("bytes=9-3", 200, None, DATA),
        ("lines=0-9", 200, None, DATA),
        ("bytes=-", 200, None, DATA),
    ],
)
def test_ranges(asked: str, status: int, content_range: str | None, body: bytes | None, server: S3Server) -> None:
    found, headers, answer = ask(server, "/b/k", {"Range": asked})
    assert (found, headers.get("content-range")) == (status, content_range)
    if body is not None:
        assert answer == body


def test_what_an_object_is(server: S3Server) -> None:
    expected = {
        "etag": '"7acedd1a84a4cfcb6e7a16003242945e"',  # MD5 of the bytes 0 to 99
        "last-modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "x-amz-version-id": "version-1",
        "content-length": "100",
    }
    for method in ("GET", "HEAD"):
        status, headers, body = ask(server, "/b/k", method=method)
        assert status == 200
        assert {name: headers[name] for name in expected} == expected
        assert body == (DATA if method == "GET" else b"")


def test_versions_and_conditions(server: S3Server) -> None:
    first = ask(server, "/b/k")[1]
    status, headers, _ = ask(server, "/b/k", method="PUT", body=b"other")
    assert (status, headers["x-amz-version-id"]) == (200, "version-2")
    assert ask(server, "/b/k")[2] == b"other"
    assert ask(server, "/b/k?versionId=version-1")[2] == DATA
    assert ask(server, "/b/k?versionId=nonsense")[0] == 404
    assert ask(server, "/b/k", {"If-Match": first["etag"]})[0] == 412
    assert ask(server, "/b/k", {"If-Match": headers["etag"]})[0] == 200
    assert ask(server, "/b/k", {"If-Match": "*"})[0] == 200
    assert ask(server, "/b/k", method="DELETE")[0] == 204
    assert ask(server, "/b/k")[0] == 404


def test_errors_are_s3_documents(server: S3Server) -> None:
    for target, status, code in (
        ("/b/x", 404, "NoSuchKey"),
        ("/x/k", 404, "NoSuchBucket"),
        ("/b/" + "k" * 1025, 400, "KeyTooLongError"),
    ):
        found, headers, body = ask(server, target)
        assert (found, ET.fromstring(body).findtext("Code")) == (status, code)
        assert headers["content-type"] == "application/xml"


def test_signatures_are_asked_for() -> None:
    with S3Server(buckets=["b"]) as signed:
        signed.put("b", "k", DATA)
        assert ask(signed, "/b/k")[0] == 403
        wrong = (
            "AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature="
            + "0" * 64
        )
        for key, code in (("loopback-access", "SignatureDoesNotMatch"), ("other", "InvalidAccessKeyId")):
            status, _, body = ask(signed, "/b/k", {"Authorization": wrong.format(key)})
            assert (status, ET.fromstring(body).findtext("Code")) == (403, code)


def test_lists_in_pages(server: S3Server) -> None:
    for key in ("a/1", "a/2", "a/3 +&<", "b"):
        server.put("b", key, b"x")
    keys: list[str] = []
    target = "/b?list-type=2&prefix=a%2F"
    while True:
        root = ET.fromstring(ask(server, target)[2])
        space = root.tag.partition("}")[0] + "}"
        keys += [element.findtext(f"{space}Key", "") for element in root.iterfind(f"{space}Contents")]
        token = root.findtext(f"{space}NextContinuationToken")
        assert (root.findtext(f"{space}IsTruncated") == "true") == (token is not None)
        if token is None:
            break
        target = f"/b?list-type=2&prefix=a%2F&continuation-token={token}"
    assert keys == ["a/1", "a/2", "a/3 +&<"]
    assert server.counts()["list"] == 2
    encoded = ask(server, "/b?list-type=2&prefix=a%2F3&encoding-type=url")[2]
    assert b"<Key>a/3+%2B%26%3C</Key>" in encoded


def test_it_counts(server: S3Server) -> None:
    with server.counting() as counted:
        ask(server, "/b/k", {"Range": "bytes=0-9"})
        ask(server, "/b/k", {"Range": "bytes=50-1000"})
    assert counted == {"get": 2, "bytes_asked": 961, "bytes_sent": 60}


def test_connections_are_kept(server: S3Server) -> None:
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=10)
    for _ in range(3):
        connection.request("GET", "/b/k")
        assert connection.getresponse().read() == DATA
    connection.close()
    assert server.connections == 1


def test_faults_strike_whom_they_should(server: S3Server) -> None:
    server.put("b", "other", b"x")
    fault = server.faults.add("get", "slow_down", key="k", after=1, times=2)
    assert [ask(server, target)[0] for target in ("/b/k", "/b/other", "/b/k", "/b/k", "/b/k")] == [
        200,
        200,
        503,
        503,
        200,
    ]
    assert fault.hits == 2
    server.faults.add("get", "cut")
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(server, "/b/k")
    assert caught.value.partial == DATA[:50]
    server.faults.add("get", "drop")
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server, "/b/k")


def test_as_a_process_with_a_directory(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "a.exr").write_bytes(DATA)
    command = [sys.executable, "-m", "tests.loopback.s3_server", "--bucket", f"b={tmp_path}", "--until-input-ends"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **S3Server().environment()}
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        environment["S3_ENDPOINT"] = process.stdout.readline().strip()
        pytest.importorskip("obstore")
        code = "from exr_inspector import inspect; print([inspect(f's3://b/{key}')['errors'][0]['code'] for key in "
        code += "('shots/a.exr', 'shots/b.exr', 'shots')])"
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        process.stdin.close()
        process.wait(20)
    assert run.stdout.strip() == "['not_exr', 'source_not_found', 'source_not_found']"
