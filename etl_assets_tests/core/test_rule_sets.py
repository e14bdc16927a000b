"""The kinds of rules about all records, and what one campaign does otherwise."""

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from etl_assets.core.errors import RuleError
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets_tests.core.compiled import compiled, run
from etl_assets_tests.core.test_rule_kinds import COLUMNS, RECORDS, rule

KEYED = {"id": "bigint", "k": "text", "n": "integer"}


@pytest.mark.parametrize(
    ("order", "keep", "kept"),
    [
        ([], "first", {1, 3, 5}), ([], "last", {4, 3, 6}), (["n"], "first", {2, 3, 5}),
        (["n desc"], "first", {4, 3, 5}), (["n"], "last", {1, 3, 6}),
    ],
)  # fmt: skip
def test_dedupe_keeps_one_record_of_each_key(order: list[str], keep: str, kept: set[int]) -> None:
    records = [(1, "a", None), (2, "a", 1), (3, "b", 3), (4, "a", 9), (5, None, 7), (6, None, 7)]
    random.Random(7).shuffle(records)  # noqa: S311  (an order, not a secret)
    made = run([rule("dedupe", keys=["k"], order=order, keep=keep)], KEYED, records, ["id"])
    assert {row[0] for row in made.records} == kept
    assert made.counts == {(None, None, None): 3, ("filtered", "dedupe", None): 3}


def test_a_record_that_an_earlier_rule_left_out_is_no_duplicate() -> None:
    rules = [rule("filter", keep="n > 1"), rule("dedupe", keys=["k"])]
    made = run(rules, KEYED, [(1, "a", 1), (2, "a", 2), (3, "a", 3)], ["id"])
    assert made.records == [(2, "a", 2)]


def test_unpivot_makes_a_record_of_each_column_and_counts_what_came() -> None:
    columns = {"id": "bigint", "jan": "integer", "feb": "integer"}
    records = [(1, 10, None), (2, 20, 21), (9, 0, 0)]
    rules = [
        rule("filter", keep="id < 9"),
        rule("unpivot", columns=["jan", "feb"], name="month", value="units"),
    ]
    made = run(rules, columns, records, ["id"])
    assert made.columns == ["id bigint", "month varchar(63)", "units integer"]
    assert set(made.records) == {(1, "jan", 10), (1, "feb", None), (2, "jan", 20), (2, "feb", 21)}
    assert made.reshaped == 2
    assert made.counts[("filtered", "filter", None)] == 1
    dropped = run([{**rules[1], "nulls": "drop"}], columns, records, ["id"])
    assert len(dropped.records) == 5
    assert dropped.reshaped == 2


def test_a_record_made_by_unpivot_is_named_by_its_column_too() -> None:
    rules = [
        rule("unpivot", columns=["jan", "feb"], name="month", value="units"),
        rule("assert", that="units > 0", on_failure="reject"),
        rule("dedupe", keys=["id"]),
    ]
    made = run(
        rules, {"id": "bigint", "jan": "integer", "feb": "integer"}, [(1, 1, 0), (2, 1, 1)], ["id"]
    )
    assert made.refused[0][4] == "id=1, month=feb"
    assert sorted(row[0] for row in made.records) == [1, 2]


def test_columns_of_different_types_are_not_unpivoted() -> None:
    with pytest.raises(RuleError, match="of the types integer, text"):
        compiled([rule("unpivot", columns=["a", "n"], name="c", value="v")], COLUMNS, ["id"])
    with pytest.raises(RuleError, match="makes the column `id`, which is there already"):
        compiled([rule("unpivot", columns=["a"], name="id", value="v")], COLUMNS, ["id"])


AGGREGATE = rule(
    "aggregate",
    by=["k"],
    metrics={
        "records": {"function": "count"},
        "known": {"function": "count", "column": "n"},
        "kinds": {"function": "count_distinct", "column": "n"},
        "total": {"function": "sum", "column": "n"},
        "mean": {"function": "avg", "column": "n"},
        "least": {"function": "min", "column": "n"},
    },
)


def test_aggregate_makes_one_record_of_each_group_and_rules_go_on_with_them() -> None:
    rules = [
        rule("filter", keep="id < 10"),
        AGGREGATE,
        rule("assert", that="total > 3", on_failure="reject"),
        rule("dedupe", keys=["records"], order=["total desc"]),
    ]
    records = [
        (1, "a", 1),
        (2, "a", 3),
        (3, "a", None),
        (4, "b", 2),
        (5, None, 7),
        (6, None, 8),
        (10, "z", 1),
    ]
    made = run(rules, KEYED, records, ["id"])
    assert made.columns == [
        "k text", "records bigint", "known bigint", "kinds bigint", "total decimal(38,0)",
        "mean double", "least integer",
    ]  # fmt: skip
    assert set(made.records) == {
        ("a", 3, 2, 2, Decimal(4), 2.0, 1),
        (None, 2, 2, 2, Decimal(15), 7.5, 7),
    }
    assert made.refused == [("rejected", "assert", None, "computed of total=2", "k=b")]
    assert made.reshaped == 3 - 6
    assert made.counts[("filtered", "filter", None)] == 1


