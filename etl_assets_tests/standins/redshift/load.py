"""The data of one COPY: from objects to PostgreSQL's COPY stream, with every field checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from etl_assets_tests.standins.redshift.copy_command import CopyCommand
from etl_assets_tests.standins.redshift.errors import SqlError, load_failed
from etl_assets_tests.standins.redshift.fields import NULL, Check, Column, FieldError, check_for
from etl_assets_tests.standins.redshift.records import (
    MAX_RECORD,
    Split,
    lines,
    recode,
    records,
    splitter,
)
from etl_assets_tests.standins.redshift.sources import S3Source

_FLUSH = 256 * 1024


@dataclass(frozen=True)
class LoadError:
    """A record that did not load, as the error tables show it."""

    file: str
    line: int
    column: str
    type_name: str
    length: str
    position: int
    raw_line: str
    raw_value: str
    code: int
    reason: str


class _RecordError(FieldError):
    """A field error with the place of the field."""

    def __init__(self, error: FieldError, index: int, raw: bytes) -> None:
        super().__init__(error.code, error.reason)
        self.index = index
        self.raw = raw


def choose_columns(columns: list[Column], command: CopyCommand) -> list[Column]:
    """Return the columns that the fields of a record go to, in order.

    Args:
        columns: The table's columns.
        command: The COPY.

    Raises:
        SqlError: If the column list names what the table does not have, or an identity column
            without EXPLICIT_IDS.
    """
    explicit = "EXPLICIT_IDS" in command.flags
    if command.columns is None:
        return [c for c in columns if explicit or not c.identity]
    known = {c.name: c for c in columns}
    for name in command.columns:
        if name not in known:
            raise SqlError(
                "42703", f'column "{name}" of relation "{command.table_name}" does not exist'
            )
        if known[name].identity == "a" and not explicit:
            message = f'cannot set an identity column "{name}" to a value'
            raise SqlError("42601", message, hint="Use EXPLICIT_IDS.")
    return [known[name] for name in command.columns]


class Load:
    """One run of a COPY.

    Attributes:
        rows: The records sent to the table.
        errors: The records that did not load.
    """

    def __init__(self, command: CopyCommand, columns: list[Column], source: S3Source) -> None:
        self.rows = 0
        self.errors: list[LoadError] = []
        self._command = command
        self._columns = columns
        self._source = source
        self._split: Split = splitter(command)
        self._checks: list[Check] = [check_for(c, command) for c in columns]
        self._null = command.null_as.encode()
        self._empty_is_null = [
            "EMPTYASNULL" in command.flags or not c.is_character for c in columns
        ]

    def chunks(self) -> Iterator[bytes]:
        """Yield the data in PostgreSQL's text format.

        Raises:
            SqlError: If the load fails, after which `errors` says why.
        """
        pending: list[bytes] = []
        size = 0
        for url in self._source.urls():
            content = lines(recode(self._source.read(url), self._command.encoding))
            for line, record in records(content, self._command):
                try:
                    row = self._row(record)
                except FieldError as error:
                    self._note(error, url, line, record)
                    continue
                self.rows += 1
                pending.append(row)
                size += len(row)
                if size >= _FLUSH:
                    yield b"".join(pending)
                    pending, size = [], 0
        yield b"".join(pending)

    def _row(self, record: bytes) -> bytes:
        """Check a record and return it in PostgreSQL's text format."""
        if len(record) > MAX_RECORD:
            raise FieldError(1216, "Input line exceeds 4 MB")
        if self._command.invalid_char:
            record = self._replace_invalid(record)
        fields = self._split(record)
        missing = len(self._checks) - len(fields)
        if missing < 0:
            raise FieldError(1202, "Extra column(s) found")
        if missing and "FILLRECORD" in self._command.flags:
            fields += [b""] * missing
        elif missing:
            raise FieldError(1214, "Delimiter not found")
        if b"\0" in record:
            self._refuse_bytes(fields, b"\0")
        try:
            record.decode("utf-8")
        except UnicodeDecodeError:
            self._refuse_bytes(fields, b"")
        return self._convert(fields, len(fields) - missing)

    def _convert(self, fields: list[bytes], present: int) -> bytes:
        out = []
        null, blanks = self._null, "BLANKSASNULL" in self._command.flags
        for index, raw in enumerate(fields):
            empty = self._empty_is_null[index] or index >= present
            if raw == null or (not raw and empty) or (blanks and raw and not raw.strip(b" ")):
                if self._columns[index].not_null:
                    error = FieldError(1213, "Missing data for not-null field")
                    raise _RecordError(error, index, raw)
                out.append(NULL)
                continue
            try:
                out.append(self._checks[index](raw))
            except FieldError as error:
                raise _RecordError(error, index, raw) from None
        return b"\t".join(out) + b"\n"

    def _replace_invalid(self, record: bytes) -> bytes:
        """Replace bytes that are not UTF-8 one for one, as ACCEPTINVCHARS does."""
        text = record.decode("utf-8", "surrogateescape")
        return re.sub("[\udc80-\udcff]", lambda _: self._command.invalid_char, text).encode()

    def _refuse_bytes(self, fields: list[bytes], byte: bytes) -> None:
        """Raise the error of the first field with a NUL byte, or one that is not UTF-8."""
        for index, raw in enumerate(fields):
            if byte and byte in raw and raw != self._null:
                reason = "Invalid null byte - field longer than 1 byte"
                raise _RecordError(FieldError(1218, reason), index, raw)
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                bad = raw[error.start : error.end].hex(" ")
                number = 2 if "end of data" in error.reason else 3
                reason = (
                    "String contains invalid or unsupported UTF8 codepoints. "
                    f"Bad UTF8 hex sequence: {bad} (error {number})"
                )
                raise _RecordError(FieldError(1220, reason), index, raw) from None

    def _note(self, error: FieldError, url: str, line: int, record: bytes) -> None:
        """Record a load error, and fail the load when there are too many."""
        name = type_name = length = raw = ""
        position = 0
        if isinstance(error, _RecordError):
            column = self._columns[error.index]
            name, type_name, length = column.name, column.shown_type, column.length
            raw = error.raw.decode("utf-8", "replace")
            position = max(record.find(error.raw), 0)
        self.errors.append(
            LoadError(
                url,
                line,
                name,
                type_name,
                length,
                position,
                record[:1024].decode("utf-8", "replace"),
                raw,
                error.code,
                error.reason,
            )
        )
        if "IGNOREALLERRORS" in self._command.flags:
            return
        if len(self.errors) >= max(self._command.max_errors, 1):
            raise load_failed(self._command.table_name)


