"""Both warehouses are held to the same words: readers see whole slices, and the ledger is true."""

import datetime as dt
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from etl_assets.core.errors import ProofError, StagingError, WarehouseError
from etl_assets.core.manifest import Load, Stage
from etl_assets_tests.small import COUNTS, Small
from etl_assets_tests.systems.platforms import DuckDBPlatform, Platform, RedshiftPlatform

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

HEAD = """\
dataset: sales
primary_key: [sale_id]
query: |
  SELECT sale_id, sold_at, quantity, amount, note FROM sales
  WHERE sold_at >= :starts_at AND sold_at < :ends_before
rules:
"""
KEEP = "  - {id: keep, kind: select, columns: [sale_id, amount]}\n"
MORE = "  - {id: keep, kind: select, columns: [sale_id, quantity, amount]}\n"
TURNED = "  - {id: keep, kind: select, columns: [amount, sale_id]}\n"
AS_TEXT = KEEP + "  - {id: text, kind: cast, column: amount, type: text}\n"
WIDER = KEEP + "  - {id: wider, kind: cast, column: amount, type: 'decimal(12,2)'}\n"
TEXTS = (
    "", None, r"\N", "NULL", "null", "  leading", "trailing   ", '"', '""quoted""', "a,b",
    "two\nlines", "two\r\nlines\rof\n\nothers", "back\\slash\\", "grün 漢字 😀",
)  # fmt: skip


@pytest.fixture(params=["duckdb", "redshift"])
def platform(request: pytest.FixtureRequest, small: Small) -> Platform:
    """A small platform on each warehouse."""
    if request.param == "duckdb":
        return DuckDBPlatform(small)
    return RedshiftPlatform(small, request.getfixturevalue("redshift"))


def refresh_with(platform: Platform, rules: str, key: str = "SP17") -> Load:
    """Refresh a key by other rules."""
    platform.small.write_dataset(HEAD + rules)
    return platform.refresh(key)


def test_a_load_makes_the_table_and_returns_its_row_of_the_ledger(platform: Platform) -> None:
    staged = platform.chain.stage()
    made = platform.load(staged)
    assert (made.records, made.replaced_records, made.source_records) == (14, 0, 14)
    assert (made.kind, made.load_id, made.run_id) == ("load", staged.load_id, "a-run")
    assert made.proof == "14 read = 14 loaded + 0 filtered + 0 rejected"
    assert platform.warehouse.loads() == [made]
    assert platform.warehouse.current(platform.dataset, "SP17") == made
    assert platform.warehouse.slices(platform.dataset) == {"SP17": 14}
    assert platform.columns() == [
        "sale_id", "sold_at", "quantity", "amount", "note", "sold_on",
        "campaign_key", "load_id", "loaded_at",
    ]  # fmt: skip
    (row,) = platform.query("SELECT DISTINCT campaign_key, load_id, loaded_at FROM sales")
    assert row == ("SP17", staged.load_id, made.started_at.replace(tzinfo=None))
    assert made.seconds >= 0


def test_a_load_replaces_its_own_slice_and_no_other(platform: Platform) -> None:
    for key in COUNTS:
        platform.refresh(key)
    before = platform.rows("campaign_key <> 'SU17'")
    again = platform.refresh("SU17")
    assert again.replaced_records == COUNTS["SU17"]
    assert platform.counts() == COUNTS
    assert platform.rows("campaign_key <> 'SU17'") == before
    assert {row[-1] for row in platform.rows("campaign_key = 'SU17'")} == {again.load_id}


def test_loading_one_stage_twice_changes_nothing_and_returns_the_first_row(
    platform: Platform,
) -> None:
    staged = platform.chain.stage()
    first = platform.load(staged)
    before = platform.state()
    assert platform.load(staged) == first
    assert platform.state() == before


