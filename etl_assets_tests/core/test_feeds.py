"""A feed's document says what is meant or is refused; its query reads, and comes out the same.

At risk: a query that reads what it must not, or gives other records in another warehouse.
"""

import datetime as dt

import pytest
from sqlglot import exp

from etl_assets.core.columns import ColumnType
from etl_assets.core.datasets import Dataset, parse_dataset
from etl_assets.core.errors import DocumentError
from etl_assets.core.feeds import fence
from etl_assets.core.feeds.feed import Feed, parse_feed, relations_of
from etl_assets.core.feeds.lateness import last_deadline, lateness_of
from etl_assets.core.selects import Select
from etl_assets.settings import Settings

DATASETS: dict[str, Dataset] = {
    "sales": parse_dataset(
        "dataset: sales\nprimary_key: [sale_id]\nquery: SELECT sale_id FROM s\n", "sales.yaml"
    )
}
FEED = """\
feed: units
select: |
  SELECT campaign_key, note, SUM(quantity) AS units, COUNT(*) AS n
  FROM sales_by_campaign GROUP BY campaign_key, note
columns: {units: {type: bigint, comment: Units sold.}}
order_by: [units desc]
name: units_{date:%Y%m%d}.csv
"""
KEYED = FEED.replace("GROUP", "WHERE campaign_key = :campaign_key GROUP").replace(
    "units_{date:%Y%m%d}.csv", "'{feed}_{key}.csv'"
) + "per: key\n"  # fmt: skip


def parse(text: str) -> Feed:
    return parse_feed(text, "units.yaml", DATASETS)


ALLOWED = [
    "SELECT a, b FROM v",
    "SELECT a, CAST(SUM(b) AS DECIMAL(18,2)) AS s, COUNT(DISTINCT c) AS n FROM v GROUP BY a HAVING COUNT(*) > 3",
    "WITH w AS (SELECT a FROM v) SELECT w.a, x.b FROM w JOIN x ON x.a = w.a LEFT JOIN y USING (a)",
    "SELECT a FROM v UNION ALL SELECT a FROM w",
    "SELECT CAST(date_trunc('month', d) AS DATE) AS m, CASE WHEN a = 'x' THEN 1 ELSE 0 END AS c FROM v",
    "SELECT a || b AS ab, coalesce(a, '') AS q, substring(a, 1, 3) AS z FROM v WHERE NOT b IS NULL",
    "SELECT a FROM v WHERE EXISTS (SELECT 1 AS o FROM w WHERE w.a = v.a) AND a IN (SELECT b FROM w)",
    "SELECT DISTINCT a FROM v WHERE d BETWEEN :first_day AND :last_day AND n = -1 + 2 * 3",
    "SELECT q.a FROM (SELECT a FROM v) q",
]


@pytest.mark.parametrize("text", ALLOWED)
def test_what_gives_the_same_everywhere_is_allowed(text: str) -> None:
    tree = fence.parse_feed_select(text)
    days = {"first_day": dt.date(2017, 1, 1), "last_day": dt.date(2017, 1, 31)}
    bound = Select(fence.bind(tree, {**days, "campaign_key": "it's"}))
    for dialect in ("duckdb", "redshift"):
        rendered = bound.render(dialect, "public")
        assert ":" not in rendered
        assert rendered.count('"public".') == len(list(tree.find_all(exp.Table))) - (
            text.count("WITH w")
        )


