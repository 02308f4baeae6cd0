"""The Dockerfile and .dockerignore, read; what can be run without building is run."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from exr_inspector.cli.main import COMMANDS
from exr_inspector.config_function import function_settings
from exr_inspector.environment import SECRETS_FOLDER

ROOT = Path(__file__).parent.parent
BASE = "python:3.12-slim-bookworm"


class Step(NamedTuple):
    """An instruction: the number of its stage, its name, its flags, and the rest."""

    stage: int
    name: str
    flags: tuple[str, ...]
    rest: str


def steps() -> list[Step]:
    """The Dockerfile's instructions, continuation lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found: list[Step] = []
    stage = -1
    for line in lines.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        name, *words = line.split()
        stage += name == "FROM"
        flags = [word for word in words if word.startswith("--")]
        flags = flags[: next((place for place, word in enumerate(words) if not word.startswith("--")), len(words))]
        rest = line.split(flags[-1], 1)[1] if flags else line.removeprefix(name)
        found.append(Step(stage, name, tuple(flags), rest.strip()))
    return found


STEPS = steps()
FINAL = [step for step in STEPS if step.stage == STEPS[-1].stage]


def the(name: str) -> Step:
    """The final stage's only instruction of that name."""
    (step,) = [each for each in FINAL if each.name == name]
    return step


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in the("ENV").rest.split())


# ---- The image ---------------------------------------------------------------------------------------------


def test_every_stage_begins_with_the_base_or_an_earlier_one() -> None:
    known = {BASE}
    for step in STEPS:
        if step.name == "FROM":
            image, *alias = step.rest.split(" AS ")
            assert image in known
            known.update(alias)
    assert FINAL[0].rest == BASE


def test_the_image_itself_runs_and_fetches_nothing() -> None:
    """No apt, no pip, no shell: what is in it was copied from the stages before."""
    allowed = {"FROM", "COPY", "ENV", "WORKDIR", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {step.name for step in FINAL} <= allowed
    assert all(step.flags and step.flags[0].startswith("--from=") for step in FINAL if step.name == "COPY")


def test_the_user_is_a_number_and_not_root() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", the("USER").rest)
    names = [step.name for step in FINAL]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "COPY")


