"""Dagster's home: made from the template once, and the user's from then on.

At risk: runs of one key at the same time, figures sent to others, and an edit that is lost.
"""

import os
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.run_coordinator import QueuedRunCoordinator

from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.home import TEMPLATE, end_dead_runs, open_instance, prepare_home, refresh_lock
from etl_assets.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_the_template_is_an_instance_as_the_design_says(settings: Settings) -> None:
    with open_instance(settings) as instance:
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.tag_concurrency_limits == [
            {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
        ]
        assert instance.run_coordinator.dequeue_use_threads
        assert instance.run_coordinator.dequeue_interval_seconds == 1
        assert instance.get_settings("telemetry") == {"enabled": False}
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.run_retries_enabled
        assert instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False
        assert instance.run_monitoring_enabled
        assert instance.scheduler is not None
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 4


def test_the_daemon_tries_a_failed_tick_again(settings: Settings) -> None:
    with open_instance(settings) as instance:
        assert isinstance(instance.scheduler, dg._core.scheduler.DagsterDaemonScheduler)
        assert instance.scheduler.max_tick_retries == 3


def test_the_template_is_copied_once_and_an_edit_is_kept(settings: Settings) -> None:
    config = prepare_home(settings) / "dagster.yaml"
    assert config.read_text(encoding="utf-8") == TEMPLATE.read_text(encoding="utf-8")
    edited = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    edited["concurrency"]["runs"]["max_concurrent_runs"] = 9
    config.write_text(yaml.safe_dump(edited), encoding="utf-8")
    prepare_home(settings)
    with open_instance(settings) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 9


def test_a_home_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(PermanentError, match=r"cannot be written \(Not a directory\).*ETL_ASSETS_"):
        prepare_home(Settings(home=tmp_path / "file" / "home"))


def test_the_lock_is_one_at_a_time_and_names_its_holder(settings: Settings) -> None:
    with (
        refresh_lock(settings),
        pytest.raises(TransientError, match=rf"\(process {os.getpid()}\)"),
        refresh_lock(settings),
    ):
        pass
    with refresh_lock(settings):
        pass


def test_only_dead_runs_of_the_command_line_are_ended(settings: Settings) -> None:
    @dg.job
    def work() -> None:
        pass

    started = dg.DagsterRunStatus.STARTED
    with open_instance(settings) as instance:
        ours = instance.create_run_for_job(
            work, tags={"etl_assets/command_line": "true"}, status=started
        )
        daemons = instance.create_run_for_job(work, status=started)
        assert end_dead_runs(instance) == [ours.run_id]
        statuses = {run.run_id: run.status for run in instance.get_runs()}
        assert statuses == {ours.run_id: dg.DagsterRunStatus.FAILURE, daemons.run_id: started}
        assert end_dead_runs(instance) == []
