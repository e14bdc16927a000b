"""The refresh twice a day, and the pruning beside it.

At risk: a day that is refreshed with another day's keys, a tick that runs twice or not at all,
and tables emptied because something could not be read.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import ScheduleExecutionError

from etl_assets.assets import table_key
from etl_assets.core.errors import DocumentError, RegistryError
from etl_assets_tests.dagster_fixtures import (
    CHAIN,
    OTHER_DATASET,
    Platform,
    failures,
    open_platform,
)
from etl_assets_tests.small import CAMPAIGNS, COUNTS, DATASET, Small

NIGHT = dt.datetime(2017, 5, 20, 3, tzinfo=dt.UTC)  # both SP17 and SU17
SPRING = dt.datetime(2017, 3, 10, 14, tzinfo=dt.UTC)  # SP17 alone
NOBODY = dt.datetime(2018, 6, 1, 3, tzinfo=dt.UTC)
REFRESH, PRUNE = "refresh_schedule", "prune_schedule"
ALL = {"SP17", "SU17", "AU17"}


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    with open_platform(small, tmp_path) as opened:
        yield opened


def due(platform: Platform, moment: dt.datetime) -> list[str]:
    return [request.partition_key for request in platform.tick(REFRESH, moment).run_requests]


def test_a_tick_asks_for_a_run_per_due_key_with_a_key_of_its_own(platform: Platform) -> None:
    requests = platform.tick(REFRESH, NIGHT).run_requests
    assert [(r.partition_key, r.run_key) for r in requests] == [
        ("SP17", "20170520T0300+0000:SP17"),
        ("SU17", "20170520T0300+0000:SU17"),
    ]
    assert requests[0].tags["etl_assets/campaign"] == "SP17"
    assert requests[0].tags["dagster/partition"] == "SP17"


def test_partitions_are_there_before_the_runs_are_asked_for(platform: Platform) -> None:
    assert platform.partitions == set()
    platform.tick(REFRESH, NIGHT)
    assert platform.partitions == ALL


def test_the_same_tick_asks_for_the_same_runs_again(platform: Platform) -> None:
    first, second = (platform.tick(REFRESH, NIGHT).run_requests for _ in range(2))
    assert [r.run_key for r in first] == [r.run_key for r in second]


def test_two_ticks_of_a_day_have_different_run_keys(platform: Platform) -> None:
    early, late = (platform.tick(REFRESH, NIGHT.replace(hour=h)).run_requests for h in (3, 14))
    assert not {r.run_key for r in early} & {r.run_key for r in late}


def test_a_tick_that_runs_late_uses_its_own_date(platform: Platform) -> None:
    assert due(platform, SPRING) == ["SP17"]  # years before this test runs


def test_a_date_is_that_of_the_schedules_own_zone(platform: Platform) -> None:
    platform.small.write_calendar("calendar: {2017-05-21: [AU17]}\n")
    evening = dt.datetime(2017, 5, 20, 23, 30, tzinfo=dt.UTC)
    assert due(platform, evening) == ["SP17", "SU17"]
    assert due(platform.with_(schedule_time_zone="Asia/Tokyo"), evening) == ["AU17"]


def test_an_explicit_entry_of_the_calendar_wins(platform: Platform) -> None:
    platform.small.write_calendar("calendar: {2017-05-20: [AU17]}\n")
    assert due(platform, NIGHT) == ["AU17"]


def test_nothing_due_is_a_skipped_tick_with_its_reason(platform: Platform) -> None:
    tick = platform.tick(REFRESH, NOBODY)
    assert tick.run_requests == []
    assert tick.skip_message == "No campaign is due at 2018-06-01T03:00:00+00:00."


def test_a_campaign_of_some_datasets_is_run_in_those_only(platform: Platform) -> None:
    platform.small.write_dataset(OTHER_DATASET, "notes")
    platform.small.write_campaigns(CAMPAIGNS.replace("key: SP17,", "key: SP17, datasets: [notes],"))
    some, every = platform.tick(REFRESH, NIGHT).run_requests
    assert set(some.asset_selection) == {dg.AssetKey(["notes", asset]) for asset in CHAIN}
    assert every.asset_selection is None


def test_a_campaign_of_no_dataset_is_not_run(platform: Platform) -> None:
    platform.small.write_campaigns(CAMPAIGNS.replace("key: SP17,", "key: SP17, datasets: [],"))
    assert due(platform, NIGHT) == ["SU17"]


def test_a_campaign_that_cannot_be_used_fails_in_a_run_of_its_own(platform: Platform) -> None:
    platform.small.write_campaigns(CAMPAIGNS.replace("end: 2017-11-30", "end: 2017-11-31"))
    assert due(platform, NIGHT) == ["AU17", "SP17", "SU17"]


@pytest.mark.parametrize("schedule", [REFRESH, PRUNE])
def test_an_unreadable_registry_fails_the_tick_and_changes_no_partition(
    platform: Platform, schedule: str
) -> None:
    platform.tick(REFRESH, NIGHT)
    file = platform.small.home / "registry" / "campaigns.yaml"
    file.rename(file.with_suffix(".away"))
    with pytest.raises(ScheduleExecutionError) as caught:
        platform.tick(schedule, NIGHT)
    assert isinstance(caught.value.__cause__, RegistryError)
    file.write_text("campaigns: [{ky: SP17}]\n", encoding="utf-8")
    with pytest.raises(ScheduleExecutionError) as caught:
        platform.tick(schedule, NIGHT)
    assert isinstance(caught.value.__cause__, DocumentError)
    assert platform.partitions == ALL


def test_an_empty_registry_cannot_wipe_the_partitions(platform: Platform) -> None:
    platform.tick(REFRESH, NIGHT)
    platform.small.write_campaigns("campaigns: []\n")
    assert platform.tick(REFRESH, NIGHT).run_requests == []
    assert platform.partitions == ALL


def test_the_prune_of_a_tick_is_told_what_is_due(platform: Platform) -> None:
    (request,) = platform.with_(allow_mass_removal=True).tick(PRUNE, NIGHT).run_requests
    assert request.run_key == "20170520T0300+0000"
    assert request.run_config["ops"]["prune_tables"]["config"] == {
        "due": ["SP17", "SU17"],
        "allow_mass_removal": True,
    }


def test_the_prune_is_skipped_where_expired_keys_are_kept(platform: Platform) -> None:
    tick = platform.with_(keep_expired=True).tick(PRUNE, NIGHT)
    assert tick.run_requests == []
    assert "ETL_ASSETS_KEEP_EXPIRED" in tick.skip_message


def test_the_prune_is_skipped_when_nothing_is_due_and_nobody_said_so(platform: Platform) -> None:
    tick = platform.tick(PRUNE, NOBODY)
    assert tick.run_requests == []
    assert "the tables keep what they hold" in tick.skip_message


def test_an_empty_entry_of_the_calendar_prunes_everything_when_that_is_allowed(
    platform: Platform,
) -> None:
    platform.small.write_calendar("calendar: {2018-06-01: []}\n")
    (request,) = platform.tick(PRUNE, NOBODY).run_requests
    assert request.run_config["ops"]["prune_tables"]["config"]["due"] == []


def test_a_prune_removes_only_what_is_not_due_with_a_row_in_the_ledger(platform: Platform) -> None:
    platform.load("SP17", "SU17", "AU17")
    result = platform.prune(["SU17", "AU17"])
    assert result.success
    assert platform.slices() == {"SU17": COUNTS["SU17"], "AU17": COUNTS["AU17"]}
    row = platform.loads()[0]
    assert (row.kind, row.campaign_key, row.records) == ("prune", "SP17", 0)
    assert (row.replaced_records, row.run_id) == (COUNTS["SP17"], result.run_id)
    assert len(platform.loads()) == 4


def test_a_prune_is_a_materialization_of_the_partition(platform: Platform) -> None:
    platform.load("SP17", "SU17")
    result = platform.prune(["SU17"])
    (event,) = result.get_asset_materialization_events()
    assert event.asset_key == table_key(platform.settings.datasets["sales"])
    assert event.partition == "SP17"
    shown = platform.shown("sales/redshift_table", "SP17")
    assert shown["dagster/partition_row_count"] == 0
    assert shown["replaced_records"] == COUNTS["SP17"]
    assert shown["load_id"] == platform.loads()[0].load_id


def test_a_prune_of_most_keys_is_refused_and_removes_none(platform: Platform) -> None:
    platform.load("SP17", "SU17", "AU17")
    (said,) = failures(platform.prune(["SU17"])).values()
    assert said.startswith("2 of 3 keys would be removed from the table at once (AU17, SP17)")
    assert platform.slices() == COUNTS
    assert platform.prune(["SU17"], allow=True).success
    assert platform.slices() == {"SU17": COUNTS["SU17"]}


def test_a_prune_keeps_the_slice_of_a_campaign_that_cannot_be_read(platform: Platform) -> None:
    platform.load("SP17", "SU17", "AU17")
    platform.small.write_campaigns(CAMPAIGNS.replace("end: 2017-05-31", "end: 2017-05-32"))
    assert platform.prune(["SU17", "AU17"]).success
    assert platform.slices() == COUNTS


def test_a_prune_removes_a_due_key_from_a_dataset_it_left(platform: Platform) -> None:
    platform.small.write_dataset(OTHER_DATASET, "notes")
    platform.load("SP17", "SU17")
    platform.small.write_campaigns(CAMPAIGNS.replace("key: SP17,", "key: SP17, datasets: [sales],"))
    assert platform.prune(["SP17", "SU17"]).success
    assert platform.slices("notes") == {"SU17": COUNTS["SU17"]}
    assert platform.slices("sales") == {"SP17": COUNTS["SP17"], "SU17": COUNTS["SU17"]}


@pytest.mark.parametrize("declared", [True, False])
def test_a_prune_keeps_the_slice_that_a_due_campaign_is_compared_with_in_reports(
    platform: Platform, *, declared: bool
) -> None:
    platform.load("SP17", "SU17", "AU17")
    platform.small.write_campaigns(
        CAMPAIGNS.replace("end: 2017-11-30}", "end: 2017-11-30, compared_with: SP17}")
    )
    if declared:
        platform.small.write_dataset(DATASET.replace("query:", "reporting: {day: sold_on}\nquery:"))
    assert platform.prune(["AU17", "SU17"]).success
    kept = {"SP17"} if declared else set()
    assert platform.slices().keys() == {"AU17", "SU17"} | kept


def test_a_key_that_was_pruned_is_loaded_again_when_it_is_due_again(platform: Platform) -> None:
    platform.load("SP17", "SU17")
    platform.prune(["SU17"])
    assert platform.run("SP17").success
    assert platform.slices()["SP17"] == COUNTS["SP17"]
    assert [load.kind for load in platform.loads("SP17")] == ["load", "prune", "load"]
