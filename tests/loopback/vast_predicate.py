"""Filters as the SDK sends them: an Arrow ComputeIR expression, decoded and then evaluated with pyarrow.

The SDK emits `and` of `or` of comparisons of one column with one literal; `isin` is an `or` of `equal`, a
prefix is a range of bytes, so strings are compared as bytes. A column is named by its depth-first position.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from vastdb.vast_flatbuf.org.apache.arrow.computeir.flatbuf import (
    BinaryLiteral,
    BooleanLiteral,
    Call,
    DateLiteral,
    DecimalLiteral,
    FieldIndex,
    FieldRef,
    Float32Literal,
    Float64Literal,
    Int8Literal,
    Int16Literal,
    Int32Literal,
    Int64Literal,
    ListLiteral,
    Literal,
    StringLiteral,
    TimeLiteral,
    TimestampLiteral,
    UInt8Literal,
    UInt16Literal,
    UInt32Literal,
    UInt64Literal,
)
from vastdb.vast_flatbuf.org.apache.arrow.computeir.flatbuf.ExpressionImpl import ExpressionImpl
from vastdb.vast_flatbuf.org.apache.arrow.computeir.flatbuf.LiteralImpl import LiteralImpl

from .vast_errors import ApiError

Columns = Callable[[str], pa.Array]


@dataclass(frozen=True)
class Node:
    """One depth-first position: a top-level column, or something inside it."""

    column: str
    type: pa.DataType
    struct_path: tuple[int, ...] = ()
    comparable: bool = True  # not so inside lists and maps
    is_leaf: bool = True


@dataclass(frozen=True)
class Comparison:
    """`column op literal`; `is_null`, `is_valid` have no literal, `is_in` has a list of them."""

    op: str
    node: Node
    literal: Any = None


@dataclass(frozen=True)
class Junction:
    """`and` or `or` of predicates."""

    op: str
    parts: tuple[Predicate, ...]


Predicate = Comparison | Junction


def nodes_of(column: str, arrow_type: pa.DataType) -> list[Node]:
    """Return the column's positions in depth-first order, as the SDK numbers them."""
    return _nodes(column, arrow_type, (), comparable=True)


def _nodes(column: str, arrow_type: pa.DataType, path: tuple[int, ...], *, comparable: bool) -> list[Node]:
    if pa.types.is_struct(arrow_type):
        found = [Node(column, arrow_type, path, comparable=False, is_leaf=False)]
        for i in range(arrow_type.num_fields):
            found += _nodes(column, arrow_type.field(i).type, (*path, i), comparable=comparable)
        return found
    if pa.types.is_fixed_size_list(arrow_type):  # the item's position stands for the whole vector
        whole = Node(column, arrow_type, path, comparable=False, is_leaf=False)
        return [whole, Node(column, arrow_type, path, comparable)]
    if pa.types.is_list(arrow_type):
        inner = _nodes(column, arrow_type.value_type, path, comparable=False)
        return [Node(column, arrow_type, path, comparable=False, is_leaf=False), *inner]
    if pa.types.is_map(arrow_type):
        entries = pa.struct([arrow_type.key_field, arrow_type.item_field])
        inner = _nodes(column, entries, path, comparable=False)
        return [Node(column, arrow_type, path, comparable=False, is_leaf=False), *inner]
    return [Node(column, arrow_type, path, comparable)]


# Decoding

