"""The views over days on the real sample, alike on both warehouses.

The expected rows are plain Python's over the sample's transactions, not our SQL's.
"""

import datetime as dt
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from etl_assets.settings import Settings
from etl_assets_tests.chain import Chain
from etl_assets_tests.commits import commit_load
from etl_assets_tests.season_oracle import Season, over_season, to_date
from etl_assets_tests.systems.redshift_server import Redshift, RedshiftSettings

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

KEYS = ("CJ19", "CJ21")
"""The second is compared with the first; their seasons overlap, and it ends next year."""
SALES = """\
SELECT t.sold_at, p.brand, t.sales_value, t.retail_disc, t.coupon_disc, t.coupon_match_disc, t.quantity
FROM campaign_households c JOIN transactions t ON t.household_id = c.household_id
LEFT JOIN products p ON p.product_id = t.product_id WHERE c.campaign_id = ?"""
BRANDS = {"National": "national", "Private": "private label"}


def season_of(settings: Settings, key: str) -> Season:
    campaign = settings.open_registry().read().campaign(key)
    path = settings.source_url.removeprefix("sqlite:///")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        rows = connection.execute(SALES, [campaign.parameters["campaign_id"]]).fetchall()
    connection.close()
    # Summed by day and line first: the oracle looks at every record for every day.
    sums: dict[tuple[dt.date, Any], list[Any]] = defaultdict(
        lambda: [0, Decimal("0.00"), Decimal("0.00"), 0]
    )
    for sold_at, brand, *amounts, quantity in rows:
        day = dt.date.fromisoformat(sold_at[:10])
        if campaign.covers(day):
            found = sums[day, BRANDS.get(brand, brand)]
            money = [Decimal(f"{amount or 0:.2f}") for amount in amounts]
            for place, value in enumerate((1, money[0], sum(money), quantity)):
                found[place] += value
    records = [(day, (brand,), tuple(values)) for (day, brand), values in sums.items()]
    return SummedSeason(
        key, campaign.name, campaign.start, campaign.end, records,
        (0, Decimal("0.00"), Decimal("0.00"), 0), campaign.compared_with,
    )  # fmt: skip


class SummedSeason(Season):
    """A season whose records are sums already, their number the first of them."""

    def _summed(self, found: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(zero + sum(parts) for zero, *parts in zip(self.zeros, *found, strict=True))


def test_the_views_of_the_sample_equal_independent_sums_on_both_warehouses(
    settings: Settings, redshift: Redshift
) -> None:
    dataset = settings.datasets["campaign_sales"]
    aws = RedshiftSettings(
        home=settings.home, source_url=settings.source_url, server=redshift, prefix="sample"
    )
    assert aws.open_registry().read().campaign("CJ21").compared_with == "CJ19"
    for key in KEYS:
        staged = Chain(aws, "campaign_sales").stage(key)
        for warehouse in (settings.open_warehouse(), redshift.warehouse()):
            commit_load(warehouse, staged, aws.open_staging(), dataset)
    seasons = {key: season_of(settings, key) for key in KEYS}
    for kind, expected in (
        ("season_to_date", to_date(seasons.values())),
        ("season_over_season", over_season(seasons)),
    ):
        made = redshift.query(f"SELECT * FROM campaign_sales_{kind}")
        embedded = Chain(settings).query(f"SELECT * FROM campaign_sales_{kind}")
        assert sorted(map(repr, embedded)) == sorted(map(repr, expected))
        assert sorted(map(repr, made)) == sorted(map(repr, embedded))
