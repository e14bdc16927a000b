"""Fingerprints in SQL: the statements, and how their result is read.

A column is computed in levels, one derived table over the other, so that what is needed twice
is written once. What each engine writes there says `fingerprint_engines.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from etl_assets.core.columns import Column
from etl_assets.core.fingerprint import ColumnPrint, Fingerprint, GroupPrint
from etl_assets.core.fingerprint_groups import Group, is_grouped

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
    """How one column is computed, or the columns of a group together.

    Attributes:
        levels: SQL per name, one level over the other.
        counted: Per column, what is not NULL where the value is not.
        totals: Aggregates.
        total: Makes one number of them, as text; None where that takes `Planner.again`.
    """

    levels: tuple[dict[str, str], ...]
    counted: tuple[str, ...]
    totals: tuple[str, ...] = ()
    total: Callable[..., str | None] = str


@dataclass(frozen=True)
class Planner:
    """What an engine computes; names in SQL begin with the text that is passed.

    Attributes:
        column: The work of a column that is no text and no bytes.
        group: The work of a group of cells.
        again: The work of a column for whose values `column` was too simple, where that can be.
    """

    column: Callable[[Cell, str], Work]
    group: Callable[[Sequence[Cell], str], Work]
    again: Callable[[Cell, str], Work] | None = None


_Part = tuple[tuple[Cell, ...], Callable[[str], Work]]
"""Cells, and what makes their work, with the text that its names begin with."""


@dataclass(frozen=True)
class Query:
    """One statement of a fingerprint; its single row is read by `read`.

    Attributes:
        head: The statement up to what stands after FROM.
        tail: The rest of it.
        parts: Columns or groups of them, each with its work.
    """

    head: str
    tail: str
    parts: tuple[tuple[tuple[Column, ...], Work], ...]

    def over(self, relation: str, *, percent: str = "%") -> str:
        """Return the statement over a relation.

        Args:
            relation: What stands after FROM, with its WHERE.
            percent: How the driver wants a `%` that is no parameter.
        """
        head, tail = (text.replace("%", percent) for text in (self.head, self.tail))
        return f"{head}{relation}{tail}"


def fingerprint(
    cells: Sequence[Cell],
    groups: Iterable[Group],
    planner: Planner,
    run: Callable[[Query], Sequence[object]],
    *,
    most: int = MOST_COLUMNS,
) -> Fingerprint:
    """Return the fingerprint of columns.

    Args:
        cells: The columns.
        groups: Of the text and binary columns; of those in no group, and of groups that have a
            column that is not there or not exact, only non-nulls are computed.
        planner: An engine's, see `fingerprint_engines.planner_of`.
        run: Returns a query's single row; all in one snapshot.
        most: Columns per statement, but for a group, which is not divided.
    """
    made = queries(cells, groups, planner, most=most)
    found = read(made, map(run, made))
    if planner.again is None:
        return found
    exact = {cell.column.name: cell for cell in cells if cell.exact}
    without = [c.column for c in found.columns if c.total is None and c.column in exact]
    left = [exact[name] for name in without if not is_grouped(exact[name].column)]
    if not left:
        return found
    made = queries(left, (), replace(planner, column=planner.again), most=most)
    others = {c.column: c for c in read(made, map(run, made)).columns}
    columns = tuple(others.get(c.column, c) for c in found.columns)
    return found.model_copy(update={"columns": columns})


def queries(
    cells: Sequence[Cell],
    groups: Iterable[Group],
    planner: Planner,
    *,
    most: int = MOST_COLUMNS,
) -> list[Query]:
    """Return the statements of a fingerprint; one at least, which counts the records."""
    chunks: list[list[_Part]] = [[]]
    room = most
    for part in _parts(cells, groups, planner):
        if len(part[0]) > room and chunks[-1]:
            chunks.append([])
            room = most
        chunks[-1].append(part)
        room -= len(part[0])
    return [_query(chunk) for chunk in chunks]


def read(made: Iterable[Query], rows: Iterable[Sequence[object]]) -> Fingerprint:
    """Return the fingerprint that the queries' rows are.

    Args:
        made: The queries, all of one snapshot.
        rows: The one row of each: whole numbers, decimals, or their texts.
    """
    prints: list[ColumnPrint] = []
    groups: list[GroupPrint] = []
    records = 0
    for query, row in zip(made, rows, strict=True):
        values = iter([_number(value) for value in row])
        records = int(next(values))
        for columns, work in query.parts:
            counts = [int(next(values)) for _ in columns]
            sums = [next(values) for _ in work.totals]
            total = work.total(*sums) if sums else None
            grouped = is_grouped(columns[0])
            prints += [
                ColumnPrint(
                    column=c.name, type=c.type, non_nulls=n, total=None if grouped else total
                )
                for c, n in zip(columns, counts, strict=True)
            ]
            if grouped and total is not None:
                groups.append(GroupPrint(columns=tuple(c.name for c in columns), total=total))
    return Fingerprint(records=records, columns=tuple(prints), groups=tuple(groups))


def _parts(cells: Sequence[Cell], groups: Iterable[Group], planner: Planner) -> Iterator[_Part]:
    """Yield each group's cells together, and each other cell by itself."""
    exact = {cell.column.name: cell for cell in cells if cell.exact}
    together = [group for group in groups if exact.keys() >= set(group)]
    for group in together:
        members = tuple(exact[name] for name in group)
        yield members, partial(planner.group, members)
    grouped = {name for group in together for name in group}
    for cell in cells:
        if cell.column.name not in grouped:
            summed = cell.exact and not is_grouped(cell.column)
            yield (cell,), partial(planner.column if summed else _only_counted, cell)


def _only_counted(cell: Cell, c: str) -> Work:
    return Work(({c: cell.sql},), (c,))


def _query(parts: Sequence[_Part]) -> Query:
    work = [made(f"c{number}") for number, (_, made) in enumerate(parts)]
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
        results += [*(f"COUNT({counted})" for counted in w.counted), *w.totals]
    columns = [tuple(cell.column for cell in cells) for cells, _ in parts]
    return Query(
        f"SELECT {', '.join(results)} FROM {head}", tail, tuple(zip(columns, work, strict=True))
    )


def _number(value: object) -> Decimal:
    if value is None:  # the sum of no values
        return Decimal(0)
    return Decimal(value.decode() if isinstance(value, bytes) else str(value))
