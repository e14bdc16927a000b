"""CREATE TABLE in PostgreSQL's words: what only a cluster uses is taken out."""

from __future__ import annotations

from dataclasses import dataclass

from etl_assets_tests.standins.redshift.cursor import Cursor, quote_name
from etl_assets_tests.standins.redshift.ddl import (
    ColumnDefinition,
    TableAttributes,
    column_definition,
    name_list,
    table_constraint,
    table_name,
)
from etl_assets_tests.standins.redshift.errors import SqlError
from etl_assets_tests.standins.redshift.lexer import Statement

_MAX_COLUMNS = 1600


def table_attributes(cursor: Cursor, attributes: TableAttributes) -> None:
    """Take the attributes that follow the column list."""
    words = ("BACKUP", "ENCODE", "DISTSTYLE", "DISTKEY", "COMPOUND", "INTERLEAVED", "SORTKEY")
    seen: set[str] = set()
    while word := cursor.take_word(*words):
        if word in seen:
            raise SqlError("42601", f"conflicting or redundant options: {word}")
        seen.add(word)
        _table_attribute(cursor, word, attributes)


def _table_attribute(cursor: Cursor, word: str, attributes: TableAttributes) -> None:
    allowed = {"BACKUP": ("YES", "NO"), "ENCODE": ("AUTO",)}
    if word in allowed:
        if not cursor.take_word(*allowed[word]):
            raise cursor.fail()
    elif word == "DISTSTYLE":
        attributes.diststyle = cursor.take_word("AUTO", "EVEN", "KEY", "ALL")
        if not attributes.diststyle:
            raise cursor.fail()
    elif word == "DISTKEY":
        names = name_list(cursor)
        if len(names) != 1:
            raise SqlError("42601", "DISTKEY takes one column")
        attributes.set_distkey(names[0])
    else:
        if word != "SORTKEY" and not cursor.take_word("SORTKEY"):
            raise cursor.fail()
        if word != "SORTKEY" or not cursor.take_word("AUTO"):
            attributes.set_sortkey(name_list(cursor))


@dataclass(frozen=True)
class CreateTable:
    """A CREATE TABLE in PostgreSQL's words."""

    sql: str
    table: str
    attributes: TableAttributes


def create_table(statement: Statement) -> CreateTable:
    """Rewrite a CREATE TABLE.

    Args:
        statement: The statement, identifiers folded.

    Raises:
        SqlError: If a cluster would refuse it.
    """
    cursor = Cursor(statement.tokens[1:])
    cursor.take_word("LOCAL")
    temporary = "TEMP " if cursor.take_word("TEMP", "TEMPORARY") else ""
    if not cursor.take_word("TABLE"):
        raise cursor.fail()
    exists = ""
    if cursor.take_word("IF"):
        if not (cursor.take_word("NOT") and cursor.take_word("EXISTS")):
            raise cursor.fail()
        exists = "IF NOT EXISTS "
    table = table_name(cursor)
    attributes = TableAttributes()
    head = f"CREATE {temporary}TABLE {exists}{table}"
    opening, second = cursor.peek(), cursor.peek(2)
    if opening is not None and opening.text == "(" and (not second or second.text not in ",)"):
        sql = f"{head} ({_elements(cursor, attributes)})"
        if cursor.peek() is not None:
            raise cursor.fail()
        return CreateTable(sql, table, attributes)
    names = name_list(cursor) if opening is not None and opening.text == "(" else ()
    table_attributes(cursor, attributes)
    if not cursor.take_word("AS"):
        raise cursor.fail()
    start = cursor.peek()
    if start is None:
        raise cursor.fail()
    listed = f" ({', '.join(map(quote_name, names))})" if names else ""
    return CreateTable(f"{head}{listed} AS {statement.text[start.start :]}", table, attributes)


def _elements(cursor: Cursor, attributes: TableAttributes) -> str:
    """Take the column list and the attributes after it."""
    cursor.take_op("(")
    columns: list[ColumnDefinition] = []
    likes: list[str] = []
    required: set[str] = set()
    while True:
        constraint = table_constraint(cursor)
        if constraint is not None:
            required.update(constraint)
        elif cursor.take_word("LIKE"):
            likes.append(_like(cursor))
        else:
            columns.append(column_definition(cursor, attributes))
        if not cursor.take_op(","):
            break
    if not cursor.take_op(")"):
        raise cursor.fail()
    table_attributes(cursor, attributes)
    names = [c.name for c in columns]
    if len(names) > _MAX_COLUMNS:
        raise SqlError("54011", f"tables can have at most {_MAX_COLUMNS} columns")
    if not likes:
        attributes.check(names)
    for column in columns:
        column.not_null = column.not_null or column.name in required
    return ", ".join([*likes, *(c.sql() for c in columns)])


def _like(cursor: Cursor) -> str:
    parent = table_name(cursor)
    including = cursor.take_word("INCLUDING", "EXCLUDING")
    if including and not cursor.take_word("DEFAULTS"):
        raise cursor.fail()
    defaults = " INCLUDING DEFAULTS" if including == "INCLUDING" else ""
    # The byte limits of the parent's columns are constraints here.
    return f"LIKE {parent}{defaults} INCLUDING CONSTRAINTS"
