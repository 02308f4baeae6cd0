"""The function's life: ready or why not, how much is in flight, how it ends, what it remembers. Of local files."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

pytest.importorskip("vastdb")

from exr_inspector import app
from exr_inspector.config_function import FunctionSettings
from exr_inspector.config_vast import VastSettings
from exr_inspector.dataengine import databases, flow, log_lines, reading, remembered, writing
from exr_inspector.dataengine import function as function_module
from exr_inspector.dataengine.databases import DOWN, OPEN, STARTING, Databases, Pace
from exr_inspector.dataengine.function import Function, Outcome
from exr_inspector.dataengine.outcomes import failed
from exr_inspector.dataengine.reading import LIMITS, LONG_HEADER_BYTES, weight_bytes
from exr_inspector.errors import ExrError, Problem
from exr_inspector.events import Delivery
from exr_inspector.settings import Secret
from exr_inspector.stores import vast_store
from exr_inspector.stores.base import StoreError
from exr_inspector.stores.migrations import OLDEST_VERSION, migrate
from exr_inspector.stores.vast_store import VastStore
from exr_inspector.tables import documents_to_tables
from tests.loopback import vast_api
from tests.loopback.vast_client import connect
from tests.loopback.vast_server import DEFAULT_KEYS, VastServer
from tests.support import exr_bytes
from tests.support import functions as parts
from tests.support import id_manifest_bytes as ids
from tests.support.functions import Lines, exr, ready, rows, until

QUICK = Pace(first=0.02, longest=0.1, slow=0.1)
Make = Callable[..., Function]


@pytest.fixture
def vast() -> Iterator[VastServer]:
    with VastServer(buckets=[parts.DATABASE]) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The only root; with twenty files."""
    for number in range(20):
        (tmp_path / f"{number}.exr").write_bytes(exr(str(number)))
    return tmp_path


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, folder: Path, vast: VastServer) -> Iterator[Make]:  # ends before the server
    """Makes functions for a database, or none; closes them at the end."""
    for name in list(os.environ):
        if name.startswith(parts.VARIABLES):
            monkeypatch.delenv(name)
    made: list[Function] = []

    def make_one(vast: VastServer | None = None, **options: Any) -> Function:
        environment = parts.environment(None, vast, **options.pop("environment", {}))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        kept = {name: options.pop(name) for name in ("logger", "observer", "secrets", "is_served") if name in options}
        settings = FunctionSettings(roots=(str(folder),), **{"persist_failure": "retry", **options})
        made.append(Function(settings, pace=QUICK, **kept))
        return made[-1]

    yield make_one
    for function in made:
        function.close(2)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is written before it is opened."""
    opened = threading.Event()
    write = VastStore.write_tables

    def wait(store: VastStore, tables: Any) -> Any:
        assert opened.wait(30)
        return write(store, tables)

    monkeypatch.setattr(VastStore, "write_tables", wait)
    return opened


def asks(folder: Path, number: int | str, identity: str | None = None) -> dict[str, Any]:
    identified = {} if identity is None else {"id": identity, "source": "test", "specversion": "1.0", "type": "t"}
    return {**identified, "data": {"path": str(folder / f"{number}.exr")}}


def outcomes_of(function: Function, *events: Any) -> list[Outcome]:
    return [outcome for found in function.submit_batch(events).result(30) for outcome in found]


def outcome_of(function: Function, event: Any) -> Outcome:
    (outcome,) = function.submit(event).result(30)
    return outcome


def stored_paths(vast: VastServer) -> list[str]:
    return sorted(row["file_path"] for row in rows(vast))


# ---- Ready, or why not -------------------------------------------------------------------------------------


def test_without_a_database_it_is_ready_at_once(make: Make, folder: Path) -> None:
    function = make()
    assert (function.is_ready, function.reason) == (False, "not started")
    function.start()
    assert (function.is_ready, function.reason) == (True, "")
    assert outcome_of(function, asks(folder, 1)).status == "skipped"


def test_a_database_that_is_down_at_first(make: Make, vast: VastServer, folder: Path) -> None:
    vast.stop()
    lines = Lines()
    function = make(vast, logger=lines.logger)
    function.start()
    assert not function.is_ready
    until(lambda: "connection failed" in function.reason)
    assert vast.endpoint not in function.reason
    refused = outcome_of(function, asks(folder, 1, "1"))
    assert (refused.status, refused.is_retryable, refused.code) == ("failed", True, "store_unreachable")
    assert refused.document is None  # nothing was read in vain
    vast.start()
    until(lambda: function.is_ready)
    assert function.reason == ""
    assert outcome_of(function, asks(folder, 1, "1")).status == "stored"
    told = [text for text in lines.texts if '"function"' in text]
    assert "cannot be opened" in told[0]
    assert "is open again" in told[-1]


def test_what_comes_while_the_database_is_being_opened_waits_for_it(make: Make, vast: VastServer, folder: Path) -> None:
    vast.faults.add(op="version", kind="slow", seconds=0.5)
    function = make(vast)
    function.start()
    assert function.reason == "the database is being opened"
    assert outcome_of(function, asks(folder, 1)).status == "stored"


def test_with_report_a_database_that_is_down_costs_no_document(make: Make, vast: VastServer, folder: Path) -> None:
    vast.stop()
    function = make(vast, persist_failure="report")
    function.start()
    until(lambda: bool(function._own.state.error))
    outcome = outcome_of(function, asks(folder, 1))
    assert (outcome.status, outcome.is_retryable) == ("failed", True)
    assert outcome.document is not None
    assert outcome.persistence["retryable"]


def test_wrong_keys_are_told_and_tried_again(make: Make, vast: VastServer, folder: Path) -> None:
    function = make(vast)
    vast.secret_key = "another"
    function.start()
    until(lambda: "denied" in function.reason)
    outcome = outcome_of(function, asks(folder, 1, "1"))
    # Answered as done, the event would be lost: it must come again, though this code is no "retryable" one.
    assert (outcome.status, outcome.is_retryable, outcome.code) == ("failed", True, "store_refused")
    vast.secret_key = DEFAULT_KEYS[1]
    until(lambda: function.is_ready)
    assert outcome_of(function, asks(folder, 1, "1")).status == "stored"


def test_tables_of_another_program_are_told(make: Make, vast: VastServer, folder: Path) -> None:
    with connect(vast).transaction() as tx:
        schema = tx.bucket(parts.DATABASE).create_schema(parts.SCHEMA)
        schema.create_table("files", pa.schema([("file_id", pa.utf8())]))
    function = make(vast)
    function.start()
    until(lambda: "no schema_migrations" in function.reason)
    assert outcome_of(function, asks(folder, 1)).is_retryable
    with connect(vast).transaction() as tx:
        tx.bucket(parts.DATABASE).schema(parts.SCHEMA).table("files").drop()
    until(lambda: function.is_ready)


def test_tables_of_an_older_version_are_told(make: Make, vast: VastServer) -> None:
    with VastStore(parts.settings_of(vast)) as store:
        migrate(store, OLDEST_VERSION)
    function = make(vast)
    function.start()
    until(lambda: "run migrate" in function.reason)
    with VastStore(parts.settings_of(vast)) as store:
        migrate(store)
    until(lambda: function.is_ready)


def test_a_session_that_breaks_is_opened_again(
    make: Make, vast: VastServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 3)
    function = ready(make(vast))
    outcome_of(function, asks(folder, 0))
    vast.stop()
    assert outcome_of(function, asks(folder, 1, "1")).is_retryable
    vast.start()
    until(lambda: function.is_ready)
    with vast.counting() as requests:
        assert outcome_of(function, asks(folder, 1, "1")).status == "stored"
    assert set(requests).isdisjoint(vast_api.DDL_OPS | {"version", "head_bucket", "list_columns"})
    assert len(rows(vast)) == 2
    parts.check_whole(vast)


def test_no_statement_changes_the_schema_once_the_tables_are_there(make: Make, vast: VastServer, folder: Path) -> None:
    VastStore(parts.settings_of(vast)).close()
    with vast.counting() as requests:
        function = ready(make(vast))
        outcomes_of(function, *(asks(folder, number) for number in range(20)))
        for number in range(5):
            outcome_of(function, asks(folder, number))
    assert set(requests).isdisjoint(vast_api.DDL_OPS)
    assert requests["version"] == 1  # one session


def test_an_error_that_nobody_knows_ends_no_thread(
    make: Make, vast: VastServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines()
    function = ready(make(vast, logger=lines.logger))

    def break_down(*_arguments: Any) -> Any:
        raise ZeroDivisionError("http://secret")

    with monkeypatch.context() as broken:
        broken.setattr(VastStore, "write_tables", break_down)
        while_writing = outcome_of(function, asks(folder, 1))
        broken.setattr(reading, "inspect", break_down)
        while_reading = outcome_of(function, asks(folder, 2))
    assert (while_writing.code, while_writing.is_retryable) == ("store_failed", True)
    assert while_writing.message == "ZeroDivisionError while writing"
    assert (while_reading.code, while_reading.is_retryable) == ("function_failed", False)
    told = "\n".join(lines.texts)
    assert "secret" not in told
    assert "test_dataengine_function.py" in told  # where it was
    assert [outcome_of(function, asks(folder, number)).status for number in (1, 2)] == ["stored", "stored"]


def test_a_document_that_brings_the_program_down_blocks_no_other(
    make: Make, vast: VastServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such document is known; the table builder is made to fail at one."""

    def fail_at_seven(documents: Any, **options: Any) -> Any:
        if any(each["file"]["path"].endswith("/7.exr") and each["parts"] for each in documents):
            raise RecursionError
        return documents_to_tables(documents, **options)

    monkeypatch.setattr(vast_store, "documents_to_tables", fail_at_seven)
    function = ready(make(vast))
    outcomes = outcomes_of(function, *(asks(folder, number, str(number)) for number in range(20)))
    assert [outcome.status for outcome in outcomes] == ["stored"] * 7 + ["failed"] + ["stored"] * 12
    assert (outcomes[7].code, outcomes[7].is_retryable) == ("not_stored", False)
    assert len(rows(vast)) == 20
    until(lambda: function.is_ready)


