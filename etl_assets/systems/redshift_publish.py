"""The transaction that readers see: taken in turns, run again, and settled when in doubt."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg2
import psycopg2.extensions as pg

from etl_assets.core import redshift_sql as sql
from etl_assets.core.errors import EtlError, TransientError
from etl_assets.core.manifest import Load
from etl_assets.core.orders import Order, describe_orders
from etl_assets.systems.redshift_errors import (
    attempts,
    first_line,
    is_connection_lost,
    is_serialization_failure,
)
from etl_assets.systems.redshift_tables import rows_of_orders
from etl_assets.systems.telemetry import span

Transaction = Callable[[pg.cursor], list[Load]]
"""Changes slices and returns the ledger rows it wrote; does not commit."""


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
        self, connection: pg.connection, orders: Sequence[Order], transaction: Transaction
    ) -> list[Load]:
        """Run the transaction of orders and commit it; run it again when it lost against another.

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
                    with span("wait"):
                        cursor.execute(_lock(orders))
                    rows = transaction(cursor)
                committing = True
                with span("commit"):
                    connection.commit()
            except psycopg2.Error as error:
                if committing and is_connection_lost(error):
                    return self._settled(orders)
                if last or not is_serialization_failure(error):
                    raise
                connection.rollback()
            else:
                return rows
        raise AssertionError  # the last attempt returns or raises

    def _settled(self, orders: Sequence[Order]) -> list[Load]:
        """Return the ledger rows of orders whose COMMIT was not answered.

        Raises:
            TransientError: When there is none, because it was rolled back; or when nobody can
                say yet.
        """
        what = describe_orders(orders)
        try:
            with contextlib.closing(self.reconnect()) as connection:
                self._limit(connection)
                with connection.cursor() as cursor:
                    # Waits until the lost transaction has ended, one way or the other.
                    cursor.execute(_lock(orders))
                    done = rows_of_orders(cursor, orders)
        except (psycopg2.Error, EtlError) as error:
            raise TransientError(
                f"{what} lost its connection during its COMMIT, and it is not known yet whether"
                f" it was committed: {first_line(error)}.",
                "Try again: what was committed is not loaded twice.",
            ) from error
        if done:
            return done
        raise TransientError(
            f"{what} lost its connection before it was committed; the table is as it was.",
            "Try again.",
        )

    def _limit(self, connection: pg.connection) -> None:
        """Let no statement of the session take longer than our patience."""
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout TO %s", [round(self.patience_seconds * 1000)])
        connection.commit()


def _lock(orders: Sequence[Order]) -> str:
    return sql.lock_mutexes({order.table for order in orders})
