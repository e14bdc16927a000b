"""Every format and encoding gives the same rows; what is ambiguous is decided by the contract."""

import datetime as dt
import gzip
import json
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_assets.core.inputs.files import BadFileError
from etl_assets_tests.inputs.made import workbook, zipped
from etl_assets_tests.inputs.reading import ORDERS, read

TEXT = 'id,amount,note\n1,1.50,grün\n2,-2,"a, ""b""\nc"\n3,,\n'
ROWS = [(1, Decimal("1.50"), "grün"), (2, Decimal(-2), 'a, "b"\nc'), (3, None, None)]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_an_encoding_is_found(tmp_path: Path, encoding: str) -> None:
    found = read(tmp_path, TEXT.encode(encoding))
    assert found.rows == ROWS
    assert found.numbers == [2, 3, 5]
    noted = ["read as cp1252, since it is not UTF-8"] if encoding == "cp1252" else []
    assert found.notes == noted


@pytest.mark.parametrize("encoding", ["latin1", "cp850", "cp1250", "mac_roman", "utf-16"])
def test_an_encoding_that_is_declared_is_used(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, TEXT.encode(encoding), ORDERS + f"encoding: {encoding}\n").rows == ROWS


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_ends_of_lines_are_found(tmp_path: Path, delimiter: str, end: str) -> None:
    lines = ["id,amount,note", "1,1.5,x y", "2,2.5,z"]
    text = end.join(line.replace(",", delimiter) for line in lines)
    assert read(tmp_path, text).rows == [(1, Decimal("1.5"), "x y"), (2, Decimal("2.5"), "z")]


def test_a_delimiter_and_a_quote_may_be_declared(tmp_path: Path) -> None:
    contract = ORDERS + "delimiter: '^'\nquote: \"'\"\n"
    assert read(tmp_path, "id^amount^note\n1^2^'a^b'\n", contract).rows == [(1, Decimal(2), "a^b")]
    unquoted = ORDERS + "quote: ''\n"
    assert read(tmp_path, 'id,amount,note\n1,2,5" pipe\n', unquoted).rows[0][2] == '5" pipe'


def test_headers_are_found_by_name_alias_case_and_blanks(tmp_path: Path) -> None:
    contract = ORDERS.replace("'decimal(12,2)'", "'decimal(12,2)', header: Net Amount").replace(
        "varchar(20)", "varchar(20), aliases: [Remark, Bemerkung]"
    )
    text = "\ufeffBEMERKUNG ; ID;net_amount;extra\nx;1;2;3\n"
    found = read(tmp_path, text, contract)
    assert found.rows == [(1, Decimal(2), "x")]
    assert found.notes == ["columns left out: `extra`"]


def test_headers_may_stand_further_down_or_be_missing(tmp_path: Path) -> None:
    text = "Report of 1 May\n\nid,amount,note\n1,2,x\n"
    assert read(tmp_path, text, ORDERS + "header_row: 3\n").numbers == [4]
    found = read(tmp_path, "1;2;x\n2;3;y\n", ORDERS + "header_row: 0\n")
    assert (found.rows[0], found.numbers) == ((1, Decimal(2), "x"), [1, 2])


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ("id,amount", "no column `note`"),
        ("id,amount,note,NOTE", "`note` and `NOTE` both are the column `note`"),
        ("id,amount,note,more", "columns `more` are not in the contract"),
    ],
)
def test_headers_that_do_not_fit_quarantine_the_file(
    tmp_path: Path, headers: str, said: str
) -> None:
    with pytest.raises(BadFileError, match=said):
        read(tmp_path, f"{headers}\n1,2,x,y\n", ORDERS + "unknown_columns: refuse\n")


def test_an_optional_column_may_be_missing_and_has_its_default(tmp_path: Path) -> None:
    contract = ORDERS.replace("varchar(20)", "varchar(20), optional: true, default: none")
    assert read(tmp_path, "id,amount\n1,2\n", contract).rows == [(1, Decimal(2), "none")]


def test_broken_rows_are_told_with_line_column_value_and_reason(tmp_path: Path) -> None:
    text = (
        "id,amount,note\n"
        "1,1.5,ok\n"
        "x,1.555,a text that is longer than the column\n"
        ",2,no key\n"
        "4,5\n"
        "5,6,7,8\n"
        '6,"7"8,x\n'
        "7,8,fine,\n"
        "8,9,\0\n"
    )
    found = read(tmp_path, text)
    assert [row[0] for row in found.rows] == [1, 7]
    assert found.rejected == 6
    assert found.rejects == [
        ["3", "id", "x", "is not a number"],
        ["3", "amount", "1.555", "is not exactly a value of decimal(12,2)"],
        ["3", "note", "a text that is longer than the column",
         "has 37 characters, and varchar(20) holds 20"],
        ["4", "id", "", "has no value"],
        ["5", "", "4,5", "the row has 2 fields, the headers 3"],
        ["6", "", "5,6,7,8", "the row has 4 fields, the headers 3"],
        ["7", "", "", "the quotes in it are broken: ',' expected after '\"'"],
        ["9", "note", "\0", "holds a NUL character"],
    ]  # fmt: skip


