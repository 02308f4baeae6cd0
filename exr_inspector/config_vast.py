"""Where the VAST DataBase is, and who we are there: from the event, the mounted secrets, or the environment.

The first of these places that names an endpoint or a key is the one, and it must name all three: an endpoint is only
ever used with keys from the same place. So an event cannot send the environment's keys to an address of its own.
`docs/configuration.md` shows the tables below.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from exr_inspector.environment import variables
from exr_inspector.settings import Secret, SettingsError, endpoint_of, number_of, wrong
from exr_inspector.settings import text_of as _text

DEFAULT_SCHEMA = "exr_metadata"
DEFAULT_REGION = "us-east-1"
DEFAULT_SECRET_NAME = "vast-db"  # noqa: S105 - the name of a secret, not one
DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_LOCK_SHARDS = 65_536
# Beyond this, filling the lock table takes more than one insert of 4 MiB.
MAX_LOCK_SHARDS = 131_072
MAX_TIMEOUT_SECONDS = 600.0


class VastSettings(NamedTuple):
    """All that a VAST store needs. `place` is where endpoint and keys come from, in words."""

    endpoint: str
    access_key: Secret
    secret_key: Secret
    bucket: str
    schema: str = DEFAULT_SCHEMA
    region: str = DEFAULT_REGION
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    lock_shards: int = DEFAULT_LOCK_SHARDS
    place: str = "the caller"

    def __repr__(self) -> str:
        return f"VastSettings(bucket={self.bucket!r}, schema={self.schema!r}, place={self.place!r}, keys=***)"


class Place(NamedTuple):
    """Where an endpoint and its keys may stand together, and under which names."""

    words: str
    endpoint: str
    access_key: str
    secret_key: str
    region: str


EVENT = Place("the event", "vastdb_endpoint", "vastdb_access_key", "vastdb_secret_key", "vastdb_region")
SECRETS = Place("the mounted secret", "endpoint", "access_key", "secret_key", "region")
ENVIRONMENT = Place("the environment", "VAST_DB_ENDPOINT", "VAST_DB_ACCESS_KEY", "VAST_DB_SECRET_KEY", "VAST_DB_REGION")
# Only where VAST_DB_BUCKET says that a database is wanted: S3_* alone is for reading files.
S3_FALLBACK = Place("the environment (S3)", "S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_REGION")

# What an environment variable sets, and its default.
VARIABLES: dict[str, str] = {
    "VAST_DB_ENDPOINT": "URL of the database's endpoint, with its own keys",
    "VAST_DB_ACCESS_KEY": "access key",
    "VAST_DB_SECRET_KEY": "secret key",
    "VAST_DB_BUCKET": "bucket of the database; it must exist",
    "VAST_DB_SCHEMA": f"schema that holds the tables, `{DEFAULT_SCHEMA}` by default; made if it is missing",
    "VAST_DB_REGION": f"region, `{DEFAULT_REGION}` by default",
    "VAST_DB_SECRET_NAME": f"name of the mounted secret, `{DEFAULT_SECRET_NAME}` by default",
    "VAST_DB_TIMEOUT_SECONDS": f"how long a request may take, {DEFAULT_TIMEOUT_SECONDS:g} by default",
    "VAST_DB_LOCK_SHARDS": f"rows of the lock table when it is made, {DEFAULT_LOCK_SHARDS:,} by default",
    "S3_ENDPOINT": "takes VAST_DB_ENDPOINT's place, with the keys S3_ACCESS_KEY and S3_SECRET_KEY only",
}

_CODE = "store_unconfigured"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")


def vast_settings(
    event: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> VastSettings | None:
    """The settings, or None if no place names an endpoint or a key. `secrets` is the platform's `ctx.secrets`.

    Raises SettingsError if the place is incomplete, or a setting makes no sense.
    """
    environment = variables() if environment is None else environment
    mounted = _mounted(secrets, _text(environment, "VAST_DB_SECRET_NAME") or DEFAULT_SECRET_NAME)
    found = _found(event or {}, mounted, environment)
    if found is None:
        return None
    place, values = found
    own = mounted if place is SECRETS else {}
    region = _text(values, place.region) or _text(environment, "VAST_DB_REGION") or DEFAULT_REGION
    return VastSettings(
        endpoint=_endpoint(_required(values, place, place.endpoint), place),
        access_key=Secret(_required(values, place, place.access_key)),
        secret_key=Secret(_required(values, place, place.secret_key)),
        bucket=_name("VAST_DB_BUCKET", _text(own, "bucket") or _text(environment, "VAST_DB_BUCKET")),
        schema=_name("VAST_DB_SCHEMA", _text(own, "schema") or _text(environment, "VAST_DB_SCHEMA") or DEFAULT_SCHEMA),
        region=region,
        timeout_seconds=_number(environment, "VAST_DB_TIMEOUT_SECONDS", DEFAULT_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS),
        lock_shards=int(_number(environment, "VAST_DB_LOCK_SHARDS", DEFAULT_LOCK_SHARDS, MAX_LOCK_SHARDS)),
        place=place.words,
    )


def _found(
    event: Mapping[str, Any], mounted: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Place, Mapping[str, Any]] | None:
    """The first place that names an endpoint or a key."""
    for place, values in ((EVENT, event), (SECRETS, mounted), (ENVIRONMENT, environment)):
        if any(_text(values, name) for name in place[1:4]):
            return place, values
    if _text(environment, "VAST_DB_BUCKET") and any(_text(environment, name) for name in S3_FALLBACK[1:4]):
        return S3_FALLBACK, environment
    return None


def _mounted(secrets: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    """The mounted secret of that name: a mapping, or JSON of one."""
    found = secrets.get(name) if isinstance(secrets, Mapping) else None
    if isinstance(found, (str, bytes)):
        try:
            found = json.loads(found)
        except ValueError:
            raise _wrong(f"the mounted secret {name!r} is no JSON") from None  # its text must not be shown
    return found if isinstance(found, Mapping) else {}


def _required(values: Mapping[str, Any], place: Place, name: str) -> str:
    text = _text(values, name)
    if not text:
        others = "an endpoint is only used with keys from the same place"
        raise _wrong(f"{name} is missing in {place.words}: {others}")
    return text


def _endpoint(text: str, place: Place) -> str:
    return endpoint_of(text, place.endpoint, place.words, code=_CODE)


def _name(variable: str, text: str) -> str:
    if not text:
        raise _wrong(f"{variable} is missing")
    if not _NAME.match(text):
        raise _wrong(f"{variable} must be letters, digits, dots, dashes and underscores")
    return text


def _number(environment: Mapping[str, str], variable: str, default: float, largest: float) -> float:
    return number_of(environment, variable, default, largest, code=_CODE)


def _wrong(message: str) -> SettingsError:
    return wrong(message, code=_CODE)
