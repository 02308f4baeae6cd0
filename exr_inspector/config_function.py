"""Settings of the function and of `serve`: what events may ask for, how much at once, where results go.

They come from the environment alone: nothing in an event changes them. `docs/configuration.md` shows the table below.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from exr_inspector.environment import variables
from exr_inspector.limits import GIB, KIB, MAX_EVENT_BYTES, MIB
from exr_inspector.settings import SettingsError, endpoint_of, number_of, text_of, wrong

# What is done about a file that could not be stored though it may be later: raise, so that it is delivered again,
# or say it in the result.
PERSIST_FAILURES = ("report", "retry")

DEFAULT_FUNCTION_NAME = "exr-inspector"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080


class FunctionSettings(NamedTuple):
    """All that the function and `serve` need beside the S3 and VAST settings."""

    # Folders that events may name files of, real paths or links to them; () is none.
    roots: tuple[str, ...] = ()
    # Buckets that events may name objects of; None is any.
    buckets: frozenset[str] | None = None
    # Endpoints of databases that events may bring along over HTTP, as `comparable_endpoint` gives them.
    event_endpoints: frozenset[str] = frozenset()
    persist_failure: str = "report"
    max_header_bytes: int = 128 * MIB
    in_flight_bytes: int = 256 * MIB
    # Headers read at once.
    concurrency: int = 16
    # Files in one transaction, at most.
    batch_files: int = 50
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    # From SIGTERM to the end; an engine sends SIGKILL after 10 s by default.
    grace_seconds: float = 8.0
    max_body_bytes: int = 4 * MIB
    # HTTP requests answered at once.
    max_requests: int = 256
    # Where results are sent to; None is nowhere.
    sink: str | None = None
    # Attributes of the events that are sent there.
    ce_overrides: Mapping[str, str] = MappingProxyType({})
    function_name: str = DEFAULT_FUNCTION_NAME

    def __repr__(self) -> str:
        hidden = {"event_endpoints", "sink", "ce_overrides"}
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if name not in hidden)
        return f"FunctionSettings({', '.join(shown)}, …)"


_DEFAULTS = FunctionSettings()


class Number(NamedTuple):
    """A variable that is a number above 0: the field it sets, and the largest it may be."""

    field: str
    largest: float


NUMBERS: dict[str, Number] = {
    "EXR_INSPECTOR_MAX_HEADER_BYTES": Number("max_header_bytes", GIB),
    "EXR_INSPECTOR_IN_FLIGHT_BYTES": Number("in_flight_bytes", 64 * GIB),
    "EXR_INSPECTOR_CONCURRENCY": Number("concurrency", 256),
    "EXR_INSPECTOR_BATCH_FILES": Number("batch_files", 1000),
    "EXR_INSPECTOR_GRACE_SECONDS": Number("grace_seconds", 3600.0),
    "EXR_INSPECTOR_MAX_BODY_BYTES": Number("max_body_bytes", MAX_EVENT_BYTES),
    "EXR_INSPECTOR_MAX_REQUESTS": Number("max_requests", 10_000),
}

# What an environment variable sets, and its default.
VARIABLES: dict[str, str] = {
    "EXR_INSPECTOR_ROOTS": "folders that events may name files of, separated by `:` (Windows: `;`); none by default",
    "EXR_INSPECTOR_BUCKETS": "buckets that events may name objects of, separated by commas; any by default",
    "EXR_INSPECTOR_EVENT_ENDPOINTS": "endpoints of databases that events may bring to `serve`, separated by commas; "
    "none by default",
    "PERSIST_FAILURE": "`retry`: a file that may be stored later makes the call fail, so that it is delivered again; "
    f"`report`: the result says it; `{_DEFAULTS.persist_failure}` by default, `retry` in the container",
    "EXR_INSPECTOR_MAX_HEADER_BYTES": f"the largest header that is read, {_DEFAULTS.max_header_bytes:,} by default",
    "EXR_INSPECTOR_IN_FLIGHT_BYTES": "bytes of all headers that are being read, "
    f"{_DEFAULTS.in_flight_bytes:,} by default",
    "EXR_INSPECTOR_CONCURRENCY": f"headers read at once, {_DEFAULTS.concurrency} by default",
    "EXR_INSPECTOR_BATCH_FILES": f"files in one transaction, {_DEFAULTS.batch_files} at most by default",
    "EXR_INSPECTOR_HOST": f"address that `serve` listens on, `{_DEFAULTS.host}` by default",
    "EXR_INSPECTOR_PORT": f"its port, {_DEFAULTS.port} by default; 0 is any that is free",
    "PORT": "takes EXR_INSPECTOR_PORT's place; Knative sets it",
    "EXR_INSPECTOR_GRACE_SECONDS": "from SIGTERM to the end, for what is in flight, "
    f"{_DEFAULTS.grace_seconds:g} by default",
    "EXR_INSPECTOR_MAX_BODY_BYTES": f"the largest request, {_DEFAULTS.max_body_bytes:,} by default",
    "EXR_INSPECTOR_MAX_REQUESTS": f"requests answered at once, {_DEFAULTS.max_requests} by default",
    "K_SINK": "URL that results are posted to; none by default; Knative sets it",
    "K_CE_OVERRIDES": 'attributes of the events posted there: `{"extensions": {"name": "value"}}`; Knative sets it',
    "EXR_INSPECTOR_FUNCTION_NAME": "the function's name in those events, before `K_NAME`, `K_SERVICE` and "
    f"`{_DEFAULTS.function_name}`",
}

_CODE = "setting_invalid"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}\Z")
_FUNCTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,252}\Z")
# CloudEvents 1.0.2, "Naming Conventions"; 20 characters are only recommended.
_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]{1,64}\Z")
# The function's own: what it sends is of this version, JSON, and tells which event it answers.
_FIXED_ATTRIBUTES = frozenset({"data", "datacontenttype", "id", "specversion"})
_MAX_OVERRIDES_CHARACTERS = 16 * KIB
_DEFAULT_PORTS = {"http": 80, "https": 443}


def function_settings(environment: Mapping[str, str] | None = None) -> FunctionSettings:
    """The settings. Raises SettingsError (`setting_invalid`), which names the variable and shows no address."""
    environment = variables() if environment is None else environment
    settings = FunctionSettings(
        roots=_roots(environment),
        buckets=_buckets(environment),
        event_endpoints=_event_endpoints(environment),
        persist_failure=_persist_failure(environment),
        host=_host(environment),
        port=_port(environment),
        sink=_sink(environment),
        ce_overrides=_ce_overrides(environment),
        function_name=_function_name(environment),
    )
    settings = settings._replace(**_numbers(environment))
    if settings.in_flight_bytes < settings.max_header_bytes:
        raise _wrong("EXR_INSPECTOR_IN_FLIGHT_BYTES must not be below EXR_INSPECTOR_MAX_HEADER_BYTES")
    return settings


def comparable_endpoint(text: str) -> str:
    """An endpoint as it is compared: scheme and host in lower case, the port always told.

    Raises SettingsError if it is not `http[s]://host[:port]`.
    """
    if not text.strip().isprintable():  # urlsplit would leave out line breaks, and others may not
        raise _wrong("an endpoint in an event must be printable")
    url = urlsplit(endpoint_of(text.strip(), "an endpoint", "an event", code=_CODE))
    return f"{url.scheme}://{(url.hostname or '').rstrip('.')}:{url.port or _DEFAULT_PORTS[url.scheme]}"


def _roots(environment: Mapping[str, str]) -> tuple[str, ...]:
    roots = _items(environment, "EXR_INSPECTOR_ROOTS", os.pathsep)
    if not all(os.path.isabs(root) and "\0" not in root for root in roots):
        raise _wrong("EXR_INSPECTOR_ROOTS must be absolute paths")
    return tuple(dict.fromkeys(roots))


def _buckets(environment: Mapping[str, str]) -> frozenset[str] | None:
    name = "EXR_INSPECTOR_BUCKETS"
    if not text_of(environment, name):
        return None
    buckets = frozenset(_items(environment, name, ","))
    if not buckets or not all(_BUCKET.match(bucket) for bucket in buckets):
        raise _wrong(f"{name} must be names of buckets, separated by commas")
    return buckets


def _event_endpoints(environment: Mapping[str, str]) -> frozenset[str]:
    name = "EXR_INSPECTOR_EVENT_ENDPOINTS"
    texts = (endpoint_of(text, name, "the environment", code=_CODE) for text in _items(environment, name, ","))
    return frozenset(map(comparable_endpoint, texts))


def _persist_failure(environment: Mapping[str, str]) -> str:
    chosen = text_of(environment, "PERSIST_FAILURE") or _DEFAULTS.persist_failure
    if chosen not in PERSIST_FAILURES:
        raise _wrong(f"PERSIST_FAILURE must be one of {', '.join(PERSIST_FAILURES)}")
    return chosen


def _host(environment: Mapping[str, str]) -> str:
    host = text_of(environment, "EXR_INSPECTOR_HOST") or _DEFAULTS.host
    if not _HOST.match(host):
        raise _wrong("EXR_INSPECTOR_HOST must be an address or the name of a host")
    return host


def _port(environment: Mapping[str, str]) -> int:
    name = "EXR_INSPECTOR_PORT" if text_of(environment, "EXR_INSPECTOR_PORT") else "PORT"
    text = text_of(environment, name) or str(_DEFAULTS.port)
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
        raise _wrong(f"{name} must be a whole number from 0 to 65535")
    return int(text)


def _numbers(environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        number.field: number_of(environment, name, getattr(_DEFAULTS, number.field), number.largest, code=_CODE)
        for name, number in NUMBERS.items()
    }


def _sink(environment: Mapping[str, str]) -> str | None:
    text = text_of(environment, "K_SINK")
    if not text:
        return None
    try:
        url = urlsplit(text)
        is_right = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_right = False
    if not is_right or not text.isprintable() or " " in text:
        raise _wrong("K_SINK must be a URL, http://… or https://…")
    if url.username is not None or url.fragment:
        raise _wrong("K_SINK must have no user name, password or fragment")
    return text


def _ce_overrides(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Knative's CloudEventOverrides: a map of extensions."""
    text = text_of(environment, "K_CE_OVERRIDES") or "{}"
    try:
        overrides = json.loads(text) if len(text) <= _MAX_OVERRIDES_CHARACTERS else None
    except (ValueError, RecursionError):
        overrides = None
    extensions = overrides.get("extensions", {}) if isinstance(overrides, dict) else None
    if not isinstance(extensions, dict) or not all(map(_is_attribute, extensions, extensions.values())):
        raise _wrong('K_CE_OVERRIDES must be {"extensions": {"name": "value"}}, names in lower-case letters and digits')
    return MappingProxyType(extensions)


def _is_attribute(name: str, value: Any) -> bool:
    is_free = bool(_ATTRIBUTE_NAME.match(name)) and name not in _FIXED_ATTRIBUTES
    return is_free and isinstance(value, str) and value.isprintable()


def _function_name(environment: Mapping[str, str]) -> str:
    names = ("EXR_INSPECTOR_FUNCTION_NAME", "K_NAME", "K_SERVICE")
    name = next((name for name in names if text_of(environment, name)), names[0])
    text = text_of(environment, name) or _DEFAULTS.function_name
    if not _FUNCTION_NAME.match(text):
        raise _wrong(f"{name} must be letters, digits, dots, dashes, underscores and slashes")
    return text


def _items(environment: Mapping[str, str], name: str, separator: str) -> list[str]:
    return [text.strip() for text in text_of(environment, name).split(separator) if text.strip()]


def _wrong(message: str) -> SettingsError:
    return wrong(message, code=_CODE)
