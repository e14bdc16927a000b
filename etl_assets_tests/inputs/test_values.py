"""Numbers and dates are what a person would read, exactly, or the row is a bad one."""

import datetime as dt
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.core.columns import ColumnType
from etl_assets.core.rules.normalize import Signs
from etl_assets.inputs.values import PLAIN, Bad, parse, plain_text

GERMAN = Signs(decimal=",", group=".")
FRENCH = Signs(decimal=",", group="\u202f")
SWISS = Signs(decimal=".", group="\u2019")
SIGNS = st.sampled_from([PLAIN, GERMAN, FRENCH, SWISS, Signs(decimal=".", group=",")])


def values(
    texts: list[str], kind: str, signs: Signs = PLAIN, formats: tuple[str, ...] | None = None
) -> tuple[list[object], Bad]:
    array, bad = parse(pd.Series(texts, dtype="str"), ColumnType.parse(kind), signs, formats)
    assert array.type == ColumnType.parse(kind).arrow()
    return array.to_pylist(), bad


def written(number: Decimal, signs: Signs, *, grouped: bool) -> str:
    """Return a number as people of a locale write it."""
    text = f"{number:,f}" if grouped and signs.group else f"{number:f}"
    swapped = {",": signs.group, ".": signs.decimal}
    return "".join(swapped.get(character, character) for character in text)


@settings(max_examples=40)
@given(
    st.lists(st.decimals(-(10**27), 10**27, allow_nan=False, places=4), min_size=1, max_size=5),
    SIGNS,
    st.booleans(),
)
def test_a_decimal_of_any_locale_is_read_exactly(
    numbers: list[Decimal],
    signs: Signs,
    grouped: bool,  # noqa: FBT001
) -> None:
    texts = [written(number, signs, grouped=grouped) for number in numbers]
    assert values(texts, "decimal(38,4)", signs) == (numbers, {})


@settings(max_examples=40)
@given(st.decimals(-(10**9), 10**9, allow_nan=False, places=5))
def test_a_decimal_with_more_digits_than_its_type_is_never_rounded(number: Decimal) -> None:
    found, bad = values([f"{number:f}"], "decimal(12,2)")
    exact = number == round(number, 2)
    assert found == ([number] if exact else [None])
    assert list(bad) == ([] if exact else [0])


@settings(max_examples=40)
@given(st.integers(-(10**20), 10**20), st.sampled_from(["smallint", "integer", "bigint"]))
def test_a_whole_number_fits_its_type_or_is_bad(number: int, kind: str) -> None:
    bits = {"smallint": 15, "integer": 31, "bigint": 63}[kind]
    fits = -(1 << bits) <= number < (1 << bits)
    assert values([str(number)], kind)[0] == [number if fits else None]


@settings(max_examples=40)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_the_one_that_was_written(number: float) -> None:
    assert values([repr(number)], "double") == ([number], {})


@settings(max_examples=40)
@given(st.integers(-(10**37), 10**37) | st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_of_a_format_that_has_numbers_is_not_rounded_either(
    number: int | Decimal,
) -> None:
    text = plain_text(number, ColumnType.parse("decimal(38,0)"))
    assert text is not None
    assert Decimal(text) == number


@pytest.mark.parametrize(
    ("text", "signs", "value"),
    [
        ("1.234", GERMAN, Decimal(1234)),
        ("1.234.567,8", GERMAN, Decimal("1234567.8")),
        ("1 234,5", FRENCH, Decimal("1234.5")),
        ("1\u00a0234,5", FRENCH, Decimal("1234.5")),
        ("\u22125,5", GERMAN, Decimal("-5.5")),
        ("+5", PLAIN, Decimal(5)),
        ("007", PLAIN, Decimal(7)),
        (".5", PLAIN, Decimal("0.5")),
        ("5.", PLAIN, Decimal(5)),
        ("1.0000000", PLAIN, Decimal(1)),
    ],
)
def test_numbers_as_people_write_them(text: str, signs: Signs, value: Decimal) -> None:
    assert values([text], "decimal(12,2)", signs)[0] == [value]


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        ("1.5", GERMAN), ("1,234.5", GERMAN), ("12.34,5", GERMAN), ("1.2345", GERMAN),
        ("1,5", PLAIN), ("1 234", PLAIN), ("1e3", PLAIN), ("0x10", PLAIN), ("1-", PLAIN),
        ("(5)", PLAIN), ("5%", PLAIN), ("€5", PLAIN), ("--5", PLAIN), (".", PLAIN), ("", PLAIN),
        ("NaN", PLAIN), ("inf", PLAIN), ("١٢", PLAIN), ("1_000", PLAIN), ("12345678901", PLAIN),
    ],
)  # fmt: skip
def test_what_a_locale_does_not_write_so_is_bad(text: str, signs: Signs) -> None:
    found, bad = values([text], "decimal(12,2)", signs)
    assert found == [None]
    assert list(bad) == [0]


