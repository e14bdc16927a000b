"""The chain of one dataset as assets: rds_extract -> s3_staging_csv -> redshift_table.

The bodies are thin: what a step does is in `pipeline.py`. Between assets only the path of a
manifest travels, as metadata of the materialization (`references.py`), so each asset can be
materialized alone. What the registry said goes with it, as tags (`observations.py`): the
extract's campaign, and the rules of the stage, which are those of the table made from it.

The asset keys keep the names people know, whatever systems stand behind them; the kinds
shown in the UI are those of the actual systems.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import dagster as dg

from etl_assets import pipeline
from etl_assets.column_lineage import extract_lineage, stage_lineage, table_lineage
from etl_assets.core.data_versions import campaign_version
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError
from etl_assets.core.manifest import Extract, Fallback, Stage
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.failures import reported_to_dagster
from etl_assets.freshness import is_fresh_result, is_fresh_spec
from etl_assets.held import follows_source_result, follows_source_spec
from etl_assets.kept import extract_manifest, stage_path
from etl_assets.lineage import owners_of, tags_of
from etl_assets.loading import load
from etl_assets.metadata import (
    extract_metadata,
    held_metadata,
    load_metadata,
    stage_metadata,
)
from etl_assets.observations import CAMPAIGNS_KEY, inherited, latest, read_version, rules_key
from etl_assets.partitions import CAMPAIGNS
from etl_assets.profiled import changes_of_load
from etl_assets.references import is_forced, previous_reference, required_reference
from etl_assets.resources import (
    RegistryResource,
    SourceResource,
    StagingResource,
    WarehouseResource,
)
from etl_assets.rules.fallback import last_good_rules, stage_with_fallback
from etl_assets.settings import Settings
from etl_assets.systems.connect import system_kind
from etl_assets.systems.protocols import Staging
from etl_assets.systems.telemetry import Telemetry, recorded


def build_chain(dataset: Dataset, settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the three assets of a dataset, in the order the data takes."""
    return [
        _rds_extract(dataset, settings),
        _s3_staging_csv(dataset, settings),
        _redshift_table(dataset, settings),
    ]


def chain_keys(dataset: str) -> tuple[dg.AssetKey, dg.AssetKey, dg.AssetKey]:
    """Return the keys of a dataset's assets, by its name, in the order the data takes."""
    return (
        dg.AssetKey([dataset, "rds_extract"]),
        dg.AssetKey([dataset, "s3_staging_csv"]),
        dg.AssetKey([dataset, "redshift_table"]),
    )


def table_key(dataset: Dataset) -> dg.AssetKey:
    """Return the key of a dataset's table asset."""
    return chain_keys(dataset.name)[-1]


def _rds_extract(dataset: Dataset, settings: Settings) -> dg.AssetsDefinition:
    key, _, _ = chain_keys(dataset.name)

    @dg.asset(
        key=key,
        partitions_def=CAMPAIGNS,
        deps=[*(dg.AssetKey(["source", name]) for name in dataset.source_tables), CAMPAIGNS_KEY],
        kinds={system_kind(settings.source_url), "parquet"},
        description=f"{dataset.description}\n\nThe records of one campaign as the source held"
        f" them in one snapshot, in Parquet.\n\n```sql\n{dataset.query}\n```",
        pool="source",
        group_name=dataset.name,
        owners=owners_of(dataset.owner),
        tags=tags_of(dataset),
    )
    def rds_extract(
        context: dg.AssetExecutionContext,
        registry: RegistryResource,
        source: SourceResource,
        staging: StagingResource,
    ) -> dg.MaterializeResult[None]:
        with reported_to_dagster(context), _told(context) as took:
            read = registry.pinned(context.run, context.instance)
            campaign = read.campaign(context.partition_key)
            if not campaign.takes_part_in(dataset.name):
                raise PermanentError(
                    f"Campaign {campaign.key} does not take part in {dataset.name}.",
                    "Add the dataset to the campaign's `datasets`, or choose another key.",
                )
            store = staging.open()
            previous = previous_reference(context, key, Extract, store)
            made = pipeline.extract(
                dataset,
                campaign,
                source.open(),
                store,
                source_name=source.url,
                previous=previous,
            )
            unchanged = made is previous
            path = extract_manifest(dataset.name, campaign.key, made.extract_id)
            context.log.info(
                f"{made.records:,} records of {campaign.key}"
                f" {'are as they were' if unchanged else 'extracted'}: {took.summary}"
            )
            shown = extract_metadata(
                dataset, made, store, path,
                seconds=took.elapsed, unchanged=unchanged, spans=took.seconds,
            )  # fmt: skip
            return dg.MaterializeResult(
                metadata={**shown, **extract_lineage(dataset, made)},
                data_version=dg.DataVersion(made.data_version),
                tags=read_version(
                    context.instance, CAMPAIGNS_KEY, campaign.key, campaign_version(campaign)
                ),
            )

    return rds_extract


