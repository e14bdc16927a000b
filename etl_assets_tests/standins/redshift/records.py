"""Records and fields of CSV and character-delimited text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator

from etl_assets_tests.standins.redshift.copy_command import CopyCommand
from etl_assets_tests.standins.redshift.fields import FieldError

MAX_RECORD = 4 * 1024 * 1024
Split = Callable[[bytes], list[bytes]]


def recode(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Turn chunks of a file in some encoding into UTF-8, as COPY's ENCODING does.

    Args:
        chunks: The file.
        encoding: The Python name of its encoding.
    """
    if encoding == "utf-8":
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file without their line feeds.

    Args:
        chunks: The file.
    """
    rest: list[bytes] = []
    for chunk in chunks:
        parts = chunk.split(b"\n")
        if len(parts) == 1:
            rest.append(chunk)
            continue
        yield b"".join([*rest, parts[0]])
        yield from parts[1:-1]
        rest = [parts[-1]]
    last = b"".join(rest)
    if last:
        yield last


def _ends_inside(record: bytes, command: CopyCommand) -> bool:
    """Tell whether a record goes on after a line feed."""
    if command.format == "CSV":
        # A quotation mark inside a quoted field is doubled, so an open field leaves an odd count.
        return record.count(command.quote.encode()) % 2 == 1
    if "ESCAPE" in command.flags:
        return (len(record) - len(record.rstrip(b"\\"))) % 2 == 1
    return False


def records(source: Iterator[bytes], command: CopyCommand) -> Iterator[tuple[int, bytes]]:
    """Yield the records of a file's lines with the number of their first line.

    Args:
        source: The lines, without line feeds.
        command: The COPY being run.
    """
    number = 0
    for line in source:
        number += 1
        if number <= command.header_lines:
            continue
        start, record = number, line
        if _ends_inside(line, command):
            parts, size, inside = [line], len(line), True
            for more in source:
                number += 1
                parts.append(more)
                size += len(more) + 1
                # A further line closes the field when its own count of marks is odd; a run of
                # backslashes is different, for it always asks about the last line alone.
                inside = _ends_inside(more, command) != (command.format == "CSV")
                if not inside or size > MAX_RECORD:
                    break
            record = b"\n".join(parts)
        if record.endswith(b"\r"):
            record = record[:-1]
        if not record.strip() and "IGNOREBLANKLINES" in command.flags:
            continue
        yield start, record


def _csv_split(command: CopyCommand) -> Split:
    delimiter, quote = command.delimiter.encode(), command.quote.encode()
    d, q = re.escape(delimiter), re.escape(quote)
    blank = b" *" if delimiter == b"\t" else rb"[ \t]*"
    quoted = blank + q + b"([^" + q + b"]*(?:" + q + q + b"[^" + q + b"]*)*)" + q + blank
    field = re.compile(b"(?:" + quoted + b"|([^" + q + d + b"]*))" + d, re.DOTALL)
    doubled = quote * 2

    def split(record: bytes) -> list[bytes]:
        if quote not in record:
            return record.split(delimiter)
        fields, position = [], 0
        # Every field then ends with a delimiter, the last one too.
        for match in field.finditer(record + delimiter):
            if match.start() != position:
                break
            position = match.end()
            inside, outside = match.groups()
            fields.append(outside if inside is None else inside.replace(doubled, quote))
        if position != len(record) + len(delimiter):
            raise FieldError(1216, "Invalid quote formatting for CSV")
        return fields

    return split


def _escaped_split(command: CopyCommand) -> Split:
    delimiter, null = re.escape(command.delimiter.encode()), command.null_as.encode()
    field = re.compile(rb"((?:\\.|[^\\" + delimiter + rb"])*)" + delimiter, re.DOTALL)
    escaped = re.compile(rb"\\(.)", re.DOTALL)

    def split(record: bytes) -> list[bytes]:
        found = field.findall(record + command.delimiter.encode())
        return [f if f == null else escaped.sub(rb"\1", f) for f in found]

    return split


def splitter(command: CopyCommand) -> Split:
    """Return the function that splits a record into fields.

    Args:
        command: The COPY being run.
    """
    if command.format == "CSV":
        return _csv_split(command)
    if "ESCAPE" in command.flags:
        return _escaped_split(command)
    delimiter = command.delimiter.encode()
    return lambda record: record.split(delimiter)
