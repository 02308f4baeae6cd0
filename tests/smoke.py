"""Reads every fixture with nothing but the base install: no test library, any Python.

`python tests/smoke.py fixtures` exits with 1 if a document says something else than the manifest, or if a header does
not come back from its document bit by bit.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import exr_inspector


def complaints(folder: Path) -> list[str]:
    """What is wrong, one line each."""
    found = []
    for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]:
        path = folder / entry["path"]
        document = json.loads(json.dumps(exr_inspector.inspect(path), allow_nan=False))
        is_readable = document["file"]["header_hash"] is not None
        if entry["expect"].get("readable", is_readable) != is_readable:
            found.append(f"{entry['path']}: readable is {is_readable}")
        header_bytes = document["file"]["header_bytes"]
        if is_readable and exr_inspector.rebuild_header(document) != path.read_bytes()[:header_bytes]:
            found.append(f"{entry['path']}: the header does not come back")
    return found


if __name__ == "__main__":
    lines = complaints(Path(sys.argv[1]))
    print("\n".join(lines) or "all fixtures are read as the manifest says")
    raise SystemExit(bool(lines))
