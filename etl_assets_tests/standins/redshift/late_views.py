"""CREATE VIEW … WITH NO SCHEMA BINDING: a view that is in no table's way.

PostgreSQL binds every view. So `catalog.sql` keeps the text of a late-binding one, takes it away
before an ALTER TABLE or DROP TABLE and makes it again in the same transaction, with its rights.
"""

from __future__ import annotations

from etl_assets_tests.standins.redshift.cursor import Cursor
from etl_assets_tests.standins.redshift.ddl import name_list, table_name
from etl_assets_tests.standins.redshift.errors import SqlError
from etl_assets_tests.standins.redshift.lexer import Statement

_UNBOUND = ("WITH", "NO", "SCHEMA", "BINDING")


def is_late_view(statement: Statement) -> bool:
    """Return whether a CREATE statement ends as that of a late-binding view does."""
    return tuple(t.text.upper() for t in statement.tokens[-4:]) == _UNBOUND


def create_late_view(statement: Statement) -> str:
    """Rewrite the statement.

    Args:
        statement: The statement, identifiers folded; see `is_late_view`.

    Raises:
        SqlError: If a cluster would refuse it.
    """
    cursor = Cursor(statement.tokens[1:])
    replaced = cursor.take_word("OR") and cursor.take_word("REPLACE")
    if not cursor.take_word("VIEW"):
        raise cursor.fail()
    name = table_name(cursor)
    if "." not in name:
        raise SqlError("42601", "a late-binding view needs the name of its schema here")
    opening = cursor.peek()
    if opening is not None and opening.text == "(":
        name_list(cursor)
        raise SqlError("0A000", "a late-binding view with a list of columns is not emulated")
    if not cursor.take_word("AS"):
        raise cursor.fail()
    start = cursor.peek()
    if start is None:
        raise cursor.fail()
    query = statement.text[start.start : statement.tokens[-4].start].strip()
    texts = ", ".join("'" + text.replace("'", "''") + "'" for text in (name, query))
    call = f"redshift_standin.create_late_view({texts}, {bool(replaced)})"
    return f"DO $redshift_standin$ BEGIN PERFORM {call}; END $redshift_standin$"
