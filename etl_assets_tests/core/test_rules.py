"""A rule that means something else than it says changes a report without a trace."""

from typing import Any

import pytest
from pydantic import ValidationError

from etl_assets.core.errors import RuleError
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets_tests.core.compiled import Rules, compiled, run

COLUMNS = {"id": "bigint", "a": "text", "n": "integer"}
RECORDS = [(1, "x", 1), (2, None, 2), (3, "y", None)]


def rule(kind: str, **fields: object) -> dict[str, Any]:
    return {"id": kind, "kind": kind, **fields}


def test_the_empty_rule_set_is_the_identity() -> None:
    made = run([], COLUMNS, RECORDS, ["id"])
    assert made.records == sorted(RECORDS, key=str)
    assert made.columns == ["id bigint", "a text", "n integer"]
    assert made.counts == {(None, None, None): 3}
    assert not compiled([], COLUMNS, ["id"]).can_drop


def test_select_keeps_and_orders_columns() -> None:
    made = run([rule("select", columns=["n", "id"])], COLUMNS, RECORDS)
    assert made.columns == ["n integer", "id bigint"]
    assert set(made.records) == {(1, 1), (2, 2), (None, 3)}


def test_rename_can_swap_two_columns() -> None:
    made = run([rule("rename", columns={"a": "n", "n": "a"})], COLUMNS, [(1, "x", 7)])
    assert made.columns == ["id bigint", "n text", "a integer"]
    assert made.records == [(1, "x", 7)]


def test_derive_makes_a_column_or_replaces_one_in_its_place() -> None:
    made = run(
        [
            rule("derive", column="b", type="bigint", expression="n * 10 + :shop"),
            {**rule("derive", column="a", type="text", expression="a || '!'"), "id": "again"},
        ],
        COLUMNS,
        RECORDS,
    )
    assert made.columns == ["id bigint", "a text", "n integer", "b bigint"]
    assert set(made.records) == {(1, "x!", 1, 17), (2, None, 2, 27), (3, "y!", None, None)}


def test_a_derived_decimal_rounds_half_away_from_zero() -> None:
    derive = rule("derive", column="r", type="decimal(10,2)", expression="v * 1")
    made = run([derive], {"v": "decimal(10,3)"}, [("1.005",), ("-1.005",), ("1.004",)])
    assert sorted(str(row[1]) for row in made.records) == ["-1.01", "1.00", "1.01"]


def test_a_derived_text_longer_than_its_type_fails_with_the_record() -> None:
    """The embedded warehouse takes a text of any length; Redshift would refuse the load."""
    derive = rule("derive", column="b", type="varchar(3)", expression="a || a")
    made = run([derive], COLUMNS, [(1, "x", 1), (2, "ab", 2)], ["id"])
    assert made.counts == {(None, None, None): 1, ("failed", "derive", "b"): 1}
    assert made.refused == [("failed", "derive", "b", "computed of a=ab", "id=2")]


def test_filter_counts_a_condition_that_is_null_as_filtered() -> None:
    made = run([rule("filter", keep="n >= 1")], COLUMNS, RECORDS)
    assert {row[0] for row in made.records} == {1, 2}
    assert made.counts == {(None, None, None): 2, ("filtered", "filter", None): 1}
    assert made.refused == []


def test_a_record_is_counted_for_the_first_rule_that_drops_it() -> None:
    rules = [
        {"id": "one", "kind": "filter", "keep": "n = 1 OR n IS NULL"},
        {"id": "two", "kind": "filter", "keep": "a = 'x'"},
    ]
    made = run(rules, COLUMNS, RECORDS)
    assert made.counts == {
        (None, None, None): 1, ("filtered", "one", None): 1, ("filtered", "two", None): 1,
    }  # fmt: skip


def test_what_a_filter_dropped_is_not_computed_by_later_rules() -> None:
    """A filter that kept bad values away did not keep them from a derivation used by a filter."""
    rules: Rules = [
        {"id": "numbers", "kind": "filter", "keep": "a <> 'bad'"},
        {"id": "m", "kind": "derive", "column": "m", "type": "bigint", "expression": "CAST(a AS BIGINT)"},
        {"id": "some", "kind": "filter", "keep": "100 // m > 3"},
        {"id": "o", "kind": "derive", "column": "o", "type": "text", "expression": "m // (m - 2)"},
        {"id": "c", "kind": "cast", "column": "o", "type": "integer", "on_error": "reject"},
    ]  # fmt: skip
    records = [(n, "bad" if n % 2 else str(n), n) for n in range(3000, 3020)]
    made = run(rules, COLUMNS, [*records, (1, "10", 1)], ["id"])
    assert made.records == [(1, "10", 1, 10, 1)]
    assert made.counts[("filtered", "numbers", None)] == 10
    assert made.counts[("filtered", "some", None)] == 10


@pytest.mark.parametrize(
    ("unmapped", "values", "counts"),
    [
        ("keep", {"X", None, "y"}, {(None, None, None): 3}),
        ("null", {"X", None}, {(None, None, None): 3, ("nulled", "map", "a"): 1}),
        ("reject", {"X", None}, {(None, None, None): 2, ("rejected", "map", "a"): 1}),
        ("fail", {"X", None}, {(None, None, None): 2, ("failed", "map", "a"): 1}),
    ],
)
def test_map_does_with_unmapped_values_what_it_says(
    unmapped: str, values: set[str | None], counts: dict[tuple[str | None, ...], int]
) -> None:
    made = run(
        [rule("map", column="a", values={"x": "X"}, unmapped=unmapped)], COLUMNS, RECORDS, ["id"]
    )
    assert {row[1] for row in made.records} == values
    assert made.counts == counts
    if unmapped in ("reject", "fail"):
        assert [row[1:] for row in made.refused] == [("map", "a", "y", "id=3")]


