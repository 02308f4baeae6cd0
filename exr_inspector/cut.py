"""Long attribute values cut short: document in, document out. For the command line, the tables and the sinks.

A cut value keeps what identifies it: how many bytes the file has, their SHA-256, and its beginning.
`normalizer.is_cut` recognises one, and `rebuild_header` refuses a document that has one.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

from exr_inspector.errors import DocumentError
from exr_inspector.normalizer import SCHEMA_VERSION, Document, attribute_payload, is_cut
from exr_inspector.values import encode_bytes

# Types whose JSON can be much longer than what the file has, a deflated manifest's even a thousand times.
_WORDY_TYPES = frozenset(("chlist", "floatvector", "idmanifest", "stringvector"))

# Reads UTF-8 that may end within a character.
_Utf8Start = codecs.getincrementaldecoder("utf-8")


def cut_document(document: Document, max_value_bytes: int, start_bytes: int | None = None) -> Document:
    """The document with every attribute value cut that is longer than `max_value_bytes`. Changes nothing of it.

    `start_bytes`: how much of a cut value is kept, `max_value_bytes` if None. A bare document, whose attributes
    are missing or not listed by parts, is given back as it is. Raises DocumentError if they are not of the schema.
    """
    attributes = document.get("attributes")
    if not isinstance(attributes, Mapping) or "parts" not in attributes:
        return document
    try:
        parts = [[cut_attribute(entry, max_value_bytes, start_bytes) for entry in part] for part in attributes["parts"]]
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, struct.error) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"the document is not of schema {SCHEMA_VERSION}: {error!r}") from error
    return {**document, "attributes": {**attributes, "parts": parts}}


def cut_attribute(entry: dict[str, Any], max_value_bytes: int, start_bytes: int | None = None) -> dict[str, Any]:
    """One entry of the document's attributes, cut if its value is longer; else the same entry."""
    if is_cut(entry["value"]):
        return entry
    payload = attribute_payload(entry)
    if not payload or (len(payload) <= max_value_bytes and not _is_wordy(entry, max_value_bytes)):
        return entry
    value = {
        "cut_bytes": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "start": _start(entry["type"], payload, max_value_bytes if start_bytes is None else start_bytes),
    }
    return {key: value if key == "value" else kept for key, kept in entry.items() if key != "raw"}


def _is_wordy(entry: Mapping[str, Any], max_value_bytes: int) -> bool:
    return entry["type"] in _WORDY_TYPES and len(json.dumps(entry["value"])) > max_value_bytes


def _start(type_name: str, payload: bytes, size_bytes: int) -> str | dict[str, str]:
    """The payload's beginning: text, whole characters only, if it is text, else base64."""
    start = payload[:size_bytes]
    if type_name == "string":
        try:
            return _Utf8Start().decode(start)
        except UnicodeDecodeError:
            pass
    return encode_bytes(start)
