"""Texts of a column become values of its type, exactly or not at all.

Each function takes the texts that are there, as a pandas Series, and returns an Arrow array of
the type, with null where a text is no such value, and the reasons by place.
"""

import datetime as dt
import math
import re
from collections.abc import Sequence
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from etl_assets.core.columns import MAX_TEXT_BYTES, ColumnType
from etl_assets.core.rules.normalize import Signs

Bad = dict[int, str]
"""Why the text at a place is none of the type."""

_BLANKS = "\u00a0\u202f "
_MINUS = "\u2212"
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
_RANGES = {"smallint": 15, "integer": 31, "bigint": 63}
_WIDEST = 38
_LONGEST_EXPONENT = 400
_ISO_DATE = ("%Y-%m-%d",)
_ISO_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")
_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
PLAIN = Signs(decimal=".")


def parse(
    texts: "pd.Series[str]", kind: ColumnType, signs: Signs, formats: tuple[str, ...] | None
) -> tuple[pa.Array, Bad]:
    """Return the values of texts, and what is wrong with those that are none."""
    if kind.is_text:
        return _texts(texts, kind)
    if kind.name == "boolean":
        return _booleans(texts)
    if kind.name in ("date", "timestamp"):
        return _moments(texts, kind, formats or _ISO_DATE)
    return _numbers(texts, kind, signs)


