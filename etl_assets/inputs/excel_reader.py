"""Workbooks of Excel, row by row.

openpyxl reads a sheet as a stream; what it would pass over in silence is looked at here: a formula
whose value was never saved, an error, merged cells, and how much a part unpacks to.
"""

import itertools
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import ParseError

from openpyxl import load_workbook
from openpyxl.utils.cell import range_boundaries
from openpyxl.utils.datetime import from_excel
from openpyxl.worksheet._reader import WorkSheetParser

from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.files import BadFileError, Reject
from etl_assets.inputs.content import check_size
from etl_assets.inputs.rows import Chunk, Notes, chunk_rows, match_headers

_BLOCK = 1 << 20
_MOST_ROWS = 1_048_576
_MOST_MERGED = 100_000
_LAST_SERIAL = 2_958_465  # 9999-12-31
_MOST_PART_BYTES = 512 << 20
"""What is not a sheet, such as the texts that cells share, is held in memory."""

_MERGED = re.compile(rb'mergeCell\s[^>]*?ref="([A-Z]{1,3}\d{1,7}(?::[A-Z]{1,3}\d{1,7})?)"')
_LONGEST_TAG = 256
_FORMULA = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}f"
_DAMAGE = (zipfile.BadZipFile, KeyError, ParseError, ValueError, IndexError, TypeError,
           AttributeError, EOFError, OSError)  # fmt: skip
"""What openpyxl raises on a workbook that is none."""


class Fault:
    """In place of a cell's value: why there is none."""

    def __init__(self, reason: str, shown: str = "") -> None:
        self.reason = reason
        self._shown = shown

    def __str__(self) -> str:
        return self._shown


def read_excel(path: Path, contract: Contract, notes: Notes) -> Iterator[Chunk]:
    """Yield the rows of a sheet; a row's number is Excel's. Empty rows are passed over.

    Raises:
        BadFileError: When it is damaged, has no such sheet, merged headers or others than the
            contract's.
    """
    _check_parts(path, contract)
    try:
        with path.open("rb") as file, warnings.catch_warnings():  # of a path it judges the name
            warnings.simplefilter("ignore")  # openpyxl warns of what it does not keep
            workbook = load_workbook(file, read_only=True, data_only=True, keep_links=False)
            try:
                yield from _read(_sheet(workbook, contract, notes), path, contract, notes)
            finally:
                workbook.close()
    except _DAMAGE as error:
        raise BadFileError(
            f"The workbook is damaged or cut off ({type(error).__name__}: {error}).",
            "Save it again as .xlsx.",
        ) from None


def _read(sheet: Any, path: Path, contract: Contract, notes: Notes) -> Iterator[Chunk]:  # noqa: ANN401
    merged = _merged_rows(path, sheet._worksheet_path)  # noqa: SLF001
    rows = _rows(sheet)
    places = _headers(rows, merged, contract, notes)
    columns = {
        name: (places.get(name), contract.columns[name].type.name in ("date", "timestamp"))
        for name in contract.columns
    }
    size, epoch = chunk_rows(contract), sheet.parent.epoch
    numbers: list[int] = []
    kept: list[list[object]] = []
    rejects: list[Reject] = []
    for number, cells in rows:
        if not any(_is_there(value) for value in cells.values()):
            continue
        values = [
            _value(cells.get(place), epoch, is_date=is_date) if place is not None else None
            for place, is_date in columns.values()
        ]
        faults = [
            Reject(number, name, str(value), value.reason)
            for name, value in zip(columns, values, strict=True)
            if isinstance(value, Fault)
        ]
        if number in merged:
            faults = [Reject(number, "", "", f"the row has merged cells, {merged[number]}")]
        if faults:
            rejects += faults
        else:
            numbers.append(number)
            kept.append(values)
        if len(numbers) + len(rejects) >= size:
            yield _chunk(numbers, kept, rejects, contract)
            numbers, kept, rejects = [], [], []
    yield _chunk(numbers, kept, rejects, contract)


def _chunk(
    rows: list[int], kept: list[list[object]], rejects: list[Reject], contract: Contract
) -> Chunk:
    cells: dict[str, Sequence[object]] = {
        name: [values[place] for values in kept] for place, name in enumerate(contract.columns)
    }
    return Chunk(rows, cells, rejects)


def _headers(
    rows: Iterator[tuple[int, dict[int, object]]],
    merged: dict[int, str],
    contract: Contract,
    notes: Notes,
) -> dict[str, int]:
    """Return the place of each column; read on to the row of the headers."""
    wanted = contract.header_row
    if wanted == 0:
        return {name: place for place, name in enumerate(contract.columns, 1)}
    if wanted in merged:
        raise BadFileError(
            f"Its headers, in row {wanted}, have merged cells, {merged[wanted]}.",
            "Write one header above each column, or name the row that has them (`header_row`).",
        )
    for number, cells in rows:
        if number == wanted:
            width = max(cells, default=0)
            headers = [cells.get(place) for place in range(1, width + 1)]
            texts = [h if h is None or isinstance(h, str) else str(h) for h in headers]
            return {name: at + 1 for name, at in match_headers(texts, contract, notes).items()}
        if number > wanted:
            break
    raise BadFileError(f"It has no headers in row {wanted} (`header_row`).")


