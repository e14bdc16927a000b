"""Asset checks: what is looked at again after a load is committed."""

import warnings

import dagster as dg

from etl_assets.assets import table_key
from etl_assets.core.datasets import Dataset
from etl_assets.failures import reported_to_dagster
from etl_assets.partitions import CAMPAIGNS
from etl_assets.resources import WarehouseResource


def build_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """Return the checks of a dataset's table."""
    with warnings.catch_warnings():  # partitioned checks are a preview in 1.13; tests hold ours
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [_slice_equals_ledger(dataset)]


def _slice_equals_ledger(dataset: Dataset) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table_key(dataset),
        partitions_def=CAMPAIGNS,
        description="The slice holds the records that its latest load committed: nobody else"
        " wrote to it since.",
    )
    def slice_equals_ledger(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
    ) -> dg.AssetCheckResult:
        with reported_to_dagster(context):
            opened = warehouse.open()
            current = opened.current(dataset, context.partition_key)
            counted = opened.slices(dataset).get(context.partition_key, 0)
        committed = current.records if current else 0
        return dg.AssetCheckResult(
            passed=counted == committed,
            description=f"{counted:,} records in {dataset.table}, {committed:,} committed."
            + ("" if counted == committed else " Refresh the key with --force."),
            metadata={"records": counted, "committed": committed},
        )

    return slice_equals_ledger
