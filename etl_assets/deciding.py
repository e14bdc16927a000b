"""A decision from the command line: the same job as in the UI, in this process."""

import dagster as dg

from etl_assets.core.errors import PermanentError
from etl_assets.core.manifest import Load
from etl_assets.decide_job import DECIDE_JOB, DECIDE_OP, DecisionConfig
from etl_assets.definitions import build_defs
from etl_assets.home import COMMAND_LINE_TAGS, end_dead_runs
from etl_assets.in_process import LOGGER, Progress, progress_logger, signals_kept, step_errors
from etl_assets.settings import Settings


def decide(
    settings: Settings, instance: dg.DagsterInstance, config: DecisionConfig, progress: Progress
) -> Load:
    """Do what a person decided; return its row of the ledger.

    Args:
        settings: Say where everything is.
        instance: Where the run is recorded; the caller holds the refresh lock.
        config: What was decided.
        progress: Told what was done, as a sentence.

    Raises:
        PermanentError: When it could not be done, with why; the slice is what it was.
        KeyboardInterrupt: When Ctrl-C was pressed.
    """
    end_dead_runs(instance)
    defs = build_defs(settings, loggers={LOGGER: progress_logger(progress)})
    with signals_kept():
        result = defs.resolve_job_def(DECIDE_JOB).execute_in_process(
            instance=instance,
            run_config=dg.RunConfig(ops={DECIDE_OP: config}, loggers={LOGGER: {}}),
            tags=COMMAND_LINE_TAGS,
            raise_on_error=False,
        )
    if error := step_errors(result).get(DECIDE_OP):
        raise PermanentError(error)
    rows = settings.open_warehouse().loads()
    made = [row for row in rows if row.run_id == result.run_id]
    return made[-1]  # a rollback with its hold: the rollback was committed first
