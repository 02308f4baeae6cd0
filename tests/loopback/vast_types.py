"""Which Arrow types a VAST table takes, and whether sent columns fit a table.

Facts from the SDK's type page and its tests (`test_unsupported_types`, `test_unsupported_fixed_list_types`,
`test_invalid_values_fixed_list`). That a top-level column must be nullable is assumed from the last.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from .vast_errors import ApiError

MAX_VECTOR_DIMENSION = 1 << 16  # assumed; the SDK's tests only say that 2^31 - 1 is too much

_SCALARS: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_binary,
    pa.types.is_decimal128,
    pa.types.is_date32,
    pa.types.is_time,
    pa.types.is_timestamp,
    pa.types.is_fixed_size_binary,
)
_VECTOR_ITEMS: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_decimal128,
    pa.types.is_date32,
    pa.types.is_time,
    pa.types.is_timestamp,
)


def check_new_field(field: pa.Field) -> None:
    """Refuse a column that no table can have."""
    if not field.nullable:
        raise _unsupported(field, "columns must be nullable")
    _check_type(field, field.type)


def _check_type(field: pa.Field, arrow_type: pa.DataType) -> None:
    if pa.types.is_fixed_size_list(arrow_type):
        _check_vector(field, arrow_type)
        return
    children = _children(arrow_type)
    if not children and not any(is_type(arrow_type) for is_type in _SCALARS):
        raise _unsupported(field, f"type {arrow_type} is not supported")
    for child in children:
        _check_type(field, child)


def _children(arrow_type: pa.DataType) -> list[pa.DataType]:
    if pa.types.is_list(arrow_type):
        return [arrow_type.value_type]
    if pa.types.is_map(arrow_type):
        return [arrow_type.key_type, arrow_type.item_type]
    if pa.types.is_struct(arrow_type):
        return [arrow_type.field(i).type for i in range(arrow_type.num_fields)]
    return []


def _check_vector(field: pa.Field, arrow_type: pa.DataType) -> None:
    item = arrow_type.value_field
    if arrow_type.list_size <= 0:
        raise ApiError("TabularInvalidColumnTypeParam", f"column {field.name}: a fixed list of no elements")
    if item.nullable or not any(is_type(item.type) for is_type in _VECTOR_ITEMS):
        raise _unsupported(field, f"fixed list of {item.type}, nullable={item.nullable}")
    if arrow_type.list_size > MAX_VECTOR_DIMENSION:
        raise _unsupported(field, f"fixed list of {arrow_type.list_size} elements")


def _unsupported(field: pa.Field, why: str) -> ApiError:
    return ApiError("TabularUnsupportedColumnType", f"TabularUnsupportedColumnType: column {field.name}: {why}")


def check_sent_field(column: pa.Field, sent: pa.Field) -> None:
    """Refuse a column of a request whose type is not the table's."""
    if sent.nullable != column.nullable or not sent.type.equals(column.type):
        message = f"column {column.name} is {column.type}, sent {sent.type} nullable={sent.nullable}"
        raise ApiError("TabularMismatchColumnType", message)


def check_cells(array: pa.Array, name: str, max_cell_bytes: int | None) -> None:
    """Refuse strings and binaries longer than `max_cell_bytes`."""
    if max_cell_bytes is None or not (pa.types.is_string(array.type) or pa.types.is_binary(array.type)):
        return
    if array.nbytes <= max_cell_bytes:
        return
    longest = pc.max(pc.binary_length(array)).as_py() or 0
    if longest > max_cell_bytes:
        message = f"column {name}: a cell of {longest} bytes is over {max_cell_bytes}"
        raise ApiError("InvalidArgument", message)
