"""Fingerprints in SQL: the statements, and how their result is read.

A column is computed in levels, one derived table over the other, so that what is needed twice
is written once. What each engine writes there says `fingerprint_engines.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from etl_assets.core.columns import Column
from etl_assets.core.fingerprint import ColumnPrint, Fingerprint

MOST_COLUMNS = 400
"""A column takes four results at most, and a Redshift query has no more than 1,664."""


@dataclass(frozen=True)
class Cell:
    """A column as an engine reads it.

    Attributes:
        column: Its name and type.
        sql: The value, of the column's type as the engine has it.
        exact: Whether its total can be computed; if not, only non-nulls are.
    """

    column: Column
    sql: str
    exact: bool = True


@dataclass(frozen=True)
class Work:
    """How one column is computed.

    Attributes:
        levels: SQL per name, one level over the other.
        counted: What is not NULL where the value is not.
        totals: Aggregates.
        total: Makes one number of them, as text.
    """

    levels: tuple[dict[str, str], ...]
    counted: str
    totals: tuple[str, ...] = ()
    total: Callable[..., str] = str


@dataclass(frozen=True)
class Query:
    """One statement of a fingerprint; its single row is read by `read`.

    Attributes:
        head: The statement up to what stands after FROM.
        tail: The rest of it.
        columns: What it covers.
        work: How, in the same order.
    """

    head: str
    tail: str
    columns: tuple[Column, ...]
    work: tuple[Work, ...]

    def over(self, relation: str, *, percent: str = "%") -> str:
        """Return the statement over a relation.

        Args:
            relation: What stands after FROM, with its WHERE.
            percent: How the driver wants a `%` that is no parameter.
        """
        head, tail = (text.replace("%", percent) for text in (self.head, self.tail))
        return f"{head}{relation}{tail}"


Planner = Callable[[Cell, str], Work]
"""Says how a column is computed, with names that begin with the text."""


def queries(cells: Sequence[Cell], planner: Planner, *, most: int = MOST_COLUMNS) -> list[Query]:
    """Return the statements of a fingerprint; one at least, which counts the records.

    Args:
        cells: The columns.
        planner: An engine's, see `fingerprint_engines.planner_of`.
        most: Columns per statement.
    """
    chunks = [cells[at : at + most] for at in range(0, len(cells), most)] or [()]
    return [_query(chunk, planner) for chunk in chunks]


def read(made: Iterable[Query], rows: Iterable[Sequence[object]]) -> Fingerprint:
    """Return the fingerprint that the queries' rows are.

    Args:
        made: The queries, all of one snapshot.
        rows: The one row of each: whole numbers, decimals, or their texts.
    """
    prints: list[ColumnPrint] = []
    records = 0
    for query, row in zip(made, rows, strict=True):
        values = iter([_number(value) for value in row])
        records = int(next(values))
        for column, work in zip(query.columns, query.work, strict=True):
            non_nulls = int(next(values))
            sums = [next(values) for _ in work.totals]
            total = work.total(*sums) if sums else None
            prints.append(
                ColumnPrint(column=column.name, type=column.type, non_nulls=non_nulls, total=total)
            )
    return Fingerprint(records=records, columns=tuple(prints))


def _query(cells: Sequence[Cell], planner: Planner) -> Query:
    work = [planner(cell, f"c{number}") for number, cell in enumerate(cells)]
    depth = max((len(w.levels) for w in work), default=0)
    head = tail = ""
    for level in range(depth):
        listed = [
            f"{sql} AS {name}"
            for w in work
            for name, sql in (
                w.levels[level].items()
                if level < len(w.levels)
                else ((name, name) for name in w.levels[-1])
            )
        ]
        head = f"(SELECT {', '.join(listed)} FROM {head}"
        tail += f") AS level{level}"
    results = ["COUNT(*)"]
    for w in work:
        results += [f"COUNT({w.counted})", *w.totals]
    columns = tuple(cell.column for cell in cells)
    return Query(f"SELECT {', '.join(results)} FROM {head}", tail, columns, tuple(work))


def _number(value: object) -> Decimal:
    if value is None:  # the sum of no values
        return Decimal(0)
    return Decimal(value.decode() if isinstance(value, bytes) else str(value))
