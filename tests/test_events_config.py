"""The function's settings: each variable, its bounds, its place in the docs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from exr_inspector.config_function import NUMBERS, VARIABLES, FunctionSettings, comparable_endpoint, function_settings
from exr_inspector.limits import GIB, MIB
from exr_inspector.settings import SettingsError

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"


def problem_of(**environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        function_settings(environment)
    assert caught.value.code == "setting_invalid"
    assert not caught.value.retryable
    return str(caught.value)


def test_nothing_set() -> None:
    settings = function_settings({})
    assert settings == FunctionSettings()
    assert (settings.roots, settings.buckets, settings.event_endpoints) == ((), None, frozenset())
    assert settings.persist_failure == "report"
    assert (settings.max_header_bytes, settings.in_flight_bytes) == (128 * MIB, 256 * MIB)
    assert (settings.concurrency, settings.batch_files) == (16, 50)
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.sink, settings.ce_overrides, settings.function_name) == (None, {}, "exr-inspector")


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_an_empty_variable_is_not_set(name: str) -> None:
    for empty in ("", "  "):
        assert function_settings({name: empty}) == FunctionSettings()


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXR_INSPECTOR_BUCKETS", "renders")
    assert function_settings().buckets == {"renders"}


def test_roots() -> None:
    text = os.pathsep.join(["/shows", " /mnt/my shows ", "", "/shows"])
    assert function_settings({"EXR_INSPECTOR_ROOTS": text}).roots == ("/shows", "/mnt/my shows")
    for wrong in ("shows", f"/shows{os.pathsep}.", "~/shows"):
        assert problem_of(EXR_INSPECTOR_ROOTS=wrong) == "EXR_INSPECTOR_ROOTS must be absolute paths"


def test_buckets() -> None:
    assert function_settings({"EXR_INSPECTOR_BUCKETS": "a-b, c.d,,e_f "}).buckets == {"a-b", "c.d", "e_f"}
    for wrong in (",", "a/b", "a b", "*", "s3://a", "-a"):
        assert "must be names of buckets" in problem_of(EXR_INSPECTOR_BUCKETS=wrong)


def test_endpoints_of_events() -> None:
    settings = function_settings({"EXR_INSPECTOR_EVENT_ENDPOINTS": "http://A.example, https://b.example:9090/"})
    assert settings.event_endpoints == {"http://a.example:80", "https://b.example:9090"}
    message = problem_of(EXR_INSPECTOR_EVENT_ENDPOINTS="http://user:EXAMPLESECRET@a.example")
    assert "EXR_INSPECTOR_EVENT_ENDPOINTS in the environment must have nothing but scheme" in message
    assert "EXAMPLESECRET" not in message
    assert "a.example" not in repr(settings)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("http://a", "HTTP://A:80/", True),
        ("https://a.", "https://a:443", True),
        ("http://a:8080", "http://a", False),
        ("http://a", "https://a", False),
        ("http://[::1]:80", "http://[::1]", True),
        ("http://a.b", "http://ab", False),
    ],
)
def test_endpoints_are_compared(one: str, other: str, is_same: bool) -> None:
    assert (comparable_endpoint(one) == comparable_endpoint(other)) is is_same


def test_persist_failure() -> None:
    assert function_settings({"PERSIST_FAILURE": "retry"}).persist_failure == "retry"
    assert problem_of(PERSIST_FAILURE="RETRY") == "PERSIST_FAILURE must be one of report, retry"


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    field, largest = NUMBERS[name]
    in_flight = {"EXR_INSPECTOR_IN_FLIGHT_BYTES": str(2 * GIB)} if field == "max_header_bytes" else {}
    in_flight |= {"EXR_INSPECTOR_MAX_HEADER_BYTES": "1"} if field == "in_flight_bytes" else {}
    for good in (1, int(largest)):
        settings = function_settings({**in_flight, name: str(good)})
        assert getattr(settings, field) == good
        assert isinstance(getattr(settings, field), type(getattr(FunctionSettings(), field)))
    for wrong in ("0", "-1", str(int(largest) + 1), "many", "nan", "inf", "1e400", "1" * 5000):
        assert problem_of(**{name: wrong}).startswith(f"{name} must be a number above 0")


def test_the_bytes_in_flight_have_room_for_one_header() -> None:
    message = problem_of(EXR_INSPECTOR_IN_FLIGHT_BYTES=str(MIB))
    assert message == "EXR_INSPECTOR_IN_FLIGHT_BYTES must not be below EXR_INSPECTOR_MAX_HEADER_BYTES"


def test_host_and_port() -> None:
    assert function_settings({"EXR_INSPECTOR_HOST": "::"}).host == "::"
    for wrong in ("a b", "http://a", "a/b", "x" * 300):
        assert "EXR_INSPECTOR_HOST must be" in problem_of(EXR_INSPECTOR_HOST=wrong)
    assert function_settings({"PORT": "9000"}).port == 9000
    assert function_settings({"PORT": "9000", "EXR_INSPECTOR_PORT": "0"}).port == 0
    for wrong in ("-1", "65536", "8080.0", "x", "٣"):
        assert problem_of(PORT=wrong) == "PORT must be a whole number from 0 to 65535"
        assert problem_of(EXR_INSPECTOR_PORT=wrong).startswith("EXR_INSPECTOR_PORT must be")


def test_the_sink() -> None:
    url = "http://sink.example/a?b=EXAMPLESECRET"
    settings = function_settings({"K_SINK": url})
    assert settings.sink == url
    assert "sink.example" not in repr(settings)
    for wrong in (
        "sink.example",
        "ftp://a",
        "http://",
        "http://a:0",
        "http://a b",
        "http://a\nb",
        "http://[",
        "http://a:x",
    ):
        assert problem_of(K_SINK=wrong) == "K_SINK must be a URL, http://… or https://…"
    for wrong in ("http://user:EXAMPLESECRET@a", "http://a/#b"):
        assert problem_of(K_SINK=wrong) == "K_SINK must have no user name, password or fragment"


def test_overrides() -> None:
    """Knative's CloudEventOverrides."""
    settings = function_settings({"K_CE_OVERRIDES": '{"extensions": {"team": "lighting", "type": "com.example.exr"}}'})
    assert settings.ce_overrides == {"team": "lighting", "type": "com.example.exr"}
    assert function_settings({"K_CE_OVERRIDES": "{}"}).ce_overrides == {}
    for wrong in (
        "x", "[]", "null", '"a"', '{"extensions": []}', '{"extensions": {"Team": "x"}}', '{"extensions": {"a-b": "x"}}',
        '{"extensions": {"a": 1}}', '{"extensions": {"a": null}}', '{"extensions": {"data": "x"}}',
        '{"extensions": {"id": "x"}}', '{"extensions": {"specversion": "2"}}', '{"extensions": {"": "x"}}',
        '{"extensions": {"a": "x\\r\\ny"}}', '{"extensions":' * 20_000, json.dumps({"extensions": {"a": "x" * 20_000}}),
    ):  # fmt: skip
        assert problem_of(K_CE_OVERRIDES=wrong).startswith('K_CE_OVERRIDES must be {"extensions"')


def test_the_functions_name() -> None:
    names = {"EXR_INSPECTOR_FUNCTION_NAME": "a", "K_NAME": "b", "K_SERVICE": "c"}
    for name in ("a", "b", "c", "exr-inspector"):
        assert function_settings(names).function_name == name
        names = dict(list(names.items())[1:])
    assert problem_of(K_NAME="a b").startswith("K_NAME must be letters")
    assert problem_of(EXR_INSPECTOR_FUNCTION_NAME="\u202e").startswith("EXR_INSPECTOR_FUNCTION_NAME must be")


def test_the_page_has_every_variable() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, meaning in VARIABLES.items():
        assert f"| `{name}` | {meaning} |" in page
