"""A rule set that is published must be one that can run: lint says so before."""

from typing import Any

import pytest
import yaml

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.errors import DocumentError, RuleError
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.rules.examples import run_examples
from etl_assets.rules.lint import Linted, columns_of, lint_rules
from etl_assets_tests.chain import Chain
from etl_assets_tests.core.compiled import BINDINGS
from etl_assets_tests.small import Small

COLUMNS = [
    Column(name="id", type=ColumnType("bigint")),
    Column(name="day", type=ColumnType("date")),
    Column(name="amount", type=ColumnType("decimal", 10, 2)),
    Column(name="name", type=ColumnType("text")),
]


def example(rule: dict[str, Any], given: object, out: object, **fields: object) -> list[str]:
    """Return what lint says of a rule's one example."""
    rules = [{"id": "r", **rule, "examples": [{"in": given, "out": out, **fields}]}]
    made = RuleSet.model_validate({"rules": rules, "tables": TABLES})
    return [str(failure) for failure in run_examples(made, COLUMNS, BINDINGS)]


TABLES = {"t": {"columns": {"k": "text", "v": "text"}, "rows": [["x", "one"]]}}
NET = {"kind": "derive", "column": "net", "type": "decimal(10,2)", "expression": "amount * 2"}
DEDUPE = {"kind": "dedupe", "keys": ["name"], "order": ["amount desc"]}
LOOKUP = {"kind": "lookup", "table": "t", "on": {"name": "k"}, "columns": {"v": "v"}}


@pytest.mark.parametrize(
    ("rule", "given", "out"),
    [
        (NET, {"amount": "1.25"}, {"net": 2.5}),
        (NET, {"amount": None}, {"net": None}),
        (NET, [{"amount": 1}, {"amount": 2}], [{"net": 4}, {"net": 2}]),
        ({"kind": "filter", "keep": "day >= :start"}, {"day": "2017-01-01"}, "filtered"),
        ({"kind": "assert", "that": "amount > 0"}, {"amount": -1}, "failed"),
        ({"kind": "cast", "column": "name", "type": "integer", "on_error": "reject"}, {"name": "x"},
         "rejected"),
        (DEDUPE, [{"name": "a", "amount": 1}, {"name": "a", "amount": 2}], [{"amount": 2}]),
        ({"kind": "assert", "row_count": {"min": 2}}, {"id": 1}, "failed"),
        (LOOKUP, {"name": "x"}, {"v": "one"}),
    ],
)  # fmt: skip
def test_an_example_that_holds_says_nothing(
    rule: dict[str, Any], given: object, out: object
) -> None:
    assert example(rule, given, out) == []


@pytest.mark.parametrize(
    ("rule", "given", "out", "said"),
    [
        (NET, {"amount": 1}, {"net": 3}, "it gives (net=2.00), not (net=3.00)"),
        (NET, {"amount": 1}, {"nett": 3}, "there is no column `nett` after the rule; did you mean"),
        (NET, {"amount": 1}, "filtered", "the record is loaded"),
        (NET, {"amount": 99999999}, {"net": 0}, "it fails: a value does not fit"),
        (NET, {"amount": "x"}, {"net": 0}, "it cannot be computed: Conversion Error"),
        (NET, [{}, {}], "filtered", "is about one record, but `in` has 2"),
        ({"kind": "filter", "keep": "amount > 1"}, {"amount": 1}, {"amount": 1}, "nothing, not (amount"),
        ({"kind": "assert", "row_count": {"min": 2}}, {"id": 1}, {"id": 1}, "it fails: found 1 records"),
    ],
)  # fmt: skip
def test_an_example_that_does_not_hold_says_what_came_out(
    rule: dict[str, Any], given: object, out: object, said: str
) -> None:
    (failure,) = example(rule, given, out)
    assert failure.startswith("rule `r`, example 1: ")
    assert said in failure


