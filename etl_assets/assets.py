"""The chain of one dataset as assets: rds_extract -> s3_staging_csv -> redshift_table.

The bodies are thin: what a step does is in `pipeline.py`. Between assets only the path of a
manifest travels, as metadata of the materialization; a later asset reads the manifest of
that partition's latest materialization, so each asset can be materialized alone.

The asset keys keep the names people know, whatever systems stand behind them; the kinds
shown in the UI are those of the actual systems.
"""

import time
from collections.abc import Sequence
from typing import TypeVar

import dagster as dg

from etl_assets import pipeline
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError, StagingError
from etl_assets.core.manifest import Extract, Stage
from etl_assets.failures import reported_to_dagster
from etl_assets.kept import extract_manifest
from etl_assets.metadata import REFERENCE, extract_metadata, load_metadata, stage_metadata
from etl_assets.partitions import CAMPAIGNS
from etl_assets.resources import (
    RegistryResource,
    SourceResource,
    StagingResource,
    WarehouseResource,
)
from etl_assets.settings import Settings
from etl_assets.systems.connect import system_kind
from etl_assets.systems.protocols import Staging

FORCE_TAG = "etl_assets/force"
"""A run with this tag set to `true` extracts, stages and loads even what is unchanged."""

Reference = TypeVar("Reference", Extract, Stage)


def build_chain(dataset: Dataset, settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the three assets of a dataset, in the order the data takes."""
    return [
        _rds_extract(dataset, settings),
        _s3_staging_csv(dataset, settings),
        _redshift_table(dataset, settings),
    ]


def table_key(dataset: Dataset) -> dg.AssetKey:
    """Return the key of a dataset's table asset."""
    return dg.AssetKey([dataset.name, "redshift_table"])


def _rds_extract(dataset: Dataset, settings: Settings) -> dg.AssetsDefinition:
    key = dg.AssetKey([dataset.name, "rds_extract"])

    @dg.asset(
        key=key,
        partitions_def=CAMPAIGNS,
        deps=[*(dg.AssetKey(["source", name]) for name in dataset.source_tables),
              dg.AssetKey(["registry", "campaigns"])],
        kinds={system_kind(settings.source_url), "parquet"},
        description=f"{dataset.description}\n\nThe records of one campaign as the source held"
        f" them in one snapshot, in Parquet.\n\n```sql\n{dataset.query}\n```",
        pool="source",
        group_name=dataset.name,
        owners=_owners(dataset),
    )  # fmt: skip
    def rds_extract(
        context: dg.AssetExecutionContext,
        registry: RegistryResource,
        source: SourceResource,
        staging: StagingResource,
    ) -> dg.MaterializeResult[None]:
        started = time.monotonic()
        with reported_to_dagster(context):
            campaign = registry.open().read().campaign(context.partition_key)
            if not campaign.takes_part_in(dataset.name):
                raise PermanentError(
                    f"Campaign {campaign.key} does not take part in {dataset.name}.",
                    "Add the dataset to the campaign's `datasets`, or choose another key.",
                )
            store = staging.open()
            previous = _previous(context, key, Extract, store)
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
                f" {'are as they were' if unchanged else 'extracted'}"
            )
            return dg.MaterializeResult(
                metadata=extract_metadata(
                    made, store, path, seconds=time.monotonic() - started, unchanged=unchanged
                ),
                data_version=dg.DataVersion(made.content_digest),
            )

    return rds_extract


