"""Is the file whole? Reads offset tables and chunk leaders, never a chunk's data.

`table` mode reads the offset tables and the leader of the chunk with the highest offset, which shows where the
file must end. `chunks` mode reads every leader. Verdicts, the strongest first: truncated, inconsistent,
incomplete, trailing, complete; `table_complete` where the end could not be looked at, `unchecked` where the
number of chunks is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

from exr_inspector.errors import Problem
from exr_inspector.exr.chunks import (
    LEADERS,
    OFFSET_BYTES,
    PART_NUMBER,
    ChunkLayout,
    chunk_layouts,
    place_words,
    window_size,
)
from exr_inspector.exr.offset_tables import FileBytes, PartTable, part_table, table_offsets, zero_ranges
from exr_inspector.limits import Limits
from exr_inspector.model import ExrHeader
from exr_inspector.numbers import integer

# The verdicts that a finding can lead to, the strongest first.
_STRENGTH = ("truncated", "inconsistent", "incomplete", "trailing")


class Finding(NamedTuple):
    """One thing that is wrong; `status` is the verdict it leads to."""

    status: str
    message: str
    part_index: int | None = None
    offset: int | None = None


class Leader(NamedTuple):
    """What stands before a chunk's data. `part_index` is None in single-part files, `data_bytes` if negative."""

    part_index: int | None
    coordinates: tuple[int, ...]
    data_bytes: int | None


class Integrity(NamedTuple):
    """The document's `integrity`, and the problems that belong to it."""

    entry: dict[str, Any]
    problems: tuple[Problem, ...]


def integrity_entry(status: str) -> dict[str, Any]:
    """The `integrity` of a file of which nothing was looked at."""
    return {"status": status, "checked": [], "missing_bytes": None, "trailing_bytes": None, "parts": []}


def check_integrity(header: ExrHeader, file: FileBytes, limits: Limits, *, walk_chunks: bool) -> Integrity:
    """The verdict on a file whose header is whole. Raises what `file.read` raises."""
    check = _Check(header, file, limits)
    if check.read_tables():
        check.look_at_tables()
        if walk_chunks and file.is_random:
            check.walk()
        else:
            check.look_at_end()
    return check.result()


