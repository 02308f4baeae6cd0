"""The program's entry."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from exr_inspector.app import inspect


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the document of each path. Returns 0, or 2 if something was fatal for a file."""
    status = 0
    for path in sys.argv[1:] if arguments is None else arguments:
        document = inspect(path)
        print(json.dumps(document, indent=2, allow_nan=False))
        if any(error["severity"] == "fatal" for error in document["errors"]):
            status = 2
    return status
