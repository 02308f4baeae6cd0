"""Writes the table of error codes into docs/format.md; with --check says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from exr_inspector.errors import CODES

PAGE = Path(__file__).parent / "format.md"
BEGIN, END = "<!-- error codes -->\n", "<!-- /error codes -->\n"


def table() -> str:
    """The codes as a Markdown table."""
    rows = [
        f"| `{code}` | {row.severity} | {'yes' if row.retryable else 'no'} | {row.meaning} |"
        for code, row in CODES.items()
    ]
    return "\n".join(["| code | severity | retry helps | meaning |", "|---|---|---|---|", *rows]) + "\n"


def page() -> str:
    """The page with its table as it should be."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}{table()}{END}{after}"


def main() -> int:
    """Returns 1 with --check if the page is out of date."""
    if "--check" in sys.argv[1:]:
        return int(page() != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
