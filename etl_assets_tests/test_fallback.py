"""A bad rule at three in the morning.

At risk: readers who find an empty campaign, or one that nobody says is made by other rules.
"""

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from etl_assets.core.rules.versions import base_of
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.dagster_fixtures import Platform, failures, open_copy, open_platform
from etl_assets_tests.small import DATASET, Small
from etl_assets_tests.test_checks import look_again

GOOD = "version: 1\nrules:\n  - {id: some, kind: filter, keep: quantity > 0}\n"
LAST_GOOD = "fallback: last_good_rules\n"
STAGE, TABLE = "sales/s3_staging_csv", "sales/redshift_table"
BAD = {
    "an assertion": "{id: low, kind: assert, range: {column: amount, max: 13}}",
    "a cast": "{id: low, kind: cast, column: note, type: integer}",
    "a value": "{id: low, kind: derive, column: d, type: bigint, expression: 1 // (quantity - 2)}",
    "a column": "{id: low, kind: filter, keep: no_such_column > 1}",
}
NEW_SALE = "INSERT INTO sales VALUES (900, '2017-04-01 00:00:00', 5, 9.5, 'new')"


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a platform that a key was refreshed on, with rules that work."""
    folder = tmp_path_factory.mktemp("refreshed")
    small = Small(folder / "small").build()
    small.write_dataset(DATASET + LAST_GOOD)
    small.write_rules(GOOD)
    with open_platform(small, folder) as platform:
        assert platform.run("SP17").success
    return folder


@pytest.fixture
def platform(refreshed: Path, tmp_path: Path) -> Iterator[Platform]:
    """A copy of it for each test."""
    with open_copy(refreshed, tmp_path) as opened:
        yield opened


def break_rules(platform: Platform, how: str = "an assertion", version: int = 2) -> None:
    """Publish rules that fail on a record of SP17."""
    good = GOOD.replace("version: 1", f"version: {version}")
    platform.small.write_rules(f"{good}  - {BAD[how]}\n")


def evaluated(result: dg.ExecuteInProcessResult, check: str) -> dg.AssetCheckEvaluation:
    (found,) = (e for e in result.get_asset_check_evaluations() if e.check_name == check)
    return found


@pytest.mark.parametrize("how", BAD)
def test_without_a_fallback_a_bad_rule_fails_its_key_and_leaves_its_slice(
    platform: Platform, how: str
) -> None:
    platform.small.write_dataset(DATASET)
    before = platform.warehouse_sql("SELECT * FROM sales ORDER BY ALL")
    break_rules(platform, how)
    platform.small.run_sql(NEW_SALE)
    result = platform.run("SP17")
    (said,) = failures(result).values()
    assert said.startswith("The rules of sales for campaign SP17") or "no_such_column" in said
    assert "`low`" in said
    assert platform.warehouse_sql("SELECT * FROM sales ORDER BY ALL") == before
    assert len(platform.loads()) == 1


def test_the_error_names_rule_column_count_and_records(platform: Platform) -> None:
    platform.small.write_dataset(DATASET)
    break_rules(platform)
    platform.small.run_sql(NEW_SALE.replace("9.5", "99.5"))
    (said,) = failures(platform.run("SP17")).values()
    assert "do not fit 2 records: rule `low`, `amount` = '13.25' in the record sale_id=13;" in said
    assert "; rule `low`, `amount` = '99.50' in the record sale_id=900." in said


def test_other_campaigns_go_on(platform: Platform) -> None:
    platform.small.write_dataset(DATASET)
    break_rules(platform)
    platform.small.run_sql(
        "UPDATE sales SET amount = 1 WHERE sale_id >= 11",
        "UPDATE sales SET amount = 99 WHERE sale_id = 5",  # before the summer
    )
    assert not platform.run("SP17").success
    assert platform.run("SU17").success
    assert set(platform.slices()) == {"SP17", "SU17"}


@pytest.mark.parametrize("how", BAD)
def test_with_a_fallback_the_new_records_are_loaded_with_the_last_good_rules(
    platform: Platform, how: str
) -> None:
    break_rules(platform, how)
    platform.small.run_sql(NEW_SALE)
    before = platform.slices()["SP17"]
    assert platform.run("SP17").success
    assert platform.slices()["SP17"] == before + 1
    load = platform.loads()[0]
    assert load.rule_version == 1
    assert load.rules_digest == platform.loads()[1].rules_digest


def test_stage_load_and_log_say_which_rules_and_why(
    platform: Platform, capfd: pytest.CaptureFixture[str]
) -> None:
    break_rules(platform)
    platform.small.run_sql(NEW_SALE)
    platform.run("SP17")
    notice = (
        "Made with rules of the last good load (v1), because the current ones (v2) failed: The"
        " rules of sales for campaign SP17 do not fit 1 record: rule `low`, `amount` = '13.25'"
    )
    for asset in (STAGE, TABLE):
        shown = platform.shown(asset, "SP17")
        assert shown["fallback"].startswith(notice)
        assert shown["rule_version"] == 1
        assert "id: low" not in shown["rules"]
    log = [line for line in capfd.readouterr().err.splitlines() if f"SP17: {notice}" in line]
    assert ["WARNING" in line for line in log] == [True, True]


def test_the_check_fails_until_the_current_rules_work(platform: Platform) -> None:
    assert look_again(platform, "SP17", "rules_are_current").passed
    break_rules(platform)
    platform.small.run_sql(NEW_SALE)
    found = evaluated(platform.run("SP17"), "rules_are_current")
    assert (found.passed, found.partition) == (False, "SP17")
    assert str(found.description).startswith("Made with rules of the last good load (v1)")
    assert not look_again(platform, "SP17", "rules_are_current").passed
    platform.small.run_sql("UPDATE sales SET amount = 1 WHERE sale_id = 13")
    found = evaluated(platform.run("SP17"), "rules_are_current")
    assert found.passed
    assert found.description == "The slice was made by rules v2."
    assert "fallback" not in platform.shown(TABLE, "SP17")


def test_rules_that_were_not_applied_yet_fail_no_check(platform: Platform) -> None:
    platform.small.write_rules(GOOD.replace("version: 1", "version: 2").replace("> 0", "> 1"))
    found = look_again(platform, "SP17", "rules_are_current")
    assert found.passed
    assert found.description == (
        "The slice was made by rules v1. The next load applies the current ones, v2."
    )
    assert look_again(platform, "SU17", "rules_are_current").description == "Nothing is loaded."


def test_a_second_failure_on_the_same_records_loads_nothing_and_still_says_so(
    platform: Platform,
) -> None:
    break_rules(platform)
    for _ in range(2):
        assert platform.run("SP17").success
        assert "fallback" in platform.shown(TABLE, "SP17")
    assert platform.shown(STAGE, "SP17")["unchanged"] is True
    assert len(platform.loads()) == 1  # the same rules, the same records: there is nothing to load


def test_a_rollback_to_the_rules_that_stood_in_ends_the_notice(platform: Platform) -> None:
    break_rules(platform)
    platform.run("SP17")
    platform.small.write_rules(GOOD.replace("version: 1", "version: 3"))
    found = evaluated(platform.run("SP17"), "rules_are_current")
    assert found.passed
    assert "fallback" not in platform.shown(TABLE, "SP17")
    assert len(platform.loads()) == 1


def publish(platform: Platform, text: str) -> int:
    """Publish a version of the rules over the one there is; return its number."""
    registry = platform.settings.open_registry()
    over = base_of(registry.rule_versions("sales"))
    at = dt.datetime.now(dt.UTC)
    return registry.publish_rules("sales", text, over=over, by="anna", at=at, comment="").version


def test_when_the_kept_rules_are_gone_the_registrys_version_of_that_number_is_applied(
    platform: Platform,
) -> None:
    assert publish(platform, f"{GOOD}  - {BAD['an assertion']}\n") == 2
    (text,) = (platform.settings.home / "staging").glob("stage/sales/SP17/*/rules.yaml")
    text.unlink()
    platform.small.run_sql(NEW_SALE)
    assert platform.run("SP17").success
    assert platform.loads()[0].rule_version == 1


def test_rules_that_worked_yesterday_and_fail_today_are_stood_in_for_by_those_before(
    platform: Platform,
) -> None:
    assert publish(platform, GOOD + "  - {id: late, kind: filter, keep: amount > 1}\n") == 2
    assert publish(platform, GOOD + "  - {id: few, kind: assert, row_count: {max: 10}}\n") == 3
    assert platform.run("SP17").success
    assert platform.loads()[0].rule_version == 3
    platform.small.run_sql(NEW_SALE)
    assert platform.run("SP17").success
    assert platform.loads()[0].rule_version == 2
    assert "the current ones (v3) failed" in platform.shown(TABLE, "SP17")["fallback"]


def test_a_campaign_that_was_never_loaded_gets_the_newest_version_that_works(
    platform: Platform,
) -> None:
    assert publish(platform, f"{GOOD}  - {BAD['a column']}\n") == 2
    assert publish(platform, f"{GOOD}  - {BAD['an assertion']}\n") == 3
    assert platform.run("SU17").success
    assert [load.rule_version for load in platform.loads("SU17")] == [1]


def test_without_an_earlier_version_the_error_is_that_of_the_current_one(
    platform: Platform,
) -> None:
    shutil.rmtree(platform.settings.home / "registry" / "rules")
    platform.small.write_rules(f"version: 1\nrules: [{BAD['an assertion']}]\n")
    (said,) = failures(platform.run("SU17")).values()
    assert said.startswith("The rules of sales for campaign SU17 do not fit 14 records")


def test_the_command_line_says_it_in_its_summary_and_in_json(platform: Platform) -> None:
    command = CommandLine.of(platform.small)
    assert command.run("refresh", "--key", "SP17").returncode == 0
    break_rules(platform)
    platform.small.run_sql(NEW_SALE)
    done = command.run("refresh", "--key", "SP17")
    assert done.returncode == 0, done.stderr
    assert "with earlier rules" in " ".join(done.stdout.split())
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("SP17 sales:")]
    assert "Made with rules of the last good load (v1), because the current ones (v2)" in said
    (result,) = json.loads(command.run("refresh", "--key", "SP17", "--json").stdout)["results"]
    assert result["status"] == "unchanged"
    assert f"SP17 sales: {result['fallback']}" == said
