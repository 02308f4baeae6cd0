"""Files that kill the process that opens them, as a system does that has no memory left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# Python of its own accord runs a module of this name when it starts.
_MODULE = "sitecustomize.py"
_HOOK = """
import os, signal, sys
sys.addaudithook(lambda event, of: event == "open" and "deadly" in str(of[0]) and os.kill(os.getpid(), signal.SIGKILL))
"""


def make_files_deadly(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """From now on a new process is killed when it opens a file with `deadly` in its path. `folder` holds the hook."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MODULE).write_text(_HOOK, encoding="utf-8")
    patch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(ROOT))))
