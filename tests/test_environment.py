"""The environment, and the secrets that stand beside it as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from exr_inspector.config_vast import vast_settings
from exr_inspector.environment import variables

FILES = {
    "vast-db/VAST_DB_ACCESS_KEY": "an access key",
    "vast-db/VAST_DB_SECRET_KEY": " a secret\n",
    "VAST_DB_BUCKET": "catalog\n\n",
    "vast-db/ca.crt": "no variable",
    "vast-db/deeper/S3_SECRET_KEY": "too deep",
    "..data/S3_ACCESS_KEY": "Kubernetes' own",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster's folder; and nothing of this machine's settings."""
    for name in list(variables()):
        if name.startswith(("VAST_DB_", "S3_", "EXR_INSPECTOR_")):
            monkeypatch.delenv(name)
    for name, text in FILES.items():
        path = tmp_path / "secrets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "secrets"


def test_files_are_variables_where_the_folder_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "VAST_DB_ACCESS_KEY" not in variables()
    monkeypatch.setenv("EXR_INSPECTOR_SECRETS", str(folder))
    found = variables()
    assert found["VAST_DB_ACCESS_KEY"] == "an access key"
    assert found["VAST_DB_SECRET_KEY"] == " a secret"
    assert found["VAST_DB_BUCKET"] == "catalog\n"  # one line break is the file's, the next its text's
    assert found["PATH"]
    assert set(found).isdisjoint({"ca.crt", "S3_SECRET_KEY", "S3_ACCESS_KEY"})


def test_the_environment_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXR_INSPECTOR_SECRETS", str(folder))
    monkeypatch.setenv("VAST_DB_ACCESS_KEY", "another")
    monkeypatch.setenv("VAST_DB_BUCKET", "")  # empty is not set
    assert variables()["VAST_DB_ACCESS_KEY"] == "another"
    assert variables()["VAST_DB_BUCKET"] == "catalog\n"


def test_links_as_kubernetes_makes_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "S3_ACCESS_KEY").symlink_to("..data/S3_ACCESS_KEY")
    monkeypatch.setenv("EXR_INSPECTOR_SECRETS", str(folder))
    assert variables()["S3_ACCESS_KEY"] == "Kubernetes' own"


def test_what_cannot_be_read_is_not_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "S3_ACCESS_KEY").symlink_to("nowhere")
    (folder / "S3_SECRET_KEY").mkdir()
    monkeypatch.setenv("EXR_INSPECTOR_SECRETS", str(folder))
    assert set(variables()).isdisjoint({"S3_ACCESS_KEY", "S3_SECRET_KEY"})
    monkeypatch.setenv("EXR_INSPECTOR_SECRETS", str(folder / "missing"))
    assert "VAST_DB_ACCESS_KEY" not in variables()


def test_a_file_is_read_to_a_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "S3_ACCESS_KEY").write_text("x" * 70_000)
    monkeypatch.setenv("EXR_INSPECTOR_SECRETS", str(folder))
    assert len(variables()["S3_ACCESS_KEY"]) == 65_536


def test_a_database_is_configured_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXR_INSPECTOR_SECRETS", str(folder))
    monkeypatch.setenv("VAST_DB_ENDPOINT", "http://database.example.com")
    settings = vast_settings()
    assert settings is not None
    assert settings.access_key.reveal() == "an access key"
    assert settings.bucket == "catalog"
