"""A small catalog of two shows: fixtures copied to names as studios have them, and inspected for real."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from exr_inspector import inspect
from exr_inspector.stores.duckdb import DuckDBStore
from tests.support.fixture_files import FOLDER

POLICY = {
    "policy_version": 1,
    "name": "delivery",
    "requirements": [{"kind": "compression", "allowed": ["piz"]}],
}


class Render(NamedTuple):
    """A file: its name, the fixture that it is a copy of, its time, and how it is inspected."""

    path: str
    fixture: str
    mtime: str = "2026-03-01T12:00:00"
    validation: str = "no"  # or rules, or policy


SH010, SH020, XYZ = "shows/abc/sq01/sh010", "shows/abc/sq01/sh020", "shows/xyz/sq01/sh010"
BEAUTY = f"{SH010}/bty.1001.exr"

# Inspected first: a header that the file had before it was rendered again.
EARLIER = Render(BEAUTY, "real/minimal_rgba", "2026-02-01T12:00:00")
RENDERS = (
    Render(BEAUTY, "real/renderer_arnold", "2026-03-01T12:00:00", "policy"),
    Render(f"{SH010}/bty.1002.exr", "real/renderer_blender", "2026-03-01T23:59:59", "policy"),
    Render(f"{SH010}/bty.1005.exr", "real/renderer_vray", "2026-03-02T00:00:00"),
    Render(f"{SH010}/bty.1006.exr", "real/renderer_arnold", "2026-03-02T12:00:00"),
    Render(f"{SH020}/deep.0001.exr", "real/deep_scanline_02_zips"),
    Render(f"{SH020}/deep.0002.exr", "real/deep_scanline_00_none", validation="rules"),
    Render("shows/abc/sq02/sh010/crypto.0001.exr", "real/cryptomatte"),
    Render(f"{XYZ}/many.0001.exr", "real/rich", "2026-03-02T12:00:00"),
    Render(f"{XYZ}/mip.0001.exr", "real/mipmap_level_0_only"),
    Render(f"{XYZ}/broken.exr", "damaged/empty"),
    Render(f"{XYZ}/inverted.exr", "damaged/window_inverted", validation="rules"),
)
FIRST, SECOND = datetime(2026, 3, 3, 8), datetime(2026, 3, 4, 8)


class SmallCatalog(NamedTuple):
    """Where it is: the catalog, and the directory that the shows stand in, with a slash at its end."""

    db: str
    root: str

    def path(self, name: str) -> str:
        """A file's whole path."""
        return self.root + name


def make(folder: Path) -> SmallCatalog:
    """Makes the files and their catalog in a directory."""
    (folder / "delivery.json").write_text(json.dumps(POLICY), encoding="utf-8")
    made = SmallCatalog(str(folder / "catalog.duckdb"), f"{folder.as_posix()}/")
    with DuckDBStore(made.db) as store:
        store.write_batch([_inspected(folder, EARLIER)], inspected_at=FIRST)
        store.write_batch([_inspected(folder, render) for render in RENDERS], inspected_at=SECOND)
        # A second inspection of a file that did not change.
        store.write_batch([_inspected(folder, RENDERS[4])], inspected_at=SECOND)
    return made


def _inspected(folder: Path, render: Render) -> dict[str, Any]:
    target = folder / render.path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(FOLDER / f"{render.fixture}.exr", target)
    moment = datetime.fromisoformat(render.mtime).replace(tzinfo=timezone.utc).timestamp()
    os.utime(target, (moment, moment))
    policy = str(folder / "delivery.json") if render.validation == "policy" else None
    return inspect(str(target), config={"enable_validate": render.validation != "no", "policy_path": policy})
