"""Checks of single fields against the type of the column they are loaded into.

A check takes the bytes of a field that is not NULL and returns the bytes to send in PostgreSQL's
text format, or raises FieldError with the code of Redshift's load error reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal

from etl_assets_tests.standins.redshift.copy_command import CopyCommand
from etl_assets_tests.standins.redshift.datetimes import date_parser, time_parser, timestamp_parser

Check = Callable[[bytes], bytes]
NULL = b"\\N"
_SPECIAL = re.compile(rb"[\\\t\n\r]")
_INTEGER = re.compile(rb"[+-]?\d+")
_DECIMAL = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)")
_FLOAT = re.compile(rb"[+-]?((\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|inf(inity)?)|nan", re.IGNORECASE)
_BOOLEANS = {
    **dict.fromkeys((b"t", b"true", b"y", b"yes", b"1"), b"t"),
    **dict.fromkeys((b"f", b"false", b"n", b"no", b"0"), b"f"),
}
_INTEGERS = {
    "int2": (2**15, "Short"),
    "int4": (2**31, "Integer"),
    "int8": (2**63, "Long"),
}
_MAX_SUPER = 16 * 1024 * 1024
_MAX_FLOAT4 = 3.4028235677973366e38


class FieldError(Exception):
    """A field that a cluster would not load.

    Attributes:
        code: The number in Redshift's load error reference.
        reason: The reason as the error tables show it.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Column:
    """A column of the table a COPY loads.

    Attributes:
        name: Its name.
        type_name: The type's name in PostgreSQL's catalog.
        modifier: The type modifier, -1 for none.
        not_null: Whether it refuses NULL.
        identity: How identity values are made: empty, `a` (always) or `d` (by default).
    """

    name: str
    type_name: str
    modifier: int
    not_null: bool
    identity: str

    @property
    def is_character(self) -> bool:
        """Whether an empty field is a text rather than NULL."""
        return self.type_name in ("varchar", "bpchar", "text")

    @property
    def precision_and_scale(self) -> tuple[int, int]:
        """The precision and scale of a NUMERIC."""
        packed = self.modifier - 4
        return (packed >> 16) & 0xFFFF, packed & 0x7FF

    @property
    def length(self) -> str:
        """The length as the error tables show it."""
        if self.modifier < 0:
            return ""
        if self.type_name == "numeric":
            return "{}, {}".format(*self.precision_and_scale)
        return str(self.modifier - 4) if self.is_character else ""

    @property
    def shown_type(self) -> str:
        """The type's name as the error tables show it."""
        return "char" if self.type_name == "bpchar" else self.type_name


def escape(raw: bytes) -> bytes:
    """Escape a value for PostgreSQL's COPY text format."""
    if _SPECIAL.search(raw) is None:
        return raw
    raw = raw.replace(b"\\", b"\\\\").replace(b"\t", b"\\t")
    return raw.replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def _shown(raw: bytes) -> str:
    return raw[:64].decode("utf-8", "replace")


def _invalid_digit(raw: bytes, kind: str) -> FieldError:
    bad = re.search(rb"[^0-9]", raw[1:] if raw[:1] in (b"+", b"-") else raw)
    position = bad.start() + (raw[:1] in (b"+", b"-")) if bad else 0
    digit = _shown(raw[position : position + 1])
    return FieldError(1207, f"Invalid digit, Value '{digit}', Pos {position}, Type: {kind}")


def _character(column: Column, command: CopyCommand) -> Check:
    limit = column.modifier - 4 if column.modifier > 0 else 65535
    fixed = column.type_name == "bpchar"
    trim, cut = "TRIMBLANKS" in command.flags, "TRUNCATECOLUMNS" in command.flags

    def check(raw: bytes) -> bytes:
        if fixed and not raw.isascii():
            bad = next(c for c in raw.decode("utf-8", "replace") if not c.isascii())
            shown = bad.encode().hex(" ")
            raise FieldError(
                1220,
                "Multibyte character not supported for CHAR "
                f"(Hint: Try using VARCHAR). Invalid char: {shown}",
            )
        if trim or fixed:
            raw = raw.rstrip(b" ")
        if len(raw) > limit:
            # Redshift cuts blanks that do not fit, but nothing else.
            if not raw[limit:].strip(b" "):
                raw = raw[:limit]
            elif cut:
                raw = raw[:limit].decode("utf-8", "ignore").encode()
            else:
                raise FieldError(1204, "String length exceeds DDL length")
        return escape(raw)

    return check


def _integer(column: Column, command: CopyCommand) -> Check:
    limit, kind = _INTEGERS[column.type_name]

    def check(raw: bytes) -> bytes:
        if _INTEGER.fullmatch(raw) is None:
            raise _invalid_digit(raw, kind)
        # Python refuses to convert very long digit texts, and they overflow anyway.
        if len(raw.lstrip(b"+-0")) > 19 or not -limit <= int(raw) < limit:
            raise FieldError(1222, f"Overflow for integer type: {kind}")
        return raw

    return check


