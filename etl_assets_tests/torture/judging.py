"""Say whether what a tool delivered is what MySQL holds, generously: the form may differ.

A number may arrive as its text, bytes as hexadecimal, a DATE as midnight, BIT(1) as true, a
FLOAT as any number that is the same float: nothing is lost by that. What may not differ is
the value, the number of records, and NULL.
"""

import base64
import binascii
import datetime as dt
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from etl_assets_tests.systems.mysql_cases import Case, PolicyCase, Refused, Value

_SHOWN = 40
Row = Sequence[tuple[str, object]]
"""A record's columns without `id`: name and value."""


def held(value: Value) -> object:
    """Return what MySQL holds."""
    match value:
        case Case():
            return value.expected
        case PolicyCase() | Refused():
            return value.held
    raise TypeError(value)


def judge(value: Value, arrived: Mapping[int, Row]) -> str:
    """Return `same`, with how if in another form, or `changed to …`.

    Args:
        value: What was to be copied.
        arrived: The records, by their `id`.
    """
    wanted = {1, 2} if value.nullable else {1}
    if set(arrived) != wanted:
        return f"changed to {len(arrived)} of {len(wanted)} records"
    if value.nullable and (beside := _filled(arrived[2])):
        return f"changed: the NULL beside it is {_short(beside[0][1])}"
    filled = _filled(arrived[1])
    if not filled:
        return "changed to NULL"
    if len(filled) > 1:
        return f"changed to {len(filled)} values"
    name, found = filled[0]
    how = _form(value, found)
    if how is None:
        return f"changed to {_short(found)}"
    moved = f" in `{name}`" if name != arrived[1][0][0] else ""
    return f"same{how}{moved}"


def _filled(row: Row) -> Row:
    return [(name, cell) for name, cell in row if cell is not None]


def _form(value: Value, found: object) -> str | None:
    """Return how a value arrived, nothing if as it should, None if it is another."""
    wanted = held(value)
    found = found.tobytes() if isinstance(found, memoryview) else found
    kind = re.split(r"[ (]", value.declared)[0]
    if not _SAME.get(kind, _same_text)(wanted, found):
        return None
    if isinstance(found, bytes) and not isinstance(wanted, bytes):
        return ", as bytes"
    return ", as text" if isinstance(found, str) and not isinstance(wanted, str) else ""


def _same_text(wanted: object, found: object) -> bool:
    return found == wanted


def _same_bytes(wanted: object, found: object) -> bool:
    return wanted in (found, _octets(found))


def _same_bits(wanted: object, found: object) -> bool:
    if isinstance(found, bytes):
        return int.from_bytes(found) == wanted
    return _same_number(wanted, found)


def _same_number(wanted: object, found: object) -> bool:
    number = _number(found)
    return number is not None and number == _number(wanted)


def _same_float(wanted: object, found: object) -> bool:
    one, other = _number(wanted), _number(found)
    if one is None or other is None:
        return False
    return one == other or struct.pack("f", float(one)) == struct.pack("f", float(other))


def _same_moment(wanted: object, found: object) -> bool:
    if isinstance(wanted, str):  # no calendar has it
        return str(found).removesuffix(".000000") == wanted.removesuffix(".000000")
    return _moment(found) == _moment(wanted)


def _same_amount(wanted: object, found: object) -> bool:
    return _seconds(found) == _seconds(wanted)


def _same_point(wanted: object, found: object) -> bool:
    octets = found if isinstance(found, bytes) else _octets(found)
    return found == wanted or (octets or b"").endswith(struct.pack("<2d", 1, 2))


_SAME: Mapping[str, Callable[[object, object], bool]] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT"), _same_number),
    **dict.fromkeys(("DECIMAL", "DOUBLE", "YEAR"), _same_number),
    **dict.fromkeys(("BINARY", "VARBINARY", "BLOB", "MEDIUMBLOB"), _same_bytes),
    **dict.fromkeys(("DATE", "DATETIME", "TIMESTAMP"), _same_moment),
    "BIT": _same_bits,
    "FLOAT": _same_float,
    "GEOMETRY": _same_point,
    "TIME": _same_amount,
}
"""MySQL type: whether two values of it are the same; texts for those not listed."""


def _octets(found: object) -> bytes | None:
    """Return the bytes that a text is, in hexadecimal or base64."""
    if not isinstance(found, str):
        return None
    try:
        return bytes.fromhex(found.removeprefix("0x").removeprefix("\\x"))
    except ValueError:
        try:
            return base64.b64decode(found, validate=True)
        except (binascii.Error, ValueError):
            return None


def _number(found: object) -> Decimal | None:
    try:
        return Decimal(str(int(found) if isinstance(found, bool) else found))
    except InvalidOperation:
        return None


def _moment(found: object) -> dt.datetime | None:
    """Return a date or time without a zone, in UTC."""
    if isinstance(found, str):
        try:
            found = dt.datetime.fromisoformat(re.sub(r" ?([+-]\d\d)$", r"\1:00", found.strip()))
        except ValueError:
            return None
    if isinstance(found, dt.datetime):
        return found.astimezone(dt.UTC).replace(tzinfo=None) if found.tzinfo else found
    if isinstance(found, dt.date):
        return dt.datetime.combine(found, dt.time())
    return None


def _seconds(found: object) -> Decimal | None:
    """Return an amount of time."""
    if isinstance(found, dt.timedelta):
        return Decimal(found // dt.timedelta(microseconds=1)) / 1_000_000
    if isinstance(found, dt.time):
        found = found.isoformat()
    match = re.fullmatch(r"(-?)(\d+):(\d\d):(\d\d(?:\.\d+)?)", str(found))
    if match is None:
        return None
    amount = int(match[2]) * 3600 + int(match[3]) * 60 + Decimal(match[4])
    return -amount if match[1] else amount


def _short(found: object) -> str:
    """Return a value as code of the page."""
    found = found.tobytes() if isinstance(found, memoryview) else found
    shown = repr(found) if isinstance(found, str | bytes) else str(found)
    return f"`{shown if len(shown) <= _SHOWN else f'{shown[:_SHOWN]}…'}`"