def _value(value: object, epoch: Any, *, is_date: bool) -> object:  # noqa: ANN401
    """Return a cell's value; a number that is meant as a date is one."""
    if is_date and isinstance(value, int | float) and not isinstance(value, bool):
        return from_excel(value, epoch) if 1 <= value <= _LAST_SERIAL else str(value)
    return value


def _is_there(value: object) -> bool:
    return not (value is None or (isinstance(value, str) and not value.strip()))


def _rows(sheet: Any) -> Iterator[tuple[int, dict[int, object]]]:  # noqa: ANN401
    """Yield a sheet's rows that are there, each with its cells by column, from 1."""
    book = sheet.parent
    with sheet._get_source() as source:  # noqa: SLF001
        parser = _Parser(
            source, sheet._shared_strings, data_only=True, epoch=book.epoch,  # noqa: SLF001
            date_formats=book._date_formats, timedelta_formats=book._timedelta_formats,  # noqa: SLF001
        )  # fmt: skip
        last = 0
        for number, cells in parser.parse():
            if not last < number <= _MOST_ROWS:
                raise BadFileError(f"The sheet has a row {number} behind row {last}.")
            last = number
            yield number, {cell["column"]: cell["value"] for cell in cells}


class _Parser(WorkSheetParser):
    """Reads values, and says where a formula has none and where there is an error."""

    def parse_cell(self, element: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return a cell as openpyxl has it."""
        cell: dict[str, Any] = super().parse_cell(element)
        if cell["data_type"] == "e":
            cell["value"] = Fault("is an error of the spreadsheet", str(cell["value"]))
        elif cell["value"] is None and (formula := element.find(_FORMULA)) is not None:
            reason = "is a formula whose value was not saved: open and save the workbook in Excel"
            cell["value"] = Fault(reason, f"={formula.text or ''}")
        return cell


def _sheet(workbook: Any, contract: Contract, notes: Notes) -> Any:  # noqa: ANN401
    sheets = {sheet.title: sheet for sheet in workbook.worksheets}
    if contract.sheet is not None:
        if contract.sheet not in sheets:
            names = ", ".join(f"`{name}`" for name in sheets)
            raise BadFileError(f"It has no sheet `{contract.sheet}`; it has {names}.")
        return sheets[contract.sheet]
    if not sheets:
        raise BadFileError("It has no sheet with cells.")
    name, first = next(iter(sheets.items()))
    if len(sheets) > 1:
        notes.add(f"read the sheet `{name}`, the first of {len(sheets)}")
    return first


def _check_parts(path: Path, contract: Contract) -> None:
    """Unpack every part once, and count; what the archive says of their sizes is not believed."""
    total, packed_bytes = 0, path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                size = 0
                with archive.open(member) as part:
                    while block := part.read(_BLOCK):
                        size += len(block)
                        check_size(total + size, packed_bytes, contract)
                        if size > _MOST_PART_BYTES and "worksheets/" not in member.filename:
                            raise BadFileError(
                                f"Its part {member.filename} has more than"
                                f" {_MOST_PART_BYTES:,} bytes.",
                                "Deliver it as CSV.",
                            )
                total += size
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadFileError(
            f"The workbook is damaged or cut off ({error}).", "Deliver it again."
        ) from None


def _merged_rows(path: Path, part: str) -> dict[int, str]:
    """Return the rows of a sheet in which cells are merged, each with the cells."""
    found: dict[int, str] = {}
    with zipfile.ZipFile(path) as archive, archive.open(part.lstrip("/")) as sheet:
        for written in _merged_cells(sheet):
            _, first, _, last = range_boundaries(written)
            for number in range(int(first or 1), int(last or 1) + 1):
                found.setdefault(number, written)
            if len(found) > _MOST_MERGED:
                raise BadFileError(f"It has merged cells in more than {_MOST_MERGED:,} rows.")
    return found


def _merged_cells(sheet: IO[bytes]) -> Iterator[str]:
    """Yield the merged ranges of a sheet's XML; memory is one block."""
    rest = b""
    while block := sheet.read(_BLOCK):
        text = rest + block
        end = 0
        for match in _MERGED.finditer(text):
            yield match[1].decode()
            end = match.end()
        rest = text[max(end, len(text) - _LONGEST_TAG) :]


def first_rows(path: Path, most: int) -> tuple[str, list[tuple[int, dict[int, object]]]]:
    """Return the name of the first sheet and its first rows that are not empty."""
    workbook = load_workbook(path, read_only=True, data_only=True, keep_links=False)
    try:
        sheet = workbook.worksheets[0]
        there = (row for row in _rows(sheet) if any(map(_is_there, row[1].values())))
        return sheet.title, list(itertools.islice(there, most))
    finally:
        workbook.close()
