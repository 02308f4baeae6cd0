"""deploy.sh, with stand-ins for `docker` and `vastde` that write down how they were called.

The stand-ins know what was created: so the script meets what is there and what is not, as on a real tenant. Everything
else is real: bash, the files, HTTP to a server on loopback.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from exr_inspector import config_function, config_s3
from tests.support.tenant import ROOT, SECRETS, Tenant, short

TOOLS = (
    "awk",
    "bash",
    "cat",
    "cut",
    "date",
    "dirname",
    "find",
    "mktemp",
    "rm",
    "sed",
    "sha256sum",
    "sort",
    "tee",
    "xargs",
)
STEPS = ("build", "push", "function", "trigger", "pipeline", "doctor", "smoke")


class _Refusing(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def tenant(tmp_path: Path, endpoint: str) -> Tenant:
    return Tenant(tmp_path, endpoint).set_up()


class First(NamedTuple):
    """A first run: of it all that is seen, to look at only."""

    tenant: Tenant
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, endpoint: str) -> First:
    tenant = Tenant(tmp_path_factory.mktemp("first"), endpoint).set_up()
    tenant.settings |= {"NAME_PREFIX": "shows/a b/", "BROKER_NAME": "events", "TOPIC_NAME": "main"}
    return First(tenant, tenant.run())


@pytest.fixture
def deployed(tmp_path: Path, first: First, endpoint: str) -> Tenant:
    """A tenant after a first run, to do more with."""
    tenant = Tenant(tmp_path / "copy", endpoint)
    shutil.copytree(first.tenant.folder, tenant.folder)
    tenant.settings = dict(first.tenant.settings)
    return tenant


def told(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


# ---- A first run, and runs after it ------------------------------------------------------------------------


def test_the_steps_come_in_order(first: First) -> None:
    tenant, done = first
    assert done.returncode == 0, told(done)
    assert tenant.lines == [
        "vastde functions list",
        "docker build",
        "docker run ",
        "docker push",
        "vastde functions get",
        "vastde functions get",
        "vastde functions list",
        "vastde functions create",
        "vastde triggers get",
        "vastde triggers list",
        "vastde triggers create",
        "vastde functions get",
        "vastde pipelines get",
        "vastde pipelines list",
        "vastde pipelines create",
        "vastde pipelines deploy",
        "docker run doctor",
        "docker run inspect",
        "docker run ",
        "docker exec",
        "docker stop",
        "docker rm",
    ]
    assert [line[3:] for line in done.stdout.splitlines() if line.startswith("== ")] == ["endpoints", *STEPS]
    assert "read: complete" in done.stdout
    assert "vastde logs tail exr-inspector-pipeline" in done.stdout


def test_the_arguments_are_those_of_the_manuals(first: First) -> None:
    tenant = first.tenant
    lines = {short(each["line"]): each["line"] for each in tenant.calls}
    image = "registry.example.com:5000/exr-inspector:1"
    assert lines["docker build"] == f"docker build --platform linux/amd64 --tag {image} {tenant.checkout}"
    assert lines["docker push"] == f"docker push {image}"
    assert lines["vastde functions create"] == (
        "vastde functions create --name exr-inspector --container-registry studio --artifact-source exr-inspector"
        " --artifact-type image --image-tag 1 --publish"
    )
    assert lines["vastde triggers create"] == (
        "vastde triggers create element --name exr-inspector-trigger --event ObjectCreated:* --source-bucket renders"
        " --name-suffix .exr --name-prefix shows/a b/ --broker-name events --topic-name main"
    )
    (pipeline,) = [each for each in tenant.calls if each["line"].startswith("vastde pipelines create")]
    assert json.loads(pipeline["received"]["--config"]) == {
        "name": "exr-inspector-pipeline",
        "kubernetes_cluster_vrn": "vast:dataengine:kubernetes-clusters:farm",
        "namespace": "default",
        "manifest": {
            "config": {
                "environment_variables": [
                    {"name": "VAST_DB_ENDPOINT", "value": tenant.settings["VAST_DB_ENDPOINT"]},
                    {"name": "VAST_DB_BUCKET", "value": "catalog"},
                    {"name": "S3_ENDPOINT", "value": tenant.settings["S3_ENDPOINT"]},
                ],
                "secrets": ["exr-inspector-secret"],
            },
            "triggers": [{"name": "exr-inspector-trigger", "vrn": "vast:dataengine:triggers:exr-inspector-trigger"}],
            "function_deployments": [
                {"name": "exr-inspector", "function_vrn": "vast:dataengine:functions:exr-inspector", "revision": 1}
            ],
            "links": [
                {
                    "source": ["exr-inspector-trigger"],
                    "destination": ["exr-inspector"],
                    "topic": "vast:dataengine:topics:events/main",
                }
            ],
        },
    }


def test_what_is_done_is_not_done_again(deployed: Tenant) -> None:
    done = deployed.run()
    assert done.returncode == 0, told(done)
    assert deployed.lines == ["vastde functions list"]
    assert done.stdout.count(": done before") == len(STEPS)


def test_what_is_there_is_updated(deployed: Tenant) -> None:
    deployed.settings["IMAGE_TAG"] = "2"
    assert deployed.run().returncode == 0
    changes = [line for line in deployed.lines if line.split()[-1] in ("create", "update", "deploy")]
    assert changes == [f"vastde {each}" for each in ("functions update", "triggers update", "pipelines update")] + [
        "vastde pipelines deploy"
    ]
    (pipeline,) = [each for each in deployed.calls if each["line"].startswith("vastde pipelines update")]
    assert json.loads(pipeline["received"]["--config"])["manifest"]["function_deployments"][0]["revision"] == 2


def test_what_a_container_may_take_can_be_said(tenant: Tenant) -> None:
    tenant.settings |= {"FUNCTION_MAX_MEMORY": "1024Mi", "FUNCTION_MAX_CONCURRENCY": "10", "FUNCTION_REVISION": "1"}
    assert tenant.run("--skip", "build", "--skip", "push", "--skip", "smoke").returncode == 0
    (pipeline,) = [each for each in tenant.calls if each["line"].startswith("vastde pipelines create")]
    (deployment,) = json.loads(pipeline["received"]["--config"])["manifest"]["function_deployments"]
    assert deployment["resources"] == {"max_memory": "1024Mi", "max_concurrency": 10}


def test_a_tag_that_has_a_revision_gets_no_second_one(deployed: Tenant) -> None:
    deployed.settings["VAST_DB_SCHEMA"] = "other"  # a new setting, the same image
    done = deployed.run()
    assert "revision 1 of exr-inspector has the tag 1 already" in done.stdout
    assert "vastde functions update" not in deployed.lines
    assert "vastde pipelines update" in deployed.lines


def test_an_earlier_revision_can_be_run(tenant: Tenant) -> None:
    tenant.settings |= {"FUNCTION_REVISION": "7"}
    assert tenant.run("--skip", "build", "--skip", "push", "--skip", "smoke").returncode == 0
    assert not [line for line in tenant.lines if line.startswith(("docker build", "docker push", "vastde functions c"))]
    (pipeline,) = [each for each in tenant.calls if each["line"].startswith("vastde pipelines create")]
    assert json.loads(pipeline["received"]["--config"])["manifest"]["function_deployments"][0]["revision"] == 7


def test_the_tag_follows_the_sources(tenant: Tenant) -> None:
    """Two programs never share a tag: revisions with the same tag are taken for the same."""
    del tenant.settings["IMAGE_TAG"]
    first = tenant.run("--dry-run").stdout.splitlines()[0]
    assert first.startswith("image registry.example.com:5000/exr-inspector:")
    assert tenant.run("--dry-run").stdout.splitlines()[0] == first
    (tenant.checkout / "exr_inspector" / "limits.py").write_text("# changed\n")
    assert tenant.run("--dry-run").stdout.splitlines()[0] not in ("", first)


# ---- Dry run -----------------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing_and_shows_everything(tenant: Tenant) -> None:
    done = tenant.run("--dry-run")
    assert done.returncode == 0, told(done)
    assert tenant.calls == []
    assert sorted(path.name for path in tenant.folder.iterdir()) == [
        "bin", "calls.jsonl", "checkout", "failing", "site.env", "there.json",
    ]  # fmt: skip
    shown = [short(line[2:]) for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert [line for line in shown if line.startswith(("docker", "vastde"))] == [
        "vastde functions list",
        "docker build",
        "docker run ",
        "docker push",
        "vastde functions get",
        "vastde functions update",
        "vastde functions create",
        "vastde triggers get",
        "vastde triggers update",
        "vastde triggers create",
        "vastde pipelines get",
        "vastde pipelines update",
        "vastde pipelines create",
        "vastde pipelines deploy",
        "docker run doctor",
        "docker run inspect",
        "docker run ",
        "docker exec",
        "docker stop",
        "docker rm",
    ]


# ---- Failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "step", "next_command"),
    [
        ("docker push", "push", "docker push"),
        ("vastde triggers create", "trigger", "vastde triggers get"),
        ("vastde pipelines deploy", "pipeline", "vastde functions get"),
        ("docker run --rm --env-file", "doctor", "docker run doctor"),
    ],
)
def test_a_step_that_fails_stops_and_is_resumed(tenant: Tenant, command: str, step: str, next_command: str) -> None:
    tenant.failing(command)
    done = tenant.run()
    assert done.returncode == 1
    assert f'deploy.sh: stopped in the step "{step}"; run it again to go on there' in done.stderr
    assert tenant.calls[-1]["line"].startswith(command)
    tenant.failing()
    done = tenant.run()
    assert done.returncode == 0, told(done)
    assert tenant.lines[:2] == ["vastde functions list", next_command]


def test_a_smoke_test_that_fails_shows_the_log_and_leaves_no_container(tenant: Tenant) -> None:
    tenant.failing("docker exec")
    done = tenant.run()
    assert done.returncode == 1
    assert "what the container said" in done.stdout
    assert tenant.lines[-2:] == ["docker logs", "docker rm"]
    assert tenant.calls[-1]["line"].startswith("docker rm --force exr-inspector-smoke-")


def test_no_answer_is_not_taken_for_no_such_thing(tenant: Tenant) -> None:
    """Else a function would be made a second time where the login has run out."""
    tenant.failing("vastde triggers get", "vastde triggers list")
    done = tenant.run()
    assert done.returncode == 1
    assert "vastde can neither get exr-inspector-trigger nor list triggers" in done.stderr
    assert "vastde triggers create" not in tenant.lines


def test_a_revision_that_cannot_be_found_is_asked_for(tenant: Tenant) -> None:
    (tenant.folder / "there.json").write_text('{"functions": {"exr-inspector": {"something": "else"}}}')
    done = tenant.run("--skip", "build", "--skip", "push", "--skip", "function")
    assert done.returncode == 1
    assert "name it as FUNCTION_REVISION" in done.stderr


def test_from_takes_a_step_again(deployed: Tenant) -> None:
    assert deployed.run("--from", "doctor").returncode == 0
    assert deployed.lines[:2] == ["vastde functions list", "docker run doctor"]


def test_steps_can_be_left_out(tenant: Tenant) -> None:
    done = tenant.run("--skip", "endpoints", "--skip", "doctor", "--skip", "smoke")
    assert done.returncode == 0
    assert tenant.lines[0] == "docker build"
    assert tenant.lines[-1] == "vastde pipelines deploy"


# ---- Secrets -----------------------------------------------------------------------------------------------


def test_secrets_are_where_they_belong_and_nowhere_else(first: First) -> None:
    tenant, done = first
    (pipeline,) = [each for each in tenant.calls if each["line"].startswith("vastde pipelines create")]
    secret = json.loads(pipeline["received"]["--secret-file"])
    assert secret["name"] == "exr-inspector-secret"
    assert {each["key"]: each["value"] for each in secret["entries"]} == SECRETS
    assert not (tenant.folder / "pwned").exists()
    shown = told(done) + tenant.log + Path(f"{tenant.config}.state").read_text() + pipeline["received"]["--config"]
    for value in SECRETS.values():
        assert value not in shown
        assert not [each["line"] for each in tenant.calls if value in each["line"]]
    for each in tenant.calls:
        assert not set(each["environment"]) & set(SECRETS)


def test_docker_reads_the_file_itself(first: First) -> None:
    """Its format is docker's: NAME=value, and nothing in the value has a meaning."""
    tenant = first.tenant
    with_file = [each["line"] for each in tenant.calls if "--env-file" in each["line"]]
    assert len(with_file) == 2
    assert all(f"--env-file {tenant.config} " in line for line in with_file)


