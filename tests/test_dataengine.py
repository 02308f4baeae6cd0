"""`init`, `handler` and `batch_handler`, with real S3 and VAST servers: what is read, stored, answered."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vastdb")
pytest.importorskip("obstore")

import exr_inspector
from exr_inspector import dataengine
from exr_inspector.dataengine import RetryableFailure, batch_handler, handler, init
from exr_inspector.settings import SettingsError
from exr_inspector.stores import vast_store
from exr_inspector.tables import file_id
from tests.loopback import vast_api
from tests.loopback.s3_server import S3Server
from tests.loopback.vast_server import VastServer
from tests.support import exr_bytes
from tests.support import functions as parts
from tests.support.functions import BUCKET, Lines, event, exr, records, rows, until

Result = dict[str, Any]
MISSING = "there is no such file any more"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET, "other"]) as running:
        yield running


@pytest.fixture
def vast() -> Iterator[VastServer]:
    with VastServer(buckets=[parts.DATABASE]) as running:
        yield running
        dataengine.close(5)  # before the server


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, s3: S3Server) -> Iterator[Callable[..., None]]:
    """Sets the environment, and nothing else of it; what `init` made is closed at the end."""
    for name in list(os.environ):
        if name.startswith(parts.VARIABLES):
            monkeypatch.delenv(name)

    def set_all(vast: VastServer | None = None, **others: str) -> None:
        dataengine.close(5)
        for name, value in parts.environment(s3, vast, **others).items():
            monkeypatch.setenv(name, value)

    yield set_all
    dataengine.close(5)
    s3.faults.clear()


@pytest.fixture
def context() -> SimpleNamespace:
    """What the platform gives; `lines` are what it logged."""
    lines = Lines()
    return SimpleNamespace(logger=lines.logger, secrets={}, tracer=None, function_name="f", lines=lines)


def started(context: SimpleNamespace) -> None:
    """`init`, and the database open."""
    init(context)
    function = dataengine._HOLDER.function
    assert function is not None
    until(lambda: function.is_ready)


# ---- One event ---------------------------------------------------------------------------------------------


def test_an_object_becomes_rows(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast)
    s3.put(BUCKET, "shows/a b.1001.exr", exr())
    init(context)
    with s3.counting() as asked:
        result = handler(context, event("shows/a b.1001.exr"))
    (row,) = rows(vast)
    assert row["file_path"] == "s3://renders/shows/a b.1001.exr"
    assert row["frame_number"] == 1001
    assert result["persistence"] == {
        "status": "success", "file_id": row["file_id"], "inserted": True,
        "message": f"File persisted: {row['file_id']}", "error": None, "retryable": False,
    }  # fmt: skip
    document = {name: value for name, value in result.items() if name != "persistence"}
    assert file_id(document) == row["file_id"]
    assert (document["file"]["s3_bucket"], document["file"]["s3_key"]) == (BUCKET, "shows/a b.1001.exr")
    assert exr_inspector.rebuild_header(document) == exr_inspector.rebuild_header(exr_inspector.inspect(exr()))
    json.dumps(result)
    assert asked["get"] == 1
    parts.check_whole(vast)


def test_another_event_of_the_same_object_is_counted(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast)
    s3.put(BUCKET, "a.exr", exr())
    handler(context, event("a.exr", "1"))
    result = handler(context, event("a.exr", "2"))
    assert result["persistence"]["message"].startswith("File already persisted: ")
    assert parts.counts(vast) == {"a.exr": 2}


def test_an_event_that_comes_again_is_answered_and_not_written(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast)
    s3.put(BUCKET, "a.exr", exr())
    first = handler(context, event("a.exr"))
    with vast.counting() as requests:
        again = handler(context, event("a.exr"))
    assert not requests
    persisted = f"File already persisted: {first['persistence']['file_id']}"
    assert again == {**first, "persistence": {**first["persistence"], "inserted": False, "message": persisted}}
    assert parts.counts(vast) == {"a.exr": 1}


def test_an_old_event_that_finds_a_new_object_is_written(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast)
    s3.put(BUCKET, "a.exr", exr("ada"))
    handler(context, event("a.exr"))
    s3.put(BUCKET, "a.exr", exr("grace"))
    assert handler(context, event("a.exr"))["persistence"]["inserted"]
    assert [row["inspection_count"] for row in rows(vast)] == [1, 1]


def test_an_event_without_an_id_is_written_each_time(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast)
    s3.put(BUCKET, "a.exr", exr())
    for _ in range(2):
        handler(context, event("a.exr", None))
    batch_handler(context, [event("a.exr", None)] * 3)
    assert parts.counts(vast) == {"a.exr": 5}


def test_all_files_of_an_event_are_done(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast)
    parts.put_all(s3, ["r/1.exr", "r/2.exr"])
    started(context)
    with vast.counting() as requests:
        result = handler(context, records("r/1.exr", "r/gone.exr", "r/2.exr"))
    first, gone, second = result["documents"]
    assert set(result) == {"documents"}
    assert parts.counts(vast) == {"r/1.exr": 1, "r/2.exr": 1}
    assert [each["persistence"]["status"] for each in (first, gone, second)] == ["success", "skipped", "success"]
    assert [each["file"]["path"] for each in (first, second)] == ["s3://renders/r/1.exr", "s3://renders/r/2.exr"]
    assert requests["commit"] == 1


@pytest.mark.parametrize("kind", ["Element.ElementDeleted", "Element.ElementTagCreated", "s3:ObjectRemoved:Delete"])
def test_what_is_no_creation_is_skipped(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer, kind: str
) -> None:
    configure(vast)
    s3.put(BUCKET, "a.exr", exr())
    with s3.counting() as asked:
        result = handler(context, {**event("a.exr"), "type": f"vastdata.com:{kind}"})
    assert result["persistence"]["status"] == "skipped"
    assert not asked
    assert rows(vast) == []


def test_an_object_that_is_gone_is_skipped(
    configure: Callable[..., None], context: SimpleNamespace, vast: VastServer
) -> None:
    configure(vast, PERSIST_FAILURE="retry")
    result = handler(context, event("gone.exr"))
    assert (result["persistence"]["status"], result["persistence"]["error"]) == ("skipped", None)
    assert MISSING in result["persistence"]["message"]
    assert [error["code"] for error in result["errors"]] == ["source_not_found"]
    assert rows(vast) == []


def test_a_file_that_is_no_exr_is_an_error_row(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast, PERSIST_FAILURE="retry")
    s3.put(BUCKET, "text.exr", b"no pixels here")
    result = handler(context, event("text.exr"))
    assert result["persistence"]["status"] == "success"
    (row,) = rows(vast)
    assert (row["header_hash"], row["error_count"]) == (None, 1)
    (line,) = context.lines.files
    assert (line["outcome"], line["code"]) == ("stored", "not_exr")


def test_what_is_not_understood_is_told_and_not_raised(
    configure: Callable[..., None], context: SimpleNamespace, vast: VastServer
) -> None:
    configure(vast, PERSIST_FAILURE="retry")
    for bad in ({"colour": "red"}, 7, None, [], b"\xff", object()):
        result = handler(context, bad)
        assert [error["code"] for error in result["errors"]] == ["event_not_understood"]
        assert (result["persistence"]["status"], result["persistence"]["retryable"]) == ("error", False)
    assert "colour" in handler(context, {"colour": "red"})["persistence"]["message"]
    assert rows(vast) == []


def test_an_event_whose_methods_raise_is_not_understood(configure: Callable[..., None]) -> None:
    class Broken:
        def get_data(self) -> Any:
            raise ZeroDivisionError("s3cret")

    configure()
    result = handler(None, Broken())
    assert [error["code"] for error in result["errors"]] == ["event_not_understood"]
    assert "s3cret" not in str(result)


def test_settings_of_the_event_count(configure: Callable[..., None], context: SimpleNamespace, s3: S3Server) -> None:
    configure()
    s3.put(BUCKET, "a.exr", exr())
    result = handler(context, event("a.exr", config={"meta": False, "integrity": "none"}))
    assert "attributes" not in result
    assert result["integrity"]["status"] == "unchecked"


def test_without_a_database_the_document_is_returned(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server
) -> None:
    configure(PERSIST_FAILURE="retry")
    s3.put(BUCKET, "a.exr", exr())
    result = handler(context, event("a.exr"))
    assert result["persistence"] == {
        "status": "skipped", "file_id": None, "inserted": False, "message": "VAST DataBase not configured",
        "error": None, "retryable": False,
    }  # fmt: skip
    assert len(result["channels"]) == 3


# ---- What an event may have --------------------------------------------------------------------------------


def test_a_local_path_needs_a_root(
    configure: Callable[..., None], context: SimpleNamespace, vast: VastServer, tmp_path: Path
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "a.exr").write_bytes(exr(folder.name))
    (inside / "link.exr").symlink_to(outside / "a.exr")
    configure(vast, EXR_INSPECTOR_ROOTS=str(inside), PERSIST_FAILURE="retry")
    assert handler(context, {"data": {"path": str(inside / "a.exr")}})["persistence"]["status"] == "success"
    for path in (outside / "a.exr", inside / "link.exr", inside / "../outside/a.exr"):
        result = handler(context, {"data": {"path": str(path)}})
        assert [error["code"] for error in result["errors"]] == ["event_refused"]
        assert "channels" not in result
    assert len(rows(vast)) == 1  # and none for what was refused
    assert handler(None, {"path": str(outside / "a.exr")})["persistence"]["status"] == "success"  # by hand


def test_a_bucket_that_is_not_listed_is_refused(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server
) -> None:
    configure(EXR_INSPECTOR_BUCKETS="other")
    s3.put("other", "a.exr", exr())
    with s3.counting() as asked:
        refused = handler(context, event("a.exr"))
    assert [error["code"] for error in refused["errors"]] == ["event_refused"]
    assert not asked
    assert handler(context, {"data": {"bucket": "other", "key": "a.exr"}})["file"]["size_bytes"] == len(exr())


def test_an_object_without_s3_settings_comes_again(
    configure: Callable[..., None], context: SimpleNamespace, vast: VastServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(vast, PERSIST_FAILURE="retry")
    for name in [name for name in os.environ if name.startswith("S3_")]:
        monkeypatch.delenv(name)
    with pytest.raises(RetryableFailure) as caught:
        handler(context, event("a.exr"))
    assert caught.value.code == "source_unconfigured"
    assert rows(vast) == []


def test_a_database_that_an_event_brings_along(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast, VAST_DB_SCHEMA="own")
    s3.put(BUCKET, "a.exr", exr())
    with VastServer(buckets=[parts.DATABASE], access_key="AKEVENT", secret_key="SKEVENT12345") as theirs:
        keys = {"vastdb_access_key": "AKEVENT", "vastdb_secret_key": "SKEVENT12345"}
        for identity in "12":
            result = handler(context, event("a.exr", identity, vastdb_endpoint=theirs.endpoint, **keys))
            assert result["persistence"]["status"] == "success"
        assert [row["inspection_count"] for row in rows(theirs, schema="own")] == [2]
        without = handler(context, event("a.exr", "3", vastdb_endpoint=theirs.endpoint))
        assert without["persistence"]["error"].startswith("vastdb_access_key is missing")
    assert rows(vast, schema="own") == []
    told = "\n".join(context.lines.texts)
    assert "SKEVENT" not in told
    assert "AKEVENT" not in told


def test_the_same_event_for_two_databases_is_written_to_both(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast)
    s3.put(BUCKET, "a.exr", exr())
    with VastServer(buckets=[parts.DATABASE]) as theirs:
        brought = {
            "vastdb_endpoint": theirs.endpoint,
            "vastdb_access_key": theirs.access_key,
            "vastdb_secret_key": theirs.secret_key,
        }
        batch_handler(context, [event("a.exr"), event("a.exr", **brought)])
        assert parts.counts(vast) == parts.counts(theirs) == {"a.exr": 1}


# ---- Many events -------------------------------------------------------------------------------------------


def test_a_batch_is_one_transaction(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast)
    keys = [f"batch/{number}.exr" for number in range(50)]
    parts.put_all(s3, keys)
    started(context)
    with vast.counting() as requests:
        results = batch_handler(context, [event(key, key) for key in keys])
    assert [each["file"]["s3_key"] for each in results] == keys
    assert parts.counts(vast) == dict.fromkeys(keys, 1)
    assert (requests["begin"], requests["commit"]) == (1, 1)
    assert set(requests).isdisjoint(vast_api.DDL_OPS)
    parts.check_whole(vast)


def test_headers_are_read_at_once(configure: Callable[..., None], context: SimpleNamespace, s3: S3Server) -> None:
    """Each answer waits for 0.3 s: one after the other, twelve would take 3.6 s."""
    configure(EXR_INSPECTOR_CONCURRENCY="12")
    keys = [f"slow/{number}.exr" for number in range(12)]
    parts.put_all(s3, keys)
    s3.faults.add(op="get", kind="slow", times=None, seconds=0.3)
    results = batch_handler(context, [event(key, key) for key in keys])
    assert len(results) == 12
    assert max(line["ms"] for line in context.lines.files) < 2000


def test_more_events_than_one_transaction_takes(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast, EXR_INSPECTOR_BATCH_FILES="5", EXR_INSPECTOR_CONCURRENCY="3")
    keys = [f"many/{number}.exr" for number in range(33)]
    parts.put_all(s3, keys)
    results = batch_handler(context, (event(key, key) for key in keys))  # any iterable
    assert [each["persistence"]["status"] for each in results] == ["success"] * 33
    assert parts.counts(vast) == dict.fromkeys(keys, 1)
    assert batch_handler(context, []) == []


def test_the_same_event_twice_in_a_batch_is_written_once(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast)
    s3.put(BUCKET, "a.exr", exr())
    results = batch_handler(context, [event("a.exr", "1"), event("a.exr", "1"), event("a.exr", "2")])
    assert parts.counts(vast) == {"a.exr": 2}
    assert len({each["persistence"]["file_id"] for each in results}) == 1


def test_one_document_that_cannot_be_stored_blocks_no_other(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server
) -> None:
    with VastServer(buckets=[parts.DATABASE], max_cell_bytes=30_000) as vast:
        _poisoned(configure, context, s3, vast)
        dataengine.close(5)


def _poisoned(configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer) -> None:
    configure(vast, PERSIST_FAILURE="retry")
    keys = [f"poison/{number}.exr" for number in range(6)]
    parts.put_all(s3, keys)
    long = exr_bytes.attribute("long", "string", exr_bytes.pack_string("x" * 40_000))
    s3.put(BUCKET, keys[2], exr("long", {"long": long}))
    results = batch_handler(context, [event(key, key) for key in keys])
    statuses = [each["persistence"]["status"] for each in results]
    assert statuses == ["success"] * 2 + ["error"] + ["success"] * 3
    assert results[2]["persistence"]["retryable"] is False
    by_path = {row["file_path"]: row for row in rows(vast)}
    assert set(by_path) == {f"s3://renders/{key}" for key in keys}
    assert "not_stored" in by_path[f"s3://renders/{keys[2]}"]["raw_output"]


# ---- Failures ----------------------------------------------------------------------------------------------


def test_a_source_that_fails_is_raised_or_reported(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    s3.put(BUCKET, "a.exr", exr())
    s3.faults.add(op="get", kind="unavailable", times=None)
    configure(vast, PERSIST_FAILURE="retry", S3_TIMEOUT_SECONDS="1")
    with pytest.raises(RetryableFailure) as caught:
        handler(context, event("a.exr"))
    assert caught.value.retryable
    assert "1 of 1 files" in str(caught.value)
    configure(vast, PERSIST_FAILURE="report", S3_TIMEOUT_SECONDS="1")
    result = handler(context, event("a.exr"))
    assert (result["persistence"]["status"], result["persistence"]["retryable"]) == ("error", True)
    assert result["errors"][0]["retryable"]
    assert rows(vast) == []  # a row would be in the way of the good one
    s3.faults.clear()
    assert handler(context, event("a.exr"))["persistence"]["inserted"]


def test_a_batch_that_failed_in_part_is_not_written_again(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast, PERSIST_FAILURE="retry", S3_TIMEOUT_SECONDS="1")
    keys = [f"part/{number}.exr" for number in range(5)]
    parts.put_all(s3, keys)
    events = [event(key, key) for key in keys]
    s3.faults.add(op="get", kind="unavailable", times=None, key=keys[3])
    with pytest.raises(RetryableFailure) as caught:
        batch_handler(context, events)
    assert [outcome.delivery.key for outcome in caught.value.outcomes] == [keys[3]]
    assert set(parts.counts(vast)) == set(keys) - {keys[3]}
    s3.faults.clear()
    results = batch_handler(context, events)
    assert [each["persistence"]["inserted"] for each in results] == [False, False, False, True, False]
    assert parts.counts(vast) == dict.fromkeys(keys, 1)


def test_a_database_that_refuses_is_raised_or_reported(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    """What the database refuses to everyone is not the file's fault: the event must come again."""
    s3.put(BUCKET, "a.exr", exr())
    configure(vast, PERSIST_FAILURE="retry")
    started(context)
    vast.faults.add(op="insert", kind="forbidden", times=None)
    with pytest.raises(RetryableFailure) as caught:
        handler(context, event("a.exr"))
    assert caught.value.code == "store_refused"
    configure(vast, PERSIST_FAILURE="report")
    result = handler(context, event("a.exr"))
    assert result["channels"]
    assert result["persistence"]["retryable"]
    vast.faults.clear()
    assert rows(vast) == []


