"""The job for datasets whose keys are refreshed together: one moment, one transaction.

The keys are no partitions of its run, since one run takes all of them; what it makes is
reported as materializations of the chain's partitions, like those of a run per key.
"""

import datetime as dt
import time
from collections.abc import Mapping, Sequence

import dagster as dg

from etl_assets import pipeline
from etl_assets.assets import chain_keys
from etl_assets.column_lineage import extract_lineage, stage_lineage, table_lineage
from etl_assets.core.campaigns import Campaign
from etl_assets.core.data_versions import campaign_version
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import EtlError, StagingError
from etl_assets.core.freshness import freshness_of_load
from etl_assets.core.manifest import Extract, Stage
from etl_assets.core.registry import Registry
from etl_assets.failures import reported_to_dagster
from etl_assets.freshness import is_fresh_evaluation
from etl_assets.held import follows_source_evaluation
from etl_assets.kept import Reference, extract_manifest, stage_path
from etl_assets.loading import Loaded
from etl_assets.metadata import (
    ERROR,
    extract_metadata,
    held_metadata,
    load_metadata,
    stage_metadata,
)
from etl_assets.metadata_parts import Metadata
from etl_assets.observations import (
    CAMPAIGNS_KEY,
    DATA_VERSION,
    inherited,
    latest,
    read_version,
    rules_key,
)
from etl_assets.partition_events import targets
from etl_assets.profiled import changes_of_load
from etl_assets.references import latest_reference, reference_of
from etl_assets.resources import (
    RegistryResource,
    SourceResource,
    StagingResource,
    WarehouseResource,
)
from etl_assets.settings import Settings
from etl_assets.systems.protocols import Staging
from etl_assets.together import Together, extract_together, load_together, stage_together

TOGETHER_JOB = "refresh_together"


class TogetherConfig(dg.Config):
    """What is refreshed.

    Attributes:
        dataset: One whose document says `together`.
        campaigns: Their keys.
        force: Extract, stage and load also what is unchanged.
    """

    dataset: str
    campaigns: list[str]
    force: bool = False


def together_config(dataset: Dataset, keys: Sequence[str], *, force: bool = False) -> dg.RunConfig:
    """Return the configuration of a run that refreshes keys of a dataset together."""
    config = TogetherConfig(dataset=dataset.name, campaigns=list(keys), force=force)
    return dg.RunConfig(ops={"refresh_keys_together": config})


def build_together_job(settings: Settings) -> dg.JobDefinition:
    """Return the job that refreshes the keys of a dataset together."""

    @dg.op(pool="warehouse")
    def refresh_keys_together(
        context: dg.OpExecutionContext,
        config: TogetherConfig,
        registry: RegistryResource,
        source: SourceResource,
        staging: StagingResource,
        warehouse: WarehouseResource,
    ) -> None:
        dataset = settings.datasets[config.dataset]
        with reported_to_dagster(context):
            read = registry.pinned(context.run, context.instance)
            found, campaigns = _campaigns(read, config.campaigns)
            store, opened = staging.open(), warehouse.open()
            reporter = _Reporter(context, dataset, store, warehouse.url)
            earlier = {} if config.force else reporter.earlier(campaigns)
            found |= extract_together(
                dataset,
                list(campaigns.values()),
                source.open(),
                store,
                source_name=source.url,
                previous={key: one for key, (one, _) in earlier.items()},
            )
            context.log.info(f"{len(campaigns)} keys of {dataset.name} read as of one moment")
            rules = read.rules_of(dataset)

            def stage(key: str, extract: Extract) -> Stage:
                return pipeline.stage(
                    dataset, campaigns[key], extract, rules, store,
                    lookups=reporter.lookups(key, rules.for_campaign(key).looked_up_datasets),
                    previous=earlier[key][1] if key in earlier else None,
                )  # fmt: skip

            found = stage_together(found, stage)
            found = load_together(
                dataset, found, store, opened, run_id=context.run_id, force=config.force
            )
            table_records = sum(opened.slices(dataset).values())
        for key, one in found.items():
            reporter.report(key, one, campaigns.get(key), table_records)
        failed = {key: one.error for key, one in found.items() if one.error}
        if failed:
            said = "; ".join(f"{key}: {error}" for key, error in failed.items())
            raise dg.Failure(
                f"{len(failed)} of {len(found)} keys of {dataset.name} failed. {said}",
                allow_retries=False,
            )

    @dg.job(
        name=TOGETHER_JOB,
        executor_def=dg.in_process_executor,
        description="Refreshes the keys of a dataset that says `together`: read as of one moment,"
        " visible in one transaction.",
    )
    def refresh_together() -> None:
        refresh_keys_together()

    return refresh_together


def _campaigns(read: Registry, keys: list[str]) -> tuple[dict[str, Together], dict[str, Campaign]]:
    """Return the keys whose campaign cannot be read, and the campaigns of the others."""
    bad: dict[str, Together] = {}
    good: dict[str, Campaign] = {}
    for key in keys:
        try:
            good[key] = read.campaign(key)
        except EtlError as error:
            bad[key] = Together(error=error)
    return bad, good