def test_no_temporary_file_stays(first: First) -> None:
    tenant = first.tenant
    (pipeline,) = [each for each in tenant.calls if each["line"].startswith("vastde pipelines create")]
    words = pipeline["line"].split()
    folder = Path(words[words.index("--secret-file") + 1]).parent
    assert not folder.exists()
    for name in ("log", "state"):
        assert Path(f"{tenant.config}.{name}").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("command", ["vastde pipelines create", "vastde functions get"])
def test_secrets_in_what_a_tool_says_are_struck_out(tenant: Tenant, command: str) -> None:
    """The stand-in that fails tells what was in its files, as JSON and so with escapes."""
    tenant.failing(command)
    done = tenant.run()
    assert done.returncode == 1
    shown = told(done) + tenant.log
    if "pipelines" in command:
        assert shown.count('"value": "***"') >= len(SECRETS)
    for value in SECRETS.values():
        assert value not in shown
        assert json.dumps(value, ensure_ascii=False)[1:-1] not in shown
    assert "$HOME" not in shown  # of a secret that another one begins


# ---- Checks before anything is done ------------------------------------------------------------------------


def test_all_that_is_missing_is_named(tenant: Tenant) -> None:
    for name in ("REGISTRY_NAME", "VAST_DB_SECRET_KEY", "S3_ACCESS_KEY"):
        tenant.settings[name] = ""
    done = tenant.run()
    assert done.returncode == 1
    assert "missing: REGISTRY_NAME VAST_DB_SECRET_KEY S3_ACCESS_KEY" in done.stderr
    assert tenant.calls == []


