"""What `doctor` asks of VAST DataBase. Each check gives a verdict and its words, or raises VASTDatabaseError.

What the store's upsert assumes of a cluster (docs/decisions/0040-vast-writes.md) is asked here, of the cluster itself.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
from vastdb import errors

from exr_inspector.config_vast import VastSettings
from exr_inspector.doctor import FAILED, OK, WARNING
from exr_inspector.stores import vast_ledger
from exr_inspector.stores.vast import VASTDatabaseError
from exr_inspector.stores.vast_client import ROW_ID, Client, update
from exr_inspector.stores.vast_store import provisioned, require_current
from exr_inspector.stores.vast_tables import LOCKS, VERSIONS, Catalog, found_tables, load

Verdict = tuple[str, str]

# Row ids, which updates need, since 5.1; the tests run at 5.4 and 5.5.
_OLDEST_VERSION, _OLDEST_TESTED, _NEWEST_TESTED = (5, 1), (5, 4), (5, 5)
_PROBES = 4


class Probe:
    """The checks, in order; each may use what the ones before it found."""

    is_creating = False
    is_pruning = False

    def __init__(self, settings: VastSettings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._catalog: Catalog | None = None

    def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            self._client.close()

    def checks(self) -> Iterator[tuple[str, Callable[[], Verdict]]]:
        """The checks by name; those that need tables are left out if there are none."""
        yield "reachable", self.reachable
        yield "credentials", self.credentials
        yield "server version", self.server_version
        yield "bucket", self.bucket
        yield "tables", self.tables
        if self._catalog is not None:
            yield "lock table", self.lock_table
            yield "two open writers", self.two_open_writers
            yield "a writer come too late", self.late_writer
            yield "ended transactions", self.ended_transaction
            if self.is_pruning:
                yield "batch ledger", self.batch_ledger

    def _connected(self) -> Client:
        if self._client is None:
            self._client = Client(self._settings)
        return self._client

    # ---- The checks ----------------------------------------------------------------------------------------

    def reachable(self) -> Verdict:
        """Whether a VAST server answers at the endpoint."""
        version = self._connected().server_version
        return OK, f"a VAST server answers, version {_dotted(version)}"

    def credentials(self) -> Verdict:
        """Whether the keys open a transaction."""
        with self._connected().reading():
            pass
        return OK, "the keys are accepted"

    def server_version(self) -> Verdict:
        """Whether the version is one that this program was tested with."""
        version = self._connected().server_version[:2]
        if version < _OLDEST_VERSION:
            return FAILED, f"version {_dotted(version)} has no row ids, which updates need: 5.1 at least"
        if not _OLDEST_TESTED <= version <= _NEWEST_TESTED:
            return WARNING, f"version {_dotted(version)} is not one of those tested, 5.4 and 5.5"
        return OK, f"version {_dotted(version)} is one of those tested"

    def bucket(self) -> Verdict:
        """Whether the bucket is there, and open to us."""
        with self._connected().reading() as transaction:
            transaction.bucket(self._settings.bucket)
        return OK, f"bucket {self._settings.bucket} is there"

    def tables(self) -> Verdict:
        """Whether the tables are there, and as the program has them."""
        client = self._connected()
        if self.is_creating:
            self._catalog = provisioned(client)
            require_current(self._catalog)
            return OK, f"all tables are there, version {self._catalog.version}"
        with client.reading() as transaction:
            found = found_tables(client, transaction)
            if VERSIONS not in found or LOCKS not in found:
                return WARNING, "no tables yet: the first write makes them, or doctor --create"
            self._catalog = load(client, transaction)
        require_current(self._catalog)
        return OK, f"all tables are as version {self._catalog.version} has them"

    def lock_table(self) -> Verdict:
        """Whether every shard is there once."""
        client, catalog = self._opened()
        with client.reading() as transaction:
            shards = client.select(catalog.open(transaction, LOCKS), ["shard"])["shard"].to_pylist()
        if sorted(shards) != list(range(catalog.lock_shards)):
            return FAILED, f"{LOCKS} has {len(shards)} rows, not one for each of {catalog.lock_shards} shards"
        return OK, f"{catalog.lock_shards} shards, each there once"

    def two_open_writers(self) -> Verdict:
        """Whether, of two open transactions that change the same row, the second one is refused."""
        for shard in self._some_shards():
            try:
                with ExitStack() as stack:
                    first, second = (stack.enter_context(self._connected().scratch()) for _ in range(2))
                    self._touch(first, shard)
                    if self._is_refused(second, shard):
                        return OK, "the second one is refused: writers keep apart"
            except VASTDatabaseError as error:
                if error.code != "store_conflict":  # else a real writer has the shard: another one, then
                    raise
                continue
            return FAILED, "both may change one row: NOT SAFE for more than one writer"
        return WARNING, "other writers were in the way of every probe: ask again"

    def late_writer(self) -> Verdict:
        """Whether a transaction may change a row that another one changed, and committed, since it began."""
        for shard in self._some_shards():
            try:
                with self._connected().scratch() as late:
                    self._row_ids(late, shard)  # what it has seen
                    with self._connected().writing() as quick:
                        self._touch(quick, shard)
                    if self._is_refused(late, shard):
                        return OK, "it is refused: no upsert is based on what is out of date"
            except VASTDatabaseError as error:
                if error.code != "store_conflict":
                    raise
                continue
            return FAILED, "it is not refused: NOT SAFE for more than one writer"
        return WARNING, "other writers were in the way of every probe: ask again"

    def ended_transaction(self) -> Verdict:
        """Whether the server refuses to roll back what is committed. The batch ledger decides in any case."""
        client = self._connected()
        with client.writing() as transaction:
            txid = transaction.txid
        try:
            client.session.api.rollback_transaction(txid)
        except errors.NotFound:
            return OK, "a committed transaction cannot be rolled back"
        except errors.HttpError as error:
            return WARNING, f"rolling back a committed transaction answers {error.status}, not 404"
        return WARNING, "rolling back a committed transaction is answered with success; the batch ledger decides"

    def batch_ledger(self) -> Verdict:
        """Deletes the lines that no lost commit will ask for."""
        deleted = vast_ledger.prune(*self._opened())
        return OK, f"{deleted} lines older than {vast_ledger.KEPT_FOR.days} days deleted"

    # ---- Probing -------------------------------------------------------------------------------------------

    def _opened(self) -> tuple[Client, Catalog]:
        if self._catalog is None:  # `checks` does not ask then
            raise RuntimeError
        return self._connected(), self._catalog

    def _some_shards(self) -> list[int]:
        _, catalog = self._opened()
        return [random.randrange(catalog.lock_shards) for _ in range(_PROBES)]  # noqa: S311 - to avoid real writers

    def _row_ids(self, transaction: Any, shard: int) -> pa.Table:
        client, catalog = self._opened()
        table = catalog.open(transaction, LOCKS)
        return client.select_keys(table, "shard", [shard], ["shard"], with_row_ids=True).select([ROW_ID])

    def _touch(self, transaction: Any, shard: int) -> None:
        client, catalog = self._opened()
        rows = self._row_ids(transaction, shard)
        token = pa.array([f"doctor {uuid.uuid4().hex}"], pa.utf8())
        with client.translated():
            update(catalog.open(transaction, LOCKS), rows.append_column("last_batch", token))

    def _is_refused(self, transaction: Any, shard: int) -> bool:
        try:
            self._touch(transaction, shard)
            with self._connected().translated():
                transaction.__exit__(None, None, None)  # a server may find a conflict at the commit only
        except VASTDatabaseError as error:
            if error.code != "store_conflict":
                raise
            return True
        return False


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
