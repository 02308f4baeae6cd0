"""Pages that lead through a session: their shell blocks are run as they stand, one after the other, in one shell.

The VAST and S3 servers are the loopback ones; `docker` and `vastde` are stand-ins; the reader's editor fills in what a
reader would.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("vastdb")
pytest.importorskip("obstore")

from exr_inspector.serve.metrics import Metrics
from tests.loopback.s3_server import S3Server
from tests.loopback.vast_server import VastServer
from tests.support.tenant import ROOT, Tenant
from tests.test_docs import LEFT_TO_CI, SESSIONS, blocks

BUCKET = "exr-catalog"
NEEDED = ("Dockerfile", ".dockerignore", ".env.example", "pyproject.toml", "README.md", "LICENSE", "deploy.sh")
OBJECTS = ("multipart_two.exr", "rich.exr", "deep_tiled.exr")
TAKE_SETTINGS = 'while IFS= read -r line; do case $line in [A-Z]*=*) export "${line?}" ;; esac; done < .env\n'

EDITOR = r"""#!/usr/bin/env bash
set -eu
sed -i -e 's|^\(.*ACCESS_KEY=\)$|\1loopback-access|' -e 's|^\(.*SECRET_KEY=\)$|\1loopback-secret|' \
    -e 's|^\(VAST_DB_ENDPOINT=\).*|\1{vast}|' -e 's|^\(S3_ENDPOINT=\).*|\1{s3}|' "$1"
"""


class Session(NamedTuple):
    """A checkout in a folder of its own, the servers, and what stands in."""

    folder: Path
    vast: VastServer
    tenant: Tenant

    def run(self, script: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VAST_DB_", "S3_", "EXR_"))}
        path = f"{self.tenant.bin}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{script}"],
            cwd=self.folder,
            env={**kept, "PATH": path, "PYTHONPATH": str(ROOT), "EDITOR": str(self.tenant.folder / "editor")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def files(self) -> list[str]:
        """The paths of the rows that are there."""
        return sorted(self.vast.table(BUCKET, "exr_metadata", "files")["file_path"].to_pylist())


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "exr_inspector", folder / "exr_inspector", ignore=shutil.ignore_patterns("__pycache__"))
    for name in NEEDED:
        shutil.copy(ROOT / name, folder)
    for target in (folder / "fixtures" / "real", tmp_path / "objects"):
        target.mkdir(parents=True)
        for name in OBJECTS:
            shutil.copy(ROOT / "fixtures" / "real" / name, target)
    vast, s3 = VastServer(buckets=[BUCKET]), S3Server(buckets=(), directories={"renders": tmp_path / "objects"})
    with vast, s3:
        (tmp_path / "tenant").mkdir()
        tenant = Tenant(tmp_path / "tenant", vast.endpoint).set_up()
        editor = tenant.folder / "editor"
        editor.write_text(EDITOR.replace("{vast}", vast.endpoint).replace("{s3}", s3.endpoint))
        editor.chmod(0o755)
        yield Session(folder, vast, tenant)


def script_of(page: str) -> str:
    """The page's shell blocks, without what .ci/run does."""
    text = "".join(each.text for each in blocks("sh") if each.page == page)
    return "".join(line for line in text.splitlines(keepends=True) if not LEFT_TO_CI.search(line))


def test_the_quick_start_leads_to_rows(session: Session) -> None:
    said = session.run(script_of("docs/QUICK_START_VAST.md"))
    local = [f"fixtures/real/{name}" for name in OBJECTS]
    assert session.files() == sorted([*local, *(f"s3://renders/{name}" for name in OBJECTS)])
    assert "6 files, 2 deep" in said
    assert "vastde logs tail" in session.tenant.lines
    assert "vastde pipelines deploy" in session.tenant.lines
    assert "Done. Upload an EXR" in said
    assert "loopback-secret" not in said


def test_the_runbook_can_be_followed(session: Session) -> None:
    begin = f'cp .env.example .env\nchmod 600 .env\n"$EDITOR" .env\n{TAKE_SETTINGS}exr-inspector doctor --create\n'
    said = session.run(begin + script_of("docs/PROD_RUNBOOK.md"))
    assert session.files() == sorted(f"s3://renders/{name}" for name in OBJECTS)
    assert session.tenant.lines.count("vastde pipelines update") == 2  # the keys' rotation, and the way back
    assert "revision 1 of exr-inspector has the tag" in said
    assert "loopback-secret" not in said


def test_the_sizes_can_be_asked_for(session: Session) -> None:
    session.run(script_of("docs/decisions/0064-container.md"))
    assert session.tenant.lines == ["docker run "]


def test_every_shell_block_is_in_a_session() -> None:
    assert {each.page for each in blocks("sh") if each.page in SESSIONS} == set(SESSIONS)


def test_the_runbooks_metrics_are_there() -> None:
    text = (ROOT / "docs" / "PROD_RUNBOOK.md").read_text(encoding="utf-8")
    named = set(re.findall(r"exr_inspector_[a-z0-9_]+", text))
    served = set(re.findall(r"exr_inspector_[a-z0-9_]+", Metrics().text().decode()))
    assert named
    assert named <= served
