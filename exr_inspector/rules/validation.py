"""Runs the table and a policy over one file: the document's `validation`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from exr_inspector.errors import Problem
from exr_inspector.rules.fields import PolicyError
from exr_inspector.rules.policy import Policy, read_policy
from exr_inspector.rules.records import Facts, Finding
from exr_inspector.rules.table import RULES


class Verdict(NamedTuple):
    """A finding, and how it counts. `rule` is a rule's id, or that of a policy's requirement (level P)."""

    rule: str
    severity: str
    level: str
    finding: Finding

    def as_entry(self) -> dict[str, Any]:
        """The entry of `validation.findings`."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "level": self.level,
            "message": self.finding.full_message,
            "part_index": self.finding.part_index,
            "attribute": self.finding.attribute,
            "offset": self.finding.offset,
        }


class Validation:
    """What `enable_validate` asks for. `problem` is set if the policy cannot be read: then no file passes."""

    def __init__(self, policy_path: str | None = None) -> None:
        self.policy: Policy | None = None
        self.problem: Problem | None = None
        if policy_path is not None:
            try:
                self.policy = read_policy(policy_path)
            except PolicyError as error:
                self.problem = Problem("policy_unreadable", str(error))

    def entry(self, facts: Facts) -> dict[str, Any]:
        """The document's `validation`."""
        unreadable = []
        if self.problem is not None:
            unreadable.append(Verdict("policy.readable", "error", "P", Finding(self.problem.message)))
        return _entry(self.policy, unreadable, validate(facts, self.policy), facts.limits.max_problems)


def validate(facts: Facts, policy: Policy | None = None) -> Iterator[Verdict]:
    """Every finding that counts: by the rules in the table's order, then by the policy's requirements in its order."""
    for rule in RULES:
        severity = rule.severity if policy is None else policy.severity_of(rule)
        if severity != "off":
            for finding in rule.check(facts):
                yield Verdict(rule.id, severity, rule.level, finding)
    # Of a header that was not read to its end nothing can be required: one of the rules above says so already.
    if policy is not None and facts.header is not None and facts.is_whole:
        for requirement in policy.requirements:
            for finding in requirement.check(facts):
                yield Verdict(requirement.id, requirement.severity, "P", finding)


def _entry(policy: Policy | None, first: list[Verdict], rest: Iterator[Verdict], limit: int) -> dict[str, Any]:
    """Errors before warnings, so that the limit never leaves out an error for a warning."""
    listed: dict[str, list[Verdict]] = {"error": first, "warning": []}
    counts = {"error": len(first), "warning": 0}
    for verdict in rest:
        counts[verdict.severity] += 1
        if len(listed[verdict.severity]) < limit:
            listed[verdict.severity].append(verdict)
    findings = [*listed["error"], *listed["warning"]][:limit]
    return {
        "status": "failed" if counts["error"] else "passed",
        "policy": None if policy is None else {"name": policy.name, "description": policy.description},
        "error_count": counts["error"],
        "warning_count": counts["warning"],
        "findings": [verdict.as_entry() for verdict in findings],
    }
