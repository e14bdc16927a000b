"""The job by which a person decides about one slice: from the command line or the Launchpad."""

import time
from collections.abc import Collection, Mapping
from enum import Enum

import dagster as dg

from etl_assets.assets import chain_keys, table_key
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import EtlError, PermanentError, StagingError
from etl_assets.core.manifest import Stage
from etl_assets.core.standing import standing_of
from etl_assets.failures import reported_to_dagster
from etl_assets.held import follows_source_now
from etl_assets.metadata import decision_metadata, load_metadata
from etl_assets.observations import made_of
from etl_assets.partition_events import targets
from etl_assets.references import latest_reference
from etl_assets.resources import RegistryResource, StagingResource, WarehouseResource
from etl_assets.settings import Settings
from etl_assets.slices import Decided, Decisions, find_row
from etl_assets.systems.protocols import RegistryStore, Staging, Warehouse

DECIDE_JOB = "decide_slice"
DECIDE_OP = "decide"


class Action(Enum):
    """What a person can decide; see `Decisions`."""

    rollback = "rollback"
    approve = "approve"
    refuse = "refuse"
    hold = "hold"
    release = "release"


class DecisionConfig(dg.Config):
    """One decision.

    Attributes:
        action: `rollback`, `approve`, `refuse`, `hold` or `release`.
        made_by: Who decides; the ledger keeps it.
        load_id: Of a rollback the load to put back; of an approval or refusal the load that
            waits.
        key: The campaign; need not be said where there is a load id.
        dataset: Need not be said where there is a load id, or only one dataset.
        hold: Of a rollback: no refresh replaces it until the key is released.
        reason: Why; a hold must have one.
    """

    action: Action
    made_by: str
    load_id: str = ""
    key: str = ""
    dataset: str = ""
    hold: bool = False
    reason: str = ""


def build_decide_job(settings: Settings) -> dg.JobDefinition:
    """Return the job that does what a person decided about one slice, and shows it."""
    datasets = settings.datasets

    @dg.op(name=DECIDE_OP, pool="warehouse")
    def decide(
        context: dg.OpExecutionContext,
        config: DecisionConfig,
        registry: RegistryResource,
        staging: StagingResource,
        warehouse: WarehouseResource,
    ) -> None:
        started = time.monotonic()
        with reported_to_dagster(context):
            store, opened = staging.open(), warehouse.open()
            dataset, key = _slice_of(config, datasets, registry.open(), opened)
            deciding = Decisions(opened, store, config.made_by, context.run_id)
            decided = _carry_out(config, deciding, dataset, key)
        context.log.info(describe(decided))
        seconds = time.monotonic() - started
        try:
            _show(context, decided, dataset, store, opened, warehouse.url, seconds)
        except EtlError as error:  # it is decided, and must not be again
            context.log.warning(f"It is done, but this page shows it with the next run: {error}")

    @dg.job(
        name=DECIDE_JOB,
        executor_def=dg.in_process_executor,
        description="Puts an earlier load of one campaign back, approves or refuses one that waits"
        " for approval, keeps a slice as it is, or ends that.",
    )
    def decide_slice() -> None:
        decide()

    return decide_slice


def describe(decided: Decided) -> str:
    """Return what was decided, as a sentence."""
    row, about = decided.row, decided.about
    slice_ = f"{row.campaign_key} in {row.dataset}"
    because = f" ({row.reason})" if row.reason else ""
    done = {
        "rollback": f"was rolled back to load {about.load_id if about else ''}",
        "load": f"has the load that waited since {about.committed_at:%Y-%m-%d %H:%M} UTC"
        if about
        else "",
        "hold": "is on hold",
        "release": f"{'does not get' if row.undoes else 'is released from'}"
        f" {'load' if row.undoes else 'hold'} {about.load_id if about else ''}",
    }[row.kind]
    return f"{slice_} {done}, by {row.made_by}{because}: {row.records:,} records."


