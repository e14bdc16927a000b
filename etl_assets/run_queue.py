"""Dagster's run queue, in which every run is given its tags and its place.

`dagster.yaml` names it as `run_coordinator`. All runs pass here on their way into the queue:
those of the schedules, the sensor, the UI and backfills. A backfill that was begun in the UI
thus stands behind a scheduled refresh as one from the command line does.
"""

from collections.abc import Iterator

import dagster as dg
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext

from etl_assets.partitions import PARTITION_TAG
from etl_assets.run_tags import (
    CAMPAIGN_TAG,
    TRIGGER_TAG,
    dataset_of,
    dataset_tags,
    priority_of,
    trigger_of,
)

PRIORITY_TAG = "dagster/priority"


class RunQueue(QueuedRunCoordinator):
    """A queue that starts scheduled runs before others, and backfills last."""

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Tag a run, then queue it."""
        run = context.dagster_run
        if run.status is dg.DagsterRunStatus.NOT_STARTED:
            self._instance.add_run_tags(run.run_id, queue_tags(run, self._instance))
        return super().submit_run(context)


def queue_tags(run: dg.DagsterRun, instance: dg.DagsterInstance) -> dict[str, str]:
    """Return the tags a run gets when it is queued.

    A priority that somebody gave it is kept, unless it came with the tags of a run that this
    one repeats.
    """
    tags = {TRIGGER_TAG: trigger_of(run.tags), **dataset_tags(_datasets(run, instance))}
    if PARTITION_TAG in run.tags:
        tags[CAMPAIGN_TAG] = run.tags[PARTITION_TAG]
    if PRIORITY_TAG not in run.tags or "dagster/parent_run_id" in run.tags:
        tags[PRIORITY_TAG] = str(priority_of(run.tags))
    return tags


def _datasets(run: dg.DagsterRun, instance: dg.DagsterInstance) -> Iterator[str]:
    """Yield the datasets of the assets and checks that a run is of."""
    paths = [key.path for key in run.asset_selection or ()]
    paths += [check.asset_key.path for check in run.asset_check_selection or ()]
    if not paths and run.execution_plan_snapshot_id:  # a whole job: its steps say
        plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
        paths = [[step] for step in plan.step_keys_to_execute]
    for path in paths:
        if dataset := dataset_of(path):
            yield dataset