def test_an_examples_parameters_stand_for_the_campaigns() -> None:
    keep = {"kind": "filter", "keep": "day >= :start"}
    given = {"day": "2016-01-02"}
    assert example(keep, given, given, parameters={"start": "2016-01-01"}) == []


def test_an_example_sees_the_columns_as_earlier_rules_leave_them() -> None:
    rename = {"id": "a", "kind": "rename", "columns": {"amount": "gross"}}
    tried = {
        **NET,
        "id": "r",
        "expression": "gross * 2",
        "examples": [{"in": {"gross": 1}, "out": {"net": 2}}],
    }
    assert run_examples(RuleSet.model_validate({"rules": [rename, tried]}), COLUMNS, BINDINGS) == []
    wrong = {**tried, "examples": [{"in": {"amount": 1}, "out": {"net": 2}}]}
    with pytest.raises(RuleError, match="An example names the column `amount`, which is not there"):
        run_examples(RuleSet.model_validate({"rules": [rename, wrong]}), COLUMNS, BINDINGS)


def lint(small: Small, **document: object) -> Linted:
    """Lint a rule set for the small platform's dataset."""
    chain = Chain(small.settings())
    settings = chain.settings
    dataset = settings.datasets["sales"]
    registry = settings.open_registry().read()
    columns = columns_of(
        dataset, settings.open_warehouse(), settings.open_staging(), settings.open_source(),
        registry.campaigns["SP17"],
    )  # fmt: skip
    text = yaml.safe_dump(document)
    return lint_rules(
        text, "FILE", dataset, registry, columns, lookups={"sales": columns}.__getitem__
    )


FLAG = {"id": "flag", "kind": "flag", "tag": "t", "when": "quantity > 1"}


def test_a_rule_set_that_holds_names_the_campaigns_it_was_checked_for(small: Small) -> None:
    linted = lint(small, version=3, rules=[FLAG], overrides={"SU17": [{"disable": "flag"}]})
    assert linted.rule_set.version == 3
    assert set(linted.campaigns) == {"AU17", "SU17"}
    assert linted.notes == ()


def test_the_columns_are_those_of_the_kept_extract_or_else_of_the_query(small: Small) -> None:
    assert lint(small, rules=[FLAG]).examples == 0
    chain = Chain(small.settings())
    chain.load(chain.stage())
    small.run_sql("ALTER TABLE sales RENAME COLUMN quantity TO pieces")
    assert lint(small, rules=[FLAG]).examples == 0


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ([{**FLAG, "kind": "flagg"}], DocumentError, "`kind` must be one of"),
        ([{**FLAG, "whem": "x"}], DocumentError, "`rules.0.whem` is not a known field; did you mean `when`"),
        ([FLAG, FLAG], DocumentError, "two rules have the id `flag`"),
        ([{**FLAG, "when": "quantty > 1"}], RuleError, "there is no column `quantty`"),
        ([{**FLAG, "when": "quantity > :shp"}], RuleError, "there is no parameter `:shp`"),
        ([{**FLAG, "when": "quantity"}], RuleError, "not true or false"),
        ([{**FLAG, "examples": [{"in": {"quantity": 1}, "out": {"flags": "t"}}]}], DocumentError,
         "rule `flag`, example 1: it gives \\(flags=NULL\\), not \\(flags=t\\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_published_is_said_with_its_place(
    small: Small, rules: list[dict[str, Any]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        lint(small, rules=rules)


def test_an_override_that_no_campaign_has_is_noted_and_one_that_is_wrong_is_refused(
    small: Small,
) -> None:
    assert (
        "The override of SP71 has no effect"
        in lint(small, rules=[FLAG], overrides={"SP71": [{"disable": "flag"}]}).notes[0]
    )
    broken = {"id": "b", "kind": "drop", "columns": ["nope"]}
    with pytest.raises(RuleError, match="Rule `b`: there is no column `nope`"):
        lint(small, rules=[FLAG], overrides={"SU17": [{"add": broken}]})
