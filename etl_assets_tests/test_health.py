"""The standing check: no key is failed or late.

At risk: a refresh that does not happen, or fails each night, and nobody notices; and a check
that cries when nothing is wrong, so that nobody listens.
"""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets.core.errors import SourceError
from etl_assets.core.health import Health
from etl_assets.definitions import build_defs
from etl_assets.health import CHECK, look
from etl_assets.key_states import key_states
from etl_assets.resources import SourceResource, build_resources
from etl_assets.systems.protocols import Source
from etl_assets_tests.dagster_fixtures import OTHER_DATASET, Platform, open_platform
from etl_assets_tests.small import Small

RUNNING = """\
campaigns:
  - {key: SP17, name: Spring, start: 2017-03-01, end: 2199-05-31}
  - {key: SU17, name: Summer, start: 2017-05-15, end: 2199-08-31}
"""
KEY = dg.AssetCheckKey(dg.AssetKey(["sales", "redshift_table"]), CHECK)


class Broken(SourceResource):
    """A source whose driver says something that nobody expected, or that we refuse."""

    ours: bool

    def open(self) -> Source:
        if self.ours:
            raise SourceError("The source refused the login.", "Check the password.")
        raise ValueError("mysql://root:hunter2@db")


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    small.write_campaigns(RUNNING)
    with open_platform(small, tmp_path) as opened:
        yield opened.with_(schedule="0 * * * *")


def found(platform: Platform, *, hours: float = 0, dataset: str = "sales") -> Health:
    """Look at the platform as it will be in so many hours."""
    now = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    registry = platform.settings.open_registry().read()
    every = look(platform.settings, registry, platform.instance, now)
    return next(health for health in every if health.dataset == dataset)


def told(health: Health) -> dict[str, str]:
    return {problem.key: problem.kind for problem in health.problems}


def fail(platform: Platform, key: str, *, ours: bool = True) -> dg.ExecuteInProcessResult:
    source = Broken(url=platform.settings.source_url, ours=ours)
    result = platform.run(key, resources={"source": source})
    assert not result.success
    return result


def sense(platform: Platform, cursor: str | None = None) -> Any:  # noqa: ANN401
    """Evaluate the sensor once, and report what it asks the daemon to report."""
    defs = build_defs(platform.settings)
    with dg.build_sensor_context(
        instance=platform.instance,
        cursor=cursor,
        repository_def=defs.get_repository_def(),
        resources={"registry": build_resources(platform.settings)["registry"]},
    ) as context:
        tick = defs.get_repository_def().get_sensor_def("health_sensor").evaluate_tick(context)
    for event in tick.asset_events:
        platform.instance.report_runless_asset_event(event)
    return tick


def shown(platform: Platform) -> dg.AssetCheckEvaluation:
    """Return what the UI shows of the check."""
    storage = platform.instance.event_log_storage
    record = storage.get_latest_asset_check_execution_by_key([KEY])[KEY]
    assert record.event
    assert record.event.dagster_event
    return record.event.dagster_event.asset_check_evaluation_data


def test_keys_that_were_refreshed_are_well_until_they_miss_a_tick(platform: Platform) -> None:
    for key in ("SP17", "SU17"):
        assert platform.run(key).success
    assert told(found(platform)) == {}
    assert found(platform).due == 2
    assert told(found(platform, hours=3)) == {"SP17": "late", "SU17": "late"}


def test_a_key_found_unchanged_counts_as_refreshed(platform: Platform) -> None:
    platform.run("SP17")
    platform.run("SP17")
    assert platform.shown("sales/redshift_table", "SP17")["unchanged"] is True
    assert "SP17" not in told(found(platform))


def test_a_key_that_was_never_loaded_is_late(platform: Platform) -> None:
    platform.run("SP17")
    assert told(found(platform)) == {"SU17": "late"}


def test_a_campaign_that_is_new_has_until_the_tick_after_it(platform: Platform) -> None:
    platform.sense()
    assert told(found(platform)) == {}
    assert told(found(platform, hours=3)) == {"SP17": "late", "SU17": "late"}


def test_how_late_is_late_is_the_datasets_to_say(platform: Platform, small: Small) -> None:
    platform.run("SP17")
    text = (small.home / "datasets/sales.yaml").read_text(encoding="utf-8")
    small.write_dataset(text.replace("primary_key", "late_after_minutes: 600\nprimary_key"))
    assert "SP17" not in told(found(platform, hours=3))
    assert told(found(platform, hours=12))["SP17"] == "late"


def test_a_failed_run_is_told_with_its_sentence_and_remedy(platform: Platform) -> None:
    platform.run("SP17")
    fail(platform, "SP17")
    (problem,) = [p for p in found(platform).problems if p.key == "SP17"]
    assert problem.kind == "failed"
    assert problem.lacks == "The source refused the login. Check the password."


def test_an_error_nobody_expected_is_named_by_its_class_alone(platform: Platform) -> None:
    fail(platform, "SP17", ours=False)
    description = found(platform).description
    assert "its run failed with ValueError, which was not expected" in description
    assert "hunter2" not in description


def test_a_good_load_makes_up_for_a_failure(platform: Platform) -> None:
    fail(platform, "SP17")
    platform.run("SP17")
    assert "SP17" not in told(found(platform))


