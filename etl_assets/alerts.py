"""The sensor that tells people of problems, who do not look at the UI.

What is wrong is read from Dagster's events and the registry: a key's failed run, keys that are
late, a failed check, a removal that failed, a registry that cannot be read. What was told is in
the cursor, by channel; a channel that does not answer is tried again with the next look.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from etl_assets.core.alerts import Problem, Told, without_secrets
from etl_assets.core.errors import EtlError
from etl_assets.core.health import Health
from etl_assets.health import CHECK, look
from etl_assets.input_events import INPUTS
from etl_assets.partitions import CAMPAIGNS
from etl_assets.resources import RegistryResource
from etl_assets.runs import FINISHED, explain
from etl_assets.schedules import PRUNE_JOB
from etl_assets.settings import Settings
from etl_assets.systems.alerts import Channel

SENSOR_INTERVAL_SECONDS = 60
_PASSED_OR_NOT = {
    AssetCheckExecutionRecordStatus.SUCCEEDED,
    AssetCheckExecutionRecordStatus.FAILED,
}
OFF = "No channel is configured; set one of the ETL_ASSETS_ALERT_… variables."

_FAILED, _LATE, _CHECK, _PRUNE, _REGISTRY = "failed/", "late/", "check/", "prune", "registry"
"""What the ids of problems begin with."""


def build_alerts_sensor(
    settings: Settings, checks: Sequence[dg.AssetCheckKey]
) -> dg.SensorDefinition:
    """Return the sensor; it is off, and sends nothing, until a channel is configured.

    Args:
        settings: The channels.
        checks: The checks whose failure is a problem.
    """
    on = settings.has_alerts

    @dg.sensor(
        name="alerts_sensor",
        minimum_interval_seconds=SENSOR_INTERVAL_SECONDS,
        default_status=(dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED),
        description="Sends one message for each new problem, and one when it is over.",
    )
    def alerts_sensor(
        context: dg.SensorEvaluationContext, registry: RegistryResource
    ) -> dg.SensorResult:
        channels = settings.open_alerts()
        if not channels:
            return dg.SensorResult(skip_reason=OFF)
        problems, uncertain = find_problems(settings, registry, context.instance, checks)
        problems = [without_secrets(problem, settings.secrets) for problem in problems]
        before = Told.load(context.cursor)
        told = tell(channels, before, problems, uncertain, context.log.warning)
        return dg.SensorResult(cursor=told.dump(), skip_reason=f"{len(problems)} problems.")

    return alerts_sensor


def find_problems(
    settings: Settings,
    registry: RegistryResource,
    instance: dg.DagsterInstance,
    checks: Sequence[dg.AssetCheckKey],
) -> tuple[list[Problem], list[str]]:
    """Return what is wrong now, and what the ids begin with of which nothing is known."""
    problems = [*_removal_problems(instance)]
    failed, unknown = _check_problems(instance, checks)
    problems += failed
    try:
        read = registry.open().read()
    except EtlError as error:
        problems.append(Problem(_REGISTRY, "The registry cannot be read", str(error)))
        return problems, [*unknown, _FAILED, _LATE]
    found = look(settings, read, instance, dt.datetime.now(dt.UTC))
    return [*problems, *_key_problems(found)], unknown


def tell(
    channels: Sequence[Channel],
    told: Told,
    problems: Sequence[Problem],
    uncertain: Sequence[str],
    warn: Callable[[str], object],
) -> Told:
    """Send each channel what it was not told yet; return what is told now.

    A channel that does not take a message is asked no more this time, and again the next.
    """
    for channel in channels:
        sent = []
        try:
            for message in told.messages(channel.name, problems, uncertain):
                channel.send(message)
                sent.append(message)
        except EtlError as error:
            warn(f"{error} It is tried again with the next look.")
        told = told.after(channel.name, sent, problems)
    return told


def _key_problems(found: Sequence[Health]) -> Iterator[Problem]:
    """Yield a problem for each key whose run failed, and one for the late keys of a dataset."""
    failed: dict[str, list[str]] = {}
    for health in found:
        for problem in health.failed:
            said = f"{health.dataset}: {problem.lacks} {problem.remedy}".strip()
            failed.setdefault(problem.key, []).append(said)
    for key, sentences in sorted(failed.items()):
        yield Problem(f"{_FAILED}{key}", f"{key} failed", "\n".join(sentences))
    for health in found:
        if health.late:
            title = f"Keys are late in {health.dataset}"
            yield Problem(f"{_LATE}{health.dataset}", title, health.description)


def _check_problems(
    instance: dg.DagsterInstance, checks: Sequence[dg.AssetCheckKey]
) -> tuple[list[Problem], list[str]]:
    """Return the checks that failed last, by campaign, and the ids of those being evaluated."""
    wanted = [check for check in checks if check.name != CHECK]  # that one is told key by key
    there = set(instance.get_dynamic_partitions(str(CAMPAIGNS.name)))
    problems, unknown = [], []
    for info in instance.event_log_storage.get_asset_check_partition_info(wanted):
        if info.partition_key is not None and info.partition_key not in there:
            continue
        id_ = f"{_CHECK}{info.check_key.to_user_string()}/{info.partition_key or ''}"
        if info.latest_execution_status is AssetCheckExecutionRecordStatus.PLANNED:
            unknown.append(id_)
        elif info.latest_execution_status is AssetCheckExecutionRecordStatus.FAILED:
            of = f" for {info.partition_key}" if info.partition_key else ""
            path = info.check_key.asset_key.path
            what = f"source {path[-1]}" if path[0] == INPUTS else path[0]
            title = f"The check {info.check_key.name} of {what} failed{of}"
            said = _evaluation(instance, info.check_key, info.partition_key)
            if said is None or said.severity is dg.AssetCheckSeverity.ERROR:
                problems.append(Problem(id_, title, said.description or "" if said else ""))
    return problems, unknown


def _evaluation(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, partition: str | None
) -> dg.AssetCheckEvaluation | None:
    records = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=1, status=_PASSED_OR_NOT, partition_filter=PartitionKeyFilter(key=partition)
    )
    return records[0].evaluation if records else None


def _removal_problems(instance: dg.DagsterInstance) -> Iterator[Problem]:
    runs = instance.get_runs(dg.RunsFilter(job_name=PRUNE_JOB, statuses=FINISHED), limit=1)
    for run in runs:
        if run.status is not dg.DagsterRunStatus.SUCCESS:
            failure = explain(instance, run)
            text = f"{failure.sentence} {failure.remedy}".strip()
            yield Problem(_PRUNE, "Keys that left the calendar were not removed", text)
