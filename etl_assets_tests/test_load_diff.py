"""What differs between two loads, from their parts.

At risk: a person who puts a load back, or approves one, on a difference that is not the real one.
"""

import json
from decimal import Decimal

import duckdb
import pytest

from etl_assets.core.errors import PermanentError, StagingError
from etl_assets.core.manifest import Load
from etl_assets.load_diff import LoadDiff, Mover, diff_loads
from etl_assets.rules.diff import CellChange
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import DATASET, Small

MORE = """\
dataset: sales
primary_key: [sale_id]
query: |
  SELECT sale_id, sold_at, quantity, amount, note FROM sales
  WHERE sold_at >= :starts_at AND sold_at < :ends_before
"""
EMPTIED = "guards: {emptied: false}\n"


def load(small: Small, *statements: str, dataset: str = MORE) -> Load:
    """Change the source, and load SP17."""
    small.run_sql(*statements)
    small.write_dataset(EMPTIED + dataset)
    return Chain(small.settings()).refresh()


def diff(small: Small, before: Load, after: Load) -> LoadDiff:
    return diff_loads(before, after, small.settings().open_staging())


def test_added_removed_and_changed_records_are_counted_and_named(small: Small) -> None:
    first = load(small)
    second = load(
        small,
        "DELETE FROM sales WHERE sale_id = 2",
        "INSERT INTO sales VALUES (99, '2017-04-01 00:00:00', 7, 100.5, 'new')",
        "UPDATE sales SET amount = amount + 10, note = NULL WHERE sale_id IN (3, 5)",
        "UPDATE sales SET amount = amount - 50 WHERE sale_id = 4",
    )
    found = diff(small, first, second)
    made = found.difference
    assert (made.added, made.removed, made.changed) == (1, 1, 3)
    assert (made.added_records, made.removed_records) == (("sale_id=99",), ("sale_id=2",))
    amount, note = made.columns
    assert (amount.column, amount.cells, note.column, note.cells) == ("amount", 3, "note", 2)
    assert amount.samples[0] == CellChange("sale_id=3", "3.25", "13.25")
    assert note.samples[1] == CellChange("sale_id=5", "", None)
    assert not found.same
    assert found.named_by == ""


def test_totals_and_the_biggest_movers_are_those_of_the_records(small: Small) -> None:
    first = load(small)
    second = load(
        small,
        "DELETE FROM sales WHERE sale_id = 2",
        "INSERT INTO sales VALUES (99, '2017-04-01 00:00:00', 7, 100.5, 'new')",
        "UPDATE sales SET amount = amount + 10 WHERE sale_id = 3",
        "UPDATE sales SET amount = amount - 50 WHERE sale_id = 4",
    )
    totals = {total.column: total for total in diff(small, first, second).totals}
    assert set(totals) == {"amount", "quantity"}  # the key's numbers are names
    amount = totals["amount"]
    assert (amount.before, amount.after) == ("94.50", "152.75")
    assert amount.change == Decimal("58.25")
    assert amount.movers == (
        Mover("sale_id=99", None, "100.50"),
        Mover("sale_id=4", "4.25", "-45.75"),
        Mover("sale_id=3", "3.25", "13.25"),
    )
    assert [m.change for m in amount.movers] == [Decimal(x) for x in ("100.50", "-50.00", "10.00")]


def test_two_loads_of_the_same_records_do_not_differ(small: Small) -> None:
    first = load(small)
    small.run_sql("UPDATE sales SET amount = amount + 1 WHERE sale_id = 3")
    load(small)
    third = load(small, "UPDATE sales SET amount = amount - 1 WHERE sale_id = 3")
    found = diff(small, first, third)
    assert found.same
    assert (found.totals, found.schema, found.difference.columns) == ((), (), ())


def test_texts_bytes_and_nulls_are_read_from_the_parts_as_they_were_written(small: Small) -> None:
    small.run_sql("ALTER TABLE sales ADD COLUMN raw BLOB")
    raw = MORE.replace("note FROM", "note, raw FROM") + "columns: {raw: {type: binary}}\n"
    first = load(small, "UPDATE sales SET raw = x'00ff' WHERE sale_id = 3", dataset=raw)
    second = load(
        small,
        "UPDATE sales SET raw = x'' WHERE sale_id = 3",
        "UPDATE sales SET note = 'a\r\n\"b\",' WHERE sale_id = 4",
        dataset=raw,
    )
    note, raw_change = diff(small, first, second).difference.columns
    assert note.samples == (CellChange("sale_id=4", "grün", 'a\r\n"b",'),)
    assert raw_change.samples == (CellChange("sale_id=3", r"\x00\xFF", ""),)


