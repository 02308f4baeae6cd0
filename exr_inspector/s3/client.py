"""One client for each process: GETs that are tried again, within a time, and the bytes that may be in flight."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from functools import lru_cache, partial
from importlib import import_module
from threading import Thread, current_thread, main_thread
from typing import Any, TypeVar

from exr_inspector.config_s3 import S3Settings, s3_settings
from exr_inspector.errors import Problem, SourceError
from exr_inspector.limits import MIB
from exr_inspector.s3.budget import Budget
from exr_inspector.s3.errors import NO_ANSWER, Refusal, Refused, refusal
from exr_inspector.s3.records import ObjectState, S3Object, Unranged, Unsatisfiable, Wanted
from exr_inspector.s3.source import S3Source
from exr_inspector.s3.stores import Stores, check_bucket

# What all headers together may hold while they are read. Of usual headers 4,000 fit.
DEFAULT_IN_FLIGHT_BYTES = 256 * MIB

MOST_TRIES = 8
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 5.0
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MAX_ETAG = 1024

_T = TypeVar("_T")


class S3Client:
    """Reads and lists objects of one endpoint. Safe to share between threads; make one for each process.

    `in_flight_bytes` bounds what all its sources together hold. Raises SourceError (`source_unsupported`) if
    obstore is not installed, SettingsError if there are no keys and no explicit opt-in to go without.
    """

    def __init__(self, settings: S3Settings, *, in_flight_bytes: int = DEFAULT_IN_FLIGHT_BYTES) -> None:
        self.budget = Budget(in_flight_bytes)
        self.timeout_seconds = settings.timeout_seconds
        self._settings = settings
        self._stores = Stores(settings)
        self._get = import_module("obstore").get
        # Missing objects are FileNotFoundErrors, paths that cannot be parsed ValueErrors; the others have this root.
        self._foreign = (import_module("obstore.exceptions").BaseError, OSError, ValueError)

    def source(self, bucket: str, key: str, *, version_id: str | None = None) -> S3Source:
        """An object as a Source. Opens lazily: no request before the first read, which also checks the names."""
        return S3Source(self, bucket, key, version_id)

    def list(self, bucket: str, prefix: str) -> Iterator[S3Object]:
        """The objects whose keys begin with a prefix, in the order of their keys. Raises SourceError."""
        from exr_inspector.s3.listing import listed  # noqa: PLC0415 - XML, which reading does not need

        check_bucket(bucket)
        return listed(partial(self._page, bucket), prefix)

    def close(self) -> None:
        """Gives back what the client holds. A source that still reads makes new connections."""
        self._stores.close()

    # ---- Requests ------------------------------------------------------------------------------------------

    def range(self, wanted: Wanted, start: int, end: int, count: Callable[[], None]) -> tuple[bytes, ObjectState]:
        """The bytes from `start` to `end`, or to the object's end, and what the answer says of the object.

        `count` is called at each request. Raises SourceError, Unsatisfiable, and Unranged if the server
        ignores ranges.
        """
        store, path = self._stores.of_object(wanted)
        options = {**_options(wanted), "range": (start, end)}

        def once() -> tuple[bytes, ObjectState]:
            count()
            answer = self._get(store, path, options=options)
            first, last = answer.range
            return _body(answer, last - first), _state(answer.meta)

        return self._tried(once)

    def state(self, wanted: Wanted, count: Callable[[], None]) -> ObjectState:
        """What the object is, without its bytes: a HEAD, for empty objects only, of which no range can be had."""
        store, path = self._stores.of_object(wanted)
        options = {**_options(wanted), "head": True}

        def once() -> ObjectState:
            count()
            return _state(self._get(store, path, options=options).meta)

        return self._tried(once)

    def stream(
        self, wanted: Wanted, piece_bytes: int, count: Callable[[], None]
    ) -> tuple[Iterator[bytes], ObjectState]:
        """The whole object in pieces of about that size, from a server that ignores ranges. Left off, no more comes."""
        store, path = self._stores.of_object(wanted)

        def once() -> tuple[Iterator[bytes], ObjectState]:
            count()
            answer = self._get(store, path, options=_options(wanted))
            return self._pieces(iter(answer.stream(min_chunk_size=piece_bytes))), _state(answer.meta)

        return self._tried(once)

    def _page(self, bucket: str, parameters: Mapping[str, str]) -> bytes:
        from exr_inspector.s3.pages import page  # noqa: PLC0415 - twice the time that obstore takes to load

        return self._tried(partial(page, self._settings, bucket, parameters))

    def _tried(self, once: Callable[[], _T]) -> _T:
        """The answer to a request, asked for again as long as that makes sense and the time allows."""
        end = time.monotonic() + self.timeout_seconds / 2  # what is begun before takes the other half at most
        pauses = _pauses()
        while True:
            try:
                return _interruptible(once)
            except Refused as error:
                found = error.refusal
            except self._foreign as error:
                found = refusal(error)
            except BaseException as error:
                if type(error).__name__ != "PanicException":  # has no module to import it from
                    raise
                raise _broken() from None
            pause_seconds = next(pauses, None)
            if not found.is_passing or pause_seconds is None or time.monotonic() + pause_seconds > end:
                raise _raised(found)
            time.sleep(pause_seconds)

    def _pieces(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from stream
        except self._foreign as error:
            raise refusal(error).error() from None


def _broken() -> SourceError:
    """Of what obstore takes for impossible: an endpoint's name that no resolver would have, for one."""
    return SourceError(Problem("source_unsupported", "obstore cannot make this request: is S3_ENDPOINT right?"))


