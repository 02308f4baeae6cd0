"""What `vastdb` raises, translated once: by type to a stable code.

The client's exceptions carry URLs, headers and hosts. None of that goes on: messages are ours, or the server's own
with the keys struck out, and the foreign exception is not chained into tracebacks.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import requests
import urllib3
from vastdb import errors
from vastdb._internal import QueryDataInternalError, UnsupportedServer

from exr_inspector.errors import Problem, shown
from exr_inspector.stores.vast import VASTDatabaseError

# The SDK has no type for statuses that it does not know: a gateway's 502 is a bare ValueError.
_UNKNOWN_STATUS = re.compile(r"(\d{3}) is not a valid HttpStatus\Z")
# Error codes of a 404 that mean a thing and not a transaction; *assumed*, see docs/decisions/0040.
_MISSING = re.compile(r"NoSuch(Bucket|Schema|Table|Column)")

# First match wins. The words stand before the server's own message, where it has one.
CODES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, str], ...] = (
    (errors.Conflict, "store_conflict", "another writer changed the same rows"),
    (errors.Forbidden, "store_refused", "access is denied"),
    (errors.MissingBucket, "store_refused", "there is no such bucket"),
    (errors.Missing, "store_schema", "a table is missing"),
    (errors.NotFound, "store_unreachable", "the transaction is over"),
    (errors.ServiceUnavailable, "store_unreachable", "the database is busy"),
    (errors.InternalServerError, "store_unreachable", "the database failed"),
    (errors.RequestTimeout, "store_unreachable", "the database did not answer in time"),
    (errors.InsufficientCapacity, "store_unreachable", "the database has no room"),
    (errors.ConnectionError, "store_unreachable", "the connection failed"),
    (requests.Timeout, "store_unreachable", "the database did not answer in time"),
    ((requests.RequestException, urllib3.exceptions.HTTPError), "store_unreachable", "the connection failed"),
    ((QueryDataInternalError, errors.ApiResponseError), "store_unreachable", "a query's answer failed"),
    ((pa.ArrowInvalid, EOFError, struct.error), "store_unreachable", "a query's answer was cut"),
    (errors.NotSupportedSchema, "store_schema", "the server does not take these columns"),
    ((UnsupportedServer, NotImplementedError), "store_refused", "this is no VAST DataBase that the client knows"),
    ((errors.HttpError, errors.InvalidArgument, errors.NotSupported, errors.Exists), "store_failed", "refused"),
)
_ANY = tuple(kind for kinds, _, _ in CODES for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))

Scrub = Callable[[str], str]


def scrubber(secrets: Sequence[str]) -> Scrub:
    """A function that strikes the secrets out of a text."""

    def scrub(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    return scrub


@contextmanager
def translated(scrub: Scrub) -> Iterator[None]:
    """Inside, what the client raises becomes VASTDatabaseError."""
    try:
        yield
    except _ANY as error:
        # Not chained: the client's exceptions tell URLs and hosts in their text.
        raise of_error(error, scrub) from None
    except ValueError as error:
        if found := _UNKNOWN_STATUS.match(str(error)):
            raise _error("store_unreachable", f"a gateway answered with status {found[1]}") from None
        raise


def of_error(error: BaseException, scrub: Scrub) -> VASTDatabaseError:
    """The translation of one of the client's exceptions."""
    code, words = next((code, words) for kinds, code, words in CODES if isinstance(error, kinds))
    if isinstance(error, errors.NotFound) and _MISSING.search(error.code or ""):
        code, words = "store_schema", "a table is missing"
    told = _told(error)
    is_of_rows = isinstance(error, errors.InternalServerError) and _sent_rows(error)
    return VASTDatabaseError(Problem(code, f"{words}: {scrub(told)}" if told else words), is_of_rows=is_of_rows)


def _told(error: BaseException) -> str:
    """What the server says of it, as one short line."""
    if isinstance(error, errors.HttpError):
        return f"{shown(error.code)} {shown(error.message)}" if error.code else f"status {error.status}"
    if isinstance(error, errors.MissingBucket):
        return shown(error.bucket)
    if isinstance(error, (errors.InvalidArgument, errors.NotSupported)):
        return shown(str(error))
    return ""


def _sent_rows(error: errors.HttpError) -> bool:
    return error.method in ("POST", "PUT") and error.url.partition("?")[2].startswith("rows")


def _error(code: str, message: str) -> VASTDatabaseError:
    return VASTDatabaseError(Problem(code, message))
