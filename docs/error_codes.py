"""Writes the table of error codes into docs/format.md; with --check says whether it is up to date."""

from __future__ import annotations

from sections import run

from exr_inspector.errors import CODES


def table() -> str:
    """The codes as a Markdown table."""
    rows = [
        f"| `{code}` | {row.severity} | {'yes' if row.retryable else 'no'} | {row.meaning} |"
        for code, row in CODES.items()
    ]
    return "\n".join(["| code | severity | retry helps | meaning |", "|---|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    raise SystemExit(run("format.md", {"error codes": table}))
