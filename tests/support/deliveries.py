"""What a platform does with events: sends some twice, in any order, one or several at once, and again what failed."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from exr_inspector.dataengine.function import Function, Outcome
from tests.support.functions import event

Event = dict[str, Any]

_AT_ONCE = 6
_LARGEST_POST = 20
_TRIES = 60


@dataclass
class Report:
    """`events`: how many different events each object had. A delivery is one event sent once."""

    events: Counter[str] = field(default_factory=Counter)
    deliveries: int = 0
    failed_deliveries: int = 0
    unfinished: int = 0


def planned(keys: Sequence[str], dice: random.Random) -> list[Event]:
    """Events of the objects, in any order: some objects have two, some events are sent twice."""
    events = [event(key, f"{key}#{number}") for key in keys for number in range(1 + (dice.random() < 0.2))]
    events += dice.sample(events, len(events) // 5)
    dice.shuffle(events)
    return events


def deliver(function: Function, events: Sequence[Event], dice: random.Random) -> Report:
    """Sends the events in posts of some, several posts at once; a post with a failure comes again, whole."""
    report = Report()
    for each in {each["id"]: each for each in events}.values():
        report.events[each["elementpath"].partition("/")[2]] += 1
    waiting = deque((post, 1) for post in _posts(events, dice))
    pending: deque[tuple[list[Event], int, Future[list[list[Outcome]]]]] = deque()
    while waiting or pending:
        while waiting and len(pending) < _AT_ONCE:
            post, tries = waiting.popleft()
            report.deliveries += len(post)
            pending.append((post, tries, function.submit_batch(post)))
        post, tries, future = pending.popleft()
        outcomes = [outcome for found in future.result(120) for outcome in found]
        failed = sum(outcome.status == "failed" for outcome in outcomes)
        assert all(outcome.is_retryable for outcome in outcomes if outcome.status == "failed"), outcomes
        report.failed_deliveries += failed
        if failed and tries < _TRIES:
            waiting.append((post, tries + 1))
        elif failed:
            report.unfinished += failed
    return report


def _posts(events: Sequence[Event], dice: random.Random) -> list[list[Event]]:
    posts, start = [], 0
    while start < len(events):
        size = dice.randint(1, _LARGEST_POST)
        posts.append(list(events[start : start + size]))
        start += size
    return posts
