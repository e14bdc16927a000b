"""Values that have gone wrong between MySQL and a warehouse, each by name, with what is right.

`peer` is the number of the case in the list of what other tools get wrong.
"""

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal

EMOJI_JSON = '{"n": 9007199254740993, "a": 1, "a": 2, "e": "😀"}'
ALL_BYTES = bytes(range(256))


@dataclass(frozen=True)
class Case:
    """One column with one value.

    Attributes:
        id: Names the case.
        declared: The column's MySQL type.
        value: SQL of the value.
        kind: Our type for it.
        expected: The value after the extract.
        peer: See above; 0 for those it does not list.
    """

    id: str
    declared: str
    value: str
    kind: str
    expected: object
    peer: int = 0


@dataclass(frozen=True)
class PolicyCase:
    """One column with one value that cannot be kept as it is.

    Attributes:
        policies: What the document says.
        kind: Our type then; None when the campaign fails.
        expected: The value after the extract; unset when the record is rejected.
        touched: (policy, outcome), when something was touched.
    """

    id: str
    declared: str
    value: str
    policies: dict[str, str]
    kind: str | None
    expected: object = None
    touched: tuple[str, str] | None = None
    peer: int = field(default=0)


def _text(value: str) -> str:
    """Return SQL for a text, whatever it holds."""
    return f"CONVERT(X'{value.encode().hex()}' USING utf8mb4)" if value else "''"


_MOMENT = dt.datetime  # naive: MySQL's DATETIME has no zone

