"""What an event may ask for: local paths under the roots, whatever links and races; buckets; databases; policies."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exr_inspector.config_function import FunctionSettings, function_settings
from exr_inspector.errors import SourceError
from exr_inspector.events import Delivery, EventError, allowed, deliveries, open_allowed
from exr_inspector.sources import LocalFile

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="roots need a system that tells where a descriptor is")

INSIDE, OUTSIDE = b"inside", b"outside"


class Tree:
    """A root with a file, and a file beside the root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.root = self.folder / "root"
        (self.root / "deep").mkdir(parents=True)
        self.inside = self.root / "deep" / "a.exr"
        self.inside.write_bytes(INSIDE)
        self.outside = self.folder / "outside.exr"
        self.outside.write_bytes(OUTSIDE)

    def read(self, path: Path | str, *roots: Path) -> bytes:
        with open_allowed(str(path), [str(root) for root in roots or (self.root,)]) as source:
            return source.read(0, 100)

    def refused(self, path: Path | str, *roots: Path) -> str:
        with pytest.raises(EventError) as caught:
            self.read(path, *roots)
        assert caught.value.code == "event_refused"
        assert not caught.value.retryable
        return str(caught.value)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def file(path: Path | str, **more: Any) -> Delivery:
    return Delivery("file", path=str(path), **more)


def refusal(delivery: Delivery, settings: FunctionSettings, **how: bool) -> str:
    with pytest.raises(EventError) as caught:
        allowed(delivery, settings, **how)
    assert caught.value.code == "event_refused"
    return str(caught.value)


# ---- Local paths