def test_public_buckets_need_no_keys(tenant: Tenant) -> None:
    del tenant.settings["S3_ACCESS_KEY"], tenant.settings["S3_SECRET_KEY"]
    assert tenant.run("--dry-run").returncode == 1
    tenant.settings["S3_ANONYMOUS"] = "1"
    assert tenant.run("--dry-run").returncode == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("VAST_DB_ENDPIONT=http://x", "not known: VAST_DB_ENDPIONT"),
        ("export REGISTRY_NAME=x", "line 13: not NAME=value"),
        ("sudden words and a hidden-thing", "line 13: not NAME=value"),
        ("S3_SECRET_KEY=again", "line 13: S3_SECRET_KEY is set a second time"),
        ("NAME_PREFIX=a\r", "line 13: it ends with a carriage return"),
        ("FUNCTION_NAME=--force", "FUNCTION_NAME must be small letters"),
        ("IMAGE_REPOSITORY=a b", "IMAGE_REPOSITORY must be a path"),
        ("FUNCTION_REVISION=latest", "FUNCTION_REVISION must be a number"),
    ],
)
def test_lines_that_are_wrong_are_told(tenant: Tenant, line: str, message: str) -> None:
    tenant.run("--dry-run")
    with tenant.config.open("a", newline="") as config:
        config.write(f"{line}\n")
    done = tenant.run_as_it_is()
    assert done.returncode == 1
    assert message in done.stderr
    assert "hidden-thing" not in told(done)
    assert tenant.calls == []


