"""The check that a slice follows its source: nobody and nothing holds a load of it back."""

import warnings

import dagster as dg

from etl_assets.core.manifest import Stage
from etl_assets.core.standing import Standing, follows
from etl_assets.loading import Loaded
from etl_assets.partition_events import Target
from etl_assets.partitions import CAMPAIGNS

NAME = "follows_source"
_FOLLOWS = "The slice has what was staged last."


def follows_source_spec(table: dg.AssetKey) -> dg.AssetCheckSpec:
    """Return what the table's asset says that it reports."""
    with warnings.catch_warnings():  # partitioned checks are a preview in 1.13; tests hold ours
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            NAME,
            asset=table,
            partitions_def=CAMPAIGNS,
            description="The slice has what was staged last: no guard holds a load for approval,"
            " and nobody keeps the slice as it is.",
        )


def follows_source_result(table: dg.AssetKey, made: Loaded) -> dg.AssetCheckResult:
    """Return what became of a load, as the outcome of the check."""
    waits = made.status == "held"
    return dg.AssetCheckResult(
        check_name=NAME,
        asset_key=table,
        passed=made.follows_source,
        severity=dg.AssetCheckSeverity.ERROR if waits else dg.AssetCheckSeverity.WARN,
        description=made.reason or _FOLLOWS,
        metadata={"status": made.status, "load_id": made.row.load_id if made.row else ""},
    )


def follows_source_evaluation(
    table: dg.AssetKey, key: str, made: Loaded, target: Target | None
) -> dg.AssetCheckEvaluation:
    """Return the outcome of the check as an event, for what runs outside the asset."""
    result = follows_source_result(table, made)
    return dg.AssetCheckEvaluation(
        check_name=NAME,
        asset_key=table,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
        partition=key,
        target_materialization_data=target,
    )


def follows_source_now(
    table: dg.AssetKey,
    key: str,
    standing: Standing,
    staged: Stage | None,
    *,
    records: int,
    target: Target | None,
) -> dg.AssetCheckEvaluation:
    """Return the outcome of the check between two loads, for what a person decided.

    Args:
        table: The asset.
        key: Its partition.
        standing: What the ledger says of the slice.
        staged: What was staged last; None when that is not known.
        records: Those the slice has.
        target: The partition's latest materialization.
    """
    status, reason = follows(standing, staged, records=records)
    row = {"held": standing.waiting, "kept": standing.kept}.get(status) or standing.current
    return follows_source_evaluation(table, key, Loaded(row, status, reason), target)
