"""The check of each key that it is fresh, as the daemon and the UI see it.

At risk: a key that nobody refreshes and that stays green, since nothing materializes it; one
that is red for ever; and a run each minute that says what is said already.
"""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus as Status,
)

from etl_assets import health
from etl_assets.definitions import build_defs
from etl_assets.freshness import NAME
from etl_assets.freshness_job import FRESHNESS_JOB
from etl_assets_tests.dagster_fixtures import Platform, open_copy, open_platform
from etl_assets_tests.small import Small
from etl_assets_tests.test_health import RUNNING, fail, sense

EVALUATED = {Status.SUCCEEDED: True, Status.FAILED: False}
KEY = dg.AssetCheckKey(dg.AssetKey(["sales", "redshift_table"]), NAME)
ENDED = "  - {key: AU17, name: Autumn, start: 2017-09-01, end: 2017-11-30}\n"


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a platform on which SP17 was refreshed; SU17 is due, too."""
    folder = tmp_path_factory.mktemp("refreshed")
    small = Small(folder / "small").build()
    small.write_campaigns(RUNNING + ENDED)
    with open_platform(small, folder) as platform:
        platform.sense()
        assert platform.run("SP17").success
    return folder


@pytest.fixture
def platform(refreshed: Path, tmp_path: Path) -> Iterator[Platform]:
    """A copy of it for each test."""
    with open_copy(refreshed, tmp_path) as opened:
        yield opened.with_(schedule="0 * * * *")


@pytest.fixture
def in_three_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be three hours later."""
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=3)
    monkeypatch.setattr(health, "now", lambda: later)


def look(platform: Platform) -> Any:  # noqa: ANN401
    """Evaluate the sensor, and run what it asks for; return the tick."""
    tick = sense(platform, platform.kept.get("health"))
    platform.kept["health"] = tick.cursor
    for request in tick.run_requests:
        job = build_defs(platform.settings).resolve_job_def(FRESHNESS_JOB)
        done = job.execute_in_process(instance=platform.instance, run_config=request.run_config)
        assert done.success
    return tick


def evaluated(platform: Platform) -> dict[str, dg.AssetCheckEvaluation]:
    """Return the latest evaluation of each key."""
    history = platform.instance.event_log_storage.get_asset_check_execution_history(
        KEY, limit=100, status=set(EVALUATED)
    )
    found: dict[str, dg.AssetCheckEvaluation] = {}
    for record in history:
        assert record.evaluation
        found.setdefault(str(record.evaluation.partition), record.evaluation)
    return found


def said(platform: Platform) -> dict[str, Any]:
    """Return what the check says of each key now."""
    return {key: one.metadata["state"].value for key, one in evaluated(platform).items()}


def shown(platform: Platform) -> dict[str, bool]:
    """Return whether the check of each key passed, of those of which the UI shows that."""
    infos = platform.instance.event_log_storage.get_asset_check_partition_info([KEY])
    return {
        str(info.partition_key): EVALUATED[info.latest_execution_status]
        for info in infos
        if info.is_current and info.latest_execution_status in EVALUATED
    }


def test_a_load_says_that_its_key_is_fresh_in_its_own_run(platform: Platform) -> None:
    result = platform.run("SU17")
    (evaluation,) = [e for e in result.get_asset_check_evaluations() if e.check_name == NAME]
    assert (evaluation.passed, evaluation.partition) == (True, "SU17")
    assert evaluation.target_materialization_data


def test_a_key_found_unchanged_is_fresh(platform: Platform) -> None:
    platform.run("SP17")
    assert platform.shown("sales/redshift_table", "SP17")["unchanged"] is True
    assert said(platform)["SP17"] == "fresh"


def test_keys_that_nobody_loaded_are_told_by_one_run_of_the_sensors(platform: Platform) -> None:
    tick = look(platform)
    assert len(tick.run_requests) == 1
    assert said(platform) == {"SP17": "fresh", "SU17": "new", "AU17": "not due"}
    assert look(platform).run_requests == []


@pytest.mark.usefixtures("in_three_hours")
def test_a_key_turns_red_by_itself_when_its_deadline_has_passed(platform: Platform) -> None:
    look(platform)
    assert said(platform) == {"SP17": "late", "SU17": "late", "AU17": "not due"}
    assert shown(platform) == {"SP17": False, "SU17": False, "AU17": True}
    assert look(platform).run_requests == []


def test_a_key_told_before_turns_red_again_and_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster takes a second evaluation of a partition without a run for the first."""
    start = dt.datetime.now(dt.UTC)
    seen = []
    for hours in (0, 3, 0, 3):
        monkeypatch.setattr(health, "now", lambda h=hours: start + dt.timedelta(hours=h))
        look(platform)
        seen.append(said(platform)["SP17"])
    assert seen == ["fresh", "late", "fresh", "late"]


@pytest.mark.usefixtures("in_three_hours")
def test_a_key_that_left_the_season_is_red_no_more(platform: Platform) -> None:
    look(platform)
    platform.small.write_campaigns(RUNNING.replace("2199-05-31", "2017-05-31") + ENDED)
    look(platform)
    assert said(platform)["SP17"] == "not due"


def test_a_held_load_is_a_warning_that_says_so_and_becomes_late_by_itself(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.small.run_sql("DELETE FROM sales")
    result = platform.run("SP17")
    (evaluation,) = [e for e in result.get_asset_check_evaluations() if e.check_name == NAME]
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "held for approval" in str(evaluation.description)
    look(platform)
    assert said(platform)["SP17"] == "held"
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=3)
    monkeypatch.setattr(health, "now", lambda: later)
    look(platform)
    assert said(platform)["SP17"] == "late"


@pytest.mark.usefixtures("in_three_hours")
def test_a_key_whose_run_failed_is_late_and_says_why(platform: Platform) -> None:
    fail(platform, "SP17")
    look(platform)
    said_of_it = str(evaluated(platform)["SP17"].description)
    assert "Its last run failed: The source refused the login." in said_of_it


def test_a_campaign_that_cannot_be_read_is_red(platform: Platform) -> None:
    text = (RUNNING + ENDED).replace("end: 2199-05-31", "end: 2016-05-31")
    platform.small.write_campaigns(text)
    look(platform)
    assert said(platform)["SP17"] == "unusable"


def test_the_same_keys_are_not_asked_for_each_minute_when_the_run_does_not_help(
    platform: Platform,
) -> None:
    first = sense(platform)
    assert len(first.run_requests) == 1
    assert sense(platform, first.cursor).run_requests == []
    told = json.loads(first.cursor)
    told["asked"][1] -= 901
    assert len(sense(platform, json.dumps(told)).run_requests) == 1


def test_a_key_with_a_run_in_flight_is_left_to_that_run(platform: Platform) -> None:
    platform.start_run("SU17", dg.DagsterRunStatus.STARTED)
    (request,) = look(platform).run_requests
    assert request.run_config["ops"]["evaluate_freshness"]["config"]["campaigns"] == {
        "sales": ["AU17"]
    }