def test_every_text_arrives_as_it_was(platform: Platform) -> None:
    with sqlite3.connect(platform.small.home / "source.sqlite") as source:
        source.executemany("UPDATE sales SET note = ? WHERE sale_id = ?",
                           [(text, number) for number, text in enumerate(TEXTS)])  # fmt: skip
    source.close()
    platform.refresh()
    loaded = platform.query("SELECT note FROM sales ORDER BY sale_id")
    assert [note for (note,) in loaded] == list(TEXTS)


def test_values_of_every_type_arrive_as_they_were(platform: Platform) -> None:
    platform.refresh()
    first, second = platform.query(
        "SELECT sold_at, quantity, CAST(amount AS VARCHAR(20)), sold_on FROM sales"
        " WHERE sale_id < 2 ORDER BY sale_id"
    )
    assert first == (dt.datetime(2017, 3, 1), 0, "0.25", dt.date(2017, 3, 1))  # noqa: DTZ001
    assert second == (dt.datetime(2017, 3, 8), 1, "1.25", dt.date(2017, 3, 8))  # noqa: DTZ001


def test_an_empty_first_load_makes_the_table(platform: Platform) -> None:
    platform.small.run_sql("DELETE FROM sales")
    assert platform.refresh().records == 0
    assert platform.counts() == {}
    assert platform.columns()[:2] == ["sale_id", "sold_at"]
    assert platform.warehouse.slices(platform.dataset) == {}


def test_an_empty_load_empties_the_slice_and_no_other(platform: Platform) -> None:
    platform.refresh("SP17")
    platform.refresh("AU17")
    platform.small.run_sql("DELETE FROM sales WHERE sale_id < 14")
    assert platform.refresh("SP17").replaced_records == 14
    assert platform.counts() == {"AU17": 13}


@pytest.mark.parametrize(
    "wrong",
    [
        {"records": 13}, {"records": 15}, {"filtered": 1}, {"rejected": 1}, {"source_records": 15},
        {"parts": ()},
    ],
)  # fmt: skip
def test_counts_that_differ_leave_slice_columns_and_ledger_as_they_were(
    platform: Platform, wrong: dict[str, object]
) -> None:
    refresh_with(platform, KEEP)
    before = platform.state()
    platform.small.write_dataset(HEAD + MORE)
    planted = platform.chain.stage().model_copy(update=wrong)
    with pytest.raises((ProofError, StagingError), match="SP17"):
        platform.load(planted)
    assert platform.state() == before


def test_a_part_given_twice_leaves_the_old_slice(platform: Platform) -> None:
    platform.refresh()
    before = platform.state()
    staged = platform.chain.stage()
    doubled = staged.model_copy(update={"parts": staged.parts * 2})
    with pytest.raises((ProofError, StagingError)):
        platform.load(doubled)
    assert platform.state() == before


def damaged(staged: Stage, platform: Platform, how: str) -> None:
    """Damage the first part of a stage."""
    path = staged.parts[0].path
    whole = (platform.small.home / "staging" / path).read_bytes()
    other = platform.chain.stage("SU17").parts[0].path
    contents = {
        "missing": None,
        "cut short": whole[: len(whole) // 2],
        "one bit": bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]]),
        "another part": (platform.small.home / "staging" / other).read_bytes(),
        "empty": b"",
    }
    platform.damage(path, contents[how])


@pytest.mark.parametrize("how", ["missing", "cut short", "one bit", "another part", "empty"])
def test_a_part_that_is_not_what_was_staged_stops_the_load(platform: Platform, how: str) -> None:
    platform.refresh()
    before = platform.state()
    staged = platform.chain.stage()
    damaged(staged, platform, how)
    with pytest.raises(StagingError, match=r"part-00000\.csv\.zst"):
        platform.load(staged)
    assert platform.state() == before


def test_what_lies_beside_the_parts_of_a_load_is_not_loaded(platform: Platform) -> None:
    """Loading by prefix would double the records."""
    staged, other = platform.chain.stage(), platform.chain.stage("SU17")
    stray = (platform.small.home / "staging" / other.parts[0].path).read_bytes()
    path = staged.parts[0].path
    for planted in (path.replace("00000", "00001"), f"{path}.bak", f"{path[: path.rfind('/')]}/a"):
        platform.damage(planted, stray)
    assert platform.load(staged).records == 14
    assert platform.counts() == {"SP17": 14}


