"""Old runs are removed, and no partition loses what it stands on.

At risk: a partition that the UI calls never made, or out of step, because a run was old; and a
disk that fills up.
"""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from etl_assets.assets import chain_keys
from etl_assets.clean_job import CLEAN_JOB
from etl_assets.cli import cli
from etl_assets.definitions import build_defs
from etl_assets.home import open_instance
from etl_assets.run_history import OldRun, find_old_runs, remove_runs
from etl_assets_tests.dagster_fixtures import Platform
from etl_assets_tests.small import Small

EXTRACT, _, TABLE = chain_keys("sales")
LATER = dt.timedelta(days=400)


@pytest.fixture
def platform(small: Small) -> Iterator[Platform]:
    """A small platform on an instance as `etl-assets` sets it up: a database for each run."""
    with open_instance(small.settings()) as instance:
        yield Platform(small, instance, {})


def old(platform: Platform, *, days: int = 180) -> list[OldRun]:
    """Return what may go in more than a year."""
    checks = build_defs(platform.settings).resolve_asset_graph().asset_check_keys
    now = dt.datetime.now(dt.UTC) + LATER
    return find_old_runs(platform.instance, checks, now=now, keep_days=days)


def run_ids(platform: Platform) -> set[str]:
    return {run.run_id for run in platform.instance.get_runs()}


def shown(platform: Platform) -> dict[str, object]:
    """Return what the UI says of SP17: its materializations, checks, and whether it is in step."""
    defs, instance = build_defs(platform.settings), platform.instance
    graph = defs.resolve_asset_graph()
    storage = instance.event_log_storage
    checks = storage.get_asset_check_partition_info(list(graph.asset_check_keys))
    return {
        "made": {key: instance.get_materialized_partitions(key) for key in chain_keys("sales")},
        "checks": {(c.check_key, c.partition_key, c.latest_execution_status) for c in checks},
        "stale": stale(platform),
    }


def stale(platform: Platform) -> dict[dg.AssetKey, str]:
    """Return whether Dagster calls the assets of SP17 out of step."""
    graph = build_defs(platform.settings).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(
        platform.instance, graph, LoadingContextForTest(platform.instance)
    )
    return {key: resolver.get_status(key, "SP17").value for key in chain_keys("sales")}


def files_of(platform: Platform, run_id: str) -> list[Path]:
    """Return the files of a home that have a run's id in their name or above them."""
    home = platform.settings.dagster_home
    return [path for path in home.rglob("*") if run_id in str(path) and path.is_file()]


def test_an_old_run_goes_with_its_events_and_files_and_the_pages_say_what_they_said(
    platform: Platform,
) -> None:
    first, second = (platform.run("SP17").run_id for _ in range(2))
    logs = platform.settings.dagster_home / "storage" / first / "compute_logs" / "x.out"
    logs.parent.mkdir(parents=True)
    logs.write_text("said", encoding="utf-8")
    before = shown(platform)
    assert len(files_of(platform, first)) > 1
    found = old(platform)
    assert [(run.run_id, run.job, run.key, run.status) for run in found] == [
        (first, "refresh", "SP17", "success")
    ]
    assert found[0].bytes > 100_000
    remove_runs(platform.instance, found)
    assert run_ids(platform) == {second}
    assert files_of(platform, first) == []
    assert platform.instance.event_log_storage.get_logs_for_run(second)
    assert shown(platform) == before
    assert platform.run("SP17").success


def test_a_run_is_kept_as_long_as_it_is_young_or_has_not_ended(platform: Platform) -> None:
    platform.run("SP17")
    platform.run("SP17")
    assert old(platform, days=401) == []
    job = build_defs(platform.settings).resolve_job_def("refresh")
    waiting = platform.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert waiting.run_id not in {run.run_id for run in old(platform)}
    assert len(old(platform)) == 1


def test_what_only_an_old_run_made_stays(platform: Platform) -> None:
    made = platform.run("SP17")
    platform.run("SP17", "sales/redshift_table")  # extract and stage rest on the old one
    assert old(platform) == []
    remove_runs(platform.instance, [OldRun(made.run_id, "", "", "", dt.datetime.now(dt.UTC), 0)])
    gone = platform.instance.get_materialized_partitions(EXTRACT)
    assert gone == set(), "the planted failure: without its run the partition was never made"


def test_the_run_that_a_partition_was_made_from_stays_when_its_source_was_made_again(
    platform: Platform,
) -> None:
    made = platform.run("SP17").run_id
    platform.run("SP17", "sales/s3_staging_csv", "sales/redshift_table")
    platform.run("SP17", "sales/rds_extract")  # equal to that the stage was made from
    before = stale(platform)
    assert set(before.values()) == {"FRESH"}
    assert made not in {run.run_id for run in old(platform)}
    remove_runs(platform.instance, old(platform))
    assert stale(platform) == before
    remove_runs(platform.instance, [OldRun(made, "", "", "", dt.datetime.now(dt.UTC), 0)])
    assert "STALE" in stale(platform).values(), "the planted failure: nothing to compare with"


def test_the_last_run_of_a_campaign_stays_also_when_it_made_nothing(platform: Platform) -> None:
    failed = platform.run("NONE")
    assert not failed.success
    assert old(platform) == []
    platform.run("NONE")
    assert [run.run_id for run in old(platform)] == [failed.run_id]


def test_what_was_interrupted_is_found_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = platform.run("SP17").run_id
    platform.run("SP17")

    def killed(_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(platform.instance.run_storage, "delete_run", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_runs(platform.instance, old(platform))
    assert [run.run_id for run in old(platform)] == [first]
    remove_runs(platform.instance, old(platform))
    assert old(platform) == []
    assert files_of(platform, first) == []


def test_command_and_job_remove_the_same_and_the_command_only_when_told_to(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, _ = (platform.run("SP17").run_id for _ in range(3))
    long_ago = dt.datetime.now(dt.UTC) - LATER
    with platform.instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        for column in ("create_timestamp", "start_time", "end_time"):
            at = long_ago.timestamp() if column != "create_timestamp" else str(long_ago)[:26]
            connection.exec_driver_sql(
                f"UPDATE runs SET {column} = ? WHERE run_id = ?", (at, first)
            )
    monkeypatch.setenv("ETL_ASSETS_HOME", str(platform.small.home))
    monkeypatch.setenv("ETL_ASSETS_DATASETS", str(platform.small.home / "datasets"))

    def clean(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["runs", "clean", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    assert first[:8] in clean()
    assert "Nothing was removed; --yes removes them." in clean()
    assert [row["run_id"] for row in json.loads(clean("--json"))["found"]] == [first]
    assert json.loads(clean("--json", "--keep-days", "500")) == {"found": [], "removed": []}
    assert len(run_ids(platform)) == 3
    job = build_defs(platform.settings).resolve_job_def(CLEAN_JOB)
    result = job.execute_in_process(instance=platform.instance)
    assert result.success
    assert first not in run_ids(platform)
    assert clean("--yes") == "No run can be removed that ended more than 180 days ago.\n"