def test_files_under_a_root(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tree.read(tree.inside) == INSIDE
    assert tree.read(f"{tree.root}//deep/./../deep/a.exr") == INSIDE
    assert tree.read(tree.inside, tree.folder / "elsewhere", tree.root) == INSIDE
    assert tree.read(tree.inside, Path("/")) == INSIDE
    monkeypatch.chdir(tree.root)
    assert tree.read("deep/a.exr") == INSIDE


def test_files_beside_the_root(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (
        tree.outside,
        f"{tree.root}/../outside.exr",
        f"{tree.root}/deep/../../outside.exr",
        "/etc/hostname",
        "/proc/self/environ",
        tree.folder / "missing.exr",  # the same words: nobody learns what exists outside
    ):
        assert tree.refused(path) == "the event's path is under none of EXR_INSPECTOR_ROOTS"
    monkeypatch.chdir(tree.root)
    assert tree.refused("../outside.exr")


def test_a_name_that_only_begins_like_a_root(tree: Tree) -> None:
    sibling = tree.folder / "rootless"
    sibling.mkdir()
    (sibling / "a.exr").write_bytes(OUTSIDE)
    assert tree.refused(sibling / "a.exr")
    assert tree.refused(tree.root)


def test_links_out_of_the_root(tree: Tree) -> None:
    (tree.root / "link.exr").symlink_to(tree.outside)
    (tree.root / "folder").symlink_to(tree.folder)
    (tree.root / "chain.exr").symlink_to("link.exr")
    for name in ("link.exr", "folder/outside.exr", "chain.exr", "folder/root/../outside.exr"):
        assert tree.refused(tree.root / name)


def test_links_within_the_root_and_to_it(tree: Tree) -> None:
    (tree.root / "link.exr").symlink_to(tree.inside)
    assert tree.read(tree.root / "link.exr") == INSIDE
    alias = tree.folder / "alias"
    alias.symlink_to(tree.root)
    assert tree.read(tree.inside, alias) == INSIDE
    assert tree.read(alias / "deep" / "a.exr", tree.root) == INSIDE


def test_descriptors_and_other_processes_roots(tree: Tree) -> None:
    with tree.outside.open("rb") as opened:
        assert tree.refused(f"/proc/self/fd/{opened.fileno()}")
        assert tree.refused(f"/dev/fd/{opened.fileno()}")
    assert tree.refused(f"/proc/self/root{tree.outside}")
    if sys.platform == "linux":
        assert tree.read(f"/proc/self/root{tree.inside}") == INSIDE


def test_what_is_no_regular_file_or_not_there(tree: Tree) -> None:
    os.mkfifo(tree.root / "fifo")
    listening = socket.socket(socket.AF_UNIX)
    with listening:
        here = Path.cwd()
        os.chdir(tree.root)  # a socket's path is short
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        (tree.root / "loop").symlink_to("loop")
        for name in ("fifo", "deep", "socket", "missing", "loop"):
            with pytest.raises(SourceError):
                tree.read(tree.root / name)
    assert "no path" in tree.refused("a\0b")
    with pytest.raises(SourceError):
        tree.read(f"{tree.root}/{'x' * 5000}")


def test_without_roots_nothing_is_opened(tree: Tree) -> None:
    with pytest.raises(EventError, match="EXR_INSPECTOR_ROOTS is not set"):
        open_allowed(str(tree.inside), [])


def test_descriptors_are_given_back(tree: Tree) -> None:
    (tree.root / "link.exr").symlink_to(tree.outside)
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        tree.read(tree.inside)
        tree.refused(tree.root / "link.exr")
    assert len(os.listdir("/dev/fd")) == before


# ---- Races


def test_a_link_that_is_changed_between_the_check_and_the_opening(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is sound when it is looked at, and leads out when it is opened: the descriptor's path tells."""
    link = tree.root / "link.exr"
    link.symlink_to(tree.inside)
    opened = []

    class Opening(LocalFile):
        def __init__(self, path: str | bytes) -> None:
            link.unlink()
            link.symlink_to(tree.outside)
            super().__init__(path)
            opened.append(self._descriptor)

    monkeypatch.setattr("exr_inspector.events.permission.LocalFile", Opening)
    assert tree.refused(link) == "the event's path is under none of EXR_INSPECTOR_ROOTS"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


def test_a_folder_that_is_changed_between_the_check_and_the_opening(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the last name but one before it: O_NOFOLLOW would not see it."""
    secret = tree.folder / "secret"
    secret.mkdir()
    (secret / "a.exr").write_bytes(OUTSIDE)

    class Opening(LocalFile):
        def __init__(self, path: str | bytes) -> None:
            shutil.rmtree(tree.root / "deep")
            (tree.root / "deep").symlink_to(secret)
            super().__init__(path)

    monkeypatch.setattr("exr_inspector.events.permission.LocalFile", Opening)
    assert tree.refused(tree.inside)


def test_a_file_that_is_replaced_while_it_is_opened(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptor's path names another file now, or none: it may be read at the next delivery."""

    class Opened(LocalFile):
        def __init__(self, path: str | bytes) -> None:
            super().__init__(path)
            tree.inside.unlink()

    monkeypatch.setattr("exr_inspector.events.permission.LocalFile", Opened)
    # Linux says `a.exr (deleted)` of such a file, which is a name that another one may have.
    for name in ("a.exr.bak", "a.exr (deleted)"):
        tree.inside.write_bytes(INSIDE)
        (tree.inside.parent / name).write_bytes(INSIDE)
        with pytest.raises(SourceError) as caught:
            tree.read(tree.inside)
        assert caught.value.code == "source_changed"
        assert caught.value.retryable


def test_a_system_that_does_not_tell(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened(LocalFile):
        def real_path(self) -> str | None:
            return None

    monkeypatch.setattr("exr_inspector.events.permission.LocalFile", Opened)
    assert "does not tell where an open file is" in tree.refused(tree.inside)


@pytest.fixture
def swapping(tree: Tree) -> Iterator[Path]:
    """A link that leads in and out of the root by turns, as fast as a thread can."""
    link, spare = tree.root / "link.exr", tree.root / "spare"
    is_over = threading.Event()

    def swap() -> None:
        while not is_over.is_set():
            for target in (tree.outside, tree.inside):
                spare.symlink_to(target)
                spare.replace(link)

    link.symlink_to(tree.inside)
    thread = threading.Thread(target=swap)
    thread.start()
    yield link
    is_over.set()
    thread.join()


def test_no_byte_from_outside_whatever_the_race(tree: Tree, swapping: Path) -> None:
    read = refused = 0
    end = time.monotonic() + 20
    while (read < 200 or refused < 200) and time.monotonic() < end:
        try:
            assert tree.read(swapping) == INSIDE
            read += 1
        except EventError:
            refused += 1
    assert read
    assert refused


# ---- Who may what


def test_local_paths(tree: Tree) -> None:
    rooted = FunctionSettings(roots=(str(tree.root),))
    inside, outside = file(tree.inside), file(tree.outside)
    assert allowed(inside, rooted) is inside
    assert allowed(inside, rooted, is_served=True) is inside
    assert "under none of" in refusal(outside, rooted)
    assert "EXR_INSPECTOR_ROOTS is not set" in refusal(inside, FunctionSettings())
    assert allowed(outside, FunctionSettings(), is_by_hand=True) is outside
    assert allowed(outside, rooted, is_by_hand=True) is outside


def test_buckets() -> None:
    delivery = Delivery("object", bucket="renders", key="k")
    for how in ({}, {"is_served": True}, {"is_by_hand": True}):
        assert allowed(delivery, FunctionSettings(), **how) is delivery
        assert allowed(delivery, FunctionSettings(buckets=frozenset({"renders"})), **how) is delivery
        settings = FunctionSettings(buckets=frozenset({"Renders", "render", "renders2"}))
        assert refusal(delivery, settings, **how) == "the event's bucket is none of EXR_INSPECTOR_BUCKETS"


def test_what_is_skipped_needs_no_leave(tree: Tree) -> None:
    delivery = Delivery("skip", bucket="b", key="k", database={"vastdb_endpoint": "http://evil:1"})
    assert allowed(delivery, FunctionSettings(buckets=frozenset()), is_served=True) is delivery


ENDPOINTS = function_settings({"EXR_INSPECTOR_EVENT_ENDPOINTS": "http://db.example:9090, https://Vast.Example"})


def with_database(**database: Any) -> Delivery:
    return Delivery("object", bucket="b", key="k", database=database)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://db.example:9090", "HTTP://DB.Example:9090/", "https://vast.example", "https://vast.example.:443",
        " https://vast.example ",
    ],
)  # fmt: skip
def test_databases_that_are_listed(endpoint: str) -> None:
    delivery = with_database(vastdb_endpoint=endpoint, vastdb_access_key="a", vastdb_secret_key="s")
    assert allowed(delivery, ENDPOINTS, is_served=True) is delivery


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://db.example", "https://db.example:9090", "http://db.example:9091", "http://evil.example:9090",
        "http://db.example:9090@evil.example", "http://db.example:9090/x", "http://db.example:9090?x",
        "db.example:9090", "http://user@db.example:9090", "", "http://[", "http://db.example:99999", None, 7, ["http://db.example:9090"],
        "http://db.example:9090\n.evil.example", "http://db.exam\nple:9090", "http://db.example\\@evil.example:9090",
    ],
)  # fmt: skip
def test_databases_that_are_not(endpoint: Any) -> None:
    delivery = with_database(vastdb_endpoint=endpoint, vastdb_access_key="a", vastdb_secret_key="EXAMPLESECRET")
    message = refusal(delivery, ENDPOINTS, is_served=True)
    assert message == "the event names a database (vastdb_*) of an endpoint not in EXR_INSPECTOR_EVENT_ENDPOINTS"
    assert allowed(delivery, ENDPOINTS) is delivery  # the platform's own events may
    assert allowed(delivery, FunctionSettings(), is_by_hand=True) is delivery


@pytest.mark.parametrize("name", ["vastdb_access_key", "vastdb_secret_key", "vastdb_region", "vastdb_bucket"])
def test_keys_without_an_endpoint_are_refused(name: str) -> None:
    assert "a database" in refusal(with_database(**{name: "x"}), ENDPOINTS, is_served=True)


def test_policies(tree: Tree) -> None:
    settings = FunctionSettings(roots=(str(tree.root),))

    def asking(policy: Any) -> Delivery:
        return Delivery("object", bucket="b", key="k", config={"policy_path": policy})

    inside, outside = asking(str(tree.inside)), asking(str(tree.outside))
    for delivery in (inside, outside):
        assert refusal(delivery, settings, is_served=True) == "the event names a policy_path: over HTTP no event may"
        assert allowed(delivery, FunctionSettings(), is_by_hand=True) is delivery
        assert refusal(delivery, FunctionSettings())
    assert allowed(inside, settings) is inside
    assert "under none of" in refusal(outside, settings)
    for nothing in (None, "", 7):  # a number is no path: the document says so
        delivery = asking(nothing)
        assert allowed(delivery, settings) is delivery


def test_short_names_of_policies_are_refused_too(tree: Tree) -> None:
    for event in (
        {"path": str(tree.inside), "policy": str(tree.outside)},
        {"path": str(tree.inside), "data": {"config": {"policy_path": str(tree.outside)}}},
    ):
        (delivery,) = deliveries(event)
        settings = FunctionSettings(roots=(str(tree.root),))
        assert "policy_path" in refusal(delivery, settings, is_served=True)
        assert "under none of" in refusal(delivery, settings)


def test_refusals_show_neither_paths_nor_addresses(tree: Tree) -> None:
    secret = "EXAMPLESECRET"
    for delivery in (file(f"/{secret}"), with_database(vastdb_endpoint=f"http://{secret}:1", vastdb_secret_key=secret)):
        assert secret not in refusal(delivery, FunctionSettings(roots=("/nowhere",)), is_served=True)