def _s3_staging_csv(dataset: Dataset, settings: Settings) -> dg.AssetsDefinition:
    upstream, key, _ = chain_keys(dataset.name)

    @dg.asset(
        key=key,
        partitions_def=CAMPAIGNS,
        deps=[upstream, rules_key(dataset)],
        kinds={system_kind(settings.staging_url), "csv"},
        description=f"The records of {dataset.name} after the business rules, as CSV parts"
        " with a manifest, ready to load.",
        pool="registry" if dataset.fallback == "none" else "warehouse",  # it asks the ledger
        group_name=dataset.name,
        owners=owners_of(dataset.owner),
        tags=tags_of(dataset),
    )
    def s3_staging_csv(
        context: dg.AssetExecutionContext,
        registry: RegistryResource,
        staging: StagingResource,
        warehouse: WarehouseResource,
    ) -> dg.MaterializeResult[None]:
        with reported_to_dagster(context), _told(context) as took:
            read = registry.pinned(context.run, context.instance)
            campaign, rules = read.campaign(context.partition_key), read.rules_of(dataset)
            store = staging.open()
            extract = required_reference(context, upstream, Extract, store)
            previous = previous_reference(context, key, Stage, store)

            def apply(applied: RuleSet, fallback: Fallback | None) -> Stage:
                return pipeline.stage(
                    dataset, campaign, extract, applied, store,
                    lookups=_lookups(context, applied, store),
                    fallback=fallback, previous=previous,
                )  # fmt: skip

            others = last_good_rules(
                dataset, campaign.key, rules, registry.open, warehouse.open, store
            )
            made = stage_with_fallback(apply, campaign.key, rules, others)
            unchanged = made is previous
            if made.notice:
                context.log.warning(f"{made.campaign_key}: {made.notice}")
            context.log.info(
                f"{made.records:,} records of {made.campaign_key}"
                f" {'are as they were' if unchanged else 'staged'}"
                f" ({made.filtered:,} filtered, {made.rejected:,} rejected): {took.summary}"
            )
            shown = stage_metadata(
                dataset, made, store, stage_path(made),
                seconds=took.elapsed, unchanged=unchanged, spans=took.seconds,
            )  # fmt: skip
            return dg.MaterializeResult(
                metadata={**shown, **stage_lineage(dataset, extract, made, store)},
                data_version=dg.DataVersion(made.inputs_digest),
                tags=read_version(
                    context.instance,
                    rules_key(dataset),
                    made.campaign_key,
                    rules.for_campaign(made.campaign_key).digest,
                ),
            )

    return s3_staging_csv


def _redshift_table(dataset: Dataset, settings: Settings) -> dg.AssetsDefinition:
    _, upstream, key = chain_keys(dataset.name)

    @dg.asset(
        key=key,
        partitions_def=CAMPAIGNS,
        deps=[upstream, rules_key(dataset)],
        kinds={system_kind(settings.warehouse_url), "table"},
        description=f"{dataset.description}\n\nThe table `{dataset.table}` that readers use;"
        " a partition is one campaign's slice of it, replaced in one transaction.",
        metadata={"dagster/table_name": dataset.table},
        pool="warehouse",
        group_name=dataset.name,
        owners=owners_of(dataset.owner),
        tags=tags_of(dataset),
        output_required=False,  # a load that is held materializes nothing
        check_specs=[follows_source_spec(key), is_fresh_spec(key)],
    )
    def redshift_table(
        context: dg.AssetExecutionContext, staging: StagingResource, warehouse: WarehouseResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        with reported_to_dagster(context), _told(context) as took:
            store = staging.open()
            staged = required_reference(context, upstream, Stage, store)
            opened = warehouse.open()
            made = load(
                dataset,
                staged,
                store,
                opened,
                run_id=context.run.run_id,
                force=is_forced(context),
            )
            changes = changes_of_load(made.replaced, staged, store)
            table_records = sum(opened.slices(dataset).values())
        if staged.notice:
            context.log.warning(f"{staged.campaign_key}: {staged.notice}")
        if made.row and made.follows_source:
            since = f" (unchanged since load {made.row.load_id})"
            context.log.info(
                f"{staged.campaign_key}: {made.row.proof}"
                f"{since if made.status == 'unchanged' else ''}: {took.summary}"
            )
            shown = load_metadata(
                dataset, made.row, staged, store,
                manifest=stage_path(staged), warehouse_url=warehouse.url,
                table_records=table_records, seconds=took.elapsed,
                unchanged=made.status == "unchanged", spans=took.seconds, changes=changes,
                replaced=made.replaced,
            )  # fmt: skip
            yield dg.MaterializeResult(
                metadata={**shown, **table_lineage(upstream, staged.columns)},
                data_version=dg.DataVersion(made.row.inputs_digest),
                tags=inherited(
                    latest(context.instance, upstream, staged.campaign_key), rules_key(dataset)
                ),
            )
        else:
            context.log.warning(f"{staged.campaign_key}: {made.reason}")
            context.log_event(
                dg.AssetObservation(
                    key,
                    partition=staged.campaign_key,
                    metadata=held_metadata(made.status, made.reason, made.row, staged),
                )
            )
        yield follows_source_result(key, made)
        yield is_fresh_result(key, staged.campaign_key, made)

    return redshift_table


def _told(context: dg.AssetExecutionContext) -> AbstractContextManager[Telemetry]:
    """Record what a step does; its log says how far it is."""
    key, log = context.partition_key, context.log
    return recorded(Telemetry(tell=lambda said: log.info(f"{key}: {said}")))


def _lookups(
    context: dg.AssetExecutionContext, rules: RuleSet, staging: Staging
) -> dict[str, Extract]:
    """Return the campaign's latest extracts of the datasets that rules look values up in."""
    names = rules.for_campaign(context.partition_key).looked_up_datasets
    return {
        name: required_reference(context, chain_keys(name)[0], Extract, staging) for name in names
    }
