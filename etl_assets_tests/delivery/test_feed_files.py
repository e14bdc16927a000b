"""Files of feeds hold every value as it is, and the same records make the same bytes.

At risk: a number that Excel rounds, a text that a reader takes for NULL, bytes that differ for
no reason a reader can see.
"""

import contextlib
import csv
import datetime as dt
import gzip
import io
import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.core.columns import Column
from etl_assets.core.errors import PermanentError
from etl_assets.core.feeds.formats import (
    CsvFormat,
    ExcelFormat,
    Format,
    JsonLinesFormat,
    ParquetFormat,
)
from etl_assets.delivery.csv_file import write_csv
from etl_assets.delivery.files import blocks, make_file
from etl_assets.systems.unloading import Unloaded

COLUMNS = {
    "flag": "boolean", "small": "smallint", "big": "bigint", "amount": "decimal(38,2)",
    "tiny": "decimal(12,8)", "share": "double", "note": "text", "raw": "binary", "day": "date",
    "at": "timestamp",
}  # fmt: skip
NOON = dt.datetime(2017, 3, 1, 10, 11, 12)  # noqa: DTZ001
RECORDS: list[tuple[Any, ...]] = [
    (True, 1, 2**53 + 1, Decimal("123456789012345678.90"), Decimal("0.00000001"), 0.1,
     'it "is";\nso', b"\x00\xff", NOON.date(), NOON),
    (False, -1, 7, Decimal("-0.05"), Decimal("1.50000000"), 1e300, "", b"", dt.date(1899, 1, 1),
     NOON.replace(microsecond=123456)),
    (None,) * 10,
    (True, 0, 0, Decimal("0.00"), Decimal(0), -0.5, "=1+1", None, dt.date(9999, 12, 31),
     NOON.replace(1900, 1, 1, 0, 0, 0)),
    (None, None, None, None, None, None, " grün\t", None, None, None),
]  # fmt: skip


def unloaded(
    tmp_path: Path, records: Sequence[tuple[Any, ...]] = RECORDS, sizes: Sequence[int] = ()
) -> Unloaded:
    """Return records as they come out of a warehouse, in parts of some sizes."""
    columns = tuple(Column.model_validate({"name": n, "type": t}) for n, t in COLUMNS.items())
    schema = pa.schema([(c.name, c.type.arrow()) for c in columns])
    parts, left = [], list(records)
    for number, size in enumerate([*sizes, len(records)]):
        mine, left = left[:size], left[size:]
        values = zip(*mine, strict=True) if mine else [() for _ in schema]
        arrays = [pa.array(v, f.type) for v, f in zip(values, schema, strict=True)]
        file = tmp_path / f"part-{number}.parquet"
        pq.write_table(pa.table(arrays, schema=schema), file)
        parts.append(lambda file=file: _given(file))
    return Unloaded(columns, len(records), "Reading", tuple(parts))


def _given(file: Path) -> AbstractContextManager[Path]:
    return contextlib.nullcontext(file)


def made(tmp_path: Path, kind: Format, sizes: Sequence[int] = ()) -> bytes:
    result = make_file(unloaded(tmp_path, sizes=sizes), kind, tmp_path / "made")
    content = result.file.read_bytes()
    assert (result.records, result.bytes) == (len(RECORDS), len(content))
    return content


def test_csv_tells_null_from_an_empty_text_and_keeps_all_digits(tmp_path: Path) -> None:
    assert made(tmp_path, CsvFormat()).decode() == (
        "flag,small,big,amount,tiny,share,note,raw,day,at\n"
        'true,1,9007199254740993,123456789012345678.90,0.00000001,0.1,"it ""is"";\nso",00ff,'
        "2017-03-01,2017-03-01 10:11:12\n"
        'false,-1,7,-0.05,1.50000000,1e+300,"",,1899-01-01,2017-03-01 10:11:12.123456\n'
        ",,,,,,,,,\n"
        "true,0,0,0.00,0.00000000,-0.5,=1+1,,9999-12-31,1900-01-01 00:00:00\n"
        ',,,,,," grün\t",,,\n'
    )


