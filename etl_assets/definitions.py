"""START HERE: everything Dagster loads, put together.

`workspace.yaml` names this module. `build_defs` returns fresh definitions for any settings,
so tests and the command line use the same ones with other systems behind them.
"""

from collections.abc import Mapping

import dagster as dg

from etl_assets.alerts import build_alerts_sensor
from etl_assets.assets import build_chain
from etl_assets.checks import build_checks
from etl_assets.clean_job import build_clean_job, build_clean_schedule
from etl_assets.core.errors import PermanentError
from etl_assets.decide_job import build_decide_job
from etl_assets.failures import NO_RUN_RETRY
from etl_assets.feed_assets import build_feed_assets, build_feed_checks, build_feed_jobs
from etl_assets.feed_sensor import build_feeds_sensor
from etl_assets.freshness import NAME as IS_FRESH
from etl_assets.freshness_job import build_freshness_job
from etl_assets.health import build_health_check
from etl_assets.health_sensor import build_health_sensor
from etl_assets.input_assets import build_input_assets, build_input_checks, build_inputs_job
from etl_assets.input_sensor import build_inputs_sensor
from etl_assets.lineage import build_external_assets
from etl_assets.observations import build_registry_assets
from etl_assets.refresh_together import build_together_job
from etl_assets.resources import build_resources
from etl_assets.schedules import (
    REFRESH_JOB,
    build_prune_job,
    build_prune_schedule,
    build_refresh_schedule,
    build_together_schedule,
)
from etl_assets.sensors import build_registry_sensor
from etl_assets.settings import VARIABLES, Settings


def build_defs(
    settings: Settings | None = None,
    *,
    resource_overrides: Mapping[str, object] | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """Return the definitions for some settings.

    Args:
        settings: Read from the environment when left out.
        resource_overrides: Other resources by name: registry, source, staging, warehouse, inputs.
        loggers: Loggers of the runs, by name.

    Raises:
        DocumentError: When a dataset document is not valid.
        PermanentError: When a setting is not valid.
    """
    settings = settings or Settings.from_environment()
    datasets = settings.datasets.values()
    chains = [asset for dataset in datasets for asset in build_chain(dataset, settings)]
    checks = [check for dataset in datasets for check in build_checks(dataset)]
    inputs, input_checks = build_input_assets(settings), build_input_checks(settings)
    standing = [build_health_check(dataset, settings) for dataset in datasets]
    check_keys = [key for one in (*chains, *checks) for key in one.check_keys]
    feeds, feed_checks = build_feed_assets(settings), build_feed_checks(settings)
    feed_jobs = build_feed_jobs(settings, feed_checks)
    feed_check_keys = [key for one in (*feeds, *feed_checks) for key in one.check_keys]
    refresh = dg.define_asset_job(
        REFRESH_JOB,
        selection=dg.AssetSelection.assets(*(asset.key for asset in chains))
        - dg.AssetSelection.checks(*standing),  # of all keys, so no key's own run has it
        executor_def=dg.in_process_executor,
        run_tags=NO_RUN_RETRY,
        description="Extract, stage and load one campaign, in every dataset.",
    )
    prune, together = build_prune_job(settings), []
    try:
        schedules = [build_refresh_schedule(settings), build_prune_schedule(settings)]
        if any(dataset.together for dataset in datasets):
            together.append(build_together_job(settings))
            schedules.append(build_together_schedule(settings))
    except dg.DagsterInvalidDefinitionError as error:
        raise PermanentError(
            f"{VARIABLES['schedule']} is {settings.schedule!r}, which is no cron expression.",
            "Write five fields, such as `0 3,14 * * *`.",
        ) from error
    return dg.Definitions(
        assets=[
            *inputs,
            *build_external_assets(settings),
            build_registry_assets(settings),
            *chains,
            *feeds,
        ],
        asset_checks=[*checks, *standing, *input_checks, *feed_checks],
        jobs=[
            *build_inputs_job(inputs),
            refresh,
            prune,
            build_clean_job(
                settings,
                [
                    *check_keys,
                    *feed_check_keys,
                    *(key for one in standing for key in one.check_keys),
                ],
            ),
            build_decide_job(settings),
            build_freshness_job(settings),
            *feed_jobs,
            *together,
        ],
        schedules=[*schedules, build_clean_schedule(settings)],
        sensors=[
            build_registry_sensor(settings),
            *build_inputs_sensor(settings),
            build_health_sensor(settings),
            *([build_feeds_sensor(settings, feed_jobs)] if feed_jobs else []),
            build_alerts_sensor(
                settings,
                # told as late keys, with no_key_is_failed_or_late
                [
                    *(key for key in check_keys if key.name != IS_FRESH),
                    *(key for check in input_checks for key in check.check_keys),
                    *feed_check_keys,
                ],
            ),
        ],
        resources={**build_resources(settings), **(resource_overrides or {})},
        executor=dg.in_process_executor,
        loggers=loggers,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions for the environment's settings, when Dagster loads them."""
    return build_defs()
