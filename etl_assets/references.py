"""How an asset finds what it, or the one before it, made the last time.

A materialization names its manifest in its metadata; the manifest is read from the staging
store, so that each asset can be materialized alone.
"""

import dagster as dg

from etl_assets.core.errors import PermanentError, StagingError
from etl_assets.kept import Reference, read_manifest
from etl_assets.metadata import REFERENCE, REFERENCE_DIGEST
from etl_assets.observations import latest
from etl_assets.systems.protocols import Staging

FORCE_TAG = "etl_assets/force"
"""A run with this tag set to `true` extracts, stages and loads even what is unchanged."""


def is_forced(context: dg.AssetExecutionContext) -> bool:
    """Return whether the run is to do everything anew."""
    return context.run.tags.get(FORCE_TAG) == "true"


def previous_reference(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    model: type[Reference],
    staging: Staging,
) -> Reference | None:
    """Return what the asset made the last time; None when it is gone, or must be made again."""
    if is_forced(context):
        return None
    try:
        return latest_reference(context.instance, key, context.partition_key, model, staging)
    except StagingError as error:
        context.log.warning(f"{error.message} It is made anew.")
        return None


def required_reference(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    model: type[Reference],
    staging: Staging,
) -> Reference:
    """Return the reference an asset needs from the one before it.

    Raises:
        PermanentError: When that was never materialized for this campaign.
        StagingError: When its manifest is gone or was changed.
    """
    return reference_of(context.instance, key, context.partition_key, model, staging)


def reference_of(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    partition: str,
    model: type[Reference],
    staging: Staging,
) -> Reference:
    """Return the reference of the partition's latest materialization; see `required_reference`."""
    found = latest_reference(instance, key, partition, model, staging)
    if found is None:
        raise PermanentError(
            f"{key.to_user_string()} was never materialized for campaign {partition}.",
            "Materialize it first, or select the whole chain.",
        )
    return found


def latest_reference(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    partition: str,
    model: type[Reference],
    staging: Staging,
) -> Reference | None:
    """Return the reference of the partition's latest materialization of an asset, if any.

    Raises:
        StagingError: When its manifest is gone or was changed.
    """
    event = latest(instance, key, partition)
    path = event.metadata.get(REFERENCE) if event else None
    if event is None or path is None:
        return None
    digest = event.metadata.get(REFERENCE_DIGEST)  # there is none in those of earlier releases
    return read_manifest(
        model, str(path.value), staging, digest=str(digest.value) if digest else None
    )
