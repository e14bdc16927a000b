"""A contract made from a sample loads that sample, whatever it is."""

import csv
import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_assets.core.errors import DocumentError
from etl_assets.core.inputs.contract import Contract, parse_contract
from etl_assets.core.inputs.files import BadFileError
from etl_assets.inputs.infer import infer, source_name
from etl_assets_tests.inputs.made import workbook, zipped
from etl_assets_tests.inputs.reading import read


def inferred(folder: Path, content: str | bytes | Path) -> tuple[Contract, Any]:
    """Return the contract of a file, and the file read by it."""
    path = content if isinstance(content, Path) else folder / "sample"
    if not isinstance(content, Path):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    text = infer(path, "sample")
    return parse_contract(text, "sample.yaml"), read(folder, path, text)


def kinds(contract: Contract) -> dict[str, str]:
    return {name: str(column.type) for name, column in contract.columns.items()}


def test_a_german_file_of_latin1_is_described_with_its_locale(tmp_path: Path) -> None:
    text = (
        "Bericht vom 1.1.2018\n"
        "Kunden-Nr.;Größe;Datum;Betrag;PLZ;Aktiv;Bemerkung;Quote;Zeit\n"
        "0001;1.234,5;31.12.2017;12,50;01234;yes;Straße;1,123456789;31.12.2017 10:00\n"
        '0002;2.234,5;01.02.2017;-;01235;no;"x;y";2,5;01.01.2017 11:30\n'
        "0003;;01.02.2017;3.412,50;01234;no;;2;01.01.2017 11:30\n"
    )
    contract, found = inferred(tmp_path, text.encode("latin1"))
    assert kinds(contract) == {
        "kunden_nr": "varchar(10)", "grosse": "decimal(12,2)", "datum": "date",
        "betrag": "decimal(12,2)", "plz": "varchar(10)", "aktiv": "boolean",
        "bemerkung": "varchar(10)", "quote": "double", "zeit": "timestamp",
    }  # fmt: skip
    assert (contract.encoding, contract.delimiter, contract.header_row) == ("cp1252", ";", 2)
    assert (contract.primary_key, contract.null_values) == (("kunden_nr",), ("-",))
    assert (len(found.rows), found.rejects) == (3, [])


def test_dates_that_fit_two_formats_are_marked(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("id,on\n1,01/02/2017\n2,03/04/2017\n")
    assert "# or %m/%d/%Y? The sample fits both" in infer(tmp_path / "x", "x")
    (tmp_path / "x").write_text("id,on\n1,01/13/2017\n2,03/04/2017\n")
    assert "date: ['%m/%d/%Y']}\n" in infer(tmp_path / "x", "x")


def test_a_key_of_several_columns_is_found_and_none_is_said(tmp_path: Path) -> None:
    contract, _ = inferred(
        tmp_path, "value,shop_id,day\n1,1,2017-01-01\n1,2,2017-01-01\n1,1,2017-01-02\n"
    )
    assert contract.primary_key == ("shop_id", "day")
    (tmp_path / "x").write_text("a,b\n1,1\n1,1\n")
    assert "primary_key: [a]  # no columns name each row" in infer(tmp_path / "x", "x")


def test_other_formats_keep_what_they_know_of_types(tmp_path: Path) -> None:
    lines = [
        {"id": 1, "a": 1.5, "t": "x", "more": [1]},
        {"id": 2**40, "a": None, "t": "2017-01-01"},
    ]
    contract, found = inferred(tmp_path, "\n".join(map(json.dumps, lines)))
    assert kinds(contract) == {"id": "bigint", "a": "decimal(12,2)", "t": "varchar(20)"}
    assert len(found.rows) == 2
    sheet: list[list[object]] = [
        [],
        ["Id", "On", "At", "Net"],
        [1, dt.date(2017, 1, 1), dt.datetime(2017, 1, 1, 5), 1.5],  # noqa: DTZ001
    ]
    contract, found = inferred(tmp_path, workbook(tmp_path, sheet))
    assert kinds(contract) == {
        "id": "integer", "on": "date", "at": "timestamp", "net": "decimal(12,2)",
    }  # fmt: skip
    assert (contract.sheet, contract.header_row, found.rejects) == ("Sheet", 2, [])


def test_a_wide_file_fits_a_row_of_mysql(tmp_path: Path) -> None:
    heads = [f"c{n}" for n in range(85)]
    contract, _ = inferred(
        tmp_path, ",".join(heads) + "\n" + ",".join(f"{n}" + "x" * 500 for n in range(85))
    )
    characters = sum(
        c.type.precision for c in contract.columns.values() if c.type.name == "varchar"
    )
    assert characters * 4 < 60_000


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12) | st.sampled_from(
    ["1", "-2,5", "1.234,5", "1,234.5", "0012", "2017-01-31", "31.01.2017", "true", "NULL", "-", "1e5"]
)  # fmt: skip


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=6))
def test_whatever_the_cells_are_the_contract_loads_every_row(
    tmp_path: Path, cells: list[list[str]]
) -> None:
    made = io.StringIO()
    writer = csv.writer(made)
    writer.writerows(
        [["Key", "First Column", "yes"], *([f"k{n}", *row[1:]] for n, row in enumerate(cells))]
    )
    contract, found = inferred(tmp_path, made.getvalue())
    assert found.rejects == []
    assert len(found.rows) == len(cells)
    assert contract.primary_key


@pytest.mark.parametrize("content", ["", "\n\n", "%PDF-1"])
def test_what_is_no_file_of_rows_has_no_contract(tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content)
    with pytest.raises(BadFileError):
        infer(tmp_path / "x", "x")


def test_the_name_of_a_source_is_that_of_its_file(tmp_path: Path) -> None:
    assert source_name(tmp_path / "2017-01 Orders.csv.gz") == "orders"
    assert source_name(tmp_path / "2017.csv") == "source"
    (tmp_path / "x").write_bytes(zipped(**{"a.csv": b"id,b\n1,2\n"}))
    assert "primary_key: [id]" in infer(tmp_path / "x", "x")
    with pytest.raises(DocumentError, match="`source`"):
        infer(tmp_path / "x", "Not A Name")
