"""The `idmanifest` attribute: which id stands for which object, as a compressed table of strings.

Source: OpenEXR's `ImfIDManifest` (the format is documented in its code only). All numbers are little-endian.

    payload        u64 size of the body, then the body as one zlib stream
    body           u32 version (0), string table, map, i32 count of groups, groups
    string table   a list of byte strings; each but the first begins with the length of what it shares with
                   the one before: two bytes, high byte first, if that is longer than 255 bytes, else one
    map            i32 count of runs, each i32 first, i32 last: the strings of each run, those left out that
                   an earlier run has
    group          list of channels, list of components, u8 lifetime, hash scheme, encoding scheme (each u32
                   length, then bytes), u8 id coding, i32 count of entries, entries
    entry          distance to the previous id (u64, u32 or variable length), and for each component an index
                   of the map (variable length)
    list           i32 count, that many variable lengths, then the byte strings
    variable       seven bits a byte, lowest first; the high bit says that another byte follows

A small body can describe a huge value: it is deflated, strings copy from strings, runs may overlap, every
entry repeats whole texts. So each of those is taken out of an `Allowance` before anything is built. A reader
makes one for a whole header: a thousand manifests of 2 KB would otherwise cost a thousand times the limits.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from exr_inspector.errors import ValueFlaw
from exr_inspector.limits import Limits
from exr_inspector.model import IdManifest, IdManifestEntry, IdManifestGroup

_U8 = struct.Struct("<B")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
_U64 = struct.Struct("<Q")
_RUN = struct.Struct("<ii")

_MAX_U64 = (1 << 64) - 1
_VARIABLE_MAX_BYTES = 10  # ten groups of seven bits hold 64
_LONG_PREFIX_ABOVE = 255  # a string longer than this needs two bytes for the length that the next one shares
_RUN_BYTES = 8
# Two empty lists, lifetime, two empty schemes, id coding, count of entries.
_GROUP_MIN_BYTES = 4 + 4 + 1 + 4 + 4 + 1 + 4


class _Budget:
    """How much of one thing may still be built."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self.left = limit

    def spend(self, amount: int) -> None:
        """Call it before building `amount` more; raises `ValueFlaw` with the code `value_limit`."""
        if amount > self.left:
            message = f"{amount} more exceed the limit of {self._limit} {self._what}"
            raise ValueFlaw("value_limit", message, value_offset=_U64.size)
        self.left -= amount


class Allowance:
    """What all manifests that are decoded with it may build together."""

    def __init__(self, limits: Limits) -> None:
        self.body = _Budget(limits.max_id_manifest_bytes, "inflated bytes")
        self.expansion = _Budget(limits.max_id_manifest_bytes, "bytes of expanded strings")
        self.repeats = _Budget(limits.max_id_manifest_bytes, "characters of text in entries")
        self.strings = _Budget(limits.max_elements, "strings")
        self.runs = _Budget(limits.max_elements, "runs in the map")
        self.groups = _Budget(limits.max_elements, "groups")
        self.entries = _Budget(limits.max_elements, "entries")
        self.texts = _Budget(limits.max_elements, "texts in entries")


def decode_id_manifest(payload: bytes, limits: Limits, allowance: Allowance | None = None) -> IdManifest:
    """Decode the payload of an `idmanifest` attribute: ids unsigned 64-bit, texts UTF-8 (else with U+FFFD).

    `allowance` is shared by the manifests of one header; without it this one has all that `limits` allow.

    Raises `ValueFlaw`: `value_missing_bytes`, `value_trailing_bytes` (with the manifest as its `value`),
    `value_corrupt`, or `value_limit` if more than `limits.max_elements` strings, runs, groups, entries or
    texts, or more than `limits.max_id_manifest_bytes` of inflated body, expanded strings or repeated text.
    """
    allowance = allowance or Allowance(limits)
    body, blob_end = _inflate(payload, allowance)
    cursor = _Cursor(body, allowance)
    manifest = _decode_body(cursor)
    if cursor.at != len(body):
        message = f"{len(body) - cursor.at} bytes follow the manifest's groups"
        raise ValueFlaw("value_trailing_bytes", message, manifest, _U64.size)
    if blob_end != len(payload):
        message = f"{len(payload) - blob_end} bytes follow the zlib stream"
        raise ValueFlaw("value_trailing_bytes", message, manifest, blob_end)
    return manifest


# ---- The zlib stream ---------------------------------------------------------------------------------------