class _Reporter:
    """Finds what was made of a dataset's partitions the last time, and reports what is now."""

    def __init__(
        self, context: dg.OpExecutionContext, dataset: Dataset, staging: Staging, url: str
    ) -> None:
        self._context = context
        self._dataset = dataset
        self._staging = staging
        self._warehouse_url = url
        self._began = time.monotonic()
        self._keys = chain_keys(dataset.name)
        self._known: set[str] = set()

    def earlier(
        self, campaigns: Mapping[str, Campaign]
    ) -> dict[str, tuple[Extract | None, Stage | None]]:
        """Return the last extract and stage of each key."""
        extract, stage, _ = self._keys
        found = {
            key: (self._latest(extract, Extract, key), self._latest(stage, Stage, key))
            for key in campaigns
        }
        for extracted, staged in found.values():
            self._known |= {extracted.extract_id} if extracted else set()
            self._known |= {staged.load_id} if staged else set()
        return found

    def lookups(self, key: str, names: Sequence[str]) -> dict[str, Extract]:
        """Return the latest extracts of the datasets that rules look values up in."""
        return {
            name: reference_of(
                self._context.instance, chain_keys(name)[0], key, Extract, self._staging
            )
            for name in names
        }

    def report(self, key: str, one: Together, campaign: Campaign | None, records: int) -> None:
        """Log what became of a key as events of its partitions.

        Args:
            key: The campaign's.
            one: What became of it.
            campaign: What was read of it; None when it cannot be read.
            records: Those of the table.
        """
        self._began, seconds = time.monotonic(), time.monotonic() - self._began
        if one.extract and campaign:
            path = extract_manifest(self._dataset.name, key, one.extract.extract_id)
            unchanged = one.extract.extract_id in self._known
            shown = extract_metadata(
                self._dataset, one.extract, self._staging, path,
                seconds=seconds, unchanged=unchanged,
            )  # fmt: skip
            tags = read_version(
                self._context.instance, CAMPAIGNS_KEY, key, campaign_version(campaign)
            )
            shown |= extract_lineage(self._dataset, one.extract)
            self._materialized(0, key, shown, one.extract.data_version, tags)
        if one.stage:
            unchanged = one.stage.load_id in self._known
            shown = stage_metadata(
                self._dataset, one.stage, self._staging, stage_path(one.stage),
                seconds=0.0, unchanged=unchanged,
            )  # fmt: skip
            tags = read_version(
                self._context.instance, rules_key(self._dataset), key, one.stage.rules_digest
            )
            if one.extract:
                shown |= stage_lineage(self._dataset, one.extract, one.stage, self._staging)
            self._materialized(1, key, shown, one.stage.inputs_digest, tags)
        if one.stage and one.loaded:
            self._report_load(key, one.stage, one.loaded, records)
        if one.error:
            self._observed(key, {ERROR: dg.MetadataValue.text(str(one.error))})

    def _report_load(self, key: str, staged: Stage, loaded: Loaded, records: int) -> None:
        if loaded.row and loaded.follows_source:
            shown = load_metadata(
                self._dataset, loaded.row, staged, self._staging,
                manifest=stage_path(staged), warehouse_url=self._warehouse_url,
                table_records=records, seconds=0.0, unchanged=loaded.status == "unchanged",
                changes=changes_of_load(loaded.replaced, staged, self._staging),
                replaced=loaded.replaced,
            )  # fmt: skip
            tags = inherited(
                latest(self._context.instance, self._keys[1], key), rules_key(self._dataset)
            )
            shown |= table_lineage(self._keys[1], staged.columns)
            self._materialized(2, key, shown, loaded.row.inputs_digest, tags)
        else:
            self._context.log.warning(f"{key}: {loaded.reason}")
            self._observed(key, held_metadata(loaded.status, loaded.reason, loaded.row, staged))
        self._checked(key, loaded)

    def _checked(self, key: str, loaded: Loaded) -> None:
        table = self._keys[2]
        target = targets(self._context.instance, table, {key}).get(key)
        fresh = freshness_of_load(key, loaded.status, loaded.reason, dt.datetime.now(dt.UTC))
        for evaluation in (
            follows_source_evaluation(table, key, loaded, target),
            is_fresh_evaluation(table, fresh, target),
        ):
            self._context.log_event(evaluation)  # type: ignore[arg-type]  # taken, not annotated

    def _materialized(
        self, step: int, key: str, shown: Metadata, version: str, tags: Mapping[str, str]
    ) -> None:
        # Without the tags of Dagster's own that name a code version, the partition is out of
        # step when something it was made from is newer than this event.
        self._context.log_event(
            dg.AssetMaterialization(
                self._keys[step], partition=key, metadata=shown,
                tags={**tags, DATA_VERSION: version},
            )
        )  # fmt: skip

    def _latest(self, asset: dg.AssetKey, model: type[Reference], key: str) -> Reference | None:
        try:
            return latest_reference(self._context.instance, asset, key, model, self._staging)
        except StagingError as error:
            self._context.log.warning(f"{error.message} It is made anew.")
            return None

    def _observed(self, key: str, shown: Metadata) -> None:
        self._context.log_event(dg.AssetObservation(self._keys[2], partition=key, metadata=shown))
