"""The application core: a source in, a header or a document out.

Holds the one loop that asks a source for bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from exr_inspector.config import DEFAULT_CONFIG, InspectConfig, inspect_config
from exr_inspector.errors import ExrError, FormatError, Problem, SourceError, TruncatedExr
from exr_inspector.exr.integrity import Integrity, check_integrity, integrity_entry
from exr_inspector.exr.offset_tables import FileBytes
from exr_inspector.exr.reader import HeaderReader
from exr_inspector.limits import DEFAULT_LIMITS, FIRST_READ_BYTES, Limits
from exr_inspector.model import ExrHeader
from exr_inspector.normalizer import Document, build_document
from exr_inspector.rules.always import header_problems
from exr_inspector.rules.records import Facts
from exr_inspector.sources import S3_SCHEME, Source, SourceArgument, described_path, object_name, open_source

if TYPE_CHECKING:
    from exr_inspector.rules.validation import Validation


def read_header(source: SourceArgument, *, limits: Limits | None = None) -> ExrHeader:
    """The typed header of an OpenEXR file: a path, bytes, a binary file object, seekable or not, or s3://bucket/key.

    A `sources.Source` is read, too, and closed. Raises ExrError: SourceError, SettingsError, FormatError (NotExr,
    UnsupportedExr, TruncatedExr) or LimitExceeded. A bad value of one attribute is not an error: it is among
    `problems`, and the value is kept as bytes.
    """
    with _opened(source) as opened:
        while True:
            loading = _Loading(opened, limits or DEFAULT_LIMITS)
            try:
                loading.run()
                return loading.header()
            except SourceError as error:
                if not _is_to_restart(opened, error.problem):
                    raise


def _opened(source: SourceArgument) -> Source:
    if isinstance(source, str) and source.startswith(S3_SCHEME):
        return import_module("exr_inspector.s3").open_address(source)  # type: ignore[no-any-return]
    return open_source(source)


def _is_to_restart(source: Source, problem: Problem) -> bool:
    return problem.code == "source_changed" and source.restart()


class _Loading:
    """Reads one header. Keeps what was read, also after an error."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self.reader = HeaderReader(limits)
        self.data = b""

    def run(self) -> None:
        """Asks the source for bytes until the header is whole. Raises ExrError.

        Each read asks for what the reader is known to need and a step beyond, which the source knows.
        """
        source = self._source
        self.data = source.read(0, source.first_read_bytes)
        if not self.data:
            raise FormatError(Problem("empty_file", "the file is empty", offset=0))
        for number in count():
            needed = self.reader.advance(self.data)
            if not needed:
                return
            have, size = len(self.data), source.size_bytes
            # A few bytes more may still end one attribute and begin another: then others are missing.
            if size is not None and needed > size and not have < size <= have + FIRST_READ_BYTES:
                raise self.reader.truncated(size, needed)
            wanted = max(needed, min(needed + source.read_ahead(number, have), self._limits.max_header_bytes))
            if size is not None:
                wanted = min(wanted, size)
            if source.is_random and wanted > 16 * have:
                self.data = source.read(0, wanted)  # to read a little again is cheaper than to copy megabytes
            else:
                self.data += source.read(have, wanted - have)
            if len(self.data) < needed:
                self._raise_short()

    def _raise_short(self) -> None:
        size = self._source.size_bytes
        if size is not None and len(self.data) < size:
            message = f"the file had {size} bytes when it was opened, now it ends at byte {len(self.data)}"
            raise SourceError(Problem("source_changed", message))
        if needed := self.reader.advance(self.data):
            raise self.reader.truncated(len(self.data), needed)

    def header(self) -> ExrHeader:
        """What was read so far."""
        return self.reader.header(self.data)


