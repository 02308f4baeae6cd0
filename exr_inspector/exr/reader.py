"""Walks a header: magic number, version field, parts, attributes. Does no I/O.

`HeaderReader.advance` is handed the file's first bytes and answers how many it needs, or 0 when the header is
whole; handed more bytes it goes on where it stopped, so that the time is linear in the header's size. Each
attribute's declared size is checked and its bytes are cut out before they are interpreted: a bad value never
costs the next attribute.
"""

from __future__ import annotations

import struct
from typing import Any

from exr_inspector.errors import (
    FormatError,
    LimitExceeded,
    NotExr,
    Problem,
    TruncatedExr,
    UnsupportedExr,
    ValueFlaw,
    shown,
)
from exr_inspector.exr import layout
from exr_inspector.exr.attributes import TooManyElements
from exr_inspector.exr.compiled import Decoders, decoders, fixed, flaw_of
from exr_inspector.exr.idmanifest import Allowance, decode_id_manifest
from exr_inspector.limits import DEFAULT_LIMITS, Limits
from exr_inspector.model import Attribute, ExrHeader, Flags, Opaque, Part

_FILE_START = fixed(layout.FileStart)
_SIZE = fixed(layout.Attribute.size)
_SIZE_BYTES = _SIZE.size
_LONGEST_REMEMBERED_BYTES = Decoders.LONGEST_REMEMBERED_BYTES
_KNOWN_BITS = (
    layout.VERSION_MASK | layout.TILED_FLAG | layout.LONG_NAMES_FLAG | layout.DEEP_FLAG | layout.MULTIPART_FLAG
)
SUPPORTED_VERSION = 2

# Collections this small are bounded well enough by the number of attributes.
_FEW_ELEMENTS_BYTES = 64

SHORT_NAME_BYTES = 31
LONG_NAME_BYTES = 255

# What is found under the name .exr: first bytes → what to call it. Facts of the respective formats.
SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG"),
    (b"\xff\xd8\xff", "a JPEG"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"SDPX", "a DPX"),
    (b"XPDS", "a DPX"),
    (b"#?RADIANCE", "a Radiance HDR"),
    (b"GIF8", "a GIF"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 codestream"),
    (b"RIFF", "a RIFF file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\0", "xz data"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "XML"),
    (b"{", "JSON or other text"),
    (b"\x01\x31\x2f\x76", "an OpenEXR file with its bytes swapped"),
)


def looks_like(data: bytes) -> str:
    """What the first bytes look like, in words; `an unknown kind of file` if nothing is recognised."""
    for signature, words in SIGNATURES:
        if data.startswith(signature):
            return words
    start = data[:64]
    if not any(start):
        return "a run of zero bytes"
    if all(9 <= byte <= 13 or 32 <= byte < 127 for byte in start):
        return "text"
    return "an unknown kind of file"


def decode_flags(version_field: int) -> Flags:
    """The bits of the version field that have a meaning."""
    return Flags(
        tiled=bool(version_field & layout.TILED_FLAG),
        long_names=bool(version_field & layout.LONG_NAMES_FLAG),
        deep=bool(version_field & layout.DEEP_FLAG),
        multipart=bool(version_field & layout.MULTIPART_FLAG),
    )