def _s3_staging_csv(dataset: Dataset, settings: Settings) -> dg.AssetsDefinition:
    key = dg.AssetKey([dataset.name, "s3_staging_csv"])
    upstream = dg.AssetKey([dataset.name, "rds_extract"])

    @dg.asset(
        key=key,
        partitions_def=CAMPAIGNS,
        deps=[upstream, dg.AssetKey(["registry", "rules"])],
        kinds={system_kind(settings.staging_url), "csv"},
        description=f"The records of {dataset.name} after the business rules, as CSV parts"
        " with a manifest, ready to load.",
        group_name=dataset.name,
        owners=_owners(dataset),
    )
    def s3_staging_csv(
        context: dg.AssetExecutionContext, registry: RegistryResource, staging: StagingResource
    ) -> dg.MaterializeResult[None]:
        started = time.monotonic()
        with reported_to_dagster(context):
            read = registry.open().read()
            store = staging.open()
            extract = _required(context, upstream, Extract, store)
            previous = _previous(context, key, Stage, store)
            made = pipeline.stage(
                dataset,
                read.campaign(context.partition_key),
                extract,
                read.rules_of(dataset),
                store,
                previous=previous,
            )
            unchanged = made is previous
            context.log.info(
                f"{made.records:,} records of {made.campaign_key}"
                f" {'are as they were' if unchanged else 'staged'}"
                f" ({made.filtered:,} filtered, {made.rejected:,} rejected)"
            )
            return dg.MaterializeResult(
                metadata=stage_metadata(
                    made,
                    store,
                    pipeline.stage_path(made),
                    seconds=time.monotonic() - started,
                    unchanged=unchanged,
                ),
                data_version=dg.DataVersion(made.inputs_digest),
            )

    return s3_staging_csv


def _redshift_table(dataset: Dataset, settings: Settings) -> dg.AssetsDefinition:
    upstream = dg.AssetKey([dataset.name, "s3_staging_csv"])

    @dg.asset(
        key=table_key(dataset),
        partitions_def=CAMPAIGNS,
        deps=[upstream],
        kinds={system_kind(settings.warehouse_url), "table"},
        description=f"{dataset.description}\n\nThe table `{dataset.table}` that readers use;"
        " a partition is one campaign's slice of it, replaced in one transaction.",
        metadata={"dagster/table_name": dataset.table},
        pool="warehouse",
        group_name=dataset.name,
        owners=_owners(dataset),
    )
    def redshift_table(
        context: dg.AssetExecutionContext, staging: StagingResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult[None]:
        started = time.monotonic()
        with reported_to_dagster(context):
            store = staging.open()
            staged = _required(context, upstream, Stage, store)
            opened = warehouse.open()
            made = pipeline.load(
                dataset,
                staged,
                store,
                opened,
                run_id=context.run.run_id,
                force=_forced(context),
            )
            unchanged = made.run_id != context.run.run_id
            context.log.info(
                f"{made.campaign_key}: {made.proof}"
                f"{' (unchanged since load ' + made.load_id + ')' if unchanged else ''}"
            )
            return dg.MaterializeResult(
                metadata=load_metadata(
                    made,
                    staged,
                    store,
                    manifest=pipeline.stage_path(staged),
                    warehouse_url=warehouse.url,
                    table_records=sum(opened.slices(dataset).values()),
                    seconds=time.monotonic() - started,
                    unchanged=unchanged,
                ),
                data_version=dg.DataVersion(made.inputs_digest),
            )

    return redshift_table


def _owners(dataset: Dataset) -> list[str] | None:
    return [dataset.owner] if dataset.owner else None


def _forced(context: dg.AssetExecutionContext) -> bool:
    return context.run.tags.get(FORCE_TAG) == "true"


def _previous(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    model: type[Reference],
    staging: Staging,
) -> Reference | None:
    """Return what the asset made the last time; None when it is gone, or must be made again."""
    if _forced(context):
        return None
    try:
        return _latest(context, key, model, staging)
    except StagingError as error:
        context.log.warning(f"{error.message} It is made anew.")
        return None


def _latest(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    model: type[Reference],
    staging: Staging,
) -> Reference | None:
    """Return the reference of the partition's latest materialization of an asset, if any."""
    records: Sequence[dg.EventLogRecord] = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[context.partition_key]), limit=1
    ).records
    for record in records:
        materialization = record.asset_materialization
        path = materialization.metadata.get(REFERENCE) if materialization else None
        if path is not None:
            return model.model_validate_json(staging.read_text(str(path.value)))
    return None


def _required(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    model: type[Reference],
    staging: Staging,
) -> Reference:
    """Return the reference an asset needs from the one before it.

    Raises:
        PermanentError: When that was never materialized for this campaign.
    """
    found = _latest(context, key, model, staging)
    if found is None:
        raise PermanentError(
            f"{key.to_user_string()} was never materialized for campaign {context.partition_key}.",
            "Materialize it first, or select the whole chain.",
        )
    return found
