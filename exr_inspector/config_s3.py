"""Where objects are, and who we are there: the `S3_*` variables of the environment, nothing else.

An endpoint is only used with keys from the same place, and no client looks for credentials itself: keys are explicit,
or `S3_ANONYMOUS=1` says that requests are not signed. `docs/configuration.md` shows the table below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exr_inspector.environment import variables
from exr_inspector.settings import Secret, SettingsError, endpoint_of, number_of, text_of, wrong

DEFAULT_REGION = "us-east-1"
DEFAULT_TIMEOUT_SECONDS = 60.0
MAX_TIMEOUT_SECONDS = 600.0

# What an environment variable sets, and its default.
VARIABLES: dict[str, str] = {
    "S3_ENDPOINT": "URL of the object store's endpoint",
    "S3_ACCESS_KEY": "access key",
    "S3_SECRET_KEY": "secret key",
    "S3_REGION": f"region, `{DEFAULT_REGION}` by default",
    "S3_ANONYMOUS": "`1`: requests are not signed, for public buckets; without keys only",
    "S3_TIMEOUT_SECONDS": f"how long one range may take, retries included, {DEFAULT_TIMEOUT_SECONDS:g} by default",
}

_CODE = "source_unconfigured"
_NAMES = ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY")
_BOOLEANS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("", "0", "false", "no", "off"), False)


class S3Settings(NamedTuple):
    """All that a client needs. Without keys requests are not signed: `is_anonymous` is the explicit opt-in."""

    endpoint: str
    access_key: Secret
    secret_key: Secret
    region: str = DEFAULT_REGION
    is_anonymous: bool = False
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    place: str = "the caller"

    def __repr__(self) -> str:
        return f"S3Settings(region={self.region!r}, is_anonymous={self.is_anonymous}, place={self.place!r}, keys=***)"


def s3_settings(environment: Mapping[str, str] | None = None) -> S3Settings | None:
    """The settings, or None if no endpoint, no key and no S3_ANONYMOUS is set.

    Raises SettingsError if some are set and others are missing, or one makes no sense; the message names the
    variable and never shows its value.
    """
    environment = variables() if environment is None else environment
    endpoint, access_key, secret_key = (text_of(environment, name) for name in _NAMES)
    is_anonymous = _is_anonymous(environment)
    if not (endpoint or access_key or secret_key or is_anonymous):
        return None
    if is_anonymous and (access_key or secret_key):
        raise _wrong("S3_ANONYMOUS is set together with S3_ACCESS_KEY or S3_SECRET_KEY: one or the other")
    wanted = ("S3_ENDPOINT",) if is_anonymous else _NAMES
    for name in wanted:
        if not text_of(environment, name):
            raise _wrong(
                f"{name} is missing in the environment: an endpoint is only used with keys from the same place"
            )
    for name in (*_NAMES[1:], "S3_REGION"):
        if not text_of(environment, name).isascii() or not text_of(environment, name).isprintable():
            raise _wrong(f"{name} must be printable ASCII")
    timeout = number_of(environment, "S3_TIMEOUT_SECONDS", DEFAULT_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS, code=_CODE)
    region = text_of(environment, "S3_REGION") or DEFAULT_REGION
    keys = Secret(access_key), Secret(secret_key)
    endpoint = endpoint_of(endpoint, "S3_ENDPOINT", "the environment", code=_CODE)
    return S3Settings(endpoint, *keys, region, is_anonymous, timeout, "the environment")


def _is_anonymous(environment: Mapping[str, str]) -> bool:
    text = text_of(environment, "S3_ANONYMOUS").lower()
    if text not in _BOOLEANS:
        raise _wrong("S3_ANONYMOUS must be 1 or 0")
    return _BOOLEANS[text]


def _wrong(message: str) -> SettingsError:
    return wrong(message, code=_CODE)
