"""Events and objects that no honest sender makes: the fixtures, changed. The same seed gives the same ones."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.functions import BUCKET, exr

FIXTURES = Path(__file__).parents[2] / "fixtures"
EVENTS = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((FIXTURES / "events").glob("*.json"))
    if path.name != "manifest.json"
]
FILES = [path.read_bytes() for name in ("real", "damaged") for path in sorted((FIXTURES / name).glob("*.exr"))]
OBJECT_KEYS = [f"hostile/{number}.exr" for number in range(40)]

# What must be seen nowhere: the keys that events bring along, and what stands in a file outside the roots.
EVENT_KEYS = ("AKCANARY77", "SKCANARY88")
OUTSIDE = "CANARY-OUTSIDE-THE-ROOTS"


class Foreign:
    """An event object whose methods are not as they should be."""

    def __init__(self, dice: random.Random, data: Any) -> None:
        self._dice = dice
        self._data = data
        self.object_key = data
        self.bucket = BUCKET

    def get_data(self) -> Any:
        if self._dice.random() < 0.3:
            raise RuntimeError(EVENT_KEYS[1])
        return self._data

    def as_element_event(self) -> Any:
        if self._dice.random() < 0.5:
            raise TypeError("no element")
        return self


class Folders:
    """A root, and beside it what no event may read. In the root: links that lead out, a FIFO, a folder."""

    def __init__(self, folder: Path) -> None:
        self.root, outside = folder / "root", folder / "outside"
        for each in (self.root, outside, self.root / "folder.exr"):
            each.mkdir()
        (self.root / "good.exr").write_bytes(exr())
        secret = outside / "secret.exr"
        secret.write_bytes(exr(OUTSIDE))
        (outside / "policy.json").write_text(json.dumps({"policy": OUTSIDE}), encoding="utf-8")
        (self.root / "link.exr").symlink_to(secret)
        (self.root / "way").symlink_to(outside)
        os.mkfifo(self.root / "pipe.exr")
        root = str(self.root)
        self.paths = [
            f"{root}/good.exr", f"{root}/link.exr", f"{root}/way/secret.exr", f"{root}/../outside/secret.exr",
            f"{root}/pipe.exr", f"{root}/folder.exr", f"{root}/good.exr\0", f"{root}/gone.exr", root + "/x" * 3000,
            str(secret), f"file://{secret}", str(outside / "policy.json"), "/etc/passwd", "/proc/self/environ",
            "/proc/self/fd/0", "/dev/zero", "", ".", "~/.ssh/id_rsa",
        ]  # fmt: skip


class Hostile:
    """Makes events, and objects under `OBJECT_KEYS`. `endpoints`: what databases of events may be at."""

    def __init__(self, seed: int, folders: Folders, endpoints: list[str]) -> None:
        self.dice = random.Random(seed)
        self._values: list[Any] = [
            *folders.paths, *OBJECT_KEYS, *(f"s3://{BUCKET}/{key}" for key in OBJECT_KEYS[:5]), *endpoints,
            "s3://", "s3://b", f"{BUCKET}/../x", "a\n\r\x1b[2J\u202e\x7f", "\ud800", "%00%ff", "x" * 20_000, "9" * 5000,
            None, True, -1, 0, 1e308, float("nan"), 10**400, [], {}, [[]] * 50, {"data": {"data": {}}}, b"\xff",
            {"config": {"integrity": "chunks", "validate": True}}, {"policy_path": str(folders.paths[11])},
            {"vastdb_endpoint": "http://198.51.100.9:1", "vastdb_access_key": EVENT_KEYS[0]},
        ]  # fmt: skip
        self._brought = {"vastdb_access_key": EVENT_KEYS[0], "vastdb_secret_key": EVENT_KEYS[1]}

    def object(self) -> bytes:
        """A fixture, some of its bytes changed, or cut, or another's behind it."""
        dice = self.dice
        data = bytearray(dice.choice(FILES))
        for _ in range(dice.choice((0, 1, 1, 3, 10))):
            place = dice.randrange(min(len(data), 2000) + 1)
            change = dice.randrange(5)
            if change == 0:
                data[place : place + 1] = bytes([dice.randrange(256)])
            elif change == 1:
                data[place : place + 4] = dice.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", bytes(4)))
            elif change == 2:
                del data[place:]
            elif change == 3:
                data[place:place] = data[place : place + 100]
            else:
                data[place:place] = dice.choice(FILES)[:300]
        return bytes(data)

    def event(self) -> Any:
        """A fixture with some of its places changed; sometimes as text, bytes, or a foreign object."""
        dice = self.dice
        changed = copy.deepcopy(dice.choice(EVENTS))
        if isinstance(changed, dict) and dice.random() < 0.5:
            changed = {**changed, "elementpath": f"{BUCKET}/{dice.choice(OBJECT_KEYS)}"}
            if dice.random() < 0.5:
                changed = {"data": {"path": dice.choice(self._values)}, "id": str(dice.random()), "source": "s"}
        if isinstance(changed, dict) and dice.random() < 0.1:
            changed.update(self._brought)
        for _ in range(dice.choice((0, 1, 1, 2, 4))):
            self._change(changed)
        kind = dice.randrange(10)
        if kind == 0:
            return Foreign(dice, changed)
        return self._text(changed) if kind in (1, 2) else changed

    def _change(self, document: Any) -> None:
        places = list(_places(document))
        if not places:
            return
        container, key = self.dice.choice(places)
        change = self.dice.randrange(4)
        if change == 0 and isinstance(container, dict):
            container.pop(key)
        elif change == 1 and isinstance(container, dict) and container[key] not in EVENT_KEYS:
            # A key in the place of a path is one: nobody knows that it is a secret.
            container[self.dice.choice(("path", "key", "bucket", "data", "Records", "id", "config"))] = container[key]
        else:
            container[key] = copy.deepcopy(self.dice.choice(self._values))

    def _text(self, document: Any) -> Any:
        text = bytearray(json.dumps(document, default=repr).encode())
        for _ in range(self.dice.randrange(4)):
            text[self.dice.randrange(len(text))] = self.dice.randrange(256)
        return bytes(text) if self.dice.random() < 0.5 else text.decode("latin-1")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place within JSON that can be changed."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])