class _Check:
    """One run over one file; the steps stand in the order in which they are taken."""

    def __init__(self, header: ExrHeader, file: FileBytes, limits: Limits) -> None:
        self._header = header
        self._file = file
        self._limits = limits
        self._is_numbered = header.flags.multipart
        self._layouts = chunk_layouts(header)
        self._tables: list[PartTable] = []
        self._tables_end = header.size_bytes
        self._findings: list[Finding] = []
        self._problems: list[Problem] = []
        self._checked: list[str] = []
        self._found: list[int] | None = None
        self._contradictions = 0
        self._missing_bytes = 0
        self._trailing_bytes = 0

    # ---- The offset tables ---------------------------------------------------------------------------------

    def read_tables(self) -> bool:
        """Reads the offset tables. False if they cannot be had."""
        self._count_by_first_offset()
        for each in self._layouts:
            self._compare_counts(each)
        counts = [each.chunk_count for each in self._layouts if each.chunk_count is not None]
        size_bytes = OFFSET_BYTES * sum(counts)
        self._tables_end += size_bytes
        file_size = self._file.size_bytes
        if file_size is not None and self._tables_end > file_size:
            self._cut_tables(self._tables_end - file_size)
            return False
        if not self._layouts or len(counts) < len(self._layouts) or not self._is_within_limit(sum(counts)):
            return False
        data = self._file.at(self._header.size_bytes, size_bytes)
        if len(data) < size_bytes:
            self._cut_tables(size_bytes - len(data))
            return False
        self._split_tables(data)
        self._checked.append("table")
        return True

    def _count_by_first_offset(self) -> None:
        """A single scan line part of unknown compression: its table ends where its first chunk begins."""
        if len(self._layouts) != 1 or self._layouts[0].chunk_count is not None:
            return
        size = window_size(self._header.parts[0].value("dataWindow", "box2i"))
        if size is None or self._layouts[0].part_type not in ("scanlineimage", "deepscanline"):
            return
        start = self._header.size_bytes
        first = int.from_bytes(self._file.at(start, OFFSET_BYTES), "little")
        count, odd_bytes = divmod(first - start, OFFSET_BYTES)
        if odd_bytes or not 0 < count <= min(size[1], self._limits.max_chunks):
            return
        table = self._file.at(start, OFFSET_BYTES * count)
        offsets = table_offsets(table[: len(table) // OFFSET_BYTES * OFFSET_BYTES])
        if len(offsets) == count and min(filter(None, offsets)) == first:
            self._layouts = [self._layouts[0]._replace(chunk_count=count)]

    def _compare_counts(self, each: ChunkLayout) -> None:
        if each.chunk_count is None:
            message = f"the chunks of this part cannot be counted (part type {each.part_type})"
            self._problems.append(Problem("chunk_count_unknown", message, each.part_index))
        elif each.declared_count not in (None, each.chunk_count):
            message = f"chunkCount is {each.declared_count}, windows and tiles give {each.chunk_count}"
            attribute = self._header.parts[each.part_index].first["chunkCount"]
            place = (each.part_index, attribute.name, attribute.type_name, attribute.value_offset)
            self._problems.append(Problem("chunk_count", message, *place))

    def _is_within_limit(self, chunks: int) -> bool:
        if chunks <= self._limits.max_chunks:
            return True
        message = f"{chunks} chunks are more than {self._limits.max_chunks}"
        self._problems.append(Problem("limit_chunks", message))
        return False

    def _cut_tables(self, missing_bytes: int) -> None:
        message = f"the offset tables go on for {missing_bytes} bytes after the file's end"
        self._add(Finding("truncated", message, None, self._header.size_bytes), missing_bytes=missing_bytes)

    def _split_tables(self, data: bytes) -> None:
        offsets, start = table_offsets(data), 0
        for each in self._layouts:
            end = start + (each.chunk_count or 0)
            own = offsets[start:end] if len(self._layouts) > 1 else offsets
            self._tables.append(part_table(each, own))
            start = end

    def look_at_tables(self) -> None:
        """Zeros, offsets past the file's end, offsets that point into the header or the tables."""
        for table in self._tables:
            part_index, count = table.chunks.part_index, len(table.offsets)
            if table.missing:
                message = f"{table.missing} of {count} chunks have no offset"
                self._add(Finding("incomplete", message, part_index))
            if not table.is_empty:
                self._look_at_bounds(table, part_index)

    def _look_at_bounds(self, table: PartTable, part_index: int) -> None:
        _, offsets, _, low, high = table
        size = self._file.size_bytes
        if low < self._tables_end:
            message = f"the offset {low} of chunk {offsets.index(low)} points into header or offset tables"
            self._add(Finding("inconsistent", message, part_index, low))
        if size is not None and high >= size:
            past = sum(offset >= size for offset in offsets)
            message = f"{past} of {len(offsets)} chunks begin past the file's end at byte {size}"
            self._add(Finding("truncated", message, part_index, size), missing_bytes=high - size + 1)

    # ---- Leaders -------------------------------------------------------------------------------------------

    def look_at_end(self) -> None:
        """The leader of the chunk with the highest offset: where that chunk ends, the file must end."""
        recorded = [table for table in self._tables if not table.is_empty]
        size = self._file.size_bytes
        if not recorded or size is None:
            return
        table = max(recorded, key=attrgetter("highest"))
        chunks, offset = table.chunks, table.highest
        if chunks.part_type not in LEADERS or not self._tables_end <= offset < size:
            return
        if not self._file.can_read(offset, self._leader_bytes(chunks)):
            return
        end = self._chunk_end(chunks, offset, chunks.coordinates_at(table.offsets.index(offset)))
        self._checked.append("end")
        if end is not None:
            self._compare_end(end, size)

    def walk(self) -> None:
        """Every leader: of each recorded chunk, or, if nothing is recorded, of what follows the tables."""
        size = self._file.size_bytes
        if size is None or any(table.chunks.part_type not in LEADERS for table in self._tables):
            self.look_at_end()
        elif all(table.is_empty for table in self._tables):
            if self._file.is_remote:  # each leader would tell where the next one is: a request for each chunk
                return
            self._checked.append("chunks")
            self._walk_unrecorded(size)
        else:
            self._checked += ["end", "chunks"]
            self._walk_recorded(size)

    def _walk_recorded(self, size: int) -> None:
        spans = [span for table in self._tables for span in self._spans(table, size)]
        if spans:
            spans.sort()
            self._look_for_overlap(spans)
            self._compare_end(max(end for _, end in spans), size)

    def _spans(self, table: PartTable, size: int) -> Iterator[tuple[int, int]]:
        """Where each recorded chunk of a part begins and ends.

        Goes through every chunk of every file that is walked: a leader that is as expected costs one read, one
        unpack and one comparison; any other one goes to `_chunk_end`, which says what is wrong with it.
        """
        chunks, start = table.chunks, self._tables_end
        format_ = LEADERS[chunks.part_type]
        leader = format_.numbered if self._is_numbered else format_.alone
        unpack, leader_bytes = leader.unpack, leader.size
        at = self._file.leaders(table.offsets, leader_bytes, start)
        number = (chunks.part_index,) if self._is_numbered else ()
        first_size = len(number) + format_.coordinates
        end_of_sizes = first_size + format_.sizes
        for offset, coordinates in zip(table.offsets, chunks.coordinates(), strict=False):
            if not start <= offset < size:
                continue
            data = at(offset, leader_bytes)
            fields = unpack(data) if len(data) == leader_bytes else ()
            if fields[:first_size] == number + coordinates and fields[first_size] >= 0:
                yield offset, offset + leader_bytes + sum(fields[first_size:end_of_sizes])
                continue
            end = self._chunk_end(chunks, offset, coordinates)
            if end is not None:
                yield offset, end

    def _look_for_overlap(self, spans: list[tuple[int, int]]) -> None:
        last_end = 0
        for offset, end in spans:
            if offset < last_end:
                self._contradict(f"the chunk at byte {offset} begins before the one before it ends", None, offset)
            last_end = end

    def _walk_unrecorded(self, size: int) -> None:
        """A file that was never closed: its chunks follow each other from the tables' end."""
        self._found = [0] * len(self._layouts)
        offset = self._tables_end
        for _ in range(sum(len(table.offsets) for table in self._tables)):
            chunks = self._part_at(offset)
            if chunks is None or self._found[chunks.part_index] == chunks.chunk_count:
                return
            end = self._next_end(chunks, offset)
            if end is None or end > size:
                return
            self._found[chunks.part_index] += 1
            offset = end

    def _part_at(self, offset: int) -> ChunkLayout | None:
        """The part of the chunk at an offset; None if there is no such chunk."""
        if not self._is_numbered:
            return self._layouts[0]
        number = self._file.at(offset, PART_NUMBER.size)
        index = PART_NUMBER.unpack(number)[0] if len(number) == PART_NUMBER.size else -1
        return self._layouts[index] if 0 <= index < len(self._layouts) else None

    def _next_end(self, chunks: ChunkLayout, offset: int) -> int | None:
        leader = self._leader(chunks, offset)
        if leader is None or leader.data_bytes is None:
            return None
        if chunks.has_known_places and not chunks.has_place(leader.coordinates):
            return None
        return offset + self._leader_bytes(chunks) + leader.data_bytes

    def _chunk_end(self, chunks: ChunkLayout, offset: int, coordinates: tuple[int, ...]) -> int | None:
        """Where a recorded chunk ends; None, and a finding, if its leader is cut or contradicts its place."""
        part_index = chunks.part_index
        leader = self._leader(chunks, offset)
        if leader is None:
            missing_bytes = offset + self._leader_bytes(chunks) - (self._file.size_bytes or 0)
            message = f"the file ends in a chunk's leader, {missing_bytes} bytes are missing"
            self._add(Finding("truncated", message, part_index, offset), missing_bytes=missing_bytes)
            return None
        if leader.part_index not in (None, part_index):
            self._contradict(f"the leader says part {leader.part_index}", part_index, offset)
            return None
        if leader.coordinates != coordinates and chunks.has_known_places:
            message = f"the leader says {place_words(leader.coordinates)}, its entry {place_words(coordinates)}"
            self._contradict(message, part_index, offset)
            return None
        if leader.data_bytes is None:
            self._contradict("the leader says a negative size", part_index, offset)
            return None
        return offset + self._leader_bytes(chunks) + leader.data_bytes

    def _leader_bytes(self, chunks: ChunkLayout) -> int:
        format_ = LEADERS[chunks.part_type]
        return (format_.numbered if self._is_numbered else format_.alone).size

    def _leader(self, chunks: ChunkLayout, offset: int) -> Leader | None:
        """The leader at an offset; None if the file ends before it does."""
        format_ = LEADERS[chunks.part_type]
        run = format_.numbered if self._is_numbered else format_.alone
        data = self._file.at(offset, run.size)
        if len(data) < run.size:
            return None
        numbers = run.unpack(data)
        first = len(numbers) - format_.fields
        sizes = numbers[first + format_.coordinates : first + format_.coordinates + format_.sizes]
        data_bytes = sum(sizes) if min(sizes) >= 0 else None
        return Leader(numbers[0] if first else None, numbers[first : first + format_.coordinates], data_bytes)

    def _compare_end(self, end: int, size: int) -> None:
        if end > size:
            message = f"the last chunk ends {end - size} bytes after the file's end"
            self._add(Finding("truncated", message, None, size), missing_bytes=end - size)
        elif end < size and not self._findings:  # else they may belong to a chunk that is not where it should be
            self._trailing_bytes = size - end
            self._add(Finding("trailing", f"{size - end} bytes follow the last chunk", None, end))

    # ---- The result ----------------------------------------------------------------------------------------

    def _add(self, finding: Finding, *, missing_bytes: int = 0) -> None:
        self._findings.append(finding)
        self._missing_bytes = max(self._missing_bytes, missing_bytes)

    def _contradict(self, message: str, part_index: int | None, offset: int) -> None:
        """A leader that contradicts the table: the first one is told, the others are counted."""
        self._contradictions += 1
        if self._contradictions == 1:
            self._add(Finding("inconsistent", message, part_index, offset))

    def _status(self) -> str:
        found = {finding.status for finding in self._findings}
        for status in _STRENGTH:
            if status in found:
                return status
        if "end" in self._checked:
            return "complete"
        return "table_complete" if "table" in self._checked else "unchecked"

    def _part_entries(self) -> Iterable[dict[str, Any]]:
        tables = {table.chunks.part_index: table for table in self._tables}
        for each in self._layouts:
            table = tables.get(each.part_index)
            yield {
                "part_index": each.part_index,
                "chunk_count": None if each.chunk_count is None else integer(each.chunk_count),
                "missing_chunks": None if table is None else table.missing,
                "missing_ranges": zero_ranges(table.offsets) if table is not None and table.missing else [],
                "found_chunks": None if self._found is None else self._found[each.part_index],
            }

    def result(self) -> Integrity:
        """The verdict."""
        entry = {
            "status": self._status(),
            "checked": self._checked,
            "missing_bytes": integer(self._missing_bytes) or None,
            "trailing_bytes": self._trailing_bytes or None,
            "parts": list(self._part_entries()),
        }
        problems = self._problems + [
            Problem(f"integrity_{each.status}", each.message, each.part_index, offset=each.offset)
            for each in self._findings
        ]
        if self._contradictions > 1:
            message = f"{self._contradictions - 1} more chunks contradict the offset table"
            problems.append(Problem("integrity_inconsistent", message))
        most = self._limits.max_problems
        if len(problems) > most:
            message = f"{len(problems) - most} more problems of the chunks are not listed"
            problems[most:] = [Problem("limit_problems", message)]
        return Integrity(entry, tuple(problems))
