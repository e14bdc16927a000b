"""Fingerprints of what an open DuckDB connection can read."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import duckdb

from etl_assets.core.columns import Column
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_engines import planner_of
from etl_assets.core.fingerprint_groups import Group, singly
from etl_assets.core.fingerprint_sql import Cell, Query, fingerprint
from etl_assets.core.manifest import Stage
from etl_assets.core.sql import quote_identifier
from etl_assets.systems.duckdb_tables import from_csv, read_parts

_COLUMNS_AT_ONCE = 100
"""More take more memory than rules have, and no less time."""

_PARTS_MEMORY = "160MB"


def fingerprint_of(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[Column],
    groups: Iterable[Group],
    relation: str,
    *,
    where: str = "",
    bindings: Sequence[object] = (),
) -> Fingerprint:
    """Return the fingerprint of what a connection reads, in its transaction if it is in one.

    Args:
        connection: Any of DuckDB.
        columns: Of the relation, or some of them.
        groups: Of these columns, see `fingerprint_groups.groups_of`.
        relation: A quoted table, or whatever else may stand after FROM.
        where: A condition, with `?` for each binding.
        bindings: Its values.

    Raises:
        duckdb.Error: When the relation cannot be read.
    """
    source = f"{relation} WHERE {where}" if where else relation
    cells = [Cell(column, quote_identifier(column.name)) for column in columns]

    def run(query: Query) -> Sequence[object]:
        row: Sequence[object] = connection.execute(query.over(source), list(bindings)).fetchall()[0]
        return row

    return fingerprint(cells, groups, planner_of("duckdb"), run, most=_COLUMNS_AT_ONCE)


def fingerprint_of_parts(
    stage: Stage, files: Sequence[Path], names: Collection[str]
) -> Fingerprint:
    """Return the fingerprint of columns of staged parts, each in a group of its own.

    Args:
        stage: What the parts are of.
        files: The parts.
        names: Of columns.

    Raises:
        duckdb.Error: When a part cannot be read.
    """
    columns = [c for c in stage.columns if c.name in names]
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{_PARTS_MEMORY}'")
        connection.execute("SET threads = 1")
        connection.execute("SET preserve_insertion_order = false")
        relation = f"(SELECT {from_csv(stage)} FROM {read_parts(stage, files)}) AS parts"
        return fingerprint_of(connection, columns, singly(columns), relation)
