"""What can go wrong: one table of stable codes, one record, one exception tree.

Every code stands in `CODES` with its severity, whether a retry can help, and its meaning; `docs/format.md`
shows the same table. A `Problem` is one such event with its place in the file; it is what the document lists
under `errors`. An `ExrError` carries a `Problem`:

    ExrError
    ├── SourceError          the bytes cannot be had (missing, unreadable, not a regular file)
    ├── FormatError          the bytes are no header that can be walked
    │   ├── NotExr           another kind of file
    │   ├── UnsupportedExr   a version or a flag that this reader does not know
    │   └── TruncatedExr     the header goes on after the last byte
    ├── LimitExceeded        a bound of `limits.Limits` was met
    ├── SettingsError        a setting is missing or wrong (settings.py)
    ├── EventError           an event is not understood, or asks for what it may not (events/delivery.py)
    ├── StoreError           a database could not do what it was asked for (stores/base.py)
    │   └── VASTDatabaseError    VAST DataBase (stores/vast.py)
    └── DocumentError        a document that is not of the schema (also a ValueError)
        └── IncompleteDocument   values were cut or left out, so the bytes cannot be rebuilt
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Code(NamedTuple):
    """What a code means: `severity` is fatal, error or warning; `retryable` tells if a retry can help."""

    severity: str
    retryable: bool
    meaning: str


CODES: dict[str, Code] = {
    # ---- The source: no bytes, no document beyond the path
    "source_not_found": Code("fatal", False, "there is no such file or object"),
    "source_no_permission": Code("fatal", False, "the file may not be read"),
    "source_not_regular": Code("fatal", False, "a directory, FIFO, socket or device; devices are read through `-`"),
    "source_changed": Code("fatal", True, "the file or object was changed while it was read"),
    "source_failed": Code("fatal", True, "the system reported another error while reading"),
    "source_reader_died": Code("fatal", True, "the process that read the file died of it, or was killed"),
    "source_unsupported": Code("fatal", False, "this kind of address cannot be read by this installation"),
    "source_refused": Code("fatal", False, "the object store refuses the request itself"),
    "source_unconfigured": Code("fatal", False, "an s3:// address, but where objects are is not configured"),
    # ---- The framing: what follows cannot be found any more
    "empty_file": Code("fatal", False, "the file has no bytes"),
    "not_exr": Code("fatal", False, "the file does not begin with OpenEXR's magic number"),
    "unsupported_version": Code("fatal", False, "the version number is not 2"),
    "unsupported_flags": Code("fatal", False, "the version field sets a bit that has no meaning yet"),
    "truncated_header": Code("fatal", False, "the file ends before its header does"),
    "attribute_size_negative": Code("fatal", False, "an attribute's size is negative, so its end is unknown"),
    "limit_header_bytes": Code("fatal", False, "the header is larger than the limit"),
    "limit_parts": Code("fatal", False, "more parts than the limit"),
    "limit_attributes": Code("fatal", False, "more attributes than the limit"),
    "limit_name_bytes": Code("fatal", False, "an attribute's or a type's name is longer than the limit"),
    # ---- One attribute's value: its bytes are kept, everything after it is read
    "value_size": Code("error", False, "the size is not the one that the type has"),
    "value_trailing_bytes": Code("error", False, "bytes follow the value's end"),
    "value_missing_bytes": Code("error", False, "the value ends before it is complete"),
    "value_text": Code("warning", False, "text that is not UTF-8: shown with U+FFFD, bytes in `raw`"),
    "value_enumeration": Code("warning", False, "a code without a name: shown as `unknown(n)`"),
    "value_range": Code("warning", False, "outside the range that the type's definition gives"),
    "value_corrupt": Code("error", False, "a compressed value that does not decode"),
    "value_limit": Code("error", False, "larger than a limit: kept as bytes, not decoded"),
    # ---- The header's meaning
    "flags_illegal": Code("error", False, "a combination of version flags that the format does not have"),
    "no_parts": Code("error", False, "a multipart file without a part"),
    "name_text": Code("warning", False, "a name that is not UTF-8: shown with U+FFFD, bytes in `name_raw`, `type_raw`"),
    "type_empty": Code("error", False, "an attribute without a type name"),
    "name_long": Code("warning", False, "a name longer than the file's flags allow"),
    "attribute_missing": Code("error", False, "a required attribute is missing"),
    "attribute_type": Code("error", False, "a standard attribute has another type than the standard gives it"),
    "attribute_duplicate": Code("warning", False, "the name stands more than once in a part; the first one counts"),
    "channel_duplicate": Code("warning", False, "the channel stands more than once in a part"),
    "part_type_unknown": Code("error", False, "a part type that is not one of the four"),
    "window_inverted": Code("error", False, "a window's maximum lies below its minimum"),
    "chunk_count": Code("warning", False, "`chunkCount` differs from the count computed from windows and tiles"),
    "chunk_count_unknown": Code("warning", False, "the number of chunks cannot be computed"),
    "limit_chunks": Code("error", False, "more chunks than the limit: the offset table was not read"),
    "limit_problems": Code("warning", False, "more problems than the limit: the rest is counted, not listed"),
    # ---- Is the file whole?
    "integrity_incomplete": Code("warning", False, "the offset table has zeros: chunks were never written"),
    "integrity_truncated": Code("error", False, "offsets or chunks lie past the file's end"),
    "integrity_trailing": Code("warning", False, "bytes follow the last chunk"),
    "integrity_inconsistent": Code("error", False, "a chunk's leader contradicts the offset table"),
    # ---- The store
    "store_unreachable": Code("error", True, "the database cannot be reached, or did not answer in time"),
    "store_conflict": Code("error", True, "another writer changed the same rows; the bounded retries are used up"),
    "store_busy": Code("error", True, "another process has the catalog open"),
    "store_refused": Code("error", False, "the database refused: credentials, permission, a missing bucket"),
    "store_schema": Code("error", False, "the tables in the database differ from the program's"),
    "store_failed": Code("error", False, "the database reported another error"),
    "store_unconfigured": Code("error", False, "a setting that the store needs is missing"),
    "not_stored": Code("error", False, "the document could not be stored; this error row stands for it"),
    # ---- The function
    "event_not_understood": Code("error", False, "an event that names no file, or contradicts itself"),
    "event_refused": Code("error", False, "an event asks for a file or a database that it may not name"),
    "sink_failed": Code("error", True, "the result could not be sent on; what was read is stored"),
    "function_busy": Code("error", True, "more waits than the function takes, or it is stopping: deliver it again"),
    "function_cut": Code("warning", False, "the document is too large to be returned whole; the tables have all of it"),
    "function_failed": Code("error", False, "the program itself failed; its log says where"),
    "setting_invalid": Code("error", False, "a setting of the function makes no sense"),
    # ---- The call
    "config_invalid": Code("error", False, "a setting cannot be understood; its default was used"),
    "feature_unavailable": Code("error", False, "asked for what a header-only reader cannot do"),
    "document_invalid": Code("error", False, "a document that is not of the schema, or not complete"),
    "column_misfit": Code("warning", False, "a value that its table's column cannot hold: stored there as null"),
    "policy_unreadable": Code("error", False, "the policy file cannot be read or understood"),
}


class Problem(NamedTuple):
    """One event: a code of `CODES` and its place. `offset` is a byte offset from the file's start."""

    code: str
    message: str
    part_index: int | None = None
    attribute: str | None = None
    type_name: str | None = None
    offset: int | None = None

    @property
    def severity(self) -> str:
        """`fatal`, `error` or `warning`."""
        return CODES[self.code].severity

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return CODES[self.code].retryable

    @property
    def full_message(self) -> str:
        """The message behind its place: part, attribute, type and byte offset, as far as they are known."""
        return placed(self.message, self.part_index, self.attribute, self.type_name, self.offset)

    def as_entry(self) -> dict[str, Any]:
        """The entry of the document's `errors` list."""
        return {
            "code": self.code,
            "severity": self.severity,
            "retryable": self.retryable,
            "message": self.full_message,
            "part_index": self.part_index,
            "attribute": self.attribute,
            "offset": self.offset,
        }