def test_csv_takes_the_marks_of_a_locale(tmp_path: Path) -> None:
    kind = CsvFormat(
        delimiter=";", decimal_mark=",", encoding="iso-8859-1", null="NULL", header=False
    )
    lines = made(tmp_path, kind).decode("iso-8859-1").split("\n")
    assert lines[0].startswith("true;1;9007199254740993;123456789012345678,90;0,00000001;0,1;")
    assert lines[2].startswith("false;-1;7;-0,05;1,50000000;1e+300;;;1899-01-01;")
    assert lines[3] == ";".join(["NULL"] * 10)


def test_a_text_that_the_encoding_cannot_write_names_its_column(tmp_path: Path) -> None:
    records = [(*RECORDS[0][:6], "10 €", *RECORDS[0][7:])]
    with pytest.raises(PermanentError, match=r"iso-8859-1 has no '€' \(U\+20AC\).*column `note`"):
        make_file(unloaded(tmp_path, records), CsvFormat(encoding="iso-8859-1"), tmp_path / "x")
    wide = CsvFormat(encoding="windows-1252")
    content = make_file(unloaded(tmp_path, records), wide, tmp_path / "x").file.read_bytes()
    assert b"10 \x80" in content


def test_json_lines_have_every_digit(tmp_path: Path) -> None:
    lines = made(tmp_path, JsonLinesFormat()).decode().splitlines()
    assert len(lines) == len(RECORDS)
    first = json.loads(lines[0], parse_float=Decimal)
    assert first == {
        "flag": True, "small": 1, "big": 2**53 + 1, "amount": Decimal("123456789012345678.90"),
        "tiny": Decimal("0.00000001"), "share": Decimal("0.1"), "note": 'it "is";\nso',
        "raw": "00ff", "day": "2017-03-01", "at": "2017-03-01 10:11:12",
    }  # fmt: skip
    assert set(json.loads(lines[2]).values()) == {None}
    assert json.loads(lines[4])["note"] == " grün\t"


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_number_that_json_has_not_is_refused(tmp_path: Path, number: float) -> None:
    records = [(*RECORDS[0][:5], number, *RECORDS[0][6:])]
    with pytest.raises(PermanentError, match="`share` holds a number that JSON has not"):
        make_file(unloaded(tmp_path, records), JsonLinesFormat(), tmp_path / "x")


def test_parquet_has_the_exact_types(tmp_path: Path) -> None:
    table = pq.read_table(io.BytesIO(made(tmp_path, ParquetFormat())))
    assert table.schema == unloaded(tmp_path).schema
    assert [tuple(row.values()) for row in table.to_pylist()] == RECORDS


def test_excel_holds_as_text_what_it_would_change(tmp_path: Path) -> None:
    file = tmp_path / "book.xlsx"
    file.write_bytes(made(tmp_path, ExcelFormat(sheet="Sales")))
    sheet = openpyxl.load_workbook(file)["Sales"]
    rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert rows[0] == list(COLUMNS)
    assert rows[1] == [
        True, 1, "9007199254740993", "123456789012345678.90", 1e-8, 0.1, 'it "is";\nso', "00ff",
        dt.datetime(2017, 3, 1), dt.datetime(2017, 3, 1, 10, 11, 12),  # noqa: DTZ001
    ]  # fmt: skip
    assert rows[2][2:6] == [7, -0.05, 1.5, 1e300]
    assert rows[2][8:] == ["1899-01-01", "2017-03-01 10:11:12.123456"]
    assert rows[3] == [None] * 10
    assert (sheet["G5"].value, sheet["G5"].data_type) == ("=1+1", "s")
    assert rows[4][8:] == [dt.datetime(9999, 12, 31), "1900-01-01 00:00:00"]  # noqa: DTZ001


def test_a_text_longer_than_a_cell_of_excel_is_refused(tmp_path: Path) -> None:
    records = [(*RECORDS[0][:6], "x" * 32_768, *RECORDS[0][7:])]
    with pytest.raises(PermanentError, match="a text of 32,768 characters"):
        make_file(unloaded(tmp_path, records), ExcelFormat(), tmp_path / "x")


