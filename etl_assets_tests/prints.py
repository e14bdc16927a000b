"""Fingerprints by hand: from Python values, without the code that is tested."""

import datetime as dt
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import partial

from hypothesis import strategies as st

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.fingerprint import ColumnPrint, Fingerprint, GroupPrint
from etl_assets.core.fingerprint_groups import Group, groups_of

P = 1073741789
EPOCH = dt.datetime.fromisoformat("1970-01-01")
WHOLE = 2**62

KINDS = (
    "boolean", "smallint", "integer", "bigint", "decimal(5,2)", "decimal(12,4)", "decimal(15,0)",
    "decimal(28,10)", "decimal(29,0)", "decimal(38,0)", "decimal(38,37)", "decimal(37,37)",
    "real", "double", "varchar(40)", "text", "binary", "date", "timestamp",
)  # fmt: skip
COLUMNS = tuple(Column(name=f"v{n}", type=ColumnType.parse(kind)) for n, kind in enumerate(KINDS))

_TEXTS = (
    "",
    " ",
    "a",
    "A",
    "NULL",
    r"\N",
    '"',
    "''",
    "a,b\n",
    "grün",
    "😀",
    "0",
    "\\",
    "\t",
    "e\u0301",
)
_DOUBLES = (
    0.0, -0.0, 1.0, -1.5, 0.1, math.pi, 5e-324, -5e-324, 2.2250738585072014e-308, 2.0**-10,
    -(2.0**-11), 2.0**62, 2.0**62 - 512, -(2.0**63), 2.0**53 + 1, 1e-19, 1e19, 1e300, -1e-300,
    1.7976931348623157e308, -1.7976931348623157e308, 4294967295.5, 2147483647.0,
)  # fmt: skip
_BYTES = (b"", b"\0", b"\xff\x00", b"a" * 64, b"a" * 65, b"\x80" * 65_535, b"a" * 32_768)
_UNBOUNDED = (math.inf, -math.inf, math.nan)
_REALS = (0.0, -0.0, 1.5, 0.10000000149011612, 2.0**-149, -(2.0**-126), 3.4028234663852886e38)
_MOMENTS = tuple(
    dt.datetime.fromisoformat(text)
    for text in (
        "0001-01-01", "1582-10-10T12:00", "1969-12-31T23:59:59.999999", "1970-01-01",
        "2017-03-26T02:30:00.000001", "9999-12-31T23:59:59.999999",
    )
)  # fmt: skip


def reference(
    columns: Sequence[Column],
    records: Sequence[Mapping[str, object]],
    groups: Iterable[Group] | None = None,
) -> Fingerprint:
    """Return the fingerprint of records of Python values, in the groups that are made of them."""
    prints = []
    together = []
    for group in groups_of(columns) if groups is None else groups:
        texts = ["\x1f".join(_cell(r[name]) for name in group) for r in records]
        hashes = sum(_hash(text.encode()) for text in texts)
        together.append(GroupPrint(columns=group, total=str(hashes)))
    for column in columns:
        values = [r[column.name] for r in records if r[column.name] is not None]
        whole = column.type.is_text or column.type.name == "binary"
        total = None if whole else str(_total(column.type, values))
        prints.append(
            ColumnPrint(column=column.name, type=column.type, non_nulls=len(values), total=total)
        )
    return Fingerprint(records=len(records), columns=tuple(prints), groups=tuple(together))


def same(one: Fingerprint, other: Fingerprint) -> bool:
    """Return whether two fingerprints say the same, in whatever sequence."""
    return (
        one.records == other.records
        and {c.column: c for c in one.columns} == {c.column: c for c in other.columns}
        and set(one.groups) == set(other.groups)
    )


def _cell(value: object) -> str:
    if value is None:
        return "\x1e"
    if not isinstance(value, bytes):
        return str(value)
    if len(value) <= 64:
        return value.hex()
    halves = (value[:32767].hex(), value[32767:].hex())
    return "\x1f".join(
        hashlib.md5(half.encode(), usedforsecurity=False).hexdigest() for half in halves
    )


