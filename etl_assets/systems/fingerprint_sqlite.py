"""How SQLite computes the columns of a fingerprint: what it has no function for, Python does.

A value that is not of its column's type does not stop it: the extract does, and says where.
"""

import datetime as dt
import math
import sqlite3
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from functools import lru_cache, partial
from typing import Any

from etl_assets.core import fingerprint as core
from etl_assets.core.fingerprint_engines import halves
from etl_assets.core.fingerprint_groups import hash_record
from etl_assets.core.fingerprint_sql import Cell, Planner, Work

_DOUBLE_DIGITS = 15
"""Decimals of so many digits are stored as doubles and mean the nearest decimal."""

_REMEMBERED = 1 << 14
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  (our timestamps have no zone)
_EPOCH_DAY = _EPOCH.toordinal()
_MICROSECOND = dt.timedelta(microseconds=1)
_ENOUGH_DIGITS = 80

Value = str | bytes | int | float


def with_aggregates(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return a connection that knows the aggregates of `PLANNER`."""
    for name, aggregate in _AGGREGATES.items():
        connection.create_aggregate(f"etl_{name}", 1, aggregate)
    any_number: Any = _Groups  # typeshed knows only aggregates of fixed arguments
    connection.create_aggregate("etl_group", -1, any_number)
    return connection


def _column(cell: Cell, c: str) -> Work:
    """Return how a column is computed; whole numbers are summed in two halves."""
    kind = cell.column.type
    if kind.name == "boolean" or kind.is_integer:
        return _whole(cell.sql, c, 0)
    if kind.name == "decimal" and kind.precision <= _DOUBLE_DIGITS:
        nearest = f"CAST(ROUND({cell.sql} * 1e{kind.scale}) AS INTEGER)"
        return _whole(f"CASE WHEN {cell.sql} IS NOT NULL THEN {nearest} END", c, kind.scale)
    return Work(({c: cell.sql},), (c,), (f"etl_{kind.name}({c})",), "{:f}".format)


def _group(cells: Sequence[Cell], c: str) -> Work:
    values = {f"{c}v{number}": cell.sql for number, cell in enumerate(cells)}
    return Work((values,), tuple(values), (f"etl_group({', '.join(values)})",), "{:f}".format)


def _whole(sql: str, c: str, scale: int) -> Work:
    totals = (f"SUM({c} >> 32)", f"SUM({c} & 4294967295)")
    return Work(({c: sql},), (c,), totals, partial(halves, scale=scale))


PLANNER = Planner(_column, _group)
"""How SQLite computes columns, on a connection `with_aggregates`."""


def _summing(weight: Callable[[Value], int]) -> type[Any]:
    remembered = lru_cache(_REMEMBERED)(weight)

    class Sum:
        def __init__(self) -> None:
            self.total = 0

        def step(self, value: Value | None) -> None:
            if value is not None:
                self.total += remembered(value)

        def finalize(self) -> str:
            return str(self.total)

    return Sum


class _Decimals:
    """Adds decimals of any size, as their texts say."""

    def __init__(self) -> None:
        self.total = Decimal(0)

    def step(self, value: Value | None) -> None:
        if value is not None:
            with localcontext(prec=_ENOUGH_DIGITS):
                try:
                    self.total += Decimal(str(value))
                except ArithmeticError:
                    self.total += 1

    def finalize(self) -> str:
        return format(self.total, "f") if self.total.is_finite() else "0"


class _Groups:
    """Adds the hashes of the records of a group of columns."""

    def __init__(self) -> None:
        self.total = 0

    def step(self, *values: Value | None) -> None:
        self.total += hash_record([None if v is None else _cell(v) for v in values])

    def finalize(self) -> str:
        return str(self.total)


class _Doubles:
    """Adds the two parts of doubles."""

    def __init__(self, kind: str = "double") -> None:
        self.high = self.low = self.squares = 0
        self.real = kind == "real"

    def step(self, value: Value | None) -> None:
        if value is not None:
            high, low, squares = _double(value, real=self.real)
            self.high += high
            self.low += low
            self.squares += squares

    def finalize(self) -> str:
        return str(core.double_total(self.high, self.low, self.squares))


@lru_cache(_REMEMBERED)
def _double(value: Value, *, real: bool) -> tuple[int, int, int]:
    try:
        number = float(value)
        if real:
            (number,) = struct.unpack("f", struct.pack("f", number))
    except (ValueError, OverflowError):
        number = math.nan
    high, low, window = core.double_parts(number)
    return high, low, core.double_square(high, low, window)


def _no_moment(value: Value) -> int:
    return hash_record([_cell(value)])


def _cell(value: Value) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)


def _date(value: Value) -> int:
    try:
        return core.weight(dt.date.fromisoformat(str(value)).toordinal() - _EPOCH_DAY)
    except ValueError:
        return _no_moment(value)


def _timestamp(value: Value) -> int:
    try:
        return core.weight((dt.datetime.fromisoformat(str(value)) - _EPOCH) // _MICROSECOND)
    except (ValueError, TypeError):
        return _no_moment(value)


_AGGREGATES: dict[str, Callable[[], Any]] = {
    "date": _summing(_date),
    "timestamp": _summing(_timestamp),
    "decimal": _Decimals,
    "double": _Doubles,
    "real": partial(_Doubles, "real"),
}
"""By type."""
