"""Faults that a test plans: which requests go wrong, how often, and how.

Examples::

    server.faults.add(op="commit", kind="drop_after")  # the next commit is applied, its answer lost
    server.faults.add(op=("insert", "update"), kind="conflict", times=2, table="files")
    server.faults.add(op="*", kind="slow_down", times=None, probability=0.05, seed=7)
    server.faults.add(op="select", kind="slow", seconds=1.5)
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from .vast_errors import ApiError

ANY = "*"


@dataclass(frozen=True)
class Kind:
    """What a fault does."""

    code: str | None = None  # answer with this error instead
    drop: bool = False  # close the connection without an answer
    cut: bool = False  # send half of the answer, then close the connection
    slow: bool = False  # wait `seconds`
    fail_stream: bool = False  # a select's answer ends with the failure mark
    applied: bool = False  # the request is carried out first


KINDS = {
    "slow_down": Kind(code="SlowDown"),
    "unavailable": Kind(code="ServiceUnavailable"),
    "conflict": Kind(code="Conflict"),
    "forbidden": Kind(code="AccessDenied"),
    "internal": Kind(code="InternalError"),
    "internal_after": Kind(code="InternalError", applied=True),
    "bad_gateway": Kind(code="BadGateway"),
    "bad_gateway_after": Kind(code="BadGateway", applied=True),
    "drop_before": Kind(drop=True),
    "drop_after": Kind(drop=True, applied=True),
    "cut": Kind(cut=True, applied=True),
    "slow": Kind(slow=True),
    "slow_after": Kind(slow=True, applied=True),
    "stream_failed": Kind(fail_stream=True, applied=True),
}


@dataclass
class Fault:
    """One planned fault; `hits` counts the requests it struck."""

    ops: frozenset[str]
    kind: Kind
    times: int | None
    after: int
    probability: float
    seconds: float
    table: str | None
    dice: random.Random
    hits: int = field(default=0)

    def strikes(self, op: str, table: str) -> bool:
        """Whether this request is struck; counts it if so."""
        if not self._concerns(op, table) or self.times == self.hits:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.dice.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def _concerns(self, op: str, table: str) -> bool:
        return (op in self.ops or ANY in self.ops) and self.table in {None, table}

    def error(self) -> ApiError:
        """Return the error to answer with."""
        code = self.kind.code or "InternalError"
        return ApiError(code, f"an injected fault ({code})")


class Faults:
    """The planned faults of one server; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []

    def add(
        self,
        op: str | Iterable[str],
        kind: str,
        *,
        times: int | None = 1,
        after: int = 0,
        probability: float = 1.0,
        seed: int = 0,
        seconds: float = 0.0,
        table: str | None = None,
    ) -> Fault:
        """Plan a fault for requests of `op` (a name, several, or "*"), of one table if given.

        `times`: how many requests it strikes (None: no end). `after`: how many it lets pass first.
        `probability`: chance of each request, from `seed`. `seconds`: of the slow kinds.
        """
        ops = frozenset([op] if isinstance(op, str) else op)
        dice = random.Random(seed)
        fault = Fault(ops, KINDS[kind], times, after, probability, seconds, table, dice)
        with self._lock:
            self._planned.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all planned faults."""
        with self._lock:
            self._planned.clear()

    def strike(self, op: str, table: str) -> Fault | None:
        """Return the fault for this request, if any."""
        with self._lock:
            return next((fault for fault in self._planned if fault.strikes(op, table)), None)
