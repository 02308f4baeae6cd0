"""How long does a vector take? Prints the timings of the rich document (60 attributes, 80 channels).

    python bench/embedding.py

`alone`: one call for one document, the best and the median of many. `batch`: `embed_documents` over a thousand
varied documents, the first time (every word is hashed) and again.
"""

from __future__ import annotations

import statistics
import time

from corpus import rich_document

from exr_inspector.embedding import (
    compute_channel_fingerprint,
    compute_metadata_embedding,
    embed_documents,
    fingerprint_channels,
)


def milliseconds(call: object, *arguments: object) -> float:
    """One call's duration."""
    started = time.perf_counter()
    call(*arguments)  # type: ignore[operator]
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Print the timings."""
    documents = [rich_document(seed) for seed in range(1000)]
    channels = [document["channels"] for document in documents]
    first = milliseconds(embed_documents, documents) / len(documents)
    again = min(milliseconds(embed_documents, documents) for _ in range(3)) / len(documents)
    prints = min(milliseconds(fingerprint_channels, channels) for _ in range(3)) / len(documents)
    alone = [milliseconds(compute_metadata_embedding, document) for document in documents]
    alone_prints = [milliseconds(compute_channel_fingerprint, each) for each in channels]
    print(f"vector, alone:        {min(alone):.3f} ms best, {statistics.median(alone):.3f} ms median (target 0.6)")
    print(f"vector, batch:        {first:.3f} ms each the first time, {again:.3f} ms again (target 0.2)")
    print(f"fingerprint, alone:   {statistics.median(alone_prints):.3f} ms median")
    print(f"fingerprint, batch:   {prints:.3f} ms each")


if __name__ == "__main__":
    main()