def test_a_region_alone_is_no_database(make: Make, vast: VastServer, folder: Path) -> None:
    function = ready(make(vast))
    with vast.counting() as requests:
        outcome = outcome_of(function, {**asks(folder, 1), "vastdb_region": "north"})
    assert outcome.status == "stored"
    assert requests["version"] == 0  # the session that is open


def test_what_was_committed_to_tables_that_are_gone_is_written_again(
    make: Make, vast: VastServer, folder: Path
) -> None:
    function = ready(make(vast))
    outcome_of(function, asks(folder, 1, "1"))
    with connect(vast).transaction() as tx:
        schema = tx.bucket(parts.DATABASE).schema(parts.SCHEMA)
        for table in schema.tables():
            table.drop()
    failed = outcome_of(function, asks(folder, 2, "2"))
    assert (failed.code, failed.is_retryable) == ("store_schema", True)
    until(lambda: function.is_ready)
    assert outcome_of(function, asks(folder, 1, "1")).status == "stored"
    assert stored_paths(vast) == [str(folder / "1.exr")]


# ---- How much is in flight ---------------------------------------------------------------------------------


def test_beyond_what_may_wait_events_are_refused(
    make: Make, vast: VastServer, folder: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "BATCHES_WAITING", 2)
    function = ready(make(vast, batch_files=2, concurrency=1))
    futures = [function.submit(asks(folder, number, str(number))) for number in range(20)]
    assert sum(future.done() for future in futures) == 10  # three batches of two are in flight, two wait
    gate.set()
    outcomes = [outcome for future in futures for outcome in future.result(30)]
    refused = [outcome for outcome in outcomes if outcome.code == "function_busy"]
    assert len(refused) == 10
    assert all(outcome.is_retryable and outcome.document is None for outcome in refused)
    assert len(rows(vast)) == 10
    assert outcome_of(function, asks(folder, 19)).status == "stored"  # and it goes on


