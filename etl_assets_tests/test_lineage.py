"""Where the sample's columns come from and what breaks if one changes, written down by hand.

At risk: somebody changes a column of the source and learns from a wrong report who used it.
"""

from pathlib import Path

import pytest

from etl_assets.core.errors import DocumentError, EtlError
from etl_assets.core.lineage.build import build_graph
from etl_assets.core.lineage.graph import RECORDS, Graph, Kind, Node
from etl_assets.core.lineage.search import find
from etl_assets.core.lineage.story import story
from etl_assets.core.rules.versions import read_rules
from etl_assets.demo import sample
from etl_assets.lineage_graph import read_graph
from etl_assets.settings import Settings
from etl_assets_tests.small import DATASET, Small

OVERRIDES = """\
version: 3
rules:
  - {id: net, kind: derive, column: net, type: bigint, expression: quantity + 1}
overrides:
  SU17:
    - replace: {id: net, kind: derive, column: net, type: bigint, expression: length(note)}
"""
STAR = "dataset: every\nprimary_key: [sale_id]\nquery: SELECT * FROM sales\n"


@pytest.fixture(scope="module")
def graph() -> Graph:
    """The lineage of the sample, as `etl-assets demo` sets it up."""
    text = (Path(sample.__file__).parent / "campaign_sales_rules.yaml").read_text(encoding="utf-8")
    return build_graph(Settings().datasets, {"campaign_sales": read_rules(text, "campaign_sales")})


def at_source(graph: Graph, table: str, column: str, kind: Kind = "table") -> dict[str, str]:
    """Return the columns of the source that a table's column depends on, each with how."""
    found = graph.upstream([Node(kind, table, column)])
    return {node.title: how for node, how in found.items() if node.kind == "source"}


@pytest.mark.parametrize(
    ("table", "column", "sources"),
    [
        ("campaign_sales", "sales_value", {"transactions.sales_value": "value"}),
        ("campaign_sales", "list_value", {
            "transactions.sales_value": "value", "transactions.retail_disc": "value",
            "transactions.coupon_disc": "value", "transactions.coupon_match_disc": "value"}),
        ("campaign_sales", "sold_on", {"transactions.sold_at": "value"}),
        ("campaign_sales", "campaign_type", {"campaign_descriptions.campaign_type": "value"}),
        ("campaign_sales", "brand_type", {
            "products.brand": "value", "products.product_id": "decides",
            "transactions.product_id": "decides"}),
        ("campaign_sales", "has_demographics", {
            "demographics.age": "value", "demographics.household_id": "decides",
            "transactions.household_id": "decides"}),
        ("campaign_redemptions", "redeemed_on", {"coupon_redemptions.redeemed_on": "value"}),
        ("campaign_redemptions", "private_label", {
            "products.brand": "value", "products.product_id": "decides",
            "coupons.product_id": "decides", "coupons.campaign_id": "decides",
            "coupons.coupon_upc": "decides", "coupon_redemptions.coupon_upc": "decides"}),
    ],
)  # fmt: skip
def test_a_column_of_the_sample_comes_from(
    graph: Graph, table: str, column: str, sources: dict[str, str]
) -> None:
    assert at_source(graph, table, column) == sources


def test_the_way_of_a_column_leads_through_its_rules(graph: Graph) -> None:
    told = story(graph, Node("table", "campaign_sales", "brand_type")).up
    way = []
    while told.branches:
        told = told.branches[0]
        way.append((told.node.kind, told.node.rule, told.node.column))
    assert way == [
        ("rule", "brand-column", "brand_type"), ("rule", "brand-name", "brand"),
        ("extract", "", "brand"), ("source", "", "brand"),
    ]  # fmt: skip


def test_a_filter_and_the_query_decide_which_records_there_are(graph: Graph) -> None:
    told = story(graph, Node("table", "campaign_redemptions", "household_id"))
    by_rule = {one.rule: one for one in told.decisions}
    assert set(by_rule) == {"", "department-coupons"}
    assert "coupon_redemptions.redeemed_on" in {node.title for node in by_rule[""].columns}
    only = by_rule["department-coupons"]
    assert (only.said, only.how) == (
        "keeps records for which `departments = 1` is true", "decides",
    )  # fmt: skip
    assert {"products.department"} <= {node.title for node in only.sources}


def reached(graph: Graph, node: Node) -> dict[str, dict[str, str]]:
    """Return by place which columns a column reaches, and how; RECORDS among them."""
    return {
        one.node.place: {**dict(one.columns), **({RECORDS: one.records} if one.records else {})}
        for one in story(graph, node).reached
    }


