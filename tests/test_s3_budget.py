"""The bytes in flight: never more than allowed but where nobody else could go on, and never a deadlock."""

from __future__ import annotations

import random
import threading
import time

import pytest

from exr_inspector.s3.budget import Budget, Share

SOON = 20.0


def taken(budget: Budget, share: Share, size_bytes: int, seconds: float = 0.05) -> bool:
    return budget.take(share, size_bytes, timeout_seconds=seconds)


def waiting(budget: Budget, share: Share, size_bytes: int) -> threading.Thread:
    """A thread that waits in `take`; it is there when this returns."""
    thread = threading.Thread(target=budget.take, args=(share, size_bytes), kwargs={"timeout_seconds": SOON})
    thread.start()
    deadline = time.monotonic() + SOON
    while thread.is_alive() and not any(wait.share is share for wait in budget._waits) and time.monotonic() < deadline:
        time.sleep(0.001)
    return thread


def test_room_and_no_room() -> None:
    budget, first, second = Budget(100), Share(), Share()
    assert taken(budget, first, 60)
    assert not taken(budget, second, 41)
    assert taken(budget, second, 40)
    budget.give(first, 30)
    assert taken(budget, second, 30)
    budget.give_all(second)
    assert (budget.held_bytes, second.held_bytes, budget.peak_bytes) == (30, 0, 100)


def test_what_waits_goes_on_when_there_is_room() -> None:
    budget, first, second = Budget(100), Share(), Share()
    taken(budget, first, 100)
    thread = waiting(budget, second, 50)
    assert thread.is_alive()
    budget.give(first, 50)
    thread.join(SOON)
    assert second.held_bytes == 50


def test_larger_than_the_budget_runs_alone() -> None:
    budget, first, large = Budget(100), Share(), Share()
    taken(budget, first, 1)
    thread = waiting(budget, large, 500)
    assert thread.is_alive()
    budget.give_all(first)
    thread.join(SOON)
    assert large.held_bytes == 500
    assert not taken(budget, first, 1)
    budget.give_all(large)
    assert taken(budget, first, 1)


def test_readers_that_grow_come_before_new_ones() -> None:
    budget, first, growing, new = Budget(100), Share(), Share(), Share()
    taken(budget, first, 90)
    taken(budget, growing, 10)
    late = waiting(budget, new, 10)
    early = waiting(budget, growing, 20)
    budget.give(first, 25)
    early.join(SOON)
    assert (growing.held_bytes, new.held_bytes) == (30, 0)
    budget.give(first, 65)
    late.join(SOON)
    assert new.held_bytes == 10


def test_no_deadlock_where_all_hold_and_all_need_more() -> None:
    """The first goes on beyond the budget; the second only after it."""
    budget, first, second = Budget(100), Share(), Share()
    taken(budget, first, 50)
    taken(budget, second, 50)
    one = waiting(budget, first, 30)
    other = waiting(budget, second, 30)
    one.join(SOON)
    assert (first.held_bytes, other.is_alive(), budget.held_bytes) == (80, True, 130)
    budget.give_all(first)
    other.join(SOON)
    assert second.held_bytes == 80


@pytest.mark.parametrize("threads", [2, 16])
def test_many_readers_all_come_to_their_end(threads: int) -> None:
    """Each grows three times; together they want ten times the budget."""
    limit = 1_000
    budget = Budget(limit)
    failures: list[int] = []
    largest = 400

    def read(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(60):
            share = Share()
            sizes = [dice.randint(1, largest // 4) for _ in range(4)]
            failures.extend(size for size in sizes if not budget.take(share, size, timeout_seconds=SOON))
            budget.give_all(share)

    running = [threading.Thread(target=read, args=(seed,)) for seed in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    assert failures == []
    assert budget.held_bytes == 0
    assert budget.peak_bytes <= limit + largest  # at most one reader is beyond it
