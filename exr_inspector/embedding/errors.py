"""The one error of this package."""

from __future__ import annotations


class VectorEmbeddingError(ValueError):
    """A payload that cannot be embedded; the message names the field."""
