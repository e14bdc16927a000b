"""The parts of table definitions: names, columns, constraints and storage attributes."""

from __future__ import annotations

from dataclasses import dataclass, field

from etl_assets_tests.standins.redshift.column_types import parse_type
from etl_assets_tests.standins.redshift.cursor import Cursor, quote_name
from etl_assets_tests.standins.redshift.errors import (
    SqlError,
    not_emulated,
    syntax_error,
    unsupported,
)
from etl_assets_tests.standins.redshift.keywords import ENCODINGS, RESERVED, SYSTEM_COLUMNS
from etl_assets_tests.standins.redshift.lexer import Token

_COLUMN_WORDS = (
    *("NOT", "NULL", "UNIQUE", "PRIMARY", "REFERENCES", "ENCODE", "DISTKEY", "SORTKEY"),
    *("IDENTITY", "GENERATED", "COLLATE", "CHECK", "CONSTRAINT", "DEFAULT"),
)


@dataclass
class TableAttributes:
    """What the statement says about how a cluster would store the table."""

    diststyle: str = ""
    distkey: str = ""
    sortkey: tuple[str, ...] = ()
    encodings: dict[str, str] = field(default_factory=dict)

    def set_distkey(self, column: str) -> None:
        """Set the distribution key, of which there is one."""
        if self.distkey:
            raise SqlError("42601", "only one DISTKEY can be specified")
        self.distkey = column

    def set_sortkey(self, columns: tuple[str, ...]) -> None:
        """Set the sort key, which is given once."""
        if self.sortkey:
            raise SqlError("42601", "only one SORTKEY can be specified")
        self.sortkey = columns

    def check(self, columns: list[str]) -> None:
        """Check that the keys are columns and go with the style."""
        for kind, names in (("DISTKEY", (self.distkey,)), ("SORTKEY", self.sortkey)):
            for name in names:
                if name and name not in columns:
                    raise SqlError("42703", f'{kind} column "{name}" does not exist in table')
        if self.distkey and self.diststyle not in ("", "KEY"):
            raise SqlError("42601", f"DISTSTYLE {self.diststyle} cannot be used with a DISTKEY")
        if self.diststyle == "KEY" and not self.distkey:
            raise SqlError("42601", "DISTKEY column must be specified for DISTSTYLE KEY")


@dataclass
class ColumnDefinition:
    """A column as CREATE TABLE or ALTER TABLE defines it."""

    name: str
    type_sql: str
    constraint: str
    not_null: bool = False
    default: str = ""
    identity: str = ""

    def sql(self) -> str:
        """Return the definition in PostgreSQL's words."""
        parts = [quote_name(self.name), self.type_sql, self.identity, self.constraint]
        parts += [f"DEFAULT {self.default}" if self.default else ""]
        parts += ["NOT NULL" if self.not_null else ""]
        return " ".join(p for p in parts if p)


def table_name(cursor: Cursor) -> str:
    """Take a table's name, qualified or not, and return it as SQL text."""
    return take_name(cursor)[0]


def take_name(cursor: Cursor) -> tuple[str, str]:
    """Take a table's name; return it as SQL text and its last part alone."""
    parts = [cursor.name()]
    while cursor.take_op("."):
        parts.append(cursor.name())
    for part in parts:
        refuse_reserved(part)
    return ".".join(quote_name(p.value) for p in parts[-2:]), parts[-1].value


def refuse_reserved(token: Token) -> None:
    """Raise the syntax error a reserved word causes as a name."""
    if token.kind == "word" and token.text.upper() in RESERVED:
        raise syntax_error(token.text)


def name_list(cursor: Cursor) -> tuple[str, ...]:
    """Take a list of names in parentheses."""
    if not cursor.take_op("("):
        raise cursor.fail()
    names = [cursor.name().value]
    while cursor.take_op(","):
        names.append(cursor.name().value)
    if not cursor.take_op(")"):
        raise cursor.fail()
    return tuple(names)


def expression(cursor: Cursor, stops: tuple[str, ...]) -> str:
    """Take an expression up to a stop word, a comma or the closing parenthesis."""
    parts: list[str] = []
    depth = 0
    while (token := cursor.peek()) is not None:
        if depth == 0 and parts and token.is_word(*stops):
            break
        if depth == 0 and token.text in (",", ")"):
            break
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        parts.append(cursor.take().text)
    if not parts:
        raise cursor.fail()
    return " ".join(parts)


