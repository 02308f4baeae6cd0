"""The function with real servers on both sides: objects in, rows out. For tests and the bench."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from exr_inspector.config_vast import VastSettings
from exr_inspector.dataengine.function import Function
from exr_inspector.settings import Secret
from tests.loopback.s3_server import S3Server
from tests.loopback.vast_errors import ApiError
from tests.loopback.vast_server import VastServer
from tests.support import exr_bytes

BUCKET, DATABASE, SCHEMA = "renders", "b", "exr_metadata"
CHILDREN = {"parts": "part_index", "channels": "channel_name", "attributes": "attribute_name"}
# What a developer's own environment may have, and a test must not see.
VARIABLES = ("VAST_DB_", "S3_", "EXR_INSPECTOR_", "PERSIST_FAILURE", "K_", "AWS_")


def exr(owner: str = "ada", others: Mapping[str, bytes] | None = None) -> bytes:
    """A small file of one part; the owner makes headers differ."""
    owned = exr_bytes.attribute("owner", "string", exr_bytes.pack_string(owner))
    part = exr_bytes.scanline_part()
    return exr_bytes.build(0, [part._replace(attributes={**part.attributes, "owner": owned, **(others or {})})]).data


def event(key: str, identity: str | None = "1", **data: Any) -> dict[str, Any]:
    """A CloudEvent of an object that was created."""
    envelope = {
        "specversion": "1.0",
        "source": "vastdata.com:bucket",
        "type": "vastdata.com:Element.ElementCreated",
        "elementpath": f"{BUCKET}/{key}",
        "data": data,
    }
    return envelope if identity is None else {**envelope, "id": identity}


def records(*keys: str, identity: str = "1") -> dict[str, Any]:
    """One S3 notification of several objects."""
    listed = [
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": BUCKET}, "object": {"key": key}}} for key in keys
    ]
    return {"specversion": "1.0", "source": "s3", "id": identity, "type": "notification", "data": {"Records": listed}}


def environment(s3: S3Server | None, vast: VastServer | None, **others: str) -> dict[str, str]:
    """The variables that configure the function for these servers; few lock shards, which are quick to make."""
    made: dict[str, str] = {}
    if s3 is not None:
        made |= {**s3.environment(), "S3_TIMEOUT_SECONDS": "5"}
    if vast is not None:
        made |= {
            "VAST_DB_ENDPOINT": vast.endpoint,
            "VAST_DB_ACCESS_KEY": vast.access_key,
            "VAST_DB_SECRET_KEY": vast.secret_key,
            "VAST_DB_BUCKET": DATABASE,
            "VAST_DB_LOCK_SHARDS": "256",
            "VAST_DB_TIMEOUT_SECONDS": "5",
        }
    return made | others


def settings_of(vast: VastServer, **changes: Any) -> VastSettings:
    keys = Secret(vast.access_key), Secret(vast.secret_key)
    return VastSettings(vast.endpoint, *keys, DATABASE, lock_shards=256, timeout_seconds=5.0)._replace(**changes)


def rows(vast: VastServer, table: str = "files", schema: str = SCHEMA) -> list[dict[str, Any]]:
    """The committed rows, read without a request; none where there are no tables yet."""
    try:
        return list(vast.table(DATABASE, schema, table).to_pylist())
    except ApiError:
        return []


def counts(vast: VastServer) -> dict[str, int]:
    """How often each object was inspected. Also checks that it has one row."""
    found = rows(vast)
    listed = Counter(row["file_path"] for row in found)
    assert set(listed.values()) <= {1}, [path for path, count in listed.items() if count > 1]
    return {row["file_path"].removeprefix(f"s3://{BUCKET}/"): row["inspection_count"] for row in found}


def check_whole(vast: VastServer) -> None:
    """Every readable file has its children once, no child is without its file, no transaction is open."""
    files = {row["file_id"] for row in rows(vast) if row["header_hash"] is not None}
    for table, name in CHILDREN.items():
        found = Counter((row["file_id"], row["part_index"], row[name]) for row in rows(vast, table))
        assert {file_id for file_id, *_ in found} == files
        assert set(found.values()) <= {1}
    assert vast.database.open_transactions() == []


def check_no_orphans(vast: VastServer) -> None:
    """For files of any kind, which may have no part, or one channel twice: no child is without its file."""
    files = [row["file_id"] for row in rows(vast)]
    assert len(set(files)) == len(files)
    for table in CHILDREN:
        assert {row["file_id"] for row in rows(vast, table)} <= set(files)
    assert vast.database.open_transactions() == []


def until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits for what happens in another thread."""
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, "it does not happen"
        time.sleep(0.005)


def ready(function: Function) -> Function:
    """Started, with its store open."""
    function.start()
    until(lambda: function.is_ready)
    return function


class Lines(logging.Handler):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.logger = logging.Logger("function")  # noqa: LOG001 - one of its own
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.levelname} {record.getMessage()}")

    @property
    def files(self) -> list[Mapping[str, Any]]:
        """The lines of files, read back."""
        read = (json.loads(text.partition(" ")[2]) for text in self.texts)
        return [line for line in read if "outcome" in line]


def put_all(s3: S3Server, keys: Iterable[str]) -> None:
    """An object for each key, each with a header of its own."""
    for key in keys:
        s3.put(BUCKET, key, exr(key))
