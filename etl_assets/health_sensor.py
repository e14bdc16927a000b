"""The sensor that evaluates the standing checks while the daemon runs, each minute.

That of a dataset as a whole is evaluated without a run. Those of its keys are said by the runs
that load them; a run is asked for only when a key's check is to say something else than it does.
What was said and asked for last is in the cursor.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from etl_assets import health
from etl_assets.core.health import Health
from etl_assets.core.registry import Registry
from etl_assets.freshness import NAME
from etl_assets.freshness_job import FRESHNESS_JOB, FreshnessConfig, keys_to_tell
from etl_assets.health import CHECK, Found, evaluation, look, look_closely
from etl_assets.partitions import IN_FLIGHT, keys_in_flight
from etl_assets.resources import RegistryResource
from etl_assets.settings import Settings

SENSOR_INTERVAL_SECONDS = 60
REPORTED_AGAIN_SECONDS = 300
"""An outcome of a dataset that stays the same is reported this often: who looks sees that it is
watched."""

ASKED_AGAIN_SECONDS = 900
"""The same keys are asked for again no sooner: a run that fails once fails the next minute, too."""


@dataclass(frozen=True)
class Told:
    """What the sensor did last.

    Attributes:
        datasets: By dataset, the digest of what was said of it as a whole, and when.
        behind: By dataset, what each key was that is not well.
        asked: The digest of the keys that a run was asked for, and when.
    """

    datasets: dict[str, tuple[str, float]] = field(default_factory=dict)
    behind: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: tuple[str, float] = ("", 0.0)

    def dump(self) -> str:
        """Return it as a compact text."""
        return json.dumps(vars(self), separators=(",", ":"))

    @classmethod
    def load(cls, text: str | None) -> "Told":
        """Return what a text holds; nothing when there is none, or of another form.

        To have told nothing is safe: what is to be said is said again.
        """
        try:
            content = json.loads(text or "")
            told = {name: (str(one[0]), float(one[1])) for name, one in content["datasets"].items()}
            behind = {name: dict(one) for name, one in content["behind"].items()}
            return cls(told, behind, (str(content["asked"][0]), float(content["asked"][1])))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            return cls()


def report(settings: Settings, registry: Registry, instance: dg.DagsterInstance) -> None:
    """Evaluate the checks of the datasets now and report them, without a run."""
    for found in look(settings, registry, instance, health.now()):
        instance.report_runless_asset_event(evaluation(found))


def build_health_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that evaluates the checks while the daemon runs."""

    @dg.sensor(
        name="health_sensor",
        job_name=FRESHNESS_JOB,
        minimum_interval_seconds=SENSOR_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Evaluates {CHECK}, without a run, and sees that {NAME} is right for each"
        " campaign.",
    )
    def health_sensor(
        context: dg.SensorEvaluationContext, registry: RegistryResource
    ) -> dg.SensorResult:
        now = health.now()
        everything = look_closely(settings, registry.open().read(), context.instance, now)
        told = Told.load(context.cursor)
        news = [found.health for found in everything if _is_news(found.health, told.datasets, now)]
        datasets = {**told.datasets, **{h.dataset: (_digest(h), now.timestamp()) for h in news}}
        request, asked = _asked(everything, context.instance, told, now)
        summary = " ".join(found.health.summary for found in everything)
        return dg.SensorResult(
            run_requests=[request] if request else [],
            asset_events=[evaluation(one) for one in news],
            cursor=Told(datasets, _behind(everything), asked).dump(),
            skip_reason=None if request else summary,
        )

    return health_sensor


def _asked(
    everything: list[Found], instance: dg.DagsterInstance, told: Told, now: dt.datetime
) -> tuple[dg.RunRequest | None, tuple[str, float]]:
    """Return the request of a run that tells what is new of keys, and what is remembered of it.

    None when nothing is new, when such a run is under way, or when it did not help just now.
    """
    busy = keys_in_flight(instance)
    keys: dict[str, list[str]] = {}
    for found in everything:
        name = found.health.dataset
        if news := keys_to_tell(found, instance, told.behind.get(name, {}), busy):
            keys[name] = news
    if not keys or instance.get_runs(dg.RunsFilter(job_name=FRESHNESS_JOB, statuses=IN_FLIGHT)):
        return None, told.asked
    digest = _hash(json.dumps([keys, _behind(everything)]))
    if digest == told.asked[0] and now.timestamp() - told.asked[1] < ASKED_AGAIN_SECONDS:
        return None, told.asked
    config = dg.RunConfig(ops={"evaluate_freshness": FreshnessConfig(campaigns=keys)})
    request = dg.RunRequest(run_key=f"{now:%Y%m%dT%H%M%S.%f}", run_config=config)
    return request, (digest, now.timestamp())


def _behind(everything: list[Found]) -> dict[str, dict[str, str]]:
    return {
        found.health.dataset: {one.key: one.kind for one in found.keys if not one.passed}
        for found in everything
    }


def _is_news(found: Health, told: Mapping[str, tuple[str, float]], now: dt.datetime) -> bool:
    digest, at = told.get(found.dataset, ("", 0.0))
    return now.timestamp() - at >= REPORTED_AGAIN_SECONDS or digest != _digest(found)


def _digest(found: Health) -> str:
    return _hash(found.description)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