class DirectLoad:
    """One run of a COPY whose fields PostgreSQL reads without the stand-in's checks.

    The parts stream into COPY FROM STDIN, so the load is fast and the differences are large: see
    the README.
    """

    def __init__(self, command: CopyCommand, columns: list[Column], source: S3Source) -> None:
        self.rows = 0
        self.errors: list[LoadError] = []
        self._command = command
        self._columns = columns
        self._source = source

    def options(self) -> str:
        """Return the options of the COPY FROM STDIN that reads the parts."""
        command = self._command
        if command.format != "CSV":
            return f"DELIMITER {_literal(command.delimiter)}, NULL {_literal(command.null_as)}"
        nullable = [c.name for c in self._columns if not c.is_character]
        forced = ", ".join('"' + n.replace('"', '""') + '"' for n in nullable)
        options = f"FORMAT csv, DELIMITER {_literal(command.delimiter)}, NULL ''"
        options += f", QUOTE {_literal(command.quote)}"
        return options + (f", FORCE_NULL ({forced})" if forced else "")

    def chunks(self) -> Iterator[bytes]:
        """Yield the parts as they are, the NULL token replaced with an empty unquoted field."""
        command = self._command
        token = command.null_as.encode() if command.format == "CSV" else b""
        quoted = command.quote.encode() + token + command.quote.encode()
        for url in self._source.urls():
            rest, skip = b"", command.header_lines
            for chunk in recode(self._source.read(url), command.encoding):
                # A token never holds a line break, so whole lines cannot cut one in two.
                whole, feed, tail = (rest + chunk).rpartition(b"\n")
                rest = tail
                data = whole + feed
                while skip and data:
                    data = data.partition(b"\n")[2]
                    skip -= 1
                if token:
                    data = data.replace(quoted, b"").replace(token, b"")
                yield data
            if rest and not skip:
                last = rest + b"\n"
                yield last.replace(quoted, b"").replace(token, b"") if token else last


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