REFUSED = {
    "SELECT * FROM v": "name the columns",
    "SELECT x.* FROM v x": "name the columns",
    "FROM v": "name the columns",
    "SELECT a FROM v LIMIT 3": "a limit gives other ones",
    "SELECT a FROM v OFFSET 3": "an offset gives other ones",
    "SELECT a FROM v ORDER BY a": "say the order in `order_by`",
    "SELECT AVG(a) AS x FROM v": "give SUM and COUNT",
    "SELECT a / 2 AS x FROM v": "warehouses divide in their own ways",
    "SELECT a % 3 AS x FROM v": "must not use `a % 3`",
    "SELECT upper(a) AS x FROM v": "letters",
    "SELECT a FROM v WHERE a LIKE 'x%'": "compare SUBSTRING",
    "SELECT row_number() OVER (ORDER BY a) AS x FROM v": "windows",
    "SELECT now() AS x FROM v": "must not call `now`",
    "SELECT current_date AS x FROM v": "bind :today",
    "SELECT current_timestamp AS x FROM v": "bind :today",
    "SELECT random() AS x FROM v": "the same each time",
    "SELECT uuid() AS x FROM v": "must not",
    "SELECT pg_sleep(3) AS x FROM v": "must not call `pg_sleep`",
    "SELECT getenv('HOME') AS x FROM v": "must not call `getenv`",
    "SELECT lenght(a) AS x FROM v": "did you mean `length`?",
    "SELECT a FROM main.v": "name its tables and views alone",
    "SELECT a FROM other.main.v": "name its tables and views alone",
    "SELECT a FROM read_csv('x')": "name its tables and views alone",
    "SELECT a FROM 'file.csv'": "name its tables and views alone",
    "SELECT a FROM v; DROP TABLE v": "single SELECT",
    "DELETE FROM v": "single SELECT",
    "COPY v TO 'x'": "single SELECT",
    "SELECT a FROM v EXCEPT SELECT a FROM w": "single SELECT",
    "SELECT a INTO t FROM v": "must not use INTO",
    "SELECT a FROM v FOR UPDATE": "must not use LOCKS",
    "SELECT a FROM v TABLESAMPLE 10%": "must not use SAMPLE",
    "SELECT a FROM v QUALIFY 1 = 1": "must not use QUALIFY",
    "SELECT DISTINCT ON (a) a FROM v": "must not use ON",
    "SELECT a FROM v GROUP BY ALL": "must not use ALL",
    "SELECT a FROM v GROUP BY ROLLUP (a)": "ROLLUP",
    "SELECT a FROM v UNION BY NAME SELECT a FROM w": "must not use BY NAME",
    "WITH RECURSIVE r AS (SELECT a FROM v) SELECT a FROM r": "must not use RECURSIVE",
    "SELECT a FROM v SEMI JOIN w ON v.a = w.a": "SEMI JOIN",
    "SELECT a FROM v NATURAL JOIN w": "must not use METHOD",
    "SELECT a FROM v, LATERAL (SELECT 1 AS b) q": "LATERAL",
    "SELECT a FROM v PIVOT (sum(b) FOR c IN ('x'))": "PIVOTS",
    "SELECT max(a, 3) AS x FROM v": "must not use COUNT in `MAX(a, 3)`",
    "SELECT sum(a ORDER BY b) AS x FROM v": "order",
    "SELECT count(*) FILTER (WHERE a) AS n FROM v": "FILTER",
    "SELECT TRY_CAST(a AS INT) AS x FROM v": "try_cast",
    "SELECT CAST(a AS VARCHAR) AS x FROM v": "casts to",
    "SELECT CAST(a AS JSON) AS x FROM v": "casts to JSON",
    "SELECT a AT TIME ZONE 'UTC' AS x FROM v": "must not",
    "SELECT interval 1 day AS x FROM v": "must not",
    "SELECT [1] AS x FROM v": "must not",
    "SELECT a.b.c FROM v": "name its columns",
    "SELECT a FROM v WHERE a = '\\'": "backslash",
    "SELECT a FROM v WHERE b = :other": "binds `:other`, and can bind :campaign_key",
    "SELECT extract(epoch FROM a) AS x FROM v": "part of a date",
    "SELECT 1 AS x": "reads no table",
    "WITH v AS (SELECT a FROM v) SELECT a FROM v": "reads no table",
    "SELECT a, a FROM v": "two columns with the name `a`",
    "SELECT a + 1 FROM v": "a column without a name",
    "SELECT (": "cannot be parsed",
}


