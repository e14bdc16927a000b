"""The grammar of UNLOAD, and the rules between its options.

Every word that the documentation does not name is a syntax error. Parquet is unloaded; the other
formats are known and not emulated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from etl_assets_tests.standins.redshift.copy_grammar import take_iam_role, take_region
from etl_assets_tests.standins.redshift.cursor import Cursor
from etl_assets_tests.standins.redshift.errors import SqlError, not_emulated
from etl_assets_tests.standins.redshift.lexer import Token, split_statements

_FLAGS = ("ALLOWOVERWRITE", "CLEANPATH", "HEADER", "ADDQUOTES", "ESCAPE", "GZIP", "BZIP2", "ZSTD")
_TEXT_ONLY = ("DELIMITER", "FIXEDWIDTH", "ADDQUOTES", "ESCAPE", "NULL", "HEADER", "GZIP", "BZIP2", "ZSTD")  # fmt: skip
_MB = 1 << 20
_LEAST, _MOST = 5 * _MB, int(6.2 * 1024 * _MB)


@dataclass
class UnloadCommand:
    """A parsed `UNLOAD ('select') TO 's3://...'`.

    Attributes:
        select: The query, as it stands in the command.
        url: What the names of all objects begin with.
        format: The format's word; empty for delimited text.
        verbose: Whether the manifest counts records.
        parallel: Whether every slice writes files of its own.
        max_bytes: After how many bytes another file begins.
        given: Every option that was given.
    """

    select: str
    url: str
    format: str = ""
    verbose: bool = False
    parallel: bool = True
    max_bytes: int = _MOST
    given: set[str] = field(default_factory=set)

    def note(self, option: str) -> None:
        """Record that an option was given.

        Raises:
            SqlError: If it was given before.
        """
        if option in self.given:
            raise SqlError("42601", f"conflicting or redundant options: {option}")
        self.given.add(option)

    def check(self) -> None:
        """Check the rules between options.

        Raises:
            SqlError: If options conflict, one is missing, or the stand-in does not emulate one.
        """
        if "IAM_ROLE" not in self.given:
            raise SqlError("42601", "CREDENTIALS argument is required but not supplied")
        if {"ALLOWOVERWRITE", "CLEANPATH"} <= self.given:
            raise SqlError("42601", "ALLOWOVERWRITE option is not compatible with CLEANPATH option")
        if self.format != "PARQUET":
            raise not_emulated(f"UNLOAD FORMAT {self.format or 'TEXT'}")
        for option in _TEXT_ONLY:
            if option in self.given:
                raise SqlError("42601", f"{option} option is not compatible with PARQUET option")


def parse_unload(tokens: Sequence[Token]) -> UnloadCommand:
    """Parse the tokens of an UNLOAD statement.

    Args:
        tokens: The statement's tokens, the first of them UNLOAD.

    Returns:
        The command, checked.

    Raises:
        SqlError: If the statement is not what the documentation allows.
    """
    cursor = Cursor(tokens[1:])
    if not cursor.take_op("("):
        raise cursor.fail()
    select = cursor.expect("string").value
    if not cursor.take_op(")") or not cursor.take_word("TO"):
        raise cursor.fail()
    url = cursor.expect("string").value
    if not re.fullmatch(r"s3://[^/]+/.+", url):
        raise SqlError("22023", f"The S3 path '{url}' is not valid")
    command = UnloadCommand(select, url)
    while cursor.peek() is not None:
        _option(cursor, command)
    command.check()
    if len(split_statements(select)) != 1:
        raise SqlError("42601", "UNLOAD takes one query")
    return command


def _option(cursor: Cursor, command: UnloadCommand) -> None:
    """Take one option with its argument."""
    if cursor.take_word("FORMAT"):
        cursor.take_word("AS")
    word = cursor.take_word(*_FLAGS)
    if word:
        command.note(word)
        return
    word = cursor.take_word(*_OPTIONS)
    if not word:
        raise cursor.fail()
    command.note("FORMAT" if word in _FORMATS else word)
    _OPTIONS[word](cursor, command, word)


def _format(cursor: Cursor, command: UnloadCommand, word: str) -> None:
    command.format = word


def _manifest(cursor: Cursor, command: UnloadCommand, word: str) -> None:
    command.verbose = bool(cursor.take_word("VERBOSE"))


def _parallel(cursor: Cursor, command: UnloadCommand, word: str) -> None:
    command.parallel = cursor.take_word("ON", "OFF", "TRUE", "FALSE") not in ("OFF", "FALSE")


def _max_file_size(cursor: Cursor, command: UnloadCommand, word: str) -> None:
    cursor.take_word("AS")
    size = float(cursor.expect("number").text)
    size *= 1024 * _MB if cursor.take_word("MB", "GB") == "GB" else _MB
    if not _LEAST <= size <= _MOST:
        raise SqlError("22023", "MAXFILESIZE must be between 5 MB and 6.2 GB")
    command.max_bytes = int(size)


def _row_group_size(cursor: Cursor, command: UnloadCommand, word: str) -> None:
    size = cursor.number()
    cursor.take_word("MB")
    if not 32 <= size <= 128:
        raise SqlError("22023", "ROWGROUPSIZE must be between 32 MB and 128 MB")


def _text(cursor: Cursor, command: UnloadCommand, word: str) -> None:
    cursor.string()


def _elsewhere(cursor: Cursor, command: UnloadCommand, word: str) -> None:
    raise not_emulated(f"UNLOAD {word}")


_FORMATS = ("CSV", "PARQUET", "JSON")
_OPTIONS: dict[str, Callable[[Cursor, UnloadCommand, str], None]] = {
    **dict.fromkeys(_FORMATS, _format),
    **dict.fromkeys(("DELIMITER", "FIXEDWIDTH", "NULL"), _text),
    **dict.fromkeys(("PARTITION", "ENCRYPTED", "KMS_KEY_ID", "CREDENTIALS", "EXTENSION"), _elsewhere),
    "MANIFEST": _manifest,
    "PARALLEL": _parallel,
    "MAXFILESIZE": _max_file_size,
    "ROWGROUPSIZE": _row_group_size,
    "IAM_ROLE": lambda cursor, _command, _word: take_iam_role(cursor),
    "REGION": lambda cursor, _command, _word: take_region(cursor),
}  # fmt: skip
