"""Faults that a test plans for the loopback S3 server: which requests go wrong, how often, and how.

Examples::

    server.faults.add(op="get", kind="slow_down")  # the next GET is answered 503
    server.faults.add(op="get", kind="cut", times=2, key="a.exr")
    server.faults.add(op="*", kind="drop", times=None, probability=0.05, seed=7)
    server.faults.add(op="get", kind="replace", content=b"other bytes", after=1)  # after the second GET's answer
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from .vast_errors import ApiError

ANY = "*"


@dataclass(frozen=True)
class Kind:
    """What a fault does. Without a flag: answer with the error `code` instead."""

    code: str | None = None
    is_drop: bool = False  # close the connection without an answer
    share: float = 1.0  # so much of the body is sent …
    is_honest: bool = False  # … and Content-Length says so; otherwise the connection is closed there
    is_slow: bool = False  # wait `seconds` before the answer
    is_stalling: bool = False  # wait `seconds` in the middle of the body
    shift: int = 0  # another range than asked for, as Content-Range says
    is_whole: bool = False  # Range is ignored: 200 and the whole object
    without: str | None = None  # this header is left out
    is_replacing: bool = False  # after the answer, the object is replaced by `content`


KINDS = {
    "slow_down": Kind(code="SlowDown"),
    "unavailable": Kind(code="ServiceUnavailable"),
    "internal": Kind(code="InternalError"),
    "bad_gateway": Kind(code="BadGateway"),
    "forbidden": Kind(code="AccessDenied"),
    "no_such_key": Kind(code="NoSuchKey"),
    "no_such_bucket": Kind(code="NoSuchBucket"),
    "bad_request": Kind(code="InvalidRequest"),
    "invalid_range": Kind(code="InvalidRange"),
    "precondition": Kind(code="PreconditionFailed"),
    "drop": Kind(is_drop=True),
    "cut": Kind(share=0.5),
    "cut_at_once": Kind(share=0.0),
    "short": Kind(share=0.5, is_honest=True),
    "slow": Kind(is_slow=True),
    "stall": Kind(is_stalling=True),
    "shifted": Kind(shift=1),
    "whole": Kind(is_whole=True),
    "no_etag": Kind(without="ETag"),
    "no_time": Kind(without="Last-Modified"),
    "no_range": Kind(without="Content-Range"),
    "replace": Kind(is_replacing=True),
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
    key: str | None
    content: bytes
    message: str
    dice: random.Random
    hits: int = 0

    def strikes(self, op: str, key: str) -> bool:
        """Whether this request is struck; counts it if so."""
        if not ((op in self.ops or ANY in self.ops) and self.key in {None, key}) or self.times == self.hits:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.dice.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def error(self) -> ApiError:
        """Return the error to answer with."""
        code = self.kind.code or "InternalError"
        return ApiError(code, self.message or f"an injected fault ({code})")


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
        key: str | None = None,
        content: bytes = b"",
        message: str = "",
    ) -> Fault:
        """Plan a fault for requests of `op` (get, head, put, delete, list, several, or "*"), of one key if given.

        `times`: how many requests it strikes (None: no end). `after`: how many it lets pass first.
        `probability`: chance of each request, from `seed`. `seconds`: of the slow kinds. `message`: of the error.
        """
        ops = frozenset([op] if isinstance(op, str) else op)
        dice = random.Random(seed)
        fault = Fault(ops, KINDS[kind], times, after, probability, seconds, key, content, message, dice)
        with self._lock:
            self._planned.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all planned faults."""
        with self._lock:
            self._planned.clear()

    def strike(self, op: str, key: str) -> Fault | None:
        """Return the fault for this request, if any."""
        with self._lock:
            return next((fault for fault in self._planned if fault.strikes(op, key)), None)
