"""The check of each key that its slice is as the last deadline wants it.

Dagster's own freshness policies see an asset and no partition of it, so one key that stays
behind hides behind those that do not. A load says that its key is fresh; that a key was not
loaded is said by the run that `freshness_job.py` asks for.
"""

import datetime as dt
import warnings

import dagster as dg

from etl_assets.core.freshness import Freshness, freshness_of_load
from etl_assets.loading import Loaded
from etl_assets.partition_events import Target
from etl_assets.partitions import CAMPAIGNS

NAME = "is_fresh"


def is_fresh_spec(table: dg.AssetKey) -> dg.AssetCheckSpec:
    """Return what the table's asset says that it reports."""
    with warnings.catch_warnings():  # partitioned checks are a preview in 1.13; tests hold ours
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            NAME,
            asset=table,
            partitions_def=CAMPAIGNS,
            description="The campaign was refreshed by the last deadline: the schedule's tick and"
            " the dataset's `late_after_minutes`. A warning where its load is held back. It is"
            " looked at each minute while the daemon runs.",
        )


def is_fresh_result(table: dg.AssetKey, key: str, made: Loaded) -> dg.AssetCheckResult:
    """Return the outcome of the check for a key that was refreshed just now."""
    one = freshness_of_load(key, made.status, made.reason, dt.datetime.now(dt.UTC))
    return dg.AssetCheckResult(
        check_name=NAME,
        asset_key=table,
        passed=one.passed,
        severity=_severity(one),
        description=one.said,
        metadata=_metadata(one),
    )


def is_fresh_evaluation(
    table: dg.AssetKey, one: Freshness, target: Target | None
) -> dg.AssetCheckEvaluation:
    """Return the outcome of the check as an event, for what runs outside the asset."""
    return dg.AssetCheckEvaluation(
        asset_key=table,
        check_name=NAME,
        passed=one.passed,
        severity=_severity(one),
        description=one.said,
        metadata=_metadata(one),
        partition=one.key,
        target_materialization_data=target,
    )


def _severity(one: Freshness) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if one.is_error else dg.AssetCheckSeverity.WARN


def _metadata(one: Freshness) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {"state": dg.MetadataValue.text(one.kind)}
    if one.refreshed_at:
        shown["refreshed_at"] = dg.MetadataValue.timestamp(one.refreshed_at)
    return shown
