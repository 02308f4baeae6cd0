"""What the pages on the tables and the queries say is what the program has; every SQL block is run."""

from __future__ import annotations

import pytest

from exr_inspector.catalog import Catalog
from exr_inspector.catalog_queries import named_queries
from tests.support import small_catalog
from tests.test_docs import Block, blocks, name_of

PAGES = ("docs/SCHEMA_AND_DEPLOYMENT.md", "docs/VAST_ANALYTICS_QUERIES.md")
SQL = [block for block in blocks("sql") if block.page in PAGES]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> small_catalog.SmallCatalog:
    return small_catalog.make(tmp_path_factory.mktemp("shows"))


@pytest.mark.parametrize("block", SQL, ids=name_of)
def test_sql_blocks_run(block: Block, made: small_catalog.SmallCatalog) -> None:
    """Each block is a named query, and is run as it stands, with the values that the page has for it."""
    (query,) = [each for each in named_queries().values() if each.sql == block.text]
    given = {"reference": made.path(small_catalog.BEAUTY)} if query.name == "similar_renders" else {}
    with Catalog(made.db) as catalog:
        catalog.query(query._replace(sql=block.text), given).read_all()


def test_every_query_is_on_the_page() -> None:
    assert len(SQL) == 10
