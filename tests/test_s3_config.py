"""Where objects are and who we are there: the settings, and that nothing else decides it."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from exr_inspector.config_s3 import VARIABLES, S3Settings, s3_settings
from exr_inspector.settings import Secret, SettingsError
from tests.loopback.s3_server import S3Server
from tests.support.exr_bytes import scanline_file

ROOT = Path(__file__).parent.parent
SMALL = scanline_file(4, 4).data
SET = {"S3_ENDPOINT": "https://s3.example.com:9000/", "S3_ACCESS_KEY": "ak", "S3_SECRET_KEY": "sk"}


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in SET.items() if name not in names}


# ---- The settings ----------------------------------------------------------------------------------------------


def test_all_that_is_set() -> None:
    given = {**SET, "S3_REGION": "eu-central-1", "S3_TIMEOUT_SECONDS": "2.5"}
    expected = (
        "https://s3.example.com:9000",
        Secret("ak"),
        Secret("sk"),
        "eu-central-1",
        False,
        2.5,
        "the environment",
    )
    assert s3_settings(given) == expected


def test_the_defaults() -> None:
    found = s3_settings(SET)
    assert found is not None
    assert (found.region, found.is_anonymous, found.timeout_seconds) == ("us-east-1", False, 60.0)


@pytest.mark.parametrize("given", [{}, {"S3_REGION": "x"}, {"S3_ENDPOINT": " "}, {"S3_ANONYMOUS": "0"}])
def test_nothing_is_set(given: Mapping[str, str]) -> None:
    assert s3_settings(given) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "s3", "vip.cluster-1.example.com", "10.example", "a_b"])
def test_endpoints_are_names_and_addresses(host: str) -> None:
    for endpoint in (f"http://{host}", f"https://{host}:9000"):
        found = s3_settings({**SET, "S3_ENDPOINT": endpoint})
        assert found is not None
        assert found.endpoint == endpoint


def test_an_endpoint_at_which_obstore_panics(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("obstore")
    from exr_inspector import inspect  # noqa: PLC0415 - with obstore only
    from exr_inspector.s3 import S3Client  # noqa: PLC0415

    settings = s3_settings({**SET, "S3_ENDPOINT": "http://xn--a"})
    assert settings is not None
    (error,) = inspect(S3Client(settings).source("bucket", "key.exr"))["errors"]
    assert (error["code"], error["retryable"]) == ("source_unsupported", False)
    assert "xn--a" not in capfd.readouterr().err  # what it says of it


def test_without_signatures() -> None:
    found = s3_settings({"S3_ENDPOINT": "http://public", "S3_ANONYMOUS": "1"})
    assert found is not None
    assert found.is_anonymous
    assert found.access_key == Secret("")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (without("S3_ENDPOINT"), "S3_ENDPOINT is missing"),
        (without("S3_ACCESS_KEY"), "S3_ACCESS_KEY is missing"),
        (without("S3_SECRET_KEY"), "S3_SECRET_KEY is missing"),
        ({"S3_ENDPOINT": "http://host"}, "S3_ACCESS_KEY is missing"),
        ({"S3_ANONYMOUS": "1"}, "S3_ENDPOINT is missing"),
        ({**SET, "S3_ANONYMOUS": "1"}, "one or the other"),
        ({**SET, "S3_ANONYMOUS": "perhaps"}, "S3_ANONYMOUS must be"),
        ({**SET, "S3_ENDPOINT": "s3.example.com"}, "must be http://host"),
        ({**SET, "S3_ENDPOINT": "http://me:hidden@host"}, "nothing but scheme, host and port"),
        ({**SET, "S3_ENDPOINT": "http://host/bucket"}, "nothing but scheme, host and port"),
        ({**SET, "S3_ENDPOINT": "http://ho st"}, "must be http://host"),
        ({**SET, "S3_ENDPOINT": "http://a%41"}, "must be http://host"),
        ({**SET, "S3_ENDPOINT": "http://999.1.1.1"}, "must be http://host"),
        ({**SET, "S3_ENDPOINT": "http://0x7f000001"}, "must be http://host"),
        ({**SET, "S3_ENDPOINT": "http://[::1%25eth0:9]"}, "must be http://host"),
        ({**SET, "S3_ENDPOINT": "http://host:99999"}, "must be http://host"),
        ({**SET, "S3_ENDPOINT": "http://host#x"}, "nothing but scheme, host and port"),
        ({**SET, "S3_TIMEOUT_SECONDS": "0"}, "S3_TIMEOUT_SECONDS must be"),
        ({**SET, "S3_TIMEOUT_SECONDS": "601"}, "S3_TIMEOUT_SECONDS must be"),
        ({**SET, "S3_TIMEOUT_SECONDS": "nan"}, "S3_TIMEOUT_SECONDS must be"),
        ({**SET, "S3_ACCESS_KEY": "a\nb"}, "S3_ACCESS_KEY must be printable"),
        ({**SET, "S3_SECRET_KEY": "hidd\u00e9n"}, "S3_SECRET_KEY must be printable"),
        ({**SET, "S3_REGION": "a\nb"}, "S3_REGION must be printable"),
    ],
)
def test_settings_that_make_no_sense(given: Mapping[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        s3_settings(given)
    assert words in str(caught.value)
    assert (caught.value.code, caught.value.retryable) == ("source_unconfigured", False)
    for value in ("hidden", "hidd\u00e9n", "example.com"):
        assert value not in str(caught.value)


def test_settings_are_not_shown() -> None:
    settings = s3_settings({**SET, "S3_ACCESS_KEY": "hidden-ak", "S3_SECRET_KEY": "hidden-sk"})
    assert settings is not None
    for text in (repr(settings), str(settings), f"{settings}", json.dumps(settings[3:])):
        assert "hidden" not in text
        assert "example.com" not in text
    with pytest.raises(TypeError):
        pickle.dumps(settings)


def test_the_page_lists_every_variable() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert "".join(f"| `{name}` | {words} |\n" for name, words in VARIABLES.items()) in page


# ---- Nothing else decides -----------------------------------------------------------------------------------------

# What obstore reads where it is not told otherwise, and what each would do.
FOREIGN = {
    "AWS_ACCESS_KEY_ID": "other",
    "AWS_SECRET_ACCESS_KEY": "other",
    "AWS_SESSION_TOKEN": "other-token",
    "AWS_TOKEN": "other-token",
    "AWS_ENDPOINT": "{other}",
    "AWS_ENDPOINT_URL": "{other}",
    "AWS_ENDPOINT_URL_S3": "{other}",
    "AWS_METADATA_ENDPOINT": "{other}",
    "AWS_STS_ENDPOINT": "{other}",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{other}",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/credentials",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/etc/hostname",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/x",
    "AWS_PROXY_URL": "{other}",
    "AWS_REGION": "other-region",
    "AWS_DEFAULT_REGION": "other-region",
    "AWS_BUCKET": "other",
    "AWS_BUCKET_NAME": "other",
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_UNSIGNED_PAYLOAD": "true",
    "AWS_REQUEST_PAYER": "true",
    "AWS_S3_EXPRESS": "true",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    "AWS_SERVER_SIDE_ENCRYPTION": "sse-c",
    "AWS_SSE_CUSTOMER_KEY_BASE64": "AAAA",
    "AWS_CHECKSUM_ALGORITHM": "sha256",
    "AWS_ALLOW_HTTP": "false",
    "AWS_TIMEOUT": "1ns",
    "AWS_CONNECT_TIMEOUT": "1ns",
    "AWS_READ_TIMEOUT": "1ns",
}

HEADERS = {
    "accept", "accept-encoding", "authorization", "connection", "host", "range", "user-agent", "x-amz-content-sha256",
    "x-amz-date",
}  # fmt: skip

_CHILD = """
import json, sys
from exr_inspector import inspect
from exr_inspector.config_s3 import s3_settings
from exr_inspector.s3 import S3Client
documents = [inspect("s3://renders/plain.exr"), inspect("s3://renders//odd.exr")]
listed = [found.key for found in S3Client(s3_settings()).list("renders", "")]
print(json.dumps([[document["errors"] for document in documents], listed]))
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[S3Server, S3Server]]:
    """The one that is configured, and one that must never hear of anything."""
    with S3Server(buckets=["renders"]) as server, S3Server(buckets=["renders", "other"]) as other:
        for each in (server, other):
            each.put("renders", "plain.exr", SMALL)
            each.put("renders", "/odd.exr", SMALL)
        yield server, other