CASES = (
    Case("bigint-unsigned-max", "BIGINT UNSIGNED", "18446744073709551615", "decimal(20,0)",
         Decimal(18446744073709551615), 6),
    Case("bigint-min", "BIGINT", "-9223372036854775808", "bigint", -9223372036854775808),
    Case("int-unsigned-max", "INT UNSIGNED", "4294967295", "bigint", 4294967295, 7),
    Case("int-zerofill", "INT(8) UNSIGNED ZEROFILL", "42", "bigint", 42),
    Case("mediumint-unsigned-max", "MEDIUMINT UNSIGNED", "16777215", "integer", 16777215),
    Case("mediumint-min", "MEDIUMINT", "-8388608", "integer", -8388608),
    Case("smallint-unsigned-max", "SMALLINT UNSIGNED", "65535", "integer", 65535),
    Case("tinyint-unsigned-max", "TINYINT UNSIGNED", "255", "smallint", 255, 7),
    Case("tinyint1-of-two", "TINYINT(1)", "2", "smallint", 2, 8),
    Case("tinyint1-of-minus-one", "TINYINT(1)", "-1", "smallint", -1, 8),
    Case("null-among-integers", "INT", "NULL", "integer", None, 12),
    Case("bit1", "BIT(1)", "b'1'", "smallint", 1, 9),
    Case("bit8", "BIT(8)", "b'11111111'", "smallint", 255, 9),
    Case("bit63", "BIT(63)", "(1 << 63) - 1", "bigint", (1 << 63) - 1, 9),
    Case("bit64-all-ones", "BIT(64)", f"b'{'1' * 64}'", "decimal(20,0)", Decimal((1 << 64) - 1), 9),
    Case("decimal-38-37-negative", "DECIMAL(38,30)", "-12345678.123456789012345678901234567891",
         "decimal(38,30)", Decimal("-12345678.123456789012345678901234567891"), 10),
    Case("decimal-38-38", "DECIMAL(38,38)", "0.00000000000000000000000000000000000001",
         "decimal(38,38)", Decimal("1E-38"), 10),
    Case("decimal-65-30", "DECIMAL(65,30)",
         "-99999999999999999999999999999999999.999999999999999999999999999999", "varchar(68)",
         "-99999999999999999999999999999999999.999999999999999999999999999999", 10),
    Case("decimal-unsigned-zerofill", "DECIMAL(8,2) UNSIGNED ZEROFILL", "1.5", "decimal(8,2)",
         Decimal("1.50")),
    Case("float-16777217", "FLOAT", "16777217", "double", 16777216.0, 11),
    Case("float-tenth", "FLOAT", "0.1", "double", 0.10000000149011612, 11),
    Case("float-smallest", "FLOAT", "1e-45", "double", 1.401298464324817e-45, 11),
    Case("float-negative-zero", "FLOAT", "-0e0", "double", 0.0, 11),  # MariaDB shows no sign
    Case("float-of-three-decimals", "FLOAT(7,3)", "1.1", "double", 1.100000023841858, 11),
    Case("double-of-a-sum", "DOUBLE", "0.1e0 + 0.2e0", "double", 0.30000000000000004, 11),
    Case("double-largest", "DOUBLE", "1.7976931348623157e308", "double", 1.7976931348623157e308),
    Case("double-smallest", "DOUBLE", "5e-324", "double", 5e-324),
    Case("json-verbatim", "JSON", _text(EMOJI_JSON), "text", EMOJI_JSON, 13),
    Case("enum-label", "ENUM('small','large')", "'large'", "varchar(5)", "large", 14),
    Case("enum-invalid", "ENUM('small','large')", "''", "varchar(5)", "", 14),
    Case("set-of-two", "SET('a','b','c')", "'a,c'", "varchar(5)", "a,c", 14),
    Case("year-zero", "YEAR", "0", "smallint", 0, 15),
    Case("year-1901", "YEAR", "1901", "smallint", 1901, 15),
    Case("varbinary-every-byte", "VARBINARY(256)", f"X'{ALL_BYTES.hex()}'", "binary", ALL_BYTES, 16),
    Case("blob-empty", "BLOB", "''", "binary", b"", 16),
    Case("blob-null", "BLOB", "NULL", "binary", None, 16),
    Case("binary-padded", "BINARY(4)", "X'01'", "binary", b"\x01\0\0\0", 16),
    Case("date-of-year-1", "DATE", "'0001-01-01'", "date", dt.date(1, 1, 1)),
    Case("date-of-year-9999", "DATE", "'9999-12-31'", "date", dt.date(9999, 12, 31)),
    Case("datetime-microsecond", "DATETIME(6)", "'9999-12-31 23:59:59.999999'", "timestamp",
         _MOMENT(9999, 12, 31, 23, 59, 59, 999999), 17),
    Case("datetime-in-a-gap", "DATETIME", "'2017-03-26 02:30:00'", "timestamp",
         _MOMENT(2017, 3, 26, 2, 30), 17),
    Case("datetime-of-year-1", "DATETIME", "'0001-01-01 00:00:00'", "timestamp",
         _MOMENT(1, 1, 1)),
    Case("time-838-hours", "TIME(6)", "'-838:59:58.999999'", "varchar(17)", "-838:59:58.999999"),
    Case("time-plain", "TIME", "'25:00:01'", "varchar(17)", "25:00:01"),
    Case("empty-text", "VARCHAR(40) NOT NULL", "''", "varchar(40)", "", 18),
    Case("null-text", "VARCHAR(40)", "NULL", "varchar(40)", None, 18),
    *(
        Case(f"text-{name}", "VARCHAR(40)", _text(value), "varchar(40)", value, peer)
        for name, value, peer in (
            ("backslash-n", "\\N", 19), ("null-word", "NULL", 19), ("none-word", "None", 19),
            ("blanks", "   ", 20), ("trailing-blanks", "a  ", 20), ("leading-blank", " a", 20),
            ("newline", "a\nb", 22), ("carriage-return", "a\rb", 22), ("crlf", "a\r\nb\r\n", 22),
            ("only-a-newline", "\n", 22), ("quote", '"', 22), ("quotes", '""', 22),
            ("comma-quote", ',",",', 22), ("quote-at-end", 'a"', 22), ("tab", "a\tb", 22),
            ("apostrophe", "it's", 22), ("path", "C:\\new\\table", 23), ("backslash-end", "a\\", 23),
            ("backslash-quote", '\\"', 23), ("percent", "100 % %s %(a)s", 0),
            ("emoji", "😀👩‍👩‍👧", 24), ("cjk", "漢字", 25), ("accent", "é", 25), ("nul-word", "\\0", 21),
            ("byte-order-mark", "\ufeffa", 0), ("line-separator", "a\u2028b\x85", 22),
            ("control", "\x01\x1a\x7f", 0),
        )
    ),
    Case("char-trailing-blank", "CHAR(5)", "'a  '", "varchar(5)", "a", 20),
    Case("text-of-65535-bytes", "TEXT", "REPEAT('x', 65535)", "text", "x" * 65535, 26),
    Case("latin1", "VARCHAR(40) CHARACTER SET latin1", "'Größe €'", "varchar(40)", "Größe €", 27),
    Case("utf16", "VARCHAR(40) CHARACTER SET utf16", "'Größe 😀'", "varchar(40)", "Größe 😀", 27),
    Case("uuid", "UUID", "'123e4567-e89b-12d3-a456-426655440000'", "varchar(36)",
         "123e4567-e89b-12d3-a456-426655440000"),
)  # fmt: skip
"""What is kept as it is."""