def plain_text(value: object, kind: ColumnType) -> str | None:
    """Return a value of a format's own type as the text that `parse` reads, plain and ISO.

    None where there is no such text, as of a list. A number of a spreadsheet has fifteen
    digits, which is what it shows; for a double all of them count.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and kind.name != "double" and math.isfinite(value):
        value = Decimal(format(value, ".15g"))
    if isinstance(value, Decimal) and value.is_finite():
        if abs(value.adjusted()) > _LONGEST_EXPONENT:  # 1e999999999 would fill the memory
            return str(value)
        whole = value.to_integral_value()  # unlike normalize(), it rounds to no precision
        return format(whole if value == whole else value, "f")
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return value.isoformat(sep=" ")
    return str(value) if isinstance(value, int | float | Decimal | dt.date | dt.time) else None


def _texts(texts: "pd.Series[str]", kind: ColumnType) -> tuple[pa.Array, Bad]:
    array = _arrow(texts)
    if kind.name == "varchar":
        length, most, unit = pc.utf8_length(array), kind.precision, "characters"
    else:
        length, most, unit = pc.binary_length(array), MAX_TEXT_BYTES, "bytes"
    wrong = pc.or_kleene(pc.greater(length, most), pc.match_substring(array, "\0"))
    bad = {}
    for place in _places(wrong):
        size = length[place].as_py()
        holds = f"has {size:,} {unit}, and {kind} holds {most:,}"
        bad[place] = holds if size > most else "holds a NUL character"
    return pc.if_else(wrong, None, array), bad


def _booleans(texts: "pd.Series[str]") -> tuple[pa.Array, Bad]:
    values = [_BOOLEANS.get(text) for text in texts.str.lower()]
    bad = {n: "is neither true nor false" for n, value in enumerate(values) if value is None}
    return pa.array(values, pa.bool_()), bad


def _numbers(texts: "pd.Series[str]", kind: ColumnType, signs: Signs) -> tuple[pa.Array, Bad]:
    array = pc.replace_substring(_arrow(texts), _MINUS, "-")
    group = _BLANKS if signs.group in _BLANKS and signs.group else signs.group
    between, point = f"[{re.escape(group)}]", re.escape(signs.decimal)
    whole = rf"\d{{1,3}}(?:{between}\d{{3}})+|\d+" if group else r"\d+"
    exponent = r"(?:[eE][+-]?\d{1,4})?" if kind.name == "double" else ""
    pattern = rf"^[+-]?(?:(?:{whole})(?:{point}\d*)?|{point}\d+){exponent}$"
    is_number = pc.match_substring_regex(array, pattern)
    plain = pc.if_else(is_number, array, None)
    if group:
        plain = pc.replace_substring_regex(plain, between, "")
    plain = pc.replace_substring(plain, signs.decimal, ".")
    bad = dict.fromkeys(_places(pc.invert(is_number)), "is not a number")
    if kind.name == "double":
        values = pc.cast(plain, pa.float64())
        wrong = pc.invert(pc.is_finite(values))
    elif kind.name == "decimal":
        values, wrong = _exact(plain, kind.precision, kind.scale)
    else:
        values, wrong = _exact(plain, _WIDEST, 0)
        bits = _RANGES[kind.name]
        low, high = Decimal(-(1 << bits)), Decimal((1 << bits) - 1)
        outside = pc.or_(pc.less(values, low), pc.greater(values, high))
        values = pc.cast(pc.if_else(outside, None, values), kind.arrow())
        wrong = pc.or_kleene(wrong, outside)
    for place in _places(wrong):
        bad.setdefault(place, f"is not exactly a value of {kind}")
    return pc.if_else(pc.fill_null(wrong, fill_value=False), None, values), bad


def _exact(plain: pa.Array, precision: int, scale: int) -> tuple[pa.Array, pa.Array]:
    """Return decimals of plain numbers, and which of them would have to be rounded or cut."""
    plain = pc.replace_substring_regex(plain, r"^([+-]?)0+(\d)", r"\1\2")
    pattern = rf"^[+-]?\d{{0,{precision - scale}}}(?:\.\d{{0,{scale}}}0*)?$"
    if precision == scale:
        pattern = pattern.replace(r"\d{0,0}", "0?")
    wrong = pc.invert(pc.match_substring_regex(plain, pattern))
    plain = pc.if_else(wrong, None, plain)
    plain = pc.replace_substring_regex(plain, rf"(\.\d{{0,{scale}}})0*$", r"\1")
    return pc.cast(plain, pa.decimal128(precision, scale)), wrong


def _moments(
    texts: "pd.Series[str]", kind: ColumnType, formats: Sequence[str]
) -> tuple[pa.Array, Bad]:
    written = [f + time for f in formats for time in _ISO_TIMES if time == "" or "%H" not in f]
    # pandas reads words such as `now` whatever the format, and leaves microseconds for finer ones
    readable = texts.str.contains(r"\d", regex=True) & ~texts.str.contains(r"\.\d{7}", regex=True)
    left = texts[readable]
    if list(formats) == list(_ISO_DATE):
        left = left.str.replace(r"^(\d{4}-\d\d-\d\d)T", r"\1 ", regex=True)
    found = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[us]")
    for one in written:
        zoned = left.str.contains(_ZONE.pattern, regex=True) & (kind.name == "timestamp")
        for with_zone, some in ((False, left[~zoned]), (True, left[zoned])):
            if some.empty or (with_zone and "%H" not in one):
                continue
            reading = one + "%z" if with_zone and "%z" not in one else one
            read = pd.to_datetime(some, format=reading, errors="coerce", utc=with_zone)
            if with_zone:
                read = read.dt.tz_localize(None)
            found[read.index] = found[read.index].fillna(read.astype("datetime64[us]"))
        left = left[found[left.index].isna()]
        if left.empty:
            break
    found[found.dt.year < 1] = pd.NaT  # pandas knows a year 0; no database does
    shown = " or ".join(formats)
    what = "a date" if kind.name == "date" else "a time"
    bad = {int(n): f"is not {what} written as {shown}" for n in found.index[found.isna()]}
    if kind.name == "date":
        timed = found.index[found.notna() & (found != found.dt.normalize())]
        bad |= {int(n): "has a time of day, which a date does not hold" for n in timed}
        found[timed] = pd.NaT
    return pa.array(found).cast(kind.arrow()), bad


def _arrow(texts: "pd.Series[str]") -> pa.Array:
    array = pa.array(texts, pa.string(), from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _places(mask: pa.Array) -> list[int]:
    found: list[int] = pc.indices_nonzero(pc.fill_null(mask, fill_value=False)).to_pylist()
    return found
