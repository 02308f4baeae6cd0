"""What all settings have in common: texts, numbers and endpoints out of a mapping, and secrets that are never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

from exr_inspector.errors import ExrError, Problem

_HOST_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")
# Written as numbers: an address, and clients disagree on any that is not in its usual form.
_NUMBERS = re.compile(r"(.*\.)?(0[xX][0-9A-Fa-f]*|[0-9]+)\.?\Z")


class SettingsError(ExrError):
    """A setting is missing or makes no sense; the message names it, and never shows a key or an address."""


class Secret:
    """A text that is used, but never shown: not by str, repr, format, JSON or pickle."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


def wrong(message: str, *, code: str) -> SettingsError:
    """The error of a setting; `code` says whose it is: one of errors.CODES that ends with `_unconfigured`."""
    return SettingsError(Problem(code, message))


def text_of(values: Mapping[str, Any], name: str) -> str:
    """A setting, without the blanks around it; "" if it is not there or no text."""
    value = values.get(name)
    return value.strip() if isinstance(value, str) else ""


def endpoint_of(text: str, name: str, words: str, *, code: str) -> str:
    """A URL of scheme, host and port, without a slash at its end. `name` and `words` tell which setting, and where.

    Raises SettingsError.
    """
    try:
        url = urlsplit(text)
        is_right = url.scheme in ("http", "https") and _is_host(url.hostname or "") and url.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        raise wrong(f"{name} in {words} must be http://host[:port] or https://host[:port]", code=code)
    if url.username is not None or url.path not in ("", "/") or url.query or url.fragment:
        raise wrong(f"{name} in {words} must have nothing but scheme, host and port", code=code)
    return text.rstrip("/")


def _is_host(host: str) -> bool:
    if ":" not in host and not _NUMBERS.match(host):
        return bool(_HOST_NAME.match(host))
    from ipaddress import ip_address  # noqa: PLC0415 - most endpoints are names

    try:
        return "%" not in host and bool(ip_address(host))
    except ValueError:
        return False


def number_of(values: Mapping[str, Any], name: str, default: float, largest: float, *, code: str) -> float:
    """A number above 0; a whole one if the default is. Raises SettingsError."""
    text = text_of(values, name)
    if not text:
        return default
    try:
        number = float(text) if isinstance(default, float) else int(text)
    except ValueError:
        number = 0
    if not 0 < number <= largest:
        raise wrong(f"{name} must be a number above 0, {largest:g} at most", code=code)
    return number