def test_columns_that_came_went_or_changed_their_type_are_said(small: Small) -> None:
    first = load(small)
    other = MORE + (
        "rules:\n"
        "  - {id: no-note, kind: drop, columns: [note]}\n"
        "  - {id: double, kind: derive, column: twice, type: bigint, expression: quantity * 2}\n"
        "  - {id: text, kind: derive, column: quantity, type: text, expression: 'CAST(quantity AS VARCHAR)'}\n"
    )
    small.write_dataset(EMPTIED + other)
    with duckdb.connect(str(small.home / "warehouse.duckdb")) as connection:
        connection.execute("DROP TABLE sales")
    second = load(small, dataset=other)
    found = diff(small, first, second)
    assert found.schema == (
        "`twice` (bigint) is added.",
        "`note` (text) is gone.",
        "`quantity` changes from bigint to text.",
    )
    assert {c.column for c in found.difference.columns} == {"twice", "note"}
    (twice, quantity) = found.totals
    assert (twice.column, twice.before, twice.after) == ("twice", None, "38")
    assert (quantity.column, quantity.before, quantity.after) == ("quantity", "19", None)


def test_records_whose_key_is_gone_are_told_apart_by_their_values(small: Small) -> None:
    first = load(small)
    second = load(small, dataset=MORE + "rules: [{id: no-id, kind: drop, columns: [sale_id]}]\n")
    found = diff(small, first, second)
    assert found.named_by.startswith(
        "`sale_id` is not in both loads: records are told apart by all their values"
    )
    assert (found.difference.added, found.difference.removed) == (0, 0)


def test_of_a_key_of_two_columns_the_one_that_is_left_names_the_records(small: Small) -> None:
    both = MORE.replace("[sale_id]", "[sale_id, quantity]")
    first = load(small, dataset=both)
    second = load(small, dataset=both + "rules: [{id: no, kind: drop, columns: [quantity]}]\n")
    found = diff(small, first, second)
    assert (
        found.named_by == "`quantity` is not in both loads: records are named by `sale_id` alone."
    )
    assert found.difference.changed == 14


def test_a_key_that_names_several_records_is_said(small: Small) -> None:
    twice = MORE.replace("[sale_id]", "[quantity]")
    first = load(small, dataset=twice)
    second = load(small, "DELETE FROM sales WHERE sale_id = 3", dataset=twice)
    found = diff(small, first, second)
    assert (
        found.named_by == "`quantity` names several records; they are told apart by their values."
    )
    assert (found.difference.added, found.difference.removed) == (0, 1)


def test_a_load_without_records_is_compared_with_one_that_has_some(small: Small) -> None:
    first = load(small)
    second = load(small, "DELETE FROM sales")
    assert diff(small, first, second).difference.removed == 14
    assert diff(small, second, first).difference.added == 14
    assert [(t.column, t.before) for t in diff(small, second, first).totals] == [
        ("amount", None), ("quantity", None),
    ]  # fmt: skip


def test_the_document_of_a_difference_is_json(small: Small) -> None:
    first = load(small)
    second = load(small, "UPDATE sales SET amount = 0 WHERE sale_id = 3")
    made = json.loads(json.dumps(diff(small, first, second).as_dict()))
    assert made["before"]["load_id"] == first.load_id
    assert made["difference"]["changed"] == 1
    assert made["totals"][0]["change"] == "-3.25"
    assert made["totals"][0]["movers"][0]["change"] == "-3.25"


def test_what_cannot_be_compared_is_a_sentence(small: Small) -> None:
    first = load(small, dataset=DATASET)
    chain = Chain(small.settings())
    other = chain.refresh("SU17")
    with pytest.raises(PermanentError, match=r"is of SP17 in sales, and .* of SU17 in sales"):
        diff(small, first, other)
    without = first.model_copy(update={"kind": "prune", "stage": None})
    with pytest.raises(PermanentError, match="is a prune: it has no records to compare"):
        diff(small, first, without)
    (small.home / "staging" / str(first.stage)).unlink()
    with pytest.raises(StagingError, match="are no longer kept"):
        diff(small, first, first)
