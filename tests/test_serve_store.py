"""From a posted event to rows: a serving process, the loopback S3 and VAST servers, faults, signals, restarts."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("vastdb")
pytest.importorskip("obstore")

from tests.loopback.s3_server import S3Server
from tests.loopback.vast_server import VastServer
from tests.support.serving import ROOT, Serving, SinkServer, element_event, serving

RICH = (ROOT / "fixtures" / "real" / "rich.exr").read_bytes()
RGBA = (ROOT / "fixtures" / "real" / "minimal_rgba.exr").read_bytes()
BATCH = "application/cloudevents-batch+json"
ONE = "application/cloudevents+json"
CHILDREN = ("parts", "channels", "attributes")


def configured(vast: VastServer, s3: S3Server, **more: str) -> dict[str, str]:
    """The variables of a process that reads there and writes here."""
    return {
        **s3.environment(),
        "VAST_DB_ENDPOINT": vast.endpoint,
        "VAST_DB_ACCESS_KEY": vast.access_key,
        "VAST_DB_SECRET_KEY": vast.secret_key,
        "VAST_DB_BUCKET": "b",
        "VAST_DB_LOCK_SHARDS": "256",
        "PERSIST_FAILURE": "retry",
        **more,
    }


@pytest.fixture(scope="module")
def vast() -> Iterator[VastServer]:
    with VastServer(buckets=["b"]) as running:
        yield running


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server(buckets=["renders"]) as running:
        yield running


@pytest.fixture(scope="module")
def shared(vast: VastServer, s3: S3Server) -> Iterator[Serving]:
    with serving(configured(vast, s3)) as running:
        yield running


@pytest.fixture
def server(shared: Serving, vast: VastServer, s3: S3Server) -> Iterator[Serving]:
    """The module's process, without faults left over."""
    yield shared
    vast.faults.clear()
    s3.faults.clear()
    shared.ready()


def rows(vast: VastServer, prefix: str) -> list[dict[str, Any]]:
    """The rows of `files` whose path begins so."""
    found = vast.table("b", "exr_metadata", "files").to_pylist()
    return [row for row in found if row["file_path"].startswith(f"s3://renders/{prefix}")]


def put(s3: S3Server, prefix: str, count: int) -> list[str]:
    """So many objects; their keys."""
    keys = [f"{prefix}/beauty.{number:04}.exr" for number in range(count)]
    for key in keys:
        s3.put("renders", key, RGBA)
    return keys


def events_of(keys: list[str]) -> list[dict[str, Any]]:
    return [element_event("renders", key, f"id-{key}") for key in keys]


# ---- Rows --------------------------------------------------------------------------------------------------


def test_an_upload_becomes_rows_with_one_request(server: Serving, vast: VastServer, s3: S3Server) -> None:
    s3.put("renders", "one/a b+c é.exr", RICH)
    with s3.counting() as made:
        assert server.post(element_event("renders", "one/a b+c é.exr", "1"), ONE).status == 204
    assert made["get"] == 1
    (row,) = rows(vast, "one/")
    assert row["file_path"] == "s3://renders/one/a b+c é.exr"
    assert row["size_bytes"] == len(RICH)
    document = json.loads(row["raw_output"])
    assert (document["file"]["s3_bucket"], document["file"]["s3_key"]) == ("renders", "one/a b+c é.exr")
    assert server.metric("exr_inspector_s3_requests_total") >= 1
    assert server.metric("exr_inspector_read_bytes_total") > 0


def test_a_batch_is_one_transaction(server: Serving, vast: VastServer, s3: S3Server) -> None:
    events = events_of(put(s3, "batch", 40))
    with vast.counting() as made:
        assert server.post(events, BATCH).status == 204
    assert made["commit"] == 1
    assert len(rows(vast, "batch/")) == 40


def test_posts_at_once_share_transactions(server: Serving, vast: VastServer, s3: S3Server) -> None:
    """The first is written alone; while that lasts, the others gather."""
    events = events_of(put(s3, "at_once", 30))
    vast.faults.add(op="commit", kind="slow", seconds=0.5)
    statuses: list[int] = []
    with vast.counting() as made:
        posts = [
            threading.Thread(target=lambda event=event: statuses.append(server.post(event, ONE).status))
            for event in events
        ]
        for post in posts:
            post.start()
        for post in posts:
            post.join()
    assert statuses == [204] * 30
    assert made["commit"] < 15
    assert len(rows(vast, "at_once/")) == 30


def test_a_binary_event_with_an_s3_notification(server: Serving, vast: VastServer, s3: S3Server) -> None:
    s3.put("renders", "note/a b.exr", RGBA)
    record = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "renders"}, "object": {"key": "note/a+b.exr"}},
    }
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "n1",
        "ce-source": "s3",
        "ce-type": "com.amazonaws.s3.ObjectCreated:Put",
    }
    assert server.post({"Records": [record]}, "application/json", **headers).status == 204
    assert [row["file_path"] for row in rows(vast, "note/")] == ["s3://renders/note/a b.exr"]


