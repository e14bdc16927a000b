"""Removing old runs, with their events and logs; what the partitions stand on is kept.

A partition's materialization, observations and checks are events of the run that made them, and
go with it: Dagster would show the partition as never made. So the runs of its latest ones stay,
however old. So do those whose events these were made from: by them Dagster tells whether a
partition is out of step.
"""

import datetime as dt
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.definitions.data_version import INPUT_EVENT_POINTER_TAG_PREFIX
from dagster._core.storage.event_log import EventLogStorage, SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from etl_assets.partitions import PARTITION_TAG
from etl_assets.runs import FINISHED

_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION
_OBSERVED = dg.DagsterEventType.ASSET_OBSERVATION
_AT_ONCE = 500
"""Storage ids in a query; a database takes a limited number of them."""


@dataclass(frozen=True)
class OldRun:
    """A run that may go.

    Attributes:
        run_id: Dagster's id.
        job: The job it was of.
        key: Its campaign; empty when it was of none.
        status: How it ended, in lower case.
        ended: When, UTC.
        bytes: What its files take; 0 where Dagster's storage is a database.
    """

    run_id: str
    job: str
    key: str
    status: str
    ended: dt.datetime
    bytes: int


def find_old_runs(
    instance: dg.DagsterInstance,
    checks: Collection[dg.AssetCheckKey],
    *,
    now: dt.datetime,
    keep_days: int,
) -> list[OldRun]:
    """Return the runs that may go, the oldest first; nothing is changed.

    Those that have not ended are not among them, nor those a partition stands on, nor the last
    one of a campaign.

    Args:
        instance: What knows of runs.
        checks: Every asset check there is.
        now: The time, UTC.
        keep_days: How many days a run is kept after its end.
    """
    limit = now - dt.timedelta(days=keep_days)
    records = instance.get_run_records(
        dg.RunsFilter(statuses=FINISHED, created_before=limit), ascending=True
    )
    ended = {record.dagster_run.run_id: _end(record) for record in records}
    old = [record.dagster_run for record in records if _end(record) < limit]
    if not old:
        return []
    kept = {*_stood_on(instance, checks), *_last_of_each_key(instance, old)}
    return [
        OldRun(
            run_id=run.run_id,
            job=run.job_name,
            key=run.tags.get(PARTITION_TAG, ""),
            status=run.status.value.lower(),
            ended=ended[run.run_id],
            bytes=sum(path.stat().st_size for path in _files(instance, run.run_id)),
        )
        for run in old
        if run.run_id not in kept
    ]


def remove_runs(instance: dg.DagsterInstance, runs: Iterable[OldRun]) -> None:
    """Remove runs with their events and logs.

    A run goes last of what is of it, so that what an interrupted removal left is found again.
    """
    for run in runs:
        _remove_events(instance.event_log_storage, run.run_id)
        for path in list(_files(instance, run.run_id)):
            path.unlink(missing_ok=True)
        for folder in _folders(instance, run.run_id):
            shutil.rmtree(folder, ignore_errors=True)
        instance.run_storage.delete_run(run.run_id)


def _remove_events(storage: EventLogStorage, run_id: str) -> None:
    if isinstance(storage, SqliteEventLogStorage):
        # The run's own database goes as a file. Dagster would open it for this, and make it anew
        # where it is gone already.
        with storage.index_connection() as connection:
            storage.delete_events_for_run(connection, run_id)
        storage.free_concurrency_slots_for_run(run_id)
    else:
        storage.delete_events(run_id)


def _end(record: dg.RunRecord) -> dt.datetime:
    at = record.end_time or record.update_timestamp.timestamp()
    return dt.datetime.fromtimestamp(at, dt.UTC)


def _stood_on(instance: dg.DagsterInstance, checks: Collection[dg.AssetCheckKey]) -> Iterator[str]:
    """Yield the runs of each partition's latest events, and of those they were made from."""
    storage = instance.event_log_storage
    read: set[int] = set()
    for asset in instance.all_asset_keys():
        for kind in (_MATERIALIZED, _OBSERVED):
            latest = storage.get_latest_storage_id_by_partition(asset, kind)
            for record in _records(instance, kind, latest.values()):
                yield record.run_id
                read |= _made_from(record)
    for kind in (_MATERIALIZED, _OBSERVED):
        yield from (record.run_id for record in _records(instance, kind, read))
    for info in storage.get_asset_check_partition_info(list(checks)):
        yield info.latest_planned_run_id


def _made_from(record: dg.EventLogRecord) -> set[int]:
    """Return the storage ids of the events that a materialization says it was made from."""
    made = record.asset_materialization
    return {
        int(value)
        for tag, value in ((made.tags or {}) if made else {}).items()
        if tag.startswith(INPUT_EVENT_POINTER_TAG_PREFIX) and value.isdigit()
    }


def _records(
    instance: dg.DagsterInstance, kind: dg.DagsterEventType, ids: Iterable[int]
) -> Iterator[dg.EventLogRecord]:
    wanted = sorted(ids)
    for start in range(0, len(wanted), _AT_ONCE):
        some = dg.EventRecordsFilter(kind, storage_ids=wanted[start : start + _AT_ONCE])
        yield from instance.event_log_storage.get_event_records(some)


def _last_of_each_key(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> Iterator[str]:
    """Yield the newest finished run of each campaign: how it ended is asked for."""
    for key in {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags}:
        filters = dg.RunsFilter(statuses=FINISHED, tags={PARTITION_TAG: key})
        yield from (run.run_id for run in instance.get_runs(filters, limit=1))


def _files(instance: dg.DagsterInstance, run_id: str) -> Iterator[Path]:
    """Yield the files of a run: its events, where each run has a database, and its logs."""
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        shard = storage.path_for_shard(run_id)
        found = (Path(shard + end) for end in ("", "-wal", "-shm"))
        yield from (path for path in found if path.is_file())
    for folder in _folders(instance, run_id):
        yield from (path for path in folder.rglob("*") if path.is_file())


def _folders(instance: dg.DagsterInstance, run_id: str) -> set[Path]:
    """Return the folders of a run on this machine: what it left there, and its logs."""
    found, logs = {Path(instance.storage_directory(), run_id)}, instance.compute_log_manager
    if isinstance(logs, LocalComputeLogManager):
        found.add(Path(logs.get_captured_local_path([run_id, "_"], "out")).parent)
    return found
