"""A dataset's query runs on a production database: it must only ever read, and be one."""

import pytest
from sqlglot import exp

from etl_assets.core.datasets import (
    Dataset,
    check_bindings,
    index_datasets,
    parse_dataset,
    parse_select,
)
from etl_assets.core.errors import DocumentError, PermanentError
from etl_assets.settings import Settings


def dataset(query: str = "SELECT a FROM t", name: str = "sales", more: str = "") -> Dataset:
    return parse_dataset(
        f"dataset: {name}\nprimary_key: [a]\nquery: {query!r}\n{more}", f"{name}.yaml"
    )


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a FROM t",
        "  -- which\nSELECT a FROM t ; ",
        "(SELECT a FROM t)",
        "SELECT a FROM t UNION ALL SELECT b FROM u",
        "WITH x AS (SELECT a FROM t) SELECT a FROM x WHERE b = ';' AND c = 'DELETE FROM t'",
        "SELECT a, (SELECT max(b) FROM u) FROM t WHERE d = :start",
    ],
)
def test_a_single_select_is_a_query(query: str) -> None:
    assert isinstance(parse_select(query), exp.Query)


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ; ",
        "-- nothing",
        "SELECT",
        "SELECT a FROM t; SELECT b FROM t",
        "SELECT a FROM t; DROP TABLE t",
        "INSERT INTO t SELECT 1",
        "REPLACE INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "DROP TABLE t",
        "TRUNCATE t",
        "CREATE TABLE u AS SELECT a FROM t",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT a FROM x",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT a FROM x",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "SELECT a FROM t UNION SELECT * FROM (DELETE FROM t RETURNING *) u",
        "SELECT a INTO u FROM t",
        "SELECT a FROM t INTO OUTFILE '/tmp/x'",
        "SELECT a INTO @x FROM t",
        "SELECT a /*! INTO OUTFILE '/tmp/x' */ FROM t",
        "SELECT a FROM t FOR UPDATE",
        "SELECT a FROM t FOR SHARE",
        "SELECT a FROM t LOCK IN SHARE MODE",
        "ATTACH DATABASE 'x' AS y",
        "PRAGMA table_info(t)",
        "CALL p()",
        "SET @a = 1",
        "EXPLAIN SELECT a FROM t",
        "SHOW TABLES",
        "VALUES (1)",
        "what is this",
        "SELECT a FROM (t",
    ],
)
def test_a_query_that_is_not_a_single_select_is_refused_with_line_and_field(query: str) -> None:
    with pytest.raises(DocumentError, match="line 3: `query`"):
        dataset(query)


@pytest.mark.parametrize("name", ["Sales", "1a", "a-b", "", "../x", "a b", "a" * 64])
def test_a_name_that_is_no_folder_and_identifier_is_refused(name: str) -> None:
    with pytest.raises(DocumentError, match="line 1: `dataset`"):
        parse_dataset(f"dataset: {name!r}\nprimary_key: [a]\nquery: SELECT a FROM t\n", "x.yaml")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ("owner: someone", "owner"),
        ("primary_keys: [a]", "primary_keys` is not a known field; did you mean `primary_key"),
        ("columns: {a: {type: varchar}}", "columns.a.type"),
        ("columns: {A: {type: text}}", "columns.A"),
        ("max_rejected: -1", "max_rejected"),
        ("table: 'a b'", "table"),
        (
            "reporting: {day: d, mesures: [m]}",
            "reporting.mesures` is not a known field; did you mean `measures",
        ),
        ("reporting: {measures: [m]}", "reporting.day` is missing"),
        ("reporting: {day: d, measures: [m, m]}", "reporting`: `m` stands twice"),
        ("reporting: {day: d, dimensions: [d]}", "reporting`: `d` stands twice"),
        ("reporting: {day: loaded_at}", "reporting`: `loaded_at` is a column of the load, not of"),
        (
            "reporting: {day: d, dimensions: [day_number]}",
            "reporting`: a view would have two columns `day_number`",
        ),
        (
            "reporting: {day: d, measures: [a, a_to_date]}",
            "reporting`: a view would have two columns `a_to_date`",
        ),
        (
            "reporting: {day: d, measures: [a, compared_a]}",
            "reporting`: a view would have two columns `compared_a`",
        ),
        (f"reporting: {{day: d, measures: [{'m' * 45}]}}", "reporting`: a view's column `mmmm"),
    ],
)
def test_a_bad_field_is_refused_with_its_name(more: str, field: str) -> None:
    with pytest.raises(DocumentError) as caught:
        dataset(more=more)
    assert f"line 4: `{field}" in str(caught.value)


