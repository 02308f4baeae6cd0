"""Where endpoint and keys come from, that they stay together, that nothing shows them; `persist_to_vast_database`."""

from __future__ import annotations

import io
import json
import logging
import pickle
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vastdb")

from exr_inspector.config_vast import ENVIRONMENT as ENVIRONMENT_PLACE
from exr_inspector.config_vast import EVENT as EVENT_PLACE
from exr_inspector.config_vast import S3_FALLBACK, SECRETS, VARIABLES, Secret, SettingsError, vast_settings
from exr_inspector.errors import CODES
from exr_inspector.stores import vast
from exr_inspector.stores.base import StoreError
from exr_inspector.stores.vast import VASTDatabaseError, open_vast_store, persist_to_vast_database
from exr_inspector.stores.vast_store import VastStore
from exr_inspector.tables import file_id
from tests.loopback.vast_client import connect
from tests.loopback.vast_server import VastServer
from tests.store_contract import document
from tests.test_doctor import CHECKS
from tests.test_vast_store import settings_of, stored

Strings = dict[str, str]

EVENT = {"vastdb_endpoint": "http://event", "vastdb_access_key": "event-ak", "vastdb_secret_key": "event-sk"}
MOUNTED = {"endpoint": "http://mounted", "access_key": "mounted-ak", "secret_key": "mounted-sk"}
ENVIRONMENT = {
    "VAST_DB_ENDPOINT": "http://env", "VAST_DB_ACCESS_KEY": "env-ak", "VAST_DB_SECRET_KEY": "env-sk",
    "VAST_DB_BUCKET": "bucket",
}  # fmt: skip
S3 = {"S3_ENDPOINT": "http://s3", "S3_ACCESS_KEY": "s3-ak", "S3_SECRET_KEY": "s3-sk", "VAST_DB_BUCKET": "bucket"}


def without(values: Mapping[str, str], *names: str) -> Strings:
    return {name: value for name, value in values.items() if name not in names}


# ---- Which place wins: event, mounted secret, environment → endpoint, access key, secret key ------------------

