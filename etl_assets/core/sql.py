"""The only place where text becomes part of an SQL statement."""

from collections.abc import Iterable

from etl_assets.core.errors import PermanentError


def quote_identifier(name: str) -> str:
    """Return `name` as a double-quoted SQL identifier.

    Raises:
        PermanentError: When the name is empty or holds a NUL character.
    """
    if not name or "\0" in name:
        raise PermanentError(f"{name!r} cannot be an SQL identifier.", "Choose another name.")
    return '"' + name.replace('"', '""') + '"'


def quote_table(schema: str, table: str) -> str:
    """Return the qualified, quoted name of a table."""
    return f"{quote_identifier(schema)}.{quote_identifier(table)}"


def quote_literal(text: str) -> str:
    """Return `text` as an SQL string literal (standard quoting, no backslash escapes).

    Raises:
        PermanentError: When the text holds a NUL character.
    """
    if "\0" in text:
        raise PermanentError("A NUL character cannot be part of an SQL literal.", "Remove it.")
    return "'" + text.replace("'", "''") + "'"


def column_list(names: Iterable[str]) -> str:
    """Return quoted identifiers, separated by commas."""
    return ", ".join(quote_identifier(name) for name in names)
