"""Every command and code block of the README and of docs/ is run; what they show is what comes out."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*/README.md"))]

# Pages whose shell blocks are one session, with servers and stand-ins: tests/test_sessions.py runs them.
SESSIONS = ("docs/PROD_RUNBOOK.md", "docs/QUICK_START_VAST.md", "docs/decisions/0064-container.md")

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")

# Lines that install, check, run the whole suite or fuzz: .ci/run does these very things.
LEFT_TO_CI = re.compile(r"pip install|ruff|mypy|lint-imports|pytest|\.ci/run|-max_total_time|venv")


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            if match[1] in languages:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(str(page.relative_to(ROOT)), line, match[1], match[2]))
    return found


def name_of(block: Block) -> str:
    return f"{block.page}:{block.line}"


def run(command: str) -> tuple[int, str]:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "110",
    }
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


def test_every_block_has_a_language_that_is_tested() -> None:
    languages = {block.language for page in PAGES for block in blocks("", "sh", "console", "python", "json", "text")}
    for page in PAGES:
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
            assert match[1] in languages | {"bash", "toml", "sql"}, (
                f"{page.name}: a block in {match[1]!r} is not tested"
            )


@pytest.mark.parametrize("block", [each for each in blocks("sh") if each.page not in SESSIONS], ids=name_of)
def test_shell_commands_succeed(block: Block) -> None:
    for command in block.text.splitlines():
        if not LEFT_TO_CI.search(command):
            status, output = run(command)
            assert status == 0, output


@pytest.mark.parametrize("block", blocks("bash"), ids=name_of)
def test_scripts_succeed(block: Block) -> None:
    """A script is run as a whole, on another port than the one it shows."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    status, output = run("set -e\n" + block.text.replace("8080", port))
    assert status == 0, output


@pytest.mark.parametrize("block", blocks("console"), ids=name_of)
def test_shown_output_is_what_comes_out(block: Block) -> None:
    """A line that begins with `$` is run; what stands below it must come out, times apart."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        _, output = run(command)
        assert _TIME.sub("TIME", output) == _TIME.sub("TIME", shown)


def test_the_readmes_table_is_what_its_command_prints() -> None:
    (block,) = [each for each in blocks("text") if each.page == "README.md"]
    _, output = run("python -m exr_inspector --table fixtures/real/multipart_two.exr")
    shown = [line.rstrip() for line in _TIME.sub("TIME", block.text).removesuffix("...\n").splitlines()]
    printed = [line.rstrip() for line in _TIME.sub("TIME", output).splitlines()]
    assert printed[: len(shown)] == shown


@pytest.mark.parametrize("block", blocks("python"), ids=name_of)
def test_python_blocks_run(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    subprocess.run([sys.executable, "-c", block.text], cwd=ROOT, check=True, timeout=60, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("block", blocks("json"), ids=name_of)
def test_json_blocks_are_json(block: Block) -> None:
    json.loads(block.text)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


# ---- What the program's own tables say -----------------------------------------------------------------------

GENERATORS = sorted(path.name for path in (ROOT / "docs").glob("*.py") if path.name != "sections.py")


@pytest.mark.parametrize("script", GENERATORS)
def test_the_generated_sections_are_up_to_date(script: str) -> None:
    done = subprocess.run([sys.executable, f"docs/{script}", "--check"], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0, f"python docs/{script} writes it anew"
