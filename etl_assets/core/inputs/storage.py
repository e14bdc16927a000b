"""How the databases that inputs are written to declare our types.

What a source reads back is the contract's type: `ColumnType.from_sqlite` and the table of
`mysql_types.py` are the way back.
"""

from etl_assets.core.columns import ColumnType

_DOUBLE_DIGITS = 15
"""SQLite stores a DECIMAL as a double, which keeps so many digits; more are kept as text."""

_SQLITE = {
    "smallint": "SMALLINT",
    "integer": "INT4",
    "bigint": "BIGINT",
    "boolean": "BOOLEAN",
    "double": "DOUBLE",
    "text": "TEXT",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
_MYSQL = {
    "smallint": "SMALLINT",
    "integer": "INT",
    "bigint": "BIGINT",
    "boolean": "BOOLEAN",
    "double": "DOUBLE",
    "text": "TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "date": "DATE",
    "timestamp": "DATETIME(6)",
}


def is_text_in_sqlite(kind: ColumnType) -> bool:
    """Return whether SQLite keeps a decimal as text, since it has more digits than a double."""
    return kind.name == "decimal" and kind.precision > _DOUBLE_DIGITS


def sqlite_type(kind: ColumnType) -> str:
    """Return the declared type of a column in SQLite."""
    if kind.name == "varchar":
        return f"VARCHAR({kind.precision})"
    if kind.name == "decimal":
        name = "DECIMAL_TEXT" if is_text_in_sqlite(kind) else "DECIMAL"
        return f"{name}({kind.precision},{kind.scale})"
    return _SQLITE[kind.name]


def mysql_type(kind: ColumnType) -> str:
    """Return the type of a column in MySQL; texts are compared by their characters."""
    if kind.name == "varchar":
        return f"VARCHAR({kind.precision}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    if kind.name == "decimal":
        return f"DECIMAL({kind.precision},{kind.scale})"
    return _MYSQL[kind.name]


def is_wider(new: ColumnType, old: ColumnType) -> bool:
    """Return whether a type holds every value of another, each as it is."""
    whole = ("smallint", "integer", "bigint")
    if new.name in whole and old.name in whole:
        return whole.index(new.name) >= whole.index(old.name)
    if new.name == old.name == "decimal":
        return new.scale >= old.scale and new.precision - new.scale >= old.precision - old.scale
    if old.name == "varchar":
        return new.name == "text" or (new.name == "varchar" and new.precision >= old.precision)
    return new == old
