"""The grammar of COPY, exactly as the documentation gives it.

PostgreSQL would read other words than Redshift does, so the command is parsed here and every word
that the documentation does not name is a syntax error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from etl_assets_tests.standins.redshift.copy_command import (
    COLUMNAR,
    COMPRESSIONS,
    FLAGS,
    SELF_DESCRIBING,
    CopyCommand,
)
from etl_assets_tests.standins.redshift.cursor import Cursor, quote_name
from etl_assets_tests.standins.redshift.errors import SqlError, not_emulated, syntax_error
from etl_assets_tests.standins.redshift.lexer import Token

_ROLE = re.compile(r"arn:aws(-[a-z-]+)?:iam::\d{12}:role/[\w+=,.@/-]+")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_CONTROL = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\0": "\0", "\\b": "\b", "\\f": "\f"}
_ENCODINGS = {
    "UTF8": "utf-8",
    "UTF16": "utf-16",
    "UTF16LE": "utf-16-le",
    "UTF16BE": "utf-16-be",
    "ISO88591": "iso-8859-1",
}
_MAX_ERRORS = 100_000


def parse_copy(tokens: Sequence[Token]) -> CopyCommand:
    """Parse the tokens of a COPY statement.

    Args:
        tokens: The statement's tokens, the first of them COPY.

    Returns:
        The command, checked.

    Raises:
        SqlError: If the statement is not what the documentation allows.
    """
    cursor = Cursor(tokens[1:])
    parts = [cursor.name()]
    while cursor.take_op("."):
        parts.append(cursor.name())
    if len(parts) > 3:
        raise syntax_error(parts[3].text)
    columns: list[str] = []
    if cursor.take_op("("):
        columns.append(cursor.name().value)
        while cursor.take_op(","):
            columns.append(cursor.name().value)
        if not cursor.take_op(")"):
            raise cursor.fail()
    if not cursor.take_word("FROM"):
        raise cursor.fail()
    url = cursor.expect("string").value
    if not url.startswith("s3://"):
        raise not_emulated("COPY from other sources than Amazon S3")
    table = ".".join(quote_name(p.value) for p in parts[-2:])
    command = CopyCommand(table, parts[-1].value, tuple(columns) or None, url)
    while cursor.peek() is not None:
        _option(cursor, command)
    if len(set(columns)) != len(columns):
        raise SqlError("42701", "a column is specified more than once in COPY's column list")
    command.check()
    return command


def _option(cursor: Cursor, command: CopyCommand) -> None:
    """Take one option with its argument."""
    if cursor.take_word("FORMAT"):
        cursor.take_word("AS")
        token = cursor.peek()
        if token is None or not token.is_word(*_FORMAT_WORDS):
            raise cursor.fail()
    word = cursor.take_word(*FLAGS)
    if word:
        command.note(word)
        command.flags.add(word)
        return
    word = cursor.take_word(*COMPRESSIONS)
    if word:
        command.note("compression")
        command.compression = word
        return
    word = cursor.take_word(*_OPTIONS)
    if not word:
        raise cursor.fail()
    _OPTIONS[word](cursor, command, word)


def _character(cursor: Cursor, option: str) -> str:
    text = cursor.string()
    text = _CONTROL.get(text, text)
    if re.fullmatch(r"\\[0-3]?[0-7]{1,2}", text):
        text = chr(int(text[1:], 8))
    if len(text) != 1 or not text.isascii():
        raise SqlError("42601", f"COPY {option} must be a single ASCII character")
    return text


def _format(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note("FORMAT")
    command.format = word
    if word in SELF_DESCRIBING or word == "FIXEDWIDTH":
        cursor.string()
    elif word == "SHAPEFILE" and cursor.take_word("SIMPLIFY"):
        cursor.take_word("AUTO")


def _delimiter(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note(word)
    command.delimiter = _character(cursor, word)


def _quote(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note(word)
    command.quote = _character(cursor, word)


def _text_option(attribute: str) -> Callable[[Cursor, CopyCommand, str], None]:
    def take(cursor: Cursor, command: CopyCommand, word: str) -> None:
        command.note(word)
        text = cursor.string()
        setattr(command, attribute, "\0" if text == "\\0" else text)

    return take


def _number_option(attribute: str, most: int) -> Callable[[Cursor, CopyCommand, str], None]:
    def take(cursor: Cursor, command: CopyCommand, word: str) -> None:
        command.note(word)
        number = cursor.number()
        if number > most:
            raise SqlError("22023", f"{word} value {number} is out of range, the limit is {most}")
        setattr(command, attribute, number)

    return take


def _switch(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note(word)
    words = ("ON", "OFF", "TRUE", "FALSE")
    cursor.take_word(*(("PRESET", *words) if word == "COMPUPDATE" else words))


def _comprows(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note(word)
    cursor.number()


def _encoding(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note(word)
    cursor.take_word("AS")
    token = cursor.peek()
    if token is not None and token.kind == "string":
        name = cursor.string().upper()
    else:
        name = cursor.name().text.upper()
    if name not in _ENCODINGS:
        raise SqlError("22023", f"COPY encoding {name} is not one of {', '.join(_ENCODINGS)}")
    command.encoding = _ENCODINGS[name]


def _invalid_chars(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note(word)
    cursor.take_word("AS")
    token = cursor.peek()
    command.invalid_char = "?"
    if token is not None and token.kind == "string":
        command.invalid_char = _character(cursor, word)


def _region(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note(word)
    take_region(cursor)


def take_region(cursor: Cursor) -> None:
    """Take the name of a region.

    Raises:
        SqlError: If it has not the form of one.
    """
    region = cursor.string()
    if not _REGION.fullmatch(region):
        raise SqlError("22023", f"the region '{region}' is not a valid AWS Region")


def _iam_role(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note("AUTHORIZATION")
    take_iam_role(cursor)


def take_iam_role(cursor: Cursor) -> None:
    """Take what follows IAM_ROLE.

    Raises:
        SqlError: If it has not the form of a role, or of several that are chained.
    """
    if cursor.take_word("DEFAULT"):
        return
    for role in re.split(r",(?=arn:)", cursor.expect("string").value):
        if not _ROLE.fullmatch(role):
            raise SqlError("22023", f"IAM Role '{role}' has invalid format")


def _credentials(cursor: Cursor, command: CopyCommand, word: str) -> None:
    if word == "WITH" and not cursor.take_word("CREDENTIALS"):
        raise cursor.fail()
    command.note("AUTHORIZATION")
    names = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "token": "token"}
    pairs = dict(p.partition("=")[::2] for p in cursor.string().split(";") if p)
    if "aws_iam_role" in pairs and len(pairs) == 1 and _ROLE.fullmatch(pairs["aws_iam_role"]):
        command.access_key = {"role": pairs["aws_iam_role"]}
        return
    if not pairs or set(pairs) - set(names):
        # The text holds secrets, so the message must not repeat it.
        raise SqlError("22023", "Invalid credentials. Must be of the format: credentials 'aws_...'")
    command.access_key = {names[k]: v for k, v in pairs.items()}


def _access_key(cursor: Cursor, command: CopyCommand, word: str) -> None:
    if "key" not in command.given:
        command.note("AUTHORIZATION")
        command.given.add("key")
    command.note(word)
    part = {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret", "SESSION_TOKEN": "token"}[word]
    command.access_key[part] = cursor.string()


def _master_key(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note(word)
    cursor.string()


def _serialize(cursor: Cursor, command: CopyCommand, word: str) -> None:
    command.note(word)


_FORMAT_WORDS = ("CSV", "DELIMITER", "FIXEDWIDTH", "SHAPEFILE", *SELF_DESCRIBING, *COLUMNAR)
_OPTIONS: dict[str, Callable[[Cursor, CopyCommand, str], None]] = {
    **dict.fromkeys(_FORMAT_WORDS, _format),
    "DELIMITER": _delimiter,
    "QUOTE": _quote,
    "NULL": _text_option("null_as"),
    "DATEFORMAT": _text_option("date_format"),
    "TIMEFORMAT": _text_option("time_format"),
    "IGNOREHEADER": _number_option("header_lines", 2**31 - 1),
    "MAXERROR": _number_option("max_errors", _MAX_ERRORS),
    "COMPROWS": _comprows,
    "COMPUPDATE": _switch,
    "STATUPDATE": _switch,
    "ENCODING": _encoding,
    "ACCEPTINVCHARS": _invalid_chars,
    "REGION": _region,
    "IAM_ROLE": _iam_role,
    "CREDENTIALS": _credentials,
    "WITH": _credentials,
    "ACCESS_KEY_ID": _access_key,
    "SECRET_ACCESS_KEY": _access_key,
    "SESSION_TOKEN": _access_key,
    "MASTER_SYMMETRIC_KEY": _master_key,
    "SERIALIZETOJSON": _serialize,
}
