"""What Dagster is told about a failure: its sentence, and whether trying again may help.

Two retry layers exist. A step retries a transient failure itself (`RETRY_POLICY`); a run is
retried only when its process died (`run_retries` in dagster.yaml). A permanent failure is
retried by neither.
"""

import contextlib
from collections.abc import Iterator

import dagster as dg

from etl_assets.core.errors import EtlError, TransientError

RETRY_POLICY = dg.RetryPolicy(
    max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)


@contextlib.contextmanager
def reported_to_dagster() -> Iterator[None]:
    """Turn our errors into Dagster failures; others pass as they are.

    Raises:
        dagster.Failure: With the error's sentence; retries are allowed when it is transient.
    """
    try:
        yield
    except EtlError as error:
        raise dg.Failure(
            description=str(error), allow_retries=isinstance(error, TransientError)
        ) from error