def test_endpoints_with_keys_in_them_are_refused(tenant: Tenant) -> None:
    tenant.settings["S3_ENDPOINT"] = "http://user:hidden-thing@storage.example.com"
    done = tenant.run()
    assert "S3_ENDPOINT must be http[s]://host[:port]" in done.stderr
    assert "hidden-thing" not in told(done)


def test_a_file_that_everyone_can_read_is_warned_of(tenant: Tenant) -> None:
    assert "warning" not in tenant.run("--dry-run").stdout
    tenant.config.chmod(0o644)
    assert "warning: everyone on this machine can read" in tenant.run_as_it_is("--dry-run").stdout


def test_an_endpoint_without_an_answer_is_named(tenant: Tenant) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        port = server.server_address[1]
    tenant.settings["S3_ENDPOINT"] = f"http://127.0.0.1:{port}"
    done = tenant.run()
    assert done.returncode == 1
    assert "VAST_DB_ENDPOINT: answers with 403" in done.stdout
    assert "S3_ENDPOINT: no answer: Connection refused" in done.stdout
    assert tenant.lines == ["vastde functions list"]


def test_tools_that_are_missing_are_named(tenant: Tenant) -> None:
    tools = tenant.folder / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(str(shutil.which(name)))
    (tenant.bin / "vastde").unlink()
    done = tenant.run(path=str(tools))
    assert done.returncode == 1
    assert "not on the PATH: vastde python3" in done.stderr
    assert tenant.calls == []


