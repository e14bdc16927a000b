"""The rules that are kept beside what they made.

At risk: a text that reads well and does something else than the rules it was written from, when
it is the one place where the last good rules still are.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.core.errors import DocumentError
from etl_assets.core.rules.kept import SHOWN_LINES, rules_markdown, rules_text
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import read_rules

KINDS: list[dict[str, Any]] = [
    {"kind": "select", "columns": ["a", "q_*"]},
    {"kind": "rename", "columns": {"no": "yes"}},
    {"kind": "derive", "column": "d", "type": "decimal(10,2)", "expression": "a * 1.10"},
    {"kind": "map", "column": "a", "values": {"yes": "no", "1": None, "~": ""}, "unmapped": "null"},
    {"kind": "filter", "keep": "a <> 'null' -- `x`", "comment": "grün"},
    {"kind": "fill", "column": "a", "from": "b"},
    {"kind": "dedupe", "keys": ["a"], "order": ["b desc"], "keep": "last"},
    {"kind": "lookup", "table": "t", "on": {"a": "k"}, "columns": {"v": "v"}, "missing": "null"},
    {"kind": "assert", "range": {"column": "a", "min": 0}, "on_failure": "warn"},
    {
        "kind": "flag", "tag": "large", "when": "a > 5",
        "examples": [{"in": {"a": 6}, "out": {"a": 6, "flags": "large"}}],
    },
]  # fmt: skip
TABLE = {"columns": {"k": "text", "v": "text"}, "rows": [["2017-01-01", None], ["0x1", "1e3"]]}


def everything(**fields: object) -> RuleSet:
    rules = [{"id": f"rule-{n}", **kind} for n, kind in enumerate(KINDS)]
    return RuleSet.model_validate({"rules": rules, "tables": {"t": TABLE}, **fields})


def test_what_is_written_is_what_is_read_back() -> None:
    rules = everything(version=3, comment="why: because")
    assert read_rules(rules_text(rules), "rules.yaml") == rules


@given(
    st.text(), st.text(min_size=1), st.dictionaries(st.text(), st.none() | st.text(), min_size=1)
)
def test_any_value_survives_being_written(
    comment: str, keep: str, values: dict[str, str | None]
) -> None:
    rules = RuleSet.model_validate(
        {
            "comment": comment,
            "rules": [
                {"id": "a", "kind": "filter", "keep": keep},
                {"id": "b", "kind": "map", "column": "c", "values": values},
            ],
        }
    )
    assert read_rules(rules_text(rules), "rules.yaml") == rules


def test_the_text_is_of_one_campaign_and_says_its_version() -> None:
    rules = everything(version=3, overrides={"SP17": [{"disable": "rule-0"}]})
    text = rules_text(rules.for_campaign("SP17"))
    assert text.startswith("version: 3\n")
    assert "comment: grün" in text
    assert "rule-0" not in text
    assert "overrides" not in text
    assert read_rules(text, "rules.yaml").digest == rules.for_campaign("SP17").digest


def test_a_text_that_is_none_of_rules_is_refused() -> None:
    with pytest.raises(DocumentError, match="kept is not valid"):
        read_rules("rules: [{id: a, kind: filtr}]", "kept")


def test_a_short_rule_set_is_shown_whole_and_of_a_long_one_the_beginning() -> None:
    assert rules_markdown(rules_text(RuleSet())) == "```yaml\nversion: 0\n```"
    long = everything(tables={"t": {**TABLE, "rows": [["a", "b"]] * 500}})
    shown = rules_markdown(rules_text(long))
    assert len(shown.splitlines()) == SHOWN_LINES + 3
    assert "more lines; `rules_uri` has them all" in shown.splitlines()[-1]


def test_marks_of_code_in_a_rule_do_not_end_the_block() -> None:
    rules = RuleSet.model_validate(
        {"rules": [{"id": "a", "kind": "filter", "keep": "a", "comment": "```` x"}]}
    )
    shown = rules_markdown(rules_text(rules))
    assert shown.startswith("`````yaml\n")
    assert shown.endswith("\n`````")
