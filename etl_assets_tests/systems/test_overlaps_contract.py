"""Both warehouses count what campaigns share alike, and keep the same two views beside a table.

At risk: a total over overlapping seasons that counts a sale twice, or leaves one out.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from etl_assets.core.reporting_views import Overlap, Overlaps
from etl_assets_tests.small import COUNTS, Small
from etl_assets_tests.systems.platforms import DuckDBPlatform, Platform, RedshiftPlatform

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

HEAD = """\
dataset: sales
primary_key: [sale_id]
query: |
  SELECT sale_id, sold_at, quantity, amount, note FROM sales
  WHERE sold_at >= :starts_at AND sold_at < :ends_before
"""
BY_NOTE = HEAD.replace("[sale_id]", "[note, quantity]")
RENAMED = HEAD + "rules:\n  - {id: other, kind: rename, columns: {sale_id: number}}\n"
SHARED = 3
"""Sales from 2017-05-15 to 2017-05-31, in the seasons of SP17 and SU17: numbers 11 to 13."""


@pytest.fixture(params=["duckdb", "redshift"])
def platform(request: pytest.FixtureRequest, small: Small) -> Platform:
    """A small platform on each warehouse."""
    if request.param == "duckdb":
        return DuckDBPlatform(small)
    return RedshiftPlatform(small, request.getfixturevalue("redshift"))


def refresh_all(platform: Platform) -> None:
    for key in COUNTS:
        platform.refresh(key)


def overlaps(platform: Platform) -> Overlaps:
    return platform.warehouse.overlaps(platform.dataset)


def columns_of(platform: Platform, relation: str) -> list[str]:
    named = "SELECT column_name FROM information_schema.columns WHERE table_name ="
    found = platform.query(f"{named} '{relation}' ORDER BY ordinal_position")
    return [name for (name,) in found]


def test_records_in_two_slices_are_counted_for_their_pair(platform: Platform) -> None:
    refresh_all(platform)
    loaded = sum(COUNTS.values())
    assert overlaps(platform) == Overlaps(
        records=loaded,
        distinct=loaded - SHARED,
        pairs=(Overlap("SP17", "SU17", SHARED),),
        shown=loaded - SHARED,
    )
    assert overlaps(platform).of("SU17") == {"SP17": SHARED}
    assert overlaps(platform).of("AU17") == {}
    assert overlaps(platform).repeated == SHARED


def test_a_warehouse_without_the_table_has_no_overlaps(platform: Platform) -> None:
    assert overlaps(platform) == Overlaps(0, 0)
    assert platform.warehouse.loads() == []


def test_three_campaigns_with_one_record_show_it_once(platform: Platform) -> None:
    platform.small.write_campaigns(
        "campaigns:\n" + "".join(f"  - {{key: {key}, start: 2017-03-01, end: 2017-05-31}}\n"
                                 for key in ("C1", "C2", "C3"))
    )  # fmt: skip
    for key in ("C3", "C1", "C2"):
        platform.refresh(key)
    counted = overlaps(platform)
    assert (counted.records, counted.distinct, counted.shown) == (42, 14, 14)
    assert {(pair.first, pair.second): pair.records for pair in counted.pairs} == {
        ("C1", "C2"): 14, ("C1", "C3"): 14, ("C2", "C3"): 14,
    }  # fmt: skip
    assert platform.query("SELECT DISTINCT campaign_key FROM sales_deduplicated") == [("C1",)]


def test_the_views_have_the_tables_columns_and_each_record_as_they_say(platform: Platform) -> None:
    refresh_all(platform)
    columns = platform.columns()
    assert columns_of(platform, "sales_by_campaign") == columns
    assert columns_of(platform, "sales_deduplicated") == columns
    listed = ", ".join(columns)
    ordered = "ORDER BY campaign_key, sale_id"
    table = platform.query(f"SELECT {listed} FROM sales {ordered}")
    assert platform.query(f"SELECT {listed} FROM sales_by_campaign {ordered}") == table
    # Independent of our SQL: the first of each sale, in the order of keys.
    first: dict[object, tuple[object, ...]] = {}
    for row in table:
        first.setdefault(row[columns.index("sale_id")], row)
    expected = sorted(first.values(), key=lambda row: (row[columns.index("campaign_key")], row[0]))
    assert platform.query(f"SELECT {listed} FROM sales_deduplicated {ordered}") == expected
    assert len(expected) == sum(COUNTS.values()) - SHARED


def test_the_campaign_shown_is_the_first_by_key_and_not_the_last_loaded(
    platform: Platform,
) -> None:
    refresh_all(platform)
    shown = "SELECT sale_id, campaign_key FROM sales_deduplicated ORDER BY 1"
    before = platform.query(shown)
    assert dict(before)[11] == "SP17"
    for key in ("SU17", "SP17", "SU17"):
        platform.refresh(key)
        assert platform.query(shown) == before
    platform.prune("SP17")
    assert dict(platform.query(shown))[11] == "SU17"
    assert overlaps(platform).repeated == 0


def test_nulls_in_the_primary_key_compare_equal(platform: Platform) -> None:
    """Of sales 11 to 13 the notes are NULL, plain and quoted; every note recurs elsewhere."""
    platform.small.run_sql("UPDATE sales SET quantity = sale_id", "UPDATE sales SET note = NULL")
    platform.small.write_dataset(BY_NOTE)
    refresh_all(platform)
    counted = overlaps(platform)
    # A key column without any value makes a slice nameless; the planted value prevents that.
    assert counted.nameless == ("AU17", "SP17", "SU17")
    platform.small.run_sql("UPDATE sales SET note = 'one' WHERE sale_id IN (1, 20, 30)")
    refresh_all(platform)
    counted = overlaps(platform)
    assert (counted.nameless, counted.caveat()) == ((), "")
    assert counted.pairs == (Overlap("SP17", "SU17", SHARED),)
    assert counted.distinct == counted.shown == sum(COUNTS.values()) - SHARED


def test_a_slice_whose_rules_left_a_key_column_out_is_shown_whole_and_named(
    platform: Platform,
) -> None:
    platform.refresh("SP17")
    platform.small.write_dataset(RENAMED)
    platform.refresh("SU17")
    counted = overlaps(platform)
    assert counted.nameless == ("SU17",)
    assert "The records of SU17 have no value in a column of the primary key" in counted.caveat()
    assert (counted.records, counted.distinct, counted.shown) == (30, 30, 30)
    assert counted.pairs == ()


def test_a_table_without_a_key_column_is_not_compared_and_says_why(platform: Platform) -> None:
    platform.small.write_dataset(RENAMED)
    refresh_all(platform)
    counted = overlaps(platform)
    assert counted.missing == ("sale_id",)
    assert "The table has no `sale_id`, which the primary key names" in counted.caveat()
    assert (counted.records, counted.pairs, counted.shown) == (43, (), None)
    assert columns_of(platform, "sales_by_campaign") == platform.columns()
    assert columns_of(platform, "sales_deduplicated") == []


def test_records_that_rules_made_of_one_stay_together(platform: Platform) -> None:
    platform.refresh("SP17")
    platform.small.write_dataset(HEAD.replace("[sale_id]", "[quantity]"))
    for key in ("SP17", "SU17"):
        platform.refresh(key)
    counted = overlaps(platform)
    # Both have each of the four quantities, so every record of the first campaign is shown.
    assert counted.pairs == (Overlap("SP17", "SU17", 4),)
    assert (counted.distinct, counted.shown) == (14, 14)


def test_views_follow_the_columns_and_the_primary_key(platform: Platform) -> None:
    platform.refresh("SP17")
    more = "rules:\n  - {id: more, kind: derive, column: doubled, type: 'decimal(12,2)', expression: amount * 2}\n"
    platform.small.write_dataset(HEAD + more)
    platform.refresh("SU17")
    assert "doubled" in columns_of(platform, "sales_deduplicated")
    assert "doubled" in columns_of(platform, "sales_by_campaign")
    assert overlaps(platform).shown == 27
    platform.small.write_dataset(HEAD.replace("[sale_id]", "[sale_id, sold_at]") + more)
    refresh_all(platform)
    assert overlaps(platform).shown == 40


def test_a_view_that_somebody_dropped_is_missed_and_made_again(platform: Platform) -> None:
    platform.refresh("SP17")
    platform.write("DROP VIEW sales_deduplicated")
    assert overlaps(platform).shown is None
    platform.refresh("SP17")
    assert overlaps(platform).shown == 14


def test_a_view_that_somebody_changed_is_noticed_and_replaced(platform: Platform) -> None:
    refresh_all(platform)
    platform.write("CREATE OR REPLACE VIEW sales_deduplicated AS SELECT * FROM sales")
    counted = overlaps(platform)
    assert (counted.distinct, counted.shown) == (40, 43)
    platform.refresh("SP17")
    assert overlaps(platform).shown == 40


def test_readers_of_the_views_never_miss_them_while_columns_come(platform: Platform) -> None:
    platform.refresh("SP17")
    platform.refresh("SU17")
    staged = []
    for number in range(4):
        rules = "rules:\n" + "".join(
            f"  - {{id: r{n}, kind: derive, column: c{n}, type: integer, expression: quantity + {n}}}\n"
            for n in range(number + 1)
        )
        platform.small.write_dataset(HEAD + rules)
        staged.append(platform.chain.stage("SU17"))
    done = threading.Event()
    seen: set[tuple[object, ...]] = set()

    def read() -> None:
        while not done.is_set():
            seen.update(platform.query("SELECT count(*) FROM sales_deduplicated"))
            seen.update(platform.query("SELECT 13 + count(*) - 16 FROM sales_by_campaign"))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            for stage in staged:
                platform.load(stage)
        finally:
            done.set()
        reading.result()
    assert seen == {(27,)}
    assert [f"c{n}" for n in range(4)] == columns_of(platform, "sales_deduplicated")[-4:]
