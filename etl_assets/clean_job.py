"""The job that removes once a day what no kept load needs, and runs that are old."""

import datetime as dt
from collections.abc import Collection

import dagster as dg

from etl_assets.cleaning import find_removals, remove
from etl_assets.core.retention import Removal
from etl_assets.failures import reported_to_dagster
from etl_assets.resources import StagingResource, WarehouseResource
from etl_assets.run_history import find_old_runs, remove_runs
from etl_assets.settings import Settings

CLEAN_JOB = "clean"
_DAILY = "30 5 * * *"
"""Between the refreshes of night and afternoon; nothing younger than a day is removed."""


def build_clean_job(settings: Settings, checks: Collection[dg.AssetCheckKey]) -> dg.JobDefinition:
    """Return the job that removes extracts and parts that no kept load needs, and old runs.

    Each dataset's `keep` says how many loads, and how many days, are kept; of runs the setting
    `keep_runs_days` does. Of the `checks` the latest results are kept.
    """
    datasets = settings.datasets

    @dg.op(pool="warehouse")
    def clean_staging(
        context: dg.OpExecutionContext, staging: StagingResource, warehouse: WarehouseResource
    ) -> None:
        with reported_to_dagster(context):
            store, opened = staging.open(), warehouse.open()

            def find() -> list[Removal]:
                now = dt.datetime.now(dt.UTC)
                return find_removals(store, opened, now=now, datasets=datasets)

            found = find()
            removed = remove(store, found, find()) if found else []
        size = sum(removal.folder.bytes for removal in removed)
        for removal in removed:
            context.log.info(f"Removed {removal.folder.path}: {removal.reason}.")
        context.log.info(f"{len(removed)} folders removed, {size / (1 << 20):,.1f} MiB.")
        rows = [
            dg.TableRecord(
                {
                    "folder": removal.folder.path,
                    "bytes": removal.folder.bytes,
                    "newest": removal.folder.modified.isoformat(),
                    "reason": removal.reason,
                }
            )
            for removal in removed
        ]
        shown = {"folders": dg.MetadataValue.int(len(removed)), "bytes": dg.MetadataValue.int(size)}
        context.add_output_metadata(
            {**shown, **({"removed": dg.MetadataValue.table(rows)} if rows else {})}
        )

    @dg.op
    def clean_runs(context: dg.OpExecutionContext) -> None:
        now, days = dt.datetime.now(dt.UTC), settings.keep_runs_days
        old = find_old_runs(context.instance, checks, now=now, keep_days=days)
        remove_runs(context.instance, old)
        size = sum(run.bytes for run in old)
        context.log.info(
            f"{len(old)} runs removed that ended more than {days} days ago,"
            f" {size / (1 << 20):,.1f} MiB."
        )
        context.add_output_metadata(
            {"runs": dg.MetadataValue.int(len(old)), "bytes": dg.MetadataValue.int(size)}
        )

    @dg.job(
        name=CLEAN_JOB,
        executor_def=dg.in_process_executor,
        description="Removes from the staging store what no kept load needs, as the datasets'"
        " `keep` says, and runs that are old.",
    )
    def clean() -> None:
        clean_staging()
        clean_runs()

    return clean


def build_clean_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule that cleans every day."""
    return dg.ScheduleDefinition(
        name="clean_schedule",
        job_name=CLEAN_JOB,
        cron_schedule=_DAILY,
        execution_timezone=settings.schedule_time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes what no kept load needs, and old runs, once a day.",
    )
