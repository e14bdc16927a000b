"""An expression is written by people who change rules; nothing in it may reach further."""

import datetime as dt
from decimal import Decimal

import duckdb
import pytest

from etl_assets.core.campaigns import Scalar
from etl_assets.core.errors import RuleError
from etl_assets.core.rules.expressions import FUNCTIONS, render_expression
from etl_assets_tests.core.compiled import BINDINGS

COLUMNS = {
    "a": ("VARCHAR", "Grün, it's"),
    "b": ("VARCHAR", None),
    "n": ("INTEGER", -7),
    "m": ("DECIMAL(10,2)", Decimal("2.55")),
    "d": ("DATE", dt.date(2017, 3, 26)),
    "ts": ("TIMESTAMP", dt.datetime(2017, 3, 26, 13, 14, 15)),  # noqa: DTZ001  (a plain TIMESTAMP)
}


def render(text: str, bindings: dict[str, Scalar] | None = None) -> str:
    return render_expression(text, COLUMNS, bindings or BINDINGS, where="Rule `x`").sql


def evaluate(sql: str) -> object:
    """Evaluate SQL over one record of the columns, with nothing else in reach."""
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.execute(
            f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, (kind, _) in COLUMNS.items())})"
        )
        marks = ", ".join("?" for _ in COLUMNS)
        connection.execute(f"INSERT INTO t VALUES ({marks})", [v for _, v in COLUMNS.values()])
        row = connection.execute(f"SELECT {sql} FROM t").fetchone()
        assert row is not None
        return row[0]


CALLS = {
    "abs": "abs(n)",
    "ceil": "ceil(m)",
    "coalesce": "coalesce(b, a)",
    "concat": "concat(a, b, 'x')",
    "contains": "contains(a, 'it''s')",
    "date_diff": "date_diff('day', DATE '2017-01-01', d)",
    "date_trunc": "date_trunc('month', ts)",
    "day": "day(d)",
    "extract": "extract(dow FROM d)",
    "floor": "floor(m)",
    "greatest": "greatest(n, 1, 0)",
    "last_day": "last_day(d)",
    "least": "least(n, 1)",
    "left": "left(a, 3)",
    "length": "length(a)",
    "lower": "lower(a)",
    "lpad": "lpad(a, 12, '.')",
    "month": "month(ts)",
    "nullif": "nullif(n, -7)",
    "regexp_extract": "regexp_extract(a, '(r.)n', 1)",
    "regexp_full_match": "regexp_full_match(a, 'Gr.*')",
    "regexp_matches": "regexp_matches(a, 'it.s$')",
    "regexp_replace": "regexp_replace(a, '[a-z]', '_', 'g')",
    "replace": "replace(a, 'it''s', '')",
    "right": "right(a, 2)",
    "round": "round(m, 1)",
    "rpad": "rpad(a, 3, '.')",
    "sign": "sign(n)",
    "split_part": "split_part(a, ', ', 2)",
    "starts_with": "starts_with(a, 'Gr')",
    "strpos": "strpos(a, 'ü')",
    "substring": "substring(a, 2, 3)",
    "trim": "trim('  x ')",
    "upper": "upper(a)",
    "year": "year(d)",
}


def test_every_listed_function_has_a_call_here() -> None:
    assert CALLS.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize(
    "text",
    [
        *CALLS.values(),
        "n + 2 * 3 - 1",
        "n / 2",
        "n // 2",
        "n % 4",
        "m * 3",
        "-n",
        "a || coalesce(b, '-')",
        "n > 1 AND NOT (n = 2 OR b IS NULL)",
        "a LIKE 'Gr%' OR a ILIKE 'gr%'",
        "n BETWEEN -10 AND 0",
        "a IN ('x', 'Grün, it''s')",
        "n NOT IN (1, 2)",
        "b IS DISTINCT FROM a",
        "CASE WHEN n > 0 THEN 'plus' WHEN n < 0 THEN 'minus' END",
        "CASE n WHEN -7 THEN TRUE ELSE FALSE END",
        "CAST(n AS VARCHAR)",
        "TRY_CAST(a AS INTEGER)",
        "CAST(ts AS DATE) = d",
        "CAST('2017-03-26 13:14:15' AS TIMESTAMP) = ts",
        "TIMESTAMP '2017-03-26 13:14:15'",
        "extract(doy FROM d) + extract(isodow FROM d)",
        "m::double",
        "extract(year FROM d) * 100 + extract(month FROM d)",
        "trim(BOTH 'G' FROM a)",
        "'back\\slash and ''quote'''",
        "''",
        "NULL",
    ],
)
def test_what_is_rendered_means_what_was_written(text: str) -> None:
    assert evaluate(render(text)) == evaluate(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (":shop + 1", 8),
        (":campaign_key || '!'", "SP17!"),
        (":start", dt.date(2017, 3, 1)),
        ("d BETWEEN :start AND :end", True),
        ("ts >= :starts_at AND ts < :ends_before", True),
    ],
)
def test_a_parameter_becomes_a_literal_of_its_type(text: str, value: object) -> None:
    assert evaluate(render(text)) == value


