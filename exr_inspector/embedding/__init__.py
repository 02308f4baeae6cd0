"""A document as a vector: files of the same structure lie close together, whatever their pixels.

`docs/VECTOR_STRATEGY.md` says what similar means; `weights` holds the frozen tables, `tokens` says what counts,
`vectors` does the arithmetic.
"""

from exr_inspector.embedding.errors import VectorEmbeddingError
from exr_inspector.embedding.tokens import channel_tokens, document_tokens
from exr_inspector.embedding.vectors import (
    compute_channel_fingerprint,
    compute_metadata_embedding,
    embed_documents,
    fingerprint_channels,
)
from exr_inspector.embedding.weights import EMBEDDING_VERSION, FINGERPRINT_DIM, METADATA_DIM

__all__ = [
    "EMBEDDING_VERSION",
    "FINGERPRINT_DIM",
    "METADATA_DIM",
    "VectorEmbeddingError",
    "channel_tokens",
    "compute_channel_fingerprint",
    "compute_metadata_embedding",
    "document_tokens",
    "embed_documents",
    "fingerprint_channels",
]