def inspect(
    source: SourceArgument,
    *,
    config: Mapping[str, Any] | InspectConfig | None = None,
    limits: Limits | None = None,
) -> Document:
    """The document of an OpenEXR file. Content and I/O failures are in its `errors`; none is raised.

    `source` as for `read_header`; `config` has the fields of `config.InspectConfig`. Raises TypeError only,
    for arguments of a wrong type.
    """
    settings, problems = inspect_config(config)
    bounds = limits or DEFAULT_LIMITS
    validation = _validation(settings)
    if validation is not None and validation.problem is not None:
        problems.append(validation.problem)
    try:
        opened = _opened(source)
    except ExrError as error:
        document, facts = _unread(described_path(source), settings, problems, error.problem)
    else:
        with opened:
            document, facts = _inspected(opened, settings, bounds, problems)
    if validation is not None:
        document["validation"] = validation.entry(facts)
    return document


def unread_document(path: str, problem: Problem) -> Document:
    """The document of a file that could not be read at all."""
    document, _ = _unread(path, DEFAULT_CONFIG, [], problem)
    return document


def _validation(settings: InspectConfig) -> Validation | None:
    if not settings.enable_validate:
        return None
    return import_module("exr_inspector.rules.validation").Validation(settings.policy_path)  # type: ignore[no-any-return]


def _unread(
    path: str | bytes | None, settings: InspectConfig, problems: list[Problem], fatal: Problem
) -> tuple[Document, Facts]:
    source = Source()
    source.path = path
    if isinstance(path, str) and path.startswith(S3_SCHEME):
        source.s3_bucket, source.s3_key = object_name(path)
    document = build_document(
        source,
        None,
        is_whole=False,
        with_attributes=settings.enable_meta,
        integrity=integrity_entry("unchecked"),
        validation={},
        problems=[*problems, fatal],
    )
    return document, Facts(None, False, (fatal,), document)


_NOT_ALLOWED = (
    "integrity chunks asks an object store for every chunk: not without remote_chunks (--remote-chunks); "
    "the offset tables were looked at"
)


def _inspected(
    source: Source, settings: InspectConfig, limits: Limits, problems: list[Problem]
) -> tuple[Document, Facts]:
    mode = settings.integrity
    if mode == "chunks" and source.is_remote and not settings.remote_chunks:
        problems.append(Problem("feature_unavailable", _NOT_ALLOWED))
        mode = "table"
    read = _read(source, limits, mode)
    while read.fatal and _is_to_restart(source, read.fatal[0]):
        read = _read(source, limits, mode)
    header, integrity, fatal, is_whole = read
    told = header.problems if header is not None else ()
    ruled = header_problems(header, limits) if header is not None and is_whole else ()
    checked = (*integrity.problems, *fatal)
    document = build_document(
        source,
        header,
        is_whole=is_whole,
        with_attributes=settings.enable_meta,
        integrity=integrity.entry,
        validation={},
        problems=[*problems, *told, *ruled, *checked],
    )
    return document, Facts(header, is_whole, (*told, *checked), document, limits)


class _Read(NamedTuple):
    """What could be read of a file. `is_whole`: the header is."""

    header: ExrHeader | None
    integrity: Integrity
    fatal: tuple[Problem, ...]
    is_whole: bool


def _read(source: Source, limits: Limits, mode: str) -> _Read:
    loading = _Loading(source, limits)
    fatal: tuple[Problem, ...] = ()
    integrity = Integrity(integrity_entry("unchecked"), ())
    header: ExrHeader | None = None
    try:
        loading.run()
        header = loading.header()
        if mode != "none":
            file = _file_bytes(loading, source, mode)
            integrity = check_integrity(header, file, limits, walk_chunks=mode == "chunks")
    except ExrError as error:
        fatal = (error.problem,)
        if isinstance(error, TruncatedExr):
            integrity = Integrity({**integrity_entry("truncated"), "missing_bytes": error.missing_bytes}, ())
    if header is None and loading.reader.version_field is not None:
        header = loading.header()
    return _Read(header, integrity, fatal, header is not None and loading.reader.is_done)


def _file_bytes(loading: _Loading, source: Source, mode: str) -> FileBytes:
    """A remote source is read here and there only to look at all chunks, which was allowed then."""
    if source.is_remote and mode == "chunks":
        return FileBytes(loading.data, source.read, source.size_bytes, is_random=True, read_many=source.read_many)
    return FileBytes(loading.data, source.read, source.size_bytes, is_random=source.is_random)
