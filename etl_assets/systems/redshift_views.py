"""Redshift's side of the views beside a table, and of what campaigns have in common.

The views are late-binding (dg:r_CREATE_VIEW): a normal one would not let ALTER TABLE widen a
column. They are replaced and never dropped, so that no reader misses one and rights on them
stay. Redshift keeps no comments for the columns of such a view.
"""

from collections.abc import Callable, Sequence

import psycopg2
import psycopg2.extensions as pg

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import WarehouseError
from etl_assets.core.kept_views import changes, kept_views
from etl_assets.core.ledger import SCHEMA
from etl_assets.core.manifest import Stage
from etl_assets.core.orders import Order
from etl_assets.core.redshift_sql import lock_mutexes
from etl_assets.core.reporting import Declared, Reporting
from etl_assets.core.reporting_views import (
    DEDUPLICATED,
    SHOWS,
    Overlaps,
    count_overlaps,
    read_overlaps,
    view_name,
)
from etl_assets.core.season_views import SeasonViews
from etl_assets.core.sql import quote_identifier, quote_table
from etl_assets.systems.redshift_errors import attempts, first_line
from etl_assets.systems.redshift_readers import Reader, grants
from etl_assets.systems.redshift_tables import (
    changed_meanwhile,
    column_types,
    count,
    table_exists,
)

_NOT_REPLACED = {"42809", "42P16"}
"""The states of "it is no view" and "a view's columns cannot change"."""

_UNDEFINED_OBJECT = "42704"
"""The state of "there is no such role, group or user"."""


def keep_views(
    connection: pg.connection,
    schema: str,
    order: Order,
    readers: Sequence[Reader],
    sleep: Callable[[float], None],
) -> None:
    """Make the views of an order's table, replace those that differ, drop those nobody declares.

    All of it in one transaction, in which also the readers get their rights. To be called when
    the table is as the load wants it, before anything is published.

    Raises:
        WarehouseError: When a view is there that cannot be replaced, the table has not the
            columns for one, or there is no such reader.
    """
    stage = order.loaded
    if stage is None:
        return
    for last in attempts(sleep):
        try:
            with connection, connection.cursor() as cursor:
                if not _statements(cursor, schema, stage, order.declared, readers):
                    return
            with connection, connection.cursor() as cursor:
                # In turns, and looked at again: another load may have made them meanwhile.
                cursor.execute(lock_mutexes([stage.table]))
                for statement in _statements(cursor, schema, stage, order.declared, readers):
                    cursor.execute(statement)
        except psycopg2.Error as error:
            if not last and changed_meanwhile(error):
                continue
            raise _refused(error, schema, stage, readers) or error from error
        else:
            return


def _refused(
    error: psycopg2.Error, schema: str, stage: Stage, readers: Sequence[Reader]
) -> WarehouseError | None:
    """Return our error when it is known what is wrong."""
    what = f"The load of {stage.dataset} for campaign {stage.campaign_key}"
    if error.pgcode == _UNDEFINED_OBJECT and readers:
        return WarehouseError(
            f"{what} could not grant the views of {stage.table} to"
            f" {', '.join(map(str, readers))}: {first_line(error)}; nothing was loaded.",
            "Create who is missing, or take it out of ETL_ASSETS_READERS.",
        )
    if error.pgcode not in _NOT_REPLACED:
        return None
    names = ", ".join(quote_table(schema, view_name(stage.table, kind)) for kind in SHOWS)
    return WarehouseError(
        f"{what} could not replace a view of {stage.table}: {first_line(error)}; nothing was"
        " loaded.",
        f"Look at {names}: drop the one that is not ours or has other columns, and refresh"
        " again; its readers then need their rights again.",
    )


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


def views_over_days(connection: pg.connection, table: str) -> tuple[bool, str]:
    """Return whether the views over days can be made and read, of which none was tried there.

    Args:
        connection: Gets a transaction that is rolled back; the ledger is there.
        table: The name of a table in the ledger's schema with an integer column `n`.
    """
    reporting = Reporting(day="sold_on", measures=("n",), dimensions=("part",))
    kinds = {"sold_on": "date", "part": "varchar", "n": "integer"}
    texts = SeasonViews(SCHEMA, table, reporting, kinds)
    with connection.cursor() as cursor:
        try:
            for column in ("sold_on DATE", "part VARCHAR(9)", "campaign_key VARCHAR(64)"):
                cursor.execute(f"ALTER TABLE {quote_table(SCHEMA, table)} ADD COLUMN {column}")
            for kind, query in (("to_date", texts.to_date), ("over_season", texts.over_season)):
                view = quote_table(SCHEMA, f"{table}_{kind}")
                text = query(quote_identifier("probe"))
                cursor.execute(f"CREATE VIEW {view} AS {text} WITH NO SCHEMA BINDING")
                cursor.execute(f"SELECT count(*) FROM {view}")
        except psycopg2.Error as error:
            return False, f"the views over days are refused: {first_line(error)}"
        finally:
            connection.rollback()
    return True, "the views over days can be made and read"


def _statements(
    cursor: pg.cursor,
    schema: str,
    stage: Stage,
    declared: Declared | None,
    readers: Sequence[Reader],
) -> list[str]:
    """Return what makes the views what they are to be; nothing when they are."""
    kinds = column_types(cursor, schema, stage.table)
    cursor.execute("SELECT viewname, definition FROM pg_views WHERE schemaname = %s", [schema])
    there = dict(cursor.fetchall())
    table = [stage.table] if declared and declared.table_read and readers else []
    granted = [*map(str, readers), *table]
    views = kept_views(schema, stage, kinds, declared, granted)
    needed = changes(stage, views, there, declared)
    if not needed:
        return []
    made = []
    for view in needed.make:
        name = quote_table(schema, view.name)
        made += [
            f"CREATE OR REPLACE VIEW {name} AS {view.select} WITH NO SCHEMA BINDING",
            cursor.mogrify(f"COMMENT ON VIEW {name} IS %s", [view.comment]).decode(),
        ]
    made += [f"DROP VIEW {quote_table(schema, name)}" for name in needed.drop]
    if not readers:
        return made
    return made + grants(cursor, schema, [*(view.name for view in views), *table], readers)
