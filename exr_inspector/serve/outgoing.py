"""Results on their way to the sink, and which events must be delivered again because theirs did not arrive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from exr_inspector.config_function import FunctionSettings
from exr_inspector.dataengine.function import Outcome
from exr_inspector.errors import shown
from exr_inspector.serve.futures import result_of
from exr_inspector.serve.metrics import Metrics
from exr_inspector.serve.results import message_of, returned
from exr_inspector.serve.sink import FAILED, REFUSED, SENT, Sink

Event = Mapping[str, Any]

_WORDS = {FAILED: "not taken", REFUSED: "refused"}


class Outgoing:
    """Sends what the function returns. Without a sink it does nothing.

    At least once: an event that is delivered again has its result sent again, with the same id.
    """

    def __init__(self, settings: FunctionSettings, metrics: Metrics, logger: logging.Logger) -> None:
        self._settings = settings
        self._metrics = metrics
        self._logger = logger
        self._sink = Sink(settings.sink) if settings.sink is not None else None

    def close(self) -> None:
        """Gives up what is not sent yet."""
        if self._sink is not None:
            self._sink.close()

    async def send(
        self, events: Mapping[int, Event], outcomes: Sequence[Sequence[Outcome]], trace: Mapping[str, str]
    ) -> list[int]:
        """Sends the results of these events, by their place in `outcomes`. Returns which of them did not arrive.

        One that is refused for good is not among them: it would be refused again.
        """
        if self._sink is None:
            return []
        messages = [
            message_of(event, returned(outcomes[index]), trace, self._settings) for index, event in events.items()
        ]
        words = await asyncio.gather(*(result_of(self._sink.submit(message)) for message in messages))
        for event, word in zip(events.values(), words, strict=True):
            self._tell(event, word)
        return [index for index, word in zip(events, words, strict=True) if word == FAILED]

    def _tell(self, event: Event, word: str) -> None:
        self._metrics.sent(word)
        if word != SENT:
            self._logger.warning("event %s: its result was %s by the sink", shown(str(event.get("id"))), _WORDS[word])
