"""What `/metrics` tells: a registry of its own, whose labels are words of this program only.

No label has a path, a bucket, a key or anything else that comes from outside: the number of series is bounded.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from exr_inspector.dataengine.function import Outcome
from exr_inspector.errors import CODES

CONTENT_TYPE = CONTENT_TYPE_LATEST

OUTCOMES = ("stored", "skipped", "failed")
SENT = ("sent", "failed", "refused")
_OTHER = "other"
# From a header in the page cache (ms) to a retried one on a busy network.
_READ_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WRITE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH_FILES = (1, 2, 5, 10, 20, 50, 100, 200)
_STATUSES = frozenset(map(str, (200, 204, 400, 404, 405, 408, 413, 415, 500, 503)))


class Metrics:
    """Counts what the function and its HTTP side do; safe to use from any thread. It is the function's `Observer`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._files = self._counter("files", "Files that events asked for, by what became of them.", "outcome")
        for outcome in OUTCOMES:
            self._files.labels(outcome)
        self._errors = self._counter("errors", "Files that failed, by the error's code.", "code")
        self._read_bytes = self._counter("read_bytes", "Bytes read of files.")
        self._s3_requests = self._counter("s3_requests", "Requests to S3.")
        self._transactions = self._counter("transactions", "Transactions with the database, failed ones included.")
        self._requests = self._counter("http_requests", "Posts, by the answer's status.", "status")
        self._sink = self._counter("sink_events", "Events to the sink, by what became of them.", "outcome")
        for outcome in SENT:
            self._sink.labels(outcome)
        self._file_seconds = self._histogram(
            "file_seconds", "Seconds from an event to what became of its file.", _WRITE_SECONDS
        )
        self._read_seconds = self._histogram("read_seconds", "Seconds to read a file's header.", _READ_SECONDS)
        self._batch_seconds = self._histogram("persist_seconds", "Seconds of a transaction.", _WRITE_SECONDS)
        self._batch_files = self._histogram("transaction_files", "Files in a transaction.", _BATCH_FILES)
        self._request_seconds = self._histogram("request_seconds", "Seconds from a post to its answer.", _WRITE_SECONDS)
        self.in_flight = Gauge("exr_inspector_in_flight", "Posts that are not answered yet.", registry=self.registry)
        self.ready = Gauge("exr_inspector_ready", "1 if /readiness answers 200.", registry=self.registry)

    def _counter(self, name: str, purpose: str, *labels: str) -> Counter:
        return Counter(f"exr_inspector_{name}", purpose, labels, registry=self.registry)

    def _histogram(self, name: str, purpose: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"exr_inspector_{name}", purpose, buckets=buckets, registry=self.registry)

    # ---- The function's side

    def file(self, outcome: Outcome) -> None:
        """One file is done."""
        self._files.labels(outcome.status).inc()
        if outcome.code is not None:
            self._errors.labels(outcome.code if outcome.code in CODES else _OTHER).inc()
        self._read_bytes.inc(outcome.bytes_read)
        self._s3_requests.inc(outcome.requests)
        self._file_seconds.observe(outcome.seconds)
        if outcome.document is not None:
            self._read_seconds.observe(outcome.read_seconds)

    def batch(self, files: int, seconds: float) -> None:
        """One transaction is over."""
        self._transactions.inc()
        self._batch_files.observe(files)
        self._batch_seconds.observe(seconds)

    # ---- The HTTP side

    def answered(self, status: int, seconds: float) -> None:
        """A post was answered."""
        self._requests.labels(str(status) if str(status) in _STATUSES else _OTHER).inc()
        self._request_seconds.observe(seconds)

    def sent(self, outcome: str) -> None:
        """An event for the sink was `sent`, has `failed` or was `refused`."""
        self._sink.labels(outcome).inc()

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)
