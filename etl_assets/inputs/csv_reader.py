"""CSV, strictly: a record that is broken is a bad row, and a file that is cut off is none.

Memory is one chunk, whatever the file holds: lines and fields have a largest length.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from etl_assets.core.inputs.contract import Contract, plain_header
from etl_assets.core.inputs.files import BadFileError, Reject
from etl_assets.inputs.encodings import find_encoding
from etl_assets.inputs.rows import (
    CHUNK_CHARACTERS,
    SHOWN_CHARACTERS,
    Chunk,
    Notes,
    chunk_rows,
    match_headers,
)

DELIMITERS = (",", ";", "\t", "|")

_LONGEST_LINE = 8_000_000
_SAMPLE_LINES = 50
_FIELD_LIMIT = "field larger than field limit"
_CUT_OFF = "unexpected end of data"


def read_csv(path: Path, contract: Contract, notes: Notes) -> Iterator[Chunk]:
    """Yield the rows of a CSV; a row's number is the line it begins in.

    Raises:
        BadFileError: When the headers do not fit, or the file is cut off or no text.
    """
    encoding = contract.encoding or find_encoding(path, notes)
    strict = encoding.startswith(("utf-16", "utf-32", "utf_16", "utf_32"))
    errors = "strict" if strict else "surrogateescape"
    try:
        with path.open(encoding=encoding, errors=errors, newline="") as text:
            yield from _read(text, path, contract, encoding, notes)
    except UnicodeError as error:
        raise BadFileError(
            f"It is not text in {encoding}: {getattr(error, 'reason', error)}."
        ) from None


def _read(
    text: TextIO, path: Path, contract: Contract, encoding: str, notes: Notes
) -> Iterator[Chunk]:
    delimiter = contract.delimiter or _find_delimiter(path, encoding, contract)
    lines = Lines(text)
    for _ in range(contract.header_row - 1):
        next(lines, None)
    records = Records(lines, delimiter, contract.quote)
    headers = _headers(records, contract)
    places = match_headers(headers, contract, notes)
    columns = {name: places.get(name) for name in contract.columns}
    size = chunk_rows(contract)
    rows: list[int] = []
    kept: list[list[str]] = []
    rejects: list[Reject] = []
    for number, record in records:
        if isinstance(record, str):
            rejects.append(Reject(number, "", "", record))
        elif (fields := _fitted(record, len(headers))) is not None:
            rows.append(number)
            kept.append(fields)
        elif lines.is_cut and records.at_end():
            raise BadFileError(
                f"It is cut off: its last record, in line {number:,}, has {len(record)} of"
                f" {len(headers)} fields and no end of line.",
                "Deliver it again.",
            )
        else:
            reason = f"the row has {len(record):,} fields, the headers {len(headers):,}"
            shown = delimiter.join(record[:SHOWN_CHARACTERS])[:SHOWN_CHARACTERS]
            rejects.append(Reject(number, "", shown, reason))
        if len(rows) + len(rejects) >= size or lines.characters > CHUNK_CHARACTERS:
            yield _chunk(rows, kept, rejects, columns)
            rows, kept, rejects = [], [], []
            lines.characters = 0
    yield _chunk(rows, kept, rejects, columns)


def _chunk(
    rows: list[int],
    kept: list[list[str]],
    rejects: list[Reject],
    columns: dict[str, int | None],
) -> Chunk:
    turned = list(zip(*kept, strict=True))
    cells: dict[str, Sequence[object]] = {
        name: [None] * len(rows) if place is None or not rows else turned[place]
        for name, place in columns.items()
    }
    return Chunk(rows, cells, rejects)


def _headers(records: "Records", contract: Contract) -> list[str]:
    if contract.header_row == 0:
        return [contract.columns[name].header or name for name in contract.columns]
    first = next(records, None)
    if first is None:
        raise BadFileError("It is empty: there is not even a line of headers.")
    record = first[1]
    if isinstance(record, str):
        raise BadFileError(f"Its headers, in line {first[0]:,}, cannot be read: {record}.")
    while record and not record[-1].strip():
        record.pop()
    return record


def _fitted(record: list[str], width: int) -> list[str] | None:
    """Return a record as wide as the headers, or None; blanks behind its end are left out."""
    if len(record) > width and not any(field.strip() for field in record[width:]):
        return record[:width]
    return record if len(record) == width else None


class Lines:
    """Lines of a text, none of them longer than memory allows.

    Attributes:
        number: Of the line given last.
        is_cut: Whether that had no end.
        characters: Given so far; set to 0 by whoever counts.
    """

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.number = 0
        self.is_cut = False
        self.characters = 0

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(_LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        self.characters += len(line)
        self.is_cut = not line.endswith(("\n", "\r"))
        if self.is_cut and len(line) == _LONGEST_LINE:
            raise BadFileError(
                f"Line {self.number:,} has more than {_LONGEST_LINE:,} characters; it is no CSV."
            )
        return line


class Records:
    """Records of a CSV with the line each begins in; in place of a broken one, why it is."""

    def __init__(self, lines: Lines, delimiter: str, quote: str) -> None:
        self._lines = lines
        self._reader = csv.reader(
            lines,
            delimiter=delimiter,
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            strict=True,
        )
        self._skipped = lines.number
        self._ahead: tuple[int, list[str] | str] | None = None

    def __iter__(self) -> "Records":
        return self

    def __next__(self) -> tuple[int, list[str] | str]:
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            return ahead
        while True:
            before = self._reader.line_num
            number = self._skipped + before + 1
            try:
                record = next(self._reader)
            except csv.Error as error:
                return number, self._explained(str(error), number, self._reader.line_num - before)
            if record and (record[0].strip() or any(field.strip() for field in record)):
                return number, record

    def at_end(self) -> bool:
        """Return whether there is no further record."""
        if self._ahead is None:
            self._ahead = next(self, None)
        return self._ahead is None

    def _explained(self, error: str, number: int, lines: int) -> str:
        last = number + max(lines, 1) - 1
        if error.startswith(_CUT_OFF) or (error.startswith(_FIELD_LIMIT) and lines > 1):
            raise BadFileError(
                f"It is cut off, or a quote is missing: a quote in the record that begins in line"
                f" {number:,} is still open in line {last:,}.",
                "Deliver it again.",
            )
        if error.startswith(_FIELD_LIMIT):
            return f"a field has more than {csv.field_size_limit():,} characters"
        where = f"from line {number:,} to {last:,}" if last > number else "in it"
        return f"the quotes {where} are broken: {error}"


def _find_delimiter(path: Path, encoding: str, contract: Contract) -> str:
    """Return the delimiter that gives most of the contract's headers; a comma if all give one."""
    known = {header for name in contract.columns for header in contract.headers_of(name)}
    best, found = DELIMITERS[0], -1
    for delimiter in DELIMITERS:
        with path.open(encoding=encoding, errors="replace", newline="") as text:
            lines = Lines(text)
            for _ in range(contract.header_row - 1):
                next(lines, None)
            record = next(Records(lines, delimiter, contract.quote), (0, []))[1]
        fields = [] if isinstance(record, str) else record
        count = sum(plain_header(field) in known for field in fields)
        if contract.header_row == 0:
            count = -abs(len(fields) - len(contract.columns))
            found = -(1 << 30) if delimiter == DELIMITERS[0] else found
        if count > found:
            best, found = delimiter, count
    return best