def test_documents_in_flight_are_bounded(
    make: Make, vast: VastServer, folder: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = ready(make(vast, batch_files=2, concurrency=8))
    read: list[Any] = []

    def count(*given: Any, **named: Any) -> Any:
        read.append(given)
        return app.inspect(*given, **named)

    monkeypatch.setattr(reading, "inspect", count)
    futures = [function.submit(asks(folder, number)) for number in range(20)]
    until(lambda: len(read) == flow.BATCHES_IN_FLIGHT * 2)
    time.sleep(0.05)  # to see that no more are read
    assert len(read) == flow.BATCHES_IN_FLIGHT * 2
    gate.set()
    assert [future.result(30)[0].status for future in futures] == ["stored"] * 20


def test_a_batch_larger_than_all_that_may_wait_is_taken(
    make: Make, vast: VastServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "BATCHES_WAITING", 1)
    function = ready(make(vast, batch_files=2))
    outcomes = outcomes_of(function, *(asks(folder, number) for number in range(20)))
    assert [outcome.status for outcome in outcomes] == ["stored"] * 20


def test_what_waits_is_one_transaction(make: Make, vast: VastServer, folder: Path, gate: threading.Event) -> None:
    """Events that come one by one while a transaction is on its way are the next one."""
    function = ready(make(vast))
    waiting = function._writer._waiting
    futures = [function.submit(asks(folder, 0))]
    until(lambda: function._flow._to_read.empty() and waiting.empty())
    with vast.counting() as requests:
        futures += [function.submit(asks(folder, number)) for number in range(1, 20)]
        until(lambda: waiting.qsize() >= 18)
        gate.set()
        assert [future.result(30)[0].status for future in futures] == ["stored"] * 20
    assert requests["commit"] in (2, 3)  # the first may have been read together with the second


def test_long_headers_are_cut_before_they_wait(make: Make, vast: VastServer, folder: Path) -> None:
    text = exr_bytes.attribute("manifest", "string", exr_bytes.pack_string("x" * (LONG_HEADER_BYTES + 1)))
    (folder / "long.exr").write_bytes(exr(others={"manifest": text}))
    outcome = outcome_of(ready(make(vast)), asks(folder, "long"))
    assert outcome.status == "stored"
    assert outcome.document is not None
    manifest = next(each for each in outcome.document["attributes"]["parts"][0] if each["name"] == "manifest")
    assert manifest["value"]["cut_bytes"] == LONG_HEADER_BYTES + 1
    assert len(str(outcome.document)) < 100_000


def test_headers_beyond_the_limits_are_error_rows(make: Make, vast: VastServer, folder: Path) -> None:
    many = {f"a{number}": exr_bytes.attribute(f"a{number}", "int", bytes(4)) for number in range(LIMITS.max_attributes)}
    (folder / "many.exr").write_bytes(exr(others=many))
    function = ready(make(vast, max_header_bytes=1000))
    (folder / "long.exr").write_bytes(exr(owner="x" * 1000))
    for name, code in (("many", "limit_header_bytes"), ("long", "limit_header_bytes")):
        outcome = outcome_of(function, asks(folder, name))
        assert (outcome.status, outcome.code) == ("stored", code)
    outcome = outcome_of(ready(make(vast)), asks(folder, "many"))
    assert (outcome.status, outcome.code) == ("stored", "limit_attributes")


@pytest.mark.parametrize("count", [1, 20])
def test_heavy_documents_are_few_at_a_time(
    make: Make, vast: VastServer, folder: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Also of one batch, which is then not written together: its last file would else wait for its first."""
    one = weight_bytes(app.inspect(folder / "0.exr"))
    monkeypatch.setattr(flow, "MAX_WEIGHT_BYTES", 3 * one)
    function = ready(make(vast, concurrency=2))
    futures = [
        function.submit_batch([asks(folder, number) for number in range(start, start + count)])
        for start in range(0, 20, count)
    ]
    until(lambda: function._flow._weight_bytes > 3 * one)
    time.sleep(0.05)  # to see that no more are read
    assert 4 * one <= function._flow._weight_bytes <= 5.1 * one  # four, or five: two threads read
    gate.set()
    outcomes = [outcome for future in futures for found in future.result(30) for outcome in found]
    assert [outcome.status for outcome in outcomes] == ["stored"] * 20
    until(lambda: function._flow._weight_bytes == 0)
    assert len(rows(vast)) == 20


def test_heavy_documents_are_not_one_transaction(
    make: Make, vast: VastServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MAX_BATCH_BYTES", 3 * weight_bytes(app.inspect(folder / "0.exr")))
    function = ready(make(vast))
    with vast.counting() as requests:
        outcomes = outcomes_of(function, *(asks(folder, number) for number in range(9)))
    assert [outcome.status for outcome in outcomes] == ["stored"] * 9
    assert requests["commit"] == 3


def test_a_document_that_is_too_heavy_is_not_returned_whole(
    make: Make, vast: VastServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "HEAVY_BYTES", 1000)
    outcome = outcome_of(ready(make(vast)), asks(folder, 1))
    assert outcome.status == "stored"
    assert outcome.document is not None
    assert outcome.document["file"]["header_hash"]
    assert (outcome.document["parts"], outcome.document["channels"]) == ([], [])
    assert "attributes" not in outcome.document
    assert [error["code"] for error in outcome.document["errors"]] == ["function_cut"]
    assert len(rows(vast, "channels")) == 3


def test_a_small_header_with_a_large_manifest_is_cut(make: Make, vast: VastServer, folder: Path) -> None:
    """Deflated, 50,000 ids take some kilobytes; in the document they would take megabytes."""
    group = ids.Group([ids.Row(number) for number in range(50_000)])
    manifest = exr_bytes.attribute("idManifest", "idmanifest", ids.payload(ids.body(groups=[group])))
    (folder / "manifest.exr").write_bytes(exr(others={"idManifest": manifest}))
    outcome = outcome_of(ready(make(vast)), asks(folder, "manifest"))
    assert outcome.status == "stored"
    assert outcome.document is not None
    assert outcome.document["file"]["header_bytes"] < LONG_HEADER_BYTES
    assert len(str(outcome.document)) < 100_000


# ---- The end -----------------------------------------------------------------------------------------------


def test_close_finishes_what_is_in_flight(make: Make, vast: VastServer, folder: Path, gate: threading.Event) -> None:
    function = ready(make(vast, batch_files=3, concurrency=2))
    futures = [function.submit(asks(folder, number)) for number in range(20)]
    threading.Timer(0.2, gate.set).start()
    function.close(20)
    assert [future.result(0)[0].status for future in futures] == ["stored"] * 20
    assert len(rows(vast)) == 20
    assert (function.is_ready, function.reason) == (False, "the function is stopping")
    late = outcome_of(function, asks(folder, 0))
    assert (late.status, late.is_retryable, late.code) == ("failed", True, "function_busy")
    function.close(0)  # again


def test_what_is_not_finished_within_the_grace_time_comes_again(
    make: Make, vast: VastServer, folder: Path, gate: threading.Event
) -> None:
    function = ready(make(vast, batch_files=2, concurrency=2))
    futures = [function.submit(asks(folder, number)) for number in range(20)]
    function.close(0.1)
    gate.set()  # what was being written is written all the same
    outcomes = [future.result(0)[0] for future in futures]
    assert [(outcome.status, outcome.is_retryable) for outcome in outcomes] == [("failed", True)] * 20


def test_close_before_start(make: Make, vast: VastServer, folder: Path) -> None:
    function = make(vast)
    function.close(0)
    assert outcome_of(function, asks(folder, 0)).code == "function_busy"


def test_threads_end(make: Make, vast: VastServer) -> None:
    before = set(threading.enumerate())
    function = ready(make(vast, concurrency=5))
    function.close(5)
    until(lambda: not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("exr-")])


# ---- Who hears of it ---------------------------------------------------------------------------------------


class Counting:
    def __init__(self) -> None:
        self.files: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.batches: list[tuple[int, float]] = []

    def file(self, outcome: Outcome) -> None:
        self.files.put(outcome)

    def batch(self, files: int, seconds: float) -> None:
        self.batches.append((files, seconds))


def test_the_observer_hears_of_each_file_once(make: Make, vast: VastServer, folder: Path) -> None:
    observer = Counting()
    function = ready(make(vast, observer=observer))
    events = [asks(folder, number) for number in range(20)] + [asks(folder, "gone"), {"x": 1}]
    outcomes = outcomes_of(function, *events)
    heard = [observer.files.get_nowait() for _ in range(observer.files.qsize())]
    assert sorted(map(id, heard)) == sorted(map(id, outcomes))
    assert sum(files for files, _ in observer.batches) == 20
    assert all(outcome.seconds >= 0 for outcome in outcomes)
    assert [outcome.bytes_read > 0 for outcome in outcomes] == [True] * 20 + [False] * 2


def test_a_line_of_a_hostile_path() -> None:
    path = '/a\n\x1b[31m\x7f\u202e\u2028\udc80"' + "x" * 5000
    outcome = failed(Delivery("file", path=path), Problem("store_failed", path), is_retryable=True)
    text = log_lines.line(outcome)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 1500
    assert json.loads(text)["path"] == path[:500] + "..."


def test_cancelling_changes_nothing(make: Make, vast: VastServer, folder: Path) -> None:
    function = ready(make(vast))
    future = function.submit(asks(folder, 0))
    assert not future.cancel()
    assert future.result(30)[0].status == "stored"


def test_what_is_opened_is_checked_and_not_only_what_was_asked_for(
    make: Make,
    vast: VastServer,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if the path had become a link after it was looked at."""
    outside = tmp_path_factory.mktemp("outside") / "a.exr"
    outside.write_bytes(exr("outside"))
    (folder / "link.exr").symlink_to(outside)
    monkeypatch.setattr(function_module, "allowed", lambda delivery, *_settings, **_options: delivery)
    outcome = outcome_of(ready(make(vast)), asks(folder, "link"))
    assert (outcome.status, outcome.code, outcome.document) == ("failed", "event_refused", None)
    assert rows(vast) == []


def test_an_events_database_that_does_not_answer_holds_up_nobody(make: Make, vast: VastServer, folder: Path) -> None:
    function = ready(make(vast))
    with VastServer(buckets=[parts.DATABASE]) as slow:
        slow.faults.add(op="version", kind="slow", times=None, seconds=60)
        keys = {"vastdb_access_key": slow.access_key, "vastdb_secret_key": slow.secret_key}
        held = function.submit({**asks(folder, 1), "vastdb_endpoint": slow.endpoint, **keys})
        until(lambda: slow.counts().get("version", 0) > 0)
        assert [outcome.status for outcome in outcomes_of(function, *(asks(folder, n) for n in range(5)))] == [
            "stored"
        ] * 5
        assert not held.done()
    assert held.result(60)[0].is_retryable


# ---- Databases of events, and the pace ---------------------------------------------------------------------


@pytest.fixture
def kept(vast: VastServer) -> Iterator[Databases]:
    made = Databases(None, pace=QUICK, note=lambda _text: None)
    yield made
    made.close()


def test_few_databases_are_kept_open(vast: VastServer, kept: Databases) -> None:
    schemas = [parts.settings_of(vast, schema=f"s{number}") for number in range(databases.MAX_EVENT_DATABASES + 2)]
    stores = [kept.store(each) for each in schemas]
    assert kept.store(schemas[-1]) is stores[-1]
    with vast.counting() as requests:
        kept.store(schemas[0])
    assert requests["version"] == 1  # the oldest one was closed, and is opened again
    assert len(kept._others) == databases.MAX_EVENT_DATABASES


def test_a_database_that_cannot_be_opened_is_believed_for_a_while(vast: VastServer) -> None:
    slow = Databases(None, pace=Pace(10, 10, 10), note=lambda _text: None)
    wrong = parts.settings_of(vast, secret_key=Secret("wrong"))
    for _ in range(3):
        with vast.counting() as requests, pytest.raises(StoreError):
            slow.store(wrong)
    assert not requests
    slow.close()


def test_a_conflict_leaves_the_store_open(vast: VastServer) -> None:
    own = Databases(parts.settings_of(vast), pace=QUICK, note=lambda _text: None)
    assert own.state.phase == STARTING
    own.open_if_due()
    assert own.state.phase == OPEN
    assert own.seconds_until_due() is None
    store = own.store(None)
    own.failed(None, StoreError(Problem("store_conflict", "")))
    assert own.store(None) is store
    own.failed(None, StoreError(Problem("store_unreachable", "")))
    assert own.state.phase == STARTING
    assert own.store(None) is not store
    own.close()


def test_the_pauses_grow(vast: VastServer) -> None:
    def error(code: str) -> ExrError:
        return StoreError(Problem(code, ""))

    pace = Pace(first=1, longest=30, slow=60)
    for failures, bound in ((0, 1), (1, 2), (4, 16), (5, 30), (1000, 30)):
        for _ in range(20):
            assert bound / 2 <= pace.pause(error("store_unreachable"), failures) <= bound
    assert 30 <= pace.pause(error("store_refused"), 0) <= 60
    vast.stop()
    told: list[str] = []
    down = Databases(parts.settings_of(vast), pace=Pace(60, 60, 60), note=told.append)
    down.open_if_due()
    assert down.state.phase == DOWN
    down.open_if_due()  # not due
    assert len(told) == 1
    assert 25 <= (down.seconds_until_due() or 0) <= 60


# ---- What is remembered ------------------------------------------------------------------------------------


def document(**file: Any) -> dict[str, Any]:
    return {"file": {"path": "/a", "header_hash": "h", "size_bytes": 1, "mtime": "m", "etag": "e", **file}}


def test_the_memory_is_bounded() -> None:
    memory = remembered.Remembered(largest=3)
    for number in range(5):
        memory.add(bytes([number]), document(), f"id{number}")
    assert [memory.file_id(bytes([number]), document()) for number in range(5)] == [None, None, "id2", "id3", "id4"]
    memory.add(None, document(), "id")
    assert memory.file_id(None, document()) is None


@pytest.mark.parametrize("change", ["path", "header_hash", "size_bytes", "mtime", "etag", "s3_version_id"])
def test_another_version_of_the_object_is_not_remembered(change: str) -> None:
    memory = remembered.Remembered()
    memory.add(b"k", document(), "id")
    assert memory.file_id(b"k", document(**{change: "another"})) is None


def test_what_tells_deliveries_apart() -> None:
    settings = VastSettings("http://a", Secret("k"), Secret("s"), "b")
    first = Delivery("object", "b", "k", event_id="1", event_source="s")
    keys = [
        remembered.key_of(each, database)
        for each, database in [
            (first, None),
            (first, settings),
            (first, settings._replace(endpoint="http://b")),
            (first, settings._replace(schema="other")),
            (first._replace(event_id="2"), None),
            (first._replace(event_source="t"), None),
            (first._replace(key="l"), None),
            (first._replace(version_id="v"), None),
        ]
    ]
    assert len(set(keys)) == len(keys)
    assert all(key is not None and len(key) == 16 for key in keys)
    assert remembered.key_of(first._replace(event_id=None), None) is None
    long = first._replace(event_id="\udcff" * 1_000_000)
    assert len(remembered.key_of(long, None) or b"") == 16
