"""The sample's datasets must mean the same on MySQL as on the embedded source."""

import dataclasses
from decimal import Decimal

import pytest

from etl_assets.core.errors import PermanentError
from etl_assets.demo.sample_mysql import build_mysql
from etl_assets.settings import Settings
from etl_assets_tests.chain import Chain
from etl_assets_tests.servers import MariaDBServer


@pytest.fixture(scope="module")
def admin_url(mariadb: MariaDBServer) -> str:
    """The URL of a user who may create tables in the sample's database, with the sample in it."""
    mariadb.run("CREATE DATABASE journey", "GRANT SELECT ON journey.* TO 'reader'@'%'")
    url = f"mysql+pymysql://root@127.0.0.1:{mariadb.port}/journey"
    assert build_mysql(url)
    return url


@pytest.fixture
def mysql_settings(settings: Settings, mariadb: MariaDBServer, admin_url: str) -> Settings:
    """Settings that read the sample from MySQL, as the user who may only read."""
    return dataclasses.replace(
        settings,
        source_url=admin_url.replace("root@", f"{mariadb.reader}@"),
        source_password=mariadb.password,
        warehouse_url=f"duckdb:///{settings.home}/mysql.duckdb",
    )


@pytest.mark.parametrize(
    ("key", "records", "value"),
    [("CJ18", 165_242, "533846.92"), ("CJ15", 4_169, "13442.06"), ("CJ24", 661, "1999.92")],
)
def test_sales_are_those_of_the_embedded_sample(
    mysql_settings: Settings, key: str, records: int, value: str
) -> None:
    chain = Chain(mysql_settings, "campaign_sales")
    assert chain.refresh(key).records == records
    assert chain.query("SELECT sum(sales_value) FROM campaign_sales") == [(Decimal(value),)]


def test_redemptions_are_those_of_the_embedded_sample(
    settings: Settings, mysql_settings: Settings
) -> None:
    counted = []
    for each in (settings, mysql_settings):
        done = Chain(each, "campaign_redemptions").refresh("CJ18")
        counted.append((done.source_records, done.records, done.filtered))
    assert counted == [(653, 481, 172)] * 2


def test_records_and_types_agree_but_for_the_width_of_whole_numbers(
    settings: Settings, mysql_settings: Settings
) -> None:
    embedded = Chain(settings, "campaign_sales").extract("CJ24")
    made = Chain(mysql_settings, "campaign_sales").extract("CJ24")
    assert made.records == embedded.records
    widths = {("bigint", "integer")}
    pairs = {
        (str(a.type), str(b.type)) for a, b in zip(embedded.columns, made.columns, strict=True)
    }
    assert {(a, b) for a, b in pairs if a != b} <= widths


def test_the_sample_is_built_once(admin_url: str, mariadb: MariaDBServer) -> None:
    assert not build_mysql(admin_url)
    mariadb.run("RENAME TABLE journey.coupons TO journey.away")
    with pytest.raises(PermanentError, match="not the whole sample"):
        build_mysql(admin_url)
    mariadb.run("RENAME TABLE journey.away TO journey.coupons")
