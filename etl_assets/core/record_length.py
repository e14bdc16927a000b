"""How long a record is in a staged part, and whether Redshift's COPY takes it.

"The maximum size of a single input row from any source is 4 MB" (r_COPY). A dataset means
the same in every warehouse, so the limit is that of all.
"""

from collections.abc import Sequence

from etl_assets.core.columns import MAX_TEXT_BYTES, Column, ColumnType
from etl_assets.core.sql import quote_identifier

MAX_RECORD_BYTES = 4 << 20
_MOST_OF_OTHERS = 48
"""No number, date or NULL token is longer, with its delimiter."""


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
