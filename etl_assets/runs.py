"""How the last run of a key ended, and why, in words that may be shown anywhere.

Our own errors are sentences without secrets. What else went wrong is named by its class only:
its text may hold what a driver was given.
"""

from collections.abc import Collection
from dataclasses import dataclass

import dagster as dg

from etl_assets.partitions import PARTITION_TAG
from etl_assets.schedules import REFRESH_JOB

FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_WILL_RETRY = "dagster/will_retry"
"""What Dagster sets on a run that died and that it starts again by itself."""

_LOOKED_AT = 20


@dataclass(frozen=True)
class RunFailure:
    """Why a run failed.

    Attributes:
        run_id: The run.
        sentence: What failed.
        remedy: What to do; empty where the sentence says so already.
    """

    run_id: str
    sentence: str
    remedy: str


def failure_of(
    instance: dg.DagsterInstance,
    key: str,
    assets: Collection[dg.AssetKey],
    *,
    loaded_by: str,
    loaded_at: float,
) -> RunFailure | None:
    """Return why the last finished run of a key failed; None when it did not, or is made up for.

    Args:
        instance: What knows of runs.
        key: The campaign.
        assets: A dataset's chain; runs of other assets do not count.
        loaded_by: The run that last loaded the key; it did so, whatever failed in it besides.
        loaded_at: When, as a timestamp.
    """
    records = instance.get_run_records(
        dg.RunsFilter(statuses=FINISHED, tags={PARTITION_TAG: key}), limit=_LOOKED_AT
    )
    own = [r for r in records if _concerns(r.dagster_run, assets)]
    last = max(own, key=lambda r: r.end_time or r.update_timestamp.timestamp(), default=None)
    if last is None or last.dagster_run.status is dg.DagsterRunStatus.SUCCESS:
        return None
    ended = last.end_time or last.update_timestamp.timestamp()
    run = last.dagster_run
    if run.run_id == loaded_by or ended < loaded_at or run.tags.get(_WILL_RETRY) == "true":
        return None
    return explain(instance, run, {"__".join(asset.path) for asset in assets})


def explain(
    instance: dg.DagsterInstance, run: dg.DagsterRun, steps: Collection[str] | None = None
) -> RunFailure:
    """Return why a run ended as it did.

    Args:
        instance: What knows of its events.
        run: One that did not succeed.
        steps: Of whose failures are told; None for all.
    """
    look = f"See run {run.run_id[:8]} in the UI, then start it again."
    if run.status is dg.DagsterRunStatus.CANCELED:
        return RunFailure(run.run_id, "its run was cancelled.", look)
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.get_dagster_event()
        if steps is not None and event.step_key not in steps:
            continue
        data = event.step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            return RunFailure(run.run_id, data.user_failure_data.description, "")
        cause = data.error.cause or data.error if data.error else None
        name = cause.cls_name if cause else "an error"
        return RunFailure(run.run_id, f"its run failed with {name}, which was not expected.", look)
    return RunFailure(run.run_id, "its run ended before its steps did.", look)


def _concerns(run: dg.DagsterRun, assets: Collection[dg.AssetKey]) -> bool:
    if run.asset_selection:
        return not run.asset_selection.isdisjoint(assets)
    return run.job_name == REFRESH_JOB and not run.asset_check_selection
