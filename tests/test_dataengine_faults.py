"""Many events while servers fail: each object has one row, its count is right, and each failed delivery is raised.

Deliveries go as a platform sends them: some twice, in any order, and again when they fail. Every number is the seed's.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

pytest.importorskip("vastdb")
pytest.importorskip("obstore")

from exr_inspector.config_function import FunctionSettings
from exr_inspector.dataengine.databases import Pace
from exr_inspector.dataengine.function import Function, Outcome
from exr_inspector.stores import vast_ledger, vast_store
from tests.loopback.s3_server import S3Server
from tests.loopback.vast_server import VastServer
from tests.support import functions as parts
from tests.support.deliveries import deliver, planned
from tests.support.functions import BUCKET, event, ready, until

QUICK = Pace(first=0.02, longest=0.1, slow=0.1)

# Which server, which operations, what happens, how likely.
FAULTS = (
    ("s3", "get", "slow_down", 0.05),
    ("s3", "get", "internal", 0.02),
    ("s3", "get", "drop", 0.03),
    ("s3", "get", "cut", 0.03),
    ("vast", "*", "slow_down", 0.02),
    ("vast", ("begin", "select"), "internal", 0.02),
    ("vast", ("insert", "update"), "bad_gateway", 0.02),
    ("vast", ("insert", "update"), "conflict", 0.03),
    ("vast", "*", "drop_before", 0.02),
    ("vast", ("insert", "update", "commit"), "drop_after", 0.03),
    ("vast", "commit", "internal_after", 0.1),
    ("vast", "commit", "conflict", 0.05),
)


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET]) as running:
        yield running


@pytest.fixture
def vast() -> Iterator[VastServer]:
    with VastServer(buckets=[parts.DATABASE]) as running:
        yield running


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch, s3: S3Server, vast: VastServer) -> Iterator[Function]:
    for name in list(os.environ):
        if name.startswith(parts.VARIABLES):
            monkeypatch.delenv(name)
    for name, value in parts.environment(s3, vast, S3_TIMEOUT_SECONDS="2").items():
        monkeypatch.setenv(name, value)
    made = Function(FunctionSettings(persist_failure="retry", batch_files=20), pace=QUICK)
    yield ready(made)
    made.close(10)


def plan_faults(s3: S3Server, vast: VastServer, seed: int) -> None:
    servers: dict[str, Any] = {"s3": s3, "vast": vast}
    for number, (name, op, kind, probability) in enumerate(FAULTS):
        servers[name].faults.add(op=op, kind=kind, times=None, probability=probability, seed=seed + number)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_object_has_one_row(
    s3: S3Server, vast: VastServer, function: Function, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With all of their tries, client and store see nearly everything through, and nothing is left to come again.
    monkeypatch.setattr(vast_store, "BATCH_TRIES", 2)
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 2)
    dice = random.Random(seed)
    keys = [f"f{number}.exr" for number in range(70)]
    parts.put_all(s3, keys)
    plan_faults(s3, vast, seed)
    for key in keys[:5]:
        s3.faults.add(op="get", kind="unavailable", times=8, key=key)
    report = deliver(function, planned(keys, dice), dice)
    s3.faults.clear()
    vast.faults.clear()
    assert report.unfinished == 0
    assert parts.counts(vast) == Counter(report.events)
    parts.check_whole(vast)
    assert report.failed_deliveries > 0, "the faults were too few to prove anything"


def test_a_commit_whose_answer_is_lost_is_not_written_again(s3: S3Server, vast: VastServer, function: Function) -> None:
    parts.put_all(s3, ["a.exr"])
    vast.faults.add(op="commit", kind="drop_after")
    assert _status(function, [event("a.exr")]) == ["stored"]
    assert _status(function, [event("a.exr")]) == ["stored"]
    assert parts.counts(vast) == {"a.exr": 1}


def test_what_nobody_knows_comes_again_and_has_one_row(
    s3: S3Server, vast: VastServer, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is applied, its answer lost, and the ledger cannot be asked: counted twice, and one row."""
    monkeypatch.setattr(vast_ledger, "_SETTLE_TRIES", 2)
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 2)
    parts.put_all(s3, ["a.exr"])
    vast.faults.add(op="commit", kind="drop_after")
    vast.faults.add(op="select", kind="internal", times=None, table="batch_ledger")
    (outcome,) = function.submit(event("a.exr")).result(30)
    assert (outcome.status, outcome.is_retryable) == ("failed", True)
    vast.faults.clear()
    until(lambda: function.is_ready)
    assert _status(function, [event("a.exr")]) == ["stored"]
    assert parts.counts(vast) == {"a.exr": 2}


def test_half_of_a_batch_that_was_written_is_not_written_again(
    s3: S3Server, vast: VastServer, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that the database always fails at is halved; the half that is written stays, the other comes again."""
    monkeypatch.setattr(vast_store, "BATCH_TRIES", 2)
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 2)
    keys = [f"h{number}.exr" for number in range(8)]
    parts.put_all(s3, keys)
    events = [event(key, key) for key in keys]
    # The whole batch is refused for its rows; of the halves the first passes, then the server is gone.
    vast.faults.add(op="insert", kind="internal", times=2, table="files")
    vast.faults.add(op="begin", kind="drop_before", times=2, after=3)
    first = _status(function, events)
    assert first == ["stored"] * 4 + ["failed"] * 4
    until(lambda: function.is_ready)
    assert _status(function, events) == ["stored"] * 8
    assert parts.counts(vast) == dict.fromkeys(keys, 1)
    parts.check_whole(vast)


def test_a_database_that_fails_at_all_rows_loses_no_event(
    s3: S3Server, vast: VastServer, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks as if the document could not be stored; but its error row cannot, either."""
    monkeypatch.setattr(vast_store, "SINGLE_TRIES", 2)
    parts.put_all(s3, ["a.exr"])
    vast.faults.add(op="insert", kind="internal", times=None, table="files")
    (outcome,) = function.submit(event("a.exr")).result(30)
    assert (outcome.status, outcome.is_retryable, outcome.code) == ("failed", True, "store_failed")
    assert outcome.persistence["retryable"]
    vast.faults.clear()
    assert _status(function, [event("a.exr")]) == ["stored"]
    assert parts.counts(vast) == {"a.exr": 1}
    parts.check_whole(vast)


def test_two_functions_with_the_same_events(s3: S3Server, vast: VastServer, function: Function) -> None:
    """As two containers have them: no memory in common. Each counts, and there is one row."""
    keys = [f"two{number}.exr" for number in range(30)]
    parts.put_all(s3, keys)
    events = [event(key, key) for key in keys]
    other = ready(Function(FunctionSettings(persist_failure="retry", batch_files=7), pace=QUICK))
    futures = [each.submit_batch(events) for each in (function, other)]
    for future in futures:
        assert {outcome.status for outcomes in future.result(60) for outcome in outcomes} == {"stored"}
    other.close(5)
    assert parts.counts(vast) == dict.fromkeys(keys, 2)
    parts.check_whole(vast)


def _status(function: Function, events: Sequence[Any]) -> list[str]:
    found: list[list[Outcome]] = function.submit_batch(events).result(60)
    return [outcome.status for outcomes in found for outcome in outcomes]