def _interruptible(call: Callable[[], _T]) -> _T:
    """The call's answer. In the main thread, which hears Ctrl-C, another one calls: inside obstore nobody hears it."""
    if current_thread() is not main_thread():
        return call()
    done: Future[_T] = Future()
    Thread(target=_answer, args=(done, call), daemon=True).start()
    return done.result()


def _answer(done: Future[_T], call: Callable[[], _T]) -> None:
    try:
        done.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised again where the answer is waited for
        done.set_exception(error)


def _raised(found: Refusal) -> Exception:
    if found.is_range_ignored:
        return Unranged()
    return Unsatisfiable() if found.status == 416 else found.error()


def _pauses() -> Iterator[float]:
    """Between the tries: doubling, and different for each reader, so that they do not come back together."""
    for number in range(MOST_TRIES - 1):
        longest = min(_FIRST_PAUSE_SECONDS * 2**number, _LONGEST_PAUSE_SECONDS)
        yield random.uniform(longest / 2, longest)  # noqa: S311 - no secret


def _body(answer: Any, size_bytes: int) -> bytes:
    """The bytes of an answer that says that it has so many. One that has more is not read to its end."""
    pieces, have = [], 0
    for piece in answer.stream(min_chunk_size=max(1, size_bytes)):
        pieces.append(piece)
        have += len(piece)
        if have > size_bytes:
            break
    if have != size_bytes:
        raise Refused(NO_ANSWER)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _options(wanted: Wanted) -> dict[str, Any]:
    options = {"version": wanted.version_id, "if_match": wanted.etag}
    return {name: value for name, value in options.items() if value is not None}


def _state(meta: Mapping[str, Any]) -> ObjectState:
    etag, time_ns = meta["e_tag"], nanoseconds(meta["last_modified"])
    is_known = etag is not None and len(etag) <= _MAX_ETAG
    return ObjectState(meta["size"], time_ns or None, etag if is_known else None, meta["version"])


def nanoseconds(moment: datetime) -> int:
    """Since 1970, UTC. obstore says 1970 itself where the answer has no time."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def shared_client() -> S3Client:
    """The client that the environment configures, the same one for the whole process.

    Raises SourceError if nothing is configured or obstore is not installed, SettingsError if half of it is.
    """
    settings = s3_settings()
    if settings is None:
        message = "s3:// addresses need S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY in the environment"
        raise SourceError(Problem("source_unconfigured", message))
    return _client(settings)


# One holder for all that read addresses; a few, since tests and notebooks change the environment.
_client = lru_cache(maxsize=4)(S3Client)
