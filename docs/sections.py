"""The frame of the scripts beside it: each writes the sections of a page that come from the program's own tables.

A section stands between `<!-- name -->` and `<!-- /name -->`. With --check a script only says, by its exit status,
whether the page is up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path


def run(page: str, sections: Mapping[str, Callable[[], str]]) -> int:
    """Writes the sections into a page of this folder, or checks them; returns the exit status."""
    path = Path(__file__).parent / page
    text = path.read_text(encoding="utf-8")
    wanted = text
    for name, section in sections.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        before, rest = wanted.split(begin)
        wanted = f"{before}{begin}{section()}{end}{rest.split(end)[1]}"
    if "--check" in sys.argv[1:]:
        return int(wanted != text)
    path.write_text(wanted, encoding="utf-8")
    return 0
