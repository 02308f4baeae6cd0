"""Mutated events and objects: no crash, no hang, no secret told, nothing read outside the roots."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vastdb")
pytest.importorskip("obstore")

from exr_inspector import dataengine
from exr_inspector.dataengine import batch_handler, handler
from tests.loopback.s3_server import S3Server
from tests.loopback.vast_server import VastServer
from tests.support import functions as parts
from tests.support.functions import BUCKET, Lines, event, exr
from tests.support.hostile import EVENT_KEYS, OBJECT_KEYS, OUTSIDE, Folders, Hostile

EVENTS = 600


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[S3Server, VastServer]]:
    """With an environment that allows one root and one bucket."""
    for name in list(os.environ):
        if name.startswith(parts.VARIABLES):
            monkeypatch.delenv(name)
    with S3Server(buckets=[BUCKET]) as s3, VastServer(buckets=[parts.DATABASE]) as vast:
        settings = {"EXR_INSPECTOR_ROOTS": str(tmp_path / "root"), "EXR_INSPECTOR_BUCKETS": BUCKET}
        for name, value in parts.environment(s3, vast, **settings).items():
            monkeypatch.setenv(name, value)
        yield s3, vast
        dataengine.close(10)


def test_mutated_events_and_objects(servers: tuple[S3Server, VastServer], tmp_path: Path) -> None:
    s3, vast = servers
    hostile = Hostile(62, Folders(tmp_path), [vast.endpoint, "http://127.0.0.1:9", "http://user:pw@h", "nonsense"])
    lines = Lines()
    context = SimpleNamespace(logger=lines.logger, secrets={})
    statuses: Counter[str] = Counter()
    told: list[str] = []
    for number in range(0, EVENTS, 20):
        for key in OBJECT_KEYS[number % 40 : number % 40 + 20]:
            s3.put(BUCKET, key, hostile.object())
        events = [hostile.event() for _ in range(20)]
        results = batch_handler(context, events) if number % 3 else [handler(context, each) for each in events]
        for result in results:
            told.append(json.dumps(result, allow_nan=False))
            statuses.update(each["persistence"]["status"] for each in result.get("documents", [result]))
    check_told([*told, *lines.texts, *map(str, parts.rows(vast))], s3, vast)
    assert all(text.isascii() and text.isprintable() and len(text) < 3000 for text in lines.texts)
    assert len(lines.files) == sum(statuses.values()) >= EVENTS
    assert min(statuses["success"], statuses["error"], statuses["skipped"]) > EVENTS // 20, statuses
    parts.check_no_orphans(vast)
    s3.put(BUCKET, "good.exr", exr())  # and it goes on
    assert handler(context, event("good.exr"))["persistence"]["inserted"]


def check_told(texts: list[str], s3: S3Server, vast: VastServer) -> None:
    everything = "\n".join(texts)
    for secret in (*EVENT_KEYS, OUTSIDE, s3.secret_key, vast.secret_key, s3.endpoint, vast.endpoint, "root:x:0"):
        assert secret not in everything


def test_a_thousand_records_of_one_object(servers: tuple[S3Server, VastServer]) -> None:
    s3, vast = servers
    s3.put(BUCKET, "a.exr", exr())
    result: dict[str, Any] = handler(SimpleNamespace(), parts.records(*["a.exr"] * 1000))
    assert len(result["documents"]) == 1000
    assert parts.counts(vast) == {"a.exr": 1}
