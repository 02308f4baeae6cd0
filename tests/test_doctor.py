"""The doctor's findings, at a server that is well, and at servers that are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

pytest.importorskip("vastdb")

from exr_inspector import doctor
from exr_inspector.cli.main import main
from exr_inspector.config_vast import Secret
from exr_inspector.stores.vast_store import VastStore
from tests.loopback import vast_api, vast_rows
from tests.loopback.vast_client import connect
from tests.loopback.vast_server import VastServer
from tests.test_vast_store import settings_of

CHECKS = [
    "configuration", "reachable", "credentials", "server version", "bucket", "tables",
    "lock table", "two open writers", "a writer come too late", "ended transactions",
]  # fmt: skip


@pytest.fixture
def server() -> Iterator[VastServer]:
    with VastServer(buckets=["b"]) as running:
        yield running


def findings(server: VastServer, *, is_creating: bool = False, **changes: Any) -> dict[str, doctor.Finding]:
    found = doctor.check_vast(settings_of(server, **changes), is_creating=is_creating)
    return {finding.check: finding for finding in found}


@pytest.mark.parametrize("version", [(5, 4), (5, 5)], ids=["v5.4", "v5.5"])
def test_all_is_well(version: tuple[int, int]) -> None:
    with VastServer(version=version, buckets=["b"]) as server:
        VastStore(settings_of(server)).close()
        with server.counting() as requests:
            found = findings(server)
        assert list(found) == CHECKS
        assert {finding.verdict for finding in found.values()} == {doctor.OK}
        assert not set(requests) & vast_api.DDL_OPS
        assert server.database.open_transactions() == []
        assert server.table("b", "exr_metadata", "files").num_rows == 0


def test_tables_are_made_on_demand_only(server: VastServer) -> None:
    found = findings(server)
    assert list(found) == CHECKS[:6]
    assert found["tables"].verdict == doctor.WARNING
    assert found["tables"].message == "no tables yet: the first write makes them, or doctor --create"
    assert list(findings(server, is_creating=True)) == CHECKS


def test_nobody_answers(server: VastServer) -> None:
    server.stop()
    found = findings(server)
    assert found["reachable"].verdict == doctor.FAILED
    assert "the connection failed" in found["reachable"].message
    assert list(found) == CHECKS[:2]
    server.start()


@pytest.mark.parametrize("wrong", ["access_key", "secret_key"])
def test_keys_are_refused(server: VastServer, wrong: str) -> None:
    found = findings(server, **{wrong: Secret("not-the-right-one")})
    (failure,) = [finding for finding in found.values() if finding.verdict == doctor.FAILED]
    assert "access is denied" in failure.message
    assert "not-the-right-one" not in str(found)


def test_the_bucket_is_missing(server: VastServer) -> None:
    found = findings(server, bucket="elsewhere")
    assert (found["bucket"].verdict, list(found)[-1]) == (doctor.FAILED, "bucket")
    assert "there is no such bucket: 'elsewhere'" in found["bucket"].message


def test_an_old_server(server: VastServer) -> None:
    server.version = (5, 0)
    found = findings(server)
    assert found["server version"].verdict == doctor.FAILED
    server.version = (5, 7)
    assert findings(server)["server version"].verdict == doctor.WARNING


def test_tables_of_somebody_else(server: VastServer) -> None:
    VastStore(settings_of(server)).close()
    with connect(server).transaction() as tx:
        table = tx.bucket("b").schema("exr_metadata").table("files")
        table.drop_column(pa.schema([("etag", pa.utf8())]))
    found = findings(server)
    assert found["tables"].verdict == doctor.FAILED
    assert "files.etag is missing, not string" in found["tables"].message


def test_a_damaged_lock_table(server: VastServer) -> None:
    VastStore(settings_of(server)).close()
    with connect(server).transaction() as tx:
        table = tx.bucket("b").schema("exr_metadata").table("lock_shards")
        rows = table.select(columns=["shard"], predicate=table["shard"] == 7, internal_row_id=True).read_all()
        table.delete(rows.select(["$row_id"]))
    assert "has 511 rows" in findings(server)["lock table"].message


def test_a_server_without_conflicts(server: VastServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the probes are for: a server where the last writer wins is told, loudly."""
    VastStore(settings_of(server)).close()

    def claim(log: Any, rows: Any, claim: Any) -> Any:
        view = log.view(claim.snapshot, claim.writes)
        return view.positions[vast_rows.np.searchsorted(view.row_ids, rows)]

    monkeypatch.setattr(vast_rows.RowLog, "_claim", claim)
    found = findings(server)
    assert list(found)[-1] == "two open writers"
    assert "NOT SAFE" in found["two open writers"].message


# ---- The command -------------------------------------------------------------------------------------------


def environment(server: VastServer, **changes: str) -> dict[str, str]:
    return {
        "VAST_DB_ENDPOINT": server.endpoint,
        "VAST_DB_ACCESS_KEY": server.access_key,
        "VAST_DB_SECRET_KEY": server.secret_key,
        "VAST_DB_BUCKET": "b",
        "VAST_DB_LOCK_SHARDS": "64",
        **changes,
    }


@pytest.fixture
def configured(server: VastServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("configured")
def test_the_command(server: VastServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--vast", "--create"]) == 0
    told = capsys.readouterr().out
    assert [line.split("  ")[0] for line in told.splitlines()] == ["ok"] * len(CHECKS)
    assert "the second one is refused: writers keep apart" in told
    assert main(["doctor", "--vast", "--prune"]) == 0
    assert "0 lines older than 30 days deleted" in capsys.readouterr().out
    server.faults.add(op="head_bucket", kind="forbidden")
    assert main(["doctor", "--json"]) == 1
    told = capsys.readouterr().out
    assert json.loads(told)[-1]["verdict"] == "failed"
    assert server.secret_key not in told
    assert server.access_key not in told


def test_wrong_usage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("VAST_DB_", "S3_"))]:
        monkeypatch.delenv(name)
    assert main(["doctor"]) == 64
    assert "VAST DataBase not configured" in capsys.readouterr().err
    monkeypatch.setenv("VAST_DB_ENDPOINT", "http://127.0.0.1:1")
    assert main(["doctor", "--vast"]) == 64
    assert "VAST_DB_ACCESS_KEY is missing" in capsys.readouterr().err


def test_a_catalog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    duckdb = pytest.importorskip("exr_inspector.stores.duckdb")
    path = tmp_path / "catalog.duckdb"
    assert main(["doctor", "--db", str(path)]) == 1
    duckdb.DuckDBStore(path).close()
    assert main(["doctor", "--db", str(path)]) == 0
    assert "opens, its tables are of version" in capsys.readouterr().out


def test_a_process_of_its_own(server: VastServer) -> None:
    command = [sys.executable, "-m", "exr_inspector", "doctor", "--create"]
    done = subprocess.run(
        command, env={**os.environ, **environment(server)}, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(CHECKS)
