"""The refresh twice a day, and the pruning beside it."""

import datetime as dt
from collections.abc import Collection
from dataclasses import replace
from zoneinfo import ZoneInfo

import dagster as dg

from etl_assets.assets import chain_keys, table_key
from etl_assets.core.changes import keys_to_prune
from etl_assets.core.datasets import Dataset
from etl_assets.core.manifest import Load
from etl_assets.core.orders import order_for
from etl_assets.core.registry import Registry
from etl_assets.core.standing import standing_of
from etl_assets.failures import NO_RUN_RETRY, reported_to_dagster
from etl_assets.kept import new_id
from etl_assets.metadata import prune_metadata
from etl_assets.partitions import describe_changes, sync_partitions
from etl_assets.refresh_together import TOGETHER_JOB, together_config
from etl_assets.resources import RegistryResource, StagingResource, WarehouseResource, revision_tags
from etl_assets.run_tags import CAMPAIGN_TAG, dataset_tags
from etl_assets.settings import Settings
from etl_assets.systems.protocols import Staging, Warehouse

REFRESH_JOB = "refresh"
PRUNE_JOB = "prune"


class PruneConfig(dg.Config):
    """What a prune keeps.

    Attributes:
        due: The keys the calendar says; every other key leaves the tables, and a due one
            leaves those of datasets that its campaign takes no part in.
        allow_mass_removal: Whether more than half of a table's keys may go at once.
    """

    due: list[str]
    allow_mass_removal: bool = False


