"""A payload's shape, which is checked, and the texts and numbers in it that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from exr_inspector.embedding.errors import VectorEmbeddingError
from exr_inspector.embedding.weights import MAX_NUMBER, MAX_TEXT_CHARACTERS

Record = Mapping[str, Any]


def check(payload: Record) -> None:
    """Raises VectorEmbeddingError unless the payload is a mapping with a `file`."""
    if not isinstance(payload, Mapping):
        raise VectorEmbeddingError(f"the payload must be a mapping, not {type(payload).__name__}")
    if not isinstance(payload.get("file"), Mapping):
        raise VectorEmbeddingError("Payload missing file")


def records_of(payload: Record, field: str) -> Sequence[Record]:
    """A list of the payload, none where it is missing."""
    records = payload.get(field)
    if records is None:
        return ()
    if not isinstance(records, (list, tuple)):
        raise VectorEmbeddingError(f"{field} must be a list, not {type(records).__name__}")
    if set(map(type, records)) - {dict}:  # the usual case is quick
        _check_records(records, field)
    return records


def _check_records(records: Sequence[Any], field: str) -> None:
    for index, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise VectorEmbeddingError(f"{field}[{index}] must be a mapping, not {type(record).__name__}")


def rows_of(records: Sequence[Record], fields: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The named fields of each record, None where one is missing."""
    try:
        return list(map(itemgetter(*fields), records))
    except KeyError:
        return [tuple(map(record.get, fields)) for record in records]


def text_of(value: Any) -> str:
    """A text that counts; empty if it is none, or too long to count."""
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        return ""
    return value if value.isprintable() else value.replace("\0", "\ufffd").replace("\1", "\ufffd")


def integer_of(value: Any) -> int | None:
    """An integer that counts. The document writes those beyond 2^53 as text, and they tell nothing here."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) <= MAX_NUMBER else None


def number_of(value: Any) -> float | None:
    """A number that counts: NaN and infinities do not. Equal numbers of other types count alike (1, 1.0, True)."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    return integer_of(value)