_BYTES_LITERALS = {
    LiteralImpl.BinaryLiteral: BinaryLiteral.BinaryLiteral,
    LiteralImpl.DecimalLiteral: DecimalLiteral.DecimalLiteral,
}
_VALUE_LITERALS = {
    LiteralImpl.BooleanLiteral: BooleanLiteral.BooleanLiteral,
    LiteralImpl.Int8Literal: Int8Literal.Int8Literal,
    LiteralImpl.Int16Literal: Int16Literal.Int16Literal,
    LiteralImpl.Int32Literal: Int32Literal.Int32Literal,
    LiteralImpl.Int64Literal: Int64Literal.Int64Literal,
    LiteralImpl.UInt8Literal: UInt8Literal.UInt8Literal,
    LiteralImpl.UInt16Literal: UInt16Literal.UInt16Literal,
    LiteralImpl.UInt32Literal: UInt32Literal.UInt32Literal,
    LiteralImpl.UInt64Literal: UInt64Literal.UInt64Literal,
    LiteralImpl.Float32Literal: Float32Literal.Float32Literal,
    LiteralImpl.Float64Literal: Float64Literal.Float64Literal,
    LiteralImpl.StringLiteral: StringLiteral.StringLiteral,
    LiteralImpl.DateLiteral: DateLiteral.DateLiteral,
    LiteralImpl.TimeLiteral: TimeLiteral.TimeLiteral,
    LiteralImpl.TimestampLiteral: TimestampLiteral.TimestampLiteral,
}
_COMPARISONS = {"equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "match_substring"}
_NULL_TESTS = {"is_null", "is_valid"}


def decode(expression: Any, nodes: Sequence[Node]) -> Predicate:
    """Decode a ComputeIR expression over columns numbered by `nodes`."""
    call = _call(expression)
    name = call.Name().decode()
    arguments = [call.Arguments(i) for i in range(call.ArgumentsLength())]
    if name in {"and", "or"}:
        return _junction(name, [decode(argument, nodes) for argument in arguments])
    if name in _NULL_TESTS and len(arguments) == 1:
        return Comparison(name, _node(arguments[0], nodes))
    if name in _COMPARISONS and len(arguments) == 2:
        node = _node(arguments[0], nodes)
        return Comparison(name, node, _literal(arguments[1], node))
    raise ApiError("NotImplemented", f"function {name} of {len(arguments)} arguments")


def is_empty(expression: Any) -> bool:
    """Whether the expression is a function of no arguments."""
    return int(_call(expression).ArgumentsLength()) == 0


def _call(expression: Any) -> Any:
    if expression.ImplType() != ExpressionImpl.Call:
        raise ApiError("InvalidArgument", "a predicate must be a function call")
    return _union(Call.Call, expression.Impl())


def _union(kind: Any, table: Any) -> Any:
    found = kind()
    found.Init(table.Bytes, table.Pos)
    return found


def _junction(op: str, parts: list[Predicate]) -> Predicate:
    """Return the junction; many `equal` of one column become one `is_in`."""
    if op == "or" and len(parts) > 1 and all(_is_equal_of(part, parts[0]) for part in parts):
        literals = [part.literal for part in parts if isinstance(part, Comparison)]
        return Comparison("is_in", parts[0].node, literals)  # type: ignore[union-attr]
    return parts[0] if len(parts) == 1 else Junction(op, tuple(parts))


def _is_equal_of(part: Predicate, first: Predicate) -> bool:
    alike = isinstance(part, Comparison) and isinstance(first, Comparison) and part.node is first.node
    return alike and part.op == "equal" and not pa.types.is_fixed_size_list(part.node.type)  # type: ignore[union-attr]


def _node(expression: Any, nodes: Sequence[Node]) -> Node:
    if expression.ImplType() != ExpressionImpl.FieldRef:
        raise ApiError("InvalidArgument", "a comparison begins with a column")
    reference = _union(FieldRef.FieldRef, expression.Impl())
    position = int(_union(FieldIndex.FieldIndex, reference.Ref()).Position())
    if position >= len(nodes) or not nodes[position].comparable:
        raise ApiError("InvalidArgument", f"no comparable column at position {position}")
    return nodes[position]


def _literal(expression: Any, node: Node) -> Any:
    """Return the literal: bytes for strings, a list for vectors, else an Arrow scalar."""
    if expression.ImplType() != ExpressionImpl.Literal:
        raise ApiError("InvalidArgument", "a comparison ends with a literal")
    return _literal_value(_union(Literal.Literal, expression.Impl()), node.type)


def _literal_value(literal: Any, arrow_type: pa.DataType) -> Any:
    kind = literal.ImplType()
    if kind == LiteralImpl.ListLiteral:
        values = _union(ListLiteral.ListLiteral, literal.Impl())
        item_type = arrow_type.value_type
        return [_literal_value(values.Values(i), item_type).as_py() for i in range(values.ValuesLength())]
    if kind in _BYTES_LITERALS:
        return _scalar(_union(_BYTES_LITERALS[kind], literal.Impl()).ValueAsNumpy().tobytes(), arrow_type)
    return _scalar(_union(_VALUE_LITERALS[kind], literal.Impl()).Value(), arrow_type)


def _scalar(value: Any, arrow_type: pa.DataType) -> Any:
    if pa.types.is_string(arrow_type) or pa.types.is_binary(arrow_type):
        return pa.scalar(value, pa.binary())
    if pa.types.is_decimal(arrow_type):
        unscaled = Decimal(int.from_bytes(value, "little", signed=True))
        return pa.scalar(unscaled.scaleb(-arrow_type.scale), arrow_type)
    if pa.types.is_temporal(arrow_type):
        stored_as = pa.int32() if arrow_type.bit_width == pa.int32().bit_width else pa.int64()
        return pa.scalar(value, stored_as).cast(arrow_type)
    return pa.scalar(value, arrow_type)


# Evaluating

_KERNELS = {
    "equal": pc.equal,
    "not_equal": pc.not_equal,
    "greater": pc.greater,
    "greater_equal": pc.greater_equal,
    "less": pc.less,
    "less_equal": pc.less_equal,
}
_VECTOR_OPERATORS = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "less": operator.lt,
    "less_equal": operator.le,
}


def evaluate(predicate: Predicate, columns: Columns) -> pa.Array:
    """Return for each row true, false or null; `columns` gives a column's values by name."""
    if isinstance(predicate, Comparison):
        return _compare(predicate, _values(predicate.node, columns))
    combine = pc.and_kleene if predicate.op == "and" else pc.or_kleene
    result = evaluate(predicate.parts[0], columns)
    for part in predicate.parts[1:]:
        result = combine(result, evaluate(part, columns))
    return result


def _values(node: Node, columns: Columns) -> pa.Array:
    values = columns(node.column)
    if node.struct_path:
        values = pc.struct_field(values, list(node.struct_path))
    return values.cast(pa.binary()) if pa.types.is_string(values.type) else values


def _compare(comparison: Comparison, values: pa.Array) -> pa.Array:
    op, literal = comparison.op, comparison.literal
    if op == "is_null":
        return pc.is_null(values)
    if op == "is_valid":
        return pc.is_valid(values)
    if op == "is_in":
        wanted = pa.array([scalar.as_py() for scalar in literal], type=values.type)
        return pc.is_in(values, value_set=wanted)
    if op == "match_substring":
        return pc.match_substring(values, pattern=literal.as_py())
    if pa.types.is_fixed_size_list(values.type):
        compare = _VECTOR_OPERATORS[op]
        rows = values.to_pylist()
        return pa.array([None if row is None else compare(row, literal) for row in rows], pa.bool_())
    return _KERNELS[op](values, literal)
