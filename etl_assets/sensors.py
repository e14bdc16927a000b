"""The sensor that follows the registry: its keys become partitions, its changes are observed.

Each look reports the versions that changed (`observations.py`) and, for datasets that say
`on_rule_change: apply`, asks for the runs that bring the tables into step with them. What it
saw, and what it could not ask for yet, is in its cursor (`core/watching.py`).
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import dagster as dg

from etl_assets.assets import chain_keys
from etl_assets.core.data_versions import CAMPAIGNS, Versions, registry_versions, rules_of
from etl_assets.core.datasets import Dataset
from etl_assets.core.registry import Registry
from etl_assets.core.sentences import some
from etl_assets.core.watching import Memory, Wanted, merged
from etl_assets.observations import CAMPAIGNS_KEY, latest, made_from, observations, rules_key
from etl_assets.partitions import describe_changes, keys_in_flight, sync_partitions
from etl_assets.resources import RegistryResource
from etl_assets.schedules import REFRESH_JOB
from etl_assets.settings import Settings

SENSOR_INTERVAL_SECONDS = 30
OBSERVATIONS_PER_LOOK = 500
"""Each costs the daemon 10 to 40 ms; the rest of a larger change is reported the next times."""

_SHOWN = 6


@dataclass(frozen=True)
class Look:
    """What one look at the registry leads to.

    Attributes:
        changes: Versions to report.
        requests: Runs to ask for.
        memory: For the next look.
    """

    changes: Versions
    requests: list[dg.RunRequest]
    memory: Memory


def build_registry_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that keeps partitions and data versions as the registry says."""

    @dg.sensor(
        name="registry_sensor",
        job_name=REFRESH_JOB,
        minimum_interval_seconds=SENSOR_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps the partitions equal to the registry's keys, reports what changed in"
        " campaigns and rules, and applies it where the dataset says so.",
    )
    def registry_sensor(
        context: dg.SensorEvaluationContext, registry: RegistryResource
    ) -> dg.SensorResult:
        read = registry.open().read()  # an error fails the tick, and nothing is concluded from it
        partitions = sync_partitions(
            context.instance, read, allow_mass_removal=settings.allow_mass_removal
        )
        for key, problem in read.problems.items():
            context.log.error(f"Campaign {key} cannot be used: {problem}")
        look = look_at(read, settings, context.instance, Memory.load(context.cursor))
        said = [describe_changes(partitions), *_described(look.changes), *_waiting(look.memory)]
        sentence = " ".join(filter(None, said)) or f"{len(read.keys)} campaigns, no change."
        if look.requests:
            context.log.info(sentence)
        return dg.SensorResult(
            run_requests=look.requests,
            skip_reason=None if look.requests else sentence,
            cursor=look.memory.dump(),
            asset_events=list(observations(look.changes, read, settings.datasets)),
        )

    return registry_sensor


def look_at(
    registry: Registry, settings: Settings, instance: dg.DagsterInstance, memory: Memory
) -> Look:
    """Compare the registry with what is remembered of it; report and start nothing."""
    now = registry_versions(registry, settings.datasets.values())
    changes = memory.changes(now, limit=OBSERVATIONS_PER_LOOK)
    applied = {n: d for n, d in settings.datasets.items() if d.on_rule_change == "apply"}
    moved = {*memory.moved(changes, applied), *memory.waiting}
    wanted: list[Wanted] = []
    if moved:
        due = registry.due_at(dt.datetime.now(ZoneInfo(settings.schedule_time_zone)))
        wanted = merged(
            w
            for w in moved
            if w.dataset in applied and _is_needed(w, applied[w.dataset], now, instance, due)
        )
    busy = keys_in_flight(instance) if wanted else set()
    after = memory.after(
        changes, now, kept=registry.problems, waiting=[w for w in wanted if w.key in busy]
    )
    requests = [
        _request(w, registry.rules_of(applied[w.dataset]).version, now, after.generation)
        for w in wanted
        if w.key not in busy
    ]
    return Look(changes, requests, after)


def _is_needed(
    wanted: Wanted,
    dataset: Dataset,
    now: Versions,
    instance: dg.DagsterInstance,
    due: Collection[str],
) -> bool:
    """Return whether a run would bring the partition into step, and somebody misses that."""
    extract, stage, table = chain_keys(dataset.name)
    key, rules = wanted.key, now[rules_of(dataset.name)].get(wanted.key)
    if rules is None:  # the campaign left the dataset or the registry, or cannot be read now
        return False
    if wanted.cause == "campaign":
        made = made_from(instance, extract, key, CAMPAIGNS_KEY)
        return key in due and made != now[CAMPAIGNS][key]
    if made_from(instance, stage, key, rules_key(dataset)) == rules:
        return False
    if latest(instance, extract, key) is None:
        return False
    return key in due or _is_loaded(latest(instance, table, key))


def _is_loaded(event: dg.AssetMaterialization | None) -> bool:
    """Return whether a table's partition holds a slice; a prune's event says no rule version."""
    return event is not None and "rule_version" in event.metadata


def _request(wanted: Wanted, version: int, now: Versions, generation: int) -> dg.RunRequest:
    """Return the request of a run that brings a partition into step.

    Its name holds the look that found the change: Dagster never makes a second run of one
    name, and a version may come back.
    """
    assets = list(chain_keys(wanted.dataset))
    if wanted.cause == "rules":
        digest = now[rules_of(wanted.dataset)][wanted.key]
        because = f"rules of {wanted.dataset} v{version}"
        name = f"rules:{wanted.dataset}:{wanted.key}:v{version}:{digest[:12]}:{generation}"
        assets = assets[1:]
    else:
        digest = now[CAMPAIGNS][wanted.key]
        because = "campaign"
        name = f"campaign:{wanted.dataset}:{wanted.key}:{digest[:12]}:{generation}"
    return dg.RunRequest(
        run_key=name,
        partition_key=wanted.key,
        asset_selection=assets,
        tags={"etl_assets/campaign": wanted.key, "etl_assets/changed": because},
    )


def _described(changes: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for what, versions in changes.items():
        yield f"New versions of {what}: {some(sorted(versions), _SHOWN)}."


def _waiting(memory: Memory) -> Iterator[str]:
    if memory.waiting:
        keys = sorted({w.key for w in memory.waiting})
        yield f"To be applied when the run in flight has ended: {some(keys, _SHOWN)}."
