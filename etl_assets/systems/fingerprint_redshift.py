"""Fingerprints of what a Redshift session can read."""

from collections.abc import Iterable, Sequence

import psycopg2.extensions as pg

from etl_assets.core.columns import Column
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_engines import planner_of
from etl_assets.core.fingerprint_groups import Group
from etl_assets.core.fingerprint_sql import Cell, Query, fingerprint
from etl_assets.core.sql import quote_identifier


def fingerprint_of(
    cursor: pg.cursor,
    columns: Sequence[Column],
    groups: Iterable[Group],
    relation: str,
    *,
    where: str = "",
    bindings: Sequence[object] = (),
) -> Fingerprint:
    """Return the fingerprint of what a session reads, in its transaction.

    Only functions that Redshift documents are used.

    Args:
        cursor: Of the session.
        columns: Of the relation, or some of them; a staged column of bytes holds what
            `redshift_sql.staged_value` makes of it.
        groups: Of these columns, see `fingerprint_groups.groups_of`.
        relation: A quoted table, or whatever else may stand after FROM.
        where: A condition, with `%s` for each binding.
        bindings: Its values.

    Raises:
        psycopg2.Error: When the relation cannot be read.
    """
    cells = [Cell(column, quote_identifier(column.name)) for column in columns]
    source = relation.replace("%", "%%") + (f" WHERE {where}" if where else "")

    def run(query: Query) -> Sequence[object]:
        cursor.execute(query.over(source, percent="%%"), bindings or ())
        row: Sequence[object] = cursor.fetchall()[0]
        return row

    return fingerprint(cells, groups, planner_of("redshift"), run)
