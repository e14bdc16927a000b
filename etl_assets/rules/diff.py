"""Two sets of records compared, record by record and cell by cell, in DuckDB."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from etl_assets.core.columns import RESERVED_PREFIX, Column
from etl_assets.core.rules.compile import CompiledRules
from etl_assets.core.sql import column_list, quote_identifier
from etl_assets.rules.engine import Connection

RECORD = quote_identifier(RESERVED_PREFIX + "record")
"""The column of a record's name: `name=value, …` of its primary key."""

NUMBER = quote_identifier(RESERVED_PREFIX + "number")
"""The column that tells records of one name apart."""

JOINED = f"before b FULL OUTER JOIN after a ON b.{RECORD} = a.{RECORD} AND b.{NUMBER} = a.{NUMBER}"
"""The records of `before` and `after`, beside each other."""

_SAMPLES = 3
_LISTED = 5


@dataclass(frozen=True)
class CellChange:
    """One value that differs; None is NULL.

    Attributes:
        record: Its primary key, as `name=value, …`.
    """

    record: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class ColumnChange:
    """What differs in one column.

    Attributes:
        cells: In how many records.
        samples: The first of them.
    """

    column: str
    cells: int
    samples: tuple[CellChange, ...]


@dataclass(frozen=True)
class Difference:
    """What differs between two sets of records.

    Attributes:
        added: Records that only the second has.
        removed: Records that only the first has.
        changed: Records that both have, with values that differ.
        columns: Where, most cells first.
        added_records: The first of those added, by primary key.
        removed_records: The first of those removed.
    """

    added: int
    removed: int
    changed: int
    columns: tuple[ColumnChange, ...]
    added_records: tuple[str, ...]
    removed_records: tuple[str, ...]


def keep_records(
    connection: Connection, name: str, select: str, columns: Sequence[Column]
) -> tuple[int, bool]:
    """Make a table of records; return how many, and whether each has a name of its own.

    Args:
        connection: Where the table is made.
        name: Its name.
        select: Gives the columns, and the name of each record as `RECORD`.
        columns: The columns it gives.
    """
    connection.execute(f"CREATE TEMP TABLE {name} AS SELECT *, 1 AS {NUMBER} FROM ({select})")
    count, different = connection.execute(
        f"SELECT count(*), count(DISTINCT {RECORD}) FROM {name}"
    ).fetchone() or (0, 0)
    if count != different:  # a primary key that is not unique names several: number them
        listed = column_list(c.name for c in columns)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * EXCLUDE ({NUMBER}),"
            f" row_number() OVER (PARTITION BY {RECORD} ORDER BY {listed}) AS {NUMBER} FROM {name}"
        )
    return int(count), count == different


def forget(connection: Connection, compiled: CompiledRules) -> None:
    """Drop what running rules made, so that others can run."""
    made = [relation.name for relation in compiled.relations]
    made += [step.side_name for phase in compiled.phases for step in phase.steps if step.side]
    made += [phase.base for phase in compiled.phases if phase.made_by]
    for name in made:
        connection.execute(f"DROP TABLE IF EXISTS {name}")


def compare(
    connection: Connection, before: Sequence[Column], after: Sequence[Column]
) -> Difference:
    """Compare the tables `before` and `after`, in one pass.

    A column that only one has differs where it is not NULL; values of different types are
    compared as texts.
    """
    old, new = {c.name: c.type for c in before}, {c.name: c.type for c in after}
    names = list(dict.fromkeys([*new, *old]))
    differs = {name: _differs(name, old.get(name) == new.get(name), name in old, name in new)
               for name in names}  # fmt: skip
    both = f"b.{RECORD} IS NOT NULL AND a.{RECORD} IS NOT NULL"
    selected = [
        f"count(*) FILTER (WHERE b.{RECORD} IS NULL)",
        f"count(*) FILTER (WHERE a.{RECORD} IS NULL)",
        f"count(*) FILTER (WHERE {both} AND ({' OR '.join(differs.values()) or 'false'}))",
        f"min(a.{RECORD}, {_LISTED}) FILTER (WHERE b.{RECORD} IS NULL)",
        f"min(b.{RECORD}, {_LISTED}) FILTER (WHERE a.{RECORD} IS NULL)",
    ]
    for name, condition in differs.items():
        shown = f"{{'r': a.{RECORD}, 'b': {_text(name, 'b', old)}, 'a': {_text(name, 'a', new)}}}"
        selected.append(f"count(*) FILTER (WHERE {both} AND {condition})")
        selected.append(
            f"min_by({shown}, a.{RECORD}, {_SAMPLES}) FILTER (WHERE {both} AND {condition})"
        )
    row = connection.execute(f"SELECT {', '.join(selected)} FROM {JOINED}").fetchone()
    assert row is not None  # noqa: S101  (an aggregate gives one row)
    added, removed, changed, first_added, first_removed, *found = row
    columns = [
        ColumnChange(name, cells, tuple(CellChange(s["r"], s["b"], s["a"]) for s in shown or ()))
        for name, cells, shown in zip(names, found[::2], found[1::2], strict=True)
        if cells
    ]
    columns.sort(key=lambda change: -change.cells)
    return Difference(
        added,
        removed,
        changed,
        tuple(columns),
        tuple(first_added or ()),
        tuple(first_removed or ()),
    )


def _differs(name: str, same_type: bool, in_old: bool, in_new: bool) -> str:  # noqa: FBT001
    quoted = quote_identifier(name)
    if not in_old or not in_new:
        return f"{'a' if in_new else 'b'}.{quoted} IS NOT NULL"
    if same_type:
        return f"b.{quoted} IS DISTINCT FROM a.{quoted}"
    return f"CAST(b.{quoted} AS VARCHAR) IS DISTINCT FROM CAST(a.{quoted} AS VARCHAR)"


def _text(name: str, table: str, there: Collection[str]) -> str:
    return f"CAST({table}.{quote_identifier(name)} AS VARCHAR)" if name in there else "NULL"