def test_a_cancelled_run_counts_as_failed(platform: Platform) -> None:
    platform.run("SP17")
    run = platform.start_run("SP17", dg.DagsterRunStatus.STARTED)
    platform.instance.report_run_canceled(run)
    (problem,) = [p for p in found(platform).problems if p.key == "SP17"]
    assert problem.lacks == "its run was cancelled."


def test_a_run_that_dagster_starts_again_itself_has_not_failed_yet(platform: Platform) -> None:
    platform.run("SP17")
    run = platform.start_run("SP17", dg.DagsterRunStatus.STARTED)
    platform.instance.report_run_failed(run)
    assert told(found(platform))["SP17"] == "failed"
    platform.instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    assert "SP17" not in told(found(platform))


def test_one_datasets_failure_is_not_anothers(platform: Platform, small: Small) -> None:
    small.write_dataset(OTHER_DATASET, "notes")
    platform.run("SP17")
    small.run_sql("ALTER TABLE sales RENAME COLUMN quantity TO pieces")
    assert not platform.run("SP17").success
    assert told(found(platform))["SP17"] == "failed"
    assert "SP17" not in told(found(platform, dataset="notes"))


def test_a_run_of_other_assets_is_no_run_of_the_dataset(platform: Platform, small: Small) -> None:
    small.write_dataset(OTHER_DATASET, "notes")
    platform.run("SP17")
    small.run_sql("ALTER TABLE sales RENAME COLUMN note TO remark")
    assert not platform.run("SP17", "notes/rds_extract").success
    assert told(found(platform, dataset="notes"))["SP17"] == "failed"
    assert "SP17" not in told(found(platform))


def test_a_campaign_that_cannot_be_read_has_failed(platform: Platform, small: Small) -> None:
    platform.run("SP17")
    small.write_campaigns(RUNNING.replace("end: 2199-05-31", "end: 2016-05-31"))
    (problem,) = [p for p in found(platform).problems if p.key == "SP17"]
    assert problem.kind == "failed"
    assert "`end` (2016-05-31) is before `start`" in problem.lacks


def test_a_key_that_is_not_due_is_not_missed(platform: Platform, small: Small) -> None:
    small.write_campaigns(RUNNING.replace("2199-08-31", "2017-08-31"))
    assert found(platform).due == 1
    assert set(told(found(platform))) == {"SP17"}


def test_a_slice_that_was_removed_and_is_due_again_is_late(platform: Platform) -> None:
    for key in ("SP17", "SU17"):
        platform.run(key)
    assert platform.prune(["SU17"]).success
    lacks = {problem.key: problem.lacks for problem in found(platform, hours=3).problems}
    assert lacks["SP17"].startswith("nothing of it is loaded")
    assert lacks["SU17"].startswith("it was last refreshed at")


def test_a_load_that_is_held_is_told_by_its_own_check_and_is_not_late(platform: Platform) -> None:
    platform.run("SP17")
    loaded_at = platform.loads()[0].committed_at
    platform.small.run_sql("DELETE FROM sales")
    assert platform.run("SP17").success
    dataset, registry = (
        platform.settings.datasets["sales"],
        platform.settings.open_registry().read(),
    )
    (state,) = key_states(dataset, ["SP17"], registry, platform.instance, set())
    assert state.failure == ""
    assert state.refreshed_at is not None
    assert state.refreshed_at > loaded_at + dt.timedelta(seconds=0.1)
    assert "SP17" not in told(found(platform))


def test_the_sensor_reports_the_check_without_a_run(platform: Platform) -> None:
    platform.run("SP17")
    runs = platform.instance.get_runs_count()
    tick = sense(platform)
    evaluation = shown(platform)
    assert not evaluation.passed
    assert evaluation.partition is None
    assert {name: value.value for name, value in evaluation.metadata.items()
            if name in ("due", "failed", "late")} == {"due": 2, "failed": 0, "late": 1}  # fmt: skip
    samples: Any = evaluation.metadata["sample"].value
    (sample,) = samples
    assert sample["key"] == "SU17"
    assert "refresh --key SU17" in sample["do"]
    assert str(evaluation.description).startswith("2 keys are due in sales: 0 failed, 1 late. SU17")
    platform.run("SU17")
    sense(platform, tick.cursor)
    assert shown(platform).passed
    assert platform.instance.get_runs_count() == runs + 1


def test_what_stays_the_same_is_reported_again_after_some_minutes_only(platform: Platform) -> None:
    first = sense(platform)
    assert len(first.asset_events) == 1
    assert sense(platform, first.cursor).asset_events == []
    told = json.loads(first.cursor)
    told["datasets"]["sales"][1] -= 301
    assert len(sense(platform, json.dumps(told)).asset_events) == 1


def test_no_refresh_runs_the_check_and_the_button_does(platform: Platform) -> None:
    names = {e.check_name for e in platform.run("SP17").get_asset_check_evaluations()}
    assert CHECK not in names
    job = build_defs(platform.settings).resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_check_selection={KEY}).execute_in_process(
        instance=platform.instance
    )
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert "SU17 late" in str(evaluation.description)


def test_the_sensor_is_on_and_looks_every_minute(platform: Platform) -> None:
    sensor = build_defs(platform.settings).get_repository_def().get_sensor_def("health_sensor")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 60
