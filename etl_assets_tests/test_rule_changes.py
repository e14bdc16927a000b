"""The sensor applies what changed in the registry, where a dataset says so.

At risk: a change that never reaches the tables, runs that nobody needs, and MySQL read again
because of a rule.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from etl_assets_tests.dagster_fixtures import Platform, keep_cursor, open_copy, open_platform
from etl_assets_tests.registry_changes import (
    ALL,
    APPLY,
    OVERRIDE,
    RULES,
    asked_for,
    move_window,
    observed,
)
from etl_assets_tests.small import CAMPAIGNS, COUNTS, DATASET, Small


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a platform that two keys were refreshed on, after the sensor's first look."""
    folder = tmp_path_factory.mktemp("refreshed")
    small = Small(folder / "small").build()
    small.write_dataset(DATASET + APPLY)
    small.write_rules(RULES.format(1, 0))
    with open_platform(small, folder) as platform:
        platform.sense()
        for key in ("SP17", "SU17"):
            assert platform.run(key).success
        keep_cursor(platform, folder)
    return folder


@pytest.fixture
def platform(refreshed: Path, tmp_path: Path) -> Iterator[Platform]:
    """A copy of it for each test; no campaign is due."""
    with open_copy(refreshed, tmp_path) as opened:
        yield opened


def make_due(platform: Platform, *keys: str) -> None:
    """Have the calendar say that keys are due now, also when this is run at midnight."""
    today = dt.datetime.now(dt.UTC).date()
    days = (today, today + dt.timedelta(days=1))
    entries = ", ".join(f"{day}: [{', '.join(keys)}]" for day in days)
    platform.small.write_calendar(f"calendar: {{{entries}}}\n")


def test_changed_rules_are_applied_to_what_is_in_the_table_without_reading_the_source(
    platform: Platform,
) -> None:
    platform.small.write_rules(RULES.format(2, 1))
    tick = platform.sense()
    parts = ["sales/s3_staging_csv", "sales/redshift_table"]
    assert asked_for(tick) == {"SP17": parts, "SU17": parts}  # AU17 was never loaded
    platform.small.run_sql("DROP TABLE sales")
    for request in tick.run_requests:
        result = platform.run_requested(request)
        assert result.success
        assert not [e for e in result.all_events if e.step_key == "sales__rds_extract"]
    assert platform.shown("sales/redshift_table", "SP17")["rule_version"] == 2
    assert platform.slices()["SP17"] < COUNTS["SP17"]


def test_a_run_asked_for_says_why_and_has_a_name_of_its_own(platform: Platform) -> None:
    platform.small.write_rules(RULES.format(2, 1))
    requests = platform.sense().run_requests
    digest = platform.settings.open_registry().read().rule_sets["sales"].digest
    assert [r.run_key for r in requests] == [
        f"rules:sales:SP17:v2:{digest[:12]}:2",
        f"rules:sales:SU17:v2:{digest[:12]}:2",
    ]
    assert requests[0].tags["etl_assets/campaign"] == "SP17"
    assert requests[0].tags["etl_assets/changed"] == "rules of sales v2"


def test_a_dataset_that_waits_is_reported_and_not_applied(platform: Platform) -> None:
    platform.small.write_dataset(DATASET)
    platform.small.write_rules(RULES.format(2, 1))
    tick = platform.sense()
    assert observed(tick) == {"registry/sales_rules": ALL}
    assert tick.run_requests == []


def test_changed_rules_are_applied_to_a_due_key_that_has_an_extract(platform: Platform) -> None:
    assert platform.run("AU17", "sales/rds_extract").success
    make_due(platform, "AU17")
    platform.small.write_rules(RULES.format(2, 1))
    assert set(asked_for(platform.sense())) == set(ALL)


def test_changed_rules_are_not_applied_to_a_due_key_without_an_extract(
    platform: Platform,
) -> None:
    make_due(platform, *ALL)
    platform.small.write_rules(RULES.format(2, 1))
    assert set(asked_for(platform.sense())) == {"SP17", "SU17"}


def test_changed_rules_are_not_applied_to_a_key_that_was_pruned(platform: Platform) -> None:
    assert platform.prune(["SP17"]).success
    platform.small.write_rules(RULES.format(2, 1))
    assert set(asked_for(platform.sense())) == {"SP17"}


