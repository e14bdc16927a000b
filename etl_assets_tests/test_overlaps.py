"""What campaigns share, on the real sample and as people see it.

At risk: a report over several seasons that counts a sale for each of them, and nobody knows.
The expected figures are pandas' over the sample's source, not our SQL's.
"""

import datetime as dt
import itertools
import json
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from etl_assets.core.reporting_views import Overlap
from etl_assets.demo import sample
from etl_assets.settings import Settings
from etl_assets_tests.chain import Chain
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.dagster_fixtures import Platform, open_platform
from etl_assets_tests.small import Small
from etl_assets_tests.test_checks import look_again

PAIRS = {
    ("CJ15", "CJ18"): 2_220, ("CJ15", "CJ19"): 138, ("CJ15", "CJ20"): 394, ("CJ15", "CJ22"): 224,
    ("CJ18", "CJ19"): 12_259, ("CJ18", "CJ20"): 25_433, ("CJ18", "CJ21"): 4_060,
    ("CJ18", "CJ22"): 17_580, ("CJ19", "CJ20"): 2_277, ("CJ19", "CJ21"): 141,
    ("CJ19", "CJ22"): 2_095, ("CJ20", "CJ21"): 1_933, ("CJ20", "CJ22"): 9_758,
}  # fmt: skip
"""What stands in the documentation for the keys of 2017-12-10."""


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    with open_platform(small, tmp_path) as opened:
        yield opened


def sales_of(settings: Settings, key: str) -> pd.DataFrame:
    """Return a campaign's sales, joined and cut to the season by pandas, amounts in cents."""
    campaign = settings.open_registry().read().campaign(key)
    path = settings.source_url.removeprefix("sqlite:///")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        sales = pd.read_sql(
            "SELECT basket_id, product_id, household_id, sold_at, sales_value FROM transactions",
            connection,
        )
        households = pd.read_sql("SELECT * FROM campaign_households", connection)
    connection.close()
    takes_part = households.campaign_id == campaign.parameters["campaign_id"]
    days = pd.to_datetime(sales.sold_at).dt.date
    within = (days >= campaign.start) & (days <= campaign.end)
    joined = sales[within].merge(households[takes_part], on="household_id")
    return joined.assign(campaign_key=key, cents=(joined.sales_value * 100).round().astype(int))


def test_overlaps_and_totals_of_the_sample_equal_independent_sums(settings: Settings) -> None:
    day = dt.date.fromisoformat(sample.REFRESH_DAY)
    keys = settings.open_registry().read().due_on(day)
    chain = Chain(settings, "campaign_sales")
    for key in keys:
        chain.refresh(key)
    named = ["basket_id", "product_id"]
    sales = {key: sales_of(settings, key) for key in keys}
    shared = {
        (a, b): len(sales[a][named].drop_duplicates().merge(sales[b][named].drop_duplicates()))
        for a, b in itertools.combinations(sorted(keys), 2)
    }
    together = pd.concat(sales.values())
    once = together.sort_values("campaign_key").drop_duplicates(named)

    counted = settings.open_warehouse().overlaps(settings.datasets["campaign_sales"])
    expected = {pair: records for pair, records in shared.items() if records}
    assert {(pair.first, pair.second): pair.records for pair in counted.pairs} == expected == PAIRS
    assert (counted.records, counted.distinct) == (len(together), len(once)) == (248_524, 183_121)
    assert counted.shown == counted.distinct
    for view, frame, dollars in (
        ("campaign_sales_by_campaign", together, "810875.76"),
        ("campaign_sales_deduplicated", once, "592279.61"),
    ):
        total = f"SELECT count(*), CAST(sum(sales_value) AS VARCHAR) FROM {view}"
        assert chain.query(total) == [(len(frame), dollars)]
        assert Decimal(int(frame.cents.sum())) / 100 == Decimal(dollars)
        by_campaign = f"SELECT campaign_key, count(*) FROM {view} GROUP BY 1"
        assert dict(chain.query(by_campaign)) == frame.campaign_key.value_counts().to_dict()


def test_the_check_shows_a_campaigns_overlaps_after_its_load(platform: Platform) -> None:
    platform.load("SP17", "AU17")
    evaluations = platform.run("SU17").get_asset_check_evaluations()
    (found,) = [e for e in evaluations if e.check_name == "each_record_once"]
    assert (found.passed, found.partition) == (True, "SU17")
    assert found.description == (
        "43 records, 40 without repetition; 3 repeat a record of another campaign."
    )
    metadata = dict(found.metadata)
    shared = metadata.pop("shared_with")
    assert isinstance(shared, dg.TableMetadataValue)
    assert shared.records == [dg.TableRecord({"campaign": "SP17", "records": 3})]
    assert {name: value.value for name, value in metadata.items()} == {
        "table_records": 43, "distinct_records": 40, "repeated_records": 3, "records_in_view": 40,
    }  # fmt: skip


def test_the_check_fires_when_the_view_counts_a_record_twice(platform: Platform) -> None:
    platform.load("SP17", "SU17")
    platform.warehouse_sql("CREATE OR REPLACE VIEW sales_deduplicated AS SELECT * FROM sales")
    found = look_again(platform, "SU17", "each_record_once")
    assert not found.passed
    assert "The view sales_deduplicated shows 30 records: somebody changed it." in str(
        found.description
    )
    assert "--force" in str(found.description)


def test_the_check_fires_when_the_view_is_gone(platform: Platform) -> None:
    platform.load("SP17")
    platform.warehouse_sql("DROP VIEW sales_deduplicated")
    found = look_again(platform, "SP17", "each_record_once")
    assert (found.passed, "There is no view sales_deduplicated." in str(found.description)) == (
        False,
        True,
    )


def test_the_command_lists_the_pairs_that_share_most_first(small: Small) -> None:
    command, chain = CommandLine.of(small), Chain(small.settings())
    assert command.run("overlaps").stdout == "sales: 0 records.\n"
    for key in ("SP17", "SU17", "AU17"):
        chain.refresh(key)
    shown = command.run("overlaps").stdout
    assert "sales: 43 records, 40 without repetition; 3 repeat a record" in shown
    assert "SP17 SU17 3" in " ".join(shown.split())
    document = json.loads(command.run("overlaps", "--dataset", "sales", "--json").stdout)["sales"]
    assert document["pairs"] == [vars(Overlap("SP17", "SU17", 3))]
    assert (document["records"], document["distinct"], document["shown"]) == (43, 40, 40)
    assert (document["repeated"], document["caveat"]) == (3, "")


def test_the_command_says_which_datasets_there_are(small: Small) -> None:
    done = CommandLine.of(small).run("overlaps", "--dataset", "gone")
    assert done.returncode == 1
    assert "There is no dataset gone. Choose from sales." in done.stderr
