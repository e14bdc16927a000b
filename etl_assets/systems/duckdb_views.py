"""DuckDB's side of the views beside a table, and of what campaigns have in common."""

import duckdb

from etl_assets.core.datasets import Dataset
from etl_assets.core.kept_views import View, changes, kept_views
from etl_assets.core.manifest import Stage
from etl_assets.core.reporting import Declared
from etl_assets.core.reporting_views import (
    DEDUPLICATED,
    Overlaps,
    count_overlaps,
    read_overlaps,
    view_name,
    view_names,
)
from etl_assets.core.sql import quote_identifier, quote_literal, quote_table
from etl_assets.systems.duckdb_tables import table_columns

_SCHEMA = "main"
_HERE = "database_name = current_database() AND schema_name = 'main'"


def keep_views(
    connection: duckdb.DuckDBPyConnection, stage: Stage, declared: Declared | None
) -> None:
    """Make the views of the target table, replace those that differ, drop those nobody declares.

    To be called in the load's transaction, so that readers have the old ones until it commits.

    Raises:
        WarehouseError: When the table has not the columns for one, or its name is taken.
    """
    found = connection.execute(f"SELECT view_name, sql FROM duckdb_views() WHERE {_HERE}")
    there = dict(found.fetchall())
    kinds = table_columns(connection, stage.table)
    needed = changes(stage, kept_views(_SCHEMA, stage, kinds, declared), there, declared)
    for view in needed.make:
        name = quote_table(_SCHEMA, view.name)
        connection.execute(f"CREATE OR REPLACE VIEW {name} AS {view.select}")
        _comment(connection, name, view)
    for gone in needed.drop:
        connection.execute(f"DROP VIEW {quote_table(_SCHEMA, gone)}")
    _copy_comments(connection, stage.table)


def overlaps(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> Overlaps:
    """Count what campaigns share; see `Warehouse.overlaps`. There must be no writer meanwhile."""
    columns = _columns(connection, dataset.table)
    if not columns:
        return Overlaps(0, 0)
    missing = tuple(name for name in dataset.primary_key if name not in columns)
    if missing:
        records = _count(connection, dataset.table)
        return Overlaps(records, records, missing=missing)
    once = view_name(dataset.table, DEDUPLICATED)
    shown = _count(connection, once) if _columns(connection, once) else None
    counted = count_overlaps(_SCHEMA, dataset.table, dataset.primary_key)
    return read_overlaps(connection.execute(counted).fetchall(), shown)


def _comment(connection: duckdb.DuckDBPyConnection, name: str, view: View) -> None:
    connection.execute(f"COMMENT ON VIEW {name} IS {quote_literal(view.comment)}")
    for column, text in view.comments.items():
        connection.execute(
            f"COMMENT ON COLUMN {name}.{quote_identifier(column)} IS {quote_literal(text)}"
        )


def _copy_comments(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Give the views' columns the comments of the table's."""
    different = connection.execute(
        f"SELECT v.table_name, column_name, t.comment FROM duckdb_columns() v"
        f" JOIN duckdb_columns() t USING (database_name, schema_name, column_name)"
        f" WHERE {_HERE} AND t.table_name = ?1 AND list_contains(?2, v.table_name)"
        " AND t.comment IS NOT NULL AND t.comment IS DISTINCT FROM v.comment",
        [table, list(view_names(table))],
    ).fetchall()
    for view, column, comment in different:
        connection.execute(
            f"COMMENT ON COLUMN {quote_table(_SCHEMA, view)}.{quote_identifier(column)}"
            f" IS {quote_literal(comment)}"
        )


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    named = "SELECT column_name FROM duckdb_columns()"
    found = connection.execute(
        f"{named} WHERE {_HERE} AND table_name = ? ORDER BY column_index", [relation]
    )
    return [name for (name,) in found.fetchall()]


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    counted = f"SELECT count(*) FROM {quote_table(_SCHEMA, relation)}"
    row = connection.execute(counted).fetchone()
    return int(row[0]) if row else 0