def test_an_override_is_applied_to_its_campaign_alone(platform: Platform) -> None:
    platform.small.write_rules(RULES.format(2, 0) + OVERRIDE)
    assert set(asked_for(platform.sense())) == {"SP17"}


def test_a_rollback_is_applied_also_to_the_version_it_was_before(platform: Platform) -> None:
    keys = []
    for version, least in ((2, 1), (1, 0), (2, 1), (1, 0)):
        platform.small.write_rules(RULES.format(version, least))
        request = platform.sense().run_requests[0]
        keys.append(request.run_key)
        assert platform.run_requested(request).success
        assert platform.shown("sales/redshift_table", "SP17")["rule_version"] == version
    assert len(set(keys)) == 4


def test_a_rollback_of_what_was_never_applied_asks_for_nothing(platform: Platform) -> None:
    platform.small.write_rules(RULES.format(2, 1))
    platform.sense()
    platform.small.write_rules(RULES.format(3, 0))
    tick = platform.sense()
    assert observed(tick) == {"registry/sales_rules": ALL}
    assert asked_for(tick) == {}


def test_what_a_refresh_applied_before_the_look_is_not_applied_again(platform: Platform) -> None:
    platform.small.write_rules(RULES.format(2, 1))
    assert platform.run("SP17").success
    assert set(asked_for(platform.sense())) == {"SU17"}


def test_a_key_with_a_run_in_flight_is_left_for_a_later_look(platform: Platform) -> None:
    run = platform.start_run("SP17", dg.DagsterRunStatus.STARTED)
    platform.small.write_rules(RULES.format(2, 1))
    assert set(asked_for(platform.sense())) == {"SU17"}
    waiting = platform.sense()
    assert waiting.run_requests == []
    assert waiting.skip_message == "To be applied when the run in flight has ended: SP17."
    platform.instance.report_run_failed(run)
    assert set(asked_for(platform.sense())) == {"SP17"}
    assert asked_for(platform.sense()) == {}


def test_a_key_whose_run_in_flight_applied_the_change_is_not_run_again(
    platform: Platform,
) -> None:
    run = platform.start_run("SP17", dg.DagsterRunStatus.STARTED)
    platform.small.write_rules(RULES.format(2, 1))
    platform.sense()
    assert platform.run("SP17").success
    platform.instance.report_run_failed(run)
    assert asked_for(platform.sense()) == {}


def test_a_moved_season_of_a_due_key_is_extracted_anew_to_the_table(platform: Platform) -> None:
    make_due(platform, "SP17")
    move_window(platform)
    tick = platform.sense()
    assert asked_for(tick) == {
        "SP17": ["sales/rds_extract", "sales/s3_staging_csv", "sales/redshift_table"]
    }
    (request,) = tick.run_requests
    assert request.run_key.startswith("campaign:sales:SP17:")
    assert request.tags["etl_assets/changed"] == "campaign"
    assert platform.run_requested(request).success
    assert platform.shown("sales/rds_extract", "SP17")["season"] == "2017-03-01 to 2017-06-01"


def test_a_moved_season_of_a_key_that_is_not_due_waits_for_its_day(platform: Platform) -> None:
    move_window(platform)
    assert asked_for(platform.sense()) == {}


def test_a_campaign_and_its_rules_changed_at_once_are_one_run(platform: Platform) -> None:
    make_due(platform, "SP17")
    move_window(platform)
    platform.small.write_rules(RULES.format(2, 1))
    asked = asked_for(platform.sense())
    assert asked["SP17"][0] == "sales/rds_extract"
    assert asked["SU17"] == ["sales/s3_staging_csv", "sales/redshift_table"]


def test_a_campaign_that_leaves_a_dataset_is_not_run_in_it(platform: Platform) -> None:
    make_due(platform, "SP17")
    platform.small.write_campaigns(CAMPAIGNS.replace("key: SP17,", "key: SP17, datasets: [],"))
    platform.small.write_rules(RULES.format(2, 1))
    assert set(asked_for(platform.sense())) == {"SU17"}


def test_a_lost_memory_costs_observations_and_no_run(platform: Platform) -> None:
    platform.kept["cursor"] = None
    platform.small.write_rules(RULES.format(2, 1))
    tick = platform.sense()
    assert observed(tick)["registry/sales_rules"] == ALL
    assert tick.run_requests == []
