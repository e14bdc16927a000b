"""The sensor that delivers feeds after loads, and says which are late.

A load of a campaign asks for the feeds that read its table; each waits until what it needs is
fresh. What was seen, what waits, and what was said is in the cursor.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from etl_assets.assets import table_key
from etl_assets.core.feeds.feed import ALL, Feed
from etl_assets.core.registry import Registry
from etl_assets.delivery.opening import datasets_read
from etl_assets.feed_assets import FEEDS_JOB, FEEDS_OF_KEYS_JOB
from etl_assets.feed_lateness import feed_lateness, lateness_evaluation
from etl_assets.feed_runs import feed_key, unmet_needs
from etl_assets.partition_events import MADE
from etl_assets.resources import RegistryResource, StagingResource
from etl_assets.run_tags import CAMPAIGN_TAG
from etl_assets.settings import Settings
from etl_assets.systems.protocols import Staging

SENSOR_INTERVAL_SECONDS = 30
REPORTED_AGAIN_SECONDS = 300


@dataclass(frozen=True)
class Seen:
    """What the sensor remembers.

    Attributes:
        tables: By dataset, the newest materialization that was seen.
        waiting: By feed and scope, as `feed/scope`, the materialization that asks for a delivery.
        told: By feed, the digest of what was said of its lateness, and when.
    """

    tables: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    told: dict[str, tuple[str, float]] = field(default_factory=dict)

    def dump(self) -> str:
        """Return it as a compact text."""
        return json.dumps(vars(self), separators=(",", ":"))

    @classmethod
    def load(cls, text: str | None) -> "Seen":
        """Return what a text holds; nothing when there is none, or of another form.

        To have seen nothing is safe: what is delivered already is not delivered again.
        """
        try:
            content = json.loads(text or "")
            told = {feed: (str(d), float(at)) for feed, (d, at) in content["told"].items()}
            tables = {name: int(number) for name, number in content["tables"].items()}
            waiting = {name: int(number) for name, number in content["waiting"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()
        return cls(tables, waiting, told)


def build_feeds_sensor(
    settings: Settings, jobs: Sequence[UnresolvedAssetJobDefinition]
) -> dg.SensorDefinition:
    """Return the sensor.

    Args:
        settings: The feeds.
        jobs: Those that deliver them.
    """

    @dg.sensor(
        name="feeds_sensor",
        jobs=jobs,
        minimum_interval_seconds=SENSOR_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Delivers feeds after the loads they need, and says which are late.",
    )
    def feeds_sensor(
        context: dg.SensorEvaluationContext, registry: RegistryResource, staging: StagingResource
    ) -> dg.SensorResult:
        read, seen = registry.open().read(), Seen.load(context.cursor)
        now = dt.datetime.now(ZoneInfo(settings.schedule_time_zone))
        tables, waiting = asked_for(settings, read, context.instance, seen)
        requests, still, said = [], dict[str, int](), list[str]()
        for place, number in waiting.items():
            name, _, scope = place.partition("/")
            feed = settings.feeds[name]
            lacks = unmet_needs(feed, scope, settings, read, context.instance, now)
            if lacks:
                still[place] = number
                said.append(f"{name} of {scope} waits: {lacks}.")
            else:
                requests.append(_request(feed, scope, number))
        events, told = _late(settings, read, staging.open(), seen, now)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else " ".join(said) or "Nothing was loaded.",
            cursor=Seen(tables, still, told).dump(),
            asset_events=events,
        )

    return feeds_sensor


def asked_for(
    settings: Settings, registry: Registry, instance: dg.DagsterInstance, seen: Seen
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the newest materialization of each table, and what waits to be delivered."""
    keys, storage = set(registry.campaigns), instance.event_log_storage
    tables, news = dict(seen.tables), dict[str, dict[str, int]]()
    for name, dataset in settings.datasets.items():
        made = storage.get_latest_storage_id_by_partition(table_key(dataset), MADE)
        before = seen.tables.get(name, 0)
        news[name] = {key: number for key, number in made.items() if number > before}
        tables[name] = max([before, *made.values()])
    waiting = {
        place: number for place, number in seen.waiting.items() if _is_there(place, settings, keys)
    }
    for feed in settings.feeds.values():
        for name in datasets_read(feed, settings):
            for key, number in news[name].items():
                scope = key if feed.per == "key" else ALL
                if scope == ALL or scope in keys:
                    place = f"{feed.feed}/{scope}"
                    waiting[place] = max(number, waiting.get(place, 0))
    return tables, waiting


def _is_there(place: str, settings: Settings, keys: Collection[str]) -> bool:
    name, _, scope = place.partition("/")
    return name in settings.feeds and (scope == ALL or scope in keys)


def _request(feed: Feed, scope: str, number: int) -> dg.RunRequest:
    per_key = feed.per == "key"
    return dg.RunRequest(
        run_key=f"{feed.feed}:{scope}:{number}",
        job_name=FEEDS_OF_KEYS_JOB if per_key else FEEDS_JOB,
        partition_key=scope if per_key else None,
        asset_selection=[feed_key(feed.feed)],
        tags={CAMPAIGN_TAG: scope} if per_key else {},
    )


def _late(
    settings: Settings, registry: Registry, staging: Staging, seen: Seen, now: dt.datetime
) -> tuple[list[dg.AssetCheckEvaluation], dict[str, tuple[str, float]]]:
    """Return what is new to be said of the feeds' lateness, and what was said of each."""
    events, told = [], {name: one for name, one in seen.told.items() if name in settings.feeds}
    for name, feed in settings.feeds.items():
        if not feed.deliver_by:
            continue
        found = feed_lateness(feed, settings, registry, staging, now)
        digest = hashlib.sha256(found.said.encode()).hexdigest()[:16]
        before, at = told.get(name, ("", 0.0))
        if digest != before or now.timestamp() - at >= REPORTED_AGAIN_SECONDS:
            events.append(lateness_evaluation(name, found))
            told[name] = (digest, now.timestamp())
    return events, told