def test_a_figure_of_a_column_that_has_none_is_refused() -> None:
    broken = rule("aggregate", by=["k"], metrics={"s": {"function": "sum", "column": "k"}})
    with pytest.raises(RuleError, match="the sum of `k`, which is text, is not defined"):
        compiled([broken], KEYED, ["id"])
    with pytest.raises(ValidationError, match="sum needs a `column`"):
        RuleSet.model_validate(
            {"rules": [rule("aggregate", by=["k"], metrics={"s": {"function": "sum"}})]}
        )
    with pytest.raises(RuleError, match="makes the column `k`, by which it groups"):
        compiled([rule("aggregate", by=["k"], metrics={"k": {"function": "count"}})], KEYED, [])


@examples(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(-1e12, 1e12)), max_size=30), st.randoms()
)
def test_what_rules_make_does_not_depend_on_the_order_of_the_records(
    values: list[tuple[str, float]], chance: random.Random
) -> None:
    rules = [
        rule("fill", column="v", previous={"by": ["k"], "order": ["v"]}),
        rule("dedupe", keys=["k", "v"]),
        rule("aggregate", by=["k"], metrics={"s": {"function": "sum", "column": "v"}}),
    ]
    columns = {"id": "bigint", "k": "text", "v": "double"}
    records = [(number, k, v) for number, (k, v) in enumerate(values)]
    shuffled = chance.sample(records, len(records))
    assert (
        run(rules, columns, records, ["id"]).records
        == run(rules, columns, shuffled, ["id"]).records
    )


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"unique": ["a"]}, "found 1 values more than once, such as x, but a is unique"),
        ({"row_count": {"min": 10}}, "found 3 records, but the number of records is at least 10"),
        ({"row_count": {"min": 1, "max": 2}}, "found 3 records, but"),
        ({"sum": {"column": "n", "min": 5}}, "found a sum of 3, but the sum of `n` is at least 5"),
        ({"sum": {"column": "n", "max": ":shop - 5"}}, "at most :shop - 5"),
    ],
)
@pytest.mark.parametrize("on_failure", ["fail", "warn"])
def test_what_does_not_hold_of_all_records_is_said_with_what_was_found(
    check: dict[str, object], said: str, on_failure: str
) -> None:
    records = [(1, "x", 1), (2, "x", 2), (3, "y", None)]
    made = run([rule("assert", on_failure=on_failure, **check)], COLUMNS, records, ["id"])
    (refusal,) = made.refusals
    assert said in refusal.said
    assert refusal.warns == (on_failure == "warn")


@pytest.mark.parametrize(
    "check",
    [
        {"unique": ["id", "a"]},
        {"row_count": {"min": 3, "max": 3}},
        {"sum": {"column": "n", "min": 3, "max": 3}},
    ],
)
def test_what_holds_of_all_records_stops_nothing(check: dict[str, object]) -> None:
    made = run([rule("assert", **check)], COLUMNS, RECORDS, ["id"])
    assert made.refusals == ()
    assert made.records == sorted(RECORDS, key=str)


RULES: list[dict[str, Any]] = [
    {"id": "one", "kind": "filter", "keep": "n > 0"},
    {"id": "two", "kind": "drop", "columns": ["a"]},
]


def overridden(*overrides: dict[str, Any]) -> RuleSet:
    return RuleSet.model_validate({"rules": RULES, "overrides": {"SP17": list(overrides)}})


def test_a_campaign_adds_replaces_and_disables_rules_and_no_other_does() -> None:
    made = overridden(
        {"disable": "two"},
        {"replace": {"id": "one", "kind": "filter", "keep": "n > 5"}},
        {"add": {"id": "zero", "kind": "drop", "columns": ["n"]}, "after": "one"},
        {"add": {"id": "first", "kind": "filter", "keep": "id > 1"}, "before": "one"},
    )
    assert [r.id for r in made.for_campaign("SP17").rules] == ["first", "one", "zero"]
    assert made.for_campaign("SP17").rules[1].keep == "n > 5"  # type: ignore[union-attr]
    assert made.for_campaign("AU17").rules == made.rules
    assert made.for_campaign("AU17").digest == RuleSet.model_validate({"rules": RULES}).digest
    assert made.for_campaign("SP17").digest != made.for_campaign("AU17").digest


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"disable": "tow"}, "the override of SP17: there is no rule `tow`; did you mean `two`"),
        ({"replace": {**RULES[0], "id": "x"}}, "there is no rule `x`"),
        ({"add": RULES[0]}, "two rules have the id `one`"),
        ({"add": {**RULES[0], "id": "x"}, "after": "y"}, "there is no rule `y`"),
        ({}, "it says one of `add`, `replace` and `disable`"),
        ({"disable": "one", "replace": RULES[0]}, "it says one of"),
        ({"disable": "one", "before": "two"}, "only an added rule has a place"),
        ({"add": {**RULES[0], "id": "x"}, "after": "one", "before": "two"}, "not both"),
        ({"disable": "one", "because": "x"}, "because"),
    ],
)
def test_an_override_that_does_not_fit_its_rule_set_is_refused(
    override: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        overridden(override)


def test_a_table_that_only_an_override_looks_into_counts_in_the_digest() -> None:
    lookup = {"id": "l", "kind": "lookup", "table": "t", "on": {"a": "k"}, "columns": {"v": "v"}}

    def digest(value: str, *overrides: dict[str, Any]) -> str:
        table = {"columns": {"k": "text", "v": "text"}, "rows": [["x", value]]}
        document = {"rules": RULES, "tables": {"t": table}, "overrides": {"SP17": list(overrides)}}
        return RuleSet.model_validate(document).digest

    added = {"add": lookup, "before": "two"}
    assert digest("one", added) != digest("two", added)
    assert digest("one", {"disable": "two"}) == digest("two", {"disable": "two"})
