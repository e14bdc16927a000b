"""Backfills: runs for any set of keys, which the daemon starts and the UI lists.

A backfill is Dagster's own: what the UI's "Materialize" begins for several partitions. Its runs
are queued behind the scheduled ones (`run_queue.py`) and go on without this process.
"""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.selector import (
    PartitionRangeSelector,
    PartitionsByAssetSelector,
    PartitionsSelector,
)
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.utils import make_new_backfill_id
from dagster._daemon.controller import get_daemon_statuses

from etl_assets.assets import chain_keys
from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.core.registry import Registry
from etl_assets.definitions import build_defs
from etl_assets.partitions import sync_partitions
from etl_assets.references import FORCE_TAG
from etl_assets.settings import Settings

_DAEMON = "BACKFILL"
_SILENT_SECONDS = 60
"""A daemon says each half minute that it is there."""

_GOOD = (BulkActionStatus.COMPLETED_SUCCESS, BulkActionStatus.COMPLETED)


@dataclass(frozen=True)
class Progress:
    """How far a backfill is.

    Attributes:
        keys: How many it was asked for.
        statuses: Its runs by their status, in lower case.
        ended: Whether nothing more happens.
        succeeded: Whether it ended, and every key succeeded.
        status: Dagster's word for its status, in lower case.
        error: What stopped the backfill itself; empty when nothing did.
        failed: The keys whose run failed or was cancelled, sorted.
    """

    keys: int
    statuses: Mapping[str, int]
    ended: bool
    succeeded: bool
    status: str
    error: str
    failed: Sequence[str]

    @property
    def sentence(self) -> str:
        """The progress in words."""
        runs = ", ".join(f"{n} {status}" for status, n in sorted(self.statuses.items()))
        return f"{self.keys} keys: {runs or 'no run yet'}"


def chosen(
    registry: Registry,
    settings: Settings,
    keys: Collection[str],
    datasets: Collection[str],
    *,
    named: bool,
) -> dict[str, list[str]]:
    """Return the keys to backfill in each dataset.

    A dataset whose keys are refreshed together is left out, since its keys are read and
    published at once or not at all.

    Args:
        registry: As read.
        settings: The datasets.
        keys: The campaigns.
        datasets: Names; empty for every dataset that a campaign takes part in.
        named: Whether somebody named each key: one that is in none of the datasets is an error
            then, and else left out.

    Raises:
        PermanentError: When a key or dataset is not there, or none is left.
    """
    for name in datasets:
        if name not in settings.datasets:
            known = ", ".join(sorted(settings.datasets))
            raise PermanentError(f"There is no dataset {name}.", f"The datasets are {known}.")
        if settings.datasets[name].together:
            raise PermanentError(
                f"The keys of {name} are refreshed together, so no backfill takes single ones.",
                "Use `etl-assets refresh`.",
            )
    wanted = datasets or [n for n, dataset in settings.datasets.items() if not dataset.together]
    campaigns = [registry.campaign(key) for key in sorted(set(keys))]
    found = {name: [c.key for c in campaigns if c.takes_part_in(name)] for name in wanted}
    outside = [c.key for c in campaigns if not any(c.key in taken for taken in found.values())]
    if outside and (named or len(outside) == len(campaigns)):
        raise PermanentError(
            f"Campaign {outside[0]} takes part in none of {', '.join(sorted(wanted))}.",
            "Leave it out, or add the dataset to the campaign's `datasets`.",
        )
    return {name: taken for name, taken in found.items() if taken}


