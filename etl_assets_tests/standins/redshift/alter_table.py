"""ALTER TABLE in PostgreSQL's words."""

from __future__ import annotations

from dataclasses import dataclass

from etl_assets_tests.standins.redshift.column_types import parse_type
from etl_assets_tests.standins.redshift.cursor import Cursor, quote_name
from etl_assets_tests.standins.redshift.ddl import (
    TableAttributes,
    column_definition,
    table_constraint,
    take_name,
)
from etl_assets_tests.standins.redshift.errors import SqlError, not_emulated, unsupported
from etl_assets_tests.standins.redshift.keywords import ENCODINGS
from etl_assets_tests.standins.redshift.lexer import Statement

# PostgreSQL counts VARCHAR in characters, so the limit in bytes is a constraint that changes too.
_RESIZE = """DO $standin$
DECLARE old name;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = {table}::regclass
                 AND attname = {column} AND atttypid = 'varchar'::regtype) THEN
    RAISE EXCEPTION 'target data type "varchar" is not supported for this column'
      USING ERRCODE = 'feature_not_supported';
  END IF;
  FOR old IN SELECT k.conname FROM pg_catalog.pg_constraint k
      JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
      WHERE k.conrelid = {table}::regclass AND k.contype = 'c' AND k.conname LIKE 'rs\\_%'
      AND a.attname = {column}
  LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', {table}::regclass, old);
  END LOOP;
  EXECUTE {alter};
END $standin$"""


@dataclass(frozen=True)
class AlterTable:
    """An ALTER TABLE in PostgreSQL's words.

    Attributes:
        sql: The statement.
        outside_block: Whether a cluster refuses it inside a transaction block.
    """

    sql: str
    outside_block: bool = False


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _nothing(table: str) -> AlterTable:
    """Return a statement that only checks that the table exists."""
    return AlterTable(f"DO {_literal(f'BEGIN PERFORM {_literal(table)}::regclass; END')}")


def alter_table(statement: Statement) -> AlterTable:
    """Rewrite an ALTER TABLE.

    Args:
        statement: The statement, identifiers folded.

    Raises:
        SqlError: If a cluster would refuse it.
    """
    cursor = Cursor(statement.tokens[2:])
    table, _ = take_name(cursor)
    word = cursor.take_word("ADD", "ALTER", "DROP", "RENAME", "OWNER", "APPEND", "SET")
    if word == "ADD":
        return _add(cursor, table)
    if word == "ALTER":
        return _alter(cursor, table)
    if word == "DROP":
        return _drop(cursor, table)
    if word in ("APPEND", "SET"):
        raise not_emulated(f"ALTER TABLE {word}")
    if word not in ("RENAME", "OWNER"):
        raise cursor.fail()
    rest = statement.text[statement.tokens[2].start :]
    while cursor.peek() is not None:
        if cursor.take().text == ",":
            raise unsupported("ALTER TABLE with several actions")
    return AlterTable(f"ALTER TABLE {rest}")


def _end(cursor: Cursor, several: str) -> None:
    if cursor.take_op(","):
        raise unsupported(several, "Use one ALTER TABLE each.")
    if cursor.peek() is not None:
        raise cursor.fail()


def _add(cursor: Cursor, table: str) -> AlterTable:
    if table_constraint(cursor) is not None:
        _end(cursor, "ALTER TABLE with several actions")
        return _nothing(table)
    cursor.take_word("COLUMN")
    following = cursor.peek(1)
    if following is not None and following.is_word("NOT"):
        # IF NOT EXISTS would otherwise read as a column named `if`.
        raise cursor.fail()
    column = column_definition(cursor, TableAttributes())
    _end(cursor, "ALTER TABLE with several ADD COLUMN clauses")
    if column.not_null and not column.default:
        raise SqlError(
            "0A000",
            "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression",
        )
    if column.identity:
        raise unsupported("ALTER TABLE ADD COLUMN with IDENTITY")
    return AlterTable(f"ALTER TABLE {table} ADD COLUMN {column.sql()}")


def _drop(cursor: Cursor, table: str) -> AlterTable:
    if cursor.take_word("CONSTRAINT"):
        cursor.name()
        cursor.take_word("CASCADE", "RESTRICT")
        _end(cursor, "ALTER TABLE with several actions")
        return _nothing(table)
    cursor.take_word("COLUMN")
    column = quote_name(cursor.name().value)
    behaviour = cursor.take_word("CASCADE", "RESTRICT")
    _end(cursor, "ALTER TABLE with several DROP COLUMN clauses")
    return AlterTable(f"ALTER TABLE {table} DROP COLUMN {column} {behaviour}".rstrip())


def _alter(cursor: Cursor, table: str) -> AlterTable:
    if cursor.take_word("DISTSTYLE", "DISTKEY", "SORTKEY", "COMPOUND", "ENCODE"):
        # How a cluster stores the table has no meaning here.
        while cursor.peek() is not None:
            cursor.take()
        return _nothing(table)
    cursor.take_word("COLUMN")
    name = cursor.name().value
    if cursor.take_word("ENCODE"):
        if not cursor.take_word(*ENCODINGS):
            raise cursor.fail()
        if cursor.take_op(","):
            if not cursor.take_word("ALTER"):
                raise cursor.fail()
            return _alter(cursor, table)
        _end(cursor, "")
        return _nothing(table)
    if not cursor.take_word("TYPE"):
        raise unsupported("ALTER COLUMN other than TYPE and ENCODE")
    new = parse_type(cursor, name)
    _end(cursor, "ALTER TABLE with several actions")
    if new.kind != "v":
        raise SqlError("0A000", "target data type is not supported: only VARCHAR can be resized")
    alter = (
        f"ALTER TABLE {table} ALTER COLUMN {quote_name(name)} TYPE {new.sql}, "
        f"ADD {new.constraint(name)}"
    )
    values = {"table": table, "column": name, "alter": alter}
    sql = _RESIZE.format(**{k: _literal(v) for k, v in values.items()})
    return AlterTable(sql, outside_block=True)
