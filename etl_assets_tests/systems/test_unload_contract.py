"""Both warehouses are read out in bulk alike: the same records, in order, of the same types.

At risk: a feed that lacks records, or holds others than the warehouse; memory that grows with it.
"""

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from etl_assets.core.columns import Column
from etl_assets.core.errors import StagingError, WarehouseError
from etl_assets.core.selects import Select
from etl_assets.systems.unloading import Unloaded
from etl_assets_tests.small import Small
from etl_assets_tests.systems.platforms import DuckDBPlatform, Platform, RedshiftPlatform
from etl_assets_tests.systems.redshift_server import BucketStaging, Redshift

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

DATASET = """\
dataset: sales
primary_key: [sale_id]
query: |
  SELECT sale_id, sold_at, quantity, amount, note, raw, share FROM sales
  WHERE sold_at >= :starts_at AND sold_at < :ends_before
columns:
  raw: {type: binary}
  share: {type: double}
"""
SALES = "SELECT sale_id, sold_at, quantity, amount, note, raw, share FROM sales"
ALL = Select(SALES, ("sale_id",))


@pytest.fixture(params=["duckdb", "redshift"])
def platform(request: pytest.FixtureRequest, small: Small) -> Platform:
    """A small platform on each warehouse, with a column of bytes and one of doubles."""
    small.run_sql(
        "ALTER TABLE sales ADD COLUMN raw BLOB",
        "ALTER TABLE sales ADD COLUMN share DOUBLE",
        "UPDATE sales SET raw = x'00ff', share = 0.1 WHERE sale_id % 2 = 0",
        "UPDATE sales SET raw = x'', share = 1e300 WHERE sale_id % 3 = 1",
    )
    small.write_dataset(DATASET)
    made = (
        DuckDBPlatform(small)
        if request.param == "duckdb"
        else RedshiftPlatform(small, request.getfixturevalue("redshift"))
    )
    made.refresh("SP17")
    return made


def read(platform: Platform, select: Select) -> pa.Table:
    warehouse, staging = platform.warehouse, platform.settings().open_staging()
    columns = warehouse.describe(select, "Reading sales")
    with warehouse.unload(select, columns, staging, "Reading sales") as unloaded:
        table = pa.Table.from_batches(unloaded.batches(), unloaded.schema)
        assert unloaded.records == table.num_rows
    return table


def test_records_come_in_order_with_the_types_of_the_dataset(platform: Platform) -> None:
    table = read(platform, ALL)
    assert [str(field.type) for field in table.schema] == [
        "int64", "timestamp[us]", "int64", "decimal128(10, 2)", "string", "binary", "double",
    ]  # fmt: skip
    assert table["sale_id"].to_pylist() == list(range(14))
    assert table.slice(2, 3).to_pylist() == [
        {"sale_id": 2, "sold_at": dt.datetime(2017, 3, 15), "quantity": 2,  # noqa: DTZ001
         "amount": Decimal("2.25"), "note": "plain", "raw": b"\x00\xff", "share": 0.1},
        {"sale_id": 3, "sold_at": dt.datetime(2017, 3, 22), "quantity": 3,  # noqa: DTZ001
         "amount": Decimal("3.25"), "note": 'with "quotes", commas\nand lines', "raw": None,
         "share": None},
        {"sale_id": 4, "sold_at": dt.datetime(2017, 3, 29), "quantity": 0,  # noqa: DTZ001
         "amount": Decimal("4.25"), "note": "grün", "raw": b"", "share": 1e300},
    ]  # fmt: skip


def test_an_order_descends_with_null_last(platform: Platform) -> None:
    table = read(platform, Select(SALES, ("note desc", "sale_id desc")))
    assert table["sale_id"].to_pylist()[:4] == [13, 8, 3, 12]
    assert table["sale_id"].to_pylist()[-3:] == [11, 6, 1]
    ascending = read(platform, Select(SALES, ("note", "sale_id")))
    assert ascending["sale_id"].to_pylist()[:3] == [1, 6, 11]


def test_a_query_without_records_is_typed(platform: Platform) -> None:
    empty = read(platform, Select(f"{SALES} WHERE campaign_key = 'none'"))
    assert (empty.num_rows, empty.schema) == (0, read(platform, ALL).schema)