class HeaderReader:
    """Reads one header. Holds what was read so far, also after an error."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._decoders = decoders(limits)
        self._allowance: Allowance | None = None
        self._position = 0
        self._reading = "the magic number"
        self._version_field: int | None = None
        self._is_multipart = False
        self._name_bytes = LONG_NAME_BYTES
        self._parts: list[Part] = []
        self._attributes: list[Attribute] = []
        self._attributes_left = limits.max_attributes
        self._element_count = 0
        self._problems: list[Problem] = []
        self._problem_count = 0
        self._is_done = False

    # ---- Results -------------------------------------------------------------------------------------------

    @property
    def version_field(self) -> int | None:
        """The version field as it stands in the file, None if it was not reached."""
        return self._version_field

    @property
    def is_done(self) -> bool:
        """Whether the whole header was walked."""
        return self._is_done

    def header(self, data: bytes) -> ExrHeader:
        """What was read so far, as a header; `data` are the bytes that were handed to `advance`."""
        parts = self._parts
        if self._attributes:
            parts = [*parts, _part(len(parts), self._attributes)]
        problems = tuple(self._problems)
        left_out = self._problem_count - len(problems)
        if left_out:
            problems += (Problem("limit_problems", f"{left_out} more problems are not listed"),)
        field = self._version_field or 0
        version = field & layout.VERSION_MASK
        return ExrHeader(version, decode_flags(field), tuple(parts), data[: self._position], problems)

    def truncated(self, available_bytes: int, needed_bytes: int) -> TruncatedExr:
        """The error for a file that has no more than `available_bytes`."""
        missing = needed_bytes - available_bytes
        message = (
            f"the file ends at byte {available_bytes}, in {self._reading}: at least {missing} more bytes are needed"
        )
        part_index = len(self._parts) if self._version_field is not None else None
        return TruncatedExr(Problem("truncated_header", message, part_index=part_index, offset=self._position), missing)

    # ---- Walking -------------------------------------------------------------------------------------------

    def advance(self, data: bytes) -> int:
        """Walks on. Returns 0 if the header is whole, else how many bytes of the file it needs at least.

        `data` begins at the file's start and is never shorter than in the call before. Raises FormatError and
        LimitExceeded.
        """
        if self._version_field is None:
            needed = self._read_start(data)
            if needed:
                return needed
        while not self._is_done:
            needed = self._read_attributes(data)
            if needed:
                return needed
            self._end_part()
        return 0

    def _read_start(self, data: bytes) -> int:
        magic = data[: len(layout.MAGIC_BYTES)]
        if not layout.MAGIC_BYTES.startswith(magic):
            raise NotExr(Problem("not_exr", f"not an OpenEXR file: this is {looks_like(data)}", offset=0))
        if len(data) < _FILE_START.size:
            if len(magic) == len(layout.MAGIC_BYTES):
                self._reading = "the version field"
            return _FILE_START.size
        _, field = _FILE_START.unpack_from(data)
        self._check_version_field(field)
        self._version_field = field
        self._is_multipart = bool(field & layout.MULTIPART_FLAG)
        self._name_bytes = LONG_NAME_BYTES if field & layout.LONG_NAMES_FLAG else SHORT_NAME_BYTES
        self._position = _FILE_START.size
        return 0

    def _check_version_field(self, field: int) -> None:
        version, unknown = field & layout.VERSION_MASK, field & ~_KNOWN_BITS
        if version != SUPPORTED_VERSION:
            message = f"version {version}; this reader knows version {SUPPORTED_VERSION}"
            raise UnsupportedExr(Problem("unsupported_version", message, offset=4))
        if unknown:
            message = f"the version field {field:#010x} sets unknown bits {unknown:#010x}"
            raise UnsupportedExr(Problem("unsupported_flags", message, offset=4))

    def _read_attributes(self, data: bytes) -> int:
        """Reads attributes up to the end of the part. Returns 0 there, else the number of bytes needed."""
        # The loop that every attribute of every file goes through: its names are local, its steps are inline.
        find, unpack_size, recall = data.find, _SIZE.unpack_from, self._decoders.memory.get
        append, new = self._attributes.append, tuple.__new__
        longest, end_of_data = self._limits.max_name_bytes, len(data)
        last_end = min(end_of_data, self._limits.max_header_bytes)
        position = self._position
        for _ in range(self._attributes_left - len(self._attributes)):
            name_end = find(0, position)
            if name_end == position:
                self._position = position + 1
                return 0
            type_end = find(0, name_end + 1)
            # Without a NUL the one end or the other is -1.
            if not position < name_end < type_end or type_end - position > longest:
                name_end, type_end = _name_ends(data, position, longest)
            value_offset = type_end + 1 + _SIZE_BYTES
            if type_end < 0 or value_offset > end_of_data:
                self._position = position
                return self._need_names(data, name_end, type_end)
            (size,) = unpack_size(data, type_end + 1)
            end = value_offset + size
            if not value_offset <= end <= last_end:
                self._position = position
                return self._need_value(data, value_offset, size)
            whole = data[position:end] if end - position <= _LONGEST_REMEMBERED_BYTES else b""
            name, type_name, value = recall(whole) or self._decode(data, position, name_end, type_end, end, whole)
            if size > _FEW_ELEMENTS_BYTES and value.__class__ is tuple:
                value = self._counted(value, data[value_offset:end], name, type_name, value_offset)
            append(new(Attribute, (name, type_name, value, position, value_offset, size)))
            position = end
        self._position = position
        return self._need_terminator(data)

    def _decode(
        self, data: bytes, position: int, name_end: int, type_end: int, end: int, whole: bytes
    ) -> tuple[str, str, Any]:
        """Name, type and value of an attribute that was not seen before; `whole`: its bytes if they are few."""
        raw_name, raw_type = data[position:name_end], data[name_end + 1 : type_end]
        payload = data[type_end + 1 + _SIZE_BYTES : end]
        problem_count = self._problem_count
        try:
            name = raw_name.decode()
            type_name, decode = self._decoders.by_type.get(raw_type) or (raw_type.decode(), Opaque)
            value = decode(payload) if raw_type != b"idmanifest" else self._decode_id_manifest(payload)
        except (ValueFlaw, struct.error, TooManyElements, UnicodeDecodeError) as error:
            name, type_name, value = self._flawed(error, position, raw_name, raw_type, payload)
        if type_end - position > SHORT_NAME_BYTES or not raw_type:
            self._check_names(name, type_name, position, max(len(raw_name), len(raw_type)))
            # A name that only some files' flags allow is looked at in each of them.
            if len(raw_name) > SHORT_NAME_BYTES or len(raw_type) > SHORT_NAME_BYTES:
                return name, type_name, value
        decoded = name, type_name, value
        if whole and raw_type != b"idmanifest" and problem_count == self._problem_count:
            self._decoders.remember(whole, decoded)
        return decoded

    def _decode_id_manifest(self, payload: bytes) -> object:
        """All manifests of a header share one allowance: a thousand small ones must not cost a thousand limits."""
        if self._allowance is None:
            self._allowance = Allowance(self._limits)
        return decode_id_manifest(payload, self._limits, self._allowance)

    def _end_part(self) -> None:
        """Closes the part whose terminator was just read; an empty one ends the list of a multipart file."""
        if self._position > self._limits.max_header_bytes:
            raise self._limit_header_bytes()
        if self._attributes or not self._is_multipart:
            if len(self._parts) >= self._limits.max_parts:
                raise self._limit("limit_parts", f"more than {self._limits.max_parts} parts")
            self._parts.append(_part(len(self._parts), self._attributes))
            self._is_done = not self._is_multipart
            self._attributes_left -= len(self._attributes)
            self._attributes = []
        else:
            self._is_done = True

    # ---- More bytes, or an error ---------------------------------------------------------------------------

    def _need_terminator(self, data: bytes) -> int:
        """As many attributes as there may be were read: nothing but the part's end may follow."""
        if self._position == len(data):
            return self._need_names(data, -1, -1)
        if data[self._position]:
            raise self._limit("limit_attributes", f"more than {self._limits.max_attributes} attributes")
        self._position += 1
        return 0

    def _need_names(self, data: bytes, name_end: int, type_end: int) -> int:
        """The attribute's name, type or size is not all there: how many bytes are needed at least."""
        position, longest = self._position, self._limits.max_name_bytes
        if type_end >= 0 and name_end >= 0:
            self._reading = "an attribute's size"
            return type_end + 1 + _SIZE.size
        start = position if name_end < 0 else name_end + 1
        self._reading = "an attribute's name" if name_end < 0 else "an attribute's type name"
        if len(data) - start > longest:
            raise self._limit("limit_name_bytes", f"{self._reading[3:]} is longer than {longest} bytes")
        if len(data) >= self._limits.max_header_bytes:
            raise self._limit_header_bytes()
        if len(data) == position:  # perhaps only a terminator
            return position + 1
        return len(data) + (1 if name_end >= 0 else 2) + _SIZE.size

    def _need_value(self, data: bytes, value_offset: int, size: int) -> int:
        """The attribute's value is not all there, or cannot be."""
        position = self._position
        name_end = data.index(0, position)
        name = data[position:name_end].decode(errors="replace")
        type_name = data[name_end + 1 : value_offset - _SIZE.size - 1].decode(errors="replace")
        if size < 0:
            place = (len(self._parts), name, type_name, value_offset - _SIZE.size)
            raise FormatError(Problem("attribute_size_negative", f"the size is {size}", *place))
        if value_offset + size > self._limits.max_header_bytes:
            raise self._limit_header_bytes()
        self._reading = f"the {size} bytes of attribute {shown(name)} ({shown(type_name)})"
        return value_offset + size

    def _limit(self, code: str, message: str) -> LimitExceeded:
        return LimitExceeded(Problem(code, message, part_index=len(self._parts), offset=self._position))

    def _limit_header_bytes(self) -> LimitExceeded:
        return self._limit("limit_header_bytes", f"the header is larger than {self._limits.max_header_bytes} bytes")

    # ---- Flaws of one attribute ----------------------------------------------------------------------------

    def _flawed(
        self, error: Exception, position: int, raw_name: bytes, raw_type: bytes, payload: bytes
    ) -> tuple[str, str, object]:
        """Name, type and value of an attribute that did not decode: what can be read, or the bytes."""
        name, type_name = raw_name.decode(errors="replace"), raw_type.decode(errors="replace")
        if isinstance(error, UnicodeDecodeError):
            self._add(Problem("name_text", "the name or type is not UTF-8", *self._place(name, type_name, position)))
            try:
                _, decode = self._decoders.by_type.get(raw_type) or (type_name, Opaque)
                return name, type_name, decode(payload)
            except (ValueFlaw, struct.error, TooManyElements) as second:
                error = second
        flaw = flaw_of(error, type_name, payload, self._limits)
        offset = position + len(raw_name) + len(raw_type) + 2 + _SIZE.size + flaw.value_offset
        self._add(Problem(flaw.code, flaw.message, *self._place(name, type_name, offset)))
        return name, type_name, Opaque(payload) if flaw.value is None else flaw.value

    def _counted(
        self, value: tuple[object, ...], payload: bytes, name: str, type_name: str, value_offset: int
    ) -> object:
        """A collection; its bytes if it has more elements than all collections of a header may have together."""
        most = self._limits.max_header_elements
        if self._element_count + len(value) > most:
            message = f"the header's collections have more than {most} elements: kept as bytes"
            self._add(Problem("value_limit", message, *self._place(name, type_name, value_offset)))
            return Opaque(payload)
        self._element_count += len(value)
        return value

    def _check_names(self, name: str, type_name: str, position: int, longest_bytes: int) -> None:
        if longest_bytes > SHORT_NAME_BYTES and longest_bytes > self._name_bytes:
            message = f"a name of {longest_bytes} bytes; the file's flags allow {self._name_bytes}"
            self._add(Problem("name_long", message, *self._place(name, type_name, position)))
        if not type_name:
            self._add(Problem("type_empty", "the type name is empty", *self._place(name, type_name, position)))

    def _place(self, name: str, type_name: str, offset: int) -> tuple[int, str, str, int]:
        return len(self._parts), name, type_name, offset

    def _add(self, problem: Problem) -> None:
        self._problem_count += 1
        if len(self._problems) < self._limits.max_problems:
            self._problems.append(problem)


def _name_ends(data: bytes, position: int, longest: int) -> tuple[int, int]:
    """Where the attribute's name and its type's name end; -1 where no NUL stands within the limit."""
    name_end = data.find(0, position, position + longest + 1)
    return name_end, data.find(0, name_end + 1, name_end + longest + 2) if name_end > 0 else -1


def _part(index: int, attributes: list[Attribute]) -> Part:
    return Part(index, tuple(attributes), {attribute[0]: attribute for attribute in reversed(attributes)})


def parse_header(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> ExrHeader:
    """The header at the start of `data`, which may go on after it. Raises ExrError."""
    reader = HeaderReader(limits)
    needed = reader.advance(data)
    if needed:
        raise reader.truncated(len(data), needed)
    return reader.header(data)
