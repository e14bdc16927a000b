"""What the assets of a chain do with their rules, and show of them.

At risk: a figure in a report that nobody can trace to the rule it comes from.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_assets_tests.dagster_fixtures import (
    CHAIN,
    OTHER_DATASET,
    Platform,
    failures,
    open_platform,
)
from etl_assets_tests.small import COUNTS, Small

LOOKUP = """\
rules:
  - id: remark
    kind: lookup
    dataset: notes
    on: {sale_id: sale_id}
    columns: {remark: note}
"""


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    with open_platform(small, tmp_path) as opened:
        yield opened


def test_stage_and_load_show_the_text_of_their_rules(platform: Platform) -> None:
    platform.small.write_rules(
        "version: 7\nrules:\n  - {id: some, kind: filter, keep: quantity > 0}\n"
    )
    platform.run("SP17")
    stage, load = (platform.shown(f"sales/{asset}", "SP17") for asset in CHAIN[1:])
    sidecar = platform.settings.home / "staging" / stage["etl_assets/manifest"]
    text = (sidecar.parent / "rules.yaml").read_text(encoding="utf-8")
    for shown in (stage, load):
        assert shown["rules_uri"] == (sidecar.parent / "rules.yaml").as_uri()
        assert shown["rules"] == f"```yaml\n{text}```"
        assert "fallback" not in shown
    assert "  keep: quantity > 0" in text


def test_a_load_whose_rules_text_was_removed_stands_all_the_same(platform: Platform) -> None:
    platform.run("SP17")
    (text,) = (platform.settings.home / "staging").glob("stage/sales/SP17/*/rules.yaml")
    text.unlink()
    assert platform.run("SP17").success
    shown = platform.shown("sales/redshift_table", "SP17")
    assert "rules_uri" in shown
    assert "rules" not in shown


def test_rules_look_into_the_extract_of_another_dataset(platform: Platform) -> None:
    platform.small.write_dataset(OTHER_DATASET, "notes")
    platform.small.write_rules(LOOKUP)
    assert platform.run("SP17").success
    same = "SELECT count(*) FROM sales WHERE note IS NOT DISTINCT FROM remark"
    assert platform.warehouse_sql(same) == [(COUNTS["SP17"],)]


def test_rules_that_look_into_an_extract_which_is_not_there_say_which(platform: Platform) -> None:
    platform.small.write_dataset(OTHER_DATASET, "notes")
    platform.small.write_rules(LOOKUP)
    said = failures(platform.run("SP17", "sales/rds_extract", "sales/s3_staging_csv"))
    assert said["sales__s3_staging_csv"] == (
        "notes/rds_extract was never materialized for campaign SP17."
        " Materialize it first, or select the whole chain."
    )
