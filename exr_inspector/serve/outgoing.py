"""Results on their way to the sink: which are sent, which are kept for the next delivery of their events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from exr_inspector.config_function import FunctionSettings
from exr_inspector.dataengine.function import Outcome
from exr_inspector.errors import shown
from exr_inspector.serve.metrics import Metrics
from exr_inspector.serve.results import Message, message_of, result_of
from exr_inspector.serve.sink import FAILED, REFUSED, SENT, Outbox, Sink

Event = Mapping[str, Any]

_WORDS = {FAILED: "not taken", REFUSED: "refused"}


class Outgoing:
    """Sends what the function returns, once for each event as far as it is remembered. Without a sink it does nothing.

    Where deliveries are repeated (PERSIST_FAILURE=retry), a result that cannot be sent makes its event's delivery
    fail; it is kept, so that the next delivery only sends it. Elsewhere it is given up, and that is logged.
    """

    def __init__(self, settings: FunctionSettings, metrics: Metrics, logger: logging.Logger) -> None:
        self._settings = settings
        self._metrics = metrics
        self._logger = logger
        self._sink = Sink(settings.sink) if settings.sink is not None else None
        self._outbox = Outbox()

    def close(self) -> None:
        """Gives up what is not sent yet."""
        if self._sink is not None:
            self._sink.close()

    def has_unsent(self, event: Event) -> bool:
        """Whether all is done for an event but that its result must be sent."""
        key = _key(event)
        return key is not None and self._outbox.unsent(key) is not None

    async def send(
        self,
        events: Sequence[Event],
        outcomes: Mapping[int, Sequence[Outcome]],
        failed: Collection[int],
        trace: Mapping[str, str],
    ) -> list[int]:
        """Sends the results of events that have not failed. Returns the indices of events to be delivered again.

        `outcomes` has those of the events that were handled now; of the others, what was kept is sent.
        """
        if self._sink is None:
            return []
        messages = {
            index: message
            for index, event in enumerate(events)
            if index not in failed and (message := self._message(event, outcomes.get(index), trace)) is not None
        }
        sent = (asyncio.wrap_future(self._sink.submit(message)) for message in messages.values())
        told = dict(zip(messages, await asyncio.gather(*sent), strict=True))
        return [index for index, word in told.items() if self._is_repeated(events[index], messages[index], word)]

    def _message(self, event: Event, outcomes: Sequence[Outcome] | None, trace: Mapping[str, str]) -> Message | None:
        """What is to be sent for an event, if anything is."""
        key = _key(event)
        if outcomes is None:
            return self._outbox.unsent(key)
        if key is not None and self._outbox.is_sent(key):
            return None
        return message_of(event, result_of(outcomes), trace, self._settings)

    def _is_repeated(self, event: Event, message: Message, word: str) -> bool:
        """Notes what became of an event's result."""
        self._metrics.sent(word)
        if word != SENT:
            self._logger.warning("event %s: its result was %s by the sink", shown(str(event.get("id"))), _WORDS[word])
        is_repeated = word == FAILED and self._settings.persist_failure == "retry"
        if (key := _key(event)) is not None:
            self._outbox.note(key, message if is_repeated else None)
        return is_repeated


def _key(event: Event) -> Hashable | None:
    """What makes two deliveries the same event (CloudEvents 1.0.2, "id")."""
    source, identity = event.get("source"), event.get("id")
    return (source, identity) if isinstance(source, str) and isinstance(identity, str) else None
