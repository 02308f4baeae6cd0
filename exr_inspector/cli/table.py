"""Documents as tables for people. Loaded for `--table` only: rich takes longer to load than a file to read.

Everything that comes out of a file goes through `escape.plain` and is a `Text`, so that nothing in it is taken
for markup or steers the terminal.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Literal, NamedTuple, cast

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from exr_inspector.cli.escape import plain
from exr_inspector.cli.output import Output
from exr_inspector.cli.progress import is_terminal
from exr_inspector.normalizer import Document, is_cut

_MAX_WORDS = 2
_WORD_CHARACTERS = 24
_NAME_CHARACTERS = 100
_VALUE_CHARACTERS = 160
_MAX_ERRORS = 50
_MAX_ROWS = 2000  # of one table of one file

Row = tuple[object, ...]


# ---- Writing -----------------------------------------------------------------------------------------------


def write_one(documents: Iterator[Document], output: Output) -> None:
    """Everything about one file."""
    for document in documents:
        _print(_file_tables(document), output, width_elsewhere=120)


def write_many(documents: Iterator[Document], output: Output) -> None:
    """One row a file. Elsewhere than on a terminal it is also one line, for tools that look for lines."""
    _print([_table(_FILE_COLUMNS, map(_file_row, documents), most_rows=None)], output, width_elsewhere=1000)


def write_rows(columns: Sequence[Column], rows: Iterable[Row], output: Output, *, note: str | None = None) -> None:
    """Rows of texts as one table with all its columns; a note below it."""
    table = _empty_table(columns)
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    table.caption = note
    _print([table], output, width_elsewhere=1000)


def _print(tables: Iterable[Table | Text], output: Output, *, width_elsewhere: int) -> None:
    file = _Encoded(output.encoding, is_terminal=output.is_standard and is_terminal(sys.stdout))
    width = shutil.get_terminal_size((width_elsewhere, 0)).columns
    console = Console(file=cast("IO[str]", file), width=width, markup=False, emoji=False, highlight=False)
    for table in tables:
        _fit(table, console)
        with console.capture() as capture:
            console.print(table)
        # Cells are padded to their column's width; nobody needs that at a line's end.
        output.write(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _fit(table: Table | Text, console: Console) -> None:
    """In a table that is wider than the terminal every column may wrap: else some would vanish."""
    unbounded = console.options.update(width=1 << 20)
    if isinstance(table, Table) and Measurement.get(console, unbounded, table).minimum > console.width:
        for column in table.columns:
            column.no_wrap = False


class _Encoded:
    """What rich asks a file: is it a terminal, and which characters does it take? Nothing is written to it."""

    def __init__(self, encoding: str, *, is_terminal: bool) -> None:
        self.encoding = encoding
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Whether colours may be used."""
        return self._is_terminal

    def write(self, text: str) -> int:
        """Takes nothing."""
        return len(text)

    def flush(self) -> None:
        """Does nothing."""


class Column(NamedTuple):
    """A column: its heading, which side its cells keep to, and whether its cells may be broken into lines."""

    heading: str
    side: Literal["left", "right"] = "left"
    may_wrap: bool = False


def _number(heading: str) -> Column:
    return Column(heading, "right")


def _text(heading: str) -> Column:
    return Column(heading, may_wrap=True)


