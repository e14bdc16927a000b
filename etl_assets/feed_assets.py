"""Feeds as assets: downstream of the tables and views they read, delivered by their runs."""

import warnings
from collections.abc import Iterator, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from etl_assets.core.feeds.feed import Feed
from etl_assets.delivery.opening import open_feed
from etl_assets.failures import NO_RUN_RETRY, reported_to_dagster
from etl_assets.feed_lateness import build_lateness_check
from etl_assets.feed_runs import deliver, delivery_metadata, feed_key, relation_keys
from etl_assets.lineage import owners_of
from etl_assets.partitions import CAMPAIGNS
from etl_assets.resources import RegistryResource, StagingResource, WarehouseResource
from etl_assets.settings import Settings

FEEDS_JOB = "deliver_feeds"
FEEDS_OF_KEYS_JOB = "deliver_feeds_of_keys"
NOT_EMPTY = "not_empty"


class DeliverConfig(dg.Config):
    """How a feed is delivered.

    Attributes:
        force: Deliver also what is there already, or what is made of records that are not fresh.
    """

    force: bool = False


def build_feed_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return an asset for each feed."""
    return [_asset(feed, settings) for feed in settings.feeds.values()]


def build_feed_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Return the check of each feed that has a time by which it is delivered."""
    feeds = settings.feeds.values()
    return [build_lateness_check(feed, settings) for feed in feeds if feed.deliver_by]


def build_feed_jobs(
    settings: Settings, checks: Sequence[dg.AssetChecksDefinition]
) -> list[UnresolvedAssetJobDefinition]:
    """Return the jobs that deliver feeds, those of one campaign and those of all apart."""
    jobs = []
    for name, per in ((FEEDS_JOB, "refresh"), (FEEDS_OF_KEYS_JOB, "key")):
        keys = [feed_key(feed.feed) for feed in settings.feeds.values() if feed.per == per]
        if keys:
            selection = dg.AssetSelection.assets(*keys) - dg.AssetSelection.checks(*checks)
            jobs.append(
                dg.define_asset_job(
                    name,
                    selection=selection,
                    executor_def=dg.in_process_executor,
                    run_tags=NO_RUN_RETRY,
                    description="Delivers feeds" + (" of one campaign." if per == "key" else "."),
                )
            )
    return jobs


def _asset(feed: Feed, settings: Settings) -> dg.AssetsDefinition:
    key, per_key = feed_key(feed.feed), feed.per == "key"
    with warnings.catch_warnings():  # partitioned checks are a preview in 1.13; tests hold ours
        warnings.simplefilter("ignore", dg.PreviewWarning)
        not_empty = dg.AssetCheckSpec(
            NOT_EMPTY,
            asset=key,
            partitions_def=CAMPAIGNS if per_key else None,
            description="What was delivered last holds a record.",
        )

    @dg.asset(
        key=key,
        partitions_def=CAMPAIGNS if per_key else None,
        deps=sorted(set(relation_keys(feed, settings).values())),
        kinds={feed.format.kind if feed.format else "table", _kind(feed)},
        description=f"{feed.description}\n\nFor {feed.audience or 'whoever reads it'}.\n\n"
        f"```sql\n{feed.select}\n```",
        pool="warehouse",
        group_name="feeds",
        owners=owners_of(feed.owner),
        tags={"etl_assets/feed": feed.feed},
        check_specs=[not_empty],
    )
    def delivered(
        context: dg.AssetExecutionContext,
        config: DeliverConfig,
        registry: RegistryResource,
        staging: StagingResource,
        warehouse: WarehouseResource,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        with reported_to_dagster(context):
            read = registry.open().read()
            campaign = read.campaign(context.partition_key) if per_key else None
            deliverer = open_feed(feed.feed, settings, warehouse.open(), staging.open())
            done = deliver(
                deliverer, campaign, settings, read, context.instance, force=config.force
            )
        made = done.delivery
        context.log.info(f"{made.records:,} records {done.status}: {made.uri}")
        yield dg.MaterializeResult(
            metadata=delivery_metadata(feed, done, settings),
            data_version=dg.DataVersion(made.sha256),
        )
        yield dg.AssetCheckResult(
            check_name=NOT_EMPTY,
            asset_key=key,
            passed=made.records > 0,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{made.records:,} records.",
        )

    return delivered


def _kind(feed: Feed) -> str:
    """Return the kind of a feed's destination, as the UI shows it."""
    return feed.destination.url.partition(":")[0].partition("+")[0]
