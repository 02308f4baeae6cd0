"""Writes the tables of rules and requirements into docs/rules.md; with --check says whether they are up to date."""

from __future__ import annotations

from pathlib import Path

from sections import run

from exr_inspector.rules.fields import Globs
from exr_inspector.rules.requirements import KINDS
from exr_inspector.rules.table import RULES

POLICY = Path(__file__).parent.parent / "fixtures" / "policies" / "delivery.json"


def rules() -> str:
    """The rules as a Markdown table."""
    rows = [
        f"| `{rule.id}` | {rule.severity} | {rule.level} | {f'`{rule.code}`' if rule.code else ''} | {rule.meaning} "
        f"| {rule.citation} |"
        for rule in RULES
    ]
    return "\n".join(
        ["| rule | severity | level | error code | asks | source |", "|---|---|---|---|---|---|", *rows, ""]
    )


def _default(value: object) -> str:
    if value is ...:
        return ""
    if value is None:
        return " (optional)"
    words = ", ".join(value.patterns) if isinstance(value, Globs) else value
    return f" (`{words}`)"


def kinds() -> str:
    """The kinds of requirements as a Markdown table."""
    rows = []
    for name, kind in KINDS.items():
        fields = ", ".join(f"`{field}`{_default(row.default)}" for field, row in kind.fields.items())
        rows.append(f"| `{name}` | {kind.meaning} | {fields} |")
    return "\n".join(["| kind | asks | fields (what they are if left out) |", "|---|---|---|", *rows, ""])


def policy() -> str:
    """The example policy as a block of code."""
    return f"```json\n{POLICY.read_text(encoding='utf-8')}```\n"


if __name__ == "__main__":
    raise SystemExit(run("rules.md", {"rules": rules, "policy": policy, "kinds": kinds}))