def test_no_shell_stands_between_a_signal_and_the_program() -> None:
    entry, command = json.loads(the("ENTRYPOINT").rest), json.loads(the("CMD").rest)
    assert f"\n{entry[0]} = " in (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[project.scripts]")[1]
    assert len(entry) == 1
    assert command == ["serve"]
    assert {"serve", "inspect"} <= set(COMMANDS)


def test_the_settings_are_ones_that_the_program_takes() -> None:
    settings = function_settings(environment())
    assert settings.host == "0.0.0.0"  # noqa: S104 - a container's own network
    assert settings.persist_failure == "retry"
    assert environment()[SECRETS_FOLDER] == "/secrets"
    own = {name for name in environment() if name.startswith("EXR_")}
    assert own == {"EXR_INSPECTOR_HOST", "EXR_INSPECTOR_SECRETS"}


def test_no_secret_is_in_it() -> None:
    for step in STEPS:
        assert step.name != "ARG"
        assert not re.search(
            r"SECRET_KEY|ACCESS_KEY|PASSWORD|TOKEN|--mount=type=secret", " ".join((*step.flags, step.rest))
        )


def test_one_python_throughout() -> None:
    version = re.search(r"python:(3\.\d+)-", BASE)[1]  # type: ignore[index]
    named = {match for step in STEPS for match in re.findall(r"python(3\.\d+)", step.rest)}
    assert named == {version}


def test_only_wheels_are_installed() -> None:
    """A source package would need a compiler, and run what it likes at the build."""
    (setting,) = [step for step in STEPS if step.name == "ENV" and "PIP_ONLY_BINARY" in step.rest]
    assert setting.stage == 0
    assert "PIP_ONLY_BINARY=:all:" in setting.rest
    installing = [step for step in STEPS if re.search(r"\bpip .* install ", step.rest)]
    assert len(installing) == 2
    assert "--no-deps" in installing[1].rest
    assert [step for step in STEPS if "pip --python /opt/exr-inspector/bin/python check" in step.rest]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is of 3.11; the image has 3.12")
def test_what_is_installed_is_what_the_extras_say() -> None:
    """The very command of the build."""
    (step,) = [each for each in STEPS if "tomllib" in each.rest]
    command = step.rest.removesuffix("> requirements.txt").replace("python", sys.executable, 1)
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    names = {re.match(r"[\w-]+", line)[0] for line in done.stdout.splitlines()}  # type: ignore[index]
    assert {"construct", "rich", "vastdb", "pyarrow", "obstore", "uvicorn", "starlette", "cloudevents"} <= names
    assert names.isdisjoint({"duckdb", "pytest", "OpenEXR"})


# ---- The health check, run ---------------------------------------------------------------------------------


class _Server(http.server.ThreadingHTTPServer):
    status = 200
    paths: list[str]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.paths = []
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def health(**variables: str) -> int:
    """The exit status of the image's own check."""
    step = the("HEALTHCHECK")
    assert [flag for flag in step.flags if flag.startswith("--start-period=")]
    program, *arguments = json.loads(step.rest.removeprefix("CMD "))
    assert program == "python"
    kept = {name: value for name, value in os.environ.items() if name not in ("PORT", "EXR_INSPECTOR_PORT")}
    done = subprocess.run(
        [sys.executable, *arguments], env={**kept, **variables}, stderr=subprocess.DEVNULL, timeout=30, check=False
    )
    return done.returncode


def test_the_health_check_asks_whether_it_is_alive(server: _Server) -> None:
    port = str(server.server_address[1])
    assert health(EXR_INSPECTOR_PORT=port) == 0
    assert health(PORT=port) == 0
    assert health(EXR_INSPECTOR_PORT=port, http_proxy="http://127.0.0.1:1") == 0
    assert server.paths == ["/liveness"] * 3
    server.status = 503
    assert health(EXR_INSPECTOR_PORT=port) == 1


def test_the_health_check_fails_where_nothing_answers() -> None:
    with _Server(("127.0.0.1", 0), _Handler) as closed:
        port = str(closed.server_address[1])
    assert health(EXR_INSPECTOR_PORT=port) == 1


# ---- What the build is given -------------------------------------------------------------------------------


def is_given(path: str) -> bool:
    """Whether .dockerignore lets the file in: the last pattern counts that fits it or a folder above it."""
    parts = path.split("/")
    names = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    is_let_in = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            if any(_fits(pattern, name) for name in names):
                is_let_in = line.startswith("!")
    return is_let_in


def _fits(pattern: str, name: str) -> bool:
    """Docker's patterns: `**` is any number of folders, `*` stays in one."""
    translated = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
    return re.fullmatch(translated.replace(r"\[", "[").replace(r"\]", "]"), name) is not None


def test_the_build_is_given_the_package_and_nothing_else() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    given = {path for path in listed if path and is_given(path)}
    assert {"exr_inspector/app.py", "exr_inspector/py.typed", "exr_inspector/queries/coverage.sql"} <= given
    outside = {path for path in given if not path.startswith("exr_inspector/")}
    assert outside == {"pyproject.toml", "README.md", "LICENSE"}


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "site.env",
        "site.env.log",
        ".git/config",
        "deploy.sh",
        "fixtures/real/rich.exr",
        "exr_inspector/.env",
        "exr_inspector/cli/__pycache__/main.cpython-311.pyc",
        "catalog.duckdb",
    ],
)
def test_what_stays_outside(path: str) -> None:
    assert not is_given(path)


def test_what_is_copied_is_given() -> None:
    for step in STEPS:
        if step.name == "COPY" and not step.flags:
            *sources, _target = step.rest.split()
            for source in sources:
                name = source.replace("[t]", "t").removeprefix("./")
                assert is_given(name)
                assert (ROOT / name).exists() or "[" in source
