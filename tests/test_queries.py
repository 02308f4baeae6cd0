"""The ten named queries: their headers, their rows by hand, and what other dialects make of them."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import sqlglot

from exr_inspector import inspect
from exr_inspector.catalog import Catalog, UnknownReference
from exr_inspector.catalog_queries import (
    NamedQuery,
    Parameter,
    QueryError,
    given_parameters,
    named_queries,
    named_query,
    parse_query,
)
from exr_inspector.catalog_translate import DIALECTS, translated
from exr_inspector.embedding import compute_metadata_embedding
from tests.support import small_catalog
from tests.support.small_catalog import BEAUTY, SECOND, SH010, SH020, XYZ, SmallCatalog

Row = tuple[Any, ...]

# What is stated below are facts of the fixtures: sizes in bytes, windows and channels as fixtures/ makes them.
ARNOLD, BLENDER, VRAY, ZIPS, NONE, CRYPTO, RICH, MIP, INVERTED = 1198, 1005, 1307, 825, 1010, 2781, 5724, 1577, 475


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallCatalog:
    return small_catalog.make(tmp_path_factory.mktemp("shows"))


def asked(made: SmallCatalog, query: str, /, **given: str) -> list[Row]:
    """The rows of a query, with the paths as small_catalog has them."""
    with Catalog(made.db) as catalog:
        table = catalog.query(named_query(query), given).read_all()
    return [tuple(shortened(made, value) for value in row.values()) for row in table.to_pylist()]


def shortened(made: SmallCatalog, value: Any) -> Any:
    return value.removeprefix(made.root) if isinstance(value, str) else value


# ---- The rows ----------------------------------------------------------------------------------------------


def test_similar_renders(made: SmallCatalog) -> None:
    rows = asked(made, "similar_renders", reference=made.path(BEAUTY), k="100")
    vectors = {
        render.path: np.array(compute_metadata_embedding(inspect(made.path(render.path))))
        for render in small_catalog.RENDERS
        if "broken" not in render.path
    }
    expected = sorted((1 - float(vector @ vectors[BEAUTY]), path) for path, vector in vectors.items())
    assert [row[1] for row in rows[:2]] == [BEAUTY, f"{SH010}/bty.1006.exr"]
    assert {row[1] for row in rows} == set(vectors)
    assert [row[0] for row in rows] == pytest.approx([distance for distance, _ in expected], abs=1e-6)
    assert rows[0][3:] == (1001, ARNOLD)
    near = asked(made, "similar_renders", reference=made.path(BEAUTY), max_distance="0.000001")
    assert [row[1] for row in near] == [BEAUTY, f"{SH010}/bty.1006.exr"]
    with pytest.raises(UnknownReference):
        asked(made, "similar_renders", reference=made.path(f"{XYZ}/broken.exr"))


def test_channel_composition(made: SmallCatalog) -> None:
    def files(**given: str) -> list[Row]:
        return [(Path(row[0]).name, *row[2:]) for row in asked(made, "channel_composition", **given)]

    beauty = [(f"bty.{frame}.exr", 4, 0, 1) for frame in (1001, 1002, 1005, 1006)]
    crypto, rich, mip = ("crypto.0001.exr", 28, 6, 1), ("many.0001.exr", 80, 19, 1), ("mip.0001.exr", 3, 0, 1)
    inverted = ("inverted.exr", 4, 0, 1)
    assert files() == [*beauty, crypto, inverted, rich, mip]
    assert files(channels=" R, G ,B,R", exactly="true") == [mip]
    assert files(channels="Z,A") == [("deep.0001.exr", 2, 0, 1), ("deep.0002.exr", 2, 0, 1)]
    assert files(channels="", layers="diffuse,albedo") == [rich]
    assert files(channels="", min_layers="6") == [crypto, rich]
    assert files(channels="R,diffuse.R,nosuch") == []
    assert files(limit="1") == beauty[:1]


def test_anomalies(made: SmallCatalog) -> None:
    assert asked(made, "anomalies") == [
        (f"{SH020}/deep.0002.exr", "uncompressed", 1, "complete"),
        (f"{XYZ}/broken.exr", "unreadable", 1, "unchecked"),
        (f"{XYZ}/inverted.exr", "uncompressed", 1, "unchecked"),
        (f"{XYZ}/many.0001.exr", "many_channels", 80, "complete"),
        (f"{XYZ}/mip.0001.exr", "incomplete", 1, "incomplete"),
    ]
    large = asked(made, "anomalies", max_bytes=str(CRYPTO - 1), max_channels="80")
    assert [row[1:3] for row in large if row[1] in ("oversized", "many_channels")] == [
        ("oversized", CRYPTO),
        ("oversized", RICH),
    ]


def test_deep_by_renderer(made: SmallCatalog) -> None:
    rows = [("(unknown)", "none", 1, 1, NONE, float(NONE)), ("(unknown)", "zips", 1, 1, ZIPS, float(ZIPS))]
    assert asked(made, "deep_by_renderer") == rows
    assert asked(made, "deep_by_renderer", renderer="Arnold%") == []


def test_validation_failures(made: SmallCatalog) -> None:
    policy = ("delivery", "policy.compression", 2, 2, BEAUTY)
    inverted = ("(none)", "window.inverted", 1, 1, f"{XYZ}/inverted.exr")
    assert asked(made, "validation_failures") == [policy, inverted]
    assert asked(made, "validation_failures", policy="delivery") == [policy]
    assert asked(made, "validation_failures", severity="warning") == [
        ("(none)", "chunk.countable", 1, 1, f"{XYZ}/inverted.exr")
    ]


def test_shot_summary(made: SmallCatalog) -> None:
    noon, next_noon = datetime(2026, 3, 1, 12), datetime(2026, 3, 2, 12)
    sizes = 2 * ARNOLD + BLENDER + VRAY, ZIPS + NONE, RICH + MIP + INVERTED
    rows = asked(made, "shot_summary", root=made.path("shows/"))
    assert rows == [
        ("abc", "sq01", "sh010", 4, 4, 1001, 1006, 2, sizes[0], next_noon),
        ("abc", "sq01", "sh020", 2, 2, 1, 2, 0, sizes[1], noon),
        ("abc", "sq02", "sh010", 1, 1, 1, 1, 0, CRYPTO, noon),
        ("xyz", "sq01", "sh010", 4, 1, 1, 1, 0, sizes[2], next_noon),
    ]
    assert asked(made, "shot_summary") == []  # no path of the tests begins with /shows/
    by_show = asked(made, "shot_summary", root=made.path("shows/"), sequence_level="1", shot_level="1")
    assert [row[:4] for row in by_show] == [("abc", "abc", "abc", 7), ("xyz", "xyz", "xyz", 4)]


def test_compression_use(made: SmallCatalog) -> None:
    zipped = 2 * ARNOLD + BLENDER + VRAY + CRYPTO + RICH + MIP
    pixels = 5 * 8 * 6 + 16 * 9 + 20 * 13
    assert asked(made, "compression_use") == [
        ("zip", 7, 7, zipped, float(pixels), pytest.approx(zipped / pixels)),
        # The inverted window has no pixels, and its file counts all the same.
        ("none", 2, 2, NONE + INVERTED, 30.0, pytest.approx((NONE + INVERTED) / 30)),
        ("zips", 1, 1, ZIPS, 30.0, pytest.approx(ZIPS / 30)),
    ]
    assert asked(made, "compression_use", root=made.path(SH020)) == [
        ("none", 1, 1, NONE, 30.0, pytest.approx(NONE / 30)),
        ("zips", 1, 1, ZIPS, 30.0, pytest.approx(ZIPS / 30)),
    ]


def test_render_times(made: SmallCatalog) -> None:
    # Arnold: stats/render_time 871.5; Blender: 03:21.77; V-Ray: 0h 14m 32.6s; the rich file says what Arnold's says.
    first, second = [871.5, 201.77], [872.6, 871.5, 871.5]
    inspected = (date(2026, 3, 4), len(small_catalog.RENDERS), len(small_catalog.RENDERS) + 1, 0, None, None, None)

    def day(number: int, times: list[float]) -> Row:
        total = math.fsum(times)
        return (
            date(2026, 3, number),
            0,
            0,
            len(times),
            pytest.approx(total),
            pytest.approx(total / len(times)),
            pytest.approx(max(times)),
        )

    assert asked(made, "render_times") == [day(1, first), day(2, second), inspected]
    assert asked(made, "render_times", since="2026-03-02") == [day(2, second), inspected]


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("12.5", 12.5),
        ("01:30", 90.0),
        ("1:02:03.5", 3723.5),
        ("   2h  0m 1.5s", 7201.5),
        ("14m 2s", 842.0),
        ("3 s", 3.0),
        ("nan", None),
        ("-5", None),
        ("1e300", None),
        ("soon", None),
        ("::", None),
        ("9" * 400 + ":00", None),
    ],
)
def test_render_times_are_read(made: SmallCatalog, words: str, seconds: float | None) -> None:
    connection = duckdb.connect()
    connection.execute("""
        CREATE TABLE current_files AS
        SELECT 'a' AS file_id, 1 AS inspection_count,
            DATE '2026-03-01' AS mtime, DATE '2026-03-01' AS last_inspected""")
    connection.execute("""
        CREATE TABLE attributes (file_id VARCHAR, attribute_name VARCHAR,
            value_text VARCHAR, value_int BIGINT, value_float DOUBLE)""")
    connection.execute("INSERT INTO attributes VALUES ('a', 'RenderTime', ?, NULL, NULL)", [words])
    ((*_, longest),) = connection.execute(named_query("render_times").sql, {"since": datetime(1970, 1, 1)}).fetchall()
    assert longest == seconds


def test_coverage(made: SmallCatalog) -> None:
    def row(directory: str, files: int, readable: int, stale: int) -> Row:
        return directory, files, readable, readable, files, stale, 1, SECOND, SECOND

    rows = [row(SH010, 4, 4, 0), row(SH020, 2, 2, 0), row("shows/abc/sq02/sh010", 1, 1, 0), row(XYZ, 4, 3, 0)]
    assert asked(made, "coverage", stale_before="2026-03-04") == rows
    later = asked(made, "coverage", stale_before="2026-03-05T00:00:00Z", root=made.path(SH020))
    assert later == [row(SH020, 2, 2, 2)]


def test_attribute_use(made: SmallCatalog) -> None:
    rows = asked(made, "attribute_use", name="arnold/version")
    assert rows == [("arnold/version", "string", 3, 3, 1, '"7.2.4.1 [a1b2c3d4] linux x86_64"')]
    first = asked(made, "attribute_use", limit="1")[0]
    assert first[:4] == ("channels", "chlist", 10, 10)
    assert len(first[5]) == 80


# ---- Headers and parameters --------------------------------------------------------------------------------


def test_there_are_ten() -> None:
    assert [query.number for query in named_queries().values()] == list(range(1, 11))


@pytest.mark.parametrize("query", named_queries().values(), ids=lambda query: query.name)
def test_the_examples_have_the_columns_of_the_answer(query: NamedQuery, made: SmallCatalog) -> None:
    given = {"reference": made.path(BEAUTY)} if query.name == "similar_renders" else {}
    with Catalog(made.db) as catalog:
        names = catalog.query(query, given).schema.names
    head, *rows = query.example.splitlines()
    assert [cell.strip() for cell in head.split("|")] == names
    assert rows
    assert all(len(row.split("|")) == len(names) for row in rows)
    assert query.purpose.endswith(".")


@pytest.mark.parametrize("query", named_queries().values(), ids=lambda query: query.name)
def test_every_query_asks_for_the_latest_row_of_a_path(query: NamedQuery) -> None:
    tables = {table.name for table in sqlglot.parse_one(query.sql, read="duckdb").find_all(sqlglot.exp.Table)}
    assert "current_files" in tables
    # Where the table itself is read, its rows are joined to the latest ones by their key.
    assert "files" not in tables or "JOIN current_files AS f ON f.file_id = " in query.sql


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("text", "a'b; --", "a'b; --"),
        ("integer", "-3", -3),
        ("number", "0.5", 0.5),
        ("boolean", "Yes", True),
        ("boolean", "0", False),
        ("timestamp", "2026-03-01T02:00:00+02:00", datetime(2026, 3, 1)),
        ("timestamp", "2026-03-01", datetime(2026, 3, 1)),
        ("vector", "[1, 2]", [1.0, 2.0]),
    ],
)
def test_values(type_: str, text: str, value: object) -> None:
    assert Parameter("p", type_, None, "").value(text) == value


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("integer", "1.5"),
        ("integer", str(1 << 63)),
        ("number", "x"),
        ("boolean", "maybe"),
        ("timestamp", "soon"),
        ("timestamp", "now-99999999d"),
        ("vector", "[1, null]"),
        ("vector", "["),
    ],
)
def test_values_of_another_type(type_: str, text: str) -> None:
    with pytest.raises(QueryError, match="parameter p"):
        Parameter("p", type_, None, "").value(text)


def test_null_is_a_value_only_where_it_is_the_default() -> None:
    assert Parameter("p", "text", "null", "").value("null") is None
    assert Parameter("p", "text", "%", "").value("null") == "null"


def test_unknown_names(made: SmallCatalog) -> None:
    with pytest.raises(QueryError, match="there is no query 'nosuch'; there are: similar_renders"):
        named_query("nosuch")
    with pytest.raises(QueryError, match="has no parameter 'x'; it has: max_bytes"):
        asked(made, "anomalies", x="1")
    with pytest.raises(QueryError, match="needs a value for: reference"):
        asked(made, "similar_renders")
    with pytest.raises(QueryError, match="name=value"):
        given_parameters(["x"])


def test_values_are_never_sql(made: SmallCatalog) -> None:
    injected = "x' OR '1'='1"
    assert asked(made, "attribute_use", name=injected) == []
    assert asked(made, "compression_use", root=injected) == []
    text = translated(named_query("attribute_use"), "duckdb", {"name": injected})
    assert "'x'' OR ''1''=''1'" in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT 1",
        "-- A title\n",
        "-- 1. T\n--\n-- For: x.\n-- Parameters:\n--   a  text  b\n-- Example:\n--   c\n",
        "-- 1. T\n-- For: x.\n-- Parameters:\n--   a  text  b  c\n-- Example:\n--   c\nSELECT 1\n",
    ],
)
def test_headers_that_are_none(text: str) -> None:
    with pytest.raises(QueryError):
        parse_query("q", text)


# ---- Other dialects ----------------------------------------------------------------------------------------


def printed(query: NamedQuery, dialect: str, made: SmallCatalog, schema: str | None = None) -> str:
    given = {"root": made.path("shows/")} if any(each.name == "root" for each in query.parameters) else {}
    return translated(query, dialect, given, schema=schema)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("query", named_queries().values(), ids=lambda query: query.name)
def test_translations_are_of_the_dialect(query: NamedQuery, dialect: str, made: SmallCatalog) -> None:
    text = printed(query, dialect, made, schema="renders/exr_metadata")
    assert sqlglot.parse_one(text, read=dialect)
    assert text.startswith(f"-- {query.number}. {query.title}\n")
    mark = "`" if dialect == "spark" else '"'
    assert f"FROM {mark}renders/exr_metadata{mark}.{mark}files{mark}" in text
    assert "$" not in re.sub(r"'[^']*'", "", text).replace("$reference", "")
    assert "JSON[]" not in text or dialect == "duckdb"


# What DuckDB can run again of the other dialects: it has no zip_with, and no from_json of Spark's.
THERE_AND_BACK = [
    pytest.param(query, dialect, id=f"{query.name}-{dialect}")
    for query in named_queries().values()
    for dialect in DIALECTS
    if query.name != "similar_renders" and (query.name, dialect) != ("validation_failures", "spark")
]


@pytest.mark.parametrize(("query", "dialect"), THERE_AND_BACK)
def test_translations_say_the_same(query: NamedQuery, dialect: str, made: SmallCatalog) -> None:
    """Back from the dialect to DuckDB, over the tables themselves, they give the rows of the query."""
    text = printed(query, dialect, made, schema="main")
    back = sqlglot.transpile(text, read=dialect, write="duckdb")[0]
    given = {"root": made.path("shows/")} if any(each.name == "root" for each in query.parameters) else {}
    with duckdb.connect(made.db, read_only=True) as connection:
        rows = connection.execute(back).fetchall()
    assert [tuple(shortened(made, value) for value in row) for row in rows] == [
        tuple(row) for row in asked(made, query.name, **given)
    ]


def test_a_reference_stays_a_placeholder() -> None:
    query = named_query("similar_renders")
    assert (
        "array_cosine_distance(v.metadata_embedding, cast($reference as float[384]))"
        in translated(query, "duckdb").lower()
    )
    assert "CAST(? AS ARRAY(REAL))" in translated(query, "trino")
    assert "CAST(:reference AS ARRAY<FLOAT>)" in translated(query, "spark")
    assert "CAST(ARRAY[1.0, 2.5] AS ARRAY(REAL))" in translated(query, "trino", {"reference": "[1, 2.5]"})


def test_without_a_schema_duckdb_keeps_its_view() -> None:
    query = named_query("coverage")
    assert "WITH current_files" not in translated(query, "duckdb")
    assert "WITH current_files" in translated(query, "trino")
    with pytest.raises(QueryError, match="there is no dialect 'oracle'"):
        translated(query, "oracle")


def test_the_view_and_what_stands_for_it_tell_the_same_rows(tmp_path: Path) -> None:
    """Rows that tie in all but one of what tells the latest."""
    query = parse_query(
        "latest",
        "-- 1. T\n-- For: x.\n-- Parameters:\n-- Example:\n--   c\n"
        "SELECT f.file_id FROM current_files AS f ORDER BY f.file_id",
    )
    made = small_catalog.make(tmp_path)
    with duckdb.connect(made.db) as connection:
        connection.execute("""
            INSERT INTO files (file_id, file_path, file_path_normalized, last_inspected, mtime)
            SELECT printf('%032d', n), p, p, TIMESTAMP '2026-01-01' + INTERVAL 1 DAY * (n % 2),
                CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN TIMESTAMP '2026-01-01' ELSE TIMESTAMP '2026-01-02' END
            FROM range(60) AS t(n), (SELECT '/x' AS p UNION ALL SELECT '/y') WHERE (p = '/x') = (n < 40)""")
        ours = connection.execute(query.sql).fetchall()
        theirs = connection.execute(translated(query, "duckdb", schema="main")).fetchall()
    assert ours == theirs
    assert len(ours) == len(small_catalog.RENDERS) + 2