PLACES: dict[str, tuple[Strings, Strings, Strings, tuple[str, str, str] | None]] = {
    "nothing": ({}, {}, {}, None),
    "a bucket alone": ({}, {}, {"VAST_DB_BUCKET": "bucket"}, None),
    "keys for files are not for the database": ({}, {}, without(S3, "VAST_DB_BUCKET"), None),
    "a region alone": ({"vastdb_region": "x"}, {}, {}, None),
    "blank is not set": ({"vastdb_endpoint": " "}, {"endpoint": ""}, {"VAST_DB_ENDPOINT": ""}, None),
    "environment": ({}, {}, ENVIRONMENT, ("http://env", "env-ak", "env-sk")),
    "environment before S3": ({}, {}, {**S3, **ENVIRONMENT}, ("http://env", "env-ak", "env-sk")),
    "S3": ({}, {}, S3, ("http://s3", "s3-ak", "s3-sk")),
    "secret before environment": ({}, MOUNTED, ENVIRONMENT, ("http://mounted", "mounted-ak", "mounted-sk")),
    "event before all": (EVENT, MOUNTED, ENVIRONMENT, ("http://event", "event-ak", "event-sk")),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_first_place_wins(name: str) -> None:
    event, mounted, environment, wanted = PLACES[name]
    found = vast_settings(event, {"vast-db": mounted}, environment)
    if wanted is None:
        assert found is None
    else:
        assert found is not None
        assert (found.endpoint, found.access_key.reveal(), found.secret_key.reveal()) == wanted
        assert (found.bucket, found.schema, found.region) == ("bucket", "exr_metadata", "us-east-1")


# An endpoint without keys of its own place, and the variable that the message must name.
HALVES: dict[str, tuple[Strings, Strings, Strings, str]] = {
    "event's endpoint, environment's keys": ({"vastdb_endpoint": "http://evil"}, {}, ENVIRONMENT, "vastdb_access_key"),
    "event's endpoint, mounted keys": ({"vastdb_endpoint": "http://evil"}, MOUNTED, {}, "vastdb_access_key"),
    "event without secret key": (without(EVENT, "vastdb_secret_key"), {}, ENVIRONMENT, "vastdb_secret_key"),
    "event's keys, environment's endpoint": (without(EVENT, "vastdb_endpoint"), {}, ENVIRONMENT, "vastdb_endpoint"),
    "mounted endpoint, environment's keys": ({}, {"endpoint": "http://evil"}, ENVIRONMENT, "access_key"),
    "no access key": ({}, {}, without(ENVIRONMENT, "VAST_DB_ACCESS_KEY"), "VAST_DB_ACCESS_KEY"),
    "no secret key": ({}, {}, without(ENVIRONMENT, "VAST_DB_SECRET_KEY"), "VAST_DB_SECRET_KEY"),
    "VAST keys, S3 endpoint": ({}, {}, {**S3, **without(ENVIRONMENT, "VAST_DB_ENDPOINT")}, "VAST_DB_ENDPOINT"),
    "VAST endpoint, S3 keys": ({}, {}, {**S3, "VAST_DB_ENDPOINT": "http://env"}, "VAST_DB_ACCESS_KEY"),
    "S3 without secret key": ({}, {}, without(S3, "S3_SECRET_KEY"), "S3_SECRET_KEY"),
    "no bucket": ({}, {}, without(ENVIRONMENT, "VAST_DB_BUCKET"), "VAST_DB_BUCKET"),
}


@pytest.mark.parametrize("name", HALVES)
def test_half_of_the_credentials_is_an_error_that_names_the_other(name: str) -> None:
    event, mounted, environment, missing = HALVES[name]
    with pytest.raises(SettingsError, match=f"{missing} is missing") as caught:
        vast_settings(event, {"vast-db": mounted}, environment)
    assert caught.value.code == "store_unconfigured"
    for value in (*event.values(), *mounted.values(), *without(environment, "VAST_DB_BUCKET").values()):
        assert value not in str(caught.value)


WRONG = {
    "VAST_DB_ENDPOINT": ["env:443", "ftp://env", "http:///x", "http://me:pw@env", "http://env/path", "http://env?x",
                         "http://env:99999", "http://[", "file:///etc/passwd"],
    "VAST_DB_BUCKET": ["a/b", "..", "a b", "x" * 256],
    "VAST_DB_SCHEMA": ["a/b", "-", "'; DROP"],
    "VAST_DB_TIMEOUT_SECONDS": ["0", "-1", "soon", "nan", "inf", "1e9"],
    "VAST_DB_LOCK_SHARDS": ["0", "-5", "many", "1.5", "1000000"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_makes_no_sense_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        vast_settings(environment={**ENVIRONMENT, name: value})
    assert value not in str(caught.value) or len(value) < 3


def test_other_settings() -> None:
    more = {"VAST_DB_SCHEMA": "s", "VAST_DB_REGION": "r", "VAST_DB_TIMEOUT_SECONDS": "2.5", "VAST_DB_LOCK_SHARDS": "64"}
    found = vast_settings(environment={**ENVIRONMENT, **more, "VAST_DB_ENDPOINT": "https://env:8443/"})
    assert found is not None
    assert found[0] == "https://env:8443"
    assert found[3:] == ("bucket", "s", "r", 2.5, 64, "the environment")


def test_a_mounted_secret_may_be_json_and_have_another_name() -> None:
    mounted = json.dumps({**MOUNTED, "bucket": "its own", "region": "here"}).replace("its own", "own")
    found = vast_settings(None, {"mine": mounted}, {"VAST_DB_SECRET_NAME": "mine", "VAST_DB_BUCKET": "other"})
    assert found is not None
    assert (found.bucket, found.region, found.place) == ("own", "here", "the mounted secret")
    no_json = {"vast-db": "access=AKIA123"}
    with pytest.raises(SettingsError, match="is no JSON") as caught:
        vast_settings(None, no_json, {})
    assert "AKIA123" not in "".join(traceback.format_exception(caught.value))


# ---- Nothing shows a secret --------------------------------------------------------------------------------


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("hush-hush")
    settings = vast_settings(environment={**ENVIRONMENT, "VAST_DB_SECRET_KEY": "hush-hush"})
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>40}", "%s" % secret, str(settings), repr(settings)]  # noqa: UP031
    shown.append(json.dumps([secret], default=str))
    assert not [text for text in shown if "hush" in text or "env-ak" in text]
    for value in (secret, settings):
        with pytest.raises(TypeError, match="not written anywhere"):
            pickle.dumps(value)
    assert secret == Secret("hush-hush") != Secret("other")
    assert len({secret, Secret("hush-hush")}) == 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[VastServer]:
    """A server whose faults are met without patience."""
    monkeypatch.setattr("exr_inspector.stores.vast_store.SINGLE_TRIES", 2)
    monkeypatch.setattr("exr_inspector.stores.vast_store._PROVISION_TRIES", 2)
    monkeypatch.setattr("exr_inspector.stores.vast_client.Client.sleep", lambda _self, _seconds: None)
    with VastServer(buckets=["b"], access_key="AKLOOPBACK123", secret_key="SKLOOPBACK456") as running:
        yield running
        vast.close_kept_store()


@pytest.fixture
def environment(server: VastServer, monkeypatch: pytest.MonkeyPatch) -> Strings:
    made = {
        "VAST_DB_ENDPOINT": server.endpoint,
        "VAST_DB_ACCESS_KEY": server.access_key,
        "VAST_DB_SECRET_KEY": server.secret_key,
        "VAST_DB_BUCKET": "b",
        "VAST_DB_LOCK_SHARDS": "64",
        "VAST_DB_TIMEOUT_SECONDS": "5",
    }
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("kind", [None, "forbidden", "internal", "bad_gateway", "drop_before", "conflict", "cut"])
def test_no_output_has_a_secret(server: VastServer, kind: str | None, capfd: pytest.CaptureFixture[str]) -> None:
    """Logs at the finest level, results, errors, tracebacks, stdout and stderr."""
    log = io.StringIO()
    handler, root = logging.StreamHandler(log), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        if kind is not None:
            server.faults.add(op=("insert", "select"), kind=kind, times=None, after=12)
        told = [str(persist_to_vast_database(document(f"/{n}.exr"))) for n in range(2)]
        try:
            open_vast_store().write_batch([document()])
        except StoreError as error:
            told += [str(error), repr(error), "".join(traceback.format_exception(error))]
        else:
            assert kind in (None, "cut")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    output = capfd.readouterr()
    everything = "\n".join([*told, log.getvalue(), output.out, output.err])
    for secret in (server.access_key, server.secret_key, server.access_key[2:], "Authorization", "Signature="):
        assert secret not in everything
    assert server.endpoint not in everything


def test_a_server_that_echoes_the_keys(server: VastServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.loopback.vast_errors import ApiError  # noqa: PLC0415 - for this test only

    store = VastStore(settings_of(server))

    def refuse(_request: Any) -> Any:
        raise ApiError("InvalidAccessKeyId", f"no key {server.access_key}, and not {server.secret_key}")

    monkeypatch.setitem(server._api._operations, "begin", refuse)
    with pytest.raises(VASTDatabaseError, match=r"no key \*\*\*, and not \*\*\*") as caught:
        store.write_batch([document()])
    told = "".join(traceback.format_exception(caught.value))
    assert server.access_key not in told
    assert server.secret_key not in told


# ---- persist_to_vast_database ------------------------------------------------------------------------------


@pytest.mark.usefixtures("environment")
def test_persisted_then_already_persisted(server: VastServer) -> None:
    given = document()
    key = file_id(given)
    first, second = persist_to_vast_database(given), persist_to_vast_database(given)
    assert first == {
        "status": "success", "file_id": key, "inserted": True, "message": f"File persisted: {key}", "error": None,
        "retryable": False,
    }  # fmt: skip
    assert second == {**first, "inserted": False, "message": f"File already persisted: {key}"}
    json.dumps(first)
    with server.counting() as made:
        persist_to_vast_database(document("/next.exr"))
    assert made["version"] == made["head_bucket"] == made["list_columns"] == 0  # the store was kept
    assert sum(made.values()) == 10


def test_without_credentials_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ENVIRONMENT, *S3):
        monkeypatch.delenv(name, raising=False)
    assert persist_to_vast_database(document()) == {
        "status": "skipped", "file_id": None, "inserted": False, "message": "VAST DataBase not configured",
        "error": None, "retryable": False,
    }  # fmt: skip


@pytest.mark.usefixtures("environment")
def test_half_of_the_credentials(server: VastServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAST_DB_SECRET_KEY")
    result = persist_to_vast_database(document())
    assert (result["status"], result["retryable"]) == ("error", False)
    assert "VAST_DB_SECRET_KEY is missing" in result["error"]
    assert server.counts() == {}


@pytest.mark.usefixtures("environment")
def test_an_event_with_an_endpoint_of_its_own_gets_no_keys(server: VastServer) -> None:
    result = persist_to_vast_database(document(), {"vastdb_endpoint": server.endpoint})
    assert result["status"] == "error"
    assert "vastdb_access_key is missing in the event" in result["error"]
    assert server.counts() == {}


def test_keys_out_of_the_event_and_out_of_the_secret(
    server: VastServer, environment: Strings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VAST_DB_ENDPOINT", "VAST_DB_ACCESS_KEY", "VAST_DB_SECRET_KEY"):
        monkeypatch.delenv(name)
    keys = [environment[name] for name in ("VAST_DB_ENDPOINT", "VAST_DB_ACCESS_KEY", "VAST_DB_SECRET_KEY")]
    context = SimpleNamespace(secrets={"vast-db": dict(zip(MOUNTED, keys, strict=True))})
    assert persist_to_vast_database(document(), ctx=context)["inserted"]
    result = persist_to_vast_database(document(), dict(zip(EVENT, keys, strict=True)), ctx=SimpleNamespace())
    assert (result["status"], result["inserted"]) == ("success", False)
    assert len(stored(server, "files")) == 1


@pytest.mark.usefixtures("environment")
def test_a_session_or_a_store_of_the_callers(server: VastServer) -> None:
    session = connect(server)
    assert persist_to_vast_database(document(), None, session)["inserted"]
    assert not persist_to_vast_database(document(), session=session)["inserted"]
    with VastStore(settings_of(server)) as store:
        assert not persist_to_vast_database(document(), session=store)["inserted"]
    assert [row["inspection_count"] for row in stored(server, "files")] == [3]


BAD = {
    "no path": ({}, "file.path"),
    "no mapping": ([], "mapping"),
    "parts": ({"file": {"path": "/a"}, "parts": {"x": 1}}, "parts must be a list"),
    "channels": ({"file": {"path": "/a", "header_hash": "00"}, "channels": [{"name": "R"}]}, "type"),
    "attributes": ({"file": {"path": "/a"}, "attributes": {"owner": {1, 2}}}, "JSON"),
}


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_payload_is_a_value_error_that_names_the_field(server: VastServer, name: str) -> None:
    payload, field = BAD[name]
    with pytest.raises(ValueError, match=field):
        persist_to_vast_database(payload)  # type: ignore[arg-type]  # what it is about
    assert server.counts() == {}


@pytest.mark.usefixtures("environment")
def test_errors_are_in_the_result(server: VastServer) -> None:
    persist_to_vast_database(document())
    server.faults.add(op="*", kind="forbidden", times=None)
    result = persist_to_vast_database(document())
    assert (result["status"], result["retryable"], result["inserted"]) == ("error", False, False)
    assert "access is denied" in result["error"]
    server.faults.clear()
    assert persist_to_vast_database(document())["status"] == "success"
    server.stop()
    result = persist_to_vast_database(document())
    assert (result["status"], result["retryable"]) == ("error", True)
    server.start()
    assert persist_to_vast_database(document())["status"] == "success"


def test_minimal_payloads(server: VastServer) -> None:
    with VastStore(settings_of(server)) as store:
        payload = {"file": {"path": "/bare.exr"}, "channels": [], "parts": [], "attributes": {"owner": "x"}}
        assert persist_to_vast_database(payload, session=store)["inserted"]
        assert [row["value_text"] for row in stored(server, "attributes")] == ["x"]


def test_the_client_is_loaded_when_a_store_is_opened_only() -> None:
    script = (
        "import sys, exr_inspector.stores.vast as v; "
        "r = v.persist_to_vast_database({'file': {'path': '/a'}, 'channels': [], 'parts': []}); "
        "print(r['status'], 'vastdb' in sys.modules)"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], env={}, cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["skipped", "False"]


def test_codes_are_known() -> None:
    from exr_inspector.stores.vast_errors import CODES as ours  # noqa: N811, PLC0415 - for this test only

    assert {code for _, code, _ in ours} <= set(CODES)


# ---- The page says so too ----------------------------------------------------------------------------------

PAGE = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_the_page_lists_every_variable() -> None:
    listed = "".join(f"| `{name}` | {words} |\n" for name, words in VARIABLES.items())
    assert listed in PAGE


def test_the_page_lists_every_place() -> None:
    listed = "".join(
        f"| {place.words} | `{place.endpoint}` | `{place.access_key}`, `{place.secret_key}` | `{place.region}` |\n"
        for place in (EVENT_PLACE, SECRETS, ENVIRONMENT_PLACE, S3_FALLBACK)
    )
    assert listed in PAGE


def test_the_page_lists_every_check() -> None:
    listed = re.findall(r"^\| ([a-z ]+) \| .*\|$", PAGE.partition("## Is it right?")[2], re.MULTILINE)
    assert listed[1:] == CHECKS