def test_an_object_that_is_gone_and_one_that_is_no_exr(server: Serving, vast: VastServer, s3: S3Server) -> None:
    s3.put("renders", "bad/text.exr", b"not an image")
    skipped = server.metric('exr_inspector_files_total{outcome="skipped"}')
    assert server.post(events_of(["bad/gone.exr", "bad/text.exr"]), BATCH).status == 204
    (row,) = rows(vast, "bad/")
    assert (row["file_path"], row["error_count"]) == ("s3://renders/bad/text.exr", 1)
    assert server.metric('exr_inspector_files_total{outcome="skipped"}') == skipped + 1
    assert server.metric('exr_inspector_errors_total{code="not_exr"}') == 1


# ---- Failures and repeated deliveries ----------------------------------------------------------------------


def test_what_failed_is_named_and_what_was_written_is_not_written_again(
    server: Serving, vast: VastServer, s3: S3Server
) -> None:
    keys = put(s3, "again", 5)
    s3.faults.add(op="get", kind="slow_down", times=None, key=keys[3])
    answer = server.post(events_of(keys), BATCH)
    assert answer.status == 500
    assert answer.json["failed"] == 1
    (failure,) = answer.json["failures"]
    assert (failure["index"], failure["id"], failure["code"]) == (3, f"id-{keys[3]}", "source_failed")
    assert len(rows(vast, "again/")) == 4
    s3.faults.clear()
    assert server.post(events_of(keys), BATCH).status == 204
    assert sorted((row["file_path"], row["inspection_count"]) for row in rows(vast, "again/")) == [
        (f"s3://renders/{key}", 1) for key in keys
    ]


def test_a_lost_answer_of_a_commit_is_settled(server: Serving, vast: VastServer, s3: S3Server) -> None:
    events = events_of(put(s3, "lost", 3))
    vast.faults.add(op="commit", kind="drop_after")
    assert server.post(events, BATCH).status == 204
    assert [row["inspection_count"] for row in rows(vast, "lost/")] == [1, 1, 1]


def test_a_database_that_goes_away_and_comes_back(server: Serving, vast: VastServer, s3: S3Server) -> None:
    events = events_of(put(s3, "away", 2))
    vast.stop()
    try:
        answers = [server.post(events, BATCH).status for _ in range(2)]
        assert set(answers) <= {500, 503}  # what the first one learns, the second one may know
        assert server.get("/liveness").status == 200
    finally:
        vast.start()
    server.ready()
    assert server.post(events, BATCH).status == 204
    assert [row["inspection_count"] for row in rows(vast, "away/")] == [1, 1]


def test_a_database_that_is_down_at_the_start(s3: S3Server) -> None:
    """Alive, not ready, nothing taken; ready when the database is there."""
    key = put(s3, "late", 1)[0]
    with VastServer(buckets=["b"]) as vast:
        vast.stop()
        with Serving(configured(vast, s3)) as server:
            assert server.get("/liveness").status == 200
            not_ready = server.get("/readiness")
            assert not_ready.status == 503
            refused = server.post(element_event("renders", key, "1"), ONE)
            assert (refused.status, refused.text) == (503, not_ready.text)
            assert int(refused.headers["retry-after"]) >= 1
            assert server.metric("exr_inspector_ready") == 0
            vast.start()
            server.ready()
            assert server.post(element_event("renders", key, "1"), ONE).status == 204
            for secret in (vast.secret_key, vast.access_key, vast.endpoint):
                assert secret not in server.log + not_ready.text
            assert server.stop() == 0


# ---- The end -----------------------------------------------------------------------------------------------


def test_whatever_was_answered_204_has_its_row(s3: S3Server) -> None:
    """SIGTERM, then SIGKILL in the middle. What has no 204 comes again to the next process: each object has one row."""
    keys = put(s3, "end", 100)
    taken = Counter[str]()
    with VastServer(buckets=["b"]) as vast:
        vast.faults.add(op="commit", kind="slow", seconds=0.05, times=None)
        for number, status in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
            with serving(configured(vast, s3)) as server:
                assert end_in_the_middle(server, keys, taken, number) == status
            stored = {row["file_path"] for row in rows(vast, "end/")}
            assert {f"s3://renders/{key}" for key in taken} <= stored
        with serving(configured(vast, s3)) as server:
            left = [key for key in keys if key not in taken]
            assert left
            assert server.post(events_of(left), BATCH).status == 204
        assert_each_once(vast, "end/", keys)


def end_in_the_middle(server: Serving, keys: list[str], taken: Counter[str], number: int) -> int:
    """Posts what was not taken yet, and sends a signal after some more were; the exit status."""
    left, enough = [key for key in keys if key not in taken], len(taken) + 15
    posting = [threading.Thread(target=post_each, args=(server, left[each::4], taken)) for each in range(4)]
    for thread in posting:
        thread.start()
    until(lambda: len(taken) >= enough)
    server.process.send_signal(number)
    status = server.process.wait(20)
    for thread in posting:
        thread.join()
    return status


