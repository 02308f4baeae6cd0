"""The VAST store: the contract of all stores through the real client, and what is VAST's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

pytest.importorskip("vastdb")

from exr_inspector.config_vast import Secret, VastSettings
from exr_inspector.stores.vast_store import VastStore
from tests.loopback.vast_server import VastServer
from tests.store_contract import Row, Rows, StoreContract

VERSIONS = [(5, 4), (5, 5)]
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


def settings_of(server: VastServer, **changes: Any) -> VastSettings:
    """Settings for a server; few lock shards, which are quick to make."""
    made = VastSettings(
        server.endpoint, Secret(server.access_key), Secret(server.secret_key), "b", lock_shards=512, timeout_seconds=10
    )
    return made._replace(**changes)


@pytest.fixture(params=VERSIONS, ids=["v5.4", "v5.5"])
def server(request: pytest.FixtureRequest) -> Iterator[VastServer]:
    with VastServer(version=request.param, buckets=["b"]) as running:
        yield running


@pytest.fixture
def open_store(server: VastServer) -> Iterator[Callable[..., VastStore]]:
    opened: list[VastStore] = []

    def open_(**changes: Any) -> VastStore:
        opened.append(VastStore(settings_of(server, **changes)))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


class TestContract(StoreContract):
    """The contract, at both server versions."""

    @pytest.fixture
    def open_store(self, server: VastServer) -> Iterator[Callable[[], VastStore]]:
        opened: list[VastStore] = []

        def open_() -> VastStore:
            opened.append(VastStore(settings_of(server)))
            return opened[-1]

        yield open_
        for store in opened:
            store.close()

    @pytest.fixture
    def rows(self, server: VastServer) -> Rows:
        def read(table: str) -> list[Row]:
            found: list[Row] = server.table("b", "exr_metadata", table).to_pylist()
            return found

        return read

    @pytest.fixture
    def broken(self, server: VastServer) -> Callable[[], AbstractContextManager[None]]:
        @contextmanager
        def break_() -> Iterator[None]:
            server.faults.add(op="insert", kind="forbidden", table="attributes", times=None)
            yield
            server.faults.clear()

        return break_
