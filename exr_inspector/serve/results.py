"""What the function returns, as a new CloudEvent for the sink, in HTTP's binary mode: headers and a JSON body.

It has the document and what became of it, never what the event brought along. Values are cut, and what is still too
large is left out step by step, so that the event stays below 1 MiB.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple
from urllib.parse import quote

from exr_inspector.config_function import FunctionSettings
from exr_inspector.cut import cut_document
from exr_inspector.dataengine.function import Outcome
from exr_inspector.limits import KIB, MIB

EVENT_TYPE = "vastdata.com:Function"
SOURCE_PREFIX = "vastdata.com:"
MAX_VALUE_BYTES = 4 * KIB
# Of headers and body; what HTTP adds fits in the rest of 1 MiB.
MAX_EVENT_BYTES = MIB - KIB
_MAX_ATTRIBUTE_CHARACTERS = 2 * KIB
_MAX_ERRORS = 20

# CloudEvents HTTP binding 1.0.2, 3.1.3.2: all that prints in ASCII stays, but blank, quotation mark and percent.
_UNQUOTED = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
# W3C Trace Context; whatever else has that name is not passed on.
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[0-9a-f-]{0,64})?\Z")
_TRACE_STATE = re.compile(r"[\x20-\x7e]{1,512}\Z")

Result = dict[str, Any]


class Message(NamedTuple):
    """One event on its way to the sink."""

    headers: dict[str, str]
    body: bytes


def message_of(
    event: Mapping[str, Any], result: Result, trace: Mapping[str, str], settings: FunctionSettings
) -> Message:
    """The event that tells a result. `trace` has the request's own `traceparent` and `tracestate`, if it has them."""
    attributes = _attributes(event, trace, settings)
    headers = {f"ce-{name}": quote(value, safe=_UNQUOTED) for name, value in attributes.items()}
    headers["content-type"] = "application/json"
    for name in ("traceparent", "tracestate"):
        if value := trace.get(name) or attributes.get(name):
            headers[name] = value
    head_bytes = sum(len(name) + len(value) + 4 for name, value in headers.items())
    return Message(headers, result_body(result, MAX_EVENT_BYTES - head_bytes))


def _attributes(event: Mapping[str, Any], trace: Mapping[str, str], settings: FunctionSettings) -> dict[str, str]:
    attributes = {
        "specversion": "1.0",
        "id": _bounded(event.get("id")) or str(uuid.uuid4()),
        "source": SOURCE_PREFIX + settings.function_name,
        "type": EVENT_TYPE,
        "time": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
    }
    if key := _bounded(event.get("partitionkey")):
        attributes["partitionkey"] = key
    own = kept_trace(event)
    if parent := own or trace:  # of one origin: a state belongs to its parent
        attributes.update(parent)
    return {**attributes, **settings.ce_overrides}


def _bounded(value: Any) -> str:
    """An attribute of the input; a very long one by its hash, so that the same is still the same."""
    text = value if isinstance(value, str) else ""
    if len(text) <= _MAX_ATTRIBUTE_CHARACTERS:
        return text
    return "sha256-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def kept_trace(values: Mapping[str, Any]) -> dict[str, str]:
    """`traceparent`, and `tracestate` with it, as far as they are what the standard says."""
    parent, state = values.get("traceparent"), values.get("tracestate")
    if not isinstance(parent, str) or not _TRACE_PARENT.match(parent):
        return {}
    kept = {"traceparent": parent}
    if isinstance(state, str) and _TRACE_STATE.match(state):
        kept["tracestate"] = state
    return kept


# ---- The body


def returned(outcomes: Sequence[Outcome]) -> Result:
    """What the function returns for an event: the document with `persistence`, or `documents`, several of them."""
    results = [outcome.result() for outcome in outcomes]
    return results[0] if len(results) == 1 else {"documents": results}


def _cut(max_value_bytes: int, start_bytes: int) -> Callable[[Result], Result]:
    return lambda document: cut_document(document, max_value_bytes, start_bytes)


def _without(*names: str) -> Callable[[Result], Result]:
    def leave_out(document: Result) -> Result:
        left_out = [*document.get("left_out", ()), *(name for name in names if document.get(name))]
        return {**{name: value for name, value in document.items() if name not in names}, "left_out": left_out}

    return leave_out


def _few_errors(document: Result) -> Result:
    return {**document, "errors": document.get("errors", [])[:_MAX_ERRORS]}


# What is done to a document, in this order, until the event is small enough.
STEPS: tuple[Callable[[Result], Result], ...] = (
    _cut(MAX_VALUE_BYTES, MAX_VALUE_BYTES),
    _cut(256, 64),
    _without("attributes"),
    _without("channels", "stats", "validation"),
    _without("parts", "integrity"),
    _few_errors,
)


def result_body(result: Result, max_bytes: int = MAX_EVENT_BYTES) -> bytes:
    """A result as JSON of at most so many bytes: of one file, or of several (`documents`)."""
    documents = result.get("documents")
    is_single = not isinstance(documents, list)
    few: list[Result] = [result] if is_single else list(documents or ())
    for step in STEPS:
        few = [step(document) for document in few]
        body = _json(few[0] if is_single else {**result, "documents": few})
        if len(body) <= max_bytes:
            return body
    return _json({"left_out": ["documents"], "count": len(few)})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