_LONG = "REPEAT('é', 40000)"

POLICY_CASES = (
    *(
        PolicyCase(f"{name}-{how}", kind, value, {"zero_date": how}, made, expected,
                   ("zero_date", how) if made else None)
        for name, kind, value in (
            ("zero-date", "DATE", "'0000-00-00'"), ("month-zero", "DATE", "'2017-00-05'"),
            ("day-zero", "DATE", "'2017-05-00'"), ("31-february", "DATE", "'2017-02-31'"),
            ("year-zero", "DATE", "'0000-05-05'"), ("zero-datetime", "DATETIME", "'0000-00-00'"),
            ("zero-timestamp", "TIMESTAMP(6)", "0"),
        )
        for how, made, expected in (
            ("fail", None, None),
            ("null", "date" if kind == "DATE" else "timestamp", None),
            ("text", "varchar(10)" if kind == "DATE" else "varchar(26)",
             value.strip("'") if kind == "DATE" else "0000-00-00 00:00:00"
             + (".000000" if "6" in kind else "")),
            ("reject", "date" if kind == "DATE" else "timestamp", ...),
        )
    ),
    PolicyCase("nul-fail", "VARCHAR(9)", "X'610062'", {}, None, peer=21),
    PolicyCase("nul-strip", "VARCHAR(9)", "X'610062'", {"nul_byte": "strip"}, "varchar(9)", "ab",
               ("nul_byte", "strip"), 21),
    PolicyCase("nul-null", "TEXT", "X'00'", {"nul_byte": "null"}, "text", None,
               ("nul_byte", "null"), 21),
    PolicyCase("nul-reject", "TEXT", "X'00'", {"nul_byte": "reject"}, "text", ...,
               ("nul_byte", "reject"), 21),
    PolicyCase("long-fail", "MEDIUMTEXT", _LONG, {}, None, peer=26),
    PolicyCase("long-clip", "MEDIUMTEXT", _LONG, {"long_text": "clip"}, "text", "é" * 32767,
               ("long_text", "clip"), 26),
    PolicyCase("long-null", "MEDIUMTEXT", _LONG, {"long_text": "null"}, "text", None,
               ("long_text", "null"), 26),
    PolicyCase("long-reject", "MEDIUMTEXT", _LONG, {"long_text": "reject"}, "text", ...,
               ("long_text", "reject"), 26),
    PolicyCase("long-bytes-clip", "MEDIUMBLOB", "REPEAT(X'00', 70000)", {"long_text": "clip"},
               "binary", bytes(65535), ("long_text", "clip"), 26),
    PolicyCase("wide-text", "DECIMAL(65,30)", f"{'9' * 35}.5", {}, "varchar(68)",
               f"{'9' * 35}.5{'0' * 29}", ("wide_decimal", "text"), 10),
    PolicyCase("wide-that-fits", "DECIMAL(65,30)", "1.5", {"wide_decimal": "fail"},
               "decimal(38,30)", Decimal("1.5"), None, 10),
    PolicyCase("wide-fail", "DECIMAL(65,30)", f"{'9' * 35}.5", {"wide_decimal": "fail"}, None, peer=10),
    PolicyCase("wide-null", "DECIMAL(65,30)", f"{'9' * 35}.5", {"wide_decimal": "null"},
               "decimal(38,30)", None, ("wide_decimal", "null"), 10),
    PolicyCase("wide-reject", "DECIMAL(65,30)", f"{'9' * 35}.5", {"wide_decimal": "reject"},
               "decimal(38,30)", ..., ("wide_decimal", "reject"), 10),
)  # fmt: skip
"""What is not; `...` means that the record is rejected."""