def child(environment: Mapping[str, str]) -> list[list[object]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
    run = subprocess.run(
        [sys.executable, "-c", _CHILD],
        env={**clean, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: list[list[object]] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize(
    "names", [list(FOREIGN), *([name] for name in FOREIGN if "ENDPOINT" in name or "TOKEN" in name)]
)
def test_no_variable_but_our_own_counts(names: list[str], servers: tuple[S3Server, S3Server]) -> None:
    pytest.importorskip("obstore")
    server, other = servers
    other.reset_counts()
    server.reset_counts()
    connections = other.connections
    foreign = {name: FOREIGN[name].format(other=other.endpoint) for name in names}
    assert child({**foreign, **server.environment()}) == [[[], []], ["/odd.exr", "plain.exr"]]
    assert other.connections == connections
    assert other.counts() == {}
    assert server.counts()["get"] == 2
    assert {name for asked in server.asked for name in asked.header_names} <= HEADERS


def test_without_keys_nobody_is_asked_for_any(servers: tuple[S3Server, S3Server]) -> None:
    """Neither the environment's other keys nor a metadata address; unsigned only where that is asked for."""
    pytest.importorskip("obstore")
    server, other = servers
    connections = other.connections
    foreign = {name: value.format(other=other.endpoint) for name, value in FOREIGN.items()}
    code = "from exr_inspector import inspect; print([e['code'] for e in inspect('s3://renders/plain.exr')['errors']])"
    for given in ({}, {"S3_ENDPOINT": server.endpoint}):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, **foreign, **given},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert run.stdout.strip() == "['source_unconfigured']"
    with S3Server(buckets=["renders"], is_signed=False) as public:
        public.put("renders", "plain.exr", SMALL)
        public.put("renders", "/odd.exr", SMALL)
        found = child({**foreign, "S3_ENDPOINT": public.endpoint, "S3_ANONYMOUS": "1"})
    assert found == [[[], []], ["/odd.exr", "plain.exr"]]
    assert other.connections == connections


@pytest.mark.parametrize(
    ("access_key", "secret_key", "is_anonymous"), [("", "", False), ("a", "", False), ("a", "b", True)]
)
def test_a_client_needs_keys_or_the_opt_in(access_key: str, secret_key: str, is_anonymous: bool) -> None:
    pytest.importorskip("obstore")
    from exr_inspector.s3 import S3Client  # noqa: PLC0415 - only with obstore

    settings = S3Settings("http://127.0.0.1:1", Secret(access_key), Secret(secret_key), is_anonymous=is_anonymous)
    with pytest.raises(SettingsError):
        S3Client(settings)


# ---- obstore is loaded where it is needed, and only there -----------------------------------------------------------


def loaded(code: str, **environment: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sorted(sys.modules))"],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(run.stdout.split())


def test_obstore_is_loaded_by_the_first_client() -> None:
    pytest.importorskip("obstore")
    code = "from exr_inspector import inspect; inspect({!r})"
    assert not {"obstore", "exr_inspector.s3"} & loaded(code.format("fixtures/real/rich.exr"))
    assert not {"obstore", "urllib.request", "xml.etree.ElementTree"} & loaded("import exr_inspector.s3")
    assert "obstore" not in loaded(code.format("s3://a/b"), S3_ENDPOINT="", S3_ACCESS_KEY="", S3_SECRET_KEY="")
    given = {**SET, "S3_ENDPOINT": "http://127.0.0.1:1", "S3_TIMEOUT_SECONDS": "0.1"}
    assert "obstore" in loaded(code.format("s3://a/b"), **given)


def test_where_obstore_is_not_installed() -> None:
    code = """
import sys
sys.modules["obstore"] = None  # as if it were not there: importing it raises ImportError
from exr_inspector import inspect
(error,) = inspect("s3://bucket/key.exr")["errors"]
print(error["code"], error["message"])
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **SET},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.match(r"source_unsupported .*pip install 'exr-inspector\[s3\]'", run.stdout)
