"""Columns that come, go, or change their type at the source between two refreshes.

At risk: a table whose columns silently mean something else, and an old slice that is lost.
"""

import dataclasses
from collections.abc import Callable

import pytest

from etl_assets.core.errors import SourceError, WarehouseError
from etl_assets.settings import Settings
from etl_assets_tests.chain import Chain
from etl_assets_tests.servers import MariaDBServer
from etl_assets_tests.small import COUNTS, Small

EVERYTHING = """\
dataset: sales
primary_key: [sale_id]
query: |
  SELECT s.* FROM sales s WHERE sold_at >= :starts_at AND sold_at < :ends_before
"""
Change = Callable[..., None]


@pytest.fixture(params=["sqlite", "mysql"])
def source(request: pytest.FixtureRequest, small: Small) -> tuple[Settings, Change]:
    """A small platform on each source, and what runs statements at it."""
    small.write_dataset(EVERYTHING)
    if request.param == "sqlite":
        return small.settings(), small.run_sql
    mariadb: MariaDBServer = request.getfixturevalue("mariadb")
    mariadb.run(
        "CREATE OR REPLACE TABLE sales (sale_id INT PRIMARY KEY, sold_at DATETIME, quantity INT,"
        " amount DECIMAL(10,2), note VARCHAR(40))",
        "INSERT INTO sales SELECT seq, TIMESTAMP('2017-03-01') + INTERVAL 7 * seq DAY, seq % 4,"
        " seq + 0.25, 'plain' FROM seq_0_to_39",
    )
    settings = dataclasses.replace(
        small.settings(), source_url=mariadb.url, source_password=mariadb.password
    )
    return settings, mariadb.run


def columns(chain: Chain) -> dict[str, str]:
    return dict(
        chain.query(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'sales'"
        )
    )


def test_a_column_that_is_new_at_the_source_is_added_and_null_in_other_slices(
    source: tuple[Settings, Change],
) -> None:
    settings, change = source
    chain = Chain(settings)
    chain.refresh("SP17")
    chain.refresh("AU17")
    change("ALTER TABLE sales ADD COLUMN store INT", "UPDATE sales SET store = 7")
    assert chain.refresh("SP17").records == COUNTS["SP17"]
    assert chain.query("SELECT campaign_key, count(store) FROM sales GROUP BY 1 ORDER BY 1") == [
        ("AU17", 0), ("SP17", COUNTS["SP17"]),
    ]  # fmt: skip


def test_a_column_that_is_gone_at_the_source_stays_in_the_table_and_is_null_from_then_on(
    source: tuple[Settings, Change],
) -> None:
    settings, change = source
    chain = Chain(settings)
    chain.refresh("SP17")
    chain.refresh("AU17")
    before = columns(chain)
    change("ALTER TABLE sales DROP COLUMN quantity")
    assert chain.refresh("SP17").records == COUNTS["SP17"]
    assert columns(chain) == before
    assert chain.query("SELECT campaign_key, count(quantity) FROM sales GROUP BY 1 ORDER BY 1") == [
        ("AU17", COUNTS["AU17"]), ("SP17", 0),
    ]  # fmt: skip


def test_a_column_that_is_gone_at_the_source_fails_the_load_of_a_frozen_table(
    source: tuple[Settings, Change], small: Small
) -> None:
    settings, change = source
    Chain(settings).refresh("SP17")
    small.write_dataset("on_schema_change: freeze\n" + EVERYTHING)
    change("ALTER TABLE sales DROP COLUMN quantity")
    chain = Chain(dataclasses.replace(settings))
    with pytest.raises(WarehouseError, match="`quantity` is not in the records"):
        chain.refresh("SP17")
    assert chain.query("SELECT count(quantity) FROM sales") == [(COUNTS["SP17"],)]


def test_a_column_that_is_gone_and_named_by_the_query_fails_the_extract(
    source: tuple[Settings, Change], small: Small
) -> None:
    settings, change = source
    Chain(settings).refresh("SP17")
    small.write_dataset(EVERYTHING.replace("s.*", "s.sale_id, s.quantity"))
    change("ALTER TABLE sales DROP COLUMN quantity")
    chain = Chain(dataclasses.replace(settings))
    with pytest.raises(SourceError, match="quantity") as caught:
        chain.refresh("SP17")
    assert "SP17" in caught.value.message
    assert chain.counts() == {"SP17": COUNTS["SP17"]}


def test_a_column_of_another_type_is_refused_by_name_and_the_old_slice_stays(
    source: tuple[Settings, Change],
) -> None:
    settings, change = source
    chain = Chain(settings)
    chain.refresh("SP17")
    before = chain.query("SELECT * FROM sales ORDER BY sale_id")
    change(
        "ALTER TABLE sales DROP COLUMN quantity",
        "ALTER TABLE sales ADD COLUMN quantity VARCHAR(20)",
        "UPDATE sales SET quantity = 'some'",
    )
    with pytest.raises(
        WarehouseError, match=r"type of `quantity` from (BIGINT|INTEGER) to VARCHAR"
    ):
        chain.refresh("SP17")
    assert chain.query("SELECT * FROM sales ORDER BY sale_id") == before
