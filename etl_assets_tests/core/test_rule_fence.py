"""Whatever text stands in a rule is a value: the queries it becomes are the same for any text.

Expressions have a fence of their own (`test_expression_fence.py`). Here every other text of
every kind of rule is hostile, and DuckDB's own parser says what the queries read and call.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from etl_assets.core.errors import RuleError
from etl_assets.core.rules.compile import CompiledRules
from etl_assets_tests.core.compiled import compiled, run

COLUMNS = {"id": "bigint", "a": "text", "b": "text", "n": "integer"}
RECORDS = [(1, "x", "1.234,5", 1), (2, None, "31.12.2017", 2)]


def rules_with(text: str) -> dict[str, Any]:
    """Return a rule set with a text wherever one may stand."""
    rules: list[dict[str, Any]] = [
        {"kind": "map", "column": "a", "values": {text: text, "x": text}, "unmapped": "keep",
         "idempotent": False},
        {"kind": "fill", "column": "a", "value": text},
        {"kind": "flag", "tag": text.replace(",", ";") or "t", "when": "n > 1"},
        {"kind": "assert", "accepted": {"column": "a", "values": [text]}, "on_failure": "warn"},
        {"kind": "lookup", "table": "t", "on": {"a": "k"}, "columns": {"v": "v"}, "missing": "null"},
        {"kind": "normalize", "columns": ["b"], "date": [f"%d.%m.%Y{text}"], "on_error": "keep"},
        {"kind": "normalize", "columns": ["a"], "number": {"decimal": (text or ",")[0]},
         "on_error": "keep"},
        {"kind": "unpivot", "columns": ["a", "b"], "name": "what", "value": "much"},
        {"kind": "aggregate", "by": ["what"], "metrics": {"c": {"function": "count"}}},
    ]  # fmt: skip
    tables = {"t": {"columns": {"k": "text", "v": "text"}, "rows": [[text, text]]}}
    numbered = [{"id": f"r{n}", "comment": text, **rule} for n, rule in enumerate(rules)]
    return {"rules": numbered, "tables": tables}


def queries(made: CompiledRules) -> Iterator[str]:
    """Yield every query that rules become."""
    for phase in made.phases:
        yield from (phase.csv_records(""), phase.outcomes(), phase.refused())
        if phase.made_by:
            yield phase.made_by
        for number, step in enumerate(phase.steps):
            if step.side:
                yield phase.over(number - 1, step.side)
            if step.check:
                yield phase.over(number, step.check.select)


def shape(connection: duckdb.DuckDBPyConnection, query: str) -> Counter[str]:
    """Return how often a query reads each relation, calls each function, names each column."""
    row = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    assert row is not None
    found = json.loads(row[0])
    assert not found["error"], found
    assert len(found["statements"]) == 1
    counted: Counter[str] = Counter()
    _count(found["statements"], counted)
    return counted


def _count(node: object, counted: Counter[str]) -> None:
    if isinstance(node, list):
        for item in node:
            _count(item, counted)
    if isinstance(node, dict):
        for name in ("table_name", "function_name", "type"):
            if isinstance(node.get(name), str):
                counted[f"{name} {node[name]}"] += 1
        for name in node.get("column_names", ()):
            counted[f"column {name}"] += 1
        for item in node.values():
            _count(item, counted)


hostile = st.one_of(
    st.text(max_size=20),
    st.lists(
        st.sampled_from(
            ["'", "''", '"', ";", "--", "/*", "*/", "\\", "$$", ")", "(", " OR 1=1", " UNION SELECT ",
             "read_text('/etc/passwd')", "getenv('HOME')", "{step}", "{}", "%", "\n", "?", "$1", "::",
             " FROM extract", "COPY", "ATTACH 'x'", "\u2028", "ü", "0"]
        ),
        max_size=5,
    ).map("".join),
).filter(lambda text: "\0" not in text and not any(0xD800 <= ord(c) < 0xE000 for c in text))  # fmt: skip


@examples(max_examples=150, deadline=None)
@given(hostile)
@example("'; COPY extract TO '/tmp/x' --")
@example("{step}")
def test_no_text_of_a_rule_changes_what_its_queries_read_and_call(text: str) -> None:
    plain = compiled(
        rules_with("k").pop("rules"), COLUMNS, ["id"], tables=rules_with("k")["tables"]
    )
    document = rules_with(text)
    try:
        made = compiled(document["rules"], COLUMNS, ["id"], tables=document["tables"])
    except RuleError:
        return
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        for ours, theirs in zip(queries(made), queries(plain), strict=True):
            assert shape(connection, ours) == shape(connection, theirs)


@examples(max_examples=30, deadline=None)
@given(hostile)
def test_a_rule_set_with_any_text_runs_and_keeps_it_as_a_value(text: str) -> None:
    fill = {"id": "f", "kind": "fill", "column": "a", "value": text}
    made = run([fill], COLUMNS, RECORDS, ["id"])
    assert [row[1] for row in made.records] == ["x", text]


def test_a_query_of_another_shape_is_noticed() -> None:
    with duckdb.connect() as connection:
        plain = shape(connection, "SELECT a FROM extract WHERE a = 'x'")
        assert shape(connection, "SELECT a FROM extract WHERE a = 'y'") == plain
        for other in ("SELECT a FROM extract WHERE a = 'x' OR true", "SELECT a FROM other WHERE a = 'x'",
                      "SELECT a FROM extract WHERE a = getenv('x')", "SELECT b FROM extract WHERE a = 'x'"):  # fmt: skip
            assert shape(connection, other) != plain
