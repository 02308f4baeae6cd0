"""A tenant of DataEngine for deploy.sh: stand-ins for `docker` and `vastde` that write down how they were called.

The stand-ins know what was created: so the script meets what is there and what is not, as on a real tenant.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# What deploy.sh looks at: enough of a checkout, which nobody changes while a test runs.
SOURCES = (
    "deploy.sh", "Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE",
    "exr_inspector/version.py", "exr_inspector/limits.py", "fixtures/real/rich.exr",
)  # fmt: skip

# What a shell, docker or JSON might take apart.
SECRETS = {
    "VAST_DB_ACCESS_KEY": "AK one two",
    "VAST_DB_SECRET_KEY": """AK one two q"uo'te$HOME`id`#\\end""",  # the key above, and more
    "S3_ACCESS_KEY": "$(touch pwned)",
    "S3_SECRET_KEY": "  =lead&ing;|tail!*é ",
}

STAND_IN = r"""#!{python} -IS
import json, os, sys
from pathlib import Path

here = Path(sys.argv[0]).parent.parent
name, words = Path(sys.argv[0]).name, sys.argv[1:]
line = " ".join([name, *words])


def after(flag):
    return words[words.index(flag) + 1]


received = {{flag: Path(after(flag)).read_text() for flag in ("--config", "--secret-file") if flag in words}}
with open(here / "calls.jsonl", "a") as calls:
    calls.write(json.dumps({{"line": line, "environment": sorted(os.environ), "received": received}}) + "\n")
for failing in (here / "failing").read_text().splitlines():
    if line.startswith(failing):
        sys.exit("no: " + " ".join(received.values()).replace("\n", " "))

there = here / "there.json"
things = json.loads(there.read_text())
if name == "vastde" and words[0] in ("functions", "triggers", "pipelines"):
    kind, verb = words[:2]
    known = things.setdefault(kind, {{}})
    if verb == "get":
        if words[2] not in known:
            sys.exit("404 Not Found")
        print(json.dumps(known[words[2]]))
    elif verb in ("create", "update"):
        thing = after("--name") if verb == "create" else words[2]
        if (thing in known) != (verb == "update"):
            sys.exit(verb + ": " + ("there is one already" if thing in known else "there is none"))
        revisions = known.setdefault(thing, {{"name": thing, "revisions": []}})["revisions"]
        if "--image-tag" in words:
            number = len(revisions) + 1
            revisions.append({{"revision_number": number, "image_tag": after("--image-tag"), "is_published": True}})
        there.write_text(json.dumps(things))
elif "inspect" in words:
    assert sys.stdin.buffer.read(4) == b"v/1\x01"
    print(json.dumps({{"integrity": {{"status": "complete"}}}}))
elif words[0] == "logs":
    print("what the container said")
"""


class Tenant:
    """A folder with the stand-ins, the configuration, and what was called."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.config = folder / "site.env"
        self.settings: dict[str, str] = {
            "REGISTRY_HOST": "registry.example.com:5000",
            "REGISTRY_NAME": "studio",
            "SOURCE_BUCKET": "renders",
            "KUBERNETES_CLUSTER_VRN": "vast:dataengine:kubernetes-clusters:farm",
            "VAST_DB_ENDPOINT": endpoint,
            "VAST_DB_BUCKET": "catalog",
            "S3_ENDPOINT": endpoint,
            "IMAGE_TAG": "1",
            **SECRETS,
        }
        self.bin = folder / "bin"
        self.checkout = folder / "checkout"

    def set_up(self) -> Tenant:
        """Nothing is there yet."""
        self.bin.mkdir()
        for name in SOURCES:
            (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.checkout / name)
        for name in ("docker", "vastde"):
            path = self.bin / name
            path.write_text(STAND_IN.format(python=sys.executable))
            path.chmod(0o755)
        (self.folder / "there.json").write_text("{}")
        (self.folder / "failing").write_text("")
        return self

    def run(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        """One run; the configuration is written anew."""
        self.config.write_text("".join(f"{name}={value}\n" for name, value in self.settings.items()))
        self.config.chmod(0o600)
        return self.run_as_it_is(*arguments, path=path)

    def run_as_it_is(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        (self.folder / "calls.jsonl").write_text("")
        rest = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}" if path is None else path
        return subprocess.run(
            ["bash", str(self.checkout / "deploy.sh"), "--config", str(self.config), *arguments],
            cwd=self.folder,
            env={"PATH": f"{self.bin}{os.pathsep}{rest}", "HOME": str(self.folder), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def failing(self, *lines: str) -> None:
        """From now on calls that begin so fail, telling what was in the files they were given."""
        (self.folder / "failing").write_text("\n".join(lines))

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]

    @property
    def lines(self) -> list[str]:
        """The commands of the last run, without their arguments."""
        return [short(each["line"]) for each in self.calls]

    @property
    def log(self) -> str:
        return Path(f"{self.config}.log").read_text()


def short(line: str) -> str:
    words = [word for word in line.split() if not word.startswith("--")]
    if words[:2] == ["docker", "run"]:
        return "docker run " + next((word for word in ("inspect", "doctor") if word in words), "")
    return " ".join(words[: 3 if words[0] == "vastde" else 2])
