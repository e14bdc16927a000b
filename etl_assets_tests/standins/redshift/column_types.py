"""Redshift's column types in PostgreSQL's words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from etl_assets_tests.standins.redshift.cursor import Cursor, quote_name
from etl_assets_tests.standins.redshift.errors import SqlError, not_emulated, syntax_error

MAX_VARCHAR = 65535
_MAX_CHAR = 4096
_MAX_VARBYTE = 1_024_000
_SIMPLE = {
    **dict.fromkeys(("SMALLINT", "INT2"), "smallint"),
    **dict.fromkeys(("INTEGER", "INT", "INT4"), "integer"),
    **dict.fromkeys(("BIGINT", "INT8"), "bigint"),
    **dict.fromkeys(("REAL", "FLOAT4"), "real"),
    "FLOAT8": "double precision",
    **dict.fromkeys(("BOOLEAN", "BOOL"), "boolean"),
    "DATE": "date",
    "TIMETZ": "timetz",
    "TIMESTAMPTZ": "timestamptz",
    "SUPER": "super",
}
_ELSEWHERE = ("GEOMETRY", "GEOGRAPHY", "HLLSKETCH", "INTERVAL")


@dataclass(frozen=True)
class ColumnType:
    """A column's type.

    Attributes:
        sql: The type in PostgreSQL's words.
        kind: `v`, `c` or `b` for a type with a limit in bytes, else empty.
        limit: That limit.
    """

    sql: str
    kind: str = ""
    limit: int = 0

    def constraint(self, column: str) -> str:
        """Return the constraint that keeps the limit, which PostgreSQL counts in characters.

        Args:
            column: The column's name.
        """
        if not self.kind:
            return ""
        digest = hashlib.sha256(column.encode()).hexdigest()[:8]
        return (
            f"CONSTRAINT rs_{self.kind}_{self.limit}_{digest} "
            f"CHECK (octet_length({quote_name(column)}) <= {self.limit})"
        )


def describe_limit(constraint: str) -> str:
    """Return the type whose limit a constraint of ours keeps, empty for another constraint."""
    parts = constraint.split("_")
    if len(parts) != 4 or parts[0] != "rs":
        return ""
    names = {"v": "character varying", "c": "character", "b": "binary varying"}
    return f"{names.get(parts[1], 'text')}({parts[2]})"


def _limit(cursor: Cursor, default: int, most: int, name: str) -> int:
    if not cursor.take_op("("):
        return default
    limit = most if cursor.take_word("MAX") else cursor.number()
    if not cursor.take_op(")"):
        raise cursor.fail()
    if not 1 <= limit <= most:
        raise SqlError("22023", f"length for type {name} cannot exceed {most}")
    return limit


def _numeric(cursor: Cursor) -> ColumnType:
    precision, scale = 18, 0
    if cursor.take_op("("):
        precision = cursor.number()
        if cursor.take_op(","):
            scale = cursor.number()
        if not cursor.take_op(")"):
            raise cursor.fail()
    if not 1 <= precision <= 38:
        raise SqlError("22023", f"NUMERIC precision {precision} must be between 1 and 38")
    if scale > min(precision, 37):
        raise SqlError("22023", f"NUMERIC scale {scale} must be between 0 and {min(precision, 37)}")
    return ColumnType(f"numeric({precision},{scale})")


def _clock(cursor: Cursor, word: str) -> ColumnType:
    if cursor.take_word("WITH"):
        zoned = True
    elif cursor.take_word("WITHOUT"):
        zoned = False
    else:
        return ColumnType(word.lower())
    if not cursor.take_word("TIME") or not cursor.take_word("ZONE"):
        raise cursor.fail()
    return ColumnType(word.lower() + ("tz" if zoned else ""))


def parse_type(cursor: Cursor, column: str) -> ColumnType:
    """Parse a column's type.

    Args:
        cursor: The tokens, at the type's name.
        column: The column's name, for messages.

    Raises:
        SqlError: If Redshift has no such type.
    """
    token = cursor.name()
    word = token.value.upper()
    found = _character_type(cursor, word) or _other_type(cursor, word)
    if found is None:
        if word in _ELSEWHERE:
            raise not_emulated(f"The type {word}")
        raise SqlError("0A000", f'Column "{column}" has unsupported type "{token.value}".')
    array = cursor.peek()
    if array is not None and array.text == "[":
        raise SqlError("0A000", f'Column "{column}" has unsupported type "{token.value}[]".')
    if array is not None and array.text == "(":
        raise syntax_error("(")
    return found


def _character_type(cursor: Cursor, word: str) -> ColumnType | None:
    if word in ("CHARACTER", "CHAR", "NCHAR"):
        if cursor.take_word("VARYING"):
            word = "VARCHAR"
        else:
            limit = _limit(cursor, 1, _MAX_CHAR, "character")
            return ColumnType(f"char({limit})", "c", limit)
    if word == "BPCHAR":
        return ColumnType("char(256)", "c", 256)
    if word in ("VARCHAR", "NVARCHAR"):
        limit = _limit(cursor, 256, MAX_VARCHAR, "character varying")
        return ColumnType(f"varchar({limit})", "v", limit)
    if word == "TEXT":
        return ColumnType("varchar(256)", "v", 256)
    return None


def _float(cursor: Cursor, word: str) -> ColumnType:
    if word == "FLOAT":
        return ColumnType(f"float({_limit(cursor, 53, 53, 'float')})")
    if not cursor.take_word("PRECISION"):
        raise cursor.fail()
    return ColumnType("double precision")


def _other_type(cursor: Cursor, word: str) -> ColumnType | None:
    if word in _SIMPLE:
        return ColumnType(_SIMPLE[word])
    if word in ("DECIMAL", "NUMERIC"):
        return _numeric(cursor)
    if word in ("TIME", "TIMESTAMP"):
        return _clock(cursor, word)
    if word in ("DOUBLE", "FLOAT"):
        return _float(cursor, word)
    if word in ("VARBYTE", "VARBINARY") or (word == "BINARY" and cursor.take_word("VARYING")):
        limit = _limit(cursor, 64_000, _MAX_VARBYTE, "binary varying")
        return ColumnType("bytea", "b", limit)
    return None
