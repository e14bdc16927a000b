"""Orders on both warehouses: together or not at all, and only on what they were decided on."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from etl_assets.core.errors import ProofError, StagingError
from etl_assets.core.ledger import LEDGER
from etl_assets.core.manifest import Load
from etl_assets.core.orders import FIRST, Order, SupersededError, order_for, order_load
from etl_assets_tests.small import COUNTS, Small
from etl_assets_tests.systems.platforms import DuckDBPlatform, Platform, RedshiftPlatform

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]


@pytest.fixture(params=["duckdb", "redshift"])
def platform(request: pytest.FixtureRequest, small: Small) -> Platform:
    """A small platform on each warehouse."""
    if request.param == "duckdb":
        return DuckDBPlatform(small)
    return RedshiftPlatform(small, request.getfixturevalue("redshift"))


def commit(platform: Platform, *orders: Order) -> list[Load]:
    return platform.warehouse.commit(orders, platform.settings().open_staging())


def loads_of(platform: Platform, *keys: str) -> list[Order]:
    return [order_load(platform.chain.stage(key), "sidecar.json") for key in keys]


def test_orders_given_together_are_committed_together(platform: Platform) -> None:
    platform.refresh("AU17")
    orders = [*loads_of(platform, "SP17", "SU17"),
              order_for("prune", platform.dataset, "AU17", "p1")]  # fmt: skip
    rows = commit(platform, *orders)
    assert [(row.kind, row.campaign_key, row.records) for row in rows] == [
        ("load", "SP17", 14), ("load", "SU17", 16), ("prune", "AU17", 0),
    ]  # fmt: skip
    assert platform.counts() == {"SP17": 14, "SU17": 16}
    assert commit(platform, *orders) == rows  # again: nothing is changed
    assert len(platform.warehouse.loads()) == 4


def test_orders_of_which_one_fails_leave_everything_as_it_was(platform: Platform) -> None:
    for key in COUNTS:
        platform.refresh(key)
    before = platform.state()
    first, second = loads_of(platform, "SP17", "SU17")
    assert second.stage
    planted = replace(second, stage=second.stage.model_copy(update={"records": 15}))
    with pytest.raises((ProofError, StagingError), match="SU17"):
        commit(platform, first, planted)
    assert platform.state() == before
    assert len(commit(platform, first, second)) == 2


def test_an_order_is_not_carried_out_on_another_row_than_it_was_decided_on(
    platform: Platform,
) -> None:
    (first,) = loads_of(platform, "SP17")
    made = commit(platform, replace(first, over=FIRST))[0]
    (second,) = loads_of(platform, "SP17")
    before = platform.state()
    with pytest.raises(SupersededError, match=f"decided on load none, but {made.load_id} is"):
        commit(platform, replace(second, over=FIRST))
    assert platform.state() == before
    assert commit(platform, replace(second, over=made.load_id))[0].replaced_records == 14


def test_of_orders_decided_on_the_same_row_at_once_one_is_carried_out(platform: Platform) -> None:
    over = platform.refresh("SP17").load_id
    orders = [replace(order, over=over) for order in loads_of(platform, *["SP17"] * 4)]

    def attempt(order: Order) -> bool:
        try:
            commit(platform, order)
        except SupersededError:
            return False
        return True

    with ThreadPoolExecutor(len(orders)) as pool:
        assert sorted(pool.map(attempt, orders)) == [False, False, False, True]
    assert len(platform.warehouse.loads()) == 2
    assert platform.counts() == {"SP17": 14}


def test_holds_and_releases_are_rows_that_change_no_slice(platform: Platform) -> None:
    platform.refresh("SP17")
    before = platform.rows()
    hold = replace(order_for("hold", platform.dataset, "SP17", "h1"), made_by="ann", reason="why")
    release = replace(order_for("release", platform.dataset, "SP17", "h2"), about="h1")
    rows = commit(platform, hold, release)
    assert [(row.kind, row.records, row.replaced_records) for row in rows] == [
        ("hold", 14, 0), ("release", 14, 0),
    ]  # fmt: skip
    assert (rows[0].made_by, rows[0].reason, rows[1].about) == ("ann", "why", "h1")
    assert platform.rows() == before
    current = platform.warehouse.current(platform.dataset, "SP17")
    assert current is not None
    assert current.kind == "load"
    assert platform.warehouse.loads() == [rows[1], rows[0], current]


def test_a_hold_of_a_key_that_was_never_loaded_needs_no_table(platform: Platform) -> None:
    (row,) = commit(platform, order_for("hold", platform.dataset, "SP17", "h1"))
    assert row.records == 0
    assert platform.warehouse.current(platform.dataset, "SP17") is None


def test_a_row_is_newer_than_that_of_a_clock_that_was_ahead(platform: Platform) -> None:
    made = platform.refresh("SP17")
    ahead = "2099-01-01 00:00:00+00"
    platform.write(f"UPDATE {LEDGER} SET committed_at = '{ahead}'")
    again = platform.refresh("SP17")
    assert again.committed_at == dt.datetime(2099, 1, 1, 0, 0, 0, 1, dt.UTC)
    assert [row.load_id for row in platform.warehouse.loads()] == [again.load_id, made.load_id]


def test_the_ledger_of_an_earlier_release_is_read_and_gets_the_columns_it_lacks(
    platform: Platform,
) -> None:
    made = platform.refresh("SP17")
    for name in ("reason", "made_by", "about", "undoes", "stage_digest", "reshaped"):
        platform.write(f'ALTER TABLE {LEDGER} DROP COLUMN "{name}"')
    earlier = made.model_copy(update={"stage_digest": None})
    assert platform.warehouse.loads() == [earlier]
    again = platform.refresh("SP17")
    assert platform.warehouse.loads() == [again, earlier]
