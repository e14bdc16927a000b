"""The standing check: no key is failed or late. It is evaluated without a run.

What it says comes from the registry (which keys are due) and from Dagster's own events (when a
key was loaded or found unchanged, and how its last run ended), so neither source nor warehouse
is asked. The sensor evaluates it each minute, the command line after each refresh.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._utils.schedules import get_latest_completed_cron_tick

from etl_assets.assets import chain_keys, table_key
from etl_assets.core.datasets import Dataset
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
SENSOR_INTERVAL_SECONDS = 60
REPORTED_AGAIN_SECONDS = 300
"""An outcome that stays the same is reported this often: who looks sees that it is watched."""


def look(
    settings: Settings, registry: Registry, instance: dg.DagsterInstance, now: dt.datetime
) -> list[Health]:
    """Return what is failed or late in each dataset.

    Args:
        settings: Datasets, schedule and its time zone.
        registry: As read.
        instance: What knows of runs and materializations.
        now: The moment, with a time zone.
    """
    zone = ZoneInfo(settings.schedule_time_zone)
    due = runnable(registry, registry.due_at(now.astimezone(zone)), settings)
    busy = keys_in_flight(instance) if due else set()
    found = []
    for dataset in settings.datasets.values():
        late_after = dt.timedelta(minutes=dataset.late_after_minutes)
        tick = get_latest_completed_cron_tick(
            settings.schedule, now - late_after, settings.schedule_time_zone
        ).astimezone(zone)
        keys = sorted(due_in(dataset, registry, due))
        states = list(key_states(dataset, keys, registry, instance, busy))
        then = due_in(dataset, registry, registry.due_at(tick))
        found.append(
            judge(dataset.name, states, tick=tick, due_at_tick=then, late_after=late_after)
        )
    return found


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


def report(settings: Settings, registry: Registry, instance: dg.DagsterInstance) -> None:
    """Evaluate the check now and report it, without a run."""
    for health in look(settings, registry, instance, dt.datetime.now(dt.UTC)):
        instance.report_runless_asset_event(evaluation(health))


def build_health_check(dataset: Dataset, settings: Settings) -> dg.AssetChecksDefinition:
    """Return the check of a dataset, for the button in the UI; no refresh runs it."""

    @dg.asset_check(name=CHECK, asset=table_key(dataset), description=DESCRIPTION)
    def no_key_is_failed_or_late(
        context: dg.AssetCheckExecutionContext, registry: RegistryResource
    ) -> dg.AssetCheckResult:
        with reported_to_dagster(context):
            read = registry.open().read()
            found = look(settings, read, context.instance, dt.datetime.now(dt.UTC))
        told = evaluation(next(h for h in found if h.dataset == dataset.name))
        return dg.AssetCheckResult(
            passed=told.passed, description=told.description, metadata=told.metadata
        )

    return no_key_is_failed_or_late


def build_health_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that evaluates the check while the daemon runs."""

    @dg.sensor(
        name="health_sensor",
        minimum_interval_seconds=SENSOR_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Evaluates {CHECK}, without a run.",
    )
    def health_sensor(
        context: dg.SensorEvaluationContext, registry: RegistryResource
    ) -> dg.SensorResult:
        now = dt.datetime.now(dt.UTC)
        found = look(settings, registry.open().read(), context.instance, now)
        told: dict[str, list[object]] = json.loads(context.cursor or "{}")
        news = [health for health in found if _is_news(health, told, now)]
        told |= {health.dataset: [_digest(health), now.timestamp()] for health in news}
        return dg.SensorResult(
            asset_events=[evaluation(health) for health in news],
            cursor=json.dumps(told),
            skip_reason=" ".join(health.summary for health in found),
        )

    return health_sensor


def _is_news(health: Health, told: Mapping[str, list[object]], now: dt.datetime) -> bool:
    digest, at = told.get(health.dataset, ["", 0.0])
    again = now.timestamp() - float(str(at)) >= REPORTED_AGAIN_SECONDS
    return again or digest != _digest(health)


def _digest(health: Health) -> str:
    return hashlib.sha256(health.description.encode()).hexdigest()[:16]
