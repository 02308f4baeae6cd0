"""From threads to the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def result_of(future: Future[T]) -> Awaitable[T]:
    """The result of a future that a thread settles and that never raises; awaited in the loop that runs.

    `asyncio.wrap_future` would do, but leaves the two futures in a cycle: documents would wait for the garbage
    collector. Cancelling changes nothing for the thread.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[T] = loop.create_future()

    def settle(result: T) -> None:
        if not waiting.done():
            waiting.set_result(result)

    def tell(done: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more, the process ends
            loop.call_soon_threadsafe(settle, done.result())

    future.add_done_callback(tell)
    return waiting
