"""A cursor over the tokens of a statement, for the parsers of COPY and of DDL."""

from __future__ import annotations

from collections.abc import Sequence

from etl_assets_tests.standins.redshift.errors import SqlError, syntax_error
from etl_assets_tests.standins.redshift.lexer import Token


def quote_name(name: str) -> str:
    """Return an identifier quoted for PostgreSQL."""
    return '"' + name.replace('"', '""') + '"'


class Cursor:
    """A cursor over a statement's tokens."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self, ahead: int = 0) -> Token | None:
        """Return the next token, or one further ahead, without taking it."""
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else None

    def take(self) -> Token:
        """Take the next token, whatever it is."""
        token = self.peek()
        if token is None:
            raise self.fail()
        self._at += 1
        return token

    def fail(self) -> SqlError:
        """Return the syntax error at the next token."""
        token = self.peek()
        return syntax_error(token.text if token else "")

    def take_word(self, *words: str) -> str:
        """Take one of some words and return it in capitals, or return an empty text."""
        token = self.peek()
        if token is None or not token.is_word(*words):
            return ""
        self._at += 1
        return token.text.upper()

    def take_op(self, text: str) -> bool:
        """Take an operator or punctuation mark if it is the next token."""
        token = self.peek()
        if token is None or token.text != text or token.kind != "op":
            return False
        self._at += 1
        return True

    def expect(self, kind: str) -> Token:
        """Take a token of a kind, or raise a syntax error."""
        token = self.peek()
        if token is None or token.kind != kind:
            raise self.fail()
        self._at += 1
        return token

    def name(self) -> Token:
        """Take an identifier."""
        token = self.peek()
        if token is None or not token.is_name:
            raise self.fail()
        self._at += 1
        return token

    def string(self) -> str:
        """Take a string literal, which AS may precede."""
        self.take_word("AS")
        return self.expect("string").value

    def number(self) -> int:
        """Take an unsigned whole number, which AS may precede."""
        self.take_word("AS")
        token = self.expect("number")
        if not token.text.isdigit():
            raise syntax_error(token.text)
        return int(token.text)
