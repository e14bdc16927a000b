"""The latest event of each partition of an asset, asked for all of them at once.

A query per key would cost a sensor a minute for a thousand.
"""

from collections.abc import Collection

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

MADE = dg.DagsterEventType.ASSET_MATERIALIZATION
OBSERVED = dg.DagsterEventType.ASSET_OBSERVATION
Target = AssetCheckEvaluationTargetMaterializationData
"""The materialization that a check is of: the UI shows no check that is of an earlier one."""

_RECORDS_AT_ONCE = 500


def latest_events(
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    kind: dg.DagsterEventType,
    keys: Collection[str],
) -> dict[str, dg.EventLogRecord]:
    """Return the latest event of an asset for each of the keys that has one."""
    storage = instance.event_log_storage
    if not keys:  # to Dagster, none would mean all
        return {}
    ids = sorted(storage.get_latest_storage_id_by_partition(asset, kind, set(keys)).values())
    fetch = instance.fetch_materializations if kind is MADE else instance.fetch_observations
    found: dict[str, dg.EventLogRecord] = {}
    for start in range(0, len(ids), _RECORDS_AT_ONCE):
        some = ids[start : start + _RECORDS_AT_ONCE]
        wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=some)
        for record in fetch(wanted, limit=len(some)).records:
            if record.partition_key is not None:
                found[record.partition_key] = record
    return found


def targets(
    instance: dg.DagsterInstance, table: dg.AssetKey, keys: Collection[str]
) -> dict[str, Target]:
    """Return by key its latest materialization, for a check of it that no step of its own reports.

    Dagster fills that in for the checks of a step, and for no event that is logged by hand.
    """
    return {
        key: Target(storage_id=made.storage_id, run_id=made.run_id, timestamp=made.timestamp)
        for key, made in latest_events(instance, table, MADE, keys).items()
    }