@pytest.mark.parametrize(
    "value",
    ["it's", "back\\", "'; DROP TABLE t; --", '"', "", "ü\n", -5, 1.25, -1e300, True, False, None],
)
def test_a_parameter_is_never_more_than_its_value(value: Scalar) -> None:
    assert evaluate(render(":p", {"p": value})) == value


@pytest.mark.parametrize(
    "text",
    [
        "(SELECT 1)", "SELECT a", "EXISTS (SELECT 1)", "a IN (SELECT b)", "a IN (FROM t)",
        "read_csv('/etc/passwd')", "read_text('/etc/passwd')", "glob('*')", "getenv('HOME')",
        "pragma_version()", "current_setting('home_directory')", "query('SELECT 1')", "now()",
        "current_date", "random()", "uuid()", "version()", "nextval('s')", "count(*)", "sum(n)",
        "sum(n) OVER ()", "row_number() OVER ()", "unnest([1])", "COLUMNS('.*')", "*", "t.*", "t.a",
        "t", "zzz", "A", "[a]", "{'k': a}", "a[1]", "x -> x + 1", "a -> 'b'", "INTERVAL 1 DAY",
        "a; DROP TABLE t", "a; a", "a, b", "(a, b)", "a AS b", "DISTINCT a", "a COLLATE nocase",
        "CAST(a AS JSON)", "CAST(n AS INTEGER[])", "CAST(a AS STRUCT(x INTEGER))", "a::blob",
        "CAST(ts AS TIMESTAMP WITH TIME ZONE)", "x'41'", "E'\\x41'", "$$a$$", "?", "$1", ":nope",
        "", " ", "--", "a +", "a b", "((a)", "'open", "a /* x",
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(RuleError, match="Rule `x`"):
        render(text)


@pytest.mark.parametrize(
    "text",
    [
        "extract(\"year FROM d), getenv('HOME') --\" FROM d)",
        "extract(\"year FROM d) || (SELECT content FROM read_text('/etc/passwd')) --\" FROM d)",
        "date_trunc(\"day', d), getenv('HOME') --\", ts)",
        "date_diff(a, d, d)",
        "extract(nonsense FROM d)",
        "floor(n TO \"day), getenv('HOME') --\")",
        "CAST(m AS DECIMAL(\"10,2)), getenv('HOME') --\"))",
    ],
)
def test_a_part_of_a_date_cannot_smuggle_sql(text: str) -> None:
    """A quoted identifier in `extract` was rendered bare: any SQL could stand in it."""
    with pytest.raises(RuleError):
        render(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("lenght(a)", "did you mean `length`"),
        ("ams", "there is no column `ams`"),
        ("n > 1 AND ams = 2", "Rule `x` at character 11: there is no column `ams`"),
        ("n > 1 OR lenght(a) = 2", "Rule `x` at character 10: the function `lenght`"),
        (":strat", "did you mean `start`"),
        ("a + + )", "is not SQL"),
    ],
)
def test_a_typo_is_met_with_the_nearest_name(text: str, hint: str) -> None:
    with pytest.raises(RuleError) as caught:
        render(text)
    assert hint in str(caught.value)


def test_an_expression_nested_too_deep_is_refused() -> None:
    with pytest.raises(RuleError, match="is nested too deep"):
        render("(" * 5000 + "n" + ")" * 5000)


@pytest.mark.parametrize(
    ("text", "can_fail"),
    [("n", False), ("lower(a) = 'x' OR n IS NULL", False), ("n + 1", True), ("n / m", True),
     ("CAST(a AS INTEGER)", True), ("-n", True)],
)  # fmt: skip
def test_what_cannot_fail_is_known(text: str, can_fail: bool) -> None:  # noqa: FBT001
    rendered = render_expression(text, COLUMNS, BINDINGS, where="Rule `x`")
    assert rendered.can_fail == can_fail