def _inflate(payload: bytes, allowance: Allowance) -> tuple[bytes, int]:
    """The body, and where its zlib stream ends in the payload. Never inflates more than was declared."""
    if len(payload) < _U64.size:
        message = f"{len(payload)} bytes cannot hold the manifest's size (8 bytes)"
        raise ValueFlaw("value_missing_bytes", message)
    (declared,) = _U64.unpack_from(payload)
    allowance.body.spend(declared)
    decompressor = zlib.decompressobj()
    try:
        # One byte of room beyond what is declared: enough to see that there is more.
        body = decompressor.decompress(memoryview(payload)[_U64.size :], declared + 1)
    except zlib.error as error:
        raise ValueFlaw("value_corrupt", f"zlib: {error}", value_offset=_U64.size) from error
    if len(body) <= declared and not decompressor.eof:
        raise ValueFlaw("value_missing_bytes", "the zlib stream is cut off", value_offset=len(payload))
    if len(body) != declared:
        more = "more than" if len(body) > declared else f"{len(body)} bytes, not"
        message = f"inflates to {more} the declared {declared} bytes"
        raise ValueFlaw("value_corrupt", message, value_offset=_U64.size)
    return body, len(payload) - len(decompressor.unused_data)


# ---- Reading the body --------------------------------------------------------------------------------------


class _Cursor:
    """A position in the body; every read is checked against the bytes that remain."""

    def __init__(self, data: bytes, allowance: Allowance) -> None:
        self.data = data
        self.at = 0
        self.allowance = allowance

    def corrupt(self, message: str) -> ValueFlaw:
        """The flaw for a body that makes no sense here."""
        message = f"{message} (byte {self.at} of the manifest)"
        return ValueFlaw("value_corrupt", message, value_offset=_U64.size)

    def require(self, size: int, what: str) -> None:
        """Raise unless `size` more bytes are there."""
        remaining = len(self.data) - self.at
        if size > remaining:
            message = f"{what}: {size} bytes needed, {remaining} remain (byte {self.at} of the manifest)"
            raise ValueFlaw("value_missing_bytes", message, value_offset=_U64.size)

    def take(self, size: int, what: str) -> bytes:
        """The next `size` bytes."""
        self.require(size, what)
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, layout: struct.Struct, what: str) -> int:
        """A number of fixed size."""
        at = self.at
        if at + layout.size > len(self.data):
            self.require(layout.size, what)
        self.at = at + layout.size
        number: int = layout.unpack_from(self.data, at)[0]
        return number

    def count(self, what: str, element_bytes: int) -> int:
        """An i32 count of elements that take at least `element_bytes` each."""
        count = self.number(_I32, what)
        if count < 0:
            raise self.corrupt(f"{what} is negative: {count}")
        self.require(count * element_bytes, f"{what}, {count}")
        return count

    def text(self, what: str) -> str:
        """A u32 length, and that many bytes of text."""
        return _text(self.take(self.number(_U32, what), what))

    def variable(self) -> int:
        """A variable-length number of at most 64 bits."""
        number = 0
        window = self.data[self.at : self.at + _VARIABLE_MAX_BYTES]
        for index, byte in enumerate(window):
            number |= (byte & 0x7F) << 7 * index
            if byte < 0x80 and number <= _MAX_U64:
                self.at += index + 1
                return number
        if len(window) < _VARIABLE_MAX_BYTES:
            self.require(len(window) + 1, "a variable-length number")
        raise self.corrupt("a variable-length number of more than 64 bits")

    def variables(self, count: int) -> Sequence[int]:
        """`count` variable-length numbers."""
        row = self.data[self.at : self.at + count]
        if len(row) < count:
            self.require(count, "a row of variable-length numbers")
        if row.isascii():  # each one byte long, by far the most usual case
            self.at += count
            return row
        return [self.variable() for _ in range(count)]

    def byte_strings(self, what: str) -> Iterator[bytes]:
        """A list of byte strings; the lengths stand before the first of them."""
        count = self.count(what, element_bytes=1)
        if count == 0:
            return iter(())
        self.allowance.strings.spend(count)
        lengths = self.variables(count)
        self.require(sum(lengths), what)
        return (self.take(length, what) for length in lengths)


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


# ---- String table and map ----------------------------------------------------------------------------------


def _decode_body(cursor: _Cursor) -> IdManifest:
    version = cursor.number(_U32, "the version")
    if version != 0:
        raise cursor.corrupt(f"version {version} is unknown")
    strings = tuple(map(_text, _expanded_strings(cursor)))
    mapped = [strings[index] for index in _map_indices(cursor, len(strings))]
    count = cursor.count("the count of groups", element_bytes=_GROUP_MIN_BYTES)
    cursor.allowance.groups.spend(count)
    return IdManifest(strings, tuple(_group(cursor, mapped) for _ in range(count)))


