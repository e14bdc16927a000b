"""The check of a feed that it was delivered by its time of the day; evaluated without a run."""

import datetime as dt
from zoneinfo import ZoneInfo

import dagster as dg

from etl_assets.core.feeds.feed import ALL, Feed
from etl_assets.core.feeds.lateness import Lateness, last_deadline, lateness_of
from etl_assets.core.registry import Registry
from etl_assets.delivery.opening import datasets_read
from etl_assets.delivery.records import newest_of_scopes
from etl_assets.failures import reported_to_dagster
from etl_assets.feed_runs import feed_key, last_tick
from etl_assets.resources import RegistryResource, StagingResource
from etl_assets.schedules import due_in, runnable
from etl_assets.settings import Settings
from etl_assets.systems.protocols import Staging

IS_DELIVERED = "is_delivered"


def feed_lateness(
    feed: Feed, settings: Settings, registry: Registry, staging: Staging, now: dt.datetime
) -> Lateness:
    """Return which scopes of a feed were not delivered by its last deadline.

    Args:
        feed: One with a `deliver_by`.
        settings: The schedule and the datasets.
        registry: As read: which keys were due.
        staging: Holds the records of deliveries.
        now: The moment, with a time zone.
    """
    local = now.astimezone(ZoneInfo(settings.schedule_time_zone))
    deadline = last_deadline(feed.deliver_by or "00:00", local)
    tick = last_tick(settings, deadline)
    due = runnable(registry, registry.due_at(tick), settings)
    keys = {
        key
        for name in datasets_read(feed, settings)
        for key in due_in(settings.datasets[name], registry, due)
    }
    expected = keys if feed.per == "key" else {ALL} if keys else set()
    checked = {one.scope: one.checked_at for one in newest_of_scopes(staging, feed.feed)}
    return lateness_of(expected, checked, tick=tick, deadline=deadline)


def lateness_evaluation(feed: str, found: Lateness) -> dg.AssetCheckEvaluation:
    """Return what Dagster is told of a feed."""
    return dg.AssetCheckEvaluation(
        asset_key=feed_key(feed),
        check_name=IS_DELIVERED,
        passed=not found.late,
        description=found.said,
        metadata={"late": len(found.late)},
    )


def build_lateness_check(feed: Feed, settings: Settings) -> dg.AssetChecksDefinition:
    """Return the check of a feed, for the button in the UI; no delivery runs it."""

    @dg.asset_check(
        name=IS_DELIVERED,
        asset=feed_key(feed.feed),
        description=f"It is delivered by {feed.deliver_by} each day on which a campaign is due. It"
        " is looked at each minute while the daemon runs.",
        pool="registry",
    )
    def is_delivered(
        context: dg.AssetCheckExecutionContext, registry: RegistryResource, staging: StagingResource
    ) -> dg.AssetCheckResult:
        with reported_to_dagster(context):
            read, now = registry.open().read(), dt.datetime.now(dt.UTC)
            found = feed_lateness(feed, settings, read, staging.open(), now)
        told = lateness_evaluation(feed.feed, found)
        return dg.AssetCheckResult(
            passed=told.passed, description=told.description, metadata=told.metadata
        )

    return is_delivered
