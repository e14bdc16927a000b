"""JSON lines: an object per line; numbers are read exactly."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

from etl_assets.core.inputs.contract import Contract, plain_header
from etl_assets.core.inputs.files import BadFileError, Reject
from etl_assets.inputs.csv_reader import Lines
from etl_assets.inputs.encodings import find_encoding
from etl_assets.inputs.rows import (
    CHUNK_CHARACTERS,
    SHOWN_CHARACTERS,
    Chunk,
    Notes,
    check_missing,
    chunk_rows,
)

_MOST_NOTED = 5


def read_json_lines(path: Path, contract: Contract, notes: Notes) -> Iterator[Chunk]:
    """Yield the rows of a file with an object per line; a row's number is its line.

    Raises:
        BadFileError: When the last line is cut off, or no line has one of the columns.
    """
    encoding = contract.encoding or find_encoding(path, notes)
    reader = _Reader(contract)
    try:
        with path.open(encoding=encoding, newline="\n") as text:
            lines = Lines(text)
            for line in lines:
                if line.strip():
                    reader.read(line, lines)
                if reader.is_full or lines.characters > CHUNK_CHARACTERS:
                    yield reader.chunk()
                    lines.characters = 0
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        raise BadFileError(f"It is not text in {encoding}: {reason}.") from None
    if reader.seen:
        check_missing(reader.seen, contract, sorted(reader.unknown))
    if reader.unknown:
        shown = ", ".join(f"`{name[:80]}`" for name in sorted(reader.unknown)[:_MOST_NOTED])
        notes.add(f"keys left out: {shown}")
    yield reader.chunk()


class _Reader:
    """Collects the rows of lines.

    Attributes:
        seen: Columns that a line had.
        unknown: Keys that are no columns; some of them.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._known = {h: name for name in contract.columns for h in contract.headers_of(name)}
        self._size = chunk_rows(contract)
        self.seen: set[str] = set()
        self.unknown: set[str] = set()
        self._rows: list[int] = []
        self._kept: list[Mapping[str, object]] = []
        self._rejects: list[Reject] = []

    @property
    def is_full(self) -> bool:
        """Whether a chunk is complete."""
        return len(self._rows) + len(self._rejects) >= self._size

    def read(self, line: str, lines: Lines) -> None:
        """Read a line.

        Raises:
            BadFileError: When the file ends in the middle of it.
        """
        try:
            row = self._row(line.strip())
        except (ValueError, RecursionError) as error:
            if lines.is_cut and not line.rstrip().endswith("}"):
                raise BadFileError(
                    f"It is cut off in line {lines.number:,}.", "Deliver it again."
                ) from None
            reason = "is nested too deep" if isinstance(error, RecursionError) else str(error)
            self._rejects.append(Reject(lines.number, "", line.strip()[:SHOWN_CHARACTERS], reason))
        else:
            self.seen.update(row)
            self._rows.append(lines.number)
            self._kept.append(row)

    def chunk(self) -> Chunk:
        """Return the rows read since the last chunk."""
        cells = {name: [row.get(name) for row in self._kept] for name in self._contract.columns}
        made = Chunk(self._rows, cells, self._rejects)
        self._rows, self._kept, self._rejects = [], [], []
        return made

    def _row(self, line: str) -> dict[str, object]:
        """Return a line's values by column.

        Raises:
            ValueError: When it is no object, or its keys do not fit.
        """
        row: dict[str, object] = {}
        for key, value in _pairs_of(line):
            name = self._known.get(plain_header(key))
            if name in row:
                raise ValueError(f"has the column `{name}` twice")
            if name is not None:
                row[name] = dict(value) if isinstance(value, _Pairs) else value
            elif self._contract.unknown_columns == "refuse":
                raise ValueError(f"`{key[:80]}` is not in the contract")
            elif len(self.unknown) < _MOST_NOTED:
                self.unknown.add(key)
        return row


class _Pairs(list[tuple[str, object]]):
    """An object as it is written, so that a key that is there twice is seen."""


def _pairs_of(line: str) -> _Pairs:
    try:
        read = json.loads(
            line, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_Pairs
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON ({error.msg} in column {error.colno})") from None
    if not isinstance(read, _Pairs):
        raise ValueError("is no JSON object")  # noqa: TRY004  (one kind of error for a bad row)
    return read


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"holds {constant}, which is no number of JSON")


def first_objects(path: Path, encoding: str, most: int) -> list[dict[str, object]]:
    """Return the first objects of a file, without those lines that are none."""
    found: list[dict[str, object]] = []
    with path.open(encoding=encoding, newline="\n") as text:
        for line in Lines(text):
            with contextlib.suppress(ValueError, RecursionError):
                found.append(dict(_pairs_of(line)))
            if len(found) >= most:
                break
    return found
