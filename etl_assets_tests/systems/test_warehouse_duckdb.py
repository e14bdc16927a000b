"""A DuckDB file fails in ways of its own: a crash, a full or wrong path, something else in it.

What it shares with Redshift is in `test_warehouse_contract.py`.
"""

from pathlib import Path

import duckdb
import pytest

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError, WarehouseError
from etl_assets.core.manifest import Load, Stage
from etl_assets.settings import Settings
from etl_assets.systems import duckdb_tables
from etl_assets.systems.connect import open_warehouse
from etl_assets.systems.warehouse_duckdb import DuckDBWarehouse
from etl_assets_tests.chain import Chain
from etl_assets_tests.commits import commit_load, commit_prune
from etl_assets_tests.small import DATASET, Small


@pytest.fixture
def chain(small_settings: Settings) -> Chain:
    return Chain(small_settings)


@pytest.fixture
def sales(small_settings: Settings) -> Dataset:
    return small_settings.datasets["sales"]


@pytest.fixture
def warehouse(small_settings: Settings) -> DuckDBWarehouse:
    return DuckDBWarehouse(small_settings.home / "warehouse.duckdb")


def load(chain: Chain, warehouse: DuckDBWarehouse, staged: Stage) -> Load:
    staging = chain.settings.open_staging()
    return commit_load(warehouse, staged, staging)


def state(chain: Chain) -> tuple[object, ...]:
    """Return everything a reader can see."""
    return (
        chain.query("SELECT * FROM sales ORDER BY ALL"),
        chain.query("SELECT * FROM etl_assets.loads ORDER BY ALL"),
        chain.query("SELECT table_name, column_name, data_type FROM duckdb_columns() ORDER BY ALL"),
    )


@pytest.mark.parametrize("after", [True, False])
def test_a_crash_before_the_commit_leaves_slice_and_ledger_as_they_were(
    chain: Chain, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    load(chain, warehouse, chain.stage())
    before = state(chain)
    write = duckdb_tables.write_ledger

    def crash(connection: duckdb.DuckDBPyConnection, row: Load) -> None:
        if after:
            write(connection, row)
        raise KeyboardInterrupt

    staged = chain.stage()
    with monkeypatch.context() as patched:
        patched.setattr(duckdb_tables, "write_ledger", crash)
        with pytest.raises(KeyboardInterrupt):
            load(chain, warehouse, staged)
    assert state(chain) == before
    assert load(chain, warehouse, staged).replaced_records == 14


def test_a_part_that_cannot_be_read_as_its_types_leaves_the_old_slice(
    chain: Chain, warehouse: DuckDBWarehouse
) -> None:
    load(chain, warehouse, chain.stage())
    before = state(chain)
    staged = chain.stage()
    columns = list(reversed(staged.columns))
    with pytest.raises(WarehouseError, match="the table is as it was"):
        load(chain, warehouse, staged.model_copy(update={"columns": tuple(columns)}))
    assert state(chain) == before


def test_a_failed_prune_leaves_the_slice(
    chain: Chain, warehouse: DuckDBWarehouse, sales: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(chain, warehouse, chain.stage())
    before = state(chain)

    def refuse(connection: duckdb.DuckDBPyConnection, row: Load) -> None:
        connection.execute(f"SELECT '{row.kind}' FROM nowhere")

    monkeypatch.setattr(duckdb_tables, "write_ledger", refuse)
    with pytest.raises(WarehouseError, match="The removal of SP17 from sales failed"):
        commit_prune(warehouse, sales, "SP17", chain.settings.open_staging())
    assert state(chain) == before


def test_a_warehouse_that_is_not_there_yet_is_empty_and_not_made_by_looking(
    warehouse: DuckDBWarehouse, sales: Dataset
) -> None:
    assert (warehouse.loads(), warehouse.slices(sales)) == ([], {})
    assert not warehouse.path.exists()
    assert all(check.ok for check in warehouse.check())
    assert (warehouse.loads(), warehouse.slices(sales)) == ([], {})


@pytest.mark.parametrize("path", ["/proc/nowhere/w.duckdb", "/dev/null/w.duckdb", "/proc/w.duckdb"])
def test_a_warehouse_that_cannot_be_written_says_so_at_once(chain: Chain, path: str) -> None:
    warehouse = DuckDBWarehouse(Path(path), patience_seconds=0)
    with pytest.raises(WarehouseError, match="cannot be opened") as caught:
        load(chain, warehouse, chain.stage())
    assert caught.value.remedy
    assert not warehouse.check()[0].ok


def test_a_file_that_is_no_warehouse_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "locked" / "block.duckdb"  # "lock" in a path is not a lock
    file.parent.mkdir()
    file.write_bytes(b"not a database" * 1000)
    with pytest.raises(WarehouseError, match="cannot be opened"):
        DuckDBWarehouse(file).loads()
    assert file.read_bytes() == b"not a database" * 1000


def test_nothing_is_spilled_into_the_current_folder(warehouse: DuckDBWarehouse) -> None:
    with warehouse._open(read_only=False) as connection:
        row = connection.execute("SELECT current_setting('temp_directory')").fetchone()
    assert row == (f"{warehouse.path}.tmp",)


def test_a_column_is_described_in_the_table(small: Small) -> None:
    small.write_dataset(
        "dataset: sales\nprimary_key: [sale_id]\nquery: SELECT sale_id, note FROM sales\n"
        'columns: {note: {comment: "What was said; it\'s free text."}}\n'
    )
    chain = Chain(small.settings())
    chain.refresh()
    found = chain.query(
        "SELECT table_name, comment FROM duckdb_columns() WHERE column_name = 'note' ORDER BY 1"
    )
    relations = ("sales", "sales_by_campaign", "sales_deduplicated")
    assert found == [(name, "What was said; it's free text.") for name in relations]


def test_views_over_days_and_all_of_their_columns_are_described(small: Small) -> None:
    small.write_dataset(
        DATASET.replace("query:", "reporting: {day: sold_on, measures: [amount]}\nquery:")
        + 'columns: {amount: {comment: "In dollars; it\'s net."}}\n'
    )
    chain = Chain(small.settings())
    chain.refresh()
    views = dict(chain.query("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"))
    assert views["sales_season_to_date"] == (
        "Each day of a campaign's season, with sums of the day and since its first day."
    )
    named = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'sales_season_"
    said = dict(chain.query(f"{named}over_season'"))
    assert said["amount_to_date"] == "In dollars; it's net. Since the season's first day."
    assert said["compared_amount"].endswith("On this day, of the campaign compared with.")
    assert [name for name, text in said.items() if not text] == []
    assert dict(chain.query(f"{named}to_date'"))["records"] == "Records. On this day."


def test_a_warehouse_of_an_unknown_kind_is_refused() -> None:
    for url in ("oracle://user:secret@host/db", "duckdb:///", ""):
        with pytest.raises(PermanentError, match="ETL_ASSETS_WAREHOUSE names no system") as caught:
            open_warehouse(url)
        assert "secret" not in str(caught.value)