def _expanded_strings(cursor: _Cursor) -> Iterator[bytes]:
    """The string table, each string completed with what it shares with the one before."""
    previous: bytes | None = None
    for stored in cursor.byte_strings("the string table"):
        if previous is None:
            cursor.allowance.expansion.spend(len(stored))
            previous = stored
        else:
            previous = _expanded(cursor, previous, stored)
        yield previous


def _expanded(cursor: _Cursor, previous: bytes, stored: bytes) -> bytes:
    prefix_bytes = 2 if len(previous) > _LONG_PREFIX_ABOVE else 1
    if len(stored) < prefix_bytes:
        raise cursor.corrupt("a string without the length that it shares with the one before")
    shared = int.from_bytes(stored[:prefix_bytes], "big")
    if shared > len(previous):
        raise cursor.corrupt(f"a string shares {shared} bytes with one of {len(previous)}")
    cursor.allowance.expansion.spend(shared + len(stored) - prefix_bytes)
    return previous[:shared] + stored[prefix_bytes:]


def _map_indices(cursor: _Cursor, string_count: int) -> list[int]:
    """The map as indices of strings. Runs may overlap: a string keeps the place that its first run gave it.

    `following[i]` leads to the first string from `i` on that is not mapped yet (union-find with path
    halving), so that overlapping runs never visit the mapped strings again.
    """
    run_count = cursor.count("the count of runs in the map", element_bytes=_RUN_BYTES)
    cursor.allowance.runs.spend(run_count)
    following = list(range(string_count + 1))
    mapped: list[int] = []
    for first, last in _RUN.iter_unpack(cursor.take(run_count * _RUN_BYTES, "the map")):
        if not 0 <= first <= last < string_count:
            raise cursor.corrupt(f"a run of the map, {first} to {last}, leaves the {string_count} strings")
        index = _first_free(following, first)
        while index <= last:
            mapped.append(index)
            following[index] = index + 1
            index = _first_free(following, index + 1)
    return mapped


def _first_free(following: list[int], index: int) -> int:
    while following[index] != index:
        following[index] = following[following[index]]
        index = following[index]
    return index


# ---- Groups ------------------------------------------------------------------------------------------------


def _group(cursor: _Cursor, mapped: list[str]) -> IdManifestGroup:
    channels = tuple(map(_text, cursor.byte_strings("the list of channels")))
    components = tuple(map(_text, cursor.byte_strings("the list of components")))
    lifetime = cursor.number(_U8, "the lifetime")
    hash_scheme = cursor.text("the hash scheme")
    encoding_scheme = cursor.text("the encoding scheme")
    coding = cursor.number(_U8, "the id coding")
    entries = tuple(_entries(cursor, coding, len(components), mapped))
    return IdManifestGroup(channels, components, lifetime, hash_scheme, encoding_scheme, coding, entries)


def _distances(cursor: _Cursor, coding: int) -> tuple[Callable[[], int], int]:
    """How to read the distance to the previous id, and the bytes it takes at least."""
    if coding == 0:
        return partial(cursor.number, _U64, "an id"), _U64.size
    if coding == 1:
        return partial(cursor.number, _U32, "an id"), _U32.size
    return cursor.variable, 1


def _entries(cursor: _Cursor, coding: int, component_count: int, mapped: list[str]) -> Iterator[IdManifestEntry]:
    distance, distance_bytes = _distances(cursor, coding)
    count = cursor.count("the count of entries", element_bytes=distance_bytes + component_count)
    cursor.allowance.entries.spend(count)
    cursor.allowance.texts.spend(count * component_count)
    number = 0
    for _ in range(count):
        number = number + distance() & _MAX_U64
        yield IdManifestEntry(number, _entry_text(cursor, component_count, mapped))


def _entry_text(cursor: _Cursor, component_count: int, mapped: list[str]) -> tuple[str, ...]:
    """The text of each component. Those of one entry share their objects with the string table."""
    indices = cursor.variables(component_count)
    if indices and max(indices) >= len(mapped):
        raise cursor.corrupt(f"text {max(indices)} of a map of {len(mapped)}")
    text = tuple([mapped[index] for index in indices])
    cursor.allowance.repeats.spend(sum(map(len, text)))
    return text
