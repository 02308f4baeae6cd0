"""The one error of this package."""

from __future__ import annotations

from exr_inspector.errors import DocumentError


class VectorEmbeddingError(DocumentError):
    """A payload that cannot be embedded; the message names the field."""
