"""Asset checks: what is looked at again beside the assets themselves."""

import warnings

import dagster as dg

from etl_assets.assets import chain_keys, table_key
from etl_assets.core.datasets import Dataset
from etl_assets.core.manifest import Extract, Stage
from etl_assets.failures import reported_to_dagster
from etl_assets.overlaps import build_overlap_check
from etl_assets.partitions import CAMPAIGNS
from etl_assets.references import latest_reference
from etl_assets.resources import RegistryResource, StagingResource, WarehouseResource
from etl_assets.rules.examples import run_examples
from etl_assets.verify import slice_faults


def build_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """Return the checks of a dataset's staged parts and of its table."""
    with warnings.catch_warnings():  # partitioned checks are a preview in 1.13; tests hold ours
        warnings.simplefilter("ignore", dg.PreviewWarning)
        checks = [
            _rule_examples_hold(dataset),
            _slice_equals_ledger(dataset),
            build_overlap_check(dataset),
        ]
        if dataset.fallback != "none":  # without, a table is never made by other rules
            checks.append(_rules_are_current(dataset))
        return checks


def _rule_examples_hold(dataset: Dataset) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=chain_keys(dataset.name)[1],
        partitions_def=CAMPAIGNS,
        description="The examples that stand beside the campaign's rules come out as they say.",
        pool="registry",
    )
    def rule_examples_hold(
        context: dg.AssetCheckExecutionContext, registry: RegistryResource, staging: StagingResource
    ) -> dg.AssetCheckResult:
        key = context.partition_key
        with reported_to_dagster(context):
            read = registry.open().read()
            rules = read.rules_of(dataset).for_campaign(key)
            count = sum(len(rule.examples) for rule in rules.rules)
            if not count:
                return dg.AssetCheckResult(passed=True, description="The rules have no examples.")
            store = staging.open()
            names = [dataset.name, *rules.looked_up_datasets]
            found = {
                name: latest_reference(context.instance, chain_keys(name)[0], key, Extract, store)
                for name in names
            }
            columns = {name: other.columns for name, other in found.items() if other}
            if dataset.name not in columns:
                return dg.AssetCheckResult(passed=True, description="Nothing is extracted yet.")
            bindings = read.campaign(key).bindings()
            failures = run_examples(rules, columns[dataset.name], bindings, datasets=columns)
        return dg.AssetCheckResult(
            passed=not failures,
            description="; ".join(map(str, failures)) or f"{count} examples hold.",
            metadata={"examples": count, "rule_version": rules.version},
        )

    return rule_examples_hold


def _slice_equals_ledger(dataset: Dataset) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table_key(dataset),
        partitions_def=CAMPAIGNS,
        description="The slice holds the records and values that its latest load committed: nobody else"
        " wrote to it since.",
        pool="warehouse",
    )
    def slice_equals_ledger(
        context: dg.AssetCheckExecutionContext,
        staging: StagingResource,
        warehouse: WarehouseResource,
    ) -> dg.AssetCheckResult:
        with reported_to_dagster(context):
            opened = warehouse.open()
            current = opened.current(dataset, context.partition_key)
            counted = opened.slices(dataset).get(context.partition_key, 0)
            committed = current.records if current else 0
            if current and current.run_id == context.run.run_id and counted == committed:
                faults: list[str] = []
                notes = ["Its values were proven in the load's transaction just now."]
            else:
                faults, notes = slice_faults(dataset, current, counted, opened, staging.open())
        equal = f"{counted:,} records in {dataset.table}, {committed:,} committed."
        remedy = ["Refresh the key with --force."] if faults else []
        return dg.AssetCheckResult(
            passed=not faults,
            description=" ".join([*(faults or [equal]), *notes, *remedy]),
            metadata={"records": counted, "committed": committed},
        )

    return slice_equals_ledger


def _rules_are_current(dataset: Dataset) -> dg.AssetChecksDefinition:
    _, stage, table = chain_keys(dataset.name)

    @dg.asset_check(
        asset=table,
        partitions_def=CAMPAIGNS,
        description="The slice was not made by earlier rules because the current ones failed.",
        pool="warehouse",
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
        if load is None or not load.is_load:
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
