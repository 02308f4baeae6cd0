"""Tokens as vectors: signed feature hashing in integers, so that every platform gives the same bytes.

Source: Weinberger, Dasgupta, Langford, Smola, Attenberg, Feature Hashing for Large Scale Multitask Learning, ICML
2009: a hash gives each token an index and a sign, and the inner product of two hashed vectors is that of the token
sets, without bias. The arithmetic is documented in `docs/decisions/0020-integer-vectors.md`:

    x   sum of sign * weight of a block's tokens                      int64, exact
    f   isqrt(weight^2 * 2^(2*SCALE_BITS) // sum of x^2)              the block's weight over its length, as an integer
    v   sum over the blocks of (x * f) >> (SCALE_BITS - KEPT_BITS)    int64, at most sum of weights * 2^KEPT_BITS
    out v * 2^NORM_BITS / isqrt(sum of v^2 * 2^(2*NORM_BITS))         one IEEE division, rounded to float32
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exr_inspector.embedding.errors import VectorEmbeddingError
from exr_inspector.embedding.tokens import count_channel_phrases, count_phrases
from exr_inspector.embedding.weights import BIAS_TOKEN, BLOCKS, EMBEDDING_VERSION, FINGERPRINT_DIM, METADATA_DIM
from exr_inspector.embedding.words import all_phrases, kind_of, tokens_of

# Each token has so many places: then no single collision weighs much, and what many of them add up to is small.
PROBES = 2

SCALE_BITS = 46
KEPT_BITS = 22
NORM_BITS = 20

# No block's element goes beyond this, so that its square times the dimension stays below 2^63. Only a made-up
# document with millions of channels comes near.
MAX_ELEMENT = 1 << 24
MAX_DIM = 4096
# So many documents at a time: their blocks stay in the processor's cache, and memory stays flat.
BATCH = 64

_PLACES = struct.Struct(f"<{PROBES}q")
_NUMBERS = struct.Struct(f"<{PROBES}Q")
_INT64_BYTES = 8
_KEY = f"exr-inspector embedding {EMBEDDING_VERSION}".encode()
_BLOCK_WEIGHTS = tuple(BLOCKS.values())
_BLOCK_NUMBERS = {name: number for number, name in enumerate(BLOCKS)}

Vectors = NDArray[np.float32]
Counts = Mapping[str, int]


def compute_metadata_embedding(payload: Mapping[str, Any], embedding_dim: int = METADATA_DIM) -> list[float]:
    """The vector of one document: `embedding_dim` numbers of single precision, of length one.

    Raises VectorEmbeddingError if the payload has no `file`, a channel no `type`, or the dimension is no size.
    """
    vector: list[float] = _vectors([count_phrases(payload)], embedding_dim)[0].tolist()
    return vector


def compute_channel_fingerprint(
    channels: Sequence[Mapping[str, Any]], embedding_dim: int = FINGERPRINT_DIM
) -> list[float]:
    """The vector of a channel list alone: `embedding_dim` numbers of single precision, of length one.

    Raises VectorEmbeddingError if a channel has no `type`, or the dimension is no size.
    """
    vector: list[float] = _vectors([count_channel_phrases(channels)], embedding_dim)[0].tolist()
    return vector


def embed_documents(documents: Iterable[Mapping[str, Any]], embedding_dim: int = METADATA_DIM) -> Vectors:
    """The vectors of documents, float32[n, embedding_dim]: row by row what `compute_metadata_embedding` gives.

    Raises VectorEmbeddingError; its message names the first document that cannot be embedded.
    """
    return _batched(documents, count_phrases, "document", embedding_dim)


def fingerprint_channels(
    channel_lists: Iterable[Sequence[Mapping[str, Any]]], embedding_dim: int = FINGERPRINT_DIM
) -> Vectors:
    """The vectors of channel lists, float32[n, embedding_dim]: row by row `compute_channel_fingerprint`.

    Raises VectorEmbeddingError; its message names the first list that cannot be embedded.
    """
    return _batched(channel_lists, count_channel_phrases, "channel list", embedding_dim)


def _batched(items: Iterable[Any], count: Any, what: str, dim: int) -> Vectors:
    blocks, iterator, first = [], iter(items), 0
    while batch := list(islice(iterator, BATCH)):
        counts = []
        for number, item in enumerate(batch, first):
            try:
                counts.append(count(item))
            except VectorEmbeddingError as error:
                raise VectorEmbeddingError(f"{what} {number}: {error}") from error
        blocks.append(_vectors(counts, dim))
        first += len(batch)
    return np.concatenate(blocks) if blocks else _vectors([], dim)


# ---- Hashing -----------------------------------------------------------------------------------------------

_WEIGHT_BITS = 8
_WEIGHT_MASK = (1 << _WEIGHT_BITS) - 1
_WEIGHT_ZERO = 1 << (_WEIGHT_BITS - 1)


class _Slots(dict[str, bytes]):
    """Phrase -> its tokens' places, each packed with the signed weight into an int64; hashed at the first look-up.

    Vocabularies repeat from file to file, so most look-ups are hits. Emptied when full: memory stays bounded.
    """

    SIZE = 1 << 15

    def __init__(self, dim: int) -> None:
        super().__init__()
        self._dim = dim

    def __missing__(self, phrase: str) -> bytes:
        if len(self) >= self.SIZE:
            self.clear()
        slots = self[phrase] = b"".join(map(self._packed, tokens_of(phrase)))
        return slots

    def _packed(self, token: str) -> bytes:
        kind = kind_of(token)
        start = _BLOCK_NUMBERS[kind.block] * self._dim
        places = hashed(token, self._dim)
        return _PLACES.pack(
            *(start + index << _WEIGHT_BITS | _WEIGHT_ZERO + sign * kind.weight for index, sign in places)
        )


def hashed(token: str, dim: int) -> list[tuple[int, int]]:
    """A token's places: `PROBES` indices below `dim`, each from the low 63 bits of its hash, with the top bit's sign.

    The rungs of a ladder share the ladder's hash, and each lies one further than the one below.
    """
    kind, _, word = token.partition(":")
    text, rung = (kind, int(word)) if kind_of(token).is_ladder else (token, 0)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8 * PROBES, key=_KEY).digest()
    numbers = _NUMBERS.unpack(digest)
    return [(((number & (1 << 63) - 1) + rung) % dim, 1 if number >> 63 else -1) for number in numbers]


@lru_cache(maxsize=4)
def _slots_of(dim: int) -> _Slots:
    if type(dim) is not int or not 1 <= dim <= MAX_DIM:
        raise VectorEmbeddingError(f"embedding_dim must be an integer from 1 to {MAX_DIM}, not {dim!r}")
    return _Slots(dim)


# ---- Arithmetic --------------------------------------------------------------------------------------------


def _vectors(counts: Sequence[Counts], dim: int) -> Vectors:
    """The vectors of counted tokens, float32[n, dim]."""
    vectors = _weighted_sums(_block_sums(counts, dim), dim)
    squares = (vectors * vectors).sum(axis=1)
    for row in np.flatnonzero(squares == 0):  # blocks that cancel out: made to, never met
        vectors[row] = _weighted_sums(_block_sums([{BIAS_TOKEN: 1}], dim), dim)[0]
        squares[row] = (vectors[row] * vectors[row]).sum()
    norms = [isqrt(square << 2 * NORM_BITS) for square in squares.tolist()]
    # Both sides are integers below 2^53, so the division is the only rounding in double precision.
    scaled = (vectors << NORM_BITS).astype(np.float64)
    return (scaled / np.array(norms, dtype=np.float64).reshape(-1, 1)).astype(np.float32)


def _block_sums(counts: Sequence[Counts], dim: int) -> NDArray[np.int64]:
    """Signed sums, int64[n * blocks * dim]."""
    slots, lengths = _slots_of(dim), []
    packed = []
    for count in counts:
        packed.append(b"".join(map(slots.__getitem__, all_phrases(count))))
        lengths.append(len(packed[-1]) // _INT64_BYTES)
    places = np.frombuffer(b"".join(packed), dtype="<i8").astype(np.int64, copy=False)
    starts = np.repeat(np.arange(len(counts), dtype=np.int64) * (len(BLOCKS) * dim), lengths)
    sums = np.zeros(len(counts) * len(BLOCKS) * dim, dtype=np.int64)
    np.add.at(sums, starts + (places >> _WEIGHT_BITS), (places & _WEIGHT_MASK) - _WEIGHT_ZERO)
    return sums


def _weighted_sums(sums: NDArray[np.int64], dim: int) -> NDArray[np.int64]:
    """Each block scaled to its weight, and a document's blocks added up: int64[n, dim]. Most sums are zero."""
    places = np.flatnonzero(sums)
    elements = sums[places].clip(-MAX_ELEMENT, MAX_ELEMENT)
    block, index = np.divmod(places, dim)
    squares = np.zeros(len(sums) // dim, dtype=np.int64)
    np.add.at(squares, block, elements * elements)
    weights = _BLOCK_WEIGHTS * (len(squares) // len(BLOCKS))
    factors = np.array(list(map(_factor, weights, squares.tolist())), dtype=np.int64)
    vectors = np.zeros(len(sums) // len(BLOCKS), dtype=np.int64)
    np.add.at(vectors, block // len(BLOCKS) * dim + index, elements * factors[block] >> (SCALE_BITS - KEPT_BITS))
    return vectors.reshape(-1, dim)


def _factor(weight: int, square: int) -> int:
    """The integer below weight * 2^SCALE_BITS / sqrt(square); 0 for an empty block."""
    return isqrt((weight * weight << 2 * SCALE_BITS) // square) if square else 0
