"""Why a cell is as it is: what is said must be what happened, rule by rule."""

import json
from typing import Any

import pytest
import yaml
import zstandard

from etl_assets import pipeline
from etl_assets.core.errors import EtlError
from etl_assets.display.why import why_text
from etl_assets_tests.chain import Chain
from etl_assets_tests.explained import DISCOUNT, explain, loaded, touches
from etl_assets_tests.small import Small

TABLES = {"t": {"columns": {"k": "bigint", "v": "text"}, "rows": [["1", "one"], ["2", "two"]]}}


@pytest.mark.parametrize(
    ("rule", "column", "source", "touched"),
    [
        (DISCOUNT, "amount", {"amount": "1.25"}, ("amount", "amount", "1.25", "2.50")),
        ({**DISCOUNT, "column": "net", "expression": "amount * quantity"}, "net",
         {"amount": "1.25", "quantity": "1"}, ("", "net", None, "1.25")),
        ({"kind": "rename", "columns": {"note": "said"}}, "said", {"note": None},
         ("note", "said", None, None)),
        ({"kind": "map", "column": "quantity", "values": {1: "one"}, "type": "text",
          "unmapped": "null"}, "quantity", {"quantity": "1"}, ("quantity", "quantity", "1", "one")),
        ({"kind": "cast", "column": "amount", "type": "integer", "on_error": "null"}, "amount",
         {"amount": "1.25"}, ("amount", "amount", "1.25", None)),
        ({"kind": "normalize", "columns": ["note"], "empty": "null"}, "note", {"note": None},
         ("note", "note", None, None)),
        ({"kind": "lookup", "table": "t", "on": {"quantity": "k"}, "columns": {"word": "v"},
          "missing": "null"}, "word", {"quantity": "1"}, ("", "word", None, "one")),
        ({"kind": "fill", "column": "note", "value": "none"}, "note", {"note": None},
         ("note", "note", None, "none")),
        ({"kind": "fill", "column": "note", "previous": {"order": ["sale_id"]}}, "note",
         {"note": None}, ("note", "note", None, "")),
        ({"kind": "flag", "tag": "few", "when": "quantity < 2"}, "flags", {"quantity": "1"},
         ("", "flags", None, "few")),
        ({"kind": "unpivot", "columns": ["quantity"], "name": "what", "value": "n"}, "n",
         {"quantity": "1"}, ("quantity", "n", "1", "1")),
        ({"kind": "aggregate", "by": ["sale_id"], "metrics":
          {"total": {"function": "sum", "column": "amount"}}}, "total", {"amount": "1.25"},
         ("", "total", None, "1.25")),
    ],
)  # fmt: skip
def test_every_kind_that_sets_a_column_says_what_it_made_of_what(
    small: Small, rule: dict[str, Any], column: str, source: dict[str, str | None], touched: object
) -> None:
    found = explain(loaded(small, rule, tables=TABLES), "1", column)
    assert [s.values for s in found.trace.sources] == [source]
    assert touches(found) == [("r1", *touched)]  # type: ignore[misc]
    (outcome,) = found.outcomes
    assert outcome.staged
    assert outcome.staged.value == outcome.end.values[column] == found.trace.touches[0].after
    assert found.notes == ()


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "select", "columns": ["sale_id", "amount"]},
        {"kind": "drop", "columns": ["note"]},
        {"kind": "filter", "keep": "quantity >= 0"},
        {"kind": "dedupe", "keys": ["sale_id"]},
        {"kind": "assert", "unique": ["sale_id"]},
        {"kind": "assert", "that": "amount > 0"},
        {"kind": "rename", "columns": {"note": "said"}},
    ],
)
def test_a_rule_that_does_not_set_the_column_did_not_touch_it(
    small: Small, rule: dict[str, Any]
) -> None:
    found = explain(loaded(small, rule), "1", "amount")
    assert (touches(found), found.outcomes[0].end.values["amount"]) == ([], "1.25")