def test_source_tables_and_parameters_are_those_of_the_query() -> None:
    query = (
        "WITH recent AS (SELECT a FROM t WHERE d >= :start) SELECT a FROM recent JOIN u USING (a)"
        " WHERE EXISTS (SELECT 1 FROM w WHERE w.a = u.a AND w.c = :shop AND w.d = ':no')"
    )
    assert dataset(query).source_tables == ["t", "u", "w"]
    assert dataset(query).query_parameters == {"start", "shop"}


def test_a_campaign_without_a_parameter_that_the_query_binds_is_refused() -> None:
    bound = dataset("SELECT a FROM t WHERE b = :shop AND c = :start")
    check_bindings(bound, {"campaign_key": "A", "start": "2017-01-01", "shop": 1})
    with pytest.raises(PermanentError, match="Campaign A has no parameter `shop`"):
        check_bindings(bound, {"campaign_key": "A", "start": "2017-01-01"})


def test_two_datasets_cannot_share_a_name_or_a_table() -> None:
    one, other = dataset(), dataset(name="returns", more="table: sales")
    assert index_datasets([("a", one), ("b", dataset(name="returns"))]).keys() == {
        "sales", "returns",
    }  # fmt: skip
    with pytest.raises(DocumentError, match="another document has the dataset `sales`"):
        index_datasets([("a", one), ("b", one)])
    with pytest.raises(DocumentError, match="another dataset loads the table `sales`"):
        index_datasets([("a", one), ("b", other)])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "reporting: {day: d}\ncolumns: {d: {type: timestamp}}",
            "`reporting`: `day: d` is a timestamp in `columns`, and must be a date",
        ),
        (
            "reporting: {day: d, measures: [m]}\ncolumns: {m: {type: varchar(3)}}",
            "`reporting`: the measure `m` is a varchar(3) in `columns`, and must be a number",
        ),
        (
            "readers: [{name: r, reads: season_to_date}]",
            "the reader `r` reads `season_to_date`, a view that is there only with `reporting`",
        ),
    ],
)
def test_reports_that_need_what_is_not_there_are_refused(more: str, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        dataset(more=more)
    assert said in str(caught.value)
    right = "reporting: {day: d, measures: [m]}\ncolumns: {d: {type: date}, m: {type: real}}"
    assert dataset(more=right).reporting is not None


@pytest.mark.parametrize("table", ["sales_by_campaign", "sales_deduplicated"])
def test_a_table_may_not_have_the_name_of_another_datasets_view(table: str) -> None:
    one, other = dataset(), dataset(name="other", more=f"table: {table}\n")
    for documents in ([("a", one), ("b", other)], [("b", other), ("a", one)]):
        with pytest.raises(DocumentError, match=f"both need the name `{table}`"):
            index_datasets(documents)
    assert index_datasets([("a", one), ("b", dataset(name="sales_by_week"))])
    days = dataset(name="sales_season_to_date")
    assert index_datasets([("a", one), ("b", days)])
    with pytest.raises(DocumentError, match="both need the name `sales_season_to_date`"):
        index_datasets([("a", dataset(more="reporting: {day: d}\n")), ("b", days)])


def test_the_packaged_datasets_are_valid() -> None:
    datasets = Settings().datasets
    assert {"campaign_sales", "campaign_redemptions"} <= datasets.keys()
    kinds = {rule.kind for name in datasets for rule in datasets[name].rules}
    assert {"filter", "derive", "select"} <= kinds
