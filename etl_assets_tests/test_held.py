"""A load that a guard holds, and a slice that a person keeps, in runs of Dagster."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from etl_assets_tests.dagster_fixtures import Platform, open_platform
from etl_assets_tests.small import COUNTS, DATASET, Small

TABLE = dg.AssetKey(["sales", "redshift_table"])


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    """A platform with a Dagster instance of its own."""
    with open_platform(small, tmp_path) as opened:
        yield opened


@pytest.fixture
def emptied(platform: Platform) -> Platform:
    """A platform whose source has lost the records of a loaded campaign."""
    assert platform.run("SP17").success
    platform.small.run_sql("DELETE FROM sales")
    return platform


def check_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    """Return the evaluation of `follows_source`."""
    (found,) = (e for e in result.get_asset_check_evaluations() if e.check_name == "follows_source")
    return found


def test_a_load_that_a_guard_holds_leaves_the_slice_and_fails_the_check(emptied: Platform) -> None:
    result = emptied.run("SP17")
    assert result.success
    assert emptied.slices() == {"SP17": COUNTS["SP17"]}
    evaluation = check_of(result)
    assert (evaluation.passed, evaluation.partition) == (False, "SP17")
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    held = emptied.loads()[0]
    assert held.kind == "hold"
    assert held.reason == "it has no record, and the slice has 14"
    assert evaluation.description == (
        f"The load is held for approval: {held.reason}. The slice is as it was. Load it with"
        f" `etl-assets loads approve {held.load_id}`, or refuse it with"
        f" `etl-assets loads refuse {held.load_id}`."
    )


def test_a_held_load_materializes_no_table_but_says_what_it_is(emptied: Platform) -> None:
    result = emptied.run("SP17")
    made = {event.asset_key for event in result.get_asset_materialization_events()}
    assert TABLE not in made
    (event,) = result.get_asset_observation_events()
    shown = event.asset_observation_data.asset_observation.metadata
    assert shown["status"].value == "held"
    assert shown["staged_records"].value == 0
    assert shown["dagster/partition_row_count"].value == COUNTS["SP17"]


def test_the_same_load_is_held_once_however_often_it_comes(emptied: Platform) -> None:
    for _ in range(3):
        emptied.run("SP17")
    assert [row.kind for row in emptied.loads()] == ["hold", "load"]


def test_a_source_that_is_as_it_was_settles_what_waited(platform: Platform) -> None:
    platform.run("SP17")
    platform.small.run_sql("CREATE TABLE kept AS SELECT * FROM sales", "DELETE FROM sales")
    platform.run("SP17")
    platform.small.run_sql("INSERT INTO sales SELECT * FROM kept")
    assert check_of(platform.run("SP17")).passed
    assert [row.kind for row in platform.loads()] == ["release", "hold", "load"]
    platform.small.run_sql("DELETE FROM sales")
    assert not check_of(platform.run("SP17")).passed


def test_guards_are_those_of_the_dataset(platform: Platform) -> None:
    platform.small.write_dataset("guards: {shrink_percent: 10}\n" + DATASET)
    platform.run("SP17")
    platform.small.run_sql("DELETE FROM sales WHERE sale_id = 3")
    assert check_of(platform.run("SP17")).passed
    platform.small.run_sql("DELETE FROM sales WHERE sale_id IN (4, 5)")
    evaluation = check_of(platform.run("SP17"))
    assert not evaluation.passed
    assert "it shrinks from 13 to 11 records, by more than 10 %" in str(evaluation.description)