@pytest.mark.parametrize("arguments", [("--nonsense",), ("--from", "nowhere"), ("--skip",), ("--config", "missing")])
def test_wrong_usage(tenant: Tenant, arguments: tuple[str, ...]) -> None:
    done = tenant.run(*arguments)
    assert done.returncode == 64
    assert tenant.calls == []


def test_help_names_every_step() -> None:
    done = subprocess.run(["bash", str(ROOT / "deploy.sh"), "--help"], capture_output=True, text=True, check=True)
    for word in (*STEPS, "--config", "--dry-run", "--from", "--skip"):
        assert word in done.stdout


# ---- The example, and the script itself --------------------------------------------------------------------


def test_the_example_needs_nothing_but_keys(tenant: Tenant) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert not [line for line in text.splitlines() if "_KEY=" in line and not line.endswith("_KEY=")]
    tenant.config.write_text(text.replace("_KEY=\n", "_KEY=x\n"))
    tenant.config.chmod(0o600)
    done = tenant.run_as_it_is("--dry-run")
    assert done.returncode == 0, told(done)
    optional = "".join(line[1:] + "\n" for line in text.splitlines() if line.startswith("#") and "=" in line.split()[0])
    assert "FUNCTION_REVISION=" in optional
    tenant.config.write_text(text.replace("_KEY=\n", "_KEY=x\n") + optional.replace("_REVISION=", "_REVISION=3"))
    done = tenant.run_as_it_is("--dry-run")
    assert done.returncode == 0, told(done)


def test_the_functions_settings_are_known(tenant: Tenant) -> None:
    """All of docs/configuration.md but what the image, the platform and the event say."""
    elsewhere = {"PORT", "K_SINK", "K_CE_OVERRIDES", "EXR_INSPECTOR_HOST", "EXR_INSPECTOR_PORT"}
    for name in {*config_s3.VARIABLES, *config_function.VARIABLES} - elsewhere - set(tenant.settings):
        tenant.settings[name] = "1"
    done = tenant.run("--dry-run")
    assert done.returncode == 0, told(done)


def test_the_script_is_clean_to_shellcheck() -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert shellcheck, "pip install -e '.[test]' brings it"
    done = subprocess.run([shellcheck, str(ROOT / "deploy.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_script_can_be_run() -> None:
    assert os.access(ROOT / "deploy.sh", os.X_OK)
