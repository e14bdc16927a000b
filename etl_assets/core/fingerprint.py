"""Fingerprints: a summary per column by which two copies of records are proven equal.

A fingerprint does not know the order of the records, so a database, a file and a table have the
same one when they hold the same records. Its totals are exact, and sums, so that a record that
is there twice counts twice. What is summed is the same in every engine:

| type | total |
|---|---|
| integers, decimals | the sum |
| boolean | how many are true |
| text, binary | none of its own: they are summed by groups of columns |
| date | the sum of `weight` of the days since 1970-01-01 |
| timestamp | the sum of `weight` of the microseconds since 1970-01-01 00:00:00 |
| real, double | that of the two whole numbers that a double is (`double_parts`) |

Dates, timestamps and doubles are numbers already: to write each as text for MD5 costs ten times
as much, and Redshift documents no exact text of a double.

The total of a group of text and binary columns is the sum of `hash64` of its records' texts
(`fingerprint_groups.py`). One MD5 for a hundred cells costs a tenth of one for each, and sees when
two records exchange a cell.
"""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from etl_assets.core.columns import ColumnType

PRIME = 2**30 - 35
"""The greatest below 2**30."""

HALF_BITS = 62
"""A double is cut into two whole numbers of so many bits."""

LEAST_BITS = 10
"""Doubles from 2**-10 up to 2**62, and 0, are in window 0."""

WINDOW_BITS = HALF_BITS + LEAST_BITS
INFINITE, NOT_A_NUMBER = 98, 99
"""Windows of what is no finite number."""

WINDOW_WEIGHT = 1_000_003

_SHOWN = 5


def plain_number(text: str) -> str:
    """Return an exact decimal without zeros at its end: 1.50 is 1.5, and -0.0 is 0.

    Raises:
        ValueError: When it is no finite decimal number.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:  # no ValueError by itself, which is what pydantic reports
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"{text!r} is no exact number")
    digits = format(number, "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if digits in ("-0", "") else digits


class _Summary(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnPrint(_Summary):
    """One column's part of a fingerprint.

    Attributes:
        column: Its name.
        type: For people, and for what kind of total this is.
        non_nulls: Records whose value is not NULL.
        total: The exact sum of what the module's table says, as decimal text; None where it
            was not computed, and is not compared.
    """

    column: str
    type: ColumnType
    non_nulls: int
    total: Annotated[str, AfterValidator(plain_number)] | None = None

    @property
    def family(self) -> str:
        """The types whose totals mean the same: `number`, `double`, `text`, or a type's name."""
        if self.type.is_integer or self.type.name == "decimal":
            return "number"
        if self.type.name in ("real", "double"):
            return "double"
        return self.type.family


class GroupPrint(_Summary):
    """What text and binary columns of the same records hold together.

    Attributes:
        columns: Their names, sorted.
        total: As the module says.
    """

    columns: tuple[str, ...]
    total: Annotated[str, AfterValidator(plain_number)]