def test_what_breaks_is_told_up_to_the_readers(graph: Graph) -> None:
    found = reached(graph, Node("source", "transactions", "sales_value"))
    both = {"sales_value": "value", "list_value": "value", RECORDS: "checks"}
    to_date, over_season = (
        found.pop(f"campaign_sales_season_{kind}") for kind in ("to_date", "over_season")
    )
    assert {name for name, how in to_date.items() if how == "value"} == {
        "sales_value", "sales_value_to_date", "list_value", "list_value_to_date",
    }  # fmt: skip
    assert over_season["compared_sales_value_to_date"] == "value"
    assert over_season["sales_value_to_date_difference"] == "value"
    assert "quantity" not in over_season
    assert found == {
        "campaign_sales": both,
        "campaign_sales_by_campaign": both,
        "campaign_sales_deduplicated": both,
        "campaign-sales": {RECORDS: "value"},
        "sales-of-the-season": {RECORDS: "value"},
        "season-comparison": {RECORDS: "value"},
    }


@pytest.mark.parametrize(
    ("column", "sources"),
    [
        ("sales_value_to_date", {"transactions.sales_value": "value", "transactions.sold_at": "decides"}),
        ("brand_type", {"products.brand": "value", "products.product_id": "decides",
                        "transactions.product_id": "decides"}),
    ],
)  # fmt: skip
def test_a_column_of_a_view_over_days_comes_from(
    graph: Graph, column: str, sources: dict[str, str]
) -> None:
    for kind in ("to_date", "over_season"):
        view = f"campaign_sales_season_{kind}"
        assert at_source(graph, view, column, kind="view") == sources


def test_what_a_campaign_is_compared_with_reaches_the_view_beside_the_earlier_season(
    graph: Graph,
) -> None:
    found = reached(graph, Node("parameter", "campaigns", "compared_with"))
    assert set(found) == {"campaign_sales_season_over_season", "season-comparison"}
    shown = found["campaign_sales_season_over_season"]
    assert (shown["compared_with"], shown["compared_sales_value"]) == ("value", "decides")
    assert "sales_value" not in shown


def test_reports_that_name_a_column_which_is_not_there_are_said(small: Small) -> None:
    small.write_dataset(
        DATASET.replace("query:", "reporting: {day: sold_onn}\nquery:")
        + "readers:\n  - {name: weekly, reads: season_to_date, columns: [records_to_dat]}\n"
    )
    missing, unread = read_graph(small.settings()).notes
    assert missing.endswith("`sold_onn`, which the table has not; did you mean `sold_on`?")
    assert "reads the view sales_season_to_date, which is not there: rules leave out" in unread
    small.write_dataset(
        DATASET.replace("query:", "reporting: {day: sold_on}\nquery:")
        + "readers:\n  - {name: weekly, reads: season_to_date, columns: [records_to_dat]}\n"
    )
    (note,) = read_graph(small.settings()).notes
    assert note.endswith(
        "`records_to_dat`, which the view has not; did you mean `records_to_date`?"
    )


def test_a_column_that_only_decides_about_records_reaches_every_reader_of_them(
    graph: Graph,
) -> None:
    found = reached(graph, Node("source", "coupon_redemptions", "campaign_id"))
    assert found["campaign_redemptions"] == {"campaign_id": "value", RECORDS: "decides"}
    assert found["coupon-response"] == {RECORDS: "value"}
    assert "campaign-sales" not in found


def test_a_shared_table_of_the_source_reaches_all_datasets_that_read_it(graph: Graph) -> None:
    found = reached(graph, Node("source", "products", "department"))
    assert {"campaign_sales", "campaign_redemptions"} <= set(found)
    assert found["campaign_redemptions"] == {"department": "value", RECORDS: "decides"}


def test_what_a_campaign_does_otherwise_is_marked_and_alone_with_its_key(small: Small) -> None:
    small.write_rules(OVERRIDES)
    every = read_graph(small.settings())
    marked = {
        edge.before.column: (edge.only, edge.but)
        for edge in every.into(Node("rule", "sales", "net", "net"))
    }
    assert marked == {"quantity": ((), ("SU17",)), "note": (("SU17",), ())}
    for key, column in (("SP17", "quantity"), ("SU17", "note")):
        alone = read_graph(small.settings(), key)
        assert at_source(alone, "sales", "net") == {f"sales.{column}": "value"}


def test_the_columns_of_a_star_are_asked_of_the_source_and_said_when_it_is_not_there(
    small: Small,
) -> None:
    small.write_dataset(STAR, "every")
    found = read_graph(small.settings())
    assert at_source(found, "every", "note") == {"sales.note": "value"}
    assert found.notes == ()
    (small.home / "source.sqlite").unlink()
    assert read_graph(small.settings()).notes == (
        "every: Which columns `*` stands for, of `sales`, the query does not say.",
    )


