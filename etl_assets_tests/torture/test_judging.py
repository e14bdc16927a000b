"""A judge that is too strict slanders the others, and one that is too mild flatters them."""

import base64
import datetime as dt
from decimal import Decimal

import pytest

from etl_assets_tests.systems.mysql_cases import ALL_BYTES, VALUES
from etl_assets_tests.torture.judging import Row, judge

BY_ID = {value.id: value for value in VALUES}
_AT = dt.datetime(2017, 3, 26, 1, 30, 0, 1, tzinfo=dt.UTC)
_INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))


def judged(value: str, found: object) -> str:
    rows: dict[int, Row] = {1: [("v", found)], 2: [("v", None)]}
    return judge(BY_ID[value], rows if BY_ID[value].nullable else {1: rows[1]})


@pytest.mark.parametrize(
    ("value", "found", "outcome"),
    [
        ("int-unsigned-max", 4294967295, "same"), ("int-unsigned-max", Decimal(4294967295), "same"),
        ("int-unsigned-max", 4294967295.0, "same"), ("int-unsigned-max", "4294967295", "same, as text"),
        ("null-among-large-integers", 9007199254740992.0, "changed to `9007199254740992.0`"),
        ("int-unsigned-max", -1, "changed to `-1`"), ("int-unsigned-max", "all", "changed to `'all'`"),
        ("tinyint1-of-two", True, "changed to `True`"), ("bit1", True, "same"), ("bit8", b"\xff", "same, as bytes"),
        ("bit8", "\ufffd", "changed to `'\ufffd'`"),
        ("decimal-38-30-negative", -12345678.123456789, "changed to `-12345678.12345679`"),
        ("decimal-65-30", "-1e+35", "changed to `'-1e+35'`"),
        ("float-tenth", 0.1, "same"), ("float-16777217", 16777200.0, "changed to `16777200.0`"),
        ("double-of-a-sum", 0.3, "changed to `0.3`"), ("double-of-a-sum", "0.30000000000000004", "same, as text"),
        ("date-of-year-1", dt.datetime(1, 1, 1, tzinfo=dt.UTC), "same"), ("date-of-year-1", "0001-01-01", "same, as text"),
        ("date-of-year-1", "0001-01-01 BC", "changed to `'0001-01-01 BC'`"),
        ("timestamp-in-utc", _AT, "same"), ("timestamp-in-utc", _AT.astimezone(_INDIA), "same"),
        ("timestamp-in-utc", "2017-03-26 01:30:00.000001 +00", "same, as text"),
        ("timestamp-in-utc", _AT.replace(tzinfo=_INDIA), "changed to `2017-03-26 01:30:00.000001+05:30`"),
        ("zero-date", "0000-00-00", "same"), ("zero-date", None, "changed to NULL"),
        ("zero-timestamp", "0000-00-00 00:00:00", "same"), ("month-zero", dt.date(2020, 12, 15), "changed to `2020-12-15`"),
        ("time-minus-a-second", dt.timedelta(seconds=-1), "same"), ("time-minus-a-second", "-00:00:01.000000", "same"),
        ("time-minus-a-second", dt.time(23, 59, 59), "changed to `23:59:59`"),
        ("time-838-hours", "34 days 22:59:59", "changed to `'34 days 22:59:59'`"),
        ("varbinary-every-byte", memoryview(ALL_BYTES), "same"), ("varbinary-every-byte", ALL_BYTES.hex(), "same, as text"),
        ("varbinary-every-byte", base64.b64encode(ALL_BYTES).decode(), "same, as text"),
        ("blob-empty", b"", "same"), ("binary-padded", "b'\\x01'", "changed to `\"b'\\\\x01'\"`"),
        ("geometry", "POINT(1 2)", "same"), ("geometry", b"POINT", "changed to `b'POINT'`"),
        ("text-blanks", "", "changed to `''`"), ("empty-beside-null", None, "changed to NULL"),
        ("text-of-80000-bytes", "é" * 32767, f"changed to `'{'é' * 39}…`"),
    ],
)  # fmt: skip
def test_the_value_counts_and_not_its_form(value: str, found: object, outcome: str) -> None:
    assert judged(value, found) == outcome


def test_records_and_the_null_beside_a_value_count_too() -> None:
    value = BY_ID["null-among-integers"]
    assert judge(value, {1: [("v", 1)]}) == "changed to 1 of 2 records"
    assert judge(value, {1: [("v", 1)], 2: [("v", 0)]}) == "changed: the NULL beside it is `0`"


def test_a_value_in_another_column_is_kept_and_in_two_is_not() -> None:
    null: Row = [("v", None), ("v_text", None)]
    kept: dict[int, Row] = {1: [("v", None), ("v_text", "0000-00-00")], 2: null}
    assert judge(BY_ID["zero-date"], kept) == "same in `v_text`"
    twice: dict[int, Row] = {1: [("v", "0000-00-00"), ("v_text", "0000-00-00")], 2: null}
    assert judge(BY_ID["zero-date"], twice) == "changed to 2 values"