def test_a_new_column_is_added_and_is_null_in_the_other_slices(platform: Platform) -> None:
    refresh_with(platform, KEEP)
    refresh_with(platform, MORE, "AU17")
    assert set(platform.columns()) == {
        "sale_id", "quantity", "amount", "campaign_key", "load_id", "loaded_at",
    }  # fmt: skip
    assert platform.query(
        "SELECT campaign_key, count(*), count(quantity) FROM sales GROUP BY 1 ORDER BY 1"
    ) == [("AU17", 13, 13), ("SP17", 14, 0)]


def test_a_column_that_left_the_rules_stays_and_is_null_in_new_loads(platform: Platform) -> None:
    refresh_with(platform, MORE)
    refresh_with(platform, MORE, "AU17")
    refresh_with(platform, KEEP)
    assert "quantity" in platform.columns()
    assert platform.query(
        "SELECT campaign_key, count(quantity), CAST(sum(amount) AS VARCHAR(20)) FROM sales"
        " GROUP BY 1 ORDER BY 1"
    ) == [("AU17", 13, "432.25"), ("SP17", 0, "94.50")]


def test_columns_in_another_order_are_loaded_by_name(platform: Platform) -> None:
    refresh_with(platform, KEEP)
    before = platform.query("SELECT sale_id, amount FROM sales ORDER BY 1")
    refresh_with(platform, TURNED)
    assert platform.query("SELECT sale_id, amount FROM sales ORDER BY 1") == before


@pytest.mark.parametrize("rules", [AS_TEXT, WIDER])
def test_a_changed_type_is_refused_and_the_old_slice_stays(platform: Platform, rules: str) -> None:
    refresh_with(platform, KEEP)
    before = platform.state()
    with pytest.raises(WarehouseError, match=r"type of `amount`.* from (DECIMAL|numeric)\(10,2\)"):
        refresh_with(platform, rules)
    assert platform.state() == before


def test_a_frozen_table_takes_no_new_column(platform: Platform) -> None:
    refresh_with(platform, KEEP)
    before = platform.state()
    platform.small.write_dataset("on_schema_change: freeze\n" + HEAD + MORE)
    with pytest.raises(WarehouseError, match="`quantity`") as caught:
        platform.refresh()
    assert "evolve" in caught.value.remedy
    assert platform.state() == before
    platform.small.write_dataset("on_schema_change: freeze\n" + HEAD + KEEP)
    assert platform.refresh().records == 14


def test_a_frozen_table_loses_no_column(platform: Platform) -> None:
    refresh_with(platform, MORE)
    before = platform.state()
    platform.small.write_dataset("on_schema_change: freeze\n" + HEAD + KEEP)
    with pytest.raises(WarehouseError, match="`quantity` is not in the records; nothing was"):
        platform.refresh()
    assert platform.state() == before


def test_pruning_removes_one_slice_with_proof_and_touches_no_other(platform: Platform) -> None:
    for key in COUNTS:
        platform.refresh(key)
    before = platform.rows("campaign_key <> 'SP17'")
    row = platform.prune("SP17")
    assert (row.kind, row.records, row.replaced_records) == ("prune", 0, 14)
    assert row.proof == "43 in the table - 14 of SP17 = 29 left"
    assert platform.warehouse.slices(platform.dataset) == {"SU17": 16, "AU17": 13}
    assert platform.rows() == before
    assert platform.warehouse.current(platform.dataset, "SP17") == row


def test_pruning_a_key_that_is_not_there_leaves_the_table(platform: Platform) -> None:
    platform.refresh()
    row = platform.prune("XX")
    assert row.replaced_records == 0
    assert platform.counts() == {"SP17": 14}


def test_pruning_a_table_that_is_not_there_is_refused(platform: Platform) -> None:
    with pytest.raises(WarehouseError, match="The removal of SP17 from sales failed"):
        platform.prune("SP17")
    assert platform.warehouse.loads() == []


