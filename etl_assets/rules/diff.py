"""Two sets of records compared, record by record and cell by cell, in DuckDB."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from etl_assets.core.columns import RESERVED_PREFIX, Column
from etl_assets.core.rules.compile import CompiledRules
from etl_assets.core.sql import quote_identifier
from etl_assets.rules.engine import Connection

_RECORD = quote_identifier(RESERVED_PREFIX + "record")
_NUMBER = quote_identifier(RESERVED_PREFIX + "number")
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


def keep_records(connection: Connection, name: str, compiled: CompiledRules) -> int:
    """Make a table of the records to load, named by their primary key; return how many."""
    select = compiled.last.records(named=True)
    connection.execute(f"CREATE TEMP TABLE {name} AS SELECT *, 1 AS {_NUMBER} FROM ({select})")
    count, different = connection.execute(
        f"SELECT count(*), count(DISTINCT {_RECORD}) FROM {name}"
    ).fetchone() or (0, 0)
    if count != different:  # a primary key that is not unique names several: number them
        listed = ", ".join(quote_identifier(c.name) for c in compiled.columns)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * EXCLUDE ({_NUMBER}),"
            f" row_number() OVER (PARTITION BY {_RECORD} ORDER BY {listed}) AS {_NUMBER} FROM {name}"
        )
    return int(count)


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
    both = f"b.{_RECORD} IS NOT NULL AND a.{_RECORD} IS NOT NULL"
    selected = [
        f"count(*) FILTER (WHERE b.{_RECORD} IS NULL)",
        f"count(*) FILTER (WHERE a.{_RECORD} IS NULL)",
        f"count(*) FILTER (WHERE {both} AND ({' OR '.join(differs.values()) or 'false'}))",
        f"min(a.{_RECORD}, {_LISTED}) FILTER (WHERE b.{_RECORD} IS NULL)",
        f"min(b.{_RECORD}, {_LISTED}) FILTER (WHERE a.{_RECORD} IS NULL)",
    ]
    for name, condition in differs.items():
        shown = f"{{'r': a.{_RECORD}, 'b': {_text(name, 'b', old)}, 'a': {_text(name, 'a', new)}}}"
        selected.append(f"count(*) FILTER (WHERE {both} AND {condition})")
        selected.append(
            f"min_by({shown}, a.{_RECORD}, {_SAMPLES}) FILTER (WHERE {both} AND {condition})"
        )
    row = connection.execute(
        f"SELECT {', '.join(selected)} FROM before b FULL OUTER JOIN after a"
        f" ON b.{_RECORD} = a.{_RECORD} AND b.{_NUMBER} = a.{_NUMBER}"
    ).fetchone()
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
