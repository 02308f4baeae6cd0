"""What does writing to VAST DataBase cost? Against the loopback server: requests, rates, and writers that meet.

    python bench/vast.py            # some two minutes
    python bench/vast.py --quick    # does it run?

The loopback server is a Python process on 127.0.0.1: its rates are a floor for the client's own work, and say nothing
of a cluster's. Requests for each batch, and how often writers conflict, are the same on a cluster.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from corpus import rich_document  # noqa: E402

from exr_inspector.config_vast import Secret, VastSettings  # noqa: E402
from exr_inspector.stores.vast import VASTDatabaseError  # noqa: E402
from exr_inspector.stores.vast_store import VastStore  # noqa: E402
from exr_inspector.tables import Tables, documents_to_tables  # noqa: E402
from tests.loopback.vast_server import VastServer  # noqa: E402

KEYS = ("bench-access", "bench-secret")


class Contention(NamedTuple):
    """What became of the writers' batches."""

    shards: int
    batches: int
    attempts: int
    documents_per_second: float
    failed: int


def settings(endpoint: str, **changes: Any) -> VastSettings:
    """Settings for a server of this bench."""
    return VastSettings(endpoint, Secret(KEYS[0]), Secret(KEYS[1]), "b", **changes)


@contextmanager
def server_process() -> Iterator[str]:
    """A server in a process of its own, so that it does not share the interpreter with the writers."""
    command = [sys.executable, "-m", "tests.loopback.vast_server", "--bucket", "b", "--until-input-ends"]
    command += ["--access-key", KEYS[0], "--secret-key", KEYS[1]]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes were asked for
        yield process.stdout.readline().strip()
        process.stdin.close()


def corpus(count: int, folder: str, rich: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """So many documents of different paths."""
    made = []
    for number in range(count):
        document = rich[number % len(rich)]
        digest = f"{number:064x}"
        file = {**document["file"], "path": f"/{folder}/{number}.exr", "header_hash": digest}
        made.append({**document, "file": file})
    return made


def requests_per_batch(sizes: Sequence[int], rich: Sequence[dict[str, Any]]) -> None:
    """The requests of a batch, by operation."""
    print("\n| documents | rows | new: requests | known: requests | of them |")
    print("|---|---|---|---|---|")
    here = VastServer(buckets=["b"], access_key=KEYS[0], secret_key=KEYS[1])
    with here as server, VastStore(settings(server.endpoint)) as store:
        for size in sizes:
            tables = documents_to_tables(corpus(size, f"requests{size}", rich))
            counts = []
            for _ in range(2):
                with server.counting() as made:
                    store.write_tables(tables)
                counts.append(dict(made))
            new, known = counts
            told = ", ".join(f"{number} {op}" for op, number in sorted(new.items()))
            print(f"| {size} | {rows(tables)} | {sum(new.values())} | {sum(known.values())} | {told} |")


def rows(tables: Tables) -> int:
    """The rows of all four tables."""
    return sum(table.num_rows for table in tables[:4])


def rates(sizes: Sequence[int], seconds: float, rich: Sequence[dict[str, Any]]) -> None:
    """Documents and rows a second, by the size of a batch."""
    print("\n| documents in a batch | new: documents/s | new: rows/s | known: documents/s |")
    print("|---|---|---|---|")
    with server_process() as endpoint, VastStore(settings(endpoint)) as store:
        for size in sizes:
            batches = [documents_to_tables(corpus(size, f"rate{size}_{number}", rich)) for number in range(8)]
            new, done = timed(store, batches, seconds)
            known, _ = timed(store, batches[:done], seconds)
            print(f"| {size} | {new * size:.0f} | {new * rows(batches[0]):.0f} | {known * size:.0f} |")


def timed(store: VastStore, batches: Sequence[Tables], seconds: float) -> tuple[float, int]:
    """Batches a second, and how many were written."""
    started, done = time.perf_counter(), 0
    for tables in batches:
        store.write_tables(tables)
        done += 1
        if time.perf_counter() - started > seconds:
            break
    return done / (time.perf_counter() - started), done


def contention(shards: int, writers: int, size: int, batches: int, rich: Sequence[dict[str, Any]]) -> Contention:
    """Writers that write different files at once: they meet at the lock rows only."""
    with server_process() as endpoint:
        stores = [VastStore(settings(endpoint, lock_shards=shards)) for _ in range(writers)]
        work = [
            [documents_to_tables(corpus(size, f"writer{writer}_{number}", rich)) for number in range(batches)]
            for writer in range(writers)
        ]
        attempts, failed = [0] * writers, [0] * writers

        def run(number: int) -> None:
            store, once = stores[number], stores[number]._write_once  # noqa: SLF001 - to count

            def counted(tables: Tables) -> Any:
                attempts[number] += 1
                return once(tables)

            store._write_once = counted  # type: ignore[method-assign]  # noqa: SLF001
            for tables in work[number]:
                try:
                    failed[number] += sum(result.status != "success" for result in store.write_tables(tables))
                except VASTDatabaseError:
                    failed[number] += size

        elapsed = together([lambda number=number: run(number) for number in range(writers)])  # type: ignore[misc]
        for store in stores:
            store.close()
    total = writers * batches
    return Contention(shards, total, sum(attempts), total * size / elapsed, sum(failed))


def together(runs: Sequence[Callable[[], None]]) -> float:
    """Runs all at once; returns the seconds until the last one is done."""
    threads = [threading.Thread(target=run) for run in runs]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="does it run? its figures mean nothing")
    quick = parser.parse_args().quick
    rich = [rich_document(seed) for seed in range(2 if quick else 16)]
    requests_per_batch((1, 10) if quick else (1, 10, 50, 250), rich)
    rates((1, 10) if quick else (1, 10, 50, 250), 0.2 if quick else 6.0, rich)
    writers, size, batches = (2, 5, 2) if quick else (6, 20, 6)
    print(f"\n{writers} writers at once, batches of {size} different documents each\n")
    print("| lock rows | batches | transactions | repeated | documents/s | not written |")
    print("|---|---|---|---|---|---|")
    for shards in (64, 65_536) if quick else (256, 1024, 4096, 16_384, 65_536):
        found = contention(shards, writers, size, batches, rich)
        repeated = found.attempts - found.batches
        print(
            f"| {found.shards:,} | {found.batches} | {found.attempts} | {repeated} "
            f"| {found.documents_per_second:.0f} | {found.failed} |"
        )


if __name__ == "__main__":
    main()
