"""What obstore's exceptions mean: one table from the store's answer to a SourceError.

The messages have the status and the store's own error code, nothing else that came over the wire: what obstore says
has the endpoint in it, and a server may repeat keys.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from exr_inspector.errors import Problem, SourceError

# The exceptions that obstore maps a status to; all others stand for any, which is then in their text.
_STATUS_OF_CLASS = {
    "FileNotFoundError": 404,
    "NotFoundError": 404,
    "PermissionDeniedError": 403,
    "UnauthenticatedError": 401,
    "PreconditionError": 412,
    "AlreadyExistsError": 409,
}
_STATUS = re.compile(r"Server returned (?:non-2xx|error) (?:status code: |response: )(\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
# Statuses that the same request may not meet again.
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504}

_WORDS = {
    "NoSuchBucket": "there is no such bucket",
    "NoSuchKey": "there is no such object",
    "NoSuchVersion": "there is no such version of the object",
    "KeyTooLongError": "the key is longer than the store allows",
    "InvalidBucketName": "no bucket can have that name",
}
_CODE_OF_STATUS = {401: "source_no_permission", 403: "source_no_permission", 404: "source_not_found"}
_NOT_FOUND = {"KeyTooLongError", "InvalidBucketName", "InvalidArgument"}


class Refusal(NamedTuple):
    """An answer that is not what was asked for: HTTP status (None: no answer at all), and the store's error code."""

    status: int | None
    code: str | None
    is_range_ignored: bool = False

    @property
    def is_passing(self) -> bool:
        """Whether to ask again makes sense: no answer, a wrong one, or a busy server."""
        return not self.is_range_ignored and (self.status is None or self.status in _PASSING)

    def error(self) -> SourceError:
        """The SourceError that stands for it."""
        words = _WORDS.get(self.code or "")
        if self.status is None:
            return SourceError(
                Problem("source_failed", "the object store cannot be reached, or breaks off its answers")
            )
        if self.status == 412:
            return SourceError(Problem("source_changed", "the object was replaced while it was read"))
        answer = f"the object store answers {self.status}" + (f" {self.code}" if self.code else "")
        message = f"{words} ({answer})" if words else answer
        if self.is_passing:
            return SourceError(Problem("source_failed", message))
        if self.code in _NOT_FOUND and self.status == 400:
            return SourceError(Problem("source_not_found", message))
        return SourceError(Problem(_CODE_OF_STATUS.get(self.status, "source_refused"), message))


# Nothing came, or not all of it.
NO_ANSWER = Refusal(None, None)


class Refused(Exception):
    """Raised by what asks, caught by what asks again."""

    def __init__(self, found: Refusal) -> None:
        super().__init__(found.status, found.code)
        self.refusal = found


def answered(status: int, body: str) -> Refusal:
    """What an HTTP status and the store's error document say."""
    code = _CODE.search(body)
    return Refusal(status, code[1] if code else None)


def refusal(error: BaseException) -> Refusal:
    """What an exception of obstore's says of the answer."""
    text = str(error)
    # Its own code stands first; where the key stands before it, it is in a URL, percent-encoded.
    code = _CODE.search(text)
    status = _STATUS_OF_CLASS.get(type(error).__name__)
    if status is None:
        found = _STATUS.search(text)
        status = int(found[1]) if found else None
    is_range_ignored = "non-partial response when range requested" in text.partition("Debug source")[0]
    return Refusal(status, code[1] if code else None, is_range_ignored)
