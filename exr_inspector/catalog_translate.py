"""A query as other engines want it: DuckDB's SQL in, Trino's or Spark's out, ready to be pasted.

sqlglot does the work; what it does not know is done here on the parsed statement: VAST's table names
(`"bucket/schema"."table"`), the view `current_files`, which only a DuckDB catalog has, the distance of vectors, and
the values of parameters, which become literals of the tree and never text put together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlglot
from sqlglot import exp

from exr_inspector.catalog_queries import NamedQuery, QueryError, Reference
from exr_inspector.tables import TABLES
from exr_inspector.tables.latest import LATEST_FIRST_SQL

Node = Any  # an expression of sqlglot, which names their class differently from version to version

DIALECTS = ("duckdb", "trino", "spark")
CURRENT_FILES = "current_files"

# What `current_files` is where there is no such view. `tests/test_queries.py` compares the two.
_LATEST = """\
SELECT {columns} FROM (
    SELECT {columns}, row_number() OVER (PARTITION BY file_path_normalized ORDER BY {latest_first}) AS newness
    FROM files
) AS numbered
WHERE newness = 1"""

# Vectors are of length 1, so that 1 minus the sum of the products is the cosine distance.
_DISTANCES = {
    "trino": "1 - reduce(zip_with({0}, {1}, (x, y) -> CAST(x AS DOUBLE) * CAST(y AS DOUBLE)), "
    "CAST(0 AS DOUBLE), (s, x) -> s + x, s -> s)",
    "spark": "1 - aggregate(zip_with({0}, {1}, (x, y) -> CAST(x AS DOUBLE) * CAST(y AS DOUBLE)), "
    "CAST(0 AS DOUBLE), (s, x) -> s + x)",
}


def translated(
    query: NamedQuery, dialect: str, given: Mapping[str, str] | None = None, *, schema: str | None = None
) -> str:
    """A query's SQL for a dialect, its title as a comment above it.

    `given` are parameters as text; those that must be given and are not stay placeholders. `schema` is VAST's
    `bucket/schema`: every table is then `"bucket/schema"."table"`. Raises QueryError.
    """
    if dialect not in DIALECTS:
        raise QueryError(f"there is no dialect {dialect!a}; there are: {', '.join(DIALECTS)}")
    tree = sqlglot.parse_one(query.sql, read="duckdb")
    used = {table.name for table in tree.find_all(exp.Table)}
    tree = _with_values(tree, _values(query, given or {}), dialect)
    if CURRENT_FILES in used and (schema is not None or dialect != "duckdb"):
        tree = _with_current_files(tree, _used_columns(tree))
    if schema is not None:
        _qualify(tree, schema)
    return f"-- {query.number}. {query.title}\n{_generated(tree, dialect)}\n"


def _values(query: NamedQuery, given: Mapping[str, str]) -> dict[str, Any]:
    """The values that are known; a reference is not, for its numbers stand in the catalog."""
    values = query.values(given, is_partial=True)
    return {name: value for name, value in values.items() if not isinstance(value, Reference)}


# ---- Parameters --------------------------------------------------------------------------------------------


def _with_values(tree: Node, values: Mapping[str, Any], dialect: str) -> Node:
    def replaced(node: Node) -> Node:
        if not isinstance(node, exp.Placeholder):
            return node
        if node.name in values:
            return literal(values[node.name])
        return exp.Placeholder() if dialect == "trino" else node

    return tree.transform(replaced)


def literal(value: Any) -> Node:
    """A value as a node of the tree."""
    if value is None:
        return exp.cast(exp.Null(), "varchar")
    if isinstance(value, datetime):
        return exp.cast(exp.Literal.string(value.isoformat(sep=" ", timespec="microseconds")), "timestamp")
    if isinstance(value, list):
        return exp.Array(expressions=[literal(each) for each in value])
    return exp.convert(value)


# ---- Tables ------------------------------------------------------------------------------------------------


def _used_columns(tree: Node) -> list[str]:
    """The columns of `files` that may be read: those whose names occur. Two are needed to tell the latest row."""
    named = {column.name for column in tree.find_all(exp.Column)}
    wanted = named | {"file_id", "file_path_normalized"}
    return [column.name for column in TABLES["files"] if column.name in wanted]


def _with_current_files(tree: Node, columns: Sequence[str]) -> Node:
    latest = sqlglot.parse_one(_LATEST.format(columns=", ".join(columns), latest_first=LATEST_FIRST_SQL), read="duckdb")
    first = exp.CTE(this=latest, alias=exp.TableAlias(this=exp.to_identifier(CURRENT_FILES)))
    others = tree.args.get("with_") or tree.args.get("with")
    if others is not None:
        others.set("expressions", [first, *others.expressions])
        return tree
    if not isinstance(tree, exp.Query):
        raise QueryError("only a SELECT can be translated")
    return tree.with_(CURRENT_FILES, as_=latest)


def _qualify(tree: Node, schema: str) -> None:
    for table in tree.find_all(exp.Table):
        if table.name in TABLES and isinstance(table.this, exp.Identifier):
            table.set("this", exp.to_identifier(table.name, quoted=True))
            table.set("db", exp.to_identifier(schema, quoted=True))


# ---- What sqlglot does not know ----------------------------------------------------------------------------


def _generated(tree: Node, dialect: str) -> str:
    text: str = tree.transform(_DIALECT_RULES[dialect]).sql(dialect=dialect, pretty=True)
    return text


def _for_duckdb(node: Node) -> Node:
    """FLOAT[384] stays FLOAT[384], the name that VAST's engine has for it as well, where sqlglot says REAL."""
    if isinstance(node, exp.DataType) and node.this == exp.DataType.Type.FLOAT:
        return exp.DataType(this=exp.DataType.Type.USERDEFINED, kind="FLOAT")
    return node


def _for_trino(node: Node) -> Node:
    return _distance(node, "trino") if _is_distance(node) else node


def _for_spark(node: Node) -> Node:
    """A list of JSON texts for a list of JSON values, which Spark does not have."""
    if isinstance(node, exp.DataType) and node.this == exp.DataType.Type.JSON:
        return exp.DataType.build("varchar")
    return _distance(node, "spark") if _is_distance(node) else node


_DIALECT_RULES: dict[str, Callable[[Node], Node]] = {
    "duckdb": _for_duckdb,
    "trino": _for_trino,
    "spark": _for_spark,
}


def _is_distance(node: Node) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.upper() == "ARRAY_COSINE_DISTANCE"


def _distance(node: Node, dialect: str) -> Node:
    """The distance from what the engine has; vectors lose their length, which is part of no type there."""
    left, right = node.expressions
    if isinstance(right, exp.Cast):
        right.set("to", exp.DataType.build("array<float>", dialect="duckdb"))
    words = _DISTANCES[dialect].format(left.sql(dialect=dialect), right.sql(dialect=dialect))
    return exp.paren(sqlglot.parse_one(words, read=dialect))
