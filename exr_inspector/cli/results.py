"""Answers of a catalog, batch by batch: as a table, JSON, CSV or Parquet.

In JSON and CSV a value looks as it does in a document: single floats in their shortest decimal, times in ISO 8601
with a Z, integers beyond 2^53 as text in JSON, NaN and infinities as words.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from itertools import islice
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from exr_inspector.cli.escape import escaped, plain
from exr_inspector.cli.inspect import write_array
from exr_inspector.cli.output import Output, open_output
from exr_inspector.cli.progress import is_terminal
from exr_inspector.cli.status import UsageError

_MAX_TABLE_ROWS = 2000
_CELL_CHARACTERS = 200
_EXACT = 1 << 53
_FORMULA_STARTS = ("=", "+", "-", "@")

Row = Sequence[Any]
Shaped = Callable[[Any], Any]


def write_results(options: argparse.Namespace, reader: pa.RecordBatchReader) -> None:
    """Writes an answer where and as the options say: a table on a terminal, else JSON. Raises OutputError.

    Raises UsageError if a terminal would get Parquet.
    """
    on_terminal = options.output is None and is_terminal(sys.stdout)
    form = options.format or ("table" if on_terminal else "json")
    if form == "parquet" and on_terminal:
        raise UsageError("Parquet is nothing for a terminal: --output FILE, or a pipe")
    with open_output(options.output) as output:
        _WRITERS[form](reader, output)


# ---- Values ------------------------------------------------------------------------------------------------


def _rows(reader: pa.RecordBatchReader) -> Iterator[Row]:
    """The rows, their values as JSON has them, but for integers."""
    shapes = [_shaped(field.type) for field in reader.schema]
    for batch in reader:
        columns = [
            [shape(value) for value in column.to_pylist()] for shape, column in zip(shapes, batch.columns, strict=True)
        ]
        yield from zip(*columns, strict=True)


def _shaped(type_: pa.DataType) -> Shaped:
    if pa.types.is_float32(type_):
        return _shortest
    if pa.types.is_fixed_size_list(type_) and pa.types.is_float32(type_.value_type):
        return lambda vector: None if vector is None else [_shortest(value) for value in vector]
    return _value


def _shortest(value: float | None) -> Any:
    return None if value is None else _value(float(str(np.float32(value))))


def _value(value: Any) -> Any:
    """A value of Arrow as JSON has it."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")  # noqa: PLR0124
    if isinstance(value, (list, tuple)):
        return [_value(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _value(each) for key, each in value.items()}
    return _OTHERS.get(type(value), str)(value)


def _time(value: datetime) -> str:
    """Naive times of the catalog hold UTC."""
    moment = value if value.tzinfo is None else value.astimezone(timezone.utc).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds") + "Z"


def _decimal(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    return int(value) if value == value.to_integral_value() else float(value)


_OTHERS: dict[type, Callable[[Any], Any]] = {
    datetime: _time,
    date: date.isoformat,
    Decimal: _decimal,
    bytes: lambda value: base64.b64encode(value).decode("ascii"),
}


def _exact(value: Any) -> Any:
    """Integers that JSON's readers would round, as text."""
    if isinstance(value, int) and not -_EXACT <= value <= _EXACT:
        return str(value)
    if isinstance(value, list):
        return [_exact(each) for each in value]
    if isinstance(value, dict):
        return {key: _exact(each) for key, each in value.items()}
    return value


def _headings(schema: pa.Schema) -> list[str]:
    """The columns' names; of the same name twice the second gets a number."""
    names: list[str] = []
    for name in schema.names:
        number, heading = 1, name
        while heading in names:
            number += 1
            heading = f"{name}_{number}"
        names.append(heading)
    return names


def _text(value: Any) -> str:
    """A value in a cell."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


# ---- Writing -----------------------------------------------------------------------------------------------


def _write_json(reader: pa.RecordBatchReader, output: Output) -> None:
    names = _headings(reader.schema)
    objects = (dict(zip(names, map(_exact, row), strict=True)) for row in _rows(reader))
    write_array(objects, output, is_compact=False)


def _write_csv(reader: pa.RecordBatchReader, output: Output) -> None:
    output.write([_line(_headings(reader.schema))])
    output.write(map(_line, _rows(reader)))


def _line(row: Row) -> str:
    return ",".join(map(_cell, row)) + "\r\n"


def _cell(value: Any) -> str:
    """A CSV cell: one line, and nothing that a spreadsheet would compute."""
    text = escaped(_text(value))
    if isinstance(value, str) and text.startswith(_FORMULA_STARTS):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if any(each in text for each in ',"') else text


def _write_table(reader: pa.RecordBatchReader, output: Output) -> None:
    from exr_inspector.cli import table  # noqa: PLC0415  rich costs more than all the rest

    columns = [_column(table.Column, *each) for each in zip(_headings(reader.schema), reader.schema.types, strict=True)]
    rows = _rows(reader)
    shown = [tuple(map(_shown, row)) for row in islice(rows, _MAX_TABLE_ROWS)]
    more = next(rows, None) is not None
    note = "and more: --format json, csv or parquet has all rows" if more else None
    table.write_rows(columns, shown, output, note=note)


def _shown(value: Any) -> str:
    return "" if value in (None, "") else plain(_text(value), _CELL_CHARACTERS)


def _column(make: Callable[..., Any], name: str, type_: pa.DataType) -> Any:
    is_number = pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_)
    return make(plain(name, _CELL_CHARACTERS), "right" if is_number else "left", may_wrap=not is_number)


def _write_parquet(reader: pa.RecordBatchReader, output: Output) -> None:
    with pq.ParquetWriter(pa.PythonFile(_Sink(output), mode="w"), reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


class _Sink:
    """An output as the binary file that Parquet is written to."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._position = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        """Hands the bytes on."""
        data = bytes(data)
        self._output.write_bytes(data)
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        """How much was written."""
        return self._position

    def flush(self) -> None:
        """Does nothing: the output is finished by its owner."""

    def close(self) -> None:
        """The output is closed by its owner."""
        self.closed = True


_WRITERS: dict[str, Callable[[pa.RecordBatchReader, Output], None]] = {
    "table": _write_table,
    "json": _write_json,
    "csv": _write_csv,
    "parquet": _write_parquet,
}


def as_reader(columns: Iterable[tuple[str, Sequence[Any]]]) -> pa.RecordBatchReader:
    """Columns of plain values as an answer."""
    return pa.table(dict(columns)).to_reader()
