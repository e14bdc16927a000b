"""The sample's ten raw sources: every value of them against an independent reading.

At risk: a file that loads, and brings something else than it says.
"""

import datetime as dt
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_assets.core.inputs.files import LoadedFile
from etl_assets.demo import sample
from etl_assets.demo.inputs import FILES, write_inputs
from etl_assets.inputs.inputs import Inputs
from etl_assets.settings import Settings
from etl_assets.systems.staging import FileStaging, sha256_of
from etl_assets_tests.chain import Chain
from etl_assets_tests.servers import MariaDBServer

LOADED = {
    "campaign_descriptions": (27, 0, 0),
    "campaign_households": (6_589, 0, 0),
    "coupon_redemptions": (2_102, 0, 0),
    "coupons": (111_332, 0, 4_872),
    "demographics": (801, 0, 0),
    "displays": (19_998, 0, 2),
    "household_profile": (2_469, 0, 0),
    "price_list": (10_000, 0, 0),
    "products": (92_331, 0, 0),
    "store_targets": (2_952, 5, 1),
}
"""By source: rows accepted, rejected, and repeated in the file."""

REJECTS = """\
row,column,value,reason
11,target,587.53 USD,is not a number
21,store_id,,has no value
31,week_of,2017-13-08-14,is not a date written as %Y-%m-%d
41,target,n/a,is not a number
51,,"292,,2017-04-17,1911.93","the row has 4 fields, the headers 3"
"""

DELIVERED = [name for name in sample.TABLES if name not in sample.OPERATIONAL]
"""The tables of the sample that files bring."""


