"""Contracts are read strictly: what is ambiguous or cannot be kept is refused where it is written."""

import pytest

from etl_assets.core.errors import DocumentError
from etl_assets.core.inputs.contract import index_contracts, parse_contract
from etl_assets.core.inputs.files import InputFile, LoadedFile
from etl_assets_tests.inputs.deliveries import CONTRACT, START


def test_a_contract_has_defaults_and_a_digest_of_what_decides() -> None:
    contract = parse_contract(CONTRACT, "orders.yaml")
    assert (contract.table, contract.on_bad_row, contract.duplicates) == (
        "orders", "reject_row", "keep_last",
    )  # fmt: skip
    assert contract.is_required("id")
    assert not contract.is_required("amount")
    told = parse_contract(CONTRACT + "description: Orders\ndeliver_within_hours: 24\n", "o.yaml")
    assert told.digest == contract.digest
    other = parse_contract(CONTRACT + "null_values: [x]\n", "o.yaml")
    assert other.digest != contract.digest


def test_a_locale_says_how_numbers_and_dates_are_written() -> None:
    contract = parse_contract(CONTRACT + "number: de_CH\ndate: de_DE\n", "orders.yaml")
    assert (contract.number.decimal, contract.number.group) == (".", "\u2019")
    assert contract.date == ("%d.%m.%Y",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("integer", "real"), "inputs have no real; write double"),
        (("integer", "binary"), "inputs have no binary; write text"),
        (("'decimal(12,2)'", "'decimal(38,37)'"), "at most 30 digits after the point"),
        (("varchar(20)", "varchar(20000)"), "a varchar holds at most 16,383"),
        (("integer", "text"), "`id` is text, which cannot be in a primary key"),
        (("integer", "varchar(800)"), "have 800 characters; a key holds 750"),
        (("[id]", "[nr]"), "names `nr`, which is not among the columns"),
        (("[id]", "[id, id]"), "names a column twice"),
        (("  note:", "  input_row:"), "`input_row` has a name that the platform uses"),
        (("  note:", "  file_row_number:"), "a name that the platform uses"),
        (("  note:", "  __etl_x:"), "String should match pattern"),
        (("Order No", "AMOUNT"), "`amount` and `id` have a header in common"),
        (("Order No", "' - '"), "a header of `id` is empty"),
        (("columns:", "date: ['%d/%m/%Y', '%m/%d/%Y']\ncolumns:"), "read 03/02/2017 as different"),
        (("columns:", "date: ['%d.%m']\ncolumns:"), "does not say day, month and year"),
        (("columns:", "date: ['%Q']\ncolumns:"), "is no date format"),
        (("columns:", "encoding: utf-9\ncolumns:"), "'utf-9' is no encoding"),
        (("columns:", "encoding: base64\ncolumns:"), "'base64' is no encoding"),
        (("columns:", "delimitr: x\ncolumns:"), "did you mean `delimiter`"),
        (("source: orders", "source: Orders"), "`source`: String should match"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: tuple[str, str], said: str) -> None:
    assert change[0] in CONTRACT
    with pytest.raises(DocumentError, match=said):
        parse_contract(CONTRACT.replace(*change), "orders.yaml")


def test_two_contracts_have_no_table_and_no_source_in_common() -> None:
    one = parse_contract(CONTRACT, "orders.yaml")
    other = parse_contract(CONTRACT.replace("source: orders", "source: o\ntable: orders"), "o.yaml")
    with pytest.raises(DocumentError, match="contract of orders has the table `orders`, too"):
        index_contracts([("orders.yaml", one), ("o.yaml", other)])
    same = parse_contract(CONTRACT.replace("source: orders", "source: orders\ntable: t"), "x.yaml")
    with pytest.raises(DocumentError, match="another contract has the source `orders`"):
        index_contracts([("orders.yaml", one), ("x.yaml", same)])
    assert list(index_contracts([("orders.yaml", one)])) == ["orders"]


def test_a_file_is_named_below_its_sources_folder() -> None:
    file = InputFile("orders", "inputs/orders/2017/a.csv", 1, START)
    row = LoadedFile(1, "orders", file.path, "", 1, START, START, "loaded")
    assert file.name == row.name == "2017/a.csv"
    assert row.as_dict()["status"] == "loaded"
