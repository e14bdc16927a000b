"""The job that says which keys were not refreshed by their deadline, and which are not due.

The sensor asks for it when something else is to be said of a key than its check says; nobody
materializes anything then, so nobody else would. It is a run, and no event without one, since
Dagster keeps one evaluation of a partition's check for each run: the second without a run is
refused (the index `idx_asset_check_executions_unique` of 1.13).
"""

from collections.abc import Collection, Iterator, Mapping

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus,
    AssetCheckPartitionInfo,
)

from etl_assets import health
from etl_assets.assets import chain_keys
from etl_assets.core.freshness import Freshness
from etl_assets.failures import NO_RUN_RETRY, reported_to_dagster
from etl_assets.freshness import NAME, is_fresh_evaluation
from etl_assets.health import Found, look_closely
from etl_assets.partition_events import targets
from etl_assets.resources import RegistryResource
from etl_assets.settings import Settings

FRESHNESS_JOB = "freshness"
_PASSED = AssetCheckExecutionRecordStatus.SUCCEEDED
_FAILED = AssetCheckExecutionRecordStatus.FAILED


class FreshnessConfig(dg.Config):
    """What is evaluated.

    Attributes:
        campaigns: By dataset, their keys.
    """

    campaigns: dict[str, list[str]]


def build_freshness_job(settings: Settings) -> dg.JobDefinition:
    """Return the job that evaluates the check `is_fresh` of some keys."""

    @dg.op(pool="registry")
    def evaluate_freshness(
        context: dg.OpExecutionContext, config: FreshnessConfig, registry: RegistryResource
    ) -> None:
        with reported_to_dagster(context):
            read = registry.open().read()
            for found in look_closely(settings, read, context.instance, health.now()):
                asked = set(config.campaigns.get(found.health.dataset, []))
                for event in _evaluations(found, asked, context.instance):
                    context.log_event(event)  # type: ignore[arg-type]  # taken, but not annotated

    @dg.job(
        name=FRESHNESS_JOB,
        executor_def=dg.in_process_executor,
        run_tags=NO_RUN_RETRY,
        description=f"Evaluates {NAME} of campaigns that nobody loaded; the sensor asks for it.",
    )
    def freshness() -> None:
        evaluate_freshness()

    return freshness


def keys_to_tell(
    found: Found, instance: dg.DagsterInstance, behind: Mapping[str, str], busy: Collection[str]
) -> list[str]:
    """Return the keys of a dataset of which something else is to be said than their checks say.

    Args:
        found: As looked at.
        instance: What knows of checks and materializations.
        behind: What each key that is not well was at the last look; a check's status alone
            does not tell a load that is held from one that is late.
        busy: Keys with a run in flight, which will say it itself.
    """
    check = dg.AssetCheckKey(chain_keys(found.health.dataset)[-1], NAME)
    infos = instance.event_log_storage.get_asset_check_partition_info([check])
    said = {info.partition_key: info for info in infos}
    return [
        one.key
        for one in found.keys
        if _is_news(one, said.get(one.key), behind.get(one.key), busy=one.key in busy)
    ]


def _is_news(
    one: Freshness, said: AssetCheckPartitionInfo | None, before: str | None, *, busy: bool
) -> bool:
    if said is None or not said.is_current:
        return not busy or one.is_error
    if said.latest_execution_status not in (_PASSED, _FAILED):  # planned, and perhaps given up
        return not busy
    wrong = said.latest_execution_status is not (_PASSED if one.passed else _FAILED)
    return wrong or (not one.passed and before not in (None, one.kind))


def _evaluations(
    found: Found, keys: Collection[str], instance: dg.DagsterInstance
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the outcomes of keys, of those that are behind last.

    Dagster shows the latest outcome of any key for the check as a whole.
    """
    table = chain_keys(found.health.dataset)[-1]
    asked = sorted((one for one in found.keys if one.key in keys), key=lambda one: not one.passed)
    made = targets(instance, table, {one.key for one in asked})
    for one in asked:
        yield is_fresh_evaluation(table, one, made.get(one.key))