def test_a_byte_that_is_no_text_makes_a_bad_row_where_the_encoding_is_declared(
    tmp_path: Path,
) -> None:
    found = read(tmp_path, b"id,amount,note\n1,1,\xff\n2,2,x\n", ORDERS + "encoding: utf-8\n")
    assert [row[0] for row in found.rows] == [2]
    assert found.rejects == [["2", "note", "\\udcff", "is not text in the file's encoding"]]


def test_codes_stand_for_values_and_others_are_bad(tmp_path: Path) -> None:
    contract = ORDERS.replace("varchar(20)", "boolean, codes: {ja: true, nein: false, k.A.: null}")
    found = read(tmp_path, "id,amount,note\n1,1,ja\n2,1,nein\n3,1,k.A.\n4,1,oui\n5,1,\n", contract)
    assert [row[2] for row in found.rows] == [True, False, None, None]
    assert found.rejects == [["5", "note", "oui", "is not among the column's codes"]]


def test_texts_are_trimmed_and_null_values_are_null(tmp_path: Path) -> None:
    text = "id,amount,note\n 1 ,NULL,\u00a0 x y \n2,n/a,NULL\n"
    found = read(tmp_path, text, ORDERS + "null_values: ['NULL', n/a]\n")
    assert found.rows == [(1, None, "x y"), (2, None, None)]


def test_of_rows_with_one_key_the_last_is_kept_or_the_others_are_bad(tmp_path: Path) -> None:
    text = "id,amount,note\n1,1,a\n2,1,b\n1,2,c\n1,3,d\n"
    last = read(tmp_path, text)
    assert (last.rows[-1], last.numbers, last.duplicates) == ((1, Decimal(3), "d"), [3, 5], 2)
    first = read(tmp_path, text, ORDERS + "duplicates: reject\n")
    assert (first.numbers, first.rejected, first.duplicates) == ([2, 3], 2, 0)
    assert first.rejects == [
        ["4", "id", "1", "the key came before in the file"],
        ["5", "id", "1", "the key came before in the file"],
    ]


def test_bad_rows_may_quarantine_the_file(tmp_path: Path) -> None:
    text = "id,amount,note\n1,1,a\nx,1,b\n"
    none = ORDERS + "on_bad_row: quarantine_file\n"
    assert "(`on_bad_row`)" in read(tmp_path, text, none).fault
    some = ORDERS.replace("100", "49.9")
    assert read(tmp_path, text, some).fault == (
        "1 of its 2 rows is bad, more than 49.9% (`most_rejected_percent`)."
    )
    assert read(tmp_path, text, ORDERS.replace("100", "50")).fault == ""


def test_json_lines_are_exact_and_a_bad_line_is_a_bad_row(tmp_path: Path) -> None:
    lines = [
        '{"ID": 1, "amount": 0.10, "note": "grün", "more": [1]}',
        '{"id": 2, "amount": "3.5"}',
        '{"id": 3, "amount": NaN}',
        '{"id": 4, "id": 5}',
        "[1]",
        '{"id": 6, "note": {"a": 1}}',
        '{"id": 7, "amount": 1e400000000}',
        '{"id": 8, "amount": 1',
        "",
        '{"id": 12345678901234567890}',
        '{"id": 9.0, "note": true}',
    ]
    found = read(tmp_path, "\n".join(lines) + "\n")
    assert found.rows == [
        (1, Decimal("0.10"), "grün"),
        (2, Decimal("3.5"), None),
        (9, None, "true"),
    ]
    assert [[r[0], r[3]] for r in found.rejects] == [
        ["3", "holds NaN, which is no number of JSON"],
        ["4", "has the column `id` twice"],
        ["5", "is no JSON object"],
        ["6", "is of the type dict, which no column holds"],
        ["7", "is not a number"],
        ["8", "is no JSON (Expecting ',' delimiter in column 22)"],
        ["10", "is not exactly a value of integer"],
    ]
    assert found.notes == ["keys left out: `more`"]


def test_json_lines_without_one_of_the_columns_are_quarantined(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="no column `note`; it has `remark` instead"):
        read(tmp_path, '{"id": 1, "amount": 1, "remark": "x"}\n')


