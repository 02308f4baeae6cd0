"""One object as a Source: ranged GETs, the first of which also brings size, time, ETag and version.

Every range after the first is asked for with the first's ETag, and must be of the same object: one that is replaced
in between is `source_changed`, and `restart` begins anew with what is there now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from exr_inspector.errors import Problem, SourceError
from exr_inspector.limits import KIB, MIB
from exr_inspector.s3.budget import Share
from exr_inspector.s3.records import ObjectState, Unranged, Unsatisfiable, Wanted
from exr_inspector.sources import Source

if TYPE_CHECKING:
    from exr_inspector.s3.client import S3Client

# The first range. A usual header with its offset tables is below 32 KiB, one with many views or a manifest below
# this; a longer answer would take longer than the request itself.
FIRST_RANGE_BYTES = 64 * KIB
# Beyond what is known to be needed, at the first further range; then four times as much each time, but never more
# than was read already, or than the time of one more request is worth.
_STEP_BYTES, _STEP_FACTOR = 256 * KIB, 4
_WORTH_BYTES = 4 * MIB

MOST_RESTARTS = 2

# For other readers' bytes. Not in vain unless somebody never closes a source.
_MOST_WAIT_SECONDS = 600.0

# Leaders nearer to each other than this come in one range: to read on takes no longer than to ask again.
NEAR_BYTES = 64 * KIB
# One such range, so that several fit into memory at once.
_MOST_RANGE_BYTES = 4 * MIB
RANGES_AT_ONCE = 8


class _Range(NamedTuple):
    """Bytes from `start` to `end`, and the wanted ones in it: offset and size of each."""

    start: int
    end: int
    wanted: list[tuple[int, int]]


class S3Source(Source):
    """One object. No request before the first read. `requests` and `bytes_read` count, also those that failed."""

    is_random = False
    is_remote = True
    first_read_bytes = FIRST_RANGE_BYTES

    def __init__(self, client: S3Client, bucket: str, key: str, version_id: str | None = None) -> None:
        self.path: str = f"s3://{bucket}/{key}"
        self.s3_bucket: str = bucket
        self.s3_key: str = key
        self.requests = 0
        self.bytes_read = 0
        self._client = client
        self._asked_version = version_id
        self._share = Share()
        self._restarts = 0
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        self.size_bytes = self.mtime_ns = self.etag = None
        self.version_id: str | None = self._asked_version
        self._state: ObjectState | None = None
        self._stream: Iterator[bytes] | None = None
        self._position = 0
        self._rest = b""

    # ---- Reading -------------------------------------------------------------------------------------------

    def read_ahead(self, number: int, have_bytes: int) -> int:
        """See `Source.read_ahead`. Few requests, and less than twice what is needed beyond 4 MiB."""
        step: int = _STEP_BYTES * _STEP_FACTOR ** min(number, 16)
        return min(step, max(have_bytes, _WORTH_BYTES))

    def read(self, offset: int, size_bytes: int) -> bytes:
        """See `Source.read`."""
        if self.size_bytes is not None:
            size_bytes = min(size_bytes, self.size_bytes - offset)
        if size_bytes <= 0:
            return b""
        self._take(size_bytes)
        data = b""
        try:
            data = self._read(offset, size_bytes)
        finally:
            self._client.budget.give(self._share, size_bytes - len(data))
        self.bytes_read += len(data)
        return data

    def _take(self, size_bytes: int) -> None:
        if not self._client.budget.take(self._share, size_bytes, timeout_seconds=_MOST_WAIT_SECONDS):
            raise SourceError(Problem("source_failed", "too many bytes of other objects are in flight"))

    def _read(self, offset: int, size_bytes: int) -> bytes:
        if self._stream is not None:
            return self._of_stream(offset, size_bytes)
        try:
            data, state = self._client.range(self._wanted(), offset, offset + size_bytes, self._count)
        except Unranged:
            return self._of_stream(offset, size_bytes)
        except Unsatisfiable:
            return self._nothing(offset)
        self._accept(state)
        return data

    def _wanted(self) -> Wanted:
        etag = self._state.etag if self._state is not None else None
        # A weak ETag matches nothing (RFC 9110, If-Match): then only the answer tells.
        is_strong = etag is not None and not etag.startswith("W/")
        return Wanted(self.s3_bucket, self.s3_key, self._asked_version, etag if is_strong else None)

    def _count(self) -> None:
        with self._lock:
            self.requests += 1

    def _accept(self, state: ObjectState) -> None:
        """What an answer says of the object: the first answer's counts, the others must say the same."""
        if self._state is None:
            self._state = state
            self.size_bytes, self.mtime_ns, etag, self.version_id = state
            self.etag = etag.strip('"') if etag is not None and etag.startswith('"') else etag
        elif state != self._state:
            raise _changed()

    def _nothing(self, offset: int) -> bytes:
        """No byte of the range is there: the object is empty, or it was replaced by a shorter one."""
        if offset:
            raise _changed()
        self._accept(self._client.state(self._wanted(), self._count))
        if self.size_bytes:
            raise SourceError(Problem("source_failed", "the object store says that a range of bytes is not there"))
        return b""

    def _of_stream(self, offset: int, size_bytes: int) -> bytes:
        """From a server that ignores ranges: its answer is read as far as it is needed."""
        if self._stream is None:
            self._stream, state = self._client.stream(self._wanted(), FIRST_RANGE_BYTES, self._count)
            self._position, self._rest = 0, b""
            self._accept(state)
        if offset < self._position:
            raise _unranged()
        pieces, have = [self._rest], len(self._rest)
        end = offset + size_bytes - self._position
        while have < end and (piece := next(self._stream, b"")):
            pieces.append(piece)
            have += len(piece)
        data = b"".join(pieces)
        self._rest = data[end:]
        start = offset - self._position
        self._position = offset + size_bytes
        return data[start:end]

    # ---- Many small ranges ---------------------------------------------------------------------------------

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        """See `Source.read_many`. Those that lie near each other come in one request, several at once."""
        together = list(_together(sorted(ranges)))
        with ThreadPoolExecutor(RANGES_AT_ONCE) as pool:
            remaining = iter(together)
            while batch := list(islice(remaining, RANGES_AT_ONCE)):
                size_bytes = sum(each.end - each.start for each in batch)
                self._take(size_bytes)
                try:
                    for each, data in zip(batch, pool.map(self._fetched, batch), strict=True):
                        self.bytes_read += len(data)
                        for offset, size in each.wanted:
                            yield offset, data[offset - each.start : offset - each.start + size]
                finally:
                    self._client.budget.give(self._share, size_bytes)

    def _fetched(self, wanted: _Range) -> bytes:
        try:
            data, state = self._client.range(self._wanted(), wanted.start, wanted.end, self._count)
        except Unsatisfiable:
            raise _changed() from None
        except Unranged:
            raise _unranged() from None
        self._accept(state)
        return data

    # ---- Again, and the end --------------------------------------------------------------------------------

    def restart(self) -> bool:
        """See `Source.restart`: twice at most."""
        if self._restarts == MOST_RESTARTS:
            return False
        self._restarts += 1
        self.close()
        self._begin()
        return True

    def close(self) -> None:
        """See `Source.close`."""
        self._stream = None
        self._client.budget.give_all(self._share)


def _together(ranges: Sequence[tuple[int, int]]) -> Iterator[_Range]:
    """Ranges in their order, those near each other as one."""
    found: _Range | None = None
    for offset, size in ranges:
        end = offset + size
        if found is not None and offset - found.end <= NEAR_BYTES and end - found.start <= _MOST_RANGE_BYTES:
            found.wanted.append((offset, size))
            found = found._replace(end=max(found.end, end))
            continue
        if found is not None:
            yield found
        found = _Range(offset, end, [(offset, size)])
    if found is not None:
        yield found


def _unranged() -> SourceError:
    return SourceError(Problem("source_unsupported", "the object store cannot give ranges of an object"))


def _changed() -> SourceError:
    return SourceError(Problem("source_changed", "the object was replaced while it was read"))