class Fingerprint(_Summary):
    """The summary of some records, whatever their order.

    Attributes:
        records: How many.
        columns: Per column, in any order.
        groups: Of its text and binary columns, each in one at most.
    """

    records: int
    columns: tuple[ColumnPrint, ...]
    groups: tuple[GroupPrint, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 that equal fingerprints share, whatever order or width their columns have."""
        found = sorted((c.column, c.family, c.non_nulls, c.total or "") for c in self.columns)
        groups = sorted((group.columns, group.total) for group in self.groups)
        return hashlib.sha256(json.dumps([self.records, found, groups]).encode()).hexdigest()

    @property
    def names(self) -> set[str]:
        """The columns it covers."""
        return {c.column for c in self.columns}

    @property
    def non_nulls(self) -> dict[str, int]:
        """The values that are not NULL, by column."""
        return {c.column: c.non_nulls for c in self.columns}

    def only(self, names: Collection[str]) -> "Fingerprint":
        """Return the fingerprint of some of the columns.

        A group that loses a column has no total any more: of the others only non-nulls are left.
        """
        kept = tuple(c for c in self.columns if c.column in names)
        groups = tuple(group for group in self.groups if set(names).issuperset(group.columns))
        return Fingerprint(records=self.records, columns=kept, groups=groups)


def differences(expected: Fingerprint, found: Fingerprint) -> list[str]:
    """Return what differs, as parts of sentences with column and both figures; none when equal.

    Totals are compared where both have one, of a column or a group. A column that only one of
    them has is a difference, so pass both through `only` when that is not meant.
    """
    said = _of_columns(expected, found)
    for group, total in _other_groups(expected, found):
        said.append(f"the checksum of {_listed(group)} is {total} instead of {group.total}")
    return said


def named_differences(
    expected: Fingerprint,
    found: Fingerprint,
    singly: Callable[[Collection[str]], tuple[Fingerprint, Fingerprint]],
) -> list[str]:
    """Return what differs, as `differences`, and of a group the very columns.

    Args:
        expected: Of one copy.
        found: Of the other.
        singly: Returns fingerprints of both copies, expected and found, of the columns it is
            given, each in a group of its own.
    """
    if expected.records != found.records:  # then a group says nothing more
        return _of_columns(expected, found)
    said = _of_columns(expected, found)
    for group, total in _other_groups(expected, found):
        if len(group.columns) == 1:
            said.append(f"the checksum of {_listed(group)} is {total} instead of {group.total}")
            continue
        said += differences(*singly(group.columns)) or [
            f"the values of {_listed(group)} are the same but in other records"
        ]
    return list(dict.fromkeys(said))


def _of_columns(expected: Fingerprint, found: Fingerprint) -> list[str]:
    said = []
    if expected.records != found.records:
        said.append(f"{found.records:,} records instead of {expected.records:,}")
    wanted = {c.column: c for c in expected.columns}
    have = {c.column: c for c in found.columns}
    for name, column in wanted.items():
        said += _column_differences(column, have[name]) if name in have else [f"no `{name}`"]
    return said + [f"`{name}`, which is not expected" for name in have if name not in wanted]


def _other_groups(expected: Fingerprint, found: Fingerprint) -> Iterator[tuple[GroupPrint, str]]:
    """Yield each group whose total is another, with that."""
    totals = {group.columns: group.total for group in found.groups}
    for group in expected.groups:
        total = totals.get(group.columns, group.total)
        if total != group.total:
            yield group, total


def _listed(group: GroupPrint) -> str:
    more = len(group.columns) - _SHOWN
    names = ", ".join(f"`{name}`" for name in group.columns[:_SHOWN])
    return names + (f" and {more} more" if more > 0 else "")


def _column_differences(expected: ColumnPrint, found: ColumnPrint) -> list[str]:
    name = f"`{expected.column}`"
    if expected.family != found.family:
        return [f"{name} is {found.type} instead of {expected.type}"]
    if expected.non_nulls != found.non_nulls:
        counts = f"{found.non_nulls:,} values that are not NULL instead of {expected.non_nulls:,}"
        return [f"{name} has {counts}"]
    if None in (expected.total, found.total) or expected.total == found.total:
        return []
    what = {"number": "the sum", "boolean": "the number of true values"}
    total = what.get(expected.family, "the checksum")
    return [f"{total} of {name} is {found.total} instead of {expected.total}"]


def hash64(content: bytes) -> int:
    """Return the last eight bytes of the MD5, the last of them counting most.

    That end is where DuckDB's number of a digest can be cut without writing it as text.
    """
    return int.from_bytes(hashlib.md5(content, usedforsecurity=False).digest()[8:], "little")


def remainder(number: int) -> int:
    """Return the remainder by `PRIME` with the number's sign, as SQL's `%` does."""
    return abs(number) % PRIME * (1 if number >= 0 else -1)


def weight(number: int) -> int:
    """Return what a date's or a timestamp's number adds to the total.

    With the square, two changes that cancel each other in a plain sum are seen: up by an hour
    here, down by an hour there.
    """
    return number + remainder(number) ** 2


def least_of(window: int) -> float:
    """Return the least positive double of a window; 0 is in window 0."""
    return math.ldexp(1.0, WINDOW_BITS * window - LEAST_BITS)


def double_parts(value: float) -> tuple[int, int, int]:
    """Return a double as two whole numbers and a window; 0.0 and -0.0 are the same.

    A finite double is (high + low / 2**62) * 2**(72 * window), exactly.
    """
    if math.isnan(value):
        return 1, 0, NOT_A_NUMBER
    if math.isinf(value):
        return (1 if value > 0 else -1), 0, INFINITE
    if value == 0:
        return 0, 0, 0
    exponent = math.frexp(value)[1]  # 2**(exponent - 1) <= |value| < 2**exponent
    window = (exponent + LEAST_BITS - 1) // WINDOW_BITS
    scaled = math.ldexp(value, -WINDOW_BITS * window)
    high = math.trunc(scaled)
    return high, math.trunc(math.ldexp(scaled - high, HALF_BITS)), window


def double_total(high: int, low: int, squares: int) -> int:
    """Return one number of a double column's three sums, each of less than 95 bits."""
    return (high << 192) + (low << 96) + squares


def double_square(high: int, low: int, window: int) -> int:
    """Return what a double adds to the third sum, which binds its parts together.

    Nothing in window 0, where the sums of the parts are the exact sum of the values.
    """
    return 0 if window == 0 else (remainder(high) + remainder(low) + window * WINDOW_WEIGHT) ** 2
