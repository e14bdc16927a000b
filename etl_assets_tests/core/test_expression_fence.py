"""Whatever is accepted as an expression must stay within its record: checked by other means.

The fence is sqlglot's tree; here DuckDB's own parser says what the rendered SQL calls and
names, so that a difference between the two parsers shows.
"""

import contextlib
import functools
import json
from collections.abc import Iterator
from typing import Any

import duckdb
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from etl_assets.core.errors import RuleError
from etl_assets.core.rules.expressions import FUNCTIONS, render_expression
from etl_assets_tests.core.compiled import BINDINGS

COLUMNS = ["a", "n", "d", "current_date", "select"]

# What FUNCTIONS become, and what DuckDB's parser makes of operators and syntax.
CALLED = {name.lower() for name in FUNCTIONS} | {
    "ltrim", "rtrim", "date_part", "regexp_full_match", "~~", "!~~", "~~*", "!~~*",
    "+", "-", "*", "/", "//", "%", "||",
}  # fmt: skip

PIECES = [
    "a", "n", "d", '"select"', '"current_date"', "1", "2.5", "'x'", "''''", "'%'", "NULL", "TRUE",
    ":shop", ":campaign_key", ":start", "+", "-", "*", "/", "//", "%", "||", "=", "<>", "<", ">=",
    "AND", "OR", "NOT", "IS NULL", "IN", "LIKE", "ILIKE", "BETWEEN", "IS DISTINCT FROM", "(", ")",
    ",", "CASE WHEN", "THEN", "ELSE", "END", "CAST(", "TRY_CAST(", "AS", "::", "INTEGER", "DATE",
    "DECIMAL(10,2)", "VARCHAR", "extract(year FROM", "extract(", "FROM", "date_trunc('month',",
    "trim(", "BOTH", "lower(", "coalesce(", "round(", "floor(", "date_diff('day',", "substring(",
    "getenv(", "read_text(", "'/etc/passwd'", "(SELECT", "SELECT", "t", ".", "[", "]", "{", "}",
    ";", "--", "/*", "*/", '"', "'", "\\", "$$", "?", "->", "~", "@", "#", "\n", "\0", "ü", '"a b"',
    "\"year FROM d), getenv('HOME') --\"", "TO", "FORMAT", "ESCAPE", "OVER ()", "FILTER (", "WHERE",
    "INTERVAL", "COLUMNS(", "*", "EXCLUDE", "ANY", "ALL", "x'", "e'", "current_user", "nextval('s')",
]  # fmt: skip

operands = st.sampled_from(["a", "n", "d", "1", "'x'", "NULL", ":shop", '"select"', ":start"])
valid = st.recursive(
    operands,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "||", "=", "<", "AND", "LIKE", "%"]), inner).map(
            " ".join
        ),
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.lists(inner, max_size=3)).map(
            lambda call: f"{call[0]}({', '.join(call[1])})"
        ),
        inner.map("({})".format),
        inner.map("NOT {}".format),
        inner.map("CAST({} AS VARCHAR)".format),
        inner.map("extract(year FROM {})".format),
        st.tuples(inner, inner).map(lambda two: f"CASE WHEN {two[0]} THEN {two[1]} END"),
        st.tuples(inner, st.lists(inner, min_size=1, max_size=3)).map(
            lambda pair: f"{pair[0]} IN ({', '.join(pair[1])})"
        ),
    ),
    max_leaves=8,
)
anything = st.one_of(
    valid,
    st.lists(st.sampled_from(PIECES), max_size=9).map(" ".join),
    st.tuples(valid, st.sampled_from(PIECES), valid).map(" ".join),
    st.text(max_size=30),
)


@examples(max_examples=1000)
@given(anything)
@example("extract(\"year FROM d), getenv('HOME') --\" FROM d)")
@example("length(a, a)")
@example("a IN t")
@example("ceil(n, 2)")
def test_an_accepted_expression_names_only_columns_and_calls_only_listed_functions(
    text: str,
) -> None:
    try:
        sql = render_expression(text, COLUMNS, BINDINGS, where="Rule `x`").sql
    except RuleError:
        return
    connection = closed_database()
    tree = parsed(connection, sql)
    if tree is None:  # not DuckDB's SQL: it cannot run
        return
    for node in nodes(tree):
        check(node)
    with contextlib.suppress(duckdb.BinderException, duckdb.DataError):  # such as 'x' + 1
        connection.execute(f"SELECT {sql} FROM t").fetchall()


@functools.cache
def closed_database() -> duckdb.DuckDBPyConnection:
    """Return a database that holds one record and cannot reach anything else."""
    connection = duckdb.connect(config={"enable_external_access": "false"})
    connection.execute(
        'CREATE TABLE t (a VARCHAR, n INTEGER, d DATE, "current_date" INTEGER, "select" INTEGER)'
    )
    connection.execute("INSERT INTO t VALUES ('x', 1, DATE '2017-01-01', 2, 3)")
    return connection


def parsed(connection: duckdb.DuckDBPyConnection, sql: str) -> object:
    """Return DuckDB's own tree of `SELECT sql FROM t`, or None when it is not its SQL."""
    row = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT {sql} FROM t"]).fetchone()
    assert row is not None
    found = json.loads(row[0])
    if found["error"]:
        return None
    assert len(found["statements"]) == 1
    node = found["statements"][0]["node"]
    assert node["from_table"]["table_name"] == "t"
    assert node["where_clause"] is None
    assert len(node["select_list"]) == 1
    return node["select_list"]


def nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Yield every mapping of a tree."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            yield from nodes(item)


def check(node: dict[str, Any]) -> None:
    """Fail when a node of DuckDB's tree reaches beyond the record."""
    kind = node.get("class")
    assert kind not in ("SUBQUERY", "WINDOW", "STAR", "LAMBDA", "PARAMETER"), node
    if kind == "COLUMN_REF":
        assert node["column_names"][-1] in COLUMNS, node
        assert len(node["column_names"]) == 1, node
    if "function_name" in node:
        assert node["function_name"].lower() in CALLED, node