def launch(
    settings: Settings,
    instance: dg.DagsterInstance,
    registry: Registry,
    keys: Mapping[str, Sequence[str]],
    *,
    force: bool = False,
) -> str:
    """Ask the daemon for a backfill; return its id.

    Args:
        settings: The datasets.
        instance: What the daemon works on.
        registry: As read; its keys become partitions first.
        keys: Those of each dataset; see `chosen`.
        force: Extract, stage and load also what is unchanged.

    Raises:
        TransientError: When no daemon runs; nothing was begun.
    """
    _require_daemon(instance)
    sync_partitions(instance, registry, allow_mass_removal=settings.allow_mass_removal)
    backfill_id = make_new_backfill_id()
    graph = build_defs(settings).resolve_asset_graph()
    with partition_loading_context(dynamic_partitions_store=instance):
        backfill = PartitionBackfill.from_partitions_by_assets(
            backfill_id=backfill_id,
            asset_graph=graph,
            backfill_timestamp=dt.datetime.now(dt.UTC).timestamp(),
            tags={FORCE_TAG: "true"} if force else {},
            dynamic_partitions_store=instance,
            partitions_by_assets=_selectors(keys),
            title=None,
            description=None,
            run_config=None,
        )
    instance.add_backfill(backfill)
    return backfill_id


def progress(instance: dg.DagsterInstance, backfill_id: str) -> Progress:
    """Return how far a backfill is.

    Raises:
        PermanentError: When there is none of that id.
    """
    backfill = _backfill(instance, backfill_id)
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id}))
    ended = backfill.status in BULK_ACTION_TERMINAL_STATUSES
    bad = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    failed = {run.tags.get("dagster/partition", "") for run in runs if run.status in bad}
    later = {
        run.tags.get("dagster/partition", "")
        for run in runs
        if run.status is dg.DagsterRunStatus.SUCCESS and "dagster/retry_number" in run.tags
    }
    error = str(backfill.error.message).strip() if backfill.error else ""
    return Progress(
        keys=len(_keys(backfill)),
        statuses=Counter(run.status.value.lower() for run in runs),
        ended=ended,
        succeeded=backfill.status in _GOOD,
        status=backfill.status.value.lower(),
        error=error,
        failed=sorted(failed - later),
    )


def cancel(instance: dg.DagsterInstance, backfill_id: str) -> None:
    """Have the daemon cancel a backfill with its runs, queued and running.

    Raises:
        PermanentError: When there is none of that id, or it has ended.
        TransientError: When no daemon runs.
    """
    backfill = _backfill(instance, backfill_id)
    if backfill.status in BULK_ACTION_TERMINAL_STATUSES:
        raise PermanentError(
            f"Backfill {backfill_id} has ended ({backfill.status.value.lower()}).",
            "There is nothing to cancel.",
        )
    _require_daemon(instance)
    if backfill.status is not BulkActionStatus.CANCELING:
        changed = backfill.with_status(BulkActionStatus.CANCELING)  # type: ignore[no-untyped-call]
        instance.update_backfill(changed)


def _require_daemon(instance: dg.DagsterInstance) -> None:
    found = get_daemon_statuses(
        instance, [_DAEMON], ignore_errors=True, heartbeat_tolerance_seconds=_SILENT_SECONDS
    )
    if not found[_DAEMON].healthy:
        raise TransientError(
            "No daemon runs that could work on a backfill.",
            "Start it with `etl-assets ui`, wait half a minute and try again, or run the keys in"
            " this process with `etl-assets refresh`.",
        )


def _backfill(instance: dg.DagsterInstance, backfill_id: str) -> PartitionBackfill:
    backfill = instance.get_backfill(backfill_id)
    if backfill is None:
        raise PermanentError(
            f"There is no backfill {backfill_id}.", "The UI lists them below Runs, Backfills."
        )
    return backfill


def _keys(backfill: PartitionBackfill) -> set[str]:
    data: Any = backfill.asset_backfill_data
    if data is None:
        return set(backfill.partition_names or ())
    subsets = data.target_subset.partitions_subsets_by_asset_key.values()
    return {key for subset in subsets for key in subset.get_partition_keys()}


def _selectors(keys: Mapping[str, Sequence[str]]) -> list[PartitionsByAssetSelector]:
    """Return what is to be made: a range of one key for each key, since ranges follow no order."""
    return [
        PartitionsByAssetSelector(
            asset_key=asset,
            partitions=PartitionsSelector([PartitionRangeSelector(key, key) for key in taken]),
        )
        for name, taken in keys.items()
        for asset in chain_keys(name)
    ]