FORMATS = ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y%m%d"]


@settings(max_examples=40)
@given(st.lists(st.dates(), min_size=1, max_size=5), st.sampled_from(FORMATS))
def test_a_date_is_the_one_that_was_written(dates: list[dt.date], written_as: str) -> None:
    texts = [_format(day, written_as) for day in dates]
    assert values(texts, "date", formats=(written_as,)) == (dates, {})


def _format(day: dt.date, written_as: str) -> str:
    return day.strftime(written_as.replace("%Y", f"{day.year:04}"))


@settings(max_examples=40)
@given(st.lists(st.datetimes(), min_size=1, max_size=5))
def test_a_time_keeps_its_microseconds(moments: list[dt.datetime]) -> None:
    for separator in (" ", "T"):
        texts = [moment.isoformat(sep=separator) for moment in moments]
        assert values(texts, "timestamp") == (moments, {})


def test_a_zone_is_taken_into_account() -> None:
    texts = ["2017-01-01T02:00:00+02:00", "2017-01-01 00:00Z", "2017-01-01 00:00:00.5"]
    midnight = dt.datetime(2017, 1, 1)  # noqa: DTZ001
    half = midnight + dt.timedelta(microseconds=500_000)
    assert values(texts, "timestamp") == ([midnight, midnight, half], {})


def test_formats_are_tried_in_their_order() -> None:
    found, _ = values(
        ["31.12.2017", "2017-12-30", "31.12.17"], "date", formats=("%d.%m.%Y", "%Y-%m-%d")
    )
    assert found == [dt.date(2017, 12, 31), dt.date(2017, 12, 30), None]


@pytest.mark.parametrize(
    "text",
    ["now", "today", "NaT", "2017-02-29", "2017-13-01", "17-01-01", "2017-01-01 12:00", "20170101",
     "2017-01-01 00:00:00.0000001", "", "0000-01-01", "12345-01-01", "2017-01-01Z"],
)  # fmt: skip
def test_what_is_no_date_is_bad(text: str) -> None:
    assert values([text], "date")[0] == [None]


def test_a_day_with_a_time_is_told_apart_from_no_date_at_all() -> None:
    assert values(["2017-01-01 00:00"], "date") == ([dt.date(2017, 1, 1)], {})
    assert values(["2017-01-01 00:01"], "date")[1] == {
        0: "has a time of day, which a date does not hold"
    }


def test_booleans_are_words_or_digits() -> None:
    found, bad = values(["TRUE", "f", "1", "no", "2", "wahr"], "boolean")
    assert found == [True, False, True, False, None, None]
    assert list(bad) == [4, 5]


@settings(max_examples=40)
@given(st.text(max_size=30))
def test_a_text_is_kept_or_is_too_long(text: str) -> None:
    found, _ = values([text], "varchar(10)")
    assert found == [text if len(text) <= 10 and "\0" not in text else None]


def test_texts_of_more_bytes_than_any_warehouse_holds_are_bad() -> None:
    found, bad = values(["ü" * 32_767, "ü" * 32_768], "text")
    assert found[1] is None
    assert bad == {1: "has 65,536 bytes, and text holds 65,535"}
