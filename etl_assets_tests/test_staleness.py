"""Which partitions the UI shows as out of step with the registry.

At risk: people who load again what did not change, and tables that nobody knows to be made by
other rules, or of another season, than the registry has.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from etl_assets.definitions import build_defs
from etl_assets.refresh import Refresh
from etl_assets.resources import build_resources
from etl_assets_tests.dagster_fixtures import (
    OTHER_DATASET,
    Platform,
    keep_cursor,
    open_copy,
    open_platform,
)
from etl_assets_tests.registry_changes import OVERRIDE, RULES, move_window
from etl_assets_tests.small import CAMPAIGNS, DATASET, Small
from etl_assets_tests.ui_answers import out_of_step

AFTER_RULES = ["sales/s3_staging_csv", "sales/redshift_table"]


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a platform that two keys were refreshed on, after the sensor's first look."""
    folder = tmp_path_factory.mktemp("refreshed")
    small = Small(folder / "small").build()
    small.write_rules(RULES.format(1, 0))
    with open_platform(small, folder) as platform:
        platform.sense()
        for key in ("SP17", "SU17"):
            assert platform.run(key).success
        keep_cursor(platform, folder)
    return folder


@pytest.fixture
def platform(refreshed: Path, tmp_path: Path) -> Iterator[Platform]:
    """A copy of it for each test."""
    with open_copy(refreshed, tmp_path) as opened:
        yield opened


def observe_moved_season(platform: Platform) -> None:
    """Let the season of SP17 end a day later; the records are the same."""
    move_window(platform)
    platform.sense()


def publish(platform: Platform, text: str) -> None:
    platform.small.write_rules(text)
    platform.sense()


def test_nothing_is_out_of_step_after_a_refresh(platform: Platform) -> None:
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": [], "SU17": []}


def test_published_rules_put_stage_and_table_of_every_campaign_out_of_step(
    platform: Platform,
) -> None:
    publish(platform, RULES.format(2, 1))
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": AFTER_RULES, "SU17": AFTER_RULES}
    assert set(out_of_step(platform, "SP17", why=True)["SP17"]) == {"registry/sales_rules"}


def test_an_override_of_one_campaign_puts_that_one_out_of_step(platform: Platform) -> None:
    publish(platform, RULES.format(2, 0) + OVERRIDE)
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": AFTER_RULES, "SU17": []}


def test_rules_of_one_dataset_put_no_other_out_of_step(small: Small, tmp_path: Path) -> None:
    small.write_dataset(OTHER_DATASET, "notes")
    with open_platform(small, tmp_path) as platform:
        platform.run("SP17")
        platform.sense()
        publish(platform, RULES.format(1, 1))
        assert out_of_step(platform, "SP17") == {"SP17": AFTER_RULES}


def test_a_version_that_does_the_same_puts_nothing_out_of_step(platform: Platform) -> None:
    same = RULES.format(2, 0).replace("id: some", "id: other, comment: why")
    publish(platform, same)
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": [], "SU17": []}


def test_a_rollback_before_anything_ran_brings_everything_into_step(platform: Platform) -> None:
    publish(platform, RULES.format(2, 1))
    publish(platform, RULES.format(3, 0))
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": [], "SU17": []}


def test_a_campaign_staged_and_loaded_again_is_in_step_and_no_other(platform: Platform) -> None:
    publish(platform, RULES.format(2, 1))
    assert platform.run("SP17", *AFTER_RULES).success
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": [], "SU17": AFTER_RULES}
    publish(platform, RULES.format(3, 0))
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": AFTER_RULES, "SU17": []}


def test_a_table_is_in_step_when_what_it_was_loaded_from_is(platform: Platform) -> None:
    publish(platform, RULES.format(2, 1))
    assert platform.run("SP17", "sales/redshift_table").success  # the old stage
    assert out_of_step(platform, "SP17") == {"SP17": AFTER_RULES}
    assert platform.run("SP17", "sales/s3_staging_csv").success
    assert out_of_step(platform, "SP17") == {"SP17": ["sales/redshift_table"]}
    assert platform.run("SP17", "sales/redshift_table").success
    assert out_of_step(platform, "SP17") == {"SP17": []}


def test_a_moved_season_puts_the_extract_of_that_campaign_out_of_step(platform: Platform) -> None:
    observe_moved_season(platform)
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": ["sales/rds_extract"], "SU17": []}
    assert out_of_step(platform, "SP17", why=True) == {"SP17": ["registry/campaigns"]}