def _numeric(column: Column, command: CopyCommand) -> Check:
    precision, scale = column.precision_and_scale if column.modifier > 0 else (38, 37)
    rounding = ROUND_HALF_UP if "ROUNDEC" in command.flags else ROUND_DOWN
    unit, bound = Decimal(f"1e-{scale}"), Decimal(f"1e{precision - scale}")
    context = Context(prec=2000)

    def check(raw: bytes) -> bytes:
        if _DECIMAL.fullmatch(raw) is None:
            raise _invalid_digit(raw, "Decimal")
        fraction = raw.partition(b".")[2]
        value = Decimal(raw.decode())
        if len(fraction) > scale and len(raw) < 1000:
            value = value.quantize(unit, rounding=rounding, context=context)
        if len(raw) >= 1000 or value.copy_abs() >= bound:
            raise FieldError(1209, f"Numeric overflow, precision {precision}, scale {scale}")
        return f"{value:f}".encode()

    return check


def _float(column: Column, command: CopyCommand) -> Check:
    kind = "Float" if column.type_name == "float4" else "Double"

    def check(raw: bytes) -> bytes:
        if _FLOAT.fullmatch(raw) is None:
            raise FieldError(1208, f"Invalid {kind.lower()} value '{_shown(raw)}'")
        value = abs(float(raw))
        named = raw.strip(b"+-").lower().startswith((b"inf", b"nan"))
        too_large = value == float("inf") or (kind == "Float" and value >= _MAX_FLOAT4)
        if too_large and not named:
            raise FieldError(1204, f"Value out of range for type {kind}")
        return raw

    return check


def _boolean(column: Column, command: CopyCommand) -> Check:
    def check(raw: bytes) -> bytes:
        value = _BOOLEANS.get(raw.lower())
        if value is None:
            raise FieldError(1210, f"Unknown boolean format '{_shown(raw)}'")
        return value

    return check


def _temporal(parse: Callable[[str], str], code: int, reason: str, accept_any: bool) -> Check:
    def check(raw: bytes) -> bytes:
        try:
            return parse(raw.decode("utf-8")).encode()
        except (ValueError, OverflowError):
            if accept_any:
                return NULL
            raise FieldError(code, reason) from None

    return check


def _date_or_time(column: Column, command: CopyCommand) -> Check:
    any_date = "ACCEPTANYDATE" in command.flags
    zoned = column.type_name.endswith("tz")
    if column.type_name == "date":
        parse_date = date_parser(command.date_format)
        layout = command.date_format or "YYYY-MM-DD"
        reason = f"Invalid Date Format - length must be 10 or match [{layout}]"
        return _temporal(lambda text: parse_date(text).isoformat(), 1205, reason, any_date)
    if column.type_name.startswith("timestamp"):
        layout = command.time_format or "YYYY-MM-DD HH24:MI:SS" + ("OF" if zoned else "")
        reason = f"Invalid timestamp format or value [{layout}]"
        parse = timestamp_parser(command.time_format, zoned)
        return _temporal(parse, 1206, reason, any_date)
    return _temporal(time_parser(zoned), 1206, "Invalid time format or value", False)


def _super(column: Column, command: CopyCommand) -> Check:
    def check(raw: bytes) -> bytes:
        if len(raw) > _MAX_SUPER:
            raise FieldError(1224, "SUPER value exceeds 16 MB")
        try:
            json.loads(raw)
        except ValueError as error:
            raise FieldError(1224, f"Invalid JSON for SUPER: {error}") from None
        return escape(raw)

    return check


def _binary(column: Column, command: CopyCommand) -> Check:
    def check(raw: bytes) -> bytes:
        try:
            bytes.fromhex(raw.decode("ascii"))
        except ValueError:
            raise FieldError(1207, "Invalid hexadecimal digit, Type: Varbyte") from None
        return b"\\\\x" + raw

    return check


def check_for(column: Column, command: CopyCommand) -> Check:
    """Return the check of a column's fields.

    Args:
        column: The column.
        command: The COPY, whose conversion options the check follows.
    """
    name = column.type_name
    if column.is_character:
        return _character(column, command)
    if name in _INTEGERS:
        return _integer(column, command)
    if name in ("date", "time", "timetz", "timestamp", "timestamptz"):
        return _date_or_time(column, command)
    makers = {
        "numeric": _numeric,
        "float4": _float,
        "float8": _float,
        "bool": _boolean,
        "super": _super,
        "jsonb": _super,
        "bytea": _binary,
    }
    # Any other type is PostgreSQL's to read; DDL refuses types Redshift does not have.
    return makers[name](column, command) if name in makers else escape
