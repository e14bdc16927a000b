"""What changes, and what is refused, in any statement."""

from __future__ import annotations

from collections.abc import Sequence

from etl_assets_tests.standins.redshift.cursor import quote_name
from etl_assets_tests.standins.redshift.errors import SqlError, syntax_error, unsupported
from etl_assets_tests.standins.redshift.keywords import FOREIGN_FUNCTIONS
from etl_assets_tests.standins.redshift.lexer import Edits, Statement, Token, tokenize

_MAX_IDENTIFIER = 127
_MAX_BYTES = {"VARCHAR": "65535", "NVARCHAR": "65535", "VARYING": "65535"}


def _at(tokens: Sequence[Token], index: int) -> Token:
    """Return a token, or an empty one outside the statement."""
    if 0 <= index < len(tokens):
        return tokens[index]
    return Token("op", "", 0, 0, "")


def _check_identifier(token: Token) -> None:
    if token.is_name and len(token.value.encode()) > _MAX_IDENTIFIER:
        raise SqlError(
            "42622", f'identifier "{token.value}" is longer than {_MAX_IDENTIFIER} bytes'
        )


def _refuse_syntax(tokens: Sequence[Token], index: int) -> None:
    """Refuse what PostgreSQL knows and Redshift does not, at one token."""
    token, following = tokens[index], _at(tokens, index + 1)
    before = _at(tokens, index - 1)
    if token.text == "[" and (before.is_word("ARRAY") or following.text == "]"):
        raise unsupported("The array type")
    if token.is_word("VALUES") and (index == 0 or before.text == "("):
        raise syntax_error(token.text)
    if token.is_word("ON") and following.is_word("CONFLICT"):
        raise syntax_error(token.text)
    if token.is_word("DISTINCT") and following.is_word("ON"):
        raise unsupported("SELECT DISTINCT ON")
    if token.is_word("LATERAL") and following.text == "(":
        raise syntax_error(token.text)
    if token.is_word("FILTER") and following.text == "(" and before.text == ")":
        raise syntax_error(following.text)
    if token.is_word("RETURNING") and before.text != ".":
        raise syntax_error(token.text)
    if token.is_name and token.value in FOREIGN_FUNCTIONS and following.text == "(":
        message = f"Specified types or functions ({token.value}) not supported on Redshift tables."
        raise SqlError("0A000", message)


def rewrite(statement: Statement) -> Statement:
    """Make the changes that any statement needs.

    Quoted identifiers are folded, `sysdate` becomes a call, and VARCHAR(MAX) gets its number.

    Args:
        statement: The statement as the client sent it.

    Returns:
        The statement for the rules of its own kind.

    Raises:
        SqlError: If it uses what Redshift does not have.
    """
    edits = Edits(statement.text)
    tokens = statement.tokens
    for index, token in enumerate(tokens):
        _check_identifier(token)
        _refuse_syntax(tokens, index)
        if token.kind == "quoted":
            edits.replace(token.start, token.end, quote_name(token.value))
        elif token.is_word("SYSDATE") and _at(tokens, index - 1).text != ".":
            edits.replace(token.start, token.end, "sysdate()")
        elif token.is_word("MAX") and _at(tokens, index + 1).text == ")":
            size = _MAX_BYTES.get(_at(tokens, index - 2).text.upper())
            if size and _at(tokens, index - 1).text == "(":
                edits.replace(token.start, token.end, size)
    text = edits.apply()
    return Statement(text, tuple(tokenize(text)))


def top_level_word(tokens: Sequence[Token], *words: str) -> int:
    """Return the index of the first of some words outside parentheses, or -1."""
    depth = 0
    for index, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "op" else 0
        if depth == 0 and token.is_word(*words):
            return index
    return -1
