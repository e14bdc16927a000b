"""The tables that inputs are kept in, as SQLAlchemy describes them.

Per source its table, which readers read, and `<table>__received`, which keeps every accepted row
of every file. For all of them the ledger of files, and what each source's tables look like.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import UserDefinedType

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.inputs.storage import mysql_type, sqlite_type

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_PATH = sa.String(1024).with_variant(
    mysql.VARCHAR(1024, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
_ENGINE: dict[str, Any] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB", "mysql_charset": "utf8mb4",
           "mariadb_charset": "utf8mb4"}  # fmt: skip

LEDGER_METADATA = sa.MetaData()

LEDGER = sa.Table(
    "etl_assets_inputs",
    LEDGER_METADATA,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("path", _PATH, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("arrived_at", _MOMENT, nullable=False),
    sa.Column("recorded_at", _MOMENT, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("live", sa.Boolean, nullable=False),
    sa.Column("about", sa.BigInteger),
    sa.Column("contract", sa.String(64), nullable=False),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in (
            "rows", "accepted", "rejected", "duplicates", "inserted", "updated", "unchanged",
            "outdated", "removed", "restored",
        )
    ),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("rejects", _PATH, nullable=False),
    sa.Index("etl_assets_inputs_of_source", "source", "sha256"),
    **_ENGINE,
)  # fmt: skip
"""The ledger of files; nothing is ever removed from it."""

SOURCES = sa.Table(
    "etl_assets_input_sources",
    LEDGER_METADATA,
    sa.Column("source", sa.String(64), primary_key=True),
    sa.Column("table", sa.String(64), nullable=False, unique=True),
    sa.Column("primary_key", sa.Text, nullable=False),
    sa.Column("columns", sa.Text, nullable=False),
    **_ENGINE,
)
"""What each source's tables look like; its row is locked while one of its files is loaded."""


class Declared(UserDefinedType[Any]):
    """One of our types, as each database declares it; values pass as they are."""

    cache_ok = True

    def __init__(self, kind: ColumnType) -> None:
        self.kind = kind

    def get_col_spec(self, **_: object) -> str:
        """Return nothing: each database has its own (see below)."""
        raise NotImplementedError


@compiles(Declared, "sqlite")
def _sqlite(declared: Declared, _compiler: object, **_: object) -> str:
    return sqlite_type(declared.kind)


@compiles(Declared, "mysql")
@compiles(Declared, "mariadb")
def _mysql(declared: Declared, _compiler: object, **_: object) -> str:
    return mysql_type(declared.kind)


class SourceTables:
    """A source's two tables.

    Attributes:
        target: What readers read: per key the row of the file that arrived last.
        received: Every accepted row of every file, by key and file.
        columns: Those that come from files.
        key: Names of the primary key's columns.
        values: Names of `columns`.
    """

    def __init__(self, table: str, columns: Sequence[Column], key: Sequence[str]) -> None:
        """Describe the tables; nothing is made."""
        self.columns = tuple(columns)
        self.key = tuple(key)
        self.values = tuple(column.name for column in columns)
        metadata = sa.MetaData()
        self.target = sa.Table(
            sa.quoted_name(table, quote=True), metadata, *self._columns(columns),
            sa.Column("input_id", sa.BigInteger, nullable=False, comment="Row of etl_assets_inputs."),
            sa.Column("input_file", _PATH, nullable=False, comment="The file it came from."),
            sa.Column("input_row", sa.BigInteger, nullable=False, comment="Its row there."),
            sa.Column("arrived_at", _MOMENT, nullable=False, comment="When the file arrived, UTC."),
            sa.PrimaryKeyConstraint(*key),
            **_ENGINE,
        )  # fmt: skip
        self.received = sa.Table(
            received_name(table), metadata, *self._columns(columns),
            sa.Column("input_id", sa.BigInteger, nullable=False),
            sa.Column("input_row", sa.BigInteger, nullable=False),
            sa.PrimaryKeyConstraint(*key, "input_id"),
            sa.Index(f"{received_name(table)}_by_file", "input_id", "input_row"),
            **_ENGINE,
        )  # fmt: skip

    def _columns(self, columns: Sequence[Column]) -> list[sa.Column[Any]]:
        return [
            sa.Column(
                sa.quoted_name(c.name, quote=True), Declared(c.type), nullable=c.name not in self.key, comment=c.comment or None,
                autoincrement=False,
            )
            for c in columns
        ]  # fmt: skip

    def same_key(self, one: sa.FromClause, other: sa.FromClause) -> sa.ColumnElement[bool]:
        """Return the condition that rows of two tables have one key."""
        return sa.and_(*(one.c[name] == other.c[name] for name in self.key))


def received_name(table: str) -> str:
    """Return the name of the table that keeps what a source delivered."""
    return f"{table}__received"
