"""How long does a vector take? Prints the timings of the rich document (60 attributes, 80 channels).

    python bench/embedding.py [--rounds N]

`alone`: one call for one document. `batch`: a thousand varied documents in one call, the first time, when every word
is hashed, and again. Garbage is collected before each round and not during one, as `timeit` does. The figures are
milliseconds for each document: the best round, which is what the work costs, and the median, which is what it cost on
this machine while others used it too. `json.dumps` of the same documents, in turn with the batch, is there to compare
machines: the ratio of the two hardly depends on the machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from operator import truediv
from typing import Any

from corpus import rich_document

from exr_inspector.embedding import (
    compute_channel_fingerprint,
    compute_metadata_embedding,
    embed_documents,
    fingerprint_channels,
)

DOCUMENTS = 1000


def milliseconds(call: Callable[[], Any], count: int) -> float:
    """One round, for each of `count` documents."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        call()
        return (time.perf_counter() - started) * 1000 / count
    finally:
        gc.enable()


def row(what: str, times: list[float], target: str = "") -> None:
    """One line of the table."""
    print(f"{what:28}{min(times):8.3f}{statistics.median(times):10.3f}   {target}")


def main() -> None:
    """Print the timings."""
    parser = argparse.ArgumentParser(description="Timings of embeddings.")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = range(parser.parse_args().rounds)
    documents = [rich_document(seed) for seed in range(DOCUMENTS)]
    channels = [document["channels"] for document in documents]
    gc.freeze()  # the documents themselves are not what is measured
    print(f"{'ms for each document':28}{'best':>8}{'median':>10}   target")
    row("vector, batch, first time", [milliseconds(lambda: embed_documents(documents), DOCUMENTS)])
    batch, dumps = [], []
    for _ in rounds:
        batch.append(milliseconds(lambda: embed_documents(documents), DOCUMENTS))
        dumps.append(milliseconds(lambda: [json.dumps(document) for document in documents], DOCUMENTS))
    row("vector, batch", batch, "0.2")
    row("json.dumps", dumps, f"a vector takes {statistics.median(map(truediv, batch, dumps)):.2f} of that")
    row("vector, alone", alone(compute_metadata_embedding, documents[:20], len(rounds)), "0.6")
    row("fingerprint, batch", [milliseconds(lambda: fingerprint_channels(channels), DOCUMENTS) for _ in rounds])
    row("fingerprint, alone", alone(compute_channel_fingerprint, channels[:20], len(rounds)))


def alone(embed: Callable[[Any], Any], values: list[Any], rounds: int) -> list[float]:
    """Single calls, the values in turn."""
    return [milliseconds(lambda: embed(value), 1) for _ in range(rounds) for value in values]  # noqa: B023


if __name__ == "__main__":
    main()