def post_each(server: Serving, keys: list[str], taken: Counter[str]) -> None:
    """Posts events one by one until the process is gone, and notes which were taken."""
    for key in keys:
        try:
            answer = server.post(element_event("renders", key, f"id-{key}"), ONE)
        except OSError:
            return
        if answer.status == 204:
            taken[key] += 1


def until(condition: Any, seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


def assert_each_once(vast: VastServer, prefix: str, keys: list[str]) -> None:
    """Each object has one row of `files`, and all of its rows in the other tables."""
    found = rows(vast, prefix)
    assert sorted(row["file_path"] for row in found) == sorted(f"s3://renders/{key}" for key in keys)
    file_ids = {row["file_id"] for row in found}
    for name in CHILDREN:
        counts = Counter(vast.table("b", "exr_metadata", name)["file_id"].to_pylist())
        assert {counts[file_id] for file_id in file_ids} == {counts[next(iter(file_ids))]} != {0}, name


def test_faults_duplicates_and_disorder(server: Serving, vast: VastServer, s3: S3Server) -> None:
    """Every object exactly one row, whatever goes wrong, as long as what is not answered 204 comes again."""
    keys = put(s3, "storm", 80)
    for op, kind, share in (("get", "drop", 0.05), ("get", "slow_down", 0.1), ("get", "cut", 0.05)):
        s3.faults.add(op=op, kind=kind, probability=share, times=None, seed=1)
    for op, kind, share in (("*", "slow_down", 0.02), ("update", "conflict", 0.1), ("commit", "drop_after", 0.1)):
        vast.faults.add(op=op, kind=kind, probability=share, times=None, seed=2)
    dice = random.Random(3)
    waiting = events_of(keys) + events_of(dice.sample(keys, 20))
    dice.shuffle(waiting)
    batches = [waiting[start : start + 10] for start in range(0, len(waiting), 10)]
    for _ in range(50):
        batches = [batch for batch in batches if server.post(batch, BATCH).status != 204]
        if not batches:
            break
    assert batches == []
    vast.faults.clear()
    assert_each_once(vast, "storm/", keys)


# ---- The sink ----------------------------------------------------------------------------------------------


def test_rows_then_results(vast: VastServer, s3: S3Server) -> None:
    """A result tells what was stored; one that the sink did not take is sent again, without a second write."""
    keys = put(s3, "sunk", 3)
    with SinkServer() as sink, serving(configured(vast, s3, K_SINK=sink.url)) as server:
        sink.statuses[:] = [503] * 12
        assert server.post(events_of(keys), BATCH).status == 500
        assert [row["inspection_count"] for row in rows(vast, "sunk/")] == [1, 1, 1]
        sink.statuses.clear()
        sink.received.clear()
        assert server.post(events_of(keys), BATCH).status == 204
        assert [row["inspection_count"] for row in rows(vast, "sunk/")] == [1, 1, 1]
        results = {received.headers["ce-id"]: json.loads(received.body) for received in sink.received}
    file_ids = {row["file_path"]: row["file_id"] for row in rows(vast, "sunk/")}
    assert len(results) == 3
    for result in results.values():
        assert result["persistence"]["status"] == "success"
        assert result["persistence"]["file_id"] == file_ids[result["file"]["path"]]
        text = json.dumps(result)
        assert s3.secret_key not in text
        assert vast.secret_key not in text


# ---- Hostile events ----------------------------------------------------------------------------------------


def test_mutated_events(server: Serving, s3: S3Server, tmp_path: Path) -> None:
    """Any bytes are answered with one of a few statuses, and nothing but the log and the rows changes."""
    seeds = [path.read_bytes() for path in sorted((ROOT / "fixtures" / "events").glob("*.json"))]
    seeds.append(json.dumps(element_event("renders", "one/a.exr", "1")).encode())
    dice = random.Random(5)
    types = (ONE, BATCH, "application/json")
    statuses = Counter[int]()
    with contextlib.closing(server.connect()) as connection:
        for _ in range(400):
            data = bytearray(dice.choice(seeds))
            for _ in range(dice.choice((1, 2, 8))):
                place = dice.randrange(len(data))
                data[place : place + dice.randrange(3)] = dice.randbytes(dice.randrange(4))
            connection.request("POST", "/", bytes(data), {"content-type": dice.choice(types)})
            answer = connection.getresponse()
            assert b"Traceback" not in answer.read()
            statuses[answer.status] += 1
    assert set(statuses) <= {204, 400, 500}
    assert statuses[400] > 50
    assert server.get("/readiness").status == 200
    assert all(line.isprintable() for line in server.lines)
    assert not [line for line in server.lines if "reason that is not known" in line or '"function": "failed' in line]