KINDS: list[Format] = [
    CsvFormat(), CsvFormat(compression="gzip"), JsonLinesFormat(),
    JsonLinesFormat(compression="gzip"), ParquetFormat(), ParquetFormat(compression="snappy"),
    ExcelFormat(),
]  # fmt: skip


@pytest.mark.parametrize(
    "kind", KINDS, ids=lambda kind: f"{kind.kind}-{getattr(kind, 'compression', '')}"
)
def test_the_same_records_make_the_same_bytes_however_they_come(
    tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl_assets.delivery.files._CELLS", 20)
    monkeypatch.setattr("etl_assets.delivery.files._LEAST", 2)
    first = made(tmp_path, kind)
    monkeypatch.setattr("time.time", lambda: 2e9)  # what is written later is the same
    assert made(tmp_path, kind, sizes=[1, 3]) == first
    if getattr(kind, "compression", "") == "gzip":
        plain = kind.model_copy(update={"compression": "none"})
        assert gzip.decompress(first) == made(tmp_path, plain)


def test_no_record_is_a_file_with_a_header(tmp_path: Path) -> None:
    empty = unloaded(tmp_path, [])
    assert make_file(empty, CsvFormat(), tmp_path / "a").file.read_text().count("\n") == 1
    assert make_file(empty, JsonLinesFormat(), tmp_path / "b").file.read_bytes() == b""
    assert pq.read_table(make_file(empty, ParquetFormat(), tmp_path / "c").file).num_rows == 0
    book = make_file(empty, ExcelFormat(), tmp_path / "d.xlsx").file
    assert openpyxl.load_workbook(book)["Data"].max_row == 1


TEXTS = st.one_of(
    st.none(),
    st.text(st.sampled_from(["a", '"', ",", ";", "\n", "\r", " ", "\t", "ü", "N", "=", "\\"]), max_size=6),
    st.sampled_from(["", "NULL", "true", "1", "2017-01-01", "-", "\ufeff"]),
)  # fmt: skip


@given(
    st.lists(st.tuples(TEXTS, TEXTS, st.none() | st.integers(-9, 9)), max_size=8),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["", "NULL", "-", "1"]),
)
def test_whatever_is_written_as_csv_is_read_back(
    records: list[tuple[str | None, str | None, int | None]], delimiter: str, null: str
) -> None:
    schema = pa.schema([("a", pa.string()), ("b", pa.string()), ("n", pa.int64())])
    arrays = [pa.array([r[i] for r in records], schema.field(i).type) for i in range(3)]
    file = io.BytesIO()
    options = CsvFormat(delimiter=delimiter, null=null)
    write_csv([pa.record_batch(arrays, schema=schema)], schema, options, file)
    text = file.getvalue().decode()
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    assert rows[0] == ["a", "b", "n"]
    assert rows[1:] == [[null if v is None else str(v) for v in r] for r in records]
    assert [_fields(line, delimiter, null) for line in _lines(text)[1:]] == [
        [v is None for v in r] for r in records
    ]


def _lines(text: str) -> list[str]:
    """Return the records of a CSV, with their quotes."""
    found, current, quoted = [], "", False
    for character in text:
        quoted ^= character == '"'
        if character == "\n" and not quoted:
            found.append(current)
            current = ""
        else:
            current += character
    return found


def _fields(line: str, delimiter: str, null: str) -> list[bool]:
    """Return which fields are NULL: those that are its text without quotes."""
    found, current, quoted = [], "", False
    for character in line + delimiter:
        quoted ^= character == '"'
        if character == delimiter and not quoted:
            found.append(current == null)
            current = ""
        else:
            current += character
    return found


def test_blocks_have_one_size_whatever_comes() -> None:
    schema = pa.schema([("n", pa.int64())])
    batches = [pa.record_batch([pa.array(range(n))], schema=schema) for n in (3, 60_000, 0, 50_000)]
    assert [block.num_rows for block in blocks(batches, schema)] == [50_000, 50_000, 10_003]
