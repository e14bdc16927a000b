"""Readers must never see a slice that is half, doubled, or not what the ledger says."""

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError, ProofError, WarehouseError
from etl_assets.core.manifest import Load, Stage
from etl_assets.settings import Settings
from etl_assets.systems import ledger_duckdb, warehouse_duckdb
from etl_assets.systems.connect import open_warehouse
from etl_assets.systems.warehouse_duckdb import DuckDBWarehouse
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import COUNTS, Small

NOW = dt.datetime(2017, 12, 10, tzinfo=dt.UTC)


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
    with chain.settings.open_staging().fetch(staged.parts) as files:
        return warehouse.load(staged, files, stage_path="manifest.json", run_id="a-run")


def state(chain: Chain) -> tuple[object, ...]:
    """Return everything a reader can see."""
    return (
        chain.query("SELECT * FROM sales ORDER BY ALL"),
        chain.query("SELECT * FROM etl_assets.loads ORDER BY ALL"),
        chain.query("SELECT table_name, column_name, data_type FROM duckdb_columns() ORDER BY ALL"),
    )


def test_a_load_writes_the_slice_and_its_ledger_row_and_returns_that_row(
    chain: Chain, warehouse: DuckDBWarehouse, sales: Dataset
) -> None:
    staged = chain.stage()
    made = load(chain, warehouse, staged)
    assert (made.records, made.replaced_records, made.source_records) == (14, 0, 14)
    assert (made.kind, made.load_id, made.run_id) == ("load", staged.load_id, "a-run")
    assert made.proof == "14 read = 14 loaded + 0 filtered + 0 rejected"
    assert warehouse.loads() == [made]
    assert warehouse.current(sales, "SP17") == made
    assert warehouse.slices(sales) == {"SP17": 14}
    (row,) = chain.query("SELECT DISTINCT campaign_key, load_id, loaded_at FROM sales")
    assert row == ("SP17", staged.load_id, made.started_at.replace(tzinfo=None))
    assert made.seconds >= 0


def test_a_load_replaces_its_own_slice_and_no_other(
    chain: Chain, warehouse: DuckDBWarehouse
) -> None:
    for key in COUNTS:
        load(chain, warehouse, chain.stage(key))
    before = chain.query("SELECT * FROM sales WHERE campaign_key <> 'SU17' ORDER BY ALL")
    again = load(chain, warehouse, chain.stage("SU17"))
    assert again.replaced_records == COUNTS["SU17"]
    assert chain.counts() == COUNTS
    assert chain.query("SELECT * FROM sales WHERE campaign_key <> 'SU17' ORDER BY ALL") == before


def test_loading_one_stage_twice_changes_nothing_and_returns_the_first_row(
    chain: Chain, warehouse: DuckDBWarehouse
) -> None:
    staged = chain.stage()
    first = load(chain, warehouse, staged)
    before = state(chain)
    assert load(chain, warehouse, staged) == first
    assert state(chain) == before


@pytest.mark.parametrize(
    "wrong",
    [{"records": 13}, {"records": 15}, {"filtered": 1}, {"rejected": 1}, {"source_records": 15}],
)
def test_counts_that_differ_leave_the_old_slice(
    chain: Chain, warehouse: DuckDBWarehouse, wrong: dict[str, int]
) -> None:
    load(chain, warehouse, chain.stage())
    before = state(chain)
    planted = chain.stage().model_copy(update=wrong)
    with pytest.raises(ProofError, match="for campaign SP17"):
        load(chain, warehouse, planted)
    assert state(chain) == before


def test_a_part_left_out_or_given_twice_leaves_the_old_slice(
    chain: Chain, warehouse: DuckDBWarehouse
) -> None:
    load(chain, warehouse, chain.stage())
    before = state(chain)
    staged = chain.stage()
    with chain.settings.open_staging().fetch(staged.parts) as files:
        for wrong in ([], [*files, *files]):
            with pytest.raises(ProofError):
                warehouse.load(staged, wrong, stage_path="", run_id=None)
    assert state(chain) == before


@pytest.mark.parametrize("after", [True, False])
def test_a_crash_before_the_commit_leaves_slice_and_ledger_as_they_were(
    chain: Chain, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    load(chain, warehouse, chain.stage())
    before = state(chain)
    write = ledger_duckdb.write_ledger

    def crash(connection: duckdb.DuckDBPyConnection, row: Load) -> None:
        if after:
            write(connection, row)
        raise KeyboardInterrupt

    staged = chain.stage()
    with monkeypatch.context() as patched:
        patched.setattr(warehouse_duckdb, "write_ledger", crash)
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


def test_pruning_removes_one_slice_with_proof_and_touches_no_other(
    chain: Chain, warehouse: DuckDBWarehouse, sales: Dataset
) -> None:
    for key in COUNTS:
        load(chain, warehouse, chain.stage(key))
    before = chain.query("SELECT * FROM sales WHERE campaign_key <> 'SP17' ORDER BY ALL")
    row = warehouse.prune(sales, "SP17", load_id="p1", run_id="a-run", at=NOW)
    assert (row.kind, row.records, row.replaced_records) == ("prune", 0, 14)
    assert row.proof == "43 in the table - 14 of SP17 = 29 left"
    assert warehouse.slices(sales) == {"SU17": 16, "AU17": 13}
    assert chain.query("SELECT * FROM sales ORDER BY ALL") == before
    assert warehouse.current(sales, "SP17") == row


def test_pruning_a_key_that_is_not_there_leaves_the_table(
    chain: Chain, warehouse: DuckDBWarehouse, sales: Dataset
) -> None:
    load(chain, warehouse, chain.stage())
    assert warehouse.prune(sales, "XX", load_id="p1", run_id=None, at=NOW).replaced_records == 0
    assert chain.counts() == {"SP17": 14}


def test_a_failed_prune_leaves_the_slice(
    chain: Chain, warehouse: DuckDBWarehouse, sales: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(chain, warehouse, chain.stage())
    before = state(chain)
    monkeypatch.setattr("etl_assets.systems.ledger_duckdb.LEDGER", '"etl_assets"."nowhere"')
    monkeypatch.setattr(warehouse_duckdb, "create_ledger", lambda _: None)
    with pytest.raises(WarehouseError, match="The removal of SP17 from sales failed"):
        warehouse.prune(sales, "SP17", load_id="p1", run_id=None, at=NOW)
    assert state(chain) == before


def test_the_ledger_lists_newest_first_by_dataset_and_key(
    chain: Chain, warehouse: DuckDBWarehouse, sales: Dataset
) -> None:
    made = [load(chain, warehouse, chain.stage(key)) for key in ("SP17", "SU17", "SP17")]
    assert warehouse.loads() == made[::-1]
    assert warehouse.loads(key="SP17") == [made[2], made[0]]
    assert warehouse.loads(key="SP17", limit=1) == [made[2]]
    assert warehouse.loads(dataset="other") == []
    assert warehouse.current(sales, "AU17") is None


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
    found = chain.query("SELECT comment FROM duckdb_columns() WHERE column_name = 'note'")
    assert found == [("What was said; it's free text.",)]


def test_a_warehouse_of_an_unknown_kind_is_refused() -> None:
    for url in ("redshift://user:secret@host/db", "duckdb:///", ""):
        with pytest.raises(PermanentError, match="ETL_ASSETS_WAREHOUSE names no system") as caught:
            open_warehouse(url)
        assert "secret" not in str(caught.value)
