"""A tokenizer for the SQL that passes through the proxy.

The proxy changes single words of a statement and leaves the rest as the client wrote it, so a
token keeps its place in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from etl_assets_tests.standins.redshift.errors import SqlError

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*)
  | (?P<string>(?:[eE]'(?:[^'\\]|''|\\.)*'|[nNbBxX]?'(?:[^']|'')*'))
  | (?P<dollar>\$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?P=tag)\$|\$\$.*?\$\$)
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<param>\$\d+)
  | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<word>[^\W\d][\w$]*)
  | (?P<op>::|[<>=!~*/+\-|&^%@#?]+(?<!-)|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Token:
    """One token of a statement.

    Attributes:
        kind: One of `word`, `quoted`, `string`, `number`, `param` and `op`.
        text: The token as written.
        start: Where it starts in the statement's text.
        end: Where it ends.
        value: What it means: a folded identifier, a string's content, else the text.
    """

    kind: str
    text: str
    start: int
    end: int
    value: str

    def is_word(self, *words: str) -> bool:
        """Tell whether the token is one of some unquoted words, given in capitals."""
        return self.kind == "word" and self.text.upper() in words

    @property
    def is_name(self) -> bool:
        """Tell whether the token can be an identifier."""
        return self.kind in ("word", "quoted")


@dataclass(frozen=True)
class Statement:
    """One SQL statement and its tokens."""

    text: str
    tokens: tuple[Token, ...]


def fold(name: str) -> str:
    """Fold an identifier to lower case as Redshift does, which leaves non-ASCII letters alone."""
    return "".join(c.lower() if c.isascii() else c for c in name)


def _string_value(text: str) -> str:
    body = text[text.index("'") + 1 : -1].replace("''", "'")
    if text[0] in "eE":
        return re.sub(
            r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), body, flags=re.DOTALL
        )
    return body


def _comment_end(sql: str, start: int) -> int:
    """Return where a block comment ends; block comments nest."""
    depth, position = 0, start
    while True:
        match = re.compile(r"/\*|\*/").search(sql, position)
        if match is None:
            raise SqlError("42601", "unterminated /* comment")
        depth += 1 if match.group() == "/*" else -1
        position = match.end()
        if depth == 0:
            return position


def _value(kind: str, text: str) -> str:
    if kind == "quoted":
        return fold(text[1:-1].replace('""', '"'))
    if kind == "word":
        return fold(text)
    if kind == "string":
        return _string_value(text)
    return text


def tokenize(sql: str) -> Iterator[Token]:
    """Yield the tokens of some SQL text, without white space and comments.

    Args:
        sql: The text.

    Raises:
        SqlError: If a string, identifier or comment does not end.
    """
    position = 0
    while position < len(sql):
        if sql.startswith("/*", position):
            position = _comment_end(sql, position)
            continue
        match = _TOKEN.match(sql, position)
        if match is None or match.lastgroup is None:
            raise SqlError("42601", f"unrecognized text at position {position + 1}")
        kind = "string" if match.group("dollar") else match.lastgroup
        text, position = match.group(), match.end()
        if kind == "op" and "/*" in text[1:]:
            # An operator followed by a comment: the comment starts inside the matched run.
            text = text[: text.index("/*", 1)]
            position = match.start() + len(text)
        if kind == "op" and text in ("'", '"'):
            what = "quoted string" if text == "'" else "quoted identifier"
            raise SqlError("42601", f"unterminated {what} at or near {sql[match.start() :]!r}")
        if kind == "space":
            continue
        value = text if match.group("dollar") else _value(kind, text)
        yield Token(kind, text, match.start(), position, value)


def split_statements(sql: str) -> list[Statement]:
    """Split SQL text into statements at top-level semicolons.

    Args:
        sql: The text of a simple query.

    Returns:
        The statements that are not empty, each with tokens placed from its own start.
    """
    statements: list[Statement] = []
    current: list[Token] = []
    start, end = 0, len(sql)
    for token in [*tokenize(sql), Token("op", ";", end, end, ";")]:
        if token.text != ";":
            current.append(token)
            continue
        if current:
            moved = tuple(
                Token(t.kind, t.text, t.start - start, t.end - start, t.value) for t in current
            )
            statements.append(Statement(sql[start : token.start], moved))
        current, start = [], token.end
    return statements


class Edits:
    """Replacements to make in a statement's text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: dict[tuple[int, int], str] = {}

    def replace(self, start: int, end: int, text: str) -> None:
        """Replace a span; a later replacement covers earlier ones inside it."""
        for span in [s for s in self._parts if start <= s[0] and s[1] <= end]:
            del self._parts[span]
        self._parts[(start, end)] = text

    def apply(self) -> str:
        """Return the text with every replacement made."""
        out, position = [], 0
        for (start, end), text in sorted(self._parts.items()):
            out += [self._text[position:start], text]
            position = end
        return "".join([*out, self._text[position:]])
