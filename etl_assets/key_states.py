"""What Dagster's events say of each key: when it was refreshed last, and how its run ended.

Asked for all keys at once: a query per key would cost the sensor a minute for a thousand.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping

import dagster as dg

from etl_assets.assets import chain_keys, table_key
from etl_assets.core.datasets import Dataset
from etl_assets.core.health import KeyState
from etl_assets.core.registry import Registry
from etl_assets.observations import CAMPAIGNS_KEY
from etl_assets.partitions import PARTITION_TAG
from etl_assets.runs import failure_of

_MADE = dg.DagsterEventType.ASSET_MATERIALIZATION
_OBSERVED = dg.DagsterEventType.ASSET_OBSERVATION
_FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_RUNS_LOOKED_AT = 1_000
_RECORDS_AT_ONCE = 500


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
    made = _latest(instance, table, _MADE, keys)
    observed = _latest(instance, table, _OBSERVED, keys)  # a load that is held, or kept back
    changed = _latest(instance, CAMPAIGNS_KEY, _OBSERVED, keys)
    # A prune's event says no rule version.
    loaded = {k: r for k, r in made.items() if "rule_version" in _metadata(r)}
    suspects = _keys_of_failed_runs(instance)
    for key in keys:
        if key in registry.problems:
            reason = f"the campaign cannot be used: {registry.problems[key]}."
            yield KeyState(key, failure=reason, remedy="Correct it in the registry.")
            continue
        load, decided = loaded.get(key), observed.get(key)
        if decided and key in made and made[key].timestamp > decided.timestamp:
            decided = None
        failure = None
        if key in suspects:
            failure = failure_of(
                instance, key, chain_keys(dataset.name),
                loaded_by=load.run_id if load else "", loaded_at=load.timestamp if load else 0.0,
            )  # fmt: skip
        yield KeyState(
            key,
            refreshed_at=_moment(decided or load),
            failure=failure.sentence if failure else "",
            remedy=failure.remedy if failure else "",
            changed_at=_moment(changed.get(key)),
            in_flight=key in busy,
        )


def _latest(
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    kind: dg.DagsterEventType,
    keys: Collection[str],
) -> dict[str, dg.EventLogRecord]:
    """Return the latest event of an asset for each of the keys that has one."""
    storage = instance.event_log_storage
    ids = sorted(storage.get_latest_storage_id_by_partition(asset, kind, set(keys)).values())
    fetch = instance.fetch_materializations if kind is _MADE else instance.fetch_observations
    found: dict[str, dg.EventLogRecord] = {}
    for start in range(0, len(ids), _RECORDS_AT_ONCE):
        some = ids[start : start + _RECORDS_AT_ONCE]
        wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=some)
        for record in fetch(wanted, limit=len(some)).records:
            if record.partition_key is not None:
                found[record.partition_key] = record
    return found


def _keys_of_failed_runs(instance: dg.DagsterInstance) -> set[str]:
    """Return the keys of the newest runs that failed or were cancelled, ever."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_FAILED), limit=_RUNS_LOOKED_AT)
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags}


def _metadata(record: dg.EventLogRecord) -> Mapping[str, object]:
    event = record.asset_materialization
    return event.metadata if event else {}


def _moment(record: dg.EventLogRecord | None) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(record.timestamp, dt.UTC) if record else None