@pytest.mark.parametrize(
    ("rule", "outcome", "values"),
    [
        ({"kind": "filter", "keep": "quantity <> 1"}, "filtered", {"quantity": "1"}),
        ({"kind": "dedupe", "keys": ["quantity"], "order": ["amount"], "keep": "last"}, "filtered",
         {"quantity": "1", "amount": "1.25"}),
        ({"kind": "assert", "range": {"column": "amount", "min": 2}, "on_failure": "reject"},
         "rejected", {"amount": "1.25"}),
        ({"kind": "cast", "column": "amount", "type": "integer", "on_error": "reject"}, "rejected",
         {"amount": "1.25"}),
        ({"kind": "map", "column": "quantity", "values": {2: 2}, "unmapped": "reject"}, "rejected",
         {"quantity": "1"}),
        ({"kind": "derive", "column": "x", "type": "double", "expression": "amount / (quantity - 1)",
          "on_error": "reject"}, "rejected", {"amount": "1.25", "quantity": "1"}),
        ({"kind": "lookup", "table": "t", "on": {"sale_id": "k"}, "columns": {"w": "v"},
          "missing": "reject"}, "rejected", {"sale_id": "3"}),
        ({"kind": "unpivot", "columns": ["note"], "name": "a", "value": "b", "nulls": "drop"},
         "filtered", {"note": None}),
    ],
)  # fmt: skip
def test_a_record_that_was_left_out_says_by_which_rule_and_why(
    small: Small, rule: dict[str, Any], outcome: str, values: dict[str, str | None]
) -> None:
    settings = loaded(small, {"kind": "drop", "columns": ["sold_at"]}, rule, DISCOUNT | {
        "column": "late", "expression": "1"}, tables=TABLES)  # fmt: skip
    record_id = values.get("sale_id") or "1"
    found = explain(settings, record_id, "late")
    (end,) = [o.end for o in found.outcomes]
    assert end.left_out
    assert (end.left_out.rule, end.left_out.outcome) == ("r2", outcome)
    assert end.left_out.values == values
    assert (found.trace.touches, found.outcomes[0].staged) == ((), None)
    (line,) = [line for line in why_text(found) if "was not loaded" in line]
    assert f"{outcome} by rule `r2`, which {end.left_out.reason}" in line


def test_rules_are_followed_in_their_order_through_renames(small: Small) -> None:
    settings = loaded(
        small,
        {"kind": "rename", "columns": {"amount": "quantity", "quantity": "amount"}},
        {**DISCOUNT, "column": "amount", "expression": "amount * 3"},
        {"kind": "rename", "columns": {"amount": "units"}},
        {"kind": "flag", "tag": "a", "when": "units > 1", "column": "quality"},
        {"kind": "flag", "tag": "b", "when": "quantity > 0", "column": "quality"},
    )
    assert touches(explain(settings, "1", "units")) == [
        ("r1", "quantity", "amount", "1", "1"),
        ("r2", "amount", "amount", "1", "3.00"),
        ("r3", "amount", "units", "3.00", "3.00"),
    ]
    flagged = explain(settings, "1", "quality")
    assert flagged.trace.sources[0].values == {"quantity": "1", "amount": "1.25"}
    assert touches(flagged)[-2:] == [
        ("r4", "", "quality", None, "a"), ("r5", "quality", "quality", "a", "a,b")
    ]  # fmt: skip


def test_policies_and_warnings_are_told(small: Small) -> None:
    settings = loaded(
        small,
        {"kind": "assert", "that": "amount > 2", "on_failure": "warn"},
        {"kind": "cast", "column": "amount", "type": "integer", "on_error": "null"},
    )
    warned, nulled = explain(settings, "1", "amount").trace.touches
    assert (warned.rule, warned.column, warned.said) == ("r1", "", "warned: it wants `amount > 2`")
    assert nulled.said == "what was there does not fit: NULL instead"


UNPIVOT = {"kind": "unpivot", "columns": ["gross", "net"], "name": "what", "value": "money"}
GROSS: list[dict[str, Any]] = [{"kind": "rename", "columns": {"amount": "gross"}},
         {**DISCOUNT, "column": "net", "expression": "gross - quantity"}]  # fmt: skip


def test_one_record_of_several_is_named_by_the_column_an_unpivot_makes(small: Small) -> None:
    settings = loaded(small, *GROSS, UNPIVOT, DISCOUNT | {"column": "money", "expression": "money"})
    both = explain(settings, "1", "money")
    assert [o.end.record for o in both.outcomes] == ["sale_id=1, what=gross", "sale_id=1, what=net"]
    assert len({o.staged.line for o in both.outcomes if o.staged}) == 2
    one = explain(settings, "sale_id=1,what=net", "money")
    assert [o.end.values["money"] for o in one.outcomes] == ["0.25"]
    assert [t.was for t in one.trace.touches if t.rule == "r3"] == ["net"]
    with pytest.raises(EtlError, match=r"has no what=tax\. Write one of gross, net"):
        explain(settings, "sale_id=1,what=tax", "money")


AGGREGATE = {"kind": "aggregate", "by": ["quantity"], "metrics":
             {"total": {"function": "sum", "column": "gross"}, "n": {"function": "count"}}}  # fmt: skip