@pytest.mark.parametrize(("text", "problem"), REFUSED.items())
def test_what_does_not_is_refused_with_what_to_do(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (what it says is looked at)
        fence.parse_feed_select(text)
    assert problem in str(caught.value)


def test_a_document_says_what_it_leaves_out() -> None:
    feed = parse(FEED)
    assert feed.reads == ["sales_by_campaign"]
    assert (feed.per, feed.needs, feed.format and feed.format.kind) == (
        "refresh",
        "due_keys",
        "csv",
    )
    assert feed.bound({}).order_by == ("units desc", "campaign_key", "note", "n")
    assert [str(c.type) for c in feed.typed({"campaign_key": ColumnType("text"), "note": ColumnType("text")})] == [
        "text", "text", "bigint", "bigint",
    ]  # fmt: skip
    assert feed.file_name("all", dt.datetime(2017, 3, 1, 4, tzinfo=dt.UTC)) == "units_20170301.csv"
    assert parse(KEYED).needs == "own_key"
    assert (
        parse(KEYED).file_name("SP17", dt.datetime(2017, 3, 1, tzinfo=dt.UTC)) == "units_SP17.csv"
    )


def test_only_what_decides_about_a_delivery_changes_its_digest() -> None:
    digest = parse(FEED).digest
    assert (
        parse(FEED + "description: Other words.\nowner: team:a\ndeliver_by: '07:30'\n").digest
        == digest
    )
    for other in (
        FEED.replace("units desc", "units"),
        FEED.replace("Units sold", "Other"),
        FEED + "format: {kind: csv, delimiter: ';'}\n",
        FEED + "destination: file:elsewhere\n",
    ):
        assert parse(other).digest != digest


WRONG = {
    FEED.replace("sales_by_campaign", "sale_by_campaign"): "did you mean `sales_by_campaign`?",
    FEED.replace("sales_by_campaign", "loads"): "which is no table or view of the platform",
    FEED.replace("{type: bigint, comment: Units sold.}", "{comment: Units.}"): (
        "computes `units`, whose type depends on the warehouse"
    ),
    FEED.replace("columns: {units:", "columns: {unit:"): "computes `units`",
    FEED.replace("[units desc]", "[unit]"): "`unit` is no column of `select`; did you mean `units`?",
    FEED.replace("[units desc]", "[units down]"): "`units down` is no column",
    FEED.replace("[units desc]", "[units, units desc]"): "names a column twice",
    FEED.replace("AS n", 'AS "N"'): "names a column `N`",
    FEED.replace("name: units_", "name: ../units_"): "no folder",
    FEED.replace("%Y%m%d", "%Y/%m"): "a date is written",
    FEED.replace("{date:%Y%m%d}", "{day}"): "{day}: fields are key, date, feed",
    FEED.replace("{date:%Y%m%d}", "{key}"): "needs {key} with `per: key`",
    FEED.replace("name: units_{date:%Y%m%d}.csv\n", ""): "`name` is missing",
    FEED + "per: key\n": "must bind `:campaign_key`",
    FEED + "needs: own_key\n": "goes with `per: key`",
    FEED + "format: cvs\n": "`csv`, `json_lines`, `parquet`, `excel`",
    FEED + "format: {kind: csv, delimiter: ','  , decimal_mark: ','}\n": "are the same",
    FEED + "format: {kind: csv, delimiter: a}\n": "which values hold",
    FEED + "format: {kind: csv, encoding: iso-8859-1, 'null': '€'}\n": "cannot write",
    FEED + "format: {kind: csv, header: false, quote: x}\n": "quote",
    FEED + "format: {kind: excel, sheet: 'a/b'}\n": "sheet",
    FEED + "destination: http://there\n": "destination",
    FEED + "deliver_by: 7:30\n": "no time of the day",
    FEED + "on_empty: ignore\n": "on_empty",
    FEED + "owner: somebody\n": "team:name",
    FEED + "colour: red\n": "colour",
    KEYED.replace("name: '{feed}_{key}.csv'\n", "") + "destination: {url: 'sqlite:///x', table: t}\n": (
        "would leave one campaign's"
    ),
    FEED + "destination: {url: 'sqlite:///x', table: t}\n": "takes neither `format` nor `name`",
    FEED + "destination: {url: 'sqlite:///x', table: t, mode: upsert}\n": "needs it",
    "feed: one\nselect: SELECT note FROM sales\nname: one.csv\n": "a CSV of one column",
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), WRONG.items(), ids=range(len(WRONG)))
def test_a_document_that_is_not_clear_is_refused(text: str, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(text)
    assert problem in str(caught.value)


def test_columns_are_traced_where_a_query_reads_one_relation() -> None:
    sources = fence.column_sources(parse(FEED).tree)
    assert sources["units"] == [("sales_by_campaign", "quantity")]
    assert sources["n"] == []
    assert fence.column_sources(fence.parse_feed_select(ALLOWED[2])) == {}


def test_a_scope_is_late_when_it_was_not_delivered_since_the_tick() -> None:
    at = dt.datetime(2017, 3, 1, 8, 0, tzinfo=dt.UTC)
    deadline = last_deadline("07:30", at)
    assert deadline == at.replace(hour=7, minute=30)
    assert last_deadline("08:30", at) == at.replace(day=28, month=2, hour=8, minute=30)
    tick = at.replace(hour=3)
    early, late = tick - dt.timedelta(minutes=1), tick + dt.timedelta(hours=9)
    found = lateness_of({"A", "B", "C"}, {"A": early, "B": late}, tick=tick, deadline=deadline)
    assert found.late == ("A", "C")
    assert "Not delivered since the tick of 2017-03-01 03:00" in found.said
    assert lateness_of({"B"}, {"B": late}, tick=tick, deadline=deadline).late == ()
    assert "Nothing had to be" in lateness_of(set(), {}, tick=tick, deadline=deadline).said


def test_every_view_that_is_kept_can_be_read() -> None:
    known = relations_of(Settings().datasets)
    assert {"campaign_sales", "campaign_sales_season_to_date"} <= known.keys()
    assert known["campaign_sales_season_to_date"].name == "campaign_sales"