def build_refresh_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule that refreshes the keys due at each tick, a run per key."""

    @dg.schedule(
        name="refresh_schedule",
        job_name=REFRESH_JOB,
        cron_schedule=settings.schedule,
        execution_timezone=settings.schedule_time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Refreshes every campaign the calendar says, a run per key.",
    )
    def refresh_schedule(
        context: dg.ScheduleEvaluationContext, registry: RegistryResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        read = registry.open().read()  # an error fails the tick, and nothing is concluded from it
        changes = sync_partitions(
            context.instance, read, allow_mass_removal=settings.allow_mass_removal
        )
        if described := describe_changes(changes):
            context.log.info(described)
        moment = tick_moment(context, settings)
        keys = runnable(read, read.due_at(moment), settings)
        if not keys:
            return dg.SkipReason(f"No campaign is due at {moment.isoformat()}.")
        alone = [key for key in keys if assets_of(read, key, settings) != []]
        if not alone:
            return dg.SkipReason(f"All campaigns due at {moment.isoformat()} refresh together.")
        return [
            dg.RunRequest(
                run_key=f"{moment:%Y%m%dT%H%M%z}:{key}",
                partition_key=key,
                tags={
                    CAMPAIGN_TAG: key,
                    "etl_assets/tick": moment.isoformat(),
                    **revision_tags(read),
                },
                asset_selection=assets_of(read, key, settings),
            )
            for key in alone
        ]

    return refresh_schedule


def build_together_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule that refreshes datasets whose keys belong together, a run for each."""

    @dg.schedule(
        name="refresh_together_schedule",
        job_name=TOGETHER_JOB,
        cron_schedule=settings.schedule,
        execution_timezone=settings.schedule_time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Refreshes the datasets that say `together`, all keys of one in a run.",
    )
    def refresh_together_schedule(
        context: dg.ScheduleEvaluationContext, registry: RegistryResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        read = registry.open().read()
        sync_partitions(context.instance, read, allow_mass_removal=settings.allow_mass_removal)
        moment = tick_moment(context, settings)
        due = runnable(read, read.due_at(moment), settings)
        requests = [
            dg.RunRequest(
                run_key=f"{moment:%Y%m%dT%H%M%z}:{dataset.name}",
                run_config=together_config(dataset, keys),
                tags={
                    "etl_assets/tick": moment.isoformat(),
                    **dataset_tags([dataset.name]),
                    **revision_tags(read),
                },
            )
            for dataset in settings.datasets.values()
            if dataset.together and (keys := sorted(due_in(dataset, read, due)))
        ]
        return requests or dg.SkipReason(f"No campaign is due at {moment.isoformat()}.")

    return refresh_together_schedule


def build_prune_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule that removes the slices of keys that left the calendar."""

    @dg.schedule(
        name="prune_schedule",
        job_name=PRUNE_JOB,
        cron_schedule=settings.schedule,
        execution_timezone=settings.schedule_time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes from the tables the keys that left the calendar.",
    )
    def prune_schedule(
        context: dg.ScheduleEvaluationContext, registry: RegistryResource
    ) -> dg.RunRequest | dg.SkipReason:
        if settings.keep_expired:
            return dg.SkipReason("ETL_ASSETS_KEEP_EXPIRED keeps keys that left the calendar.")
        read = registry.open().read()
        moment = tick_moment(context, settings)
        due = runnable(read, read.due_at(moment), settings)
        if not due and moment.date() not in read.entries:
            return dg.SkipReason(
                f"No campaign is due at {moment.isoformat()}, and the calendar does not say that"
                " this is meant (an empty list for the date): the tables keep what they hold."
            )
        config = PruneConfig(due=due, allow_mass_removal=settings.allow_mass_removal)
        return dg.RunRequest(
            run_key=f"{moment:%Y%m%dT%H%M%z}",
            run_config=dg.RunConfig(ops={"prune_tables": config}),
            tags={"etl_assets/tick": moment.isoformat()},
        )

    return prune_schedule


def build_prune_job(settings: Settings) -> dg.JobDefinition:
    """Return the job that removes the slices of keys that left the calendar."""
    datasets = settings.datasets

    @dg.op(pool="warehouse")
    def prune_tables(
        context: dg.OpExecutionContext,
        config: PruneConfig,
        registry: RegistryResource,
        staging: StagingResource,
        warehouse: WarehouseResource,
    ) -> None:
        with reported_to_dagster(context):
            read = registry.open().read()
            opened = warehouse.open()
            for dataset in datasets.values():
                for load in prune_dataset(
                    dataset,
                    opened,
                    staging.open(),
                    due=kept_in(dataset, read, config.due),
                    uncertain=set(read.problems),
                    run_id=context.run_id,
                    allow_mass_removal=config.allow_mass_removal,
                ):
                    context.log.info(f"{load.campaign_key} left {load.table}: {load.proof}")
                    context.log_event(
                        dg.AssetMaterialization(
                            table_key(dataset),
                            partition=load.campaign_key,
                            description="The key left the calendar; its slice was removed.",
                            metadata=prune_metadata(load),
                        )
                    )

    @dg.job(
        name=PRUNE_JOB,
        executor_def=dg.in_process_executor,
        run_tags=NO_RUN_RETRY,
        description="Removes from the tables every key that is not in `due`.",
    )
    def prune() -> None:
        prune_tables()

    return prune


def prune_dataset(
    dataset: Dataset,
    warehouse: Warehouse,
    staging: Staging,
    *,
    due: set[str],
    uncertain: set[str],
    run_id: str | None,
    allow_mass_removal: bool,
) -> list[Load]:
    """Remove the slices of keys that left the calendar, each in its own transaction.

    A slice that a person put on hold stays.

    Raises:
        MassRemovalError: When more than half of the table's keys would go; none goes.
        WarehouseError: When a removal fails; that slice is what it was.
    """
    gone = keys_to_prune(
        loaded=warehouse.slices(dataset).keys(),
        due=due,
        uncertain=uncertain,
        allow_mass_removal=allow_mass_removal,
    )
    removed = []
    for key in gone:
        standing = standing_of(warehouse.loads(dataset=dataset.name, key=key))
        if standing.kept is None:
            order = order_for("prune", dataset, key, new_id(dt.datetime.now(dt.UTC)))
            order = replace(order, over=standing.newest, run_id=run_id)
            removed += warehouse.commit([order], staging)
    return removed


def due_in(dataset: Dataset, registry: Registry, due: Collection[str]) -> set[str]:
    """Return the due keys whose campaign takes part in a dataset."""
    campaigns = registry.campaigns
    return {k for k in due if k not in campaigns or campaigns[k].takes_part_in(dataset.name)}


def kept_in(dataset: Dataset, registry: Registry, due: Collection[str]) -> set[str]:
    """Return the keys whose slices stay in a dataset's table: due, or compared with a due one."""
    keys = due_in(dataset, registry, due)
    if dataset.reporting is None:
        return keys
    read = (registry.campaigns[key].compared_with for key in keys if key in registry.campaigns)
    return keys | {other for other in read if other}


def tick_moment(context: dg.ScheduleEvaluationContext, settings: Settings) -> dt.datetime:
    """Return the instant a tick stands for, also when it runs late, in the schedule's zone."""
    return context.scheduled_execution_time.astimezone(ZoneInfo(settings.schedule_time_zone))


def runnable(registry: Registry, due: Collection[str], settings: Settings) -> list[str]:
    """Return the due keys that take part in a dataset, and those whose campaign cannot be read.

    The latter fail in their own run, where people look; silence would hide them.
    """
    datasets = settings.datasets.values()
    return sorted(
        key
        for key in {*due, *registry.problems}
        if any(due_in(dataset, registry, [key]) for dataset in datasets)
    )


def assets_of(registry: Registry, key: str, settings: Settings) -> list[dg.AssetKey] | None:
    """Return the assets a key's run materializes; None for all of them.

    Those of datasets whose keys are refreshed together are not among them.
    """
    campaign = registry.campaigns.get(key)
    everything = campaign is None or campaign.datasets is None
    if everything and not any(d.together for d in settings.datasets.values()):
        return None
    return [
        asset
        for name, dataset in settings.datasets.items()
        if not dataset.together and (campaign is None or campaign.takes_part_in(name))
        for asset in chain_keys(name)
    ]
