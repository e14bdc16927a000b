"""The figures of the real sample: joins that lose or double records show here first."""

import contextlib
import sqlite3

import pytest

from etl_assets.demo import sample
from etl_assets.settings import Settings
from etl_assets_tests.chain import Chain


@pytest.fixture
def chain(settings: Settings) -> Chain:
    return Chain(settings, "campaign_sales")


def test_the_largest_campaign_has_its_known_records_and_sum(chain: Chain) -> None:
    loaded = chain.refresh("CJ18")
    assert loaded.proof == "165,242 read = 165,242 loaded + 0 filtered + 0 rejected"
    assert chain.query("SELECT count(*), sum(sales_value)::VARCHAR FROM campaign_sales") == [
        (165_242, "533846.92")
    ]


@pytest.mark.parametrize(("key", "records"), [("CJ24", 661), ("CJ15", 4_169)])
def test_a_campaign_has_its_known_records_within_its_season(
    chain: Chain, key: str, records: int
) -> None:
    assert chain.refresh(key).records == records
    campaign = chain.settings.open_registry().read().campaign(key)
    assert chain.query(
        f"SELECT count(*) FROM campaign_sales WHERE sold_on BETWEEN '{campaign.start}' AND"
        f" '{campaign.end}'"
    ) == [(records,)]
    assert chain.query(
        "SELECT count(*) FROM (SELECT DISTINCT basket_id, product_id FROM campaign_sales)"
    ) == [(records,)]


def test_sales_of_products_that_are_not_known_do_not_vanish(chain: Chain) -> None:
    missing = "product_id NOT IN (SELECT product_id FROM products)"
    assert in_source(chain, f"SELECT count(*) FROM transactions WHERE {missing}") == 4_836
    chain.refresh("CJ18")
    unknown = in_source(
        chain,
        "SELECT count(*) FROM campaign_households c JOIN transactions t USING (household_id)"
        f" WHERE c.campaign_id = 18 AND {missing}"
        " AND t.sold_at >= '2017-10-30' AND t.sold_at < '2017-12-25'",
    )
    assert unknown > 0
    assert chain.query(
        "SELECT count(*) FROM campaign_sales WHERE manufacturer_id IS NULL AND department IS NULL"
    ) == [(unknown,)]


def test_a_filter_leaves_out_coupons_that_are_not_of_one_department(settings: Settings) -> None:
    chain = Chain(settings, "campaign_redemptions")
    staged = chain.stage("CJ18")
    assert staged.source_records == staged.records + staged.filtered
    assert staged.filtered > 0
    assert chain.load(staged).records > 0
    assert chain.query("SELECT count(*) FROM campaign_redemptions WHERE department IS NULL") == [
        (0,)
    ]


def test_the_sample_is_left_alone_when_it_is_there(settings: Settings) -> None:
    registry = settings.home / "registry"
    (registry / "campaigns.yaml").write_text("campaigns: []")
    assert not sample.build_registry(registry)
    assert (registry / "campaigns.yaml").read_text() == "campaigns: []"


def in_source(chain: Chain, sql: str) -> int:
    """Return the count a query gives in the source itself."""
    path = chain.settings.source_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute(sql).fetchone()[0])
