"""What rules make of columns, against the rules themselves in DuckDB.

The oracle changes the values of one column of the extract and runs the rules again: a column
that changed is one of which the lineage must have said so.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, reject
from hypothesis import settings as examples
from hypothesis import strategies as st

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import RuleError
from etl_assets.core.lineage.build import build_graph
from etl_assets.core.lineage.graph import RECORDS, Graph, How, Kind, Node
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets_tests.core.compiled import run
from etl_assets_tests.core.rule_choices import COLUMNS, KEY, TABLE, Rules, rule_sets

FAILED = "the campaign fails"
Record = tuple[int, int | None, int | None, str | None, str | None]
Cells = dict[str, list[Any]]

values = st.tuples(
    *(st.one_of(st.none(), st.integers(0, 4)) for _ in "ab"),
    *(st.sampled_from(["x", "y", "1", "2,5", "", None]) for _ in "st"),
)
many = st.lists(values, min_size=2, max_size=6)


def graph_of(rules: Rules) -> Graph:
    """Return the lineage of a dataset with the columns of the small extract."""
    dataset = Dataset.model_validate(
        {"dataset": "made", "primary_key": KEY, "query": f"SELECT {', '.join(COLUMNS)} FROM t"}
    )
    rule_set = RuleSet.model_validate({"rules": rules, "tables": {"ref": TABLE}})
    return build_graph({"made": dataset}, {"made": rule_set}, key="SP17")


def outcome(rules: Rules, records: Sequence[Record]) -> Cells | str:
    """Return the values of each column that is loaded, or that the campaign fails."""
    try:
        made = run(rules, COLUMNS, records, KEY, tables={"ref": TABLE})
    except duckdb.Error:
        return FAILED
    failed = any(out == "failed" for (out, *_), _ in made.counts.items())
    if failed or any(not refusal.warns for refusal in made.refusals):
        return FAILED
    names = [name.partition(" ")[0] for name in made.columns]
    return {name: [row[place] for row in made.records] for place, name in enumerate(names)}


def unexpected(rules: Rules, graph: Graph, records: Sequence[Record], column: str,
               others: Sequence[Any]) -> set[str]:  # fmt: skip
    """Return the columns that change with another without being named; values only, too."""
    place = list(COLUMNS).index(column)
    changed: list[Any] = [
        (*record[:place], other, *record[place + 1 :])
        for record, other in zip(records, others, strict=False)
    ]
    was, now = outcome(rules, records), outcome(rules, changed)
    start = Node("extract", "made", column)

    def named(node: Node) -> bool:
        return start in graph.upstream([node])

    by_records = named(Node("table", "made", RECORDS))
    if isinstance(was, str) or isinstance(now, str):
        return {FAILED} if was != now and not by_records else set()
    found = set()
    for name in now:
        if named(Node("table", "made", name)):
            continue
        if not by_records and Counter(was[name]) != Counter(now[name]):
            found.add(name)
        if column != "k" and _kept(was, name) and _kept(now, name):  # the same record, if kept
            old, new = _kept(was, name), _kept(now, name)
            if any(new[key] != value for key, value in old.items() if key in new):
                found.add(name)
    return found


def _kept(cells: Cells, name: str) -> dict[Any, Any]:
    """Return a column's values by the record's key, where the key still names records."""
    keys = cells.get("k", [])
    named = "k" in cells and len(set(keys)) == len(keys)
    return dict(zip(keys, cells[name], strict=True)) if named else {}


LOOKUP = {"id": "r", "kind": "lookup", "table": "ref", "on": {"s": "key"},
          "columns": {"u": "word"}, "missing": "null"}  # fmt: skip


@examples(max_examples=100, deadline=None)
@given(rules=rule_sets(), records=many, others=many, column=st.sampled_from(["a", "b", "s", "t"]))
@example([LOOKUP], [(1, 1, "x", "x")], [(1, 1, "y", "x")], "s")
def test_no_column_changes_with_one_that_the_lineage_does_not_name(
    rules: Rules, records: list[Any], others: list[Any], column: str
) -> None:
    numbered = [(number, *record) for number, record in enumerate(records)]
    place = list(COLUMNS).index(column) - 1
    new = [others[number % len(others)][place] for number in range(len(records))]
    try:
        graph = graph_of(rules)
        found = unexpected(rules, graph, numbered, column, new)
    except RuleError:
        reject()
    assert found == set()


CHANGES: list[tuple[dict[str, Any], str, str, How, list[Record], list[Any]]] = [
    ({"kind": "derive", "column": "d", "type": "integer", "expression": "a + b"},
     "a", "d", "value", [(1, 1, 1, "", "")], [2]),
    ({"kind": "derive", "column": "d", "type": "text", "expression": "CASE WHEN a > 1 THEN s END"},
     "a", "d", "decides", [(1, 1, 1, "x", "")], [2]),
    ({"kind": "filter", "keep": "a > 1"}, "a", RECORDS, "decides", [(1, 1, 1, "", "")], [2]),
    ({"kind": "assert", "that": "a > 1"}, "a", RECORDS, "checks", [(1, 1, 1, "", "")], [2]),
    ({"kind": "assert", "sum": {"column": "a", "max": "1"}},
     "a", RECORDS, "checks", [(1, 1, 1, "", "")], [2]),
    ({"kind": "map", "column": "s", "values": {"x": "z"}, "unmapped": "reject"},
     "s", RECORDS, "decides", [(1, 1, 1, "x", "")], ["y"]),
    ({"kind": "cast", "column": "s", "type": "integer"},
     "s", RECORDS, "checks", [(1, 1, 1, "1", "")], ["y"]),
    (LOOKUP, "s", "u", "decides", [(1, 1, 1, "x", "")], ["y"]),
    ({"kind": "dedupe", "keys": ["a"], "order": ["b"]},
     "b", RECORDS, "decides", [(1, 1, 1, "", ""), (2, 1, 2, "", "")], [3, 2]),
    ({"kind": "fill", "column": "s", "previous": {"order": ["a"]}},
     "a", "s", "decides", [(1, 1, 1, "x", ""), (2, 2, 1, None, "")], [3, 2]),
    ({"kind": "unpivot", "columns": ["a", "b"], "name": "n", "value": "v", "nulls": "drop"},
     "a", RECORDS, "decides", [(1, 1, 1, "", "")], [None]),
    ({"kind": "aggregate", "by": ["s"], "metrics": {"n": {"function": "count"}}},
     "s", "n", "decides", [(1, 1, 1, "x", ""), (2, 1, 1, "y", "")], ["y", "y"]),
    ({"kind": "flag", "tag": "big", "when": "a > 1"},
     "a", "flags", "decides", [(1, 1, 1, "", "")], [2]),
    ({"kind": "normalize", "columns": ["s"], "case": "upper"},
     "s", "s", "value", [(1, 1, 1, "x", "")], ["y"]),
    ({"kind": "rename", "columns": {"a": "z"}}, "a", "z", "value", [(1, 1, 1, "", "")], [2]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "column", "target", "how", "records", "others"), CHANGES,
    ids=[f"{rule['kind']}-{target or 'records'}" for rule, _, target, *_ in CHANGES],
)  # fmt: skip
def test_each_kind_of_rule_is_followed_and_the_oracle_notices_when_it_is_not(
    rule: dict[str, Any], column: str, target: str, how: How, records: list[Record],
    others: list[Any],
) -> None:  # fmt: skip
    rules = [{**rule, "id": "r"}]
    graph = graph_of(rules)
    start = Node("extract", "made", column)
    assert graph.upstream([Node("table", "made", target)])[start] == how
    assert graph.downstream([start])[Node("table", "made", target)] == how
    assert unexpected(rules, graph, records, column, others) == set()
    blind = replace(graph, edges=tuple(edge for edge in graph.edges if edge.before != start))
    assert unexpected(rules, blind, records, column, others)


def ways(rules: Rules, target: str, kind: Kind = "extract") -> dict[str, How]:
    found = graph_of(rules).upstream([Node("table", "made", target)])
    return {node.column: how for node, how in found.items() if node.kind == kind}


def test_a_value_is_stronger_than_a_decision_and_a_way_as_weak_as_its_weakest_part() -> None:
    rules: Rules = [
        {"id": "one", "kind": "derive", "column": "d", "type": "text",
         "expression": "CASE WHEN s = 'x' THEN s ELSE t END"},
        {"id": "two", "kind": "derive", "column": "e", "type": "text",
         "expression": "CASE WHEN d = 'x' THEN t END"},
    ]  # fmt: skip
    assert ways(rules, "d") == {"s": "value", "t": "value"}
    assert ways(rules, "e") == {"t": "value", "s": "decides"}


def test_columns_that_exchange_their_names_and_are_left_out_are_followed() -> None:
    rules: Rules = [
        {"id": "swap", "kind": "rename", "columns": {"a": "b", "b": "a"}},
        {"id": "keep", "kind": "select", "columns": ["k", "a"]},
    ]
    assert ways(rules, "a") == {"b": "value"}
    graph = graph_of(rules)
    reached = graph.downstream([Node("extract", "made", "a")])
    assert list(reached) == [Node("rule", "made", "b", "swap"), Node("rule", "made", "b", "keep")]
    assert Node("table", "made", "b") not in graph.nodes


def test_a_looked_up_column_comes_from_the_reference_table() -> None:
    assert ways([LOOKUP], "u", "reference") == {"word": "value", "key": "decides"}
    used = graph_of([LOOKUP]).downstream([Node("reference", "made/ref", "word")])
    assert Node("table", "made", "u") in used


def test_a_parameter_in_a_rule_is_followed() -> None:
    rules: Rules = [{"id": "r", "kind": "filter", "keep": "a > :shop"}]
    assert ways(rules, RECORDS, "parameter") == {"shop": "decides"}


def test_a_rule_that_names_what_is_not_there_says_what_is() -> None:
    rules: Rules = [
        {"id": "r", "kind": "filter", "keep": "aa > 1"},
    ]
    with pytest.raises(RuleError, match="`aa`, which is not there; did you mean `a`"):
        graph_of(rules)
