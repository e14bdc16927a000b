"""Redshift's catalog, the ledger and the target tables: what is there, and what is made."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence

import psycopg2
import psycopg2.extensions as pg

from etl_assets.core import redshift_sql as sql
from etl_assets.core.errors import WarehouseError
from etl_assets.core.ledger import (
    CREATE_LEDGER,
    SCHEMA,
    add_columns,
    insert_load,
    read_loads,
    select_loads,
)
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.orders import Order
from etl_assets.core.sql import quote_identifier
from etl_assets.systems.redshift_errors import attempts, is_serialization_failure

_MADE_MEANWHILE = {"42P07", "42P06", "42701", "42710", "23505"}
"""The states of "it exists already": table, schema, column, a table's type, catalog row."""

_COMMENT_PATIENCE_MS = 5_000
"""How long a comment may wait for those who read the table."""


def make_ledger(
    connection: pg.connection, targets: Collection[str], sleep: Callable[[float], None]
) -> None:
    """Create the ledger and the targets' mutexes when they are absent.

    What the ledger of an earlier release lacks is added.
    """

    def missing() -> list[str]:
        with connection.cursor() as cursor:
            there = column_types(cursor, SCHEMA, "loads")
            wanted = (
                add_columns(there)
                if there
                else [f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(SCHEMA)}", CREATE_LEDGER]
            )
            return wanted + [
                sql.create_mutex(table)
                for table in sorted(targets)
                if not table_exists(cursor, SCHEMA, sql.mutex_name(table))
            ]

    run_ddl(connection, missing, sleep)


def check_fit(connection: pg.connection, schema: str, stage: Stage, what: str) -> list[str]:
    """Return the DDL after which the target table takes the staged records.

    Raises:
        WarehouseError: When there is none, or the dataset does not want the table changed.
    """
    with connection.cursor() as cursor:
        existing = column_types(cursor, schema, stage.table)
    connection.rollback()
    if not existing:
        return [sql.create_table(schema, stage)]
    change = sql.schema_change(sql.table_types(stage.columns), existing)
    frozen = change.frozen() if stage.on_schema_change == "freeze" else ""
    if change.refused or frozen:
        raise WarehouseError(
            f"{what} does not fit the table {stage.table}: {frozen or change}; nothing was loaded.",
            "Keep types and columns with rules; new columns, longer texts and columns that are gone"
            " are taken with `on_schema_change: evolve`.",
        )
    return sql.alter_table(schema, stage.table, change)


def fit_table(
    connection: pg.connection,
    schema: str,
    stage: Stage,
    what: str,
    sleep: Callable[[float], None],
) -> None:
    """Create the target table, or add what it lacks; errors as `check_fit`."""
    run_ddl(connection, lambda: check_fit(connection, schema, stage, what), sleep)
    _keep_comments(connection, schema, stage)


def _keep_comments(connection: pg.connection, schema: str, stage: Stage) -> None:
    """Give the table's columns the dataset's comments where they have others.

    Only the owner of a table may (dg:r_COMMENT), and a comment must not stop a load: when one is
    refused, or waits for a lock, the table stays without.
    """
    try:
        with connection, connection.cursor() as cursor:
            there = column_comments(cursor, schema, stage.table)
            wanted = {c.name: c.comment for c in stage.columns if c.comment}
            different = {n: text for n, text in wanted.items() if there.get(n) != text}
            if different:
                cursor.execute("SET LOCAL statement_timeout TO %s", [_COMMENT_PATIENCE_MS])
            for name, text in different.items():
                cursor.execute(sql.comment_column(schema, stage.table, name), [text])
    except psycopg2.Error:
        if connection.closed:
            raise


def run_ddl(
    connection: pg.connection, needed: Callable[[], list[str]], sleep: Callable[[float], None]
) -> None:
    """Run what is needed, each in a transaction of its own, as ALTER COLUMN TYPE demands.

    When another session made it meanwhile, look again.
    """
    for last in attempts(sleep):
        try:
            statements = needed()
            with _autocommit(connection), connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        except psycopg2.Error as error:
            if last or not changed_meanwhile(error):
                raise
            connection.rollback()
        else:
            return


def changed_meanwhile(error: psycopg2.Error) -> bool:
    """Return whether another session made, or replaced, what was asked for or looked at."""
    return (
        error.pgcode in _MADE_MEANWHILE
        or is_serialization_failure(error)
        or "could not open relation" in str(error)
    )


@contextlib.contextmanager
def _autocommit(connection: pg.connection) -> Iterator[None]:
    connection.rollback()
    connection.autocommit = True
    try:
        yield
    finally:
        if not connection.closed:
            connection.autocommit = False


def table_exists(cursor: pg.cursor, schema: str, table: str) -> bool:
    """Return whether a table exists that this user may use."""
    cursor.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
        [schema, table],
    )
    return cursor.fetchone() is not None


def column_types(cursor: pg.cursor, schema: str, table: str) -> dict[str, str]:
    """Return a table's columns with types as `canonical_type` writes them; none without a table."""
    cursor.execute(
        "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale"
        " FROM svv_columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        [schema, table],
    )
    found: dict[str, str] = {}
    for name, kind, length, precision, scale in cursor.fetchall():
        if kind == "numeric":
            found[name] = f"numeric({precision},{scale})"
        else:
            found[name] = f"{kind}({length})" if length else str(kind)
    return found


def column_comments(cursor: pg.cursor, schema: str, table: str) -> dict[str, str]:
    """Return the comments of a table's columns, of those that have one."""
    cursor.execute(
        "SELECT a.attname, d.description FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid"
        " JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum"
        " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0",
        [schema, table],
    )
    return dict(cursor.fetchall())


def ledger_rows(cursor: pg.cursor, tail: str, parameters: Sequence[object]) -> list[Load]:
    """Return rows of the ledger; `tail` is WHERE and what follows. None when there is no ledger."""
    there = column_types(cursor, SCHEMA, "loads")
    if not there:
        return []
    cursor.execute(select_loads(tail, there), list(parameters))
    return read_loads(cursor.fetchall(), there)


def rows_of_key(cursor: pg.cursor, dataset: str, key: str) -> list[Load]:
    """Return a key's rows of the ledger, newest first."""
    tail = "WHERE dataset = %s AND campaign_key = %s ORDER BY committed_at DESC, load_id DESC"
    return ledger_rows(cursor, tail, [dataset, key])


def rows_of_orders(cursor: pg.cursor, orders: Sequence[Order]) -> list[Load]:
    """Return the rows of orders that were carried out before; none when they were not."""
    rows = [ledger_rows(cursor, "WHERE load_id = %s", [order.load_id]) for order in orders]
    return [row for (row,) in rows] if all(rows) else []


def write_ledger(cursor: pg.cursor, row: Load) -> None:
    """Insert a row into the ledger."""
    cursor.execute(*insert_load(row, "%s"))


def count(cursor: pg.cursor, statement: str, parameters: Sequence[object] = ()) -> int:
    """Return the number a statement gives."""
    cursor.execute(statement, list(parameters) or None)
    row = cursor.fetchone()
    return int(row[0]) if row else 0
