"""Two copies that differ must never have the same fingerprint, and equal ones always."""

import datetime as dt
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.core import fingerprint as core
from etl_assets.core.columns import ColumnType
from etl_assets.core.fingerprint import ColumnPrint, Fingerprint, differences
from etl_assets_tests.prints import COLUMNS, records, reference


def column(kind: str, total: str | None, *, name: str = "a", non_nulls: int = 3) -> ColumnPrint:
    return ColumnPrint(column=name, type=ColumnType.parse(kind), non_nulls=non_nulls, total=total)


def of(*columns: ColumnPrint, count: int = 3) -> Fingerprint:
    return Fingerprint(records=count, columns=columns)


@pytest.mark.parametrize(
    ("kind", "total", "other", "same"),
    [
        ("decimal(12,2)", "1.50", "decimal(12,4)", "1.5000"),
        ("integer", "3", "decimal(12,2)", "3.00"),
        ("decimal(38,37)", "-0." + "0" * 37, "bigint", "0"),
        ("varchar(40)", "17", "text", "17"),
        ("real", "-5", "double", "-5"),
        ("bigint", "1200", "bigint", "1200"),
        ("date", None, "date", "7"),
    ],
)
def test_equal_content_is_equal_whatever_its_width(
    kind: str, total: str | None, other: str, same: str
) -> None:
    assert differences(of(column(kind, total)), of(column(other, same))) == []
    if total is not None:
        assert of(column(kind, total)).digest == of(column(other, same)).digest


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (of(column("bigint", "4")), "the sum of `a` is 4 instead of 3"),
        (of(column("bigint", "3"), count=4), "4 records instead of 3"),
        (
            of(column("bigint", "3", non_nulls=2)),
            "`a` has 2 values that are not NULL instead of 3",
        ),
        (of(column("text", "3")), "`a` is text instead of bigint"),
        (of(), "no `a`"),
        (
            of(column("bigint", "3"), column("bigint", "3", name="b")),
            "`b`, which is not expected",
        ),
    ],
)
def test_a_difference_names_the_column_and_both_figures(found: Fingerprint, said: str) -> None:
    expected = of(column("bigint", "3"))
    assert differences(expected, found) == [said]
    assert expected.digest != found.digest


def test_the_order_of_columns_does_not_matter() -> None:
    one, other = column("bigint", "3"), column("text", "9", name="b")
    assert differences(of(one, other), of(other, one)) == []
    assert of(one, other).digest == of(other, one).digest
    assert of(one, other).only({"b"}) == of(other)


@pytest.mark.parametrize("total", ["nan", "Infinity", "1,5", ""])
def test_a_total_that_is_no_exact_number_is_refused(total: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        column("bigint", total)


@given(records(COLUMNS), st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(
    found: list[dict[str, object]], chance: random.Random
) -> None:
    shuffled = list(found)
    chance.shuffle(shuffled)
    assert reference(COLUMNS, found).digest == reference(COLUMNS, shuffled).digest


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_its_two_parts_exactly(value: float) -> None:
    high, low, window = core.double_parts(value)
    assert abs(high) < 2**62
    assert abs(low) < 2**62
    parts = Fraction(high) + Fraction(low, 2**62)
    assert parts * Fraction(2) ** (72 * window) == Fraction(value)


def test_what_a_value_adds_is_as_documented() -> None:
    assert core.hash64(b"") == 0x7E42F8EC980980E9  # d41d8cd98f00b204 e9800998ecf8427e
    assert core.weight(2) == 2 + 4
    assert core.weight(-2) == -2 + 4
    assert core.weight(core.PRIME + 2) == core.PRIME + 2 + 4
    day = dt.date(1969, 12, 31).toordinal() - dt.date(1970, 1, 1).toordinal()
    assert core.weight(day) == 0
    assert core.double_parts(-0.0) == core.double_parts(0.0)
    assert len({core.double_parts(v) for v in (math.inf, -math.inf, math.nan, 1.0)}) == 4
