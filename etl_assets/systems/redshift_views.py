"""Redshift's side of the views beside a table, and of what campaigns have in common.

The views are late-binding (dg:r_CREATE_VIEW): a normal one would not let ALTER TABLE widen a
column. They are replaced and never dropped, so that no reader misses one and rights on them
stay. Redshift keeps no comments for the columns of such a view.
"""

from collections.abc import Callable

import psycopg2
import psycopg2.extensions as pg

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import WarehouseError
from etl_assets.core.manifest import Stage
from etl_assets.core.reporting_views import (
    DEDUPLICATED,
    Overlaps,
    count_overlaps,
    read_overlaps,
    reporting_views,
    view_name,
    view_names,
)
from etl_assets.core.sql import quote_table
from etl_assets.systems.redshift_errors import first_line
from etl_assets.systems.redshift_tables import column_types, count, run_ddl, table_exists

_NOT_REPLACED = {"42809", "42P16"}
"""The states of "it is no view" and "a view's columns cannot change"."""


def keep_views(
    connection: pg.connection, schema: str, stage: Stage, sleep: Callable[[float], None]
) -> None:
    """Make the views of the target table, or replace those that are not as they should be.

    To be called when the table is as the load wants it, before anything is published.

    Raises:
        WarehouseError: When a view is there that cannot be replaced.
    """
    try:
        run_ddl(connection, lambda: _needed(connection, schema, stage), sleep)
    except psycopg2.Error as error:
        if error.pgcode not in _NOT_REPLACED:
            raise
        names = ", ".join(quote_table(schema, name) for name in view_names(stage.table))
        raise WarehouseError(
            f"The load of {stage.dataset} for campaign {stage.campaign_key} could not replace a"
            f" view of {stage.table}: {first_line(error)}; nothing was loaded.",
            f"Look at {names}: drop the one that is not ours or has other columns, and refresh"
            " again; its readers then need their rights again.",
        ) from error


def overlaps(connection: pg.connection, schema: str, dataset: Dataset) -> Overlaps:
    """Count what campaigns share, in one transaction; see `Warehouse.overlaps`."""
    target = quote_table(schema, dataset.table)
    with connection.cursor() as cursor:
        columns = column_types(cursor, schema, dataset.table)
        if not columns:
            return Overlaps(0, 0)
        missing = tuple(name for name in dataset.primary_key if name not in columns)
        if missing:
            records = count(cursor, f"SELECT count(*) FROM {target}")
            return Overlaps(records, records, missing=missing)
        once, shown = view_name(dataset.table, DEDUPLICATED), None
        if table_exists(cursor, schema, once):
            shown = count(cursor, f"SELECT count(*) FROM {quote_table(schema, once)}")
        cursor.execute(count_overlaps(schema, dataset.table, dataset.primary_key))
        return read_overlaps(cursor.fetchall(), shown)


def other_columns(connection: pg.connection, table: str, view: str) -> tuple[bool, str]:
    """Return whether a late-binding view takes other columns, which are documented for no view.

    Args:
        connection: Gets a transaction that is rolled back.
        table: The quoted name of a table with a column `n`.
        view: The quoted name of a view to be tried.
    """
    replace = f"CREATE OR REPLACE VIEW {view} AS SELECT {{}} FROM {table} WITH NO SCHEMA BINDING"
    with connection.cursor() as cursor:
        cursor.execute(replace.format("n"))
        try:
            cursor.execute(replace.format("n AS other, n"))
        except psycopg2.Error as error:
            return False, f"a late-binding view takes no other columns: {first_line(error)}"
        finally:
            connection.rollback()
    return True, "a late-binding view takes other columns"


def _needed(connection: pg.connection, schema: str, stage: Stage) -> list[str]:
    with connection.cursor() as cursor:
        columns = column_types(cursor, schema, stage.table)
        cursor.execute("SELECT viewname, definition FROM pg_views WHERE schemaname = %s", [schema])
        there = dict(cursor.fetchall())
    connection.rollback()
    return [
        f"CREATE OR REPLACE VIEW {quote_table(schema, view.name)} AS {view.select}"
        " WITH NO SCHEMA BINDING"
        for view in reporting_views(schema, stage.table, list(columns), stage.primary_key)
        if view.mark not in there.get(view.name, "")
    ]
