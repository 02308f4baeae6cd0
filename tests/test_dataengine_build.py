"""What `vastde functions build` gets: `main.py`, the package, and its requirements, in a folder of their own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "exr_inspector/dataengine/requirements.txt"

# The platform's SDK is on no index: a stand-in, whose decorator marks the handler as the real one does.
SDK = """
def event_batching_handler(function):
    def batching(ctx, events):
        return function(ctx, events)
    batching.takes_batches = True
    return batching
"""
CALL = """
import json, main
main.init(None)
one = main.handler(None, {"path": "a.exr"})
many = main.batches(None, [{"path": "a.exr"}, {"path": "gone.exr"}])
statuses = [each["persistence"]["status"] for each in (one, *many)]
print(json.dumps([statuses, hasattr(main.batches, "takes_batches"), hasattr(main.handler, "takes_batches")]))
"""


def built(folder: Path) -> Path:
    """The folder as docs/decisions/0062-function.md says to make it."""
    shutil.copy(ROOT / "main.py", folder)
    shutil.copy(REQUIREMENTS, folder)
    shutil.copytree(ROOT / "exr_inspector", folder / "exr_inspector", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "fixtures/real/minimal_rgba.exr", folder / "a.exr")
    return folder


def called(folder: Path) -> str:
    """What a process prints that finds nothing but the folder and what is installed."""
    environment = {"PYTHONPATH": str(folder), "PATH": ""}
    run = subprocess.run(
        [sys.executable, "-c", CALL], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_the_folder_runs_by_itself(tmp_path: Path) -> None:
    assert called(built(tmp_path)) == '[["skipped", "skipped", "skipped"], false, false]'


def test_on_the_platform_batches_are_marked_as_such(tmp_path: Path) -> None:
    sdk = built(tmp_path) / "vast/dataengine/sdk.py"
    sdk.parent.mkdir(parents=True)
    for package in (sdk.parent, sdk.parent.parent):
        (package / "__init__.py").touch()
    sdk.write_text(SDK, encoding="utf-8")
    assert called(tmp_path) == '[["skipped", "skipped", "skipped"], true, false]'


def test_the_requirements_are_those_of_the_package() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["s3"], *extras["vast"]]
    lines = [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert sorted(lines) == sorted(set(wanted))
    assert all(re.fullmatch(r"[a-z]+>=[\d.]+,<[\d.]+", line) for line in lines)