def test_the_ledger_lists_newest_first_by_dataset_and_key(platform: Platform) -> None:
    made = [platform.refresh(key) for key in ("SP17", "SU17", "SP17")]
    warehouse = platform.warehouse
    assert warehouse.loads() == made[::-1]
    assert warehouse.loads(key="SP17") == [made[2], made[0]]
    assert warehouse.loads(key="SP17", dataset="sales", limit=1) == [made[2]]
    assert warehouse.loads(dataset="other") == []
    assert warehouse.current(platform.dataset, "AU17") is None


def test_a_warehouse_without_tables_is_empty_and_not_made_by_looking(platform: Platform) -> None:
    for _ in range(2):
        assert platform.warehouse.loads() == []
        assert platform.warehouse.slices(platform.dataset) == {}
        assert platform.warehouse.current(platform.dataset, "SP17") is None


def test_a_warehouse_that_works_passes_its_own_check(platform: Platform) -> None:
    checks = platform.warehouse.check()
    assert checks
    assert [check for check in checks if not check.ok] == []
    platform.refresh()
    assert all(check.ok for check in platform.warehouse.check())
    assert len(platform.warehouse.loads()) == 1


def test_first_loads_of_different_keys_at_once_all_succeed(platform: Platform) -> None:
    staged = [platform.chain.stage(key) for key in COUNTS]
    with ThreadPoolExecutor(len(staged)) as pool:
        made = list(pool.map(platform.load, staged))
    assert [load.records for load in made] == list(COUNTS.values())
    assert platform.counts() == COUNTS
    assert {load.load_id for load in platform.warehouse.loads()} == {s.load_id for s in staged}


def test_loads_at_once_that_both_need_a_new_column_all_succeed(platform: Platform) -> None:
    refresh_with(platform, KEEP)
    platform.small.write_dataset(HEAD + MORE)
    staged = [platform.chain.stage(key) for key in COUNTS]
    with ThreadPoolExecutor(len(staged)) as pool:
        list(pool.map(platform.load, staged))
    assert platform.counts() == COUNTS
    assert platform.query("SELECT count(*) FROM sales WHERE quantity IS NULL") == [(0,)]


def test_loads_of_one_key_at_once_leave_the_slice_of_the_last(platform: Platform) -> None:
    staged = [platform.chain.stage() for _ in range(3)]
    with ThreadPoolExecutor(len(staged)) as pool:
        list(pool.map(platform.load, staged))
    last, *earlier = platform.warehouse.loads()
    assert {row[-1] for row in platform.rows()} == {last.load_id}
    assert platform.counts() == {"SP17": 14}
    assert sorted(load.replaced_records for load in [last, *earlier]) == [0, 14, 14]


def test_one_stage_loaded_twice_at_once_is_loaded_once(platform: Platform) -> None:
    staged = platform.chain.stage()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(platform.load, [staged, staged])
    assert first == second
    assert platform.warehouse.loads() == [first]
    assert platform.counts() == {"SP17": 14}


def test_readers_during_loads_see_whole_slices_only(platform: Platform) -> None:
    platform.refresh("AU17")
    staged = []
    for _ in range(4):
        platform.small.run_sql("UPDATE sales SET amount = amount + 1 WHERE sale_id < 14")
        staged.append(platform.chain.stage())
    first = platform.load(staged[0])
    done = threading.Event()
    seen: list[tuple[object, ...]] = []

    def read() -> None:
        query = (
            "SELECT count(*), count(DISTINCT load_id), CAST(sum(amount) AS VARCHAR(20))"
            " FROM sales WHERE campaign_key = 'SP17'"
        )
        while not done.is_set():
            seen.extend(platform.query(query))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            for stage in staged[1:]:
                assert platform.load(stage).replaced_records == first.records
        finally:
            done.set()
        reading.result()
    assert seen
    assert set(seen) <= {(14, 1, f"{94.5 + 14 * step:.2f}") for step in range(1, 5)}
    assert platform.counts() == {"SP17": 14, "AU17": 13}
