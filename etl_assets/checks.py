"""Asset checks: what is looked at again after a load is committed."""

import warnings

import dagster as dg

from etl_assets.assets import chain_keys, table_key
from etl_assets.core.datasets import Dataset
from etl_assets.core.manifest import Stage
from etl_assets.failures import reported_to_dagster
from etl_assets.partitions import CAMPAIGNS
from etl_assets.references import latest_reference
from etl_assets.resources import RegistryResource, StagingResource, WarehouseResource


def build_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """Return the checks of a dataset's table."""
    with warnings.catch_warnings():  # partitioned checks are a preview in 1.13; tests hold ours
        warnings.simplefilter("ignore", dg.PreviewWarning)
        checks = [_slice_equals_ledger(dataset)]
        if dataset.fallback != "none":  # without, a table is never made by other rules
            checks.append(_rules_are_current(dataset))
        return checks


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


def _rules_are_current(dataset: Dataset) -> dg.AssetChecksDefinition:
    _, stage, table = chain_keys(dataset.name)

    @dg.asset_check(
        asset=table,
        partitions_def=CAMPAIGNS,
        description="The slice was not made by earlier rules because the current ones failed.",
    )
    def rules_are_current(
        context: dg.AssetCheckExecutionContext,
        registry: RegistryResource,
        staging: StagingResource,
        warehouse: WarehouseResource,
    ) -> dg.AssetCheckResult:
        key = context.partition_key
        with reported_to_dagster(context):
            rules = registry.open().read().rules_of(dataset)
            load = warehouse.open().current(dataset, key)
            staged = latest_reference(context.instance, stage, key, Stage, staging.open())
        if load is None or load.kind != "load":
            return dg.AssetCheckResult(passed=True, description="Nothing is loaded.")
        same = load.rules_digest == rules.for_campaign(key).digest
        notice = staged.notice if staged and not same else ""
        said = "" if same else f" The next load applies the current ones, v{rules.version}."
        return dg.AssetCheckResult(
            passed=not notice,
            description=notice or f"The slice was made by rules v{load.rule_version}.{said}",
            metadata={"rule_version": load.rule_version, "current_version": rules.version},
        )

    return rules_are_current
