"""The standing check: no key is failed or late. It is evaluated without a run.

What it says comes from the registry (which keys are due) and from Dagster's own events (when a
key was loaded or found unchanged, and how its last run ended), so neither source nor warehouse
is asked. The sensor evaluates it each minute, the command line after each refresh.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._utils.schedules import get_latest_completed_cron_tick

from etl_assets.assets import chain_keys, table_key
from etl_assets.core.datasets import Dataset
from etl_assets.core.freshness import Freshness, freshness_of, not_due
from etl_assets.core.health import Health, judge
from etl_assets.core.registry import Registry
from etl_assets.failures import reported_to_dagster
from etl_assets.key_states import key_states
from etl_assets.partitions import keys_in_flight
from etl_assets.resources import RegistryResource
from etl_assets.schedules import due_in, runnable
from etl_assets.settings import Settings

CHECK = "no_key_is_failed_or_late"
DESCRIPTION = (
    "Every campaign that is due was refreshed by the last tick of the schedule, and its last run"
    " did not fail. It is looked at each minute while the daemon runs."
)


@dataclass(frozen=True)
class Found:
    """What was found in one dataset.

    Attributes:
        health: Of the keys that are due.
        keys: What is said of every key of the dataset, due or not, sorted.
    """

    health: Health
    keys: tuple[Freshness, ...]


def now() -> dt.datetime:
    """Return the moment that is now."""
    return dt.datetime.now(dt.UTC)


def look(
    settings: Settings, registry: Registry, instance: dg.DagsterInstance, at: dt.datetime
) -> list[Health]:
    """Return what is failed or late in each dataset; see `look_closely`."""
    return [found.health for found in look_closely(settings, registry, instance, at)]


def look_closely(
    settings: Settings, registry: Registry, instance: dg.DagsterInstance, at: dt.datetime
) -> list[Found]:
    """Return what is failed or late in each dataset, and what is to be said of each key.

    Args:
        settings: Datasets, schedule and its time zone.
        registry: As read.
        instance: What knows of runs and materializations.
        at: The moment, with a time zone.
    """
    zone = ZoneInfo(settings.schedule_time_zone)
    moment = at.astimezone(zone)
    due = runnable(registry, registry.due_at(moment), settings)
    busy = keys_in_flight(instance) if due else set()
    found = []
    for dataset in settings.datasets.values():
        late_after = dt.timedelta(minutes=dataset.late_after_minutes)
        tick = get_latest_completed_cron_tick(
            settings.schedule, at - late_after, settings.schedule_time_zone
        ).astimezone(zone)
        keys = sorted(due_in(dataset, registry, due))
        states = list(key_states(dataset, keys, registry, instance, busy))
        then = due_in(dataset, registry, registry.due_at(tick))
        health = judge(dataset.name, states, tick=tick, due_at_tick=then, late_after=late_after)
        said = [
            freshness_of(state, tick=tick, due_at_tick=then, late_after=late_after)
            for state in states
        ]
        said += _not_due(dataset, registry, set(keys), moment)
        found.append(Found(health, tuple(sorted(said, key=lambda one: one.key))))
    return found


def _not_due(
    dataset: Dataset, registry: Registry, due: set[str], moment: dt.datetime
) -> Iterator[Freshness]:
    for key, campaign in registry.campaigns.items():
        if key not in due and campaign.takes_part_in(dataset.name):
            yield not_due(campaign, moment)


def evaluation(health: Health) -> dg.AssetCheckEvaluation:
    """Return what Dagster is told of a dataset."""
    sample = [{"key": p.key, "is": p.kind, "lacks": p.lacks, "do": p.remedy} for p in health.sample]
    return dg.AssetCheckEvaluation(
        asset_key=chain_keys(health.dataset)[-1],
        check_name=CHECK,
        passed=not health.problems,
        description=health.description,
        metadata={
            "due": health.due,
            "failed": len(health.failed),
            "late": len(health.late),
            "tick": health.tick.isoformat(),
            "sample": dg.MetadataValue.json(sample),
        },
    )


def build_health_check(dataset: Dataset, settings: Settings) -> dg.AssetChecksDefinition:
    """Return the check of a dataset, for the button in the UI; no refresh runs it."""

    @dg.asset_check(name=CHECK, asset=table_key(dataset), description=DESCRIPTION, pool="registry")
    def no_key_is_failed_or_late(
        context: dg.AssetCheckExecutionContext, registry: RegistryResource
    ) -> dg.AssetCheckResult:
        with reported_to_dagster(context):
            read = registry.open().read()
            found = look(settings, read, context.instance, now())
        told = evaluation(next(h for h in found if h.dataset == dataset.name))
        return dg.AssetCheckResult(
            passed=told.passed, description=told.description, metadata=told.metadata
        )

    return no_key_is_failed_or_late
