"""The transaction that readers see: taken in turns, run again, and settled when in doubt."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import psycopg2
import psycopg2.extensions as pg

from etl_assets.core import redshift_sql as sql
from etl_assets.core.errors import EtlError, TransientError
from etl_assets.core.manifest import Load
from etl_assets.systems.redshift_errors import (
    attempts,
    first_line,
    is_connection_lost,
    is_serialization_failure,
)
from etl_assets.systems.redshift_tables import ledger_rows

Transaction = Callable[[pg.cursor], Load]
"""Changes a slice and returns the ledger row it wrote; does not commit."""


@dataclass(frozen=True)
class Publisher:
    """Runs transactions that change a target table.

    Attributes:
        reconnect: Gives another connection, to ask about a COMMIT that was not answered.
        patience_seconds: How long a statement may take, with its wait for other loads.
        sleep: Pauses between attempts.
    """

    reconnect: Callable[[], pg.connection]
    patience_seconds: float
    sleep: Callable[[float], None]

    def commit(
        self,
        connection: pg.connection,
        table: str,
        load_id: str,
        transaction: Transaction,
        what: str,
    ) -> Load:
        """Run a transaction and commit it; run it again when it lost against another.

        Raises:
            psycopg2.Error: When it failed before its COMMIT; nothing was changed.
            TransientError: When the connection was lost during the COMMIT and the ledger has
                no row of it.
        """
        self._limit(connection)
        for last in attempts(self.sleep):
            committing = False
            try:
                with connection.cursor() as cursor:
                    # First of all, so that the snapshot begins after the wait (dg:r_LOCK).
                    cursor.execute(sql.lock_mutex(table))
                    row = transaction(cursor)
                committing = True
                connection.commit()
            except psycopg2.Error as error:
                if committing and is_connection_lost(error):
                    return self._settled(table, load_id, what)
                if last or not is_serialization_failure(error):
                    raise
                connection.rollback()
            else:
                return row
        raise AssertionError  # the last attempt returns or raises

    def _settled(self, table: str, load_id: str, what: str) -> Load:
        """Return the ledger row of a load whose COMMIT was not answered.

        Raises:
            TransientError: When there is none, because it was rolled back; or when nobody can
                say yet.
        """
        try:
            with contextlib.closing(self.reconnect()) as connection:
                self._limit(connection)
                with connection.cursor() as cursor:
                    # Waits until the lost transaction has ended, one way or the other.
                    cursor.execute(sql.lock_mutex(table))
                    done = ledger_rows(cursor, "WHERE load_id = %s", [load_id])
        except (psycopg2.Error, EtlError) as error:
            raise TransientError(
                f"{what} lost its connection during its COMMIT, and it is not known yet whether"
                f" it was committed: {first_line(error)}.",
                "Try again: what was committed is not loaded twice.",
            ) from error
        if done:
            return done[0]
        raise TransientError(
            f"{what} lost its connection before it was committed; the table is as it was.",
            "Try again.",
        )

    def _limit(self, connection: pg.connection) -> None:
        """Let no statement of the session take longer than our patience."""
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout TO %s", [round(self.patience_seconds * 1000)])
        connection.commit()
