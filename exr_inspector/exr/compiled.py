"""The fast reader of each declaration, derived from the declaration itself.

Interpreted construct spends its time in Python calls per field. Every declaration of `layout.py` is one of a few
shapes, and each shape has a reader here that does a fixed run of fields with one `struct.Struct`. `SHAPES` lists
them; a declaration of another shape is a TypeError when the readers are derived, not a slow path. Tests hold the
result equal to `attributes.interpret` on every payload.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import chain
from typing import Any

from construct import (
    Array,
    Bytes,
    Const,
    Construct,
    FormatField,
    GreedyBytes,
    NullTerminated,
    Prefixed,
    Renamed,
    Struct,
    Validator,
)

from exr_inspector.errors import ValueFlaw
from exr_inspector.exr.attributes import (
    ATTRIBUTE_TYPES,
    AttributeType,
    Elements,
    TooManyElements,
    element_limit,
    limit_message,
    list_element,
    record_of,
    size_message,
)
from exr_inspector.limits import KIB, MIB, Limits

Read = Callable[[bytes], Any]
Decode = Callable[[bytes], Any]


# ---- Fixed runs of fields ----------------------------------------------------------------------------------


def _bare(declaration: Construct) -> Construct:
    """The declaration without its name and without validators."""
    while isinstance(declaration, (Renamed, Const, Validator)):
        declaration = declaration.subcon
    return declaration


def _fields(declaration: Construct) -> list[Construct]:
    return [_bare(field) for field in declaration.subcons] if isinstance(declaration, Struct) else []


def _format(field: Construct) -> str | None:
    """The `struct` letters of a fixed field, None for one without a fixed format."""
    if isinstance(field, FormatField):
        return str(field.fmtstr)[1:]
    if isinstance(field, Bytes) and isinstance(field.length, int):
        return f"{field.length}s"
    return None


def fixed_run(fields: list[Construct]) -> struct.Struct | None:
    """One little-endian `struct.Struct` for the fields, None if one of them is not fixed."""
    formats = [_format(field) for field in fields]
    if not formats or any(letters is None for letters in formats):
        return None
    return struct.Struct("<" + "".join(letters for letters in formats if letters))


def fixed(*declarations: Construct) -> struct.Struct:
    """The one `struct.Struct` for declarations that follow each other and have nothing but fixed fields."""
    fields = [field for each in declarations for field in _fields(_bare(each)) or [_bare(each)]]
    run = fixed_run(fields)
    if run is None:
        raise TypeError(f"not a fixed run of fields: {declarations}")
    return run


def _maker(declaration: Construct) -> Callable[[Iterable[Any]], Any]:
    """Makes the declaration's record of as many values as it has fields: `_make` without its Python frame."""
    return partial(tuple.__new__, record_of(declaration))


_strict = bytes.decode
_replacing = partial(bytes.decode, errors="replace")


# ---- Shapes ------------------------------------------------------------------------------------------------
# Each takes a declaration and limits, and returns its reader, or None if the declaration is of another shape.


def _all_bytes(declaration: Construct, _limits: Limits) -> Read | None:
    """GreedyBytes."""
    return (lambda payload: payload) if declaration is GreedyBytes else None


def _scalar(declaration: Construct, _limits: Limits) -> Read | None:
    """One number."""
    run = fixed_run([declaration])
    if run is None:
        return None
    unpack = run.unpack
    return lambda payload: unpack(payload)[0]


def _fixed_record(declaration: Construct, _limits: Limits) -> Read | None:
    """A Struct of numbers."""
    run = fixed_run(_fields(declaration))
    if run is None:
        return None
    make, unpack = _maker(declaration), run.unpack
    return lambda payload: make(unpack(payload))


