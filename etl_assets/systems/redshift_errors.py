"""What psycopg2's errors mean: worth another attempt, a lost connection, or a refusal."""

import random
import re
from collections.abc import Callable, Iterator

import psycopg2

from etl_assets.core.errors import TransientError, WarehouseError

_SERIALIZATION = re.compile(r"(1023|1018)\b")
_SERIALIZATION_STATES = {"40001", "40P01"}
_CANCELLED = "57014"
_LOST_STATES = {"57P01", "57P02", "57P03", "08000", "08001", "08003", "08004", "08006"}
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2
_CHANCE = random.SystemRandom()


def attempts(sleep: Callable[[float], None]) -> Iterator[bool]:
    """Yield for each attempt whether it is the last; pause between them, ever longer."""
    for number in range(_ATTEMPTS):
        if number:
            sleep(_FIRST_PAUSE_SECONDS * 2 ** (number - 1) * _CHANCE.uniform(0.5, 1.5))
        yield number == _ATTEMPTS - 1


def is_serialization_failure(error: psycopg2.Error) -> bool:
    """Return whether the whole transaction may succeed when it is run again.

    Redshift says XX000 with the message `1023` (serializable isolation violation) or `1018`
    (relation not in the snapshot); 40P01 is a deadlock.
    """
    if error.pgcode == "XX000":
        return _SERIALIZATION.match(error.diag.message_primary or "") is not None
    return error.pgcode in _SERIALIZATION_STATES


def is_connection_lost(error: psycopg2.Error) -> bool:
    """Return whether the connection, not the statement, failed."""
    if error.pgcode is None:
        return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    return error.pgcode in _LOST_STATES


def explain(what: str, error: psycopg2.Error) -> WarehouseError | TransientError:
    """Return our error for a driver's before a COMMIT; statements stay out of it."""
    reason = first_line(error)
    if is_serialization_failure(error):
        conflict = "a deadlock" if error.pgcode == "40P01" else f"a conflict ({reason})"
        return TransientError(
            f"{what} lost against other transactions again and again, at last by {conflict};"
            " the table is as it was.",
            "Try again when fewer sessions write to the table.",
        )
    if error.pgcode == _CANCELLED:
        return TransientError(
            f"{what} waited too long or was cancelled ({reason}); the table is as it was.",
            "See in SVV_TRANSACTIONS who holds the lock, then try again.",
        )
    if is_connection_lost(error):
        return TransientError(
            f"{what} lost its connection ({reason or 'closed'}); the table is as it was.",
            "Try again.",
        )
    return WarehouseError(
        f"{what} failed: {reason}; the table is as it was.",
        "See the message; `etl-assets doctor` checks what the warehouse's user may do.",
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, without the full stop or its kind."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else ""
