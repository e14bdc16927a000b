"""Files that would fill the memory, run for ever, or be loaded as something they are not.

What may not happen: that a process dies of a file, or that half a file is loaded as a whole one.
"""

import gzip
import io
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_assets.core.inputs.files import BadFileError
from etl_assets_tests.inputs.made import workbook, zipped
from etl_assets_tests.inputs.reading import ORDERS, read

ROWS = "id,amount,note\n" + "".join(f"{n},{n}.25,text {n}\n" for n in range(1000))
SHEET: list[list[object]] = [["id", "amount", "note"], [1, 1, "x"], [2, 2, "y"]]
MIB = 1 << 20


def bomb(size: int = 300 * MIB) -> bytes:
    """Return a CSV of one endless text, gzipped."""
    made = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [made.compress(b"id,amount,note\n")]
    parts += [made.compress(b"1,1,x\n" * (MIB // 6)) for _ in range(size // MIB)]
    return b"".join([*parts, made.flush()])


def tarred() -> bytes:
    """Return a tar archive of a CSV."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = len(ROWS)
        archive.addfile(member, io.BytesIO(ROWS.encode()))
    return made.getvalue()


def lying_zip() -> bytes:
    """Return an archive that says its member has ten bytes, and has 300 MiB."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", b"1,1,x\n" * (300 * MIB // 6))
    content = bytearray(made.getvalue())
    size = struct.pack("<I", 300 * MIB // 6 * 6)
    assert content.count(size) == 2
    return bytes(content.replace(size, struct.pack("<I", 10)))


def edited(tmp_path: Path, change: Callable[[str], str], part: str = "sheet1.xml") -> Path:
    """Return a workbook whose XML was edited by hand."""
    source, target = workbook(tmp_path, SHEET), tmp_path / "edited.xlsx"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(part):
                content = change(content.decode()).encode()
            new.writestr(name, content)
    return target


FORMULA = "is a formula whose value was not saved: open and save the workbook in Excel"
CUT_PARQUET = b"PAR1" + bytes(100)

REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "It is empty."),
    "zeros": (bytes(4096), "It holds only zeros."),
    "only a mark": ("\ufeff".encode(), "not even a line of headers"),
    "a CSV cut inside quotes": (ROWS.encode() + b'7,1,"a text that', "a quote .* is still open"),
    "a CSV cut inside a record": (ROWS.encode() + b"7,", "its last record, in line 1,002, has 2"),
    "a quote that never ends": (
        b'id,amount,note\n1,1,"x\n' + b"2,2,y\n" * 100_000, "a quote .* still open in line",
    ),
    "gzip cut short": (gzip.compress(ROWS.encode())[:-20], "gzip file is cut off"),
    "gzip with other bytes in it": (
        gzip.compress(ROWS.encode())[:60] + b"\xff" * 20 + gzip.compress(ROWS.encode())[80:],
        "gzip file is damaged",
    ),
    "a ZIP cut short": (zipped(**{"a.csv": ROWS.encode()})[:-30], "ZIP file is damaged or cut off"),
    "a ZIP with nothing in it": (zipped(), "archive is empty"),
    "a ZIP in a ZIP": (zipped(**{"a.zip": zipped(**{"a.csv": b"x"})}), "archive in an archive"),
    "a gzip in a ZIP": (zipped(**{"a.gz": gzip.compress(b"x")}), "archive in an archive"),
    "a gzip in a gzip": (gzip.compress(gzip.compress(b"x")), "archive in an archive"),
    "a gzip bomb": (bomb(), "as a decompression bomb does"),
    "a ZIP that lies about sizes": (lying_zip(), "ZIP file is damaged|decompression bomb"),
    "Parquet cut short": (CUT_PARQUET, "Parquet file is damaged or cut off"),
    "JSON lines cut short": (b'{"id": 1, "amount": 1, "note": "x"}\n{"id": 2, "am', "cut off in"),
    "a tar": (tarred(), "It is a tar archive"),
    "a tar in a gzip": (gzip.compress(tarred()), "It is a tar archive"),
    "a PDF": (b"%PDF-1.7 ...", "It is a PDF"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "It is a picture"),
    "an HTML page": (b"<!DOCTYPE html><html>", "It is an HTML page"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Excel format"),
    "random bytes": (bytes(range(1, 256)) * 50, "no column"),
    "one line without an end": (b"id,amount,note," + b"x" * 9_000_000, "more than 8,000,000"),
    "half of UTF-16": ("id,amount,note\n1,1,x\n".encode("utf-16")[:-1], "not text in utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_none_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    content, said = REFUSED[name]
    with pytest.raises(BadFileError, match=said):
        read(tmp_path, content)


def test_a_workbook_cut_short_is_refused(tmp_path: Path) -> None:
    content = workbook(tmp_path, SHEET).read_bytes()
    for size in (len(content) - 10, len(content) // 2, 200):
        with pytest.raises(BadFileError, match="damaged or cut off"):
            read(tmp_path, content[:size])


def test_a_workbook_of_broken_xml_is_refused(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda xml: xml[: len(xml) // 2])
    with pytest.raises(BadFileError, match="The workbook is damaged"):
        read(tmp_path, path)


def test_entities_that_grow_without_end_are_refused(tmp_path: Path) -> None:
    entities = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 20}">' for n in range(8)
    )
    path = edited(
        tmp_path,
        lambda xml: f"<!DOCTYPE x [{entities}]>" + xml.replace("<sheetData>", "<sheetData>&i;"),
    )
    with pytest.raises(BadFileError, match="The workbook is damaged"):
        read(tmp_path, path)


def test_empty_rows_without_number_are_passed_over(tmp_path: Path) -> None:
    empty = "".join(f'<row r="{n}"/>' for n in range(4, 300_001))
    path = edited(tmp_path, lambda xml: xml.replace("</sheetData>", f"{empty}</sheetData>"))
    assert [row[0] for row in read(tmp_path, path).rows] == [1, 2]
    endless = '<row r="9999999"><c r="A9999999"><v>1</v></c></row></sheetData>'
    path = edited(tmp_path, lambda xml: xml.replace("</sheetData>", endless))
    with pytest.raises(BadFileError, match="has a row 9999999 behind row 3"):
        read(tmp_path, path)


def test_a_workbook_that_says_it_is_huge_is_read_as_it_is(tmp_path: Path) -> None:
    def grown(xml: str) -> str:
        far = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
        return xml.replace("A1:C3", "A1:XFD1048576").replace("</sheetData>", far)

    found = read(tmp_path, edited(tmp_path, grown))
    assert len(found.rows) == 2
    assert found.rejects == [["1048576", "id", "", "has no value"]]


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda xml: xml + " " * (70 * MIB))
    with pytest.raises(BadFileError, match="decompression bomb"):
        read(tmp_path, path)


def test_a_formula_gives_its_saved_value_and_a_bad_row_where_there_is_none(tmp_path: Path) -> None:
    path = workbook(tmp_path, [*SHEET, [3, "=1+2", "x"], [4, "#N/A", "x"]])
    found = read(tmp_path, path)
    assert [row[0] for row in found.rows] == [1, 2]
    assert found.rejects == [
        ["4", "amount", "=1+2", FORMULA],
        ["5", "amount", "#N/A", "is an error of the spreadsheet"],
    ]  # fmt: skip
    saved = edited(
        tmp_path,
        lambda xml: xml.replace('<c r="B3" t="n"><v>2</v>', '<c r="B3"><f>1+6</f><v>7</v>'),
    )
    assert [int(row[1]) for row in read(tmp_path, saved).rows] == [1, 7]


def test_merged_headers_are_refused_and_merged_rows_are_bad(tmp_path: Path) -> None:
    book = openpyxl.load_workbook(workbook(tmp_path, SHEET))
    book.active.merge_cells("A3:B3")  # type: ignore[union-attr]
    book.save(tmp_path / "rows.xlsx")
    found = read(tmp_path, tmp_path / "rows.xlsx")
    assert found.rejects == [["3", "", "", "the row has merged cells, A3:B3"]]
    book.active.merge_cells("B1:C1")  # type: ignore[union-attr]
    book.save(tmp_path / "headers.xlsx")
    with pytest.raises(BadFileError, match="headers, in row 1, have merged cells, B1:C1"):
        read(tmp_path, tmp_path / "headers.xlsx")


def test_an_archive_with_a_password_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(**{"a.csv": ROWS.encode()}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadFileError, match=r"`a\.csv` in the archive asks for a password"):
        read(tmp_path, bytes(content))


def test_rows_and_bytes_have_a_most(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="more than 999 rows"):
        read(tmp_path, ROWS, ORDERS + "most_rows: 999\n")
    for content in (ROWS.encode(), gzip.compress(ROWS.encode())):
        with pytest.raises(BadFileError, match=r"more than 9,999 bytes\. Raise `most_bytes`"):
            read(tmp_path, content, ORDERS + "most_bytes: 9999\n")


def test_a_parquet_that_repeats_one_row_without_end_is_stopped(tmp_path: Path) -> None:
    one = pa.table({"id": pa.array([1]), "amount": pa.array([1]), "note": pa.array(["x" * 9])})
    path = tmp_path / "endless.parquet"
    pq.write_table(one.take(pa.array([0] * 3_000_000)), path)
    assert path.stat().st_size < 3 * MIB
    with pytest.raises(BadFileError, match="more than 50,000 rows"):
        read(tmp_path, path, ORDERS + "most_rows: 50000\n")


def test_a_cell_that_looks_like_a_path_or_a_statement_is_a_text(tmp_path: Path) -> None:
    text = "id,amount,note\n1,1,'); DROP TABLE x\n2,1,../../x\n"
    assert [row[2] for row in read(tmp_path, text).rows] == ["'); DROP TABLE x", "../../x"]


_LIMITED = """
import resource, sys
from pathlib import Path
from etl_assets_tests.inputs.reading import ORDERS
from etl_assets.core.inputs.contract import parse_contract
from etl_assets.inputs.prepare import prepare

folder = Path(sys.argv[1])
made = prepare(folder / "big.csv", parse_contract(ORDERS, "x"), folder)
print(made.accepted, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak(folder: Path, rows: int) -> int:
    """Return the most memory, in KiB, that a process takes which reads so many rows."""
    folder.mkdir()
    with (folder / "big.csv").open("w") as text:
        text.write("id,amount,note\n")
        text.writelines(f"{n},{n}.25,some text\n" for n in range(rows))
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(folder)], capture_output=True, text=True, check=True
    )
    accepted, peak = map(int, done.stdout.split())
    assert accepted == rows
    return peak


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    small, large = _peak(tmp_path / "a", 60_000), _peak(tmp_path / "b", 480_000)
    assert large < small + 130 * 1024, f"{small:,} KiB for 60,000 rows, {large:,} for 480,000"
