"""What psycopg2's errors mean: worth another attempt, a lost connection, or a refusal."""

import random
import re
from collections.abc import Callable, Iterator

import psycopg2

from etl_assets.core.errors import TransientError, WarehouseError
from etl_assets.core.failure_classes import Meaning, meaning_of
from etl_assets.core.retries import STATEMENT

_INTERNAL = re.compile(r"\d{4}\b")
"""How the message of an internal error (XX000) begins that has a number of its own."""

_CHANCE = random.SystemRandom()


def attempts(sleep: Callable[[float], None]) -> Iterator[bool]:
    """Yield for each attempt whether it is the last; pause between them."""
    for pause in STATEMENT.pauses(_CHANCE.uniform):
        yield False
        sleep(pause)
    yield True


def is_serialization_failure(error: psycopg2.Error) -> bool:
    """Return whether the whole transaction may succeed when it is run again.

    Redshift says XX000 with the message `1023` (serializable isolation violation) or `1018`
    (relation not in the snapshot); 40P01 is a deadlock.
    """
    meaning = _meaning(error)
    return meaning is not None and meaning.cause == "conflict"


def is_connection_lost(error: psycopg2.Error) -> bool:
    """Return whether the connection, not the statement, failed."""
    if error.pgcode is None:
        return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    meaning = _meaning(error)
    return meaning is not None and meaning.cause == "lost"


def _meaning(error: psycopg2.Error) -> Meaning | None:
    number = _INTERNAL.match(error.diag.message_primary or "") if error.pgcode == "XX000" else None
    codes = [f"XX000/{number[0]}"] if number else []
    return meaning_of("Redshift", *codes, error.pgcode)


def explain(what: str, error: psycopg2.Error) -> WarehouseError | TransientError:
    """Return our error for a driver's before a COMMIT; statements stay out of it."""
    reason = first_line(error)
    meaning = _meaning(error)
    if is_serialization_failure(error):
        conflict = "a deadlock" if error.pgcode == "40P01" else f"a conflict ({reason})"
        return TransientError(
            f"{what} lost against other transactions again and again, at last by {conflict};"
            " the table is as it was.",
            "Try again when fewer sessions write to the table.",
        )
    if meaning and meaning.cause == "stopped":
        return TransientError(
            f"{what} waited too long or was cancelled ({reason}); the table is as it was.",
            meaning.remedy,
        )
    if is_connection_lost(error):
        return TransientError(
            f"{what} lost its connection ({reason or 'closed'}); the table is as it was.",
            "Try again.",
        )
    kind = TransientError if meaning and meaning.transient else WarehouseError
    return kind(
        f"{what} failed: {reason}; the table is as it was.",
        "See the message; `etl-assets doctor` checks what the warehouse's user may do.",
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, without the full stop or its kind."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else ""