@dataclass(frozen=True)
class Loaded:
    """A database that the ten files were loaded into.

    Attributes:
        settings: Over it, as its source.
        inputs: The raw inputs.
        rows: What became of each file, by source.
        query: Returns the rows of a statement.
    """

    settings: Settings
    inputs: Inputs
    rows: dict[str, LoadedFile]
    query: Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose staging store has the ten files. Not to be written."""
    home = tmp_path_factory.mktemp("files")
    write_inputs(FileStaging(home / "staging"))
    return home


@pytest.fixture(scope="module")
def embedded(files: Path, sample_home: Path) -> Loaded:
    """The ten files, in a database beside the transactions."""
    sample.build_source(files / "source.sqlite", sample.OPERATIONAL)
    sample.build_registry(files / "registry")

    def query(sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(files / "source.sqlite")
        connection.execute("ATTACH ? AS direct", [str(sample_home / "source.sqlite")])
        found = connection.execute(sql).fetchall()
        connection.close()
        return found

    return load(Settings(home=files), query)


@pytest.fixture(scope="module")
def served(files: Path, mariadb: MariaDBServer) -> Iterator[Loaded]:
    """The ten files, in a database of a MariaDB server."""
    name = f"sample_{uuid.uuid4().hex[:12]}"
    mariadb.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")

    def query(sql: str) -> list[tuple[Any, ...]]:
        with mariadb.connect() as connection, connection.cursor() as cursor:
            connection.select_db(name)
            cursor.execute(sql)
            return list(cursor.fetchall())

    url = f"mysql+pymysql://root@127.0.0.1:{mariadb.port}/{name}"
    yield load(Settings(home=files, inputs_url=url), query)
    mariadb.run(f"DROP DATABASE {name}")


@pytest.fixture(params=["embedded", "served"])
def loaded(request: pytest.FixtureRequest) -> Loaded:
    """The ten files in each kind of database."""
    made: Loaded = request.getfixturevalue(request.param)
    return made


def load(settings: Settings, query: Callable[[str], list[tuple[Any, ...]]]) -> Loaded:
    """Load every file that is there."""
    inputs = settings.open_inputs()
    rows = {}
    for source in inputs.contracts:
        (file,) = inputs.pending(source)
        rows[source] = inputs.load(file)
    return Loaded(settings, inputs, rows, query)


def parquet(table: str) -> pd.DataFrame:
    """Return a table of the sample data, read by pandas alone."""
    return pd.read_parquet(sample.sample_data() / f"{table}.parquet")


def records(settings: Settings, dataset: str) -> pa.Table:
    """Return the extract of a campaign, in an order of its own: the source gives none."""
    made = Chain(settings, dataset).extract("CJ15")
    with settings.open_staging().fetch(made.parts) as files:
        found = pq.read_table(files)
    return found.sort_by([(name, "ascending") for name in found.column_names])


def money(value: float) -> Decimal:
    """Return an amount without the noise that sums of doubles have."""
    return Decimal(repr(round(float(value), 2))).quantize(Decimal("0.01"))


def test_ten_files_are_loaded_and_every_row_accounted_for(loaded: Loaded) -> None:
    assert {name: row.status for name, row in loaded.rows.items()} == dict.fromkeys(
        LOADED, "loaded"
    )
    told = {n: (r.accepted, r.rejected, r.duplicates) for n, r in loaded.rows.items()}
    assert told == LOADED
    for name, row in loaded.rows.items():
        assert row.rows == row.accepted + row.rejected + row.duplicates
        assert loaded.query(f"SELECT count(*) FROM {name}") == [(row.accepted,)]


def test_rejects_name_row_column_value_and_reason(loaded: Loaded) -> None:
    store = loaded.settings.open_staging()
    assert store.read_text(loaded.rows["store_targets"].rejects) == REJECTS
    assert [name for name, row in loaded.rows.items() if row.rejects] == ["store_targets"]


@pytest.mark.parametrize("table", DELIVERED)
def test_a_delivered_table_is_the_one_that_is_built_without_files(
    embedded: Loaded, table: str
) -> None:
    columns = ", ".join(sample.TABLES[table][1])
    ours, theirs = f"SELECT {columns} FROM main.{table}", f"SELECT {columns} FROM direct.{table}"
    for one, other in ((ours, theirs), (theirs, ours)):
        assert embedded.query(f"{one} EXCEPT {other} LIMIT 3") == []
    distinct = f"SELECT count(*) FROM (SELECT DISTINCT {columns} FROM direct.{table})"
    assert embedded.query(f"SELECT count(*) FROM main.{table}") == embedded.query(distinct)


@pytest.mark.parametrize("dataset", ["campaign_sales", "campaign_redemptions"])
def test_a_campaign_has_the_same_records_whether_files_or_the_sample_filled_the_source(
    embedded: Loaded, settings: Settings, dataset: str
) -> None:
    ours, theirs = records(embedded.settings, dataset), records(settings, dataset)
    assert ours.num_rows > 0
    assert ours.equals(theirs)


def test_a_price_list_in_latin1_with_decimal_commas_is_read_exactly(loaded: Loaded) -> None:
    sold, products = parquet("transactions"), parquet("products")
    sold = sold[(sold.quantity > 0)].merge(products[products.department == "GROCERY"])
    sold["unit"] = sold.sales_value / sold.quantity
    highest = sold.groupby("product_id").unit.max().sort_index().head(10_000)
    price = {int(str(product)): money(value) for product, value in highest.items()}
    found = {
        product: Decimal(str(value)).quantize(Decimal("0.01"))
        for product, value in loaded.query("SELECT product_id, price FROM price_list")
    }
    assert found.keys() == price.keys()
    off = [abs(found[product] - value) for product, value in price.items()]
    assert max(off) <= Decimal("0.01")  # a half cent is rounded to either side
    assert sum(map(bool, off)) < 100


def test_a_profile_of_85_columns_has_the_sums_of_the_transactions(loaded: Loaded) -> None:
    contract = loaded.inputs.contracts["household_profile"]
    assert len(contract.columns) == 85
    sold = parquet("transactions")
    total = sold.groupby("household_id").sales_value.sum().map(money)
    found = loaded.query("SELECT household_id, baskets, total, soft_drinks FROM household_profile")
    assert {int(h): Decimal(str(t)).quantize(Decimal("0.01")) for h, _, t, _ in found} == dict(
        total.items()
    )
    assert {h: b for h, b, _, _ in found} == dict(
        sold.groupby("household_id").basket_id.nunique().items()
    )
    drinks = sold.merge(parquet("products"))
    drinks = drinks[drinks.product_category == "SOFT DRINKS"]
    assert money(float(sum(d for *_, d in found))) == money(drinks.sales_value.sum())


def test_codes_of_displays_are_told_in_words(loaded: Loaded) -> None:
    codes = loaded.inputs.contracts["displays"].columns["display_location"].codes
    week = parquet("promotions")
    week = week[week.week == 52]
    told = loaded.query(
        "SELECT product_id, store_id, display_location FROM displays WHERE store_id < 300"
    )
    shown = week[week.store_id < 300][["product_id", "store_id", "display_location"]]
    expected = {(p, s): codes[str(code)] for p, s, code in shown.to_numpy().tolist()}
    assert told
    assert all(expected[product, store] == words for product, store, words in told)


def test_every_row_says_where_it_came_from(loaded: Loaded) -> None:
    ((file, row, when),) = loaded.query(
        "SELECT input_file, input_row, arrived_at FROM store_targets"
        " WHERE store_id = 289 AND week_of = '2017-02-13'"
    )
    line = (loaded.settings.home / "staging" / file).read_text(encoding="utf-8").splitlines()
    assert line[row - 1].startswith("289,2017-02-13,")
    arrived = loaded.rows["store_targets"].arrived_at
    assert str(when)[:19] == f"{arrived:%Y-%m-%d %H:%M:%S}"


def test_the_files_are_the_same_each_time(files: Path, tmp_path: Path) -> None:
    again = FileStaging(tmp_path / "staging")
    write_inputs(again)
    for source, name in FILES:
        path = f"inputs/{source}/{name}"
        assert sha256_of(again.folder / path) == sha256_of(files / "staging" / path), path
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=60)
    assert all(found.modified < before for found in again.objects("inputs"))