def parquet(tmp_path: Path, **columns: pa.Array) -> Path:
    path = tmp_path / "delivered.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        id=pa.array([1, 2], pa.int64()),
        amount=pa.array([Decimal("1.50"), None], pa.decimal128(20, 4)),
        note=pa.array(["x", "y"]).dictionary_encode(),
    )
    assert read(tmp_path, path).rows == [(1, Decimal("1.50"), "x"), (2, None, "y")]
    contract = ORDERS.replace("varchar(20)", "timestamp").replace("'decimal(12,2)'", "double")
    moments = [dt.datetime(2017, 1, 1, 2, tzinfo=dt.UTC), None]
    path = parquet(
        tmp_path, id=pa.array([1, 2]), amount=pa.array([0.1, 1e300]),
        note=pa.array(moments, pa.timestamp("ns", "Europe/Berlin")),
    )  # fmt: skip
    at = dt.datetime(2017, 1, 1, 2)  # noqa: DTZ001
    assert read(tmp_path, path, contract).rows == [(1, 0.1, at), (2, 1e300, None)]


def test_a_workbook_has_exact_numbers_and_dates(tmp_path: Path) -> None:
    contract = ORDERS + "  day: {type: date}\n  at: {type: timestamp}\nnumber: de_DE\n"
    at = dt.datetime(2017, 12, 31, 23, 59, 59)  # noqa: DTZ001
    rows: list[list[object]] = [
        ["ID", "Amount", "Note", "Day", "At", None],
        [1, 0.1, "x", dt.date(2017, 12, 31), at, None],
        [],
        [2, 1234.56, 42, 43100, 43100.5, None],
        [3, "1.234,56", True, "2017-01-02", None, None],
        [4, 1.005, None, 43100.25, None, None],
    ]
    found = read(tmp_path, workbook(tmp_path, rows), contract)
    noon, day = dt.datetime(2017, 12, 31, 12), dt.date(2017, 12, 31)  # noqa: DTZ001
    assert found.rows == [
        (1, Decimal("0.10"), "x", day, at),
        (2, Decimal("1234.56"), "42", day, noon),
        (3, Decimal("1234.56"), "true", dt.date(2017, 1, 2), None),
    ]
    assert found.numbers == [2, 4, 5]
    assert found.rejects == [
        ["6", "amount", "1.005", "is not exactly a value of decimal(12,2)"],
        ["6", "day", "2017-12-31 06:00:00", "has a time of day, which a date does not hold"],
    ]


def test_the_sheet_is_the_one_named_or_the_first(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for title, key in (("first", 1), ("second", 2)):
        sheet = book.create_sheet(title)
        sheet.append(["id", "amount", "note"])
        sheet.append([key, 1, title])
    del book["Sheet"]
    book.save(tmp_path / "two.xlsx")
    first = read(tmp_path, tmp_path / "two.xlsx")
    assert (first.rows[0][2], first.notes) == ("first", ["read the sheet `first`, the first of 2"])
    assert read(tmp_path, tmp_path / "two.xlsx", ORDERS + "sheet: second\n").rows[0][0] == 2
    with pytest.raises(BadFileError, match="no sheet `third`; it has `first`, `second`"):
        read(tmp_path, tmp_path / "two.xlsx", ORDERS + "sheet: third\n")


def test_packed_files_are_unpacked_and_every_member_of_an_archive_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, gzip.compress(TEXT.encode())).rows == ROWS
    made = zipped(
        **{"a.csv": b"id,amount,note\n1,1,a\nx,1,b\n", "b.jsonl": json.dumps(
            {"id": 2, "amount": 2, "note": "b"}).encode()}
    )  # fmt: skip
    found = read(tmp_path, made)
    assert sorted(row[0] for row in found.rows) == [1, 2]
    assert found.rejects == [["3", "id", "x", "is not a number (in a.csv)"]]
    whole = workbook(tmp_path, [["id", "amount", "note"], [1, 1, "x"]])
    assert len(read(tmp_path, zipped(**{"w.xlsx": whole.read_bytes()})).rows) == 1


def test_the_content_decides_whatever_the_name_says(tmp_path: Path) -> None:
    path = workbook(tmp_path, [["id", "amount", "note"], [1, 1, "x"]], "really.csv.xlsx")
    path = path.rename(tmp_path / "orders.csv")
    assert len(read(tmp_path, path).rows) == 1
    with pytest.raises(BadFileError, match="It is a workbook, and the contract wants text"):
        read(tmp_path, path, ORDERS + "format: csv\n")