def test_map_can_change_the_type_and_map_to_null() -> None:
    made = run(
        [rule("map", column="n", values={1: True, 2: None}, type="boolean")], COLUMNS, RECORDS
    )
    assert made.columns == ["id bigint", "a text", "n boolean"]
    assert {row[2] for row in made.records} == {True, None}
    assert made.counts == {(None, None, None): 3}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("varchar(3)", "long"), ("integer", "1.5"), ("integer", "x"), ("smallint", "32768"),
        ("decimal(10,2)", "1.555"), ("decimal(4,2)", "100"), ("date", "2017-02-30"),
        ("boolean", "maybe"), ("double", "nan"), ("timestamp", "noon"), ("decimal(38,0)", "1e38"),
    ],
)  # fmt: skip
def test_a_mapped_value_that_its_type_does_not_hold_is_refused(kind: str, value: str) -> None:
    with pytest.raises(RuleError, match=r"Rule `map` gives `a` the value .*, which is no "):
        compiled([rule("map", column="a", values={"x": value}, type=kind)], COLUMNS, [])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("varchar(3)", "grü"), ("integer", "-15"), ("decimal(10,2)", "1.50"), ("date", "2017-02-28"),
        ("decimal(38,18)", "12345678901234567890.123456789012345678"), ("double", "0.1"),
        ("timestamp", "2017-01-01 10:00:00"), ("text", "it's"), ("boolean", "false"),
        ("bigint", "-9223372036854775808"),
    ],
)  # fmt: skip
def test_a_mapped_value_of_its_type_is_taken(kind: str, value: str) -> None:
    made = run([rule("map", column="a", values={"x": value}, type=kind)], {"a": "text"}, [("x",)])
    assert made.counts == {(None, None, None): 1}
    assert made.records[0][0] is not None


COLUMN_MISSING = r"there is no column `{}` here"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (rule("select", columns=["id", "nn"]), COLUMN_MISSING.format("nn")),
        (rule("select", columns=["id", "id"]), "names the column `id` twice"),
        (rule("rename", columns={"zz": "b"}), COLUMN_MISSING.format("zz")),
        (rule("rename", columns={"a": "n"}), "gives two columns the name `n`"),
        (rule("rename", columns={"a": "b", "n": "b"}), "gives two columns the name `b`"),
        (rule("derive", column="b", type="text", expression="aa"), COLUMN_MISSING.format("aa")),
        (rule("map", column="zz", values={"a": "b"}), COLUMN_MISSING.format("zz")),
        (rule("map", column="a", values={"a": "1"}, type="integer", unmapped="keep"), "keeps"),
        (rule("filter", keep="zz = 1"), COLUMN_MISSING.format("zz")),
        (rule("cast", column="zz", type="text"), COLUMN_MISSING.format("zz")),
        (rule("rename", columns={"a": "load_id"}), "`load_id` belongs to the platform"),
        (rule("derive", column="campaign_key", type="text", expression="a"), "belongs to"),
    ],
)
def test_a_rule_that_does_not_fit_the_columns_is_named(
    broken: dict[str, Any], message: str
) -> None:
    with pytest.raises(RuleError, match=message) as caught:
        compiled([broken], COLUMNS, ["id"])
    assert broken["kind"] in str(caught.value) or "belongs to" in message
    assert caught.value.remedy


def test_a_rule_sees_the_columns_as_earlier_rules_leave_them() -> None:
    rename = rule("rename", columns={"a": "b"})
    with pytest.raises(RuleError, match="there is no column `a` here"):
        compiled([rename, rule("filter", keep="a = 'x'")], COLUMNS, [])
    assert run([rename, rule("filter", keep="b = 'x'")], COLUMNS, RECORDS).records == [(1, "x", 1)]


def test_the_record_is_named_by_its_primary_key_as_it_was_read() -> None:
    rules = [
        rule("derive", column="id", type="bigint", expression="id * 100"),
        rule("rename", columns={"a": "key"}),
        rule("cast", column="key", type="integer", on_error="reject"),
    ]
    made = run(rules, COLUMNS, [(7, "x", 1), (8, None, 1)], ["id", "a"])
    assert made.refused == [("rejected", "cast", "key", "x", "id=7, a=x")]


def test_two_rules_cannot_share_an_id() -> None:
    keep = rule("filter", keep="n = 1")
    with pytest.raises(ValidationError, match="two rules have the id `filter`"):
        RuleSet.model_validate({"rules": [keep, keep]})


def test_the_digest_is_of_what_rules_do_and_of_their_order() -> None:
    def digest(*rules: dict[str, Any], **fields: object) -> str:
        return RuleSet.model_validate({"rules": rules, **fields}).digest

    one = rule("filter", keep="n = 1")
    two = rule("select", columns=["n"])
    same = {**one, "id": "other", "comment": "why"}
    assert digest(one, two) == digest(same, two, version=3, comment="new")
    assert len({digest(), digest(one), digest(one, two), digest(two, one)}) == 4