def _pair(cursor: Cursor) -> str:
    """Take the seed and step of an identity column."""
    if not cursor.take_op("("):
        raise cursor.fail()
    seed = ("-" if cursor.take_op("-") else "") + str(cursor.number())
    if not cursor.take_op(","):
        raise cursor.fail()
    step = ("-" if cursor.take_op("-") else "") + str(cursor.number())
    if not cursor.take_op(")"):
        raise cursor.fail()
    low = f" MINVALUE {seed}" if not step.startswith("-") else f" MAXVALUE {seed}"
    return f"AS IDENTITY (START WITH {seed} INCREMENT BY {step}{low})"


def column_definition(cursor: Cursor, attributes: TableAttributes) -> ColumnDefinition:
    """Take a column's definition.

    Args:
        cursor: The tokens, at the column's name.
        attributes: Where to note the storage attributes.
    """
    token = cursor.name()
    refuse_reserved(token)
    if token.value in SYSTEM_COLUMNS:
        message = f'column name "{token.value}" conflicts with a system column name'
        raise SqlError("42701", message)
    column_type = parse_type(cursor, token.value)
    column = ColumnDefinition(token.value, column_type.sql, column_type.constraint(token.value))
    while word := cursor.take_word(*_COLUMN_WORDS):
        _column_attribute(cursor, word, column, attributes)
    return column


def _column_attribute(
    cursor: Cursor, word: str, column: ColumnDefinition, attributes: TableAttributes
) -> None:
    if word == "NOT":
        if not cursor.take_word("NULL"):
            raise cursor.fail()
        column.not_null = True
    elif word == "DEFAULT":
        column.default = expression(cursor, _COLUMN_WORDS)
    elif word == "IDENTITY":
        column.identity = "GENERATED ALWAYS " + _pair(cursor)
    elif word == "GENERATED":
        for expected in ("BY", "DEFAULT", "AS", "IDENTITY"):
            if not cursor.take_word(expected):
                raise cursor.fail()
        column.identity = "GENERATED BY DEFAULT " + _pair(cursor)
    elif word == "PRIMARY":
        if not cursor.take_word("KEY"):
            raise cursor.fail()
        column.not_null = True
    else:
        _storage_attribute(cursor, word, column, attributes)


def _storage_attribute(
    cursor: Cursor, word: str, column: ColumnDefinition, attributes: TableAttributes
) -> None:
    if word == "ENCODE":
        encoding = cursor.take_word(*ENCODINGS)
        if not encoding:
            raise cursor.fail()
        attributes.encodings[column.name] = encoding.lower()
    elif word == "DISTKEY":
        attributes.set_distkey(column.name)
    elif word == "SORTKEY":
        attributes.set_sortkey((column.name,))
    elif word == "REFERENCES":
        _references(cursor)
    elif word == "COLLATE":
        _collation(cursor)
    elif word == "CHECK":
        raise unsupported("CHECK constraint")
    elif word == "CONSTRAINT":
        cursor.name()


def _collation(cursor: Cursor) -> None:
    if cursor.take_word("CASE_INSENSITIVE", "CI"):
        raise not_emulated("COLLATE CASE_INSENSITIVE")
    if not cursor.take_word("CASE_SENSITIVE", "CS"):
        raise cursor.fail()


def _references(cursor: Cursor) -> None:
    table_name(cursor)
    following = cursor.peek()
    if following is not None and following.text == "(":
        name_list(cursor)


def table_constraint(cursor: Cursor) -> tuple[str, ...] | None:
    """Take a table constraint, which Redshift does not enforce.

    Returns:
        The columns that it makes NOT NULL, or None if the next tokens are no constraint.

    Raises:
        SqlError: If it is a CHECK constraint.
    """
    named = cursor.take_word("CONSTRAINT")
    if named:
        cursor.name()
    if cursor.take_word("CHECK"):
        raise unsupported("CHECK constraint")
    word = cursor.take_word("PRIMARY", "FOREIGN", "UNIQUE")
    if not word and named:
        raise cursor.fail()
    if not word:
        return None
    if word != "UNIQUE" and not cursor.take_word("KEY"):
        raise cursor.fail()
    columns = name_list(cursor)
    if word == "FOREIGN":
        if not cursor.take_word("REFERENCES"):
            raise cursor.fail()
        _references(cursor)
    return columns if word == "PRIMARY" else ()