def _slice_of(
    config: DecisionConfig,
    datasets: Mapping[str, Dataset],
    registry: RegistryStore,
    warehouse: Warehouse,
) -> tuple[Dataset, str]:
    """Return which slice a decision is about.

    Raises:
        PermanentError: When that is not said, or there is no such campaign or load.
    """
    if not config.made_by.strip():
        raise PermanentError("Nobody decided: `made_by` is empty.", "Say who.")
    name, key = config.dataset, config.key
    if config.action in (Action.hold, Action.release):
        if config.action is Action.hold and not config.reason.strip():
            raise PermanentError("A hold must have a reason.", "Say why, for those who meet it.")
        if not key:
            raise PermanentError(f"The {config.action.value} names no campaign.", "Set `key`.")
        name = name or _only(datasets, key)
        if not warehouse.loads(dataset=name, key=key, limit=1):
            registry.read().campaign(key)
    else:
        if not config.load_id:
            raise PermanentError(f"To {config.action.value} takes a load.", "Set `load_id`.")
        row = find_row(warehouse, config.load_id, dataset=name or None, key=key or None)
        name, key = row.dataset, row.campaign_key
    if name not in datasets:
        raise PermanentError(
            f"There is no dataset {name}.", f"The datasets are {', '.join(sorted(datasets))}."
        )
    return datasets[name], key


def _only(datasets: Collection[str], key: str) -> str:
    if len(datasets) != 1:
        raise PermanentError(
            f"Campaign {key} may be in several datasets: {', '.join(sorted(datasets))}.",
            "Say which with --dataset.",
        )
    return next(iter(datasets))


def _carry_out(config: DecisionConfig, deciding: Decisions, dataset: Dataset, key: str) -> Decided:
    load_id, reason = config.load_id, config.reason
    match config.action:
        case Action.rollback:
            return deciding.roll_back(dataset, key, load_id, reason=reason, hold=config.hold)
        case Action.approve:
            return deciding.approve(dataset, key, load_id)
        case Action.refuse:
            return deciding.refuse(dataset, key, load_id, reason=reason)
        case Action.hold:
            return deciding.hold(dataset, key, reason)
        case Action.release:
            return deciding.release(dataset, key, reason=reason)


def _show(
    context: dg.OpExecutionContext,
    decided: Decided,
    dataset: Dataset,
    store: Staging,
    warehouse: Warehouse,
    warehouse_url: str,
    seconds: float,
) -> None:
    """Log what the partition has now, and evaluate its check."""
    row, table = decided.row, table_key(dataset)
    stage_key, key = chain_keys(dataset.name)[1], row.campaign_key
    slices = warehouse.slices(dataset)
    metadata = decision_metadata(row, decided.about)
    if decided.stage:
        metadata |= load_metadata(
            dataset,
            row,
            decided.stage,
            store,
            manifest=row.stage or "",
            warehouse_url=warehouse_url,
            table_records=sum(slices.values()),
            seconds=seconds,
            unchanged=False,
        )
        context.log_event(
            dg.AssetMaterialization(
                table,
                partition=key,
                description=describe(decided),
                metadata=metadata,
                tags=made_of(context.instance, stage_key, dataset, row),
            )
        )
    else:
        context.log_event(
            dg.AssetObservation(
                table, partition=key, description=describe(decided), metadata=metadata
            )
        )
    standing = standing_of(warehouse.loads(dataset=dataset.name, key=key))
    staged = _staged_last(context, stage_key, key, store)
    evaluation = follows_source_now(
        table,
        key,
        standing,
        staged,
        records=slices.get(key, 0),
        target=targets(context.instance, table, {key}).get(key),
    )
    context.log_event(evaluation)  # type: ignore[arg-type]  # taken, though not in its hints


def _staged_last(
    context: dg.OpExecutionContext, stage: dg.AssetKey, key: str, store: Staging
) -> Stage | None:
    try:
        return latest_reference(context.instance, stage, key, Stage, store)
    except StagingError:
        return None