def _total(kind: ColumnType, values: Sequence[object]) -> int | Decimal:
    if kind.name == "date":
        days = [v.toordinal() - 719163 for v in values if isinstance(v, dt.date)]
        return sum(n + _rest(n) ** 2 for n in days)
    if kind.name == "timestamp":
        moments = [v for v in values if isinstance(v, dt.datetime)]
        spans = [(v - EPOCH) // dt.timedelta(microseconds=1) for v in moments]
        return sum(n + _rest(n) ** 2 for n in spans)
    if kind.name in ("real", "double"):
        return _doubles([v for v in values if isinstance(v, float)])
    with localcontext(prec=200):
        return sum((Decimal(str(int(v) if isinstance(v, bool) else v)) for v in values), Decimal(0))


def _doubles(values: Sequence[float]) -> int:
    highs = lows = rest = 0
    for value in values:
        window = 0
        if math.isfinite(value):
            exact = Fraction(value)
            while abs(exact) >= WHOLE:
                exact, window = exact / 2**72, window + 1
            while 0 < abs(exact) < Fraction(1, 1024):
                exact, window = exact * 2**72, window - 1
        else:
            exact = Fraction(-1 if value == -math.inf else 1)
            window = 99 if math.isnan(value) else 98
        high = math.trunc(exact)
        low = (exact - high) * WHOLE
        assert low.denominator == 1
        highs, lows = highs + high, lows + int(low)
        if window:
            rest += (_rest(high) + _rest(int(low)) + window * 1000003) ** 2
    return highs * 2**192 + lows * 2**96 + rest


def _hash(text: bytes) -> int:
    digits = hashlib.md5(text, usedforsecurity=False).hexdigest()
    pairs = [digits[at : at + 2] for at in range(30, 14, -2)]
    return int("".join(pairs), 16)


def _rest(number: int) -> int:
    return number % P if number >= 0 else -(-number % P)


def values(kind: ColumnType, *, unbounded: bool = False) -> st.SearchStrategy[object]:
    """Return values of a type, nasty ones often; NULL too.

    Args:
        kind: The type.
        unbounded: Whether doubles may be infinite or no number.
    """
    return st.none() | _values(kind, unbounded=unbounded)


def records(
    columns: Sequence[Column], *, unbounded: bool = False, most: int = 12
) -> st.SearchStrategy[list[dict[str, object]]]:
    """Return some records of the columns, or none."""
    record = st.fixed_dictionaries({c.name: values(c.type, unbounded=unbounded) for c in columns})
    return st.lists(record, max_size=most)


def _values(kind: ColumnType, *, unbounded: bool) -> st.SearchStrategy[object]:
    if kind.is_integer:
        most = 2 ** {"smallint": 15, "integer": 31, "bigint": 63}[kind.name]
        return st.sampled_from((0, -1, most - 1, -most)) | st.integers(-most, most - 1)
    if kind.name == "decimal":
        most = 10**kind.precision - 1
        whole = st.sampled_from((0, -1, most, -most)) | st.integers(-most, most)
        return whole.map(lambda n: _decimal(n, kind.scale))
    if kind.is_text:
        letters = st.characters(codec="utf-8", exclude_characters="\0")
        return st.sampled_from(_TEXTS) | st.text(letters, max_size=20)
    if kind.name == "date":
        return st.sampled_from(_MOMENTS).map(dt.datetime.date) | st.dates()
    if kind.name in ("real", "double"):
        nasty = _DOUBLES if kind.name == "double" else _REALS
        known = st.sampled_from((*nasty, *_UNBOUNDED) if unbounded else nasty)
        more = partial(st.floats, allow_nan=unbounded, allow_infinity=unbounded)
        return known | (more(width=64) if kind.name == "double" else more(width=32))
    return {
        "boolean": st.booleans(),
        "binary": st.sampled_from(_BYTES) | st.binary(max_size=100),
        "timestamp": st.sampled_from(_MOMENTS) | st.datetimes(),
    }[kind.name]


def _decimal(whole: int, scale: int) -> Decimal:
    with localcontext(prec=60):
        return Decimal(whole).scaleb(-scale)