def test_declared_types_are_what_is_read(platform: Platform) -> None:
    select = Select(
        "SELECT quantity, sum(amount) AS total FROM sales GROUP BY quantity", ("total",)
    )
    columns = [Column.model_validate(c) for c in
               ({"name": "quantity", "type": "smallint"}, {"name": "total", "type": "decimal(12,1)"})]  # fmt: skip
    staging = platform.settings().open_staging()
    with platform.warehouse.unload(select, columns, staging, "Reading") as unloaded:
        (batch,) = unloaded.batches()
    assert batch.to_pylist()[0] == {"quantity": 2, "total": Decimal("18.8")}


def test_a_table_that_is_not_there_is_said(platform: Platform) -> None:
    with pytest.raises(WarehouseError, match=r"Reading sales failed: .*nowhere"):
        read(platform, Select("SELECT 1 AS n FROM nowhere"))
    with pytest.raises(WarehouseError, match="missing"):
        read(platform, Select("SELECT missing FROM sales"))


def test_what_was_read_is_removed_and_the_warehouse_is_free_meanwhile(platform: Platform) -> None:
    staging = platform.settings().open_staging()
    warehouse = platform.warehouse
    columns = warehouse.describe(ALL, "Reading")
    with warehouse.unload(ALL, columns, staging, "Reading") as unloaded:
        platform.write("UPDATE sales SET quantity = 9")  # nobody waits for a slow reader
        assert sum(batch.num_rows for batch in unloaded.batches()) == 14
    if isinstance(staging, BucketStaging):
        listed = staging.bucket.client.list_objects_v2(
            Bucket=staging.bucket.name, Prefix=staging.key("unload/")
        )
        assert "Contents" not in listed
    assert not list((platform.small.home / "staging").glob(".scratch/*"))


def test_a_part_that_lost_records_is_found_out(platform: Platform) -> None:
    staging = platform.settings().open_staging()
    warehouse = platform.warehouse
    columns = warehouse.describe(ALL, "Reading")
    with warehouse.unload(ALL, columns, staging, "Reading") as unloaded:
        cut = Unloaded(
            unloaded.columns, unloaded.records + 1, unloaded.what, unloaded.parts,
            unloaded.hexadecimal,
        )  # fmt: skip
        with pytest.raises(WarehouseError, match="wrote 15 records, and 14 were read"):
            list(cut.batches())


@pytest.mark.parametrize("change", ["a record less", "no manifest", "a shorter object"])
def test_an_unload_that_is_not_what_its_manifest_says_is_refused(
    small: Small, redshift: Redshift, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = RedshiftPlatform(small, redshift)
    platform.refresh("SP17")
    plain = BucketStaging.read_text

    def changed(self: BucketStaging, path: str) -> str:
        text = plain(self, path)
        if not path.startswith("unload/"):
            return text
        manifest = json.loads(text)
        meta = manifest["entries"][0]["meta"]
        meta["record_count"] -= change == "a record less"
        meta["content_length"] -= change == "a shorter object"
        return "{}" if change == "no manifest" else json.dumps(manifest)

    monkeypatch.setattr(BucketStaging, "read_text", changed)
    with pytest.raises(
        (WarehouseError, StagingError), match=r"not whole|not what|and Redshift wrote"
    ):
        read(platform, Select("SELECT sale_id FROM sales"))


def test_memory_is_a_batch_and_not_the_result(small: Small) -> None:
    platform = DuckDBPlatform(small)
    platform.refresh("SP17")
    many = Select(
        "SELECT a.sale_id FROM sales a, sales b, sales c, sales d", ("sale_id",)
    )  # 38,416 records
    staging, warehouse = platform.settings().open_staging(), platform.warehouse
    columns = warehouse.describe(many, "Reading")
    with warehouse.unload(many, columns, staging, "Reading") as unloaded:
        sizes = [batch.num_rows for batch in unloaded.batches()]
    assert sum(sizes) == 14**4
    assert max(sizes) <= 20_000


def test_a_query_with_a_backslash_is_refused(small: Small) -> None:
    platform = DuckDBPlatform(small)
    platform.refresh("SP17")
    with pytest.raises(Exception, match="holds a backslash"):
        read(platform, Select("SELECT sale_id FROM sales WHERE note = 'a\\b'"))