def _table(columns: Sequence[Column], rows: Iterable[Row], *, most_rows: int | None = _MAX_ROWS) -> Table:
    """A table of at most so many rows; columns that are empty in all rows are left out."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    used = [index for index in range(len(columns)) if any(row[index] for row in cells)]
    table = _empty_table([columns[index] for index in used])
    for row in cells[:most_rows]:
        table.add_row(*(Text(row[index]) for index in used))
    left_out = 0 if most_rows is None else len(cells) - most_rows
    if left_out > 0:
        table.caption = f"and {left_out} more"
    return table


def _empty_table(columns: Sequence[Column]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        show_header=any(column.heading for column in columns),
    )
    for heading, side, may_wrap in columns:
        table.add_column(Text(heading), justify=side, overflow="fold", no_wrap=not may_wrap)
    return table


# ---- Many files --------------------------------------------------------------------------------------------

_FILE_COLUMNS = (
    _text("File"),
    _number("Parts"),
    Column("Resolution"),
    _number("Channels"),
    Column("Compression"),
    Column("Type"),
    Column("Integrity"),
    Column("Validation"),
    _number("Errors"),
)


def _file_row(document: Document) -> Row:
    parts = document["parts"]
    return (
        plain(document["file"]["path"] or "", _NAME_CHARACTERS),
        len(parts),
        _words(_resolution(part["width"], part["height"]) for part in parts),
        len(document["channels"]),
        _words(part["compression"] for part in parts),
        _words(part["part_type"] for part in parts),
        document["integrity"]["status"],
        document["validation"].get("status"),
        len(document["errors"]),
    )


def _words(words: Iterable[str | None]) -> str:
    """Different words, each once, in the order in which they come; the first few of them."""
    different = [plain(word, _WORD_CHARACTERS) for word in dict.fromkeys(words) if word]
    more = len(different) - _MAX_WORDS
    return ", ".join(different[:_MAX_WORDS]) + (f" and {more} more" if more > 0 else "")


def _resolution(width: int | None, height: int | None) -> str | None:
    return None if width is None else f"{width}x{height}"


# ---- One file ----------------------------------------------------------------------------------------------


def _file_tables(document: Document) -> Iterator[Table | Text]:
    yield Text(plain(document["file"]["path"] or "(bytes)"), style="bold", overflow="fold")
    yield _table(_SUMMARY_COLUMNS, (row for row in _summary(document) if row[1] is not None))
    for title, columns, rows, most_rows in _sections(document):
        table = _table(columns, rows, most_rows=most_rows)
        if table.row_count:
            yield Text(f"\n{title}", style="bold")
            yield table


def _sections(document: Document) -> Iterator[tuple[str, Sequence[Column], Iterable[Row], int]]:
    lists = document.get("attributes", {"parts": []})["parts"]
    yield "Parts", _PART_COLUMNS, map(_part_row, document["parts"]), _MAX_ROWS
    yield "Channels", _CHANNEL_COLUMNS, _channel_rows(document["channels"]), _MAX_ROWS
    yield "Attributes", _ATTRIBUTE_COLUMNS, _attribute_rows(lists), _MAX_ROWS
    yield "Findings", _FINDING_COLUMNS, map(_finding_row, document["validation"].get("findings", ())), _MAX_ERRORS
    yield "Errors", _ERROR_COLUMNS, map(_error_row, document["errors"]), _MAX_ERRORS


_SUMMARY_COLUMNS = (Column(""), _text(""))


def _summary(document: Document) -> Iterator[tuple[str, object]]:
    file, integrity = document["file"], document["integrity"]
    yield "size", _bytes(file["size_bytes"])
    yield "modified", file["mtime"]
    yield "header", _bytes(file["header_bytes"])
    yield "header SHA-256", file["header_hash"]
    flags = [name for name, is_set in (file["flags"] or {}).items() if is_set]
    yield "version", f"{file['exr_version']} {', '.join(flags)}".strip() if file["exr_version"] else None
    yield "frame", file["frame_number"]
    yield "integrity", _integrity(integrity)
    yield "validation", document["validation"].get("status")


def _bytes(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else f"{size_bytes} bytes"


def _integrity(integrity: Mapping[str, Any]) -> str:
    words = [integrity["status"]]
    if integrity["checked"]:
        words.append(f"checked: {', '.join(integrity['checked'])}")
    sizes = {"missing": integrity["missing_bytes"], "trailing": integrity["trailing_bytes"]}
    words += [f"{word}: {size_bytes} bytes" for word, size_bytes in sizes.items() if size_bytes]
    missing = sum(part["missing_chunks"] or 0 for part in integrity["parts"])
    if missing:
        words.append(f"chunks without an offset: {missing}")
    found = [part["found_chunks"] for part in integrity["parts"] if part["found_chunks"] is not None]
    if found:
        words.append(f"chunks found: {sum(found)}")
    return "; ".join(words)


_PART_COLUMNS = (
    _number("Part"),
    _text("Name"),
    _text("View"),
    Column("Type"),
    Column("Size"),
    _text("Data window"),
    _text("Display window"),
    _number("Aspect"),
    Column("Compression"),
    Column("Line order"),
    _text("Tiles"),
    _text("Color space"),
    _text("Software"),
)


def _part_row(part: Mapping[str, Any]) -> Row:
    def shown(key: str) -> str | None:
        return None if part[key] is None else plain(str(part[key]), _NAME_CHARACTERS)

    return (
        part["part_index"],
        shown("part_name"),
        shown("view_name"),
        part["part_type"] and plain(part["part_type"], _WORD_CHARACTERS),
        _resolution(part["width"], part["height"]),
        _box(part["data_window"]),
        _box(part["display_window"]) if part["display_window"] != part["data_window"] else "same",
        part["pixel_aspect_ratio"],
        part["compression"],
        part["line_order"],
        _tiles(part),
        shown("color_space"),
        shown("render_software"),
    )


def _tiles(part: Mapping[str, Any]) -> str | None:
    size = _resolution(part["tile_width"], part["tile_height"])
    return size and f"{size} {part['level_mode']} {part['rounding_mode']}"


def _box(value: Mapping[str, Any] | None) -> str | None:
    if value is None:
        return None
    (x_min, y_min), (x_max, y_max) = value["min"].values(), value["max"].values()
    return f"({x_min}, {y_min}) - ({x_max}, {y_max})"


_CHANNEL_COLUMNS = (_number("Part"), _text("Layer"), _text("Channels"), Column("Type"), Column("Sampling"))


def _channel_rows(channels: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """A row for the channels of each layer that are of one type and sampling, in the order of the first."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for each in channels:
        sampling = (each["x_sampling"], each["y_sampling"])
        key = (each["part_index"], each["layer_name"], each["type"], sampling)
        groups.setdefault(key, []).append(plain(each["component_name"], _NAME_CHARACTERS))
    for (part_index, layer, kind, sampling), names in groups.items():
        shown_layer = None if layer is None else plain(layer, _NAME_CHARACTERS)
        yield part_index, shown_layer, " ".join(names), kind, _resolution(*sampling) if sampling != (1, 1) else None


