"""MySQL's types: one table from each of them to our type and to the text of its cells.

What our type is in Parquet, CSV, DuckDB and Redshift says the table of `columns.py`; the two
together are every type's one way through (`type_rows`).

A cell's text is chosen in SQL, because MySQL's own is not always exact: a FLOAT shows six
digits, and is widened to DOUBLE here, which shows all of them. Text and bytes are quoted, so
that '' stays beside NULL, which is an unquoted empty field.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from etl_assets.core.columns import MAX_DECIMAL_PRECISION, MAX_DECIMAL_SCALE, TYPES, ColumnType

_UNSIGNED, _ZEROFILL = 32, 64
_BINARY_CHARSET = 63
_BYTES_PER_CHARACTER = 4  # of utf8mb4, in which the source answers
_MAX_VARCHAR = 65535 // _BYTES_PER_CHARACTER

_PLAIN = "{c}"
_QUOTED = """CONCAT('"',REPLACE(CONVERT({c} USING utf8mb4),'"','""'),'"')"""
_DOUBLE = "{c}*1e0"
_BITS = "CAST({c} AS UNSIGNED)"
_HEX = """CONCAT('"',HEX({c}),'"')"""


@dataclass(frozen=True)
class MysqlField:
    """What a MySQL server says of a column of a result.

    Attributes:
        name: As the query names it.
        code: Number of the type in the wire protocol.
        flags: Bits; of them UNSIGNED and ZEROFILL are read.
        length: Longest text, in bytes of the connection's character set.
        decimals: Digits after the point.
        charset: Number of the collation; 63 is binary.
    """

    name: str
    code: int
    flags: int = 0
    length: int = 0
    decimals: int = 0
    charset: int = _BINARY_CHARSET


@dataclass(frozen=True)
class MysqlType:
    """One line of the table.

    Attributes:
        mysql: The type as MySQL's manual writes it.
        code: Its number in the wire protocol.
        variant: `unsigned`, `binary`, or nothing; tells types of one number apart.
        kind: Our type; `{p}`, `{s}` and `{n}` are the column's precision, scale and characters.
        cell: SQL of the text of a cell that is not NULL.
        note: What a reader of the table should know.
    """

    mysql: str
    code: int
    variant: str
    kind: str
    cell: str = _PLAIN
    note: str = ""


MYSQL_TYPES: tuple[MysqlType, ...] = (
    MysqlType("TINYINT", 1, "", "smallint", note="TINYINT(1) too: it holds more than 0 and 1"),
    MysqlType("TINYINT UNSIGNED", 1, "unsigned", "smallint"),
    MysqlType("SMALLINT", 2, "", "smallint"),
    MysqlType("SMALLINT UNSIGNED", 2, "unsigned", "integer"),
    MysqlType("MEDIUMINT", 9, "", "integer"),
    MysqlType("MEDIUMINT UNSIGNED", 9, "unsigned", "integer"),
    MysqlType("INT", 3, "", "integer"),
    MysqlType("INT UNSIGNED", 3, "unsigned", "bigint"),
    MysqlType("BIGINT", 8, "", "bigint"),
    MysqlType("BIGINT UNSIGNED", 8, "unsigned", "decimal(20,0)"),
    MysqlType(
        "DECIMAL(p,s)",
        246,
        "",
        "decimal({p},{s})",
        note="over 38 digits, or 37 after the point: `wide_decimal`",
    ),
    MysqlType("FLOAT", 4, "", "double", _DOUBLE, "widened exactly, every digit kept"),
    MysqlType("DOUBLE", 5, "", "double", _DOUBLE),
    MysqlType(
        "BIT(n)",
        16,
        "unsigned",
        "{bits}",
        _BITS,
        "the smallest whole number that holds it; shown for n up to 15",
    ),
    MysqlType("YEAR", 13, "unsigned", "smallint"),
    MysqlType("DATE", 10, "", "date", note="impossible dates: `zero_date`"),
    MysqlType("DATETIME", 12, "", "timestamp", note="as DATE; to the microsecond, without a zone"),
    MysqlType("TIMESTAMP", 7, "", "timestamp", note="as DATETIME; UTC"),
    MysqlType("TIME", 11, "", "varchar(17)", note="an amount from -838 to 838 hours, as text"),
    MysqlType("CHAR(n), ENUM, SET", 254, "", "varchar({n})", _QUOTED, "an ENUM's label, not index"),
    MysqlType("VARCHAR(n)", 253, "", "{text}", _QUOTED, "over 16,383 characters: text"),
    MysqlType("TINYTEXT, TEXT, MEDIUMTEXT, LONGTEXT", 252, "", "text", _QUOTED),
    MysqlType("JSON", 245, "", "text", _QUOTED, "as the server writes it, never parsed"),
    MysqlType("BINARY(n)", 254, "binary", "binary", _HEX),
    MysqlType("VARBINARY(n)", 253, "binary", "binary", _HEX),
    MysqlType("TINYBLOB, BLOB, MEDIUMBLOB, LONGBLOB", 252, "binary", "binary", _HEX),
)
"""The table. What is not in it, such as GEOMETRY and VECTOR, stops before anything is read."""

_BY_KEY = {(line.code, line.variant): line for line in MYSQL_TYPES}
_SAME_CODE = {0: 246, 14: 10, 15: 253, 247: 254, 248: 254, 249: 252, 250: 252, 251: 252}
"""Numbers that mean what another does: old DECIMAL, NEWDATE, VARCHAR, ENUM, SET, the BLOBs."""

_UNSIGNED_MATTERS = {1, 2, 3, 8, 9}
_ALWAYS_UNSIGNED = {13, 16}
_BINARY_MATTERS = {252, 253, 254}
_NULL = 6
_DECIMAL = 246

_CELLS_OF_KIND = {"binary": _HEX, "text": _QUOTED, "varchar": _QUOTED}

_DECLARABLE: dict[str, frozenset[str]] = {
    "smallint": frozenset({"boolean", "smallint", "integer", "bigint", "decimal", "text"}),
    "integer": frozenset({"boolean", "smallint", "integer", "bigint", "decimal", "text"}),
    "bigint": frozenset({"boolean", "smallint", "integer", "bigint", "decimal", "text"}),
    "decimal": frozenset({"smallint", "integer", "bigint", "decimal", "text"}),
    "double": frozenset({"double", "text"}),
    "date": frozenset({"date", "timestamp", "text"}),
    "timestamp": frozenset({"timestamp", "text"}),
    "varchar": frozenset({"varchar", "text"}),
    "text": frozenset({"varchar", "text"}),
    "binary": frozenset({"binary"}),
}
"""Our type: the types a document may declare instead, because each value fits or is refused."""


@dataclass(frozen=True)
class Reading:
    """How a column of a query is read.

    Attributes:
        natural: Our type for the column's MySQL type.
        digits: A decimal's precision, when it or the scale is over ours; 0 otherwise.
        cell: SQL of the text of a cell that is not NULL, with `{c}` for the column.
    """

    natural: ColumnType
    digits: int
    cell: str

    def may_be(self, declared: ColumnType) -> bool:
        """Return whether a document may declare this type, with nothing changed silently."""
        return declared.name in _DECLARABLE[self.natural.name]

    def summed(self, column: str, kind: ColumnType) -> str | None:
        """Return SQL of a value, as the type has it; None where it gives no exact total.

        Doubles have none: MySQL writes them into each other's expressions, and takes
        microseconds for a cell.

        Args:
            column: The column, quoted.
            kind: The type it is read as.
        """
        if self.digits or self.natural.name == "double":
            return None
        if kind.is_text:
            text = column if self.cell == _QUOTED else f"CAST({self.cell.format(c=column)} AS CHAR)"
            return f"CONVERT({text} USING utf8mb4)"
        if kind.name == "binary":
            return column
        return self.cell.format(c=column)


def read_as(field: MysqlField, declared: ColumnType | None = None) -> Reading | None:
    """Return how a column is read, or None when its type has no way through.

    Args:
        field: The column.
        declared: The type its document declares; decides only where MySQL knows none (NULL).
    """
    code = _SAME_CODE.get(field.code, field.code)
    binary = field.charset == _BINARY_CHARSET
    if code == _NULL or (code in _BINARY_MATTERS and binary and field.length == 0):
        if declared is None:
            return None
        return Reading(declared, 0, _CELLS_OF_KIND.get(declared.name, _PLAIN))
    variant = ""
    if code in _ALWAYS_UNSIGNED or (code in _UNSIGNED_MATTERS and field.flags & _UNSIGNED):
        variant = "unsigned"
    elif code in _BINARY_MATTERS and binary:
        variant = "binary"
    line = _BY_KEY.get((code, variant))
    if line is None:
        return None
    cell = line.cell
    if field.flags & _ZEROFILL and cell == _PLAIN:
        cell = "{c}+0"  # 00042 is the number 42
    precision = field.length - (field.decimals > 0) - (not field.flags & _UNSIGNED)
    wide = precision > MAX_DECIMAL_PRECISION or field.decimals > MAX_DECIMAL_SCALE
    digits = precision if code == _DECIMAL and wide else 0
    characters = max(1, field.length // _BYTES_PER_CHARACTER)
    kind = line.kind.format(
        p=max(1, min(precision, MAX_DECIMAL_PRECISION)),
        s=min(field.decimals, MAX_DECIMAL_SCALE),
        n=characters,
        bits=_whole_number(field.length),
        text=f"varchar({characters})" if characters <= _MAX_VARCHAR else "text",
    )
    return Reading(ColumnType.parse(kind), digits, cell)


def name_of(field: MysqlField) -> str:
    """Return a name for a type that has no way through."""
    return {255: "GEOMETRY", 242: "VECTOR", _NULL: "NULL"}.get(field.code, f"number {field.code}")


def type_rows() -> Iterator[tuple[str, str, str, str, str, str, str]]:
    """Yield every type's way: MySQL, ours, Parquet, CSV text, Redshift, DuckDB, note."""
    for line in MYSQL_TYPES:
        kind = line.kind.format(p="p", s="s", n="n", bits="smallint", text="varchar(n)")
        row = TYPES[kind.partition("(")[0]]
        if "{bits}" in line.kind:
            kind += " … decimal(20,0)"
        redshift = row.redshift.format(p="p", s="s", n4="4n")
        duckdb = row.duckdb.format(p="p", s="s")
        yield (line.mysql, kind, row.arrow, row.csv.format(s="s"), redshift, duckdb, line.note)


def _whole_number(bits: int) -> str:
    for kind, size in (("smallint", 15), ("integer", 31), ("bigint", 63)):
        if bits <= size:
            return kind
    return "decimal(20,0)"
