"""Fingerprints of what an open DuckDB connection can read."""

from collections.abc import Sequence

import duckdb

from etl_assets.core.columns import Column
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_engines import planner_of
from etl_assets.core.fingerprint_sql import Cell, queries, read
from etl_assets.core.sql import quote_identifier

_COLUMNS_AT_ONCE = 100
"""More take more memory than rules have, and no less time."""


def fingerprint_of(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[Column],
    relation: str,
    *,
    where: str = "",
    bindings: Sequence[object] = (),
) -> Fingerprint:
    """Return the fingerprint of what a connection reads, in its transaction if it is in one.

    Args:
        connection: Any of DuckDB.
        columns: Of the relation, or some of them.
        relation: A quoted table, or whatever else may stand after FROM.
        where: A condition, with `?` for each binding.
        bindings: Its values.

    Raises:
        duckdb.Error: When the relation cannot be read.
    """
    source = f"{relation} WHERE {where}" if where else relation
    cells = [Cell(column, quote_identifier(column.name)) for column in columns]
    made = queries(cells, planner_of("duckdb"), most=_COLUMNS_AT_ONCE)
    rows = [connection.execute(query.over(source), list(bindings)).fetchall()[0] for query in made]
    return read(made, rows)
