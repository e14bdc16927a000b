"""Feeds as an Excel workbook, row by row: memory does not grow with the records.

Excel keeps numbers as doubles and shows 15 digits, counts moments in days since 1900, and takes
what begins with `=` for a formula. What would change so is written as a text; and nothing in the
file says when it was made, so that the same records give the same bytes.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from etl_assets.core.errors import PermanentError
from etl_assets.core.feeds.formats import ExcelFormat
from etl_assets.delivery.texts import texts_of

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

_MOST_ROWS, _MOST_COLUMNS, _MOST_CHARACTERS = 1_048_576, 16_384, 32_767
_DIGITS = 15
_MADE = dt.datetime(2000, 1, 1)  # noqa: DTZ001  (what the file says of when it was made)
_FIRST_DAY = dt.date(1900, 3, 1)
"""Excel takes 1900 for a leap year, so it shows earlier days wrong."""

_MILLISECOND = 1000
_FORMATS = {"date": "yyyy-mm-dd", "timestamp": "yyyy-mm-dd hh:mm:ss.000"}

Cell = Callable[[int, int, Any], object]


def write_excel(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, options: ExcelFormat, file: Path
) -> None:
    """Write records as a workbook with one sheet.

    Raises:
        PermanentError: When there are more records, columns or characters than a sheet holds.
    """
    import xlsxwriter

    if len(schema) > _MOST_COLUMNS:
        raise _too_large(f"{len(schema):,} columns", _MOST_COLUMNS)
    settings = {
        "constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
        "strings_to_numbers": False, "default_date_format": _FORMATS["timestamp"],
        "tmpdir": str(file.parent),
    }  # fmt: skip
    with xlsxwriter.Workbook(file, settings) as book:
        book.set_properties({"created": _MADE})
        sheet = book.add_worksheet(options.sheet)
        sheet.freeze_panes(1, 0)
        bold = book.add_format({"bold": True})
        for number, name in enumerate(schema.names):
            sheet.write_string(0, number, name, bold)
        formats = {kind: book.add_format({"num_format": text}) for kind, text in _FORMATS.items()}
        row = 1
        for batch in batches:
            if row + batch.num_rows > _MOST_ROWS:
                raise _too_large("more records", _MOST_ROWS - 1)
            _write_batch(sheet, row, batch, formats)
            row += batch.num_rows


def _write_batch(
    sheet: "Worksheet", first: int, batch: pa.RecordBatch, formats: "dict[str, Format]"
) -> None:
    columns = []
    for values in batch.columns:
        as_text = _writes_text(values.type)
        found = (texts_of(values) if as_text else values).to_pylist()
        columns.append((_writer(sheet, values.type, formats), found))
    for offset in range(batch.num_rows):  # a sheet in constant memory is written row by row
        for number, (write, found) in enumerate(columns):
            value = found[offset]
            if value is not None:
                write(first + offset, number, value)


def _writes_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _writer(sheet: "Worksheet", kind: pa.DataType, formats: "dict[str, Format]") -> Cell:
    if pa.types.is_boolean(kind):
        boolean: Cell = sheet.write_boolean
        return boolean
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return lambda row, column, value: _number(sheet, row, column, value)
    if pa.types.is_floating(kind):
        return lambda row, column, value: _double(sheet, row, column, value)
    if pa.types.is_date(kind):
        return lambda row, column, value: _day(sheet, row, column, value, formats["date"])
    if pa.types.is_timestamp(kind):
        return lambda row, column, value: _moment(sheet, row, column, value, formats["timestamp"])
    return lambda row, column, value: _text(sheet, row, column, value)


def _number(sheet: "Worksheet", row: int, column: int, value: int | Decimal) -> None:
    digits = Decimal(value).normalize().as_tuple().digits
    if len(digits) <= _DIGITS:
        sheet.write_number(row, column, value)
    else:
        _text(sheet, row, column, f"{value:f}" if isinstance(value, Decimal) else str(value))


def _double(sheet: "Worksheet", row: int, column: int, value: float) -> None:
    if value - value == 0 and float(f"{value:.{_DIGITS}g}") == value:
        sheet.write_number(row, column, value)
    else:
        _text(sheet, row, column, repr(value))


def _day(sheet: "Worksheet", row: int, column: int, value: dt.date, shown: "Format") -> None:
    if value < _FIRST_DAY:
        _text(sheet, row, column, value.isoformat())
    else:
        sheet.write_datetime(row, column, dt.datetime.combine(value, dt.time()), shown)


def _moment(sheet: "Worksheet", row: int, column: int, value: dt.datetime, shown: "Format") -> None:
    if value.date() < _FIRST_DAY or value.microsecond % _MILLISECOND:
        _text(sheet, row, column, value.isoformat(" "))
    else:
        sheet.write_datetime(row, column, value, shown)


def _text(sheet: "Worksheet", row: int, column: int, value: str) -> None:
    if len(value) > _MOST_CHARACTERS:
        raise _too_large(f"a text of {len(value):,} characters", _MOST_CHARACTERS)
    sheet.write_string(row, column, value)


def _too_large(what: str, most: int) -> PermanentError:
    return PermanentError(
        f"An Excel sheet cannot hold {what}: {most:,} at most.",
        "Choose another format, or deliver less.",
    )