_ATTRIBUTE_COLUMNS = (_number("Part"), _text("Name"), _text("Type"), _text("Value"))


def _attribute_rows(lists: Iterable[Iterable[Mapping[str, Any]]]) -> Iterator[Row]:
    for part_index, attributes in enumerate(lists):
        for each in attributes:
            name, kind = plain(each["name"], _NAME_CHARACTERS), plain(each["type"], _NAME_CHARACTERS)
            yield part_index, name, kind, _value(each["type"], each["value"])


def _value(kind: str, value: Any) -> str:
    """A value in one line, or its beginning and its length."""
    if isinstance(value, str):
        return plain(value, _VALUE_CHARACTERS)
    if is_cut(value):
        start = value["start"] if isinstance(value["start"], str) else value["start"]["data"]
        return f"{plain(start, _VALUE_CHARACTERS)}… ({value['cut_bytes']} bytes)"
    if isinstance(value, Mapping) and "encoding" in value:
        return f"{_decoded_bytes(value['data'])} bytes: {plain(value['data'], _VALUE_CHARACTERS)}"
    if kind in ("box2i", "box2f"):
        return str(_box(value))
    if kind in _PHRASES:
        return _PHRASES[kind](value)
    return plain(json.dumps(value, ensure_ascii=False), _VALUE_CHARACTERS)


def _decoded_bytes(base64_text: str) -> int:
    return len(base64_text) // 4 * 3 - base64_text[-2:].count("=")


def _vector(value: Mapping[str, Any]) -> str:
    return f"({', '.join(map(str, value.values()))})"


def _time_code(value: Mapping[str, Any]) -> str:
    between = ";" if value["drop_frame"] else ":"
    numbers = (f"{value[name]:02}" for name in ("hours", "minutes", "seconds"))
    return f"{':'.join(numbers)}{between}{value['frame']:02}"


_PHRASES: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("v2i", "v2f", "v2d", "v3i", "v3f", "v3d"), _vector),
    "chlist": lambda value: f"{len(value)} channels",
    "chromaticities": lambda value: ", ".join(f"{name} {_vector(point)}" for name, point in value.items()),
    "keycode": lambda value: " ".join(map(str, value["raw"])),
    "tiledesc": lambda value: f"{value['x_size']}x{value['y_size']} {value['level_mode']} {value['rounding_mode']}",
    "idmanifest": lambda value: f"{len(value['groups'])} groups, {len(value['strings'])} strings",
    "preview": lambda value: f"{value['width']}x{value['height']} pixels",
    "rational": lambda value: f"{value['numerator']}/{value['denominator']}",
    "timecode": _time_code,
}

_FINDING_COLUMNS = (Column("Severity"), Column("Rule"), _text("Message"))


def _finding_row(finding: Mapping[str, Any]) -> Row:
    return tuple(plain(str(finding.get(key, ""))) for key in ("severity", "rule", "message"))


_ERROR_COLUMNS = (Column("Severity"), Column("Code"), _text("Message"))


def _error_row(error: Mapping[str, Any]) -> Row:
    return error["severity"], error["code"], plain(error["message"])
