"""`exr-inspector query`: answers from a catalog: a named query, or SQL of one's own, which can only read."""

from __future__ import annotations

import argparse

from exr_inspector.cli.catalogs import (
    add_db_argument,
    add_result_arguments,
    asking,
    loaded,
    wrong_usage,
)
from exr_inspector.cli.escape import complain
from exr_inspector.cli.output import open_output
from exr_inspector.cli.status import DONE, FATAL, UsageError
from exr_inspector.errors import ExrError

DIALECTS = ("duckdb", "trino", "spark")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="a named query; --list tells them")
    add("--list", action="store_true", help="the named queries with their parameters, and stop")
    add("--sql", metavar="SQL", help="one SELECT of your own; it cannot write, read files or load anything")
    add("--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter; may be given many times")
    add("--print", action="store_true", dest="is_printed", help="show the query's SQL instead of running it")
    add("--dialect", choices=DIALECTS, help="with --print: the engine that the SQL is for; duckdb by default")
    add("--schema", metavar="BUCKET/SCHEMA", help='with --print: tables as VAST names them, "bucket/schema"."table"')
    add_db_argument(parser)
    add_result_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status. Raises UsageError and OutputError."""
    _check(options)
    try:
        if options.list:
            return _list(options)
        return _print(options) if options.is_printed else _ask(options)
    except ExrError as error:
        complain(None, str(error))
        return FATAL


def _check(options: argparse.Namespace) -> None:
    asked = [options.name is not None, options.list, options.sql is not None]
    if sum(asked) != 1:
        raise UsageError("one of NAME, --list and --sql is needed")
    if options.is_printed and options.name is None:
        raise UsageError("--print shows a named query")
    if not options.is_printed and (options.dialect or options.schema):
        raise UsageError("--dialect and --schema go with --print")


def _ask(options: argparse.Namespace) -> int:
    from exr_inspector.catalog_queries import given_parameters, named_query  # noqa: PLC0415  for this command only

    results = loaded("exr_inspector.cli.results")
    with wrong_usage():
        given = given_parameters(options.param)
        query = None if options.sql is not None else named_query(options.name)
    with asking(options.db) as catalog:
        answer = catalog.sql(options.sql, given) if query is None else catalog.query(query, given)
        results.write_results(options, answer)
    return DONE


def _print(options: argparse.Namespace) -> int:
    from exr_inspector.catalog_queries import given_parameters, named_query  # noqa: PLC0415  for this command only

    translate = loaded("exr_inspector.catalog_translate")
    with wrong_usage():
        query, given = named_query(options.name), given_parameters(options.param)
        text = translate.translated(query, options.dialect or "duckdb", given, schema=options.schema)
    with open_output(options.output) as output:
        output.write([text])
    return DONE


def _list(options: argparse.Namespace) -> int:
    from exr_inspector.catalog_queries import NamedQuery, named_queries  # noqa: PLC0415  for this command only

    results = loaded("exr_inspector.cli.results")

    def parameters(query: NamedQuery) -> str:
        return ", ".join(f"{each.name}={each.default or ''}" for each in query.parameters)

    queries = named_queries().values()
    columns = {
        "number": [query.number for query in queries],
        "name": [query.name for query in queries],
        "title": [query.title for query in queries],
        "parameters": [parameters(query) for query in queries],
    }
    results.write_results(options, results.as_reader(columns.items()))
    return DONE
