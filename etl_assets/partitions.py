"""The campaign partitions, kept equal to the registry's keys."""

import dagster as dg

from etl_assets.core.changes import PartitionChanges, partition_changes
from etl_assets.core.registry import Registry

CAMPAIGNS = dg.DynamicPartitionsDefinition(name="campaigns")
PARTITION_TAG = "dagster/partition"

IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def sync_partitions(
    instance: dg.DagsterInstance, registry: Registry, *, allow_mass_removal: bool
) -> PartitionChanges:
    """Make the partitions match the registry; return what was changed and what was not."""
    changes = partition_changes(
        registered=registry.keys,
        existing=instance.get_dynamic_partitions("campaigns"),
        in_flight=keys_in_flight(instance),
        allow_mass_removal=allow_mass_removal,
    )
    if changes.add:
        instance.add_dynamic_partitions("campaigns", list(changes.add))
    for key in changes.remove:
        instance.delete_dynamic_partition("campaigns", key)
    return changes


def keys_in_flight(instance: dg.DagsterInstance) -> set[str]:
    """Return the keys of runs that are queued or running."""
    runs = instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT))
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags}


def describe_changes(changes: PartitionChanges) -> str:
    """Return a sentence for each kind of change; empty when there is none."""
    sentences = {
        "Added": changes.add,
        "Removed": changes.remove,
        "Not removed yet, a run is in flight:": changes.deferred,
        "NOT removed, they are more than half of all (ETL_ASSETS_ALLOW_MASS_REMOVAL):": changes.refused,
    }
    return " ".join(f"{what} {', '.join(keys)}." for what, keys in sentences.items() if keys)