def test_wrong_settings_are_raised_by_init(configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    configure(PERSIST_FAILURE="perhaps")
    with pytest.raises(SettingsError, match="PERSIST_FAILURE"):
        init(None)
    configure(PERSIST_FAILURE="retry", VAST_DB_ENDPOINT="http://127.0.0.1:1", VAST_DB_BUCKET="b")
    with pytest.raises(SettingsError, match="VAST_DB_ACCESS_KEY is missing"):
        handler(None, {"path": "/a.exr"})
    monkeypatch.delenv("VAST_DB_ENDPOINT")
    init(None)


def test_secrets_that_the_platform_mounts(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure()
    s3.put(BUCKET, "a.exr", exr())
    mounted = {
        "endpoint": vast.endpoint,
        "access_key": vast.access_key,
        "secret_key": vast.secret_key,
        "bucket": parts.DATABASE,
    }
    context.secrets = {"vast-db": mounted}
    assert handler(context, event("a.exr"))["persistence"]["status"] == "success"
    assert len(rows(vast)) == 1


# ---- The log -----------------------------------------------------------------------------------------------


def test_one_line_for_each_file(
    configure: Callable[..., None], context: SimpleNamespace, s3: S3Server, vast: VastServer
) -> None:
    configure(vast, S3_TIMEOUT_SECONDS="1")
    s3.put(BUCKET, "a.exr", exr())
    s3.put(BUCKET, "bad.exr", exr())
    s3.faults.add(op="get", kind="unavailable", times=None, key="bad.exr")
    result = handler(context, event("a.exr"))
    for key in ("gone.exr", "bad.exr"):
        handler(context, event(key))
    handler(context, {"x": 1})
    stored, gone, failed, unknown = context.lines.files
    assert set(stored) == {"outcome", "path", "file_id", "ms", "bytes", "requests"}
    assert (stored["outcome"], stored["path"]) == ("stored", "s3://renders/a.exr")
    assert (stored["file_id"], stored["requests"]) == (result["persistence"]["file_id"], 1)
    assert stored["bytes"] == len(exr())
    assert (gone["outcome"], gone["code"]) == ("skipped", "source_not_found")
    assert (failed["outcome"], failed["retryable"]) == ("failed", True)
    assert (unknown["outcome"], unknown["path"], unknown["retryable"]) == ("failed", None, False)
    assert [text.split()[0] for text in context.lines.texts] == ["INFO", "INFO", "WARNING", "ERROR"]


def test_a_line_stays_a_line(configure: Callable[..., None], context: SimpleNamespace) -> None:
    configure()
    key = "a\n\x1b[31m\x7f\u202e\u2028\udc80" + "x" * 5000 + ".exr"
    handler(context, event(key))
    (text,) = context.lines.texts
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 2000


def test_a_logger_that_raises_loses_no_file(configure: Callable[..., None], s3: S3Server, vast: VastServer) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            def write(*_texts: Any) -> None:
                raise OSError(name)

            return write

    configure(vast)
    s3.put(BUCKET, "a.exr", exr())
    assert handler(SimpleNamespace(logger=Broken()), event("a.exr"))["persistence"]["status"] == "success"


def test_no_secret_is_logged(
    configure: Callable[..., None],
    context: SimpleNamespace,
    s3: S3Server,
    vast: VastServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even where an event names a file after one, nor at the finest level of any logger."""
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 3)
    lines = Lines()
    root = logging.getLogger()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    try:
        configure(vast, VAST_DB_TIMEOUT_SECONDS="1", S3_TIMEOUT_SECONDS="1")
        s3.put(BUCKET, "a.exr", exr())
        result = [handler(context, event(f"{vast.secret_key}.exr"))["persistence"]]
        brought = {"vastdb_access_key": "AKEVENT1", "vastdb_secret_key": "SKEVENT1"}
        handler(context, event("SKEVENT1", vastdb_endpoint="http://127.0.0.1:9", **brought))
        vast.stop()
        result.append(handler(context, event("a.exr"))["persistence"])
    finally:
        root.removeHandler(lines)
        root.setLevel(level)
    assert result[1]["retryable"]
    told = "\n".join([*context.lines.texts, *lines.texts, str(result)])
    port = vast.endpoint.rpartition(":")[2]
    for secret in (vast.secret_key, vast.access_key, s3.secret_key, "SKEVENT1", vast.endpoint, f"port={port}", '9"'):
        assert secret not in told
