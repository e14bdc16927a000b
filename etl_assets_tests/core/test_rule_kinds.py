"""The kinds of rules about single records: each does what it says, and says what it did."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from etl_assets.core.errors import RuleError
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets_tests.core.compiled import Outcome, compiled, run

COLUMNS = {"id": "bigint", "a": "text", "n": "integer"}
RECORDS = [(1, "x", 1), (2, None, 2), (3, "y", None)]


def rule(kind: str, **fields: object) -> dict[str, Any]:
    return {"id": kind, "kind": kind, **fields}


def texts(value: str, **fields: object) -> Outcome:
    """Normalize one text."""
    return run([rule("normalize", columns=["a"], **fields)], {"id": "bigint", "a": "text"},
               [(1, value)], ["id"])  # fmt: skip


def test_select_and_drop_take_globs_and_keep_each_column_once() -> None:
    columns = {"id": "bigint", "q_one": "text", "q_two": "text", "n": "integer"}
    record = [(1, "x", "y", 2)]
    assert run([rule("select", columns=["n", "q_*", "?d", "q_one*"])], columns, record).columns == [
        "n integer", "q_one text", "q_two text", "id bigint",
    ]  # fmt: skip
    assert run([rule("drop", columns=["q_*", "id"])], columns, record).records == [(2,)]


@pytest.mark.parametrize(
    ("kind", "columns", "message"),
    [
        ("select", ["id", "z*"], "no column here is like `z\\*`"),
        ("drop", ["idd"], "there is no column `idd` here; did you mean `id`"),
        ("drop", ["*"], "drops every column"),
    ],
)
def test_a_name_or_glob_that_stands_for_nothing_is_refused(
    kind: str, columns: list[str], message: str
) -> None:
    with pytest.raises(RuleError, match=message):
        compiled([rule(kind, columns=columns)], COLUMNS, ["id"])


@pytest.mark.parametrize(
    ("on_error", "values", "outcome"),
    [
        ("fail", {1: 10}, ("failed", "derive", "r")),
        ("reject", {1: 10}, ("rejected", "derive", "r")),
        ("null", {1: 10, 2: None, 3: None}, ("nulled", "derive", "r")),
    ],
)
def test_what_cannot_be_derived_does_what_the_rule_says(
    on_error: str, values: dict[int, int | None], outcome: tuple[str, str, str]
) -> None:
    """A division by zero gave NULL or infinity; an overflow stopped the query without a record."""
    derive = rule(
        "derive", column="r", type="smallint", expression="10 // d * b", on_error=on_error
    )
    records = [(1, 1, 1), (2, 0, 1), (3, 1, 32000)]
    made = run([derive], {"id": "bigint", "d": "integer", "b": "integer"}, records, ["id"])
    assert {row[0]: row[3] for row in made.records} == values
    assert made.counts[outcome] == 2
    if on_error != "null":
        assert ("computed of d=0, b=1", "id=2") in {row[3:] for row in made.refused}


@pytest.mark.parametrize(
    ("kind", "expression", "value"),
    [
        ("double", "m / 0", Decimal("1.5")), ("double", "CAST(m AS DOUBLE) * 1e308", Decimal("1e9")),
        ("decimal(4,2)", "m * 100", Decimal("1.00")), ("text", "m / 0", Decimal(1)),
        ("varchar(2)", "'abc'", Decimal(1)),
    ],
)  # fmt: skip
def test_no_derived_value_is_infinite_or_too_large(
    kind: str, expression: str, value: Decimal
) -> None:
    derive = rule("derive", column="r", type=kind, expression=expression, on_error="reject")
    made = run([derive], {"m": "decimal(20,2)"}, [(value,)])
    assert made.counts == {("rejected", "derive", "r"): 1}


def test_a_condition_that_cannot_be_computed_fails_with_its_values() -> None:
    columns = {"id": "bigint", "n": "integer"}
    for kind in (rule("filter", keep="10 / n > 2"), rule("flag", tag="t", when="10 / n > 2")):
        made = run([kind], columns, [(1, 1), (2, 0)], ["id"])
        assert made.counts[(None, None, None)] == 1
        (refused,) = made.refused
        assert refused[0] == "failed"
        assert refused[3:] == ("computed of n=0", "id=2")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": "b", "b": "c"}, "applied twice it gives something else"),
        ({"a": "b", "b": "a"}, "twice"),
    ],
)
def test_a_mapping_that_keeps_values_gives_the_same_twice(
    values: dict[str, str], message: str
) -> None:
    kept = rule("map", column="a", values=values, unmapped="keep")
    with pytest.raises(ValidationError, match=message):
        RuleSet.model_validate({"rules": [kept]})
    meant = run([{**kept, "idempotent": False}], COLUMNS, [(1, "a", 1)])
    assert meant.records == [(1, values["a"], 1)]


def test_a_map_of_ten_thousand_values_is_as_exact_as_one_of_two() -> None:
    values = {f"k{n}": f"Wert {n} ü'\"" for n in range(10_000)}
    records = [(n, f"k{n}", n) for n in range(0, 10_000, 97)] + [(-1, "k", 0)]
    made = run([rule("map", column="a", values=values, unmapped="keep")], COLUMNS, records)
    assert {(row[0], row[1]) for row in made.records} == {
        (n, values.get(key, key)) for n, key, _ in records
    }


@pytest.mark.parametrize(
    ("fields", "before", "after"),
    [
        ({"trim": True}, "\u00a0 a  b\t\n", "a  b"),
        ({"trim": True, "collapse": True}, "  a \u2003 b ", "a b"),
        ({"case": "upper"}, "größe", "GRÖẞE"),
        ({"case": "lower"}, "ÀB", "àb"),
        ({"unicode": "NFC"}, "e\u0301", "é"),
        ({"empty": "null"}, "", None),
        ({"trim": True, "empty": None}, "  ", None),
        ({"number": "de_DE"}, "1.234.567,50", "1234567.50"),
        ({"number": "de_DE"}, " -12,5 ", "-12.5"),
        ({"number": "fr_FR"}, "1 234\u202f567,5", "1234567.5"),
        ({"number": "en_US"}, "1,234.5", "1234.5"),
        ({"number": {"decimal": ","}}, "12,5", "12.5"),
        ({"number": "de_CH"}, "1\u2019234.5", "1234.5"),
        ({"date": ["%d.%m.%Y"]}, "01.02.2017", "2017-02-01"),
        ({"date": "de_DE"}, "1.2.2017", "2017-02-01"),
        ({"date": "en_US"}, "2/28/2017", "2017-02-28"),
        ({"date": ["%Y/%m/%d", "%d %b %Y"]}, "03 Mar 2017", "2017-03-03"),
        ({"number": "de_DE"}, "", ""),
    ],
)
def test_normalize_writes_a_text_in_one_form(
    fields: dict[str, object], before: str, after: str | None
) -> None:
    assert texts(before, **fields).records == [(1, after)]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"number": "de_DE"}, "1.23,5"), ({"number": "de_DE"}, "1,2,3"), ({"number": "de_DE"}, ","),
        ({"number": "de_DE"}, "-"), ({"number": "de_DE"}, "1234.5"), ({"number": "de_DE"}, "zwei"),
        ({"date": ["%d.%m.%Y"]}, "31.02.2017"), ({"date": ["%d.%m.%Y"]}, "2017-01-02"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("policy", ["fail", "reject", "null", "keep"])
def test_a_text_that_is_no_number_or_date_does_what_the_rule_says(
    fields: dict[str, object], text: str, policy: str
) -> None:
    made = texts(text, **fields, on_error=policy)
    if policy in ("fail", "reject"):
        assert made.records == []
        assert made.refused[0][1:] == ("normalize", "a", text, "id=1")
    else:
        assert made.records == [(1, text if policy == "keep" else None)]
    assert made.counts.get(("nulled", "normalize", "a"), 0) == (policy == "null")


@pytest.mark.parametrize(
    "fields",
    [{}, {"number": "xx_XX"}, {"number": "de_DE", "date": "de_DE"}, {"date": "%q"[:0]},
     {"number": {"decimal": ""}}, {"unicode": "NFX"}],
)  # fmt: skip
def test_a_normalization_that_says_nothing_or_something_unknown_is_refused(
    fields: dict[str, object],
) -> None:
    with pytest.raises(ValidationError):
        RuleSet.model_validate({"rules": [rule("normalize", columns=["a"], **fields)]})


def test_only_texts_can_be_normalized() -> None:
    with pytest.raises(RuleError, match="normalizes `n`, which is integer"):
        compiled([rule("normalize", columns=["n"], trim=True)], COLUMNS, [])


TABLES = {
    "regions": {
        "columns": {"code": "text", "region": "varchar(10)", "since": "date"},
        "rows": [["x", "North", "2017-01-01"], ["y", None, None]],
    }
}
LOOKUP = rule(
    "lookup", table="regions", on={"a": "code"}, columns={"region": "region", "d": "since"}
)


@pytest.mark.parametrize(
    ("missing", "loaded", "outcome"),
    [
        ("fail", 2, ("failed", "lookup", "a")),
        ("reject", 2, ("rejected", "lookup", "a")),
        ("null", 3, ("nulled", "lookup", "a")),
    ],
)
def test_a_lookup_sets_columns_and_does_what_it_says_without_a_match(
    missing: str, loaded: int, outcome: tuple[str, str, str]
) -> None:
    records = [(1, "x", 1), (2, "y", 2), (3, "z", 3)]
    made = run([{**LOOKUP, "missing": missing}], COLUMNS, records, ["id"], tables=TABLES)
    assert made.columns[3:] == ["region varchar(10)", "d date"]
    assert made.records[:2] == [
        (1, "x", 1, "North", dt.date(2017, 1, 1)), (2, "y", 2, None, None),
    ]  # fmt: skip
    assert len(made.records) == loaded
    assert made.counts[outcome] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"on": {"a": "cod"}}, "table `regions` has no column `cod`; did you mean `code`"),
        ({"on": {"b": "code"}}, "there is no column `b` here"),
        ({"on": {"n": "code"}}, "compares `n` \\(integer\\) with `code` \\(text\\)"),
        ({"table": None, "dataset": "sales"}, "dataset `sales` has no extract of this campaign"),
    ],
)
def test_a_lookup_that_does_not_fit_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(RuleError, match=message):
        run([{**LOOKUP, **change}], COLUMNS, RECORDS, tables=TABLES)


def test_a_reference_table_has_one_row_for_each_key_and_values_of_its_types() -> None:
    for rows, message in (
        ([["x", "a", None], ["x", "b", None]], "rows 1 and 2 of table `regions` have the same key"),
        ([["x", "much too long", None]], "which is no varchar"),
        ([["x", "a", "2017-02-30"]], "which is no date"),
        ([["x", "a"]], "row 1 of table `regions` has 2 values"),
    ):
        tables = {"regions": {**TABLES["regions"], "rows": rows}}
        with pytest.raises(RuleError, match=message):
            compiled([LOOKUP], COLUMNS, [], tables=tables)
    with pytest.raises(
        ValidationError, match="there is no table `region` in `tables`; did you mean"
    ):
        compiled([{**LOOKUP, "table": "region"}], COLUMNS, [], tables=TABLES)


def test_fill_gives_a_fixed_value_another_columns_or_the_record_befores() -> None:
    columns = {"id": "bigint", "shop": "text", "n": "integer", "m": "integer"}
    records = [(1, "a", 5, 9), (3, "a", None, 9), (2, "a", None, 9), (4, "b", None, 9)]
    fixed = run([rule("fill", column="n", value=7)], columns, records)
    assert [row[2] for row in fixed.records] == [5, 7, 7, 7]
    other = run([{**rule("fill", column="n"), "from": "m"}], columns, records)
    assert [row[2] for row in other.records] == [5, 9, 9, 9]
    previous = {"by": ["shop"], "order": ["id"]}
    before = run([rule("fill", column="n", previous=previous)], columns, records, ["id"])
    assert {row[0]: row[2] for row in before.records} == {1: 5, 2: 5, 3: 5, 4: None}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"value": "x"}, "which is no integer"),
        ({"from": "a"}, "fills `n` \\(integer\\) from `a` \\(text\\)"),
        ({"previous": {"order": ["idd"]}}, "there is no column `idd`"),
    ],
)
def test_a_fill_that_does_not_fit_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(RuleError, match=message):
        compiled([rule("fill", column="n", **fields)], COLUMNS, ["id"])


def test_flags_are_added_to_the_records_for_which_their_conditions_are_true() -> None:
    rules = [
        {**rule("flag", tag="odd", when="n % 2 = 1"), "id": "one"},
        {**rule("flag", tag="first", when="id = 1"), "id": "two"},
    ]
    made = run(rules, COLUMNS, RECORDS)
    assert {row[0]: row[3] for row in made.records} == {1: "odd,first", 2: None, 3: None}
    assert made.columns[3] == "flags text"


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        ({"that": "n < 2 OR n IS NULL"}, {2}), ({"that": "n < 2"}, {2}), ({"not_null": ["a", "n"]}, {2, 3}),
        ({"range": {"column": "n", "min": 2}}, {1}), ({"range": {"column": "n", "max": ":shop - 6"}}, {2}),
        ({"pattern": {"column": "a", "regex": "[a-x]"}}, {3}),
        ({"accepted": {"column": "a", "values": ["x", "z"]}}, {3}),
        ({"accepted": {"column": "n", "values": [1]}}, {2}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("on_failure", ["fail", "reject", "warn"])
def test_an_assertion_finds_the_records_for_which_it_does_not_hold(
    check: dict[str, object], broken: set[int], on_failure: str
) -> None:
    made = run([rule("assert", on_failure=on_failure, **check)], COLUMNS, RECORDS, ["id"])
    kept = {row[0] for row in made.records}
    assert kept == {1, 2, 3} - (set() if on_failure == "warn" else broken)
    counted = {"fail": "failed", "reject": "rejected", "warn": "warned"}[on_failure]
    assert sum(n for key, n in made.counts.items() if key[0] == counted) == len(broken)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "it says one of `that`"), ({"that": "n > 1", "not_null": ["n"]}, "it says one of"),
        ({"unique": ["id"], "on_failure": "reject"}, "none can be rejected"),
        ({"range": {"column": "n"}}, "it says `min`, `max` or both"),
    ],
)  # fmt: skip
def test_an_assertion_says_one_thing(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RuleSet.model_validate({"rules": [rule("assert", **fields)]})


@pytest.mark.parametrize(
    "broken",
    [
        rule("filter", keep="n"), rule("filter", keep="a = 1"), rule("flag", tag="x", when="a"),
        rule("derive", column="r", type="integer", expression="a + 1"),
        rule("derive", column="r", type="integer", expression="date_trunc('month', n)"),
        rule("derive", column="r", type="boolean", expression="n IN (1, a)"),
        rule("derive", column="r", type="integer", expression="CAST('x' AS INTEGER)"),
        rule("filter", keep="a BETWEEN 1 AND 3"),
        rule("assert", that="n + 1"), rule("assert", range={"column": "d", "min": "'x'"}),
        rule("assert", pattern={"column": "a", "regex": "("}),
        rule("assert", pattern={"column": "a", "regex": "(.{1000}){1000}"}),
        rule("filter", keep="regexp_matches(a, '[')"),
        rule("assert", that="d > 5"), rule("flag", tag="x", when="d - 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_types_of_the_columns_is_refused_without_a_record(
    broken: dict[str, Any],
) -> None:
    with pytest.raises(RuleError, match=f"rule `{broken['kind']}`, "):
        run([broken], {**COLUMNS, "d": "date"}, [])


def test_a_pattern_that_backtracks_for_ever_elsewhere_is_answered_at_once() -> None:
    pattern = rule("assert", pattern={"column": "a", "regex": "(a+)+b"}, on_failure="reject")
    made = run([pattern], COLUMNS, [(1, "a" * 50_000, 1)], ["id"])
    assert made.counts == {("rejected", "assert", "a"): 1}


def test_a_season_sets_the_bounds_of_an_assertion() -> None:
    check = rule(
        "assert", range={"column": "d", "min": ":start", "max": ":end"}, on_failure="reject"
    )
    days = [(dt.date(2017, 2, 28),), (dt.date(2017, 3, 1),), (dt.date(2017, 5, 31),), (None,)]
    assert len(run([check], {"d": "date"}, days).records) == 3
