"""How a record is written in a staged part, and whether Redshift's COPY takes it.

"The maximum size of a single input row from any source is 4 MB" (r_COPY). A dataset means
the same in every warehouse, so the limit is that of all.

Bytes are hexadecimal. To COPY an empty field is NULL in every column that is not of
characters, so bytes of length 0 are written as a word that no value of the load is.
"""

from collections.abc import Sequence

from etl_assets.core.columns import MAX_TEXT_BYTES, Column, ColumnType
from etl_assets.core.sql import quote_identifier, quote_literal

MAX_RECORD_BYTES = 4 << 20
_MOST_OF_OTHERS = 48
"""No number, date or NULL token is longer, with its delimiter."""


def empty_bytes(null_token: str) -> str:
    """Return what stands for bytes of length 0: the NULL token, in hexadecimal as all bytes."""
    return null_token.encode().hex()


def csv_field(column: Column, null_token: str) -> str:
    """Return DuckDB SQL for a column as its fields in the CSV, under its own name."""
    name = quote_identifier(column.name)
    if column.type.name != "binary":
        return name
    empty = quote_literal(empty_bytes(null_token))
    return f"CASE WHEN octet_length({name}) = 0 THEN {empty} ELSE lower(hex({name})) END AS {name}"


def may_be_too_long(columns: Sequence[Column]) -> bool:
    """Return whether the types of the columns let a record be longer than COPY takes."""
    return sum(_most(column.type) for column in columns) > MAX_RECORD_BYTES


def length_sql(columns: Sequence[Column]) -> str:
    """Return DuckDB SQL for the bytes of a record; never less than it takes, little more."""
    return " + ".join(_length(column) for column in columns)


def _most(kind: ColumnType) -> int:
    if kind.is_text:  # a quotation mark is written twice
        return 2 * min(4 * kind.precision or MAX_TEXT_BYTES, MAX_TEXT_BYTES) + _MOST_OF_OTHERS
    return 2 * MAX_TEXT_BYTES if kind.name == "binary" else _MOST_OF_OTHERS


def _length(column: Column) -> str:
    name = quote_identifier(column.name)
    if column.type.is_text:
        marks = f"strlen({name}) - strlen(replace({name}, '\"', ''))"
        return f"coalesce(strlen({name}) + {marks}, 0) + {_MOST_OF_OTHERS}"
    if column.type.name == "binary":
        return f"coalesce(2 * octet_length({name}), 0) + {_MOST_OF_OTHERS}"
    return str(_MOST_OF_OTHERS)