def test_a_reader_that_names_a_column_which_is_not_there_is_said(small: Small) -> None:
    small.write_dataset(f"{DATASET}readers:\n  - {{name: weekly, columns: [quantty]}}\n")
    assert read_graph(small.settings()).notes == (
        (
            "sales: the reader weekly uses the column `quantty`, which the table has not;"
            " did you mean `quantity`?"
        ),
    )


@pytest.mark.parametrize(
    ("target", "kind", "columns"),
    [
        ("amount", "table", {"amount"}),
        ("sales.amount", "table", {"amount"}),
        ("source/sales.amount", "source", {"amount"}),
        ("extract/amount", "extract", {"amount"}),
        ("sold-on", "rule", {"sold_on", RECORDS}),
        ("rule/sales.sold-on", "rule", {"sold_on", RECORDS}),
        ("sales_deduplicated.note", "view", {"note"}),
        (":starts_at", "parameter", {"starts_at"}),
        ("weekly", "reader", {RECORDS}),
    ],
)
def test_a_column_is_found_by(small: Small, target: str, kind: str, columns: set[str]) -> None:
    small.write_dataset(f"{DATASET}readers:\n  - {{name: weekly}}\n")
    settings = small.settings()
    found = find(read_graph(settings), settings.datasets, target)
    assert {(node.kind, node.column) for node in found} == {(kind, c) for c in columns}


@pytest.mark.parametrize(
    ("target", "dataset", "said"),
    [
        ("amonut", None, r"no column, table, rule or reader `amonut`; did you mean `amount`"),
        ("sales.amonut", None, r"`sales.amonut`; did you mean `sales.amount`"),
        ("amount", "sale", r"no dataset `sale`; did you mean `sales`"),
    ],
)
def test_what_is_not_there_is_said_with_the_nearest(
    small: Small, target: str, dataset: str | None, said: str
) -> None:
    settings = small.settings()
    with pytest.raises(EtlError, match=said):
        find(read_graph(settings), settings.datasets, target, dataset)


@pytest.mark.parametrize(
    ("readers", "said"),
    [
        ("[{name: a}, {name: a}]", "two `readers` have the name `a`"),
        ("[{name: A}]", "name"),
        ("[{name: a, owner: nobody}]", "neither `team:name` nor an e-mail address"),
        ("[{name: a, reads: all}]", "reads"),
    ],
)
def test_a_reader_that_is_not_valid_is_refused(small: Small, readers: str, said: str) -> None:
    small.write_dataset(f"{DATASET}readers: {readers}\n")
    with pytest.raises(DocumentError, match=said):
        dict(small.settings().datasets)


def test_one_reader_of_two_datasets_is_described_in_one_way(small: Small) -> None:
    small.write_dataset(f"{DATASET}readers: [{{name: a, kind: tableau}}]\n")
    other = "dataset: more\nprimary_key: [a]\nquery: SELECT sale_id AS a FROM sales\n"
    small.write_dataset(f"{other}readers: [{{name: a, kind: tableau}}]\n", "more")
    assert len(small.settings().datasets) == 2
    small.write_dataset(f"{other}readers: [{{name: a, kind: excel}}]\n", "more")
    with pytest.raises(DocumentError, match="says otherwise of the reader `a`"):
        dict(small.settings().datasets)


def test_titles_say_what_a_node_is() -> None:
    nodes = [Node("source", "t", "c"), Node("parameter", "campaigns", "start"),
             Node("rule", "d", "c", "r"), Node("table", "t", RECORDS), Node("reader", "weekly", "")]  # fmt: skip
    assert [node.title for node in nodes] == [
        "t.c", ":start", "c after rule d.r", "which records of t", "weekly",
    ]  # fmt: skip


CONTRACT = """\
source: sold
table: sales
primary_key: [sale_id]
columns:
  sale_id: {type: bigint}
  amount: {type: 'decimal(10,2)'}
  unread: {type: text}
"""


def test_a_column_of_a_delivered_table_begins_at_the_files_of_its_source(small: Small) -> None:
    folder = small.home / "contracts"
    folder.mkdir()
    (folder / "sold.yaml").write_text(CONTRACT, encoding="utf-8")
    settings = small.settings()
    graph = read_graph(settings)
    found = graph.upstream([Node("table", "sales", "amount")])
    assert found[Node("input", "sold", "amount")] == "value"
    assert Node("input", "sold", "unread") not in graph.nodes
    assert find(graph, settings.datasets, "input/sold.amount", "sales") == [
        Node("input", "sold", "amount")
    ]
    reached = {one.node.title for one in story(graph, Node("input", "sold", "amount")).reached}
    assert "which records of sales" in reached
