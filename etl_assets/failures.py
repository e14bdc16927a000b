"""What Dagster is told about a failure: its sentence, and whether trying again may help.

Two retry layers exist, which would multiply. A step retries a transient failure itself, as
`RETRIES` says; a run is retried only when its process died (`run_retries` in dagster.yaml), and
`NO_RUN_RETRY` says so with each job, whatever the instance's configuration says. A permanent
failure is retried by neither.

The steps carry no `retry_policy`: with one, Dagster would start a step again that a person
stopped.
"""

import contextlib
from collections.abc import Iterator
from typing import Protocol

import dagster as dg

from etl_assets.core.errors import EtlError, TransientError

RETRIES = dg.RetryPolicy(
    max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL
)
"""Waits are anywhere below 10 seconds, then below 30."""

NO_RUN_RETRY = {"dagster/retry_on_asset_or_op_failure": "false"}
"""Tags of a job whose runs are started again when their process died, never when a step failed."""


class _Step(Protocol):
    @property
    def retry_number(self) -> int: ...


@contextlib.contextmanager
def reported_to_dagster(step: _Step) -> Iterator[None]:
    """Turn our errors into Dagster failures or retries; others pass as they are.

    Args:
        step: The context of the step that runs.

    Raises:
        dagster.Failure: With the error's sentence.
        dagster.RetryRequested: When the error is transient and not every retry is used up.
        KeyboardInterrupt: When DuckDB was stopped by a signal.
    """
    try:
        yield
    except EtlError as error:
        if isinstance(error, TransientError) and step.retry_number < RETRIES.max_retries:
            raise dg.RetryRequested(
                max_retries=RETRIES.max_retries,
                seconds_to_wait=RETRIES.calculate_delay(step.retry_number + 1),
            ) from error
        raise dg.Failure(description=str(error), allow_retries=False) from error
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # all that DuckDB leaves of a handler's exception
            raise KeyboardInterrupt from error
        raise