def placed(
    message: str, part_index: int | None, attribute: str | None, type_name: str | None, offset: int | None
) -> str:
    """A message behind its place: part, attribute, type and byte offset, as far as they are known."""
    place = []
    if part_index is not None:
        place.append(f"part {part_index}")
    if attribute is not None:
        kind = f" ({shown(type_name)})" if type_name is not None else ""
        place.append(f"attribute {shown(attribute)}{kind}")
    if offset is not None:
        place.append(f"byte {offset}")
    return f"{', '.join(place)}: {message}" if place else message


def shown(text: str | None, limit: int = 80) -> str:
    """Text out of a file, quoted for a message: one line, control characters escaped, length capped."""
    text = text or ""
    cut = text if len(text) <= limit else text[:limit] + "…"
    return ascii(cut).replace("\\u2026", "…")


class ExrError(Exception):
    """The root. `problem` says what happened and where; `str()` gives the whole message."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.full_message)
        self.problem = problem

    @property
    def code(self) -> str:
        """The stable code, a key of `CODES`."""
        return self.problem.code

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return self.problem.retryable

    @property
    def part_index(self) -> int | None:
        """The part, or None."""
        return self.problem.part_index

    @property
    def attribute(self) -> str | None:
        """The attribute's name, or None."""
        return self.problem.attribute

    @property
    def offset(self) -> int | None:
        """The byte offset from the file's start, or None."""
        return self.problem.offset

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem,)


class SourceError(ExrError):
    """The bytes cannot be had."""


class FormatError(ExrError):
    """The bytes are no header that can be walked."""


class NotExr(FormatError):
    """Another kind of file."""


class UnsupportedExr(FormatError):
    """A version or a flag that this reader does not know."""


class TruncatedExr(FormatError):
    """The header goes on after the last byte. `missing_bytes`: how many at least."""

    def __init__(self, problem: Problem, missing_bytes: int) -> None:
        super().__init__(problem)
        self.missing_bytes = missing_bytes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.missing_bytes)


class LimitExceeded(ExrError):
    """A bound of `limits.Limits` was met."""


class DocumentError(ExrError, ValueError):
    """A document that is not of the schema; the message names the field."""

    def __init__(self, message: str) -> None:
        ValueError.__init__(self, message)
        self.problem = Problem("document_invalid", message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem.message,)


class IncompleteDocument(DocumentError):
    """Values were cut or left out, so the header's bytes cannot be rebuilt."""


class ValueFlaw(Exception):
    """Inside the reader only: one attribute's value is not as its type says. Never leaves `exr.reader`.

    `value` is what could be read all the same, or None if the value stays bytes; `value_offset` counts from the
    value's start.
    """

    def __init__(self, code: str, message: str, value: Any = None, value_offset: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.value = value
        self.value_offset = value_offset
