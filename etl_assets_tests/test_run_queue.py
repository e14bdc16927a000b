"""The queue: the place and the tags of runs.

At risk: a refresh that waits behind a backfill of a thousand keys, and runs nobody finds again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import SubmitRunContext
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)

from etl_assets.definitions import build_defs
from etl_assets.home import open_instance
from etl_assets.run_queue import RunQueue
from etl_assets.run_tags import dataset_of, priority_of, trigger_of
from etl_assets.settings import Settings
from etl_assets_tests.small import DATASET, Small

SCHEDULED = {"dagster/schedule_name": "refresh_schedule"}
BACKFILL = {"dagster/backfill": "abcdefgh"}
RETRY = {"dagster/retry_number": "1", "dagster/parent_run_id": "x"}


@pytest.fixture
def instance(small: Small) -> Iterator[dg.DagsterInstance]:
    """The instance as `etl-assets` sets it up, with two datasets."""
    small.write_dataset(DATASET.replace("sales\n", "other\n", 1), "other")
    with open_instance(small.settings()) as opened:
        opened.add_dynamic_partitions("campaigns", [f"K{n}" for n in range(200)])
        yield opened


def submit(
    instance: dg.DagsterInstance,
    settings: Settings,
    tags: Mapping[str, str],
    *,
    key: str = "K1",
    assets: list[str] | None = None,
    job: str = "refresh",
) -> dg.DagsterRun:
    """Queue a run, as the webserver and the daemon do; return what the queue holds."""
    defs = build_defs(settings)
    selection = frozenset(dg.AssetKey(a.split("/")) for a in assets or []) or None
    location = RegisteredCodeLocationOrigin("etl_assets")
    run = instance.create_run_for_job(
        job_def=defs.resolve_job_def(job),
        remote_job_origin=RemoteRepositoryOrigin(location, "__repository__").get_job_origin(job),
        job_code_origin=None,
        tags={"dagster/partition": key, **tags},
        status=dg.DagsterRunStatus.NOT_STARTED,
        asset_selection=selection,
    )
    assert isinstance(instance.run_coordinator, RunQueue)
    return instance.run_coordinator.submit_run(SubmitRunContext(run, workspace=None))  # type: ignore[arg-type]


def first_in_line(instance: dg.DagsterInstance, *, page: int = 100) -> list[str]:
    """Return what the daemon would start next, by trigger."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1, page_size=page)
    taken = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), 0.0)
    return [run.tags["etl_assets/trigger"] for run in taken]


def test_scheduled_runs_start_first_then_those_by_hand_then_backfills(
    instance: dg.DagsterInstance, small_settings: Settings
) -> None:
    for key, tags in enumerate([BACKFILL, BACKFILL, {}, {**SCHEDULED, **RETRY}, SCHEDULED]):
        submit(instance, small_settings, tags, key=f"K{key}")
    assert first_in_line(instance) == ["schedule", "schedule", "by hand", "backfill"]
    newest, *_ = instance.get_runs()
    assert newest.tags["dagster/priority"] == "10"  # the one never started before its retry


def test_a_scheduled_run_overtakes_a_backfill_that_fills_several_pages_of_the_queue(
    instance: dg.DagsterInstance, small_settings: Settings
) -> None:
    for number in range(7):
        submit(instance, small_settings, BACKFILL, key=f"K{number}")
    submit(instance, small_settings, SCHEDULED, key="K9")
    assert first_in_line(instance, page=2)[0] == "schedule"


def test_without_priorities_the_backfill_would_go_first(
    instance: dg.DagsterInstance, small_settings: Settings
) -> None:
    """The planted failure: the same runs, as Dagster's own queue orders them."""
    for key, tags in (("K0", BACKFILL), ("K1", SCHEDULED)):
        run = submit(instance, small_settings, tags, key=key)
        instance.add_run_tags(run.run_id, {"dagster/priority": "0"})
    assert first_in_line(instance) == ["backfill", "schedule"]


@pytest.mark.parametrize(
    ("tags", "trigger", "priority"),
    [
        (SCHEDULED, "schedule", 10),
        ({**SCHEDULED, **RETRY}, "schedule", 5),
        ({"dagster/sensor_name": "registry_sensor"}, "sensor", 0),
        ({}, "by hand", 0),
        ({**SCHEDULED, "dagster/parent_run_id": "x"}, "by hand", 0),
        (BACKFILL, "backfill", -10),
        ({**BACKFILL, **RETRY}, "backfill", -10),
    ],
)
def test_what_asked_for_a_run_is_known_by_dagsters_tags(
    tags: Mapping[str, str], trigger: str, priority: int
) -> None:
    assert (trigger_of(tags), priority_of(tags)) == (trigger, priority)


def test_a_priority_that_somebody_gave_is_kept_until_the_run_is_repeated(
    instance: dg.DagsterInstance, small_settings: Settings
) -> None:
    given = submit(instance, small_settings, {**BACKFILL, "dagster/priority": "99"})
    assert given.tags["dagster/priority"] == "99"
    repeated = submit(
        instance, small_settings, {"dagster/priority": "99", "dagster/parent_run_id": given.run_id}
    )
    assert repeated.tags["dagster/priority"] == "0"


def test_a_run_says_its_campaign_and_datasets_however_it_was_asked_for(
    instance: dg.DagsterInstance, small_settings: Settings
) -> None:
    one = submit(
        instance, small_settings, {}, assets=["sales/s3_staging_csv", "sales/redshift_table"]
    )
    assert one.tags["etl_assets/campaign"] == "K1"
    assert datasets(one) == {"sales"}
    whole = submit(instance, small_settings, {}, key="K2")
    assert datasets(whole) == {"sales", "other"}
    assert datasets(submit(instance, small_settings, {}, job="clean")) == set()
    found = instance.get_runs(dg.RunsFilter(tags={"etl_assets.dataset/other": "true"}))
    assert [run.run_id for run in found] == [whole.run_id]


def datasets(run: dg.DagsterRun) -> set[str]:
    """Return the datasets a run's tags name."""
    mark = "etl_assets.dataset/"
    return {tag.removeprefix(mark) for tag in run.tags if tag.startswith(mark)}


def test_a_dataset_whose_name_looks_like_two_is_one() -> None:
    assert dataset_of(["sales__eu__rds_extract"]) == "sales__eu"
    assert dataset_of(["sales__eu", "redshift_table"]) == "sales__eu"
    assert dataset_of(["source", "sales"]) is None
    assert dataset_of(["prune_tables"]) is None


def test_the_two_instances_use_the_queue() -> None:
    for file in ("etl_assets/dagster.yaml", "deploy/dagster.yaml"):
        text = (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
        assert "module: etl_assets.run_queue\n  class: RunQueue\n" in text
