"""Values that have gone wrong between MySQL and a warehouse, each by name, with what is right.

The torture dataset: `etl_assets_tests/torture` carries every one of them to both warehouses,
and `benchmarks/torture.py` gives them to other tools.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

EMOJI_JSON = '{"n": 9007199254740993, "a": 1, "a": 2, "e": "😀"}'
ALL_BYTES = bytes(range(256))


@dataclass(frozen=True)
class Value:
    """One column with one value, and with NULL in a second record where it may be NULL.

    Attributes:
        id: Names the value.
        case: The number of its case in `torture/cases.py`.
        declared: The column's MySQL type.
        value: SQL of the value.
        column: The column's name.
    """

    id: str
    case: int
    declared: str
    value: str
    column: str = field(default="v", kw_only=True)

    @property
    def table(self) -> str:
        """The name of its table."""
        return "value_" + self.id.replace("-", "_")

    @property
    def nullable(self) -> bool:
        """Whether the table has a second record, of NULL."""
        return "NOT NULL" not in self.declared


@dataclass(frozen=True)
class Case(Value):
    """A value that is kept as it is.

    Attributes:
        kind: Our type for it.
        expected: The value after the extract.
    """

    kind: str
    expected: object


@dataclass(frozen=True)
class Way:
    """What becomes of a value that cannot be kept, under one policy.

    Attributes:
        outcome: What the document says.
        kind: Our type then; None when the campaign fails.
        expected: The value after the extract; `...` when the record is rejected.
        touched: Whether the policy counts it.
    """

    outcome: str
    kind: str | None = None
    expected: object = None
    touched: bool = True


@dataclass(frozen=True)
class PolicyCase(Value):
    """A value that cannot be kept as it is.

    Attributes:
        policy: The policy that is asked.
        held: What MySQL holds.
        ways: Its outcomes.
    """

    policy: str
    held: object
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Refused(Value):
    """A column that stops the campaign before anything is read.

    Attributes:
        held: What MySQL holds.
        message: Pattern of the error.
        instead: SQL of what the error tells to select instead.
        kind: Our type for that.
        expected: The value then.
    """

    held: object
    message: str
    instead: str
    kind: str
    expected: object


def create_tables(values: Sequence[Value]) -> list[str]:
    """Return the SQL that makes a table for each value, `id` 1 with the value, 2 with NULL."""
    made = ["SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'"]
    for v in values:
        null = "" if "NULL" in v.declared else " NULL"
        made += [
            f"CREATE TABLE {v.table} (id INT PRIMARY KEY, `{v.column}` {v.declared}{null})",
            f"INSERT INTO {v.table} VALUES (1, {v.value})",
            *([f"INSERT INTO {v.table} VALUES (2, NULL)"] if v.nullable else []),
        ]
    return made


def _text(value: str) -> str:
    """Return SQL for a text, whatever it holds."""
    return f"CONVERT(X'{value.encode().hex()}' USING utf8mb4)" if value else "''"


_MOMENT = dt.datetime  # naive: MySQL's DATETIME has no zone
_WIDEST = "-99999999999999999999999999999999999.999999999999999999999999999999"

CASES = (
    Case("date-of-year-1", 4, "DATE", "'0001-01-01'", "date", dt.date(1, 1, 1)),
    Case("date-of-year-9999", 4, "DATE", "'9999-12-31'", "date", dt.date(9999, 12, 31)),
    Case("datetime-of-year-1", 4, "DATETIME", "'0001-01-01 00:00:00'", "timestamp", _MOMENT(1, 1, 1)),
    Case("datetime-microsecond", 4, "DATETIME(6)", "'9999-12-31 23:59:59.999999'", "timestamp",
         _MOMENT(9999, 12, 31, 23, 59, 59, 999999)),
    Case("datetime-before-1970", 4, "DATETIME(6)", "'1969-12-31 23:59:59.000001'", "timestamp",
         _MOMENT(1969, 12, 31, 23, 59, 59, 1)),
    Case("time-838-hours", 5, "TIME", "'838:59:59'", "varchar(17)", "838:59:59"),
    Case("time-minus-838-hours", 5, "TIME(6)", "'-838:59:58.999999'", "varchar(17)", "-838:59:58.999999"),
    Case("time-minus-a-second", 5, "TIME", "'-00:00:01'", "varchar(17)", "-00:00:01"),
    Case("time-over-a-day", 5, "TIME", "'25:00:01'", "varchar(17)", "25:00:01"),
    Case("bigint-unsigned-max", 6, "BIGINT UNSIGNED", "18446744073709551615", "decimal(20,0)",
         Decimal(18446744073709551615)),
    Case("bigint-min", 6, "BIGINT", "-9223372036854775808", "bigint", -9223372036854775808),
    Case("int-unsigned-max", 7, "INT UNSIGNED", "4294967295", "bigint", 4294967295),
    Case("int-zerofill", 7, "INT(8) UNSIGNED ZEROFILL", "42", "bigint", 42),
    Case("mediumint-unsigned-max", 7, "MEDIUMINT UNSIGNED", "16777215", "integer", 16777215),
    Case("mediumint-min", 7, "MEDIUMINT", "-8388608", "integer", -8388608),
    Case("smallint-unsigned-max", 7, "SMALLINT UNSIGNED", "65535", "integer", 65535),
    Case("tinyint-unsigned-max", 7, "TINYINT UNSIGNED", "255", "smallint", 255),
    Case("tinyint1-of-two", 8, "TINYINT(1)", "2", "smallint", 2),
    Case("tinyint1-of-minus-one", 8, "TINYINT(1)", "-1", "smallint", -1),
    Case("bit1", 9, "BIT(1)", "b'1'", "smallint", 1),
    Case("bit8", 9, "BIT(8)", "b'11111111'", "smallint", 255),
    Case("bit63", 9, "BIT(63)", "(1 << 63) - 1", "bigint", (1 << 63) - 1),
    Case("bit64-all-ones", 9, "BIT(64)", f"b'{'1' * 64}'", "decimal(20,0)", Decimal((1 << 64) - 1)),
    Case("decimal-38-37-negative", 10, "DECIMAL(38,37)", "-1.2345678901234567890123456789012345678",
         "decimal(38,37)", Decimal("-1.2345678901234567890123456789012345678")),
    Case("decimal-38-30-negative", 10, "DECIMAL(38,30)", "-12345678.123456789012345678901234567891",
         "decimal(38,30)", Decimal("-12345678.123456789012345678901234567891")),
    Case("decimal-65-30", 10, "DECIMAL(65,30)", _WIDEST, "varchar(68)", _WIDEST),
    Case("decimal-zerofill", 10, "DECIMAL(8,2) UNSIGNED ZEROFILL", "1.5", "decimal(8,2)", Decimal("1.50")),
    Case("float-16777217", 11, "FLOAT", "16777217", "double", 16777216.0),
    Case("float-tenth", 11, "FLOAT", "0.1", "double", 0.10000000149011612),
    Case("float-smallest", 11, "FLOAT", "1e-45", "double", 1.401298464324817e-45),
    Case("float-negative-zero", 11, "FLOAT", "-0e0", "double", 0.0),  # MariaDB shows no sign
    Case("float-of-three-decimals", 11, "FLOAT(7,3)", "1.1", "double", 1.100000023841858),
    Case("double-of-a-sum", 11, "DOUBLE", "0.1e0 + 0.2e0", "double", 0.30000000000000004),
    Case("double-largest", 11, "DOUBLE", "1.7976931348623157e308", "double", 1.7976931348623157e308),
    Case("double-smallest", 11, "DOUBLE", "5e-324", "double", 5e-324),
    Case("null-among-integers", 12, "INT", "1", "integer", 1),
    Case("null-among-large-integers", 12, "BIGINT", "9007199254740993", "bigint", 9007199254740993),
    Case("json-verbatim", 13, "JSON", _text(EMOJI_JSON), "text", EMOJI_JSON),
    Case("enum-label", 14, "ENUM('small','large')", "'large'", "varchar(5)", "large"),
    Case("enum-invalid", 14, "ENUM('small','large')", "''", "varchar(5)", ""),
    Case("set-of-two", 14, "SET('a','b','c')", "'a,c'", "varchar(5)", "a,c"),
    Case("set-of-none", 14, "SET('a','b','c')", "''", "varchar(5)", ""),
    Case("year-0000", 15, "YEAR", "0", "smallint", 0),
    Case("year-1901", 15, "YEAR", "1901", "smallint", 1901),
    Case("uuid", 15, "UUID", "'123e4567-e89b-12d3-a456-426655440000'", "varchar(36)",
         "123e4567-e89b-12d3-a456-426655440000"),
    Case("varbinary-every-byte", 16, "VARBINARY(256)", f"X'{ALL_BYTES.hex()}'", "binary", ALL_BYTES),
    Case("blob-every-byte", 16, "BLOB", f"X'{ALL_BYTES.hex()}'", "binary", ALL_BYTES),
    Case("blob-empty", 16, "BLOB", "''", "binary", b""),
    Case("binary-padded", 16, "BINARY(4)", "X'01'", "binary", b"\x01\0\0\0"),
    Case("timestamp-in-utc", 17, "TIMESTAMP(6)", "'2017-03-26 01:30:00.000001'", "timestamp",
         _MOMENT(2017, 3, 26, 1, 30, 0, 1)),
    Case("datetime-in-a-gap", 17, "DATETIME", "'2017-03-26 02:30:00'", "timestamp",
         _MOMENT(2017, 3, 26, 2, 30)),
    Case("empty-text", 18, "VARCHAR(40) NOT NULL", "''", "varchar(40)", ""),
    Case("empty-beside-null", 18, "VARCHAR(40)", "''", "varchar(40)", ""),
    *(
        Case(f"text-{name}", case, "VARCHAR(40)", _text(value), "varchar(40)", value)
        for name, case, value in (
            ("backslash-n", 19, "\\N"), ("null-word", 19, "NULL"), ("none-word", 19, "None"),
            ("airbyte-null", 19, "_AB_NULL_"), ("artie-null", 19, "__artie_null_value"),
            ("nan-word", 19, "NaN"), ("blanks", 20, "   "), ("trailing-blanks", 20, "a  "),
            ("leading-blank", 20, " a"), ("backslash-zero", 21, "\\0"), ("control", 21, "\x01\x1a\x7f"),
            ("newline", 22, "a\nb"), ("carriage-return", 22, "a\rb"), ("crlf", 22, "a\r\nb\r\n"),
            ("only-a-newline", 22, "\n"), ("quote", 22, '"'), ("quotes", 22, '""'),
            ("comma-quote", 22, ',",",'), ("quote-at-end", 22, 'a"'), ("tab", 22, "a\tb"),
            ("apostrophe", 22, "it's"), ("line-separator", 22, "a\u2028b\x85"),
            ("percent", 22, "100 % %s %(a)s"), ("path", 23, "C:\\new\\table"),
            ("backslash-end", 23, "a\\"), ("backslash-quote", 23, '\\"'), ("emoji", 24, "😀👩‍👩‍👧"),
            ("byte-order-mark", 27, "\ufeffa"),
        )
    ),
    Case("char-trailing-blank", 20, "CHAR(5)", "'a  '", "varchar(5)", "a"),  # MySQL's own reading
    *(
        Case(f"varchar30-of-{name}", 25, "VARCHAR(30)", f"REPEAT('{letter}', 30)", "varchar(30)", letter * 30)
        for name, letter in (("accents", "é"), ("cjk", "漢"), ("emoji", "😀"))
    ),
    Case("text-of-65535-bytes", 26, "TEXT", "REPEAT('x', 65535)", "text", "x" * 65535),
    Case("latin1", 27, "VARCHAR(40) CHARACTER SET latin1", "'Größe €'", "varchar(40)", "Größe €"),
    Case("latin1-byte-81", 27, "VARCHAR(40) CHARACTER SET latin1", "X'61816D'", "varchar(40)", "a\x81m"),
    Case("utf8-in-latin1", 27, "VARCHAR(40) CHARACTER SET latin1", "X'4772C3B6C39F65'", "varchar(40)",
         "GrÃ¶ÃŸe"),
    Case("utf16", 27, "VARCHAR(40) CHARACTER SET utf16", "'Größe 😀'", "varchar(40)", "Größe 😀"),
    *(
        Case(f"named-{name}", 28, "VARCHAR(40)", "'a'", "varchar(40)", "a", column=name)
        for name in ("order", "select", "user", "timestamp")
    ),
)  # fmt: skip
"""What is kept as it is."""

_LONG = "REPEAT('é', 40000)"
_LONG_JSON = """CONCAT('{"t": "', REPEAT('x', 70000), '"}')"""


def _dates() -> Iterator[PolicyCase]:
    """Yield dates that no calendar has; `text` shows them as MySQL does."""
    for name, case, declared, held in (
        ("zero-date", 1, "DATE", "0000-00-00"),
        ("zero-datetime", 1, "DATETIME", "0000-00-00 00:00:00"),
        ("zero-timestamp", 1, "TIMESTAMP(6)", "0000-00-00 00:00:00.000000"),
        ("month-zero", 2, "DATE", "2021-00-15"), ("day-zero", 2, "DATE", "2017-05-00"),
        ("year-zero", 2, "DATE", "0000-11-30"), ("february-31", 2, "DATE", "2017-02-31"),
        ("month-zero-datetime", 2, "DATETIME", "2021-00-15 10:00:00"),
        ("zero-date-not-null", 3, "DATE NOT NULL", "0000-00-00"),
        ("zero-datetime-not-null", 3, "DATETIME NOT NULL", "0000-00-00 00:00:00"),
    ):  # fmt: skip
        kind, text = (
            ("date", "varchar(10)")
            if len(held) == len("0000-00-00")
            else ("timestamp", "varchar(26)")
        )
        ways = (Way("fail"), Way("null", kind), Way("text", text, held), Way("reject", kind, ...))
        yield PolicyCase(name, case, declared, f"'{held}'", "zero_date", held, ways)


POLICY_CASES = (
    *_dates(),
    PolicyCase("decimal-65-30-of-66-digits", 10, "DECIMAL(65,30)", f"{'9' * 35}.5", "wide_decimal",
               Decimal(f"{'9' * 35}.5"), (
        Way("text", "varchar(68)", f"{'9' * 35}.5{'0' * 29}"), Way("fail"), Way("null", "decimal(38,30)"),
        Way("reject", "decimal(38,30)", ...),
    )),
    PolicyCase("decimal-65-30-that-fits", 10, "DECIMAL(65,30)", "1.5", "wide_decimal", Decimal("1.5"), (
        Way("fail", "decimal(38,30)", Decimal(f"1.5{'0' * 29}"), touched=False),
    )),
    PolicyCase("decimal-38-38", 10, "DECIMAL(38,38)", f"0.{'0' * 37}1", "wide_decimal", Decimal("1E-38"), (
        Way("text", "varchar(41)", f"0.{'0' * 37}1"), Way("fail"), Way("null", "decimal(38,37)"),
        Way("reject", "decimal(38,37)", ...),
    )),
    PolicyCase("json-of-70000-bytes", 13, "JSON", _LONG_JSON, "long_text", f'{{"t": "{"x" * 70000}"}}', (
        Way("fail"), Way("null", "text"), Way("reject", "text", ...),
    )),
    PolicyCase("nul-inside", 21, "VARCHAR(9)", "X'610062'", "nul_byte", "a\0b", (
        Way("fail"), Way("strip", "varchar(9)", "ab"), Way("null", "varchar(9)"),
        Way("reject", "varchar(9)", ...),
    )),
    PolicyCase("nul-alone", 21, "TEXT", "X'00'", "nul_byte", "\0", (
        Way("fail"), Way("strip", "text", ""), Way("null", "text"), Way("reject", "text", ...),
    )),
    PolicyCase("text-of-80000-bytes", 26, "MEDIUMTEXT", _LONG, "long_text", "é" * 40000, (
        Way("fail"), Way("clip", "text", "é" * 32767), Way("null", "text"), Way("reject", "text", ...),
    )),
    PolicyCase("blob-of-70000-bytes", 26, "MEDIUMBLOB", "REPEAT(X'00', 70000)", "long_text", bytes(70000), (
        Way("fail"), Way("clip", "binary", bytes(65535)), Way("null", "binary"), Way("reject", "binary", ...),
    )),
)  # fmt: skip
"""What is not."""

REFUSED = (
    Refused("geometry", 15, "GEOMETRY", "ST_GeomFromText('POINT(1 2)')", "POINT(1 2)",
            r"type GEOMETRY.*ST_AsText\(v\)", "ST_AsText(v)", "text", "POINT(1 2)"),
    *(
        Refused(f"named-{name}", 28, "VARCHAR(40)", "'a'", "a", "Name it in the query", f"`{column}`",
                "varchar(40)", "a", column=column)
        for name, column in (
            ("in-capitals", "Order"), ("with-a-digit-first", "2nd_price"), ("with-a-blank", "unit price"),
            ("with-a-quote", 'a"b'), ("with-an-umlaut", "größe"), ("at-length", "n" * 64),
        )
    ),
)  # fmt: skip
"""What stops before anything is read, because it has no way through as it is."""

VALUES: tuple[Value, ...] = (*CASES, *POLICY_CASES, *REFUSED)