def test_changed_parameters_put_the_extract_of_that_campaign_out_of_step(
    platform: Platform,
) -> None:
    platform.small.write_campaigns(
        CAMPAIGNS.replace("name: Summer,", "name: Summer, parameters: {shop: 1},")
    )
    platform.sense()
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": [], "SU17": ["sales/rds_extract"]}


def test_a_name_or_a_pause_puts_nothing_out_of_step(platform: Platform) -> None:
    platform.small.write_campaigns(CAMPAIGNS.replace("name: Spring,", "name: Lent, paused: true,"))
    platform.sense()
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": [], "SU17": []}


def test_the_same_records_of_a_moved_season_are_another_version_of_the_extract(
    platform: Platform,
) -> None:
    """Rules may use the season: what was staged for the old one is not what the new one gives."""
    observe_moved_season(platform)
    assert platform.run("SP17", "sales/rds_extract").success
    assert platform.shown("sales/rds_extract", "SP17")["season"] == "2017-03-01 to 2017-06-01"
    assert out_of_step(platform, "SP17") == {"SP17": ["sales/s3_staging_csv"]}
    assert platform.run("SP17", "sales/s3_staging_csv").success
    assert out_of_step(platform, "SP17") == {"SP17": ["sales/redshift_table"]}
    assert platform.run("SP17", "sales/redshift_table").success
    assert out_of_step(platform, "SP17") == {"SP17": []}


def test_an_extract_anew_of_the_same_records_puts_nothing_out_of_step(platform: Platform) -> None:
    assert platform.run("SP17", "sales/rds_extract").success
    assert out_of_step(platform, "SP17") == {"SP17": []}


def test_a_refresh_that_reads_new_rules_before_the_sensor_does_is_in_step(
    platform: Platform,
) -> None:
    platform.small.write_rules(RULES.format(2, 1))
    assert platform.run("SP17").success
    assert out_of_step(platform, "SP17") == {"SP17": []}
    platform.sense()
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": [], "SU17": AFTER_RULES}


def test_a_refresh_that_had_read_the_old_rules_when_new_ones_came_is_out_of_step(
    platform: Platform, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    (platform.small.home / "registry").rename(old)
    platform.small.write_campaigns(CAMPAIGNS)
    publish(platform, RULES.format(2, 1))
    slow = build_resources(platform.with_(registry_url=f"file:{old}").settings)["registry"]
    assert platform.run("SP17", *AFTER_RULES, resources={"registry": slow}).success
    assert out_of_step(platform, "SP17") == {"SP17": AFTER_RULES}


def test_what_the_command_line_loaded_before_the_sensors_first_look_is_found_out_of_step(
    small: Small, tmp_path: Path
) -> None:
    with open_platform(small, tmp_path) as platform:
        list(Refresh(platform.settings, platform.instance).run(["SP17", "SU17"]))
        platform.sense()
        assert out_of_step(platform, "SP17", "SU17") == {"SP17": [], "SU17": []}
        publish(platform, RULES.format(1, 1))
        assert out_of_step(platform, "SP17", "SU17") == {"SP17": AFTER_RULES, "SU17": AFTER_RULES}


def test_rules_in_the_datasets_own_document_count_alike(small: Small, tmp_path: Path) -> None:
    with open_platform(small, tmp_path) as platform:
        platform.run("SP17")
        small.write_dataset(DATASET.replace("AS DATE", "AS date").replace("sold-on", "day"))
        platform.sense()
        assert out_of_step(platform, "SP17") == {"SP17": AFTER_RULES}


def test_the_registry_can_be_observed_by_hand(platform: Platform) -> None:
    """As the UI's "Observe" does, also where the daemon does not run."""
    platform.small.write_rules(RULES.format(2, 1))
    rules = dg.AssetKey(["registry", "sales_rules"])
    job = build_defs(platform.settings).resolve_implicit_global_asset_job_def()
    done = job.get_subset(asset_selection={rules}).execute_in_process(instance=platform.instance)
    seen = [event.asset_observation_data.asset_observation for event in done.all_node_events
            if event.is_asset_observation]  # fmt: skip
    assert {(o.asset_key, o.partition) for o in seen} == {
        (rules, key) for key in ("SP17", "SU17", "AU17")
    }
    assert out_of_step(platform, "SP17") == {"SP17": AFTER_RULES}
