"""One session with the database: transactions whose end is certain, selects of row ids, inserts of bounded size.

A session keeps its HTTP connections without a lock, so a client belongs to one thread. Selects are pinned to the
endpoint: the client would otherwise ask addresses that the server names.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any

import backoff
import pyarrow as pa
import vastdb
from vastdb import errors
from vastdb.config import BackoffConfig, QueryConfig, SessionConfig

from exr_inspector.config_vast import VastSettings
from exr_inspector.stores.vast import VASTDatabaseError
from exr_inspector.stores.vast_errors import scrubber, translated

ROW_ID = "$row_id"
# Above about 4.9 MiB the client turns an insert into an insert and updates.
MAX_INSERT_BYTES = 4 << 20
# A query of more keys than this is cut into several: each key is a node of its predicate.
MAX_KEYS = 500

# The client repeats what the server refused for being busy (503 SlowDown), and reads whose connection broke.
_BACKOFF = BackoffConfig(wait_gen=partial(backoff.expo, factor=0.1), max_tries=6, max_time=20.0, max_value=1.0)
_ROLLBACK_TRIES = 4


class CommitFailed(Exception):
    """A commit was not answered with success. `is_over`: it is certain that it will not be applied from now on."""

    def __init__(self, error: VASTDatabaseError, *, is_over: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.is_over = is_over


def quiet_logger() -> None:
    """The client logs URLs and headers; nothing of it leaves this process through logging."""
    logger = logging.getLogger("vastdb")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logger.setLevel(logging.CRITICAL)
    logging.getLogger("backoff").setLevel(logging.CRITICAL)  # it sets INFO itself, and tells hosts and ports
    if logging.getLogger("urllib3.connectionpool").level == logging.NOTSET:
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


def pauses(tries: int, first: float = 0.02, longest: float = 1.0) -> Iterator[float]:
    """How long to wait before each further try: random, up to a bound that doubles."""
    for number in range(tries - 1):
        yield random.uniform(0, min(longest, first * 2**number))  # noqa: S311 - so that writers do not meet again


class Client:
    """A session, and what this program does with one. `session` is a `vastdb.Session` that the caller made."""

    def __init__(self, settings: VastSettings, session: Any = None) -> None:
        quiet_logger()
        self.settings = settings
        self._scrub = scrubber((settings.access_key.reveal(), settings.secret_key.reveal()))
        self._is_ours = session is None
        with self.translated():
            self.session: Any = _connect(settings) if session is None else session
        endpoints = [str(url) for url in self.session.api.endpoints]
        self._query_config = QueryConfig(data_endpoints=endpoints)

    @property
    def server_version(self) -> tuple[int, ...]:
        """As the server tells it."""
        return tuple(self.session.api.vast_version)

    def close(self) -> None:
        """Closes the connections, if the session is ours."""
        if self._is_ours:
            self.session.api.__exit__()

    # ---- Transactions --------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A transaction: committed at the end, rolled back on any exception.

        Raises VASTDatabaseError, and CommitFailed if the commit was not answered with success: the transaction was
        then ended by a rollback, as far as the server could be reached.
        """
        with self.translated():
            transaction = self.session.transaction().__enter__()
        txid = transaction.txid
        try:
            with self.translated():
                yield transaction
        except BaseException:
            transaction.txid = None
            self.end(txid)
            raise
        self._commit(transaction, txid)

    def _commit(self, transaction: Any, txid: int) -> None:
        try:
            with self.translated():
                transaction.__exit__(None, None, None)
        except VASTDatabaseError as error:
            raise CommitFailed(error, is_over=self.end(txid)) from None
        except BaseException:
            self.end(txid)
            raise

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A transaction that changes nothing: that its end was not answered does not matter."""
        with suppress(CommitFailed), self.transaction() as transaction:
            yield transaction

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """A transaction that may be run again whatever became of it. Raises VASTDatabaseError."""
        try:
            with self.transaction() as transaction:
                yield transaction
        except CommitFailed as failure:
            raise failure.error from None

    @contextmanager
    def scratch(self) -> Iterator[Any]:
        """A transaction that is always rolled back. Raises VASTDatabaseError."""
        with self.translated():
            transaction = self.session.transaction().__enter__()
        txid = transaction.txid
        try:
            yield transaction
        finally:
            transaction.txid = None
            self.end(txid)

    def translated(self) -> AbstractContextManager[None]:
        """Inside, what the client raises becomes VASTDatabaseError."""
        return translated(self._scrub)

    @staticmethod
    def sleep(seconds: float) -> None:
        """Waits before the next try."""
        time.sleep(seconds)

    def end(self, txid: int) -> bool:
        """Rolls a transaction back, or finds that it is over. False if the server could not be asked.

        Worth several tries: a transaction that stays open keeps its lock rows until the server lets it expire.
        """
        for pause in (*pauses(_ROLLBACK_TRIES), 0.0):
            try:
                with self.translated(), suppress(errors.NotFound):
                    self.session.api.rollback_transaction(txid)
            except VASTDatabaseError:
                self.sleep(pause)
            else:
                return True
        return False

    # ---- Rows ----------------------------------------------------------------------------------------------

    def select(
        self, table: Any, columns: Sequence[str], predicate: Any = None, *, with_row_ids: bool = False
    ) -> pa.Table:
        """Rows of a table of an open transaction; their `$row_id` as the last column, if wanted."""
        with self.translated():
            reader = table.select(
                columns=list(columns), predicate=predicate, config=self._query_config, internal_row_id=with_row_ids
            )
            found: pa.Table = reader.read_all()
        return found

    def select_keys(
        self, table: Any, key: str, values: Sequence[Any], columns: Sequence[str], *, with_row_ids: bool = False
    ) -> pa.Table:
        """The rows whose `key` is one of `values`, which must not be empty."""
        found = [
            self.select(
                table, columns, table[key].isin(list(values[start : start + MAX_KEYS])), with_row_ids=with_row_ids
            )
            for start in range(0, len(values), MAX_KEYS)
        ]
        return pa.concat_tables(found)


def insert(table: Any, rows: pa.Table) -> None:
    """Inserts rows, at most 4 MiB at a time."""
    for batch in slices(rows):
        table.insert(batch)


def update(table: Any, rows: pa.Table) -> None:
    """Updates rows by their `$row_id`, at most 4 MiB at a time."""
    for batch in slices(rows):
        table.update(batch)


def slices(rows: pa.Table, largest: int = MAX_INSERT_BYTES) -> Iterator[pa.RecordBatch]:
    """The rows in batches of at most that many bytes; a single row is never cut."""
    if not rows.num_rows:
        return
    waiting = [rows.combine_chunks().to_batches()[0]]
    while waiting:
        batch = waiting.pop()
        if batch.num_rows > 1 and pa.ipc.get_record_batch_size(batch) > largest:
            middle = batch.num_rows // 2
            waiting += [batch.slice(middle), batch.slice(0, middle)]
        else:
            yield batch


def _connect(settings: VastSettings) -> Any:
    return vastdb.connect(
        endpoint=settings.endpoint,
        access=settings.access_key.reveal(),
        secret=settings.secret_key.reveal(),
        timeout=settings.timeout_seconds,
        backoff_config=_BACKOFF,
        config=SessionConfig(data_endpoints=[settings.endpoint]),
    )
