"""What Dagster's events say of each key: when it was refreshed last, and how its run ended.

Asked for all keys at once: a query per key would cost the sensor a minute for a thousand. Only
keys that somebody decided on, or that failed, are asked for one by one.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from etl_assets.assets import chain_keys, table_key
from etl_assets.core.datasets import Dataset
from etl_assets.core.health import KeyState
from etl_assets.core.registry import Registry
from etl_assets.held import NAME as FOLLOWS_SOURCE
from etl_assets.observations import CAMPAIGNS_KEY
from etl_assets.partition_events import MADE, OBSERVED, latest_events
from etl_assets.partitions import PARTITION_TAG
from etl_assets.runs import failure_of

_FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_RUNS_LOOKED_AT = 1_000
_EVENTS_LOOKED_AT = 50


def key_states(
    dataset: Dataset,
    keys: Collection[str],
    registry: Registry,
    instance: dg.DagsterInstance,
    busy: Collection[str],
) -> Iterator[KeyState]:
    """Yield what is known of each key in a dataset.

    Args:
        dataset: Its table is looked at.
        keys: The campaigns.
        registry: As read.
        instance: What knows of runs and materializations.
        busy: Keys with a run in flight.
    """
    table = table_key(dataset)
    made = latest_events(instance, table, MADE, keys)
    observed = latest_events(instance, table, OBSERVED, keys)  # held, kept back, or decided
    changed = latest_events(instance, CAMPAIGNS_KEY, OBSERVED, keys)
    suspects = _keys_of_failed_runs(instance)
    for key in keys:
        if key in registry.problems:
            reason = f"the campaign cannot be used: {registry.problems[key]}."
            remedy = "Correct it in the registry."
            yield KeyState(key, failure=reason, remedy=remedy, unusable=True)
            continue
        load, look = made.get(key), observed.get(key)
        held = None
        if look and not (load and load.timestamp > look.timestamp):
            held = _held(instance, table, key)
        load = _by_refresh(instance, table, MADE, load)
        look = _by_refresh(instance, table, OBSERVED, look)
        if load and look and load.timestamp > look.timestamp:
            look = None
        if load and "rule_version" not in _metadata(load):  # a prune's event says none
            load = None
        failure = None
        if key in suspects:
            failure = failure_of(
                instance, key, chain_keys(dataset.name),
                loaded_by=load.run_id if load else "", loaded_at=load.timestamp if load else 0.0,
            )  # fmt: skip
        yield KeyState(
            key,
            refreshed_at=_moment(look or load),
            failure=failure.sentence if failure else "",
            remedy=failure.remedy if failure else "",
            changed_at=_moment(changed.get(key)),
            in_flight=key in busy,
            held=held.description or "" if held else "",
            waits=held is not None and held.severity is dg.AssetCheckSeverity.ERROR,
        )


def _held(
    instance: dg.DagsterInstance, table: dg.AssetKey, key: str
) -> dg.AssetCheckEvaluation | None:
    """Return why a slice is not what was staged last, as its check says; None when it is."""
    records = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(table, FOLLOWS_SOURCE),
        limit=1,
        status={
            AssetCheckExecutionRecordStatus.SUCCEEDED,
            AssetCheckExecutionRecordStatus.FAILED,
        },
        partition_filter=PartitionKeyFilter(key=key),
    )
    said = records[0].evaluation if records else None
    return said if said and not said.passed else None


def _by_refresh(
    instance: dg.DagsterInstance,
    table: dg.AssetKey,
    kind: dg.DagsterEventType,
    newest: dg.EventLogRecord | None,
) -> dg.EventLogRecord | None:
    """Return a key's newest event that is of no person's decision, which refreshes nothing."""
    if newest is None or "decision" not in _metadata(newest):
        return newest
    wanted = dg.AssetRecordsFilter(asset_key=table, asset_partitions=[str(newest.partition_key)])
    fetch = instance.fetch_materializations if kind is MADE else instance.fetch_observations
    events = fetch(wanted, limit=_EVENTS_LOOKED_AT).records
    return next((event for event in events if "decision" not in _metadata(event)), None)


def _keys_of_failed_runs(instance: dg.DagsterInstance) -> set[str]:
    """Return the keys of the newest runs that failed or were cancelled, ever."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_FAILED), limit=_RUNS_LOOKED_AT)
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags}


def _metadata(record: dg.EventLogRecord) -> Mapping[str, object]:
    event = record.asset_materialization or record.event_log_entry.asset_observation
    return event.metadata if event else {}


def _moment(record: dg.EventLogRecord | None) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(record.timestamp, dt.UTC) if record else None
