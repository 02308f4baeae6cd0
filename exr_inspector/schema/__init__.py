"""The document's contract as JSON Schema 2020-12: `document.schema.json`, written by hand, checked by tests."""

from __future__ import annotations

import os


def document_schema_text() -> str:
    """The JSON Schema of a document, as it stands in the package."""
    # Opened by path: importlib.resources takes longer to load than everything else that `schema` needs.
    path = os.path.join(os.path.dirname(__file__), "document.schema.json")
    with open(path, encoding="utf-8") as file:
        return file.read()
