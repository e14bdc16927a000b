"""When a value fits a type, and a cast in DuckDB changes nothing but the type.

DuckDB's TRY_CAST succeeds where it had to change the value: '1.5' becomes the integer 2,
1.555 the decimal 1.56, '2017-01-01 10:00:00' the date alone, '17-01-05' a day of the year
17, and a varchar's length is not enforced. So success alone proves nothing.
"""

import datetime as dt
import decimal
from decimal import Decimal, InvalidOperation

from etl_assets.core.columns import ColumnType
from etl_assets.core.sql import quote_literal

_MORE_DIGITS = 200  # than any type has
_BLANKS = r"\s*"
_DAY = r"\d{4}[-/]\d{1,2}[-/]\d{1,2}"
_UTC = r"(Z|\+00(:?00)?)?"
_FINITE = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_SHORT_EXPONENT = r"[+-]?[\d.]{1,15}[eE][+-]?\d+"
"""A number with an exponent, of so few digits that a DOUBLE tells it from its neighbours."""


def exact_cast(value: str, made: str, old: ColumnType, new: ColumnType) -> str:
    """Return the SQL condition that a cast was exact; anything but true means it was not.

    Args:
        value: The SQL of the value, not NULL, of type `old`.
        made: The SQL of its TRY_CAST to `new`.
        old: The type it has.
        new: The type it gets.
    """
    if new.name == "varchar":
        return f"length({made}) <= {new.precision}"
    if old.is_text and not new.is_text:
        return f"{made} IS NOT NULL AND {_text_is_exact(value, made, new)}"
    if not old.is_text and not new.is_text:
        return f"TRY_CAST({made} AS {old.duckdb}) = {value}"
    return f"{made} IS NOT NULL"


def holds(kind: ColumnType, text: str) -> bool:
    """Return whether a value written in a document is, as it stands, a value of the type."""
    if kind.is_text:
        return kind.name == "text" or len(text) <= kind.precision
    if kind.name == "boolean":
        return text in ("true", "false")
    try:
        if kind.name == "date":
            return dt.date.fromisoformat(text).isoformat() == text
        if kind.name == "timestamp":
            return dt.datetime.fromisoformat(text).tzinfo is None
        return _holds_number(kind, Decimal(text))
    except (ValueError, InvalidOperation):
        return False


def _holds_number(kind: ColumnType, number: Decimal) -> bool:
    if not number.is_finite() or kind.name in ("double", "real"):
        return number.is_finite()
    with decimal.localcontext(prec=_MORE_DIGITS):
        scaled = number.scaleb(kind.scale)
        if scaled != scaled.to_integral_value():
            return False
    bits = {"smallint": 15, "integer": 31, "bigint": 63}.get(kind.name)
    if bits:
        return -(1 << bits) <= number < 1 << bits
    return abs(int(scaled)) < int("1" + "0" * kind.precision)


def _text_is_exact(value: str, made: str, new: ColumnType) -> str:
    if new.name == "date":
        return _matches(value, rf"{_DAY}([ T]00:00(:00(\.0+)?)?)?")
    if new.name == "timestamp":
        return _matches(value, rf"{_DAY}([ T]\d{{1,2}}:\d{{2}}(:\d{{2}}(\.\d{{1,6}}0*)?)?{_UTC})?")
    if new.name in ("double", "real"):
        return f"isfinite({made}) AND {_matches(value, _FINITE)}"
    if new.name == "boolean":
        return "true"
    plain = _matches(value, rf"[+-]?\d*(\.\d{{0,{new.scale}}}0*)?")
    short = _matches(value, _SHORT_EXPONENT)
    return f"({plain} OR ({short} AND TRY_CAST({value} AS DOUBLE) = CAST({made} AS DOUBLE)))"


def _matches(value: str, pattern: str) -> str:
    return f"regexp_full_match({value}, {quote_literal(_BLANKS + pattern + _BLANKS)})"
