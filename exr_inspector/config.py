"""Settings of a call: from an event, a mapping or the command line, to one record. `config_vast` has the databases'.

A value that cannot be understood is a problem in the document, never a crash; the default takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from exr_inspector.errors import Problem, shown

INTEGRITY_MODES = ("none", "table", "chunks")


class InspectConfig(NamedTuple):
    """What `inspect` does beside reading the header."""

    enable_meta: bool = True
    enable_stats: bool = False
    enable_deep_stats: bool = False
    enable_validate: bool = False
    policy_path: str | None = None
    schema_version: int = 1
    integrity: str = "table"
    remote_chunks: bool = False  # whether `integrity="chunks"` may ask an object store for every chunk's leader


DEFAULT_CONFIG = InspectConfig()

# Events may use these instead.
SHORT_KEYS = {
    "meta": "enable_meta",
    "stats": "enable_stats",
    "deep_stats": "enable_deep_stats",
    "validate": "enable_validate",
    "policy": "policy_path",
}

_BOOLEANS = {
    "true": True, "1": True, "yes": True, "on": True,
    "false": False, "0": False, "no": False, "off": False,
}  # fmt: skip


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        return _BOOLEANS[value.strip().lower()]
    if value in (0, 1):
        return bool(value)
    raise ValueError


def _path(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise ValueError


def _schema_version(value: Any) -> int:
    if value not in (1, "1") or isinstance(value, bool):
        raise ValueError
    return 1


def _integrity(value: Any) -> str:
    if value not in INTEGRITY_MODES:
        raise ValueError
    return str(value)


def _words(value: Any) -> str:
    """A setting in a message; its type only, where it is no word: a mapping may hold keys of a database."""
    try:
        return shown(str(value)) if isinstance(value, (str, int, float)) else f"a value of type {type(value).__name__}"
    except ValueError:  # a number of thousands of digits
        return f"a value of type {type(value).__name__}"


_COERCE = {
    "enable_meta": (_boolean, "true or false"),
    "enable_stats": (_boolean, "true or false"),
    "enable_deep_stats": (_boolean, "true or false"),
    "enable_validate": (_boolean, "true or false"),
    "policy_path": (_path, "a path"),
    "schema_version": (_schema_version, "1"),
    "integrity": (_integrity, "one of none, table, chunks"),
    "remote_chunks": (_boolean, "true or false"),
}

_UNAVAILABLE = {
    "enable_stats": "pixel statistics need pixels; this program reads headers only",
    "enable_deep_stats": "deep sample statistics need pixels; this program reads headers only",
}


def inspect_config(settings: Mapping[str, Any] | InspectConfig | None) -> tuple[InspectConfig, list[Problem]]:
    """The settings of a call, and what is wrong with them. Unknown keys are left alone: events carry others.

    Raises TypeError if `settings` is neither a mapping, an InspectConfig nor None.
    """
    if settings is None:
        return DEFAULT_CONFIG, []
    if isinstance(settings, InspectConfig):
        settings = settings._asdict()
    if not isinstance(settings, Mapping):
        raise TypeError(f"config must be a mapping, not {type(settings).__name__}")
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in settings.items():
        name = SHORT_KEYS.get(key, key)
        # A long key wins over its short form, whatever their order.
        if name not in _COERCE or (name != key and name in settings):
            continue
        coerce, wanted = _COERCE[name]
        try:
            values[name] = coerce(value)
        except (ValueError, KeyError, TypeError):
            message = f"{key} is {_words(value)}, wanted {wanted}"
            problems.append(Problem("config_invalid", message))
    config = DEFAULT_CONFIG._replace(**values)
    problems += [Problem("feature_unavailable", text) for name, text in _UNAVAILABLE.items() if getattr(config, name)]
    return config, problems
