"""What both oracles share: refusals, comparison bit by bit, and where the reference library loses sync."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
Entry = Mapping[str, Any]  # one of document["attributes"]["parts"][i]
# Attribute type: (which values, why).
DropTable = Mapping[str, tuple[Callable[[Entry], bool], str]]


class Refused(Exception):
    """The wheel does not give this file's header.

    The message is the wheel's own; `reason` says why, None if its table (`…_REFUSALS`) does not know the message.
    """

    def __init__(self, message: str, reasons: Mapping[str, str]) -> None:
        super().__init__(message)
        self.reason = next((why for part, why in reasons.items() if part in message), None)


# ---- What both do otherwise, because both use the reference library ----------------------------------------

# The library knows these by name: with another type the attribute is dropped (and a default may be inserted).
TYPED_NAMES = {
    "channels": "chlist",
    "chunkCount": "int",
    "compression": "compression",
    "dataWindow": "box2i",
    "displayWindow": "box2i",
    "lineOrder": "lineOrder",
    "name": "string",
    "pixelAspectRatio": "float",
    "screenWindowCenter": "v2f",
    "screenWindowWidth": "float",
    "tiles": "tiledesc",
    "type": "string",
    "version": "int",
}

# The library does not step over these: it reads their bytes as the next attribute, and invents and loses others
# until it meets sense again. Nothing behind them can be compared.
LOSES_SYNC = {
    "value": "a value whose size is not its type's",
    "name": "a name or a type name of more than 255 bytes: it invents one of what is beyond; an empty type name",
    "channel": "a channel name of more than 255 bytes, in any channel list",
    "duplicate": "the second attribute of a name. Of texts the first counts, of types of a fixed size the last, "
    "which keeps sync; neither is compared",
}
_UNSOUND = {"value_size", "value_missing_bytes", "value_trailing_bytes", "value_corrupt", "value_limit"}


def unsound_attributes(document: Document) -> set[tuple[int, str]]:
    """(part index, name) of the attributes whose value is not as its type says."""
    return {(each["part_index"], each["attribute"]) for each in document["errors"] if each["code"] in _UNSOUND}


def while_in_sync(part_index: int, entries: Sequence[Entry], unsound: set[tuple[int, str]]) -> list[Entry]:
    """The attributes in front of the first that makes the library lose sync."""
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        # Of a channel list the terminator may be missing, or bytes may follow it: those are read over.
        is_unsound = (part_index, entry["name"]) in unsound and entry["type"] != "chlist"
        if is_unsound or _has_long_name(entry) or not entry["type"] or entry["name"] in seen:
            return list(entries[:index])
        seen.add(entry["name"])
    return list(entries)


def _has_long_name(entry: Entry) -> bool:
    names = [name_bytes(entry, "name"), name_bytes(entry, "type")]
    if entry["type"] == "chlist" and "raw" in entry:  # a name that is not UTF-8 looks longer than it is
        return any(len(run) > 255 for run in base64.b64decode(entry["raw"]).split(b"\0"))
    if entry["type"] == "chlist":
        names += [channel["name"].encode() for channel in entry["value"]]
    return any(len(name) > 255 for name in names)


def is_dropped(table: DropTable, entry: Entry) -> bool:
    """Whether the table says so."""
    rule = table.get(entry["type"])
    return rule is not None and rule[0](entry)


# ---- Entries of the document -------------------------------------------------------------------------------


def name_bytes(entry: Entry, key: str) -> bytes:
    """The bytes of an attribute's `name` or `type`."""
    data: bytes = base64.b64decode(entry[f"{key}_raw"]) if f"{key}_raw" in entry else entry[key].encode()
    return data


def text_bytes(entry: Entry) -> bytes:
    """The bytes of a string attribute: those in `raw` if its text is not all of them."""
    data: bytes = base64.b64decode(entry["raw"]) if "raw" in entry else entry["value"].encode()
    return data


def is_unknown(word: Any) -> bool:
    """Whether an enumeration's word says that the code has none."""
    return not isinstance(word, str) or word.startswith("unknown(")


def to_base64(data: bytes) -> str:
    """As the document has bytes."""
    return binascii.b2a_base64(data, newline=False).decode()


# ---- Comparing bit by bit ----------------------------------------------------------------------------------

SINGLE_TYPES = frozenset({"box2f", "chromaticities", "float", "floatvector", "m33f", "m44f", "v2f", "v3f"})
DOUBLE_TYPES = frozenset({"double", "m33d", "m44d", "v2d", "v3d"})


def exact(type_name: str, value: Any) -> Any:
    """The value with each float as its bytes, so that 0.1 and the float32 next to it are one.

    Zeros keep their sign; all NaNs are one (their bits are in `raw`, and the wheels give Python floats).
    """
    if type_name in SINGLE_TYPES:
        return _with_leaves(value, lambda number: _packed("<f", number))
    if type_name in DOUBLE_TYPES:
        return _with_leaves(value, lambda number: _packed("<d", number))
    return value


def _with_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_leaves(each, change) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_leaves(each, change) for each in value]
    return change(value)


def _packed(layout: str, number: float | str) -> str:
    number = float(number)
    return "NaN" if math.isnan(number) else struct.pack(layout, number).hex()


def flat(value: Any) -> list[Any]:
    """The leaves of objects and lists, depth first."""
    if isinstance(value, Mapping):
        return [leaf for each in value.values() for leaf in flat(each)]
    if isinstance(value, (list, tuple)):
        return [leaf for each in value for leaf in flat(each)]
    return [value]
