"""`open_table` gives what is in the warehouse, of its exact types, and says what is not there.

At risk: a report that reads other values than the warehouse holds, or silently no record.
"""

import datetime as dt
import subprocess
import sys
from decimal import Decimal

import pyarrow as pa
import pytest

from etl_assets import open_table
from etl_assets.core.errors import EtlError
from etl_assets_tests.small import COUNTS, Small
from etl_assets_tests.systems.platforms import DuckDBPlatform, Platform, RedshiftPlatform

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]


@pytest.fixture(params=["duckdb", "redshift"])
def platform(request: pytest.FixtureRequest, small: Small) -> Platform:
    """A small platform on each warehouse, with two campaigns."""
    made = (
        DuckDBPlatform(small)
        if request.param == "duckdb"
        else RedshiftPlatform(small, request.getfixturevalue("redshift"))
    )
    for key in ("SP17", "SU17"):
        made.refresh(key)
    return made


def test_a_table_is_read_as_arrow_and_pandas_with_exact_types(platform: Platform) -> None:
    settings = platform.settings()
    table = open_table(
        "sales", ["SU17"], ["sale_id", "amount", "sold_on", "note"], settings=settings
    )
    assert [str(field.type) for field in table.to_arrow().schema] == [
        "int64", "decimal128(10, 2)", "date32[day]", "string",
    ]  # fmt: skip
    frame = table.to_pandas().sort_values("sale_id")
    assert [str(kind) for kind in frame.dtypes] == [
        "int64[pyarrow]", "decimal128(10, 2)[pyarrow]", "date32[day][pyarrow]", "string[pyarrow]",
    ]  # fmt: skip
    assert len(frame) == COUNTS["SU17"]
    first = frame.iloc[0]
    assert (first["sale_id"], first["amount"], first["sold_on"]) == (
        11, Decimal("11.25"), dt.date(2017, 5, 17),
    )  # fmt: skip
    assert sum(frame["amount"], Decimal(0)) == Decimal("300.00")


def test_views_are_read_as_the_table(platform: Platform) -> None:
    settings = platform.settings()
    loaded = COUNTS["SP17"] + COUNTS["SU17"]
    every = open_table("sales", settings=settings)
    assert [c.name for c in every.columns][-3:] == ["campaign_key", "load_id", "loaded_at"]
    assert sum(batch.num_rows for batch in every.batches()) == loaded
    by_campaign = open_table("sales", view="by_campaign", settings=settings)
    assert by_campaign.to_arrow().num_rows == loaded
    once = open_table("sales", columns=["sale_id"], view="deduplicated", settings=settings)
    assert sorted(once.to_arrow()["sale_id"].to_pylist()) == list(range(27))


def test_no_record_is_an_empty_table_with_types(platform: Platform) -> None:
    platform.prune("SU17")
    settings = platform.settings()
    empty = open_table("sales", ["SU17"], ["amount"], settings=settings)
    assert empty.to_arrow().schema == pa.schema([("amount", pa.decimal128(10, 2))])
    assert empty.to_pandas()["amount"].dtype == "decimal128(10, 2)[pyarrow]"
    assert open_table("sales", [], settings=settings).to_arrow().num_rows == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"dataset": "sale"}, "no dataset 'sale'; did you mean `sales`? Datasets are sales."),
        ({"columns": ["amuont"]}, "sales has no column 'amuont'; did you mean `amount`?"),
        ({"columns": []}, "No column of sales is asked for."),
        ({"keys": ["SP18"]}, "Campaign 'SP18' was never loaded into sales; did you mean `SP17`?"),
        ({"keys": "SP17"}, "Give a list of campaign keys: ['SP17']."),
        ({"view": "deduplicate"}, "no view 'deduplicate'; did you mean `deduplicated`?"),
    ],
)
def test_what_is_not_there_is_said_with_what_is_alike(
    small: Small, arguments: dict[str, object], problem: str
) -> None:
    platform = DuckDBPlatform(small)
    platform.refresh("SP17")
    with pytest.raises(EtlError) as caught:
        open_table(**{"dataset": "sales", "settings": platform.settings(), **arguments})  # type: ignore[arg-type]
    assert problem in str(caught.value)


def test_a_dataset_that_was_never_loaded_says_what_to_do(small: Small) -> None:
    with pytest.raises(EtlError, match=r"Opening sales failed: .* Refresh a campaign"):
        open_table("sales", settings=small.settings())
    platform = DuckDBPlatform(small)
    platform.refresh("SP17")
    small.write_dataset("dataset: other\nprimary_key: [a]\nquery: SELECT a FROM b\n", "other")
    with pytest.raises(EtlError, match="Table with name other does not exist"):
        open_table("other", settings=small.settings())


def test_the_package_itself_imports_nothing_until_it_is_asked() -> None:
    code = "import sys, etl_assets; print([m for m in sys.modules if m.startswith('etl_assets.')]); etl_assets.open_table; etl_assets.nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n"
    assert "module 'etl_assets' has no attribute 'nothing'" in done.stderr
