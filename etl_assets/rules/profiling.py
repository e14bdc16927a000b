"""The first records of a relation, its records per day, and what changed since an earlier one.

It is for people to look at, so it is cheap or left out: on 165,000 records of 26 columns all of
it takes a tenth of a second.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from etl_assets.core.columns import Column
from etl_assets.core.profile import (
    MOST_DAYS,
    SAMPLE_CHARACTERS,
    SAMPLE_COLUMNS,
    SAMPLE_RECORDS,
    Profile,
    RecordChanges,
)
from etl_assets.core.sql import column_list, quote_identifier, quote_literal
from etl_assets.rules.engine import Connection

_SLOT_MINUTES = 15
"""Every zone's midnight is a multiple of it away from UTC's."""

_YEARS = "2 AND 9998"
"""Days that Python knows in every zone."""

_MOST_CELLS = 2_000_000
"""Values of changed records that are looked into; on Parquet that takes some tenths of a second."""

_KEY, _ALL, _NUMBER = (quote_identifier(f"__etl_{name}") for name in ("key", "all", "number"))


def profile(
    connection: Connection,
    relation: str,
    columns: Sequence[Column],
    *,
    preview: bool,
    season_column: str | None,
    zone: str,
) -> Profile:
    """Return the first records of a relation, and how many there are of each day.

    Args:
        connection: The engine's.
        relation: What stands after FROM.
        columns: The relation's.
        preview: Whether records may be shown.
        season_column: The column that says when a record was.
        zone: The time zone whose days are counted, where it is a timestamp, in UTC.

    Raises:
        duckdb.Error: When the relation cannot be read.
    """
    return Profile(
        sample=_sample(connection, relation, columns[:SAMPLE_COLUMNS]) if preview else (),
        days=next(
            (
                _days(connection, relation, column, ZoneInfo(zone))
                for column in columns
                if column.name == season_column and column.type.name in ("date", "timestamp")
            ),
            {},
        ),
    )


def read_parquet(files: Sequence[Path], columns: Sequence[Column]) -> str:
    """Return a relation of Parquet files; of no files it has no records."""
    if not files:
        nothing = ", ".join(
            f"CAST(NULL AS {c.type.duckdb}) AS {quote_identifier(c.name)}" for c in columns
        )
        return f"(SELECT {nothing} WHERE false) r"
    return f"read_parquet([{', '.join(quote_literal(str(file)) for file in files)}])"


def count_changes(
    connection: Connection,
    before: tuple[str, Sequence[Column]],
    after: tuple[str, Sequence[Column]],
    key: Sequence[str],
    since: str,
) -> RecordChanges | None:
    """Return how the records of two relations differ; None when one lacks a column of the key.

    Records are compared by hashes of 64 bits, so that whole records are read only where they
    differ; several records of one key are compared in the order of their hashes.

    Args:
        connection: The engine's; tables `was` and `is_now` are made in it.
        before: The earlier relation, and its columns.
        after: The later one.
        key: Columns that name a record.
        since: What the earlier one is called.

    Raises:
        duckdb.Error: When one cannot be read, or the disk is full.
    """
    earlier = {c.name: c.type for c in before[1]}
    same = [c.name for c in after[1] if earlier.get(c.name) == c.type]
    if not set(key) <= set(same):
        return None
    hashes = f"hash({column_list(key)}) AS {_KEY}, hash({column_list(same)}) AS {_ALL}"
    for name, (relation, _) in (("was", before), ("is_now", after)):
        connection.execute(
            f"CREATE TEMP TABLE {name} AS SELECT {hashes}, 1 AS {_NUMBER} FROM {relation}"
        )
        _number(connection, name)
    joined = f"was w FULL OUTER JOIN is_now n ON w.{_KEY} = n.{_KEY} AND w.{_NUMBER} = n.{_NUMBER}"
    added, removed, changed = connection.execute(
        f"SELECT count(*) FILTER (WHERE w.{_KEY} IS NULL), count(*) FILTER (WHERE n.{_KEY} IS NULL),"
        f" count(*) FILTER (WHERE w.{_ALL} <> n.{_ALL}) FROM {joined}"
    ).fetchone() or (0, 0, 0)
    cells: int | None = 0
    if changed:
        cells = (
            _cells(connection, before[0], after[0], same, hashes)
            if changed * len(same) <= _MOST_CELLS
            else None
        )
    return RecordChanges(since=since, added=added, removed=removed, changed=changed, cells=cells)


def _number(connection: Connection, name: str) -> None:
    """Number the records of one key, where there are several."""
    count, different = connection.execute(
        f"SELECT count(*), count(DISTINCT {_KEY}) FROM {name}"
    ).fetchone() or (0, 0)
    if count != different:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {_KEY}, {_ALL},"
            f" row_number() OVER (PARTITION BY {_KEY} ORDER BY {_ALL}) AS {_NUMBER} FROM {name}"
        )


def _cells(
    connection: Connection, before: str, after: str, names: Sequence[str], hashes: str
) -> int:
    """Count the values that differ in records that both have and that are not equal."""
    for name, relation in (("cells_was", before), ("cells_now", after)):
        connection.execute(
            f"CREATE TEMP TABLE {name} AS SELECT *, row_number() OVER (PARTITION BY {_KEY}"
            f" ORDER BY {_ALL}) AS {_NUMBER} FROM (SELECT {column_list(names)}, {hashes}"
            f" FROM {relation}) WHERE {_KEY} IN (SELECT w.{_KEY} FROM was w JOIN is_now n"
            f" ON w.{_KEY} = n.{_KEY} AND w.{_NUMBER} = n.{_NUMBER} WHERE w.{_ALL} <> n.{_ALL})"
        )
    quoted = [quote_identifier(name) for name in names]
    differs = " + ".join(f"(w.{name} IS DISTINCT FROM n.{name})::BIGINT" for name in quoted)
    row = connection.execute(
        f"SELECT sum({differs}) FROM cells_was w JOIN cells_now n USING ({_KEY}, {_NUMBER})"
    ).fetchone()
    return int(row[0] or 0) if row else 0


def _sample(
    connection: Connection, relation: str, columns: Sequence[Column]
) -> tuple[tuple[str | None, ...], ...]:
    values = ", ".join(
        f"left(CAST({quote_identifier(c.name)} AS VARCHAR), {SAMPLE_CHARACTERS + 1})"
        for c in columns
    )
    rows = connection.execute(f"SELECT {values} FROM {relation} LIMIT {SAMPLE_RECORDS}").fetchall()
    return tuple(tuple(row) for row in rows)


def _days(connection: Connection, relation: str, column: Column, zone: ZoneInfo) -> dict[str, int]:
    """Count records by day. Timestamps are UTC: they are counted by slots that lie in one day."""
    name = quote_identifier(column.name)
    is_date = column.type.name == "date"
    slot = name if is_date else f"time_bucket(INTERVAL {_SLOT_MINUTES} MINUTE, {name})"
    counted: Counter[dt.date] = Counter()
    result = connection.execute(
        f"SELECT {slot}, count(*) FROM {relation} WHERE year({name}) BETWEEN {_YEARS} GROUP BY 1"
    )
    while rows := result.fetchmany(10_000):
        for moment, records in rows:
            day = moment if is_date else moment.replace(tzinfo=dt.UTC).astimezone(zone).date()
            counted[day] += records
        if len(counted) > MOST_DAYS:
            return {}
    return {day.isoformat(): counted[day] for day in sorted(counted)}
