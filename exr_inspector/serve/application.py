"""The HTTP contract: what is posted, and what is answered."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from exr_inspector.config_function import FunctionSettings
from exr_inspector.dataengine.function import Function, Outcome
from exr_inspector.errors import CODES
from exr_inspector.events import EventError, from_http
from exr_inspector.serve.body import Body, Gone, Refused, Room
from exr_inspector.serve.futures import result_of
from exr_inspector.serve.metrics import CONTENT_TYPE, Metrics
from exr_inspector.serve.outgoing import Outgoing
from exr_inspector.serve.results import kept_trace

Event = Mapping[str, Any]

_NOT_READY_SECONDS = 5
_MAX_TOLD = 100
_KNOWN_BY = ("id", "partitionkey", "traceparent", "tracestate")
_MAX_ID_CHARACTERS = 200


class Failure(NamedTuple):
    """An event of a post that must be delivered again, and the code of the reason."""

    position: int
    event: Event
    code: str

    def as_entry(self) -> dict[str, Any]:
        """As it stands in the answer."""
        identity = self.event.get("id")
        shown = identity[:_MAX_ID_CHARACTERS] if isinstance(identity, str) else None
        return {"index": self.position, "id": shown, "code": self.code, "message": CODES[self.code].meaning}


class Application:
    """The function with its HTTP side. `asgi` is what a server runs."""

    def __init__(
        self, function: Function, settings: FunctionSettings, metrics: Metrics, logger: logging.Logger
    ) -> None:
        self._function = function
        self._settings = settings
        self._metrics = metrics
        self._logger = logger
        self._room = Room(settings.max_requests)
        self._outgoing = Outgoing(settings, metrics, logger)
        self.is_stopping = False
        metrics.ready.set_function(lambda: float(self.reason == ""))
        self.asgi = Starlette(routes=self._routes())

    @property
    def reason(self) -> str:
        """Why no event is taken now; "" if events are."""
        if self.is_stopping:
            return "stopping"
        return "" if self._function.is_ready else self._function.reason or "not ready"

    def close(self) -> None:
        """Gives up what is on its way to the sink."""
        self._outgoing.close()

    # ---- What is answered

    async def post(self, request: Request) -> Response:
        """One event or several."""
        started = monotonic()
        with self._metrics.in_flight.track_inprogress():
            response = await self._guarded(request)
        self._metrics.answered(response.status_code, monotonic() - started)
        return response

    async def _guarded(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except Refused as refused:
            return _refusal(refused)
        except Gone:
            return _plain(400, "the client went away")  # nobody reads it
        except Exception:  # the outer door: whatever it was, it must be delivered again, and its text may be anything
            self._logger.exception("a post failed for a reason that is not known")
            return _plain(500, "internal error")

    async def _answer(self, request: Request) -> Response:
        _require_readable(request)
        if self.reason:
            raise Refused(503, self.reason, retry_seconds=_NOT_READY_SECONDS)
        with Body(self._room, self._settings.max_body_bytes) as body:
            data = await body.read(request.receive, request.headers.get("content-length"))
            failures = await self._handled(_events(request, data), kept_trace(request.headers))
        return _failed(failures) if failures else Response(status_code=204)

    async def _handled(self, events: Sequence[Event], trace: Mapping[str, str]) -> list[Failure]:
        """Which events must be delivered again."""
        waiting = self._function.submit_batch(events)
        events = [_known(event) for event in events]
        outcomes = await result_of(waiting)
        is_retrying = self._settings.persist_failure == "retry"
        failed = {index: code for index, each in enumerate(outcomes) if (code := _retried(each))} if is_retrying else {}
        done = {index: event for index, event in enumerate(events) if index not in failed}
        unsent = await self._outgoing.send(done, outcomes, trace)
        if is_retrying:
            failed |= dict.fromkeys(unsent, "sink_failed")
        return [Failure(index, events[index], failed[index]) for index in sorted(failed)]

    async def options(self, request: Request) -> Response:
        """The probe of CloudEvents' protection against abuse: any sender may post, as often as it likes."""
        headers = {"allow": "POST, OPTIONS"}
        if "webhook-request-origin" in request.headers:
            headers |= {"webhook-allowed-origin": "*", "webhook-allowed-rate": "*"}
        return Response(status_code=200, headers=headers)

    async def readiness(self, _request: Request) -> Response:
        """200 when events are taken, else 503 and why not."""
        reason = self.reason
        return _plain(503, reason) if reason else _plain(200, "ready")

    async def liveness(self, _request: Request) -> Response:
        """200: whoever reads this is alive."""
        return _plain(200, "alive")

    async def metrics(self, _request: Request) -> Response:
        """Prometheus text."""
        return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE})

    def _routes(self) -> list[Route]:
        return [
            Route("/", self.post, methods=["POST"]),
            Route("/", self.options, methods=["OPTIONS"]),
            Route("/readiness", self.readiness),
            Route("/liveness", self.liveness),
            Route("/metrics", self.metrics),
        ]


# ---- Requests


_JSON_TYPES = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "text/json")


def _require_readable(request: Request) -> None:
    """Raises Refused (415) for a body that cannot be an event: the headers say enough."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_binary_mode = "ce-specversion" in request.headers or "ce-id" in request.headers
    if not is_binary_mode and media_type not in _JSON_TYPES:
        raise Refused(415, f"one of {', '.join(_JSON_TYPES[:3])} is needed, or the headers of a CloudEvent")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "a body without content encoding is needed")


def _events(request: Request, data: bytes) -> Sequence[Event]:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    try:
        return from_http(headers, data)
    except EventError as error:
        raise Refused(400, str(error)) from error


def _known(event: Event) -> Event:
    """What an event is known by. The rest, which parsed may be many times the body, need not wait for the answer."""
    return {name: event[name] for name in _KNOWN_BY if name in event}


# ---- Answers


def _retried(outcomes: Sequence[Outcome]) -> str | None:
    """The code of what failed and may go better at the next delivery."""
    failed = (outcome for outcome in outcomes if outcome.status == "failed" and outcome.is_retryable)
    return next((outcome.code or "function_failed" for outcome in failed), None)


def _plain(status: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", status_code=status)


def _refusal(refused: Refused) -> Response:
    response = _plain(refused.status, refused.message)
    if refused.retry_seconds is not None:
        response.headers["retry-after"] = str(refused.retry_seconds)
    return response


def _failed(failures: Sequence[Failure]) -> Response:
    told = [failure.as_entry() for failure in failures[:_MAX_TOLD]]
    body = {"error": "delivery must be repeated", "failed": len(failures), "failures": told}
    return Response(json.dumps(body), status_code=500, media_type="application/json")