def test_a_group_is_explained_by_one_of_its_records_or_by_its_own_name(small: Small) -> None:
    doubled = {**DISCOUNT, "column": "total", "expression": "total * 2"}
    settings = loaded(small, GROSS[0], AGGREGATE, doubled)
    of_record, of_group = explain(settings, "1", "total"), explain(settings, "quantity=1", "total")
    assert of_record.trace.sources[0].values == {"amount": "1.25"}
    assert touches(of_record)[0] == ("r1", "amount", "gross", "1.25", "1.25")
    assert [touches(of_record)[1:]] == [touches(of_group)]
    assert of_group.trace.touches[0].said == "sum of gross over 4 records"
    assert (of_group.trace.sources[0].records, of_group.trace.sources[0].values) == (
        4, {"amount": None}
    )  # fmt: skip
    for found in (of_record, of_group):
        (outcome,) = found.outcomes
        assert outcome.staged
        assert outcome.staged.value == outcome.end.values["total"] == "58.00"
    assert "4 records of quantity=1" in "\n".join(why_text(of_group))


def test_line_breaks_in_fields_count_as_the_lines_they_are(small: Small) -> None:
    settings = loaded(small)
    found = explain(settings, "8", "note")
    (outcome,) = found.outcomes
    assert outcome.staged
    assert outcome.staged.value == 'with "quotes", commas\nand lines'
    chain = Chain(settings)
    stage = json.loads(settings.open_staging().read_text(found.load.stage or ""))
    (part,) = stage["parts"]
    packed = (settings.home / "staging" / part["path"]).read_bytes()
    lines = zstandard.ZstdDecompressor().stream_reader(packed).read().decode().split("\n")
    assert lines[outcome.staged.line - 1].startswith("8,")
    assert outcome.staged.line > 1 + [row[0] for row in chain.query(
        "SELECT sale_id FROM sales ORDER BY sale_id")].index(8)  # fmt: skip
    assert outcome.staged.file.endswith(part["path"])


@pytest.mark.parametrize(("expression", "value"), [("''", ""), ("'a'", "61"), ("NULL", None)])
def test_bytes_are_shown_in_hexadecimal(small: Small, expression: str, value: str | None) -> None:
    raw = {"kind": "derive", "column": "raw", "type": "binary", "expression": expression}
    found = explain(loaded(small, raw), "1", "raw")
    (outcome,) = found.outcomes
    assert outcome.staged
    assert (outcome.staged.value, outcome.end.values["raw"], found.notes) == (value, value, ())


def test_a_record_is_found_when_its_key_was_dropped(small: Small) -> None:
    settings = loaded(small, {"kind": "drop", "columns": ["sale_id"]}, DISCOUNT)
    (outcome,) = explain(settings, "3", "amount").outcomes
    assert outcome.staged
    assert outcome.staged.value == "6.50"


def test_what_was_staged_otherwise_than_the_rules_make_it_is_noted(small: Small) -> None:
    dataset = {"kind": "derive", "column": "sign", "type": "text", "expression": ":mark"}
    campaign = (
        "campaigns:\n  - {key: SP17, start: 2017-03-01, end: 2017-05-31, parameters: {mark: %s}}"
    )
    small.write_campaigns(campaign % "a")
    settings = loaded(small, dataset)
    assert explain(settings, "1", "sign").notes == ()
    small.write_campaigns(campaign % "b")
    chain = Chain(small.settings())
    assert explain(chain.settings, "1", "sign").notes == ()
    chain.load(chain.stage(extracted=explain(settings, "1", "sign").extract))
    small.write_campaigns(campaign % "c")
    notes = explain(small.settings(), "1", "sign").notes
    assert "What was staged is not what the same rules make now." in notes
    assert "the campaign's parameters" in notes[1]


def test_records_of_another_dataset_are_looked_up_where_they_were(small: Small) -> None:
    other = "dataset: marks\nprimary_key: [quantity]\nquery: SELECT DISTINCT quantity FROM sales\n"
    other += "  WHERE sold_at >= :starts_at\nrules:\n  - {id: a, kind: drop, columns: []}\n"
    small.write_dataset(other.partition("rules:")[0].replace("query: S", "query: |\n  S"), "marks")
    Chain(small.settings(), "marks").refresh()
    rule = {"id": "r1", "kind": "lookup", "dataset": "marks", "on": {"quantity": "quantity"},
            "columns": {"mark": "quantity"}}  # fmt: skip
    small.write_rules(yaml.safe_dump({"rules": [rule]}))
    chain, settings = Chain(small.settings()), small.settings()
    marks = Chain(settings, "marks").extract()
    registry = settings.open_registry().read()
    staged = pipeline.stage(
        settings.datasets["sales"], registry.campaign("SP17"), chain.extract(),
        registry.rules_of(settings.datasets["sales"]), settings.open_staging(),
        lookups={"marks": marks},
    )  # fmt: skip
    chain.load(staged)
    found = explain(settings, "5", "mark")
    assert touches(found) == [("r1", "", "mark", None, "1")]
    assert found.notes == ()
