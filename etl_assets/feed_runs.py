"""A feed's delivery as Dagster sees it: what has to be fresh first, and what it is told."""

import datetime as dt
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._utils.schedules import get_latest_completed_cron_tick

from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError
from etl_assets.core.feeds.feed import ALL, Feed, relations_of
from etl_assets.core.feeds.fence import column_sources
from etl_assets.core.registry import Registry
from etl_assets.core.reporting_views import view_name
from etl_assets.core.sentences import some
from etl_assets.delivery.deliver import Delivered, Deliverer
from etl_assets.delivery.opening import datasets_read, open_feed
from etl_assets.key_states import key_states
from etl_assets.lineage import view_key
from etl_assets.metadata_parts import Metadata
from etl_assets.partitions import keys_in_flight
from etl_assets.schedules import due_in, runnable
from etl_assets.settings import Settings

_SHOWN = 5


def feed_key(feed: str) -> dg.AssetKey:
    """Return the key of the asset that a feed is, by its name."""
    return dg.AssetKey(["feed", feed])


def relation_key(relation: str, dataset: Dataset) -> dg.AssetKey:
    """Return the key of the asset that a dataset's table or view is."""
    if relation == dataset.table:
        return dg.AssetKey([dataset.name, "redshift_table"])
    return view_key(dataset, relation.removeprefix(view_name(dataset.table, "")))


def relation_keys(feed: Feed, settings: Settings) -> dict[str, dg.AssetKey]:
    """Return the keys of the assets that a feed reads, by the names of tables and views."""
    known = relations_of(settings.datasets)
    return {name: relation_key(name, known[name]) for name in feed.reads}


def deliver(
    deliverer: Deliverer,
    campaign: Campaign | None,
    settings: Settings,
    registry: Registry,
    instance: dg.DagsterInstance,
    *,
    force: bool,
) -> Delivered:
    """Deliver a feed of a scope when what it needs is fresh.

    Raises:
        PermanentError: When it is not, or as `Deliverer.deliver`, with what else that raises.
    """
    feed, key = deliverer.feed, campaign.key if campaign else ALL
    now = dt.datetime.now(ZoneInfo(settings.schedule_time_zone))
    lacks = "" if force else unmet_needs(feed, key, settings, registry, instance, now)
    if lacks:
        raise PermanentError(
            f"The feed {feed.feed} of {key} waits: {lacks}. Nothing was delivered.",
            "Refresh what is missing; or deliver it with `etl-assets feeds deliver --force`.",
        )
    return deliverer.deliver(campaign, now, force=force)


def deliver_and_report(
    settings: Settings, name: str, campaign: Campaign | None, *, force: bool
) -> Delivered:
    """Deliver a feed from the command line, and tell Dagster of it; errors as `deliver`."""
    from etl_assets.home import open_instance

    with open_instance(settings) as instance:
        registry = settings.open_registry().read()
        deliverer = open_feed(name, settings)
        done = deliver(deliverer, campaign, settings, registry, instance, force=force)
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                feed_key(name),
                partition=campaign.key if campaign else None,
                metadata=delivery_metadata(settings.feeds[name], done, settings),
                tags={"dagster/data_version": done.delivery.sha256},
            )
        )
    return done


def unmet_needs(
    feed: Feed,
    scope: str,
    settings: Settings,
    registry: Registry,
    instance: dg.DagsterInstance,
    now: dt.datetime,
) -> str:
    """Return what has to be refreshed before a feed is delivered; empty when nothing has."""
    if feed.needs == "nothing":
        return ""
    tick = last_tick(settings, now)
    due = runnable(registry, registry.due_at(now), settings)
    busy = keys_in_flight(instance) if due else set()
    lacks: list[str] = []
    for name in datasets_read(feed, settings):
        dataset = settings.datasets[name]
        keys = sorted(due_in(dataset, registry, due))
        if feed.needs == "own_key":
            keys = [key for key in keys if key == scope]
        lacks += [
            f"{state.key} in {name}"
            for state in key_states(dataset, keys, registry, instance, busy)
            if state.refreshed_at is None or state.refreshed_at < tick
        ]
    if not lacks:
        return ""
    return f"not refreshed since the tick of {tick:%Y-%m-%d %H:%M}: {some(lacks, _SHOWN)}"


def last_tick(settings: Settings, at: dt.datetime) -> dt.datetime:
    """Return the newest tick of the schedule that is not after a moment, in its time zone."""
    zone = settings.schedule_time_zone
    found = get_latest_completed_cron_tick(settings.schedule, at, zone)
    return found.astimezone(ZoneInfo(zone))


def delivery_metadata(feed: Feed, done: Delivered, settings: Settings) -> Metadata:
    """Return what the UI shows of a delivery."""
    made = done.delivery
    read = relation_keys(feed, settings)
    lineage = {
        column: [dg.TableColumnDep(read[relation], source) for relation, source in sources]
        for column, sources in column_sources(feed.tree).items()
    }
    columns = [
        dg.TableColumn(c.name, str(c.type), description=c.comment or None) for c in made.columns
    ]
    rows = "dagster/row_count" if made.scope == ALL else "dagster/partition_row_count"
    return {
        rows: dg.IntMetadataValue(made.records),
        "status": dg.MetadataValue.text(done.status),
        "destination": dg.MetadataValue.text(made.uri),
        "bytes": dg.IntMetadataValue(made.bytes),
        "sha256": dg.MetadataValue.text(made.sha256),
        "delivered_at": dg.MetadataValue.timestamp(made.delivered_at),
        "manifest": dg.MetadataValue.json(made.model_dump(mode="json")),
        "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns)),
        "dagster/column_lineage": dg.MetadataValue.column_lineage(dg.TableColumnLineage(lineage)),
    }