def _record_of_records(declaration: Construct, _limits: Limits) -> Read | None:
    """A Struct of Structs that are all the same: boxes, chromaticities."""
    fields = _fields(declaration)
    if not fields or any(field is not fields[0] for field in fields):
        return None
    run = fixed_run(_fields(fields[0]))
    if run is None:
        return None
    make, make_inner = _maker(declaration), _maker(fields[0])
    iter_unpack, size = run.iter_unpack, run.size * len(fields)

    def read(payload: bytes) -> Any:
        if len(payload) != size:
            raise struct.error
        return make(map(make_inner, iter_unpack(payload)))

    return read


def _matrix(declaration: Construct, _limits: Limits) -> Read | None:
    """A Struct of one Array of Arrays of numbers."""
    fields = _fields(declaration)
    if len(fields) != 1 or not isinstance(fields[0], Array) or not isinstance(fields[0].subcon, Array):
        return None
    row = fields[0].subcon
    run = fixed_run([_bare(row.subcon)] * row.count)
    if run is None:
        return None
    make, iter_unpack, size = record_of(declaration), run.iter_unpack, run.size * fields[0].count

    def read(payload: bytes) -> Any:
        if len(payload) != size:
            raise struct.error
        return make(tuple(iter_unpack(payload)))

    return read


def _fixed_then_bytes(declaration: Construct, _limits: Limits) -> Read | None:
    """A Struct of numbers, then the rest of the value."""
    fields = _fields(declaration)
    run = fixed_run(fields[:-1])
    if run is None or fields[-1] is not GreedyBytes:
        return None
    make, unpack_from, size = _maker(declaration), run.unpack_from, run.size
    return lambda payload: make((*unpack_from(payload), payload[size:]))


def _prefixed_then_bytes(declaration: Construct, _limits: Limits) -> Read | None:
    """A Struct of counted bytes, then the rest of the value."""
    fields = _fields(declaration)
    if len(fields) != 2 or not isinstance(fields[0], Prefixed) or fields[1] is not GreedyBytes:
        return None
    count = fixed(fields[0].lengthfield)
    make = record_of(declaration)

    def read(payload: bytes) -> Any:
        (length,) = count.unpack_from(payload)
        end = count.size + length
        if end > len(payload):
            raise struct.error
        return make(payload[count.size : end], payload[end:])

    return read


def _list_of_numbers(declaration: Construct, limits: Limits) -> Read | None:
    """A list of numbers."""
    element = list_element(declaration)
    run = fixed_run([element]) if element is not None else None
    if run is None:
        return None
    most = element_limit(element, limits)

    def read(payload: bytes) -> Elements:
        count, left = divmod(len(payload), run.size)
        if count > most:
            raise TooManyElements
        body = payload[:-left] if left else payload
        return Elements(tuple(chain.from_iterable(run.iter_unpack(body))), payload[count * run.size :], False)

    return read


def _list_of_prefixed(declaration: Construct, limits: Limits) -> Read | None:
    """A list of counted bytes."""
    element = list_element(declaration)
    if not isinstance(element, Prefixed) or element.subcon is not GreedyBytes:
        return None
    count = fixed(element.lengthfield)
    unpack_from, count_size, most = count.unpack_from, count.size, element_limit(element, limits)

    def read(payload: bytes) -> Elements:
        elements: list[bytes] = []
        start, end_of_value = 0, len(payload)
        while start + count_size <= end_of_value:
            (length,) = unpack_from(payload, start)
            end = start + count_size + length
            if length < 0 or end > end_of_value:
                break
            if len(elements) == most:
                raise TooManyElements
            elements.append(payload[start + count_size : end])
            start = end
        return Elements(tuple(elements), payload[start:], False)

    return read


