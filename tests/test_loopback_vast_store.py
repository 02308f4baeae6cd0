"""The loopback server's database against a model of snapshot isolation that copies everything."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("vastdb")

from tests.loopback import vast_rows
from tests.loopback.vast_errors import ApiError
from tests.loopback.vast_rows import nulls
from tests.loopback.vast_store import Database

TABLE = ("b", "s", "t")
SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.utf8())])


def batch_of(values: list[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"n": values, "text": [f"text {v}" for v in values]}, schema=SCHEMA)


def new_database(**options: float) -> Database:
    database = Database(["b"], options.get("transaction_timeout", 60.0))
    txid = database.begin()
    database.create_schema(txid, TABLE[:2])
    database.create_table(txid, TABLE, SCHEMA, [], None)
    database.commit(txid)
    return database


@dataclass
class ModelTransaction:
    """All rows as of the begin, with own changes applied."""

    rows: dict[int, int]
    began: int
    locked: set[int] = field(default_factory=set)
    inserted: set[int] = field(default_factory=set)


class Model:
    """Snapshot isolation, first updater wins, in the plainest way."""

    def __init__(self) -> None:
        self.committed: dict[int, int] = {}
        self.changed: dict[int, int] = {}
        self.commits = 0
        self.open: dict[int, ModelTransaction] = {}

    def begin(self, txid: int) -> None:
        self.open[txid] = ModelTransaction(dict(self.committed), self.commits)

    def conflicts(self, txid: int, row: int) -> bool:
        held = any(row in other.locked for key, other in self.open.items() if key != txid)
        return held or self.changed.get(row, -1) > self.open[txid].began

    def commit(self, txid: int) -> None:
        done = self.open.pop(txid)
        self.commits += 1
        for row in done.locked | done.inserted:
            self.committed.pop(row, None)
            if row in done.rows:
                self.committed[row] = done.rows[row]
        self.changed.update(dict.fromkeys(done.locked, self.commits))


def seen(database: Database, txid: int) -> dict[int, int]:
    entry, view = database.view(txid, TABLE)
    numbers = view.column(entry.column("n").column_id, pa.int64()).to_pylist()
    texts = view.column(entry.column("text").column_id, pa.utf8()).to_pylist()
    assert texts == [f"text {n}" for n in numbers]
    assert list(view.row_ids) == sorted(view.row_ids)
    return dict(zip(view.row_ids.tolist(), numbers, strict=True))


def one_step(dice: random.Random, database: Database, model: Model) -> None:
    action = dice.choice(["begin", "insert", "insert", "update", "update", "update", "delete", "commit", "rollback"])
    if action == "begin" or not model.open:
        if len(model.open) < 4:
            model.begin(database.begin())
        return
    txid = dice.choice(list(model.open))
    if action == "commit":
        database.commit(txid)
        model.commit(txid)
    elif action == "rollback":
        database.rollback(txid)
        del model.open[txid]
    elif action == "insert":
        insert(dice, database, model, txid)
    else:
        change(dice, database, model, txid, delete=action == "delete")


def insert(dice: random.Random, database: Database, model: Model, txid: int) -> None:
    values = [dice.randrange(1000) for _ in range(dice.randrange(1, 5))]
    rows = database.insert(txid, TABLE, batch_of(values)).tolist()
    model.open[txid].rows.update(zip(rows, values, strict=True))
    model.open[txid].inserted.update(rows)


def change(dice: random.Random, database: Database, model: Model, txid: int, *, delete: bool) -> None:
    mine = model.open[txid]
    rows = sorted(dice.sample(sorted(mine.rows), min(len(mine.rows), dice.randrange(1, 4))))
    values = [dice.randrange(1000) for _ in rows]
    expected = any(model.conflicts(txid, row) for row in rows)
    try:
        if delete:
            database.delete(txid, TABLE, np.array(rows, dtype=np.int64))
        else:
            database.update(txid, TABLE, np.array(rows, dtype=np.int64), batch_of(values))
    except ApiError as error:
        assert (error.code, expected) == ("Conflict", True)
        return
    assert not expected
    mine.locked.update(rows)
    for row, value in zip(rows, values, strict=True):
        mine.rows.pop(row) if delete else mine.rows.update({row: value})


@pytest.mark.parametrize("seed", range(25))
def test_database_is_as_the_model(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vast_rows, "VACUUM_MIN_DEAD", 6)
    dice, database, model = random.Random(seed), new_database(), Model()
    for _ in range(120):
        one_step(dice, database, model)
        for txid, transaction in model.open.items():
            assert seen(database, txid) == transaction.rows
        assert sorted(database.committed(TABLE)["n"].to_pylist()) == sorted(model.committed.values())


def test_columns_of_an_update_that_are_not_sent_stay() -> None:
    database = new_database()
    txid = database.begin()
    rows = database.insert(txid, TABLE, batch_of([1, 2, 3]))
    database.update(txid, TABLE, rows[1:2], pa.RecordBatch.from_pydict({"n": [20]}))
    database.commit(txid)
    assert database.committed(TABLE).to_pydict() == {"n": [1, 20, 3], "text": ["text 1", "text 2", "text 3"]}


def test_schema_dropped_while_a_table_is_created_in_it() -> None:
    database = new_database()
    txid = database.begin()
    database.create_schema(txid, ("b", "empty"))
    database.commit(txid)
    creator, dropper = database.begin(), database.begin()
    database.create_table(creator, ("b", "empty", "t"), SCHEMA, [], None)
    database.drop_schema(dropper, ("b", "empty"))
    database.commit(dropper)
    with pytest.raises(ApiError, match="Conflict"):
        database.commit(creator)
    assert database.open_transactions() == []


@pytest.mark.parametrize("item", [pa.float32(), pa.int8(), pa.decimal128(10), pa.timestamp("s")], ids=str)
def test_null_vectors_have_items_that_are_not_null(item: pa.DataType) -> None:
    vectors = nulls(3, pa.list_(pa.field("item", item, nullable=False), 4))
    vectors.validate(full=True)
    assert (vectors.null_count, vectors.values.null_count) == (3, 0)
