"""A studio's policy: how rules count, and what it requires beyond them. Read from a JSON file.

    {"policy_version": 1, "name": "delivery", "description": "…",
     "levels": {"N": "off"}, "rules": {"chunk.trailing": "error"},
     "requirements": [{"kind": "compression", "allowed": ["zip", "piz"]}, …]}

A policy that cannot be read or understood is an error, never half a policy. `docs/rules.md` lists the fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from exr_inspector.errors import SourceError, shown
from exr_inspector.limits import MAX_POLICY_BYTES
from exr_inspector.rules import fields
from exr_inspector.rules.fields import Field, PolicyError
from exr_inspector.rules.records import SEVERITIES, Rule
from exr_inspector.rules.requirements import Requirement, read_requirement
from exr_inspector.rules.table import FIXED_RULES, RULES
from exr_inspector.sources import LocalFile

_RULE_LEVELS = {rule.id: rule.level for rule in RULES}
_COUNTS_AS = fields.one_of((*SEVERITIES, "off"))


class Policy(NamedTuple):
    """What a policy file says. `levels` and `rules` map a level and a rule's id to error, warning or off."""

    name: str
    description: str | None
    levels: Mapping[str, str]
    rules: Mapping[str, str]
    requirements: tuple[Requirement, ...]

    def severity_of(self, rule: Rule) -> str:
        """How the rule counts: what is said of it, or else of its level, or else its own severity."""
        if rule.id in FIXED_RULES:
            return rule.severity
        return self.rules.get(rule.id) or self.levels.get(rule.level) or rule.severity


def read_policy(path: str) -> Policy:
    """The policy in a file. Raises PolicyError; its message never names the path."""
    try:
        with LocalFile(path) as file:
            data = file.read(0, MAX_POLICY_BYTES + 1)
    except SourceError as error:
        raise PolicyError(f"the policy cannot be read: {error.problem.message}") from error
    if len(data) > MAX_POLICY_BYTES:
        raise PolicyError(f"the policy is larger than {MAX_POLICY_BYTES} bytes")
    return parse_policy(data)


@lru_cache(maxsize=8)
def parse_policy(data: bytes) -> Policy:
    """The policy in JSON text. Raises PolicyError."""
    values = fields.read_fields(_json(data), "", _FIELDS)
    return Policy(values["name"], values["description"], values["levels"], values["rules"], values["requirements"])


# ---- JSON --------------------------------------------------------------------------------------------------


def _json(data: bytes) -> Any:
    try:
        return json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as error:
        raise PolicyError(f"the policy is not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        message = f"the policy is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        raise PolicyError(message) from error
    except RecursionError as error:
        raise PolicyError("the policy is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise PolicyError(f"the field {shown(name)} stands twice in one object")
        values[name] = value
    return values


_MOST_DIGITS = 20


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise PolicyError(f"a number of {len(digits)} digits")
    return int(digits)


def _constant(word: str) -> Any:
    raise PolicyError(f"{word} is not JSON")


# ---- Fields ------------------------------------------------------------------------------------------------


def _version(value: Any, place: str) -> int:
    if value != 1 or isinstance(value, bool):
        raise fields.fail(place, "1", value)
    return 1


def _levels(value: Any, place: str) -> dict[str, str]:
    return _overrides(value, place, set(_RULE_LEVELS.values()) - {"I"})


def _rules(value: Any, place: str) -> dict[str, str]:
    return _overrides(value, place, _RULE_LEVELS.keys() - FIXED_RULES)


def _overrides(value: Any, place: str, names: set[str]) -> dict[str, str]:
    if not isinstance(value, dict):
        raise fields.fail(place, "an object", value)
    for name in value:
        if name in FIXED_RULES:
            raise PolicyError(f"{place}.{name}: a file that cannot be read passes no policy")
        if name not in names:
            known = f"; there are {', '.join(sorted(names))}" if len(names) < len(RULES) // 2 else ""
            raise PolicyError(f"{place}: there is no {shown(name)}{known}")
    return {name: _COUNTS_AS(each, f"{place}.{name}") for name, each in value.items()}


_FIELDS: dict[str, Field] = {
    "policy_version": Field(_version),
    "name": Field(fields.text),
    "description": Field(fields.text, None),
    "levels": Field(_levels, {}),
    "rules": Field(_rules, {}),
    "requirements": Field(fields.list_of(read_requirement), ()),
}