def _list_of_named_records(declaration: Construct, limits: Limits) -> Read | None:
    """A list of records that begin with a NUL-terminated, non-empty name, and go on with fixed fields."""
    element = list_element(declaration)
    fields = _fields(element)
    run = fixed_run(fields[1:])
    if run is None or not isinstance(fields[0], NullTerminated):
        return None
    make, unpack_from, size = _maker(element), run.unpack_from, run.size
    most = element_limit(element, limits)

    def read_with(payload: bytes, decode: Callable[[bytes], str]) -> Elements:
        records: list[Any] = []
        append, find = records.append, payload.find
        last_start = len(payload) - size
        start, end = 0, find(0)
        while start < end < last_start:  # else: the terminator, no terminator, or a record that is cut
            if len(records) == most:
                raise TooManyElements
            append(make((decode(payload[start:end]),) + unpack_from(payload, end + 1)))  # noqa: RUF005  # faster
            start = end + 1 + size
            end = find(0, start)
        return Elements(tuple(records), payload[start:], decode is not _strict)

    def read(payload: bytes) -> Elements:
        try:
            return read_with(payload, _strict)
        except UnicodeDecodeError:
            return read_with(payload, _replacing)

    return read


SHAPES: tuple[Callable[[Construct, Limits], Read | None], ...] = (
    _all_bytes,
    _scalar,
    _fixed_record,
    _record_of_records,
    _matrix,
    _fixed_then_bytes,
    _prefixed_then_bytes,
    _list_of_numbers,
    _list_of_prefixed,
    _list_of_named_records,
)


def derive(declaration: Construct, limits: Limits) -> Read:
    """The reader of a declaration. It raises struct.error or TooManyElements; TypeError for an unknown shape."""
    for shape in SHAPES:
        read = shape(declaration, limits)
        if read is not None:
            return read
    raise TypeError(f"no reader for a declaration of this shape: {declaration}")


# ---- Attribute types ---------------------------------------------------------------------------------------


def _decoder(attribute_type: AttributeType, limits: Limits) -> Decode:
    """Reader and meaning in one call; raises struct.error, TooManyElements or ValueFlaw."""
    read, meaning = derive(attribute_type.declaration, limits), attribute_type.meaning
    if meaning is None:
        return read
    if attribute_type.declaration is GreedyBytes:
        return lambda payload: meaning(payload, limits)
    return lambda payload: meaning(read(payload), limits)


class Decoders:
    """The decoders of all `ATTRIBUTE_TYPES` under one set of limits, and a bounded memory of what they gave.

    The attributes of a part repeat in the next part, and those of a frame in the next frame, byte for byte.
    Values are immutable, so that an attribute seen before is not decoded again (docs/decisions/0004). The memory
    holds whole attributes without flaws; it is emptied when their bytes exceed `MEMORY_BYTES`.
    """

    MEMORY_BYTES = MIB
    LONGEST_REMEMBERED_BYTES = 4 * KIB

    def __init__(self, limits: Limits) -> None:
        # Type name as it stands in the file → (type name, decoder).
        self.by_type = {name.encode(): (name, _decoder(row, limits)) for name, row in ATTRIBUTE_TYPES.items()}
        # An attribute's bytes, name to end of value → (name, type name, value).
        self.memory: dict[bytes, tuple[str, str, Any]] = {}
        self._memory_bytes = 0

    def remember(self, attribute_bytes: bytes, decoded: tuple[str, str, Any]) -> None:
        """Keeps an attribute without flaws."""
        self._memory_bytes += len(attribute_bytes)
        if self._memory_bytes > self.MEMORY_BYTES:
            self.forget()
            self._memory_bytes = len(attribute_bytes)
        self.memory[attribute_bytes] = decoded

    def forget(self) -> None:
        """Empties the memory."""
        self.memory.clear()
        self._memory_bytes = 0


@lru_cache(maxsize=8)
def decoders(limits: Limits) -> Decoders:
    """The decoders under these limits."""
    return Decoders(limits)


def flaw_of(error: Exception, type_name: str, payload: bytes, limits: Limits) -> ValueFlaw:
    """What a decoder raised, as a ValueFlaw."""
    if isinstance(error, ValueFlaw):
        return error
    declaration = ATTRIBUTE_TYPES[type_name].declaration
    if isinstance(error, TooManyElements):
        return ValueFlaw("value_limit", limit_message(declaration, limits))
    return ValueFlaw("value_size", size_message(declaration, payload))
