"""The check that looks at a slice again after its load.

At risk: a table that somebody else wrote to, which nobody notices until a report is wrong.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from etl_assets.definitions import build_defs
from etl_assets_tests.dagster_fixtures import Platform, open_platform
from etl_assets_tests.small import COUNTS, Small

LOAD = "sales/redshift_table"


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    with open_platform(small, tmp_path) as opened:
        yield opened


def look_again(
    platform: Platform, key: str, name: str = "slice_equals_ledger", asset: str = LOAD
) -> dg.AssetCheckEvaluation:
    """Run a check alone, as the UI's button does."""
    platform.add(key)
    check = dg.AssetCheckKey(dg.AssetKey(asset.split("/")), name)
    job = build_defs(platform.settings).resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_check_selection={check}).execute_in_process(
        instance=platform.instance, tags={"dagster/partition": key}
    )
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def test_the_check_passes_after_a_load(platform: Platform) -> None:
    evaluations = platform.run("SP17").get_asset_check_evaluations()
    assert {e.check_name: e.passed for e in evaluations} == {
        "follows_source": True,
        "rule_examples_hold": True,
        "slice_equals_ledger": True,
        "each_record_once": True,
        "is_fresh": True,
    }
    evaluation = next(e for e in evaluations if e.check_name == "slice_equals_ledger")
    assert evaluation.partition == "SP17"
    assert {name: value.value for name, value in evaluation.metadata.items()} == {
        "records": COUNTS["SP17"],
        "committed": COUNTS["SP17"],
    }


def test_the_check_fires_when_a_record_was_deleted_by_hand(platform: Platform) -> None:
    platform.load("SP17")
    platform.warehouse_sql("DELETE FROM sales WHERE campaign_key = 'SP17' AND sale_id = 3")
    evaluation = look_again(platform, "SP17")
    assert not evaluation.passed
    assert evaluation.description == (
        "13 records in sales, 14 committed. Refresh the key with --force."
    )


def test_the_check_fires_when_a_record_was_added_by_hand(platform: Platform) -> None:
    platform.load("SP17")
    platform.warehouse_sql("INSERT INTO sales (campaign_key, sale_id) VALUES ('SP17', 99)")
    assert not look_again(platform, "SP17").passed


def test_the_check_fires_when_a_value_was_changed_by_hand(platform: Platform) -> None:
    platform.load("SP17")
    platform.warehouse_sql("UPDATE sales SET amount = amount + 1 WHERE sale_id = 3")
    evaluation = look_again(platform, "SP17")
    assert not evaluation.passed
    assert "the sum of `amount` is" in (evaluation.description or "")


def test_the_check_looks_at_its_own_slice_only(platform: Platform) -> None:
    platform.load("SP17", "SU17")
    platform.warehouse_sql("DELETE FROM sales WHERE campaign_key = 'SP17'")
    assert look_again(platform, "SU17").passed
    assert not look_again(platform, "SP17").passed


def test_the_check_passes_where_nothing_was_ever_loaded(platform: Platform) -> None:
    assert look_again(platform, "SP17").passed


def test_the_check_passes_after_the_slice_left_with_the_calendar(platform: Platform) -> None:
    platform.load("SP17", "SU17")
    assert platform.prune(["SU17"]).success
    assert look_again(platform, "SP17").passed


def test_a_refresh_mends_what_the_check_found(platform: Platform) -> None:
    platform.load("SP17")
    platform.warehouse_sql("DELETE FROM sales WHERE sale_id = 3")
    evaluations = platform.run("SP17").get_asset_check_evaluations()
    assert {e.check_name: e.passed for e in evaluations} == {
        "follows_source": True,
        "rule_examples_hold": True,
        "slice_equals_ledger": True,
        "each_record_once": True,
        "is_fresh": True,
    }
    assert platform.slices() == {"SP17": COUNTS["SP17"]}


EXAMPLE = """\
version: 2
rules:
  - id: sold-on
    kind: derive
    column: sold_on
    type: date
    expression: CAST(sold_at AS DATE)
    examples:
      - in: {sold_at: "2017-05-01 23:59:59"}
        out: {sold_on: "2017-05-01"}
"""


@pytest.mark.parametrize(
    ("rules", "passed", "said"),
    [
        (EXAMPLE, True, "1 examples hold."),
        (EXAMPLE.replace('out: {sold_on: "2017-05-01"}', 'out: {sold_on: "2017-05-02"}'), False,
         "rule `sold-on`, example 1: it gives (sold_on=2017-05-01), not (sold_on=2017-05-02)"),
        ("rules: []\n", True, "The rules have no examples."),
    ],
)  # fmt: skip
def test_the_examples_beside_the_rules_are_tried_for_each_campaign(
    platform: Platform, small: Small, rules: str, said: str, *, passed: bool
) -> None:
    platform.run("SP17")
    small.write_rules(rules)
    evaluation = look_again(platform, "SP17", "rule_examples_hold", "sales/s3_staging_csv")
    assert evaluation.passed == passed
    assert evaluation.description == said


def test_examples_of_a_campaign_without_an_extract_wait_for_it(
    platform: Platform, small: Small
) -> None:
    small.write_rules(EXAMPLE)
    evaluation = look_again(platform, "SU17", "rule_examples_hold", "sales/s3_staging_csv")
    assert evaluation.description == "Nothing is extracted yet."
