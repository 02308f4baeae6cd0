"""What the attributes say: their names and types, and the values of a few settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from exr_inspector.embedding.errors import VectorEmbeddingError
from exr_inspector.embedding.payload import Record, number_of, records_of, rows_of, text_of
from exr_inspector.embedding.weights import (
    MAX_SETTING_DEPTH,
    MAX_SETTING_FIELDS,
    RENDERER_PREFIXES,
    SETTING_ATTRIBUTES,
    STRUCTURAL_ATTRIBUTES,
)
from exr_inspector.embedding.words import exact, fold, phrase_of

_CRYPTOMATTE_ID = re.compile(r"(?<=cryptomatte/)[^/]+")
_GROUP = re.compile(r"[^./:]+[./:]")


class _Attribute(NamedTuple):
    """What an attribute's name and type say; empty for the structural ones. The group and family are shared."""

    phrase: str
    group: str
    family: str


def attribute_phrases(attributes: Any) -> list[str]:
    """The phrases of all parts' attributes, each once. Raises VectorEmbeddingError if they are no such lists."""
    phrases: set[str] = set()
    for entries in _attribute_lists(attributes):
        rows = rows_of(entries, ("name", "type"))
        try:
            found = set(map(_attribute, rows))
        except TypeError:  # a list or a mapping where a text should be: no word
            rows = [tuple(map(text_of, row)) for row in rows]
            found = set(map(_attribute, rows))
        phrases.update(*found)
        for index in [index for index, row in enumerate(rows) if row[0] in SETTING_ATTRIBUTES]:
            phrases.update(_setting_phrases(rows[index][0], entries[index].get("value")))
    phrases.discard("")
    return list(phrases)


def _attribute_lists(attributes: Any) -> list[Sequence[Record]]:
    """The attributes part by part; of flat ones (`{"owner": "x"}`) the type is not known."""
    if attributes is None:
        return []
    if not isinstance(attributes, Mapping):
        raise VectorEmbeddingError(f"attributes must be a mapping, not {type(attributes).__name__}")
    parts = attributes.get("parts")
    if not isinstance(parts, (list, tuple)):
        return [[{"name": name, "type": "", "value": value} for name, value in attributes.items()]]
    return [records_of({"attributes": part}, "attributes") for part in parts]


@lru_cache(maxsize=1 << 14)
def _attribute(row: tuple[Any, ...]) -> _Attribute:
    name, type_name = map(text_of, row)
    if not name or name in STRUCTURAL_ATTRIBUTES:
        return _Attribute("", "", "")
    folded = fold(_CRYPTOMATTE_ID.sub("#", name))
    typed = [f"attribute_type:{folded} {type_name}"] if type_name else []
    group = _GROUP.match(folded)
    family = next((family for prefix, family in RENDERER_PREFIXES if name.startswith(prefix)), "")
    return _Attribute(
        phrase_of(f"attribute:{folded}", *typed),
        f"attribute_group:{group[0]}*" if group else "",
        f"renderer:{family}" if family else "",
    )


def _setting_phrases(name: str, value: Any) -> Iterator[str]:
    word = _setting_word(value)
    if word is not None:
        yield f"setting:{name} {word}"


def _setting_word(value: Any, depth: int = 0) -> str | None:
    """A setting's value as one word; None unless all of it counts, so that a cut value and a long one agree."""
    if isinstance(value, Mapping):
        return _fields_word(value, depth)
    if isinstance(value, str):
        return text_of(value) or None
    number = number_of(value)
    return None if number is None else exact(number)


def _fields_word(fields: Mapping[Any, Any], depth: int) -> str | None:
    if not 0 < len(fields) <= MAX_SETTING_FIELDS or depth >= MAX_SETTING_DEPTH or "cut_bytes" in fields:
        return None
    if not all(map(text_of, fields)):
        return None
    words = [(name, _setting_word(fields[name], depth + 1)) for name in sorted(fields)]
    return None if any(word is None for _, word in words) else " ".join(f"{name} {word}" for name, word in words)
