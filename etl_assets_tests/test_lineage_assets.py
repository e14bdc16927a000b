"""The whole graph in Dagster: sources, chain, views and readers, and the lineage it stores.

At risk: a graph that ends at the table, and column lineage that nobody can ask Dagster for.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets import column_lineage, lineage
from etl_assets.column_lineage import COLUMN_LINEAGE, NO_LINEAGE
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import RuleError
from etl_assets.core.reporting import DAY_COLUMNS
from etl_assets.definitions import build_defs
from etl_assets.lineage import build_external_assets
from etl_assets.settings import Settings
from etl_assets_tests.dagster_fixtures import CHAIN, OTHER_DATASET, Platform, open_platform
from etl_assets_tests.small import DATASET, Small
from etl_assets_tests.ui_answers import ask

READERS = """\
owner: team:sales
description: One record per sale.
readers:
  - {name: weekly, kind: tableau, description: Sales by week., owner: team:reports, columns: [amount]}
  - {name: yearly, kind: excel, reads: deduplicated}
"""
RULES = """\
version: 2
tables:
  shops: {columns: {note: text, town: varchar(20)}, rows: [[plain, Bonn]]}
rules:
  - {id: some, kind: filter, keep: quantity >= 0}
  - {id: total, kind: derive, column: total, type: "decimal(20,2)", expression: amount * quantity}
  - {id: town, kind: lookup, table: shops, on: {note: note}, columns: {town: town}, missing: "null"}
  - {id: remark, kind: lookup, dataset: notes, on: {sale_id: sale_id}, columns: {remark: note}}
overrides:
  SU17:
    - {disable: total}
"""
LINEAGE = """query($asset: AssetKeyInput!, $key: String!) {
  assetNodeOrError(assetKey: $asset) { ... on AssetNode {
    assetMaterializations(partitions: [$key], limit: 1) { metadataEntries {
      ... on TableColumnLineageMetadataEntry { label lineage {
        columnName columnDeps { assetKey { path } columnName } } } } } } } }"""
NODE = """query($asset: AssetKeyInput!) {
  assetNodeOrError(assetKey: $asset) { ... on AssetNode {
    groupName kinds description isMaterializable
    owners { ... on TeamAssetOwner { team } }
    tags { key value } dependencyKeys { path } } } }"""


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    small.write_dataset(DATASET + READERS)
    small.write_dataset(f"{OTHER_DATASET}readers: [{{name: yearly, kind: excel}}]\n", "notes")
    small.write_rules(RULES)
    with open_platform(small, tmp_path) as opened:
        yield opened


def stored(platform: Platform, asset: str, key: str) -> dict[str, set[str]]:
    """Return the lineage that the UI's GraphQL gives of an asset's partition."""
    variables = {"asset": {"path": asset.split("/")}, "key": key}
    (answer,) = ask(platform, [(LINEAGE, variables)])
    (event,) = answer["assetNodeOrError"]["assetMaterializations"]
    (entry,) = [entry for entry in event["metadataEntries"] if entry]
    assert entry["label"] == COLUMN_LINEAGE
    return {
        column["columnName"]: {
            f"{'/'.join(dep['assetKey']['path'])}.{dep['columnName']}"
            for dep in column["columnDeps"]
        }
        for column in entry["lineage"]
    }


def test_the_lineage_of_every_step_is_stored_and_follows_the_campaigns_own_rules(
    platform: Platform,
) -> None:
    for key in ("SP17", "SU17"):
        assert platform.run(key).success
    assert stored(platform, "sales/rds_extract", "SP17") == {
        name: {f"source/sales.{name}"}
        for name in ("sale_id", "sold_at", "quantity", "amount", "note")
    }
    staged = stored(platform, "sales/s3_staging_csv", "SP17")
    assert staged["total"] == {"sales/rds_extract.amount", "sales/rds_extract.quantity"}
    assert staged["town"] == {
        "registry/sales_rules.shops.town", "registry/sales_rules.shops.note",
        "sales/rds_extract.note",
    }  # fmt: skip
    assert staged["remark"] == {
        "notes/rds_extract.note", "notes/rds_extract.sale_id", "sales/rds_extract.sale_id",
    }  # fmt: skip
    assert stored(platform, "sales/redshift_table", "SP17") == {
        name: {f"sales/s3_staging_csv.{name}"} for name in staged
    }
    assert set(staged) - set(stored(platform, "sales/s3_staging_csv", "SU17")) == {"total"}


def test_lineage_that_cannot_be_told_fails_no_load(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuleError("It cannot be followed.", "Report it.")

    monkeypatch.setattr(column_lineage, "build_graph", broken)
    assert platform.run("SP17").success
    shown = platform.shown("sales/s3_staging_csv", "SP17")
    assert shown[NO_LINEAGE] == "RuleError: It cannot be followed. Report it."
    assert COLUMN_LINEAGE not in shown


def nodes(platform: Platform, *assets: str) -> list[dict[str, Any]]:
    """Return what the UI knows of assets."""
    asked = ask(platform, [(NODE, {"asset": {"path": asset.split("/")}}) for asset in assets])
    return [one["assetNodeOrError"] for one in asked]


def parents(node: dict[str, Any]) -> set[str]:
    return {"/".join(key["path"]) for key in node["dependencyKeys"]}


def test_views_and_readers_stand_behind_the_table(platform: Platform) -> None:
    by_campaign, once, weekly, yearly, source = nodes(
        platform, "sales/sales_by_campaign", "sales/sales_deduplicated", "reader/weekly",
        "reader/yearly", "source/sales",
    )  # fmt: skip
    for view in (by_campaign, once):
        assert parents(view) == {"sales/redshift_table"}
        assert (view["groupName"], set(view["kinds"])) == ("sales", {"duckdb", "view"})
        assert view["owners"] == [{"team": "sales"}]
        assert {"key": "etl_assets/dataset", "value": "sales"} in view["tags"]
        assert view["description"].startswith("One record per sale.")
    assert parents(weekly) == {"sales/sales_by_campaign"}
    assert parents(yearly) == {"sales/sales_deduplicated", "notes/notes_by_campaign"}
    assert (weekly["groupName"], weekly["kinds"]) == ("readers", ["tableau"])
    assert weekly["owners"] == [{"team": "reports"}]
    assert weekly["description"] == "Sales by week.\n\nReads `amount` of `sales_by_campaign`."
    assert source["description"] == (
        "The table `sales` of the source database, read by notes, sales.\n\n"
        "notes reads `note`, `sale_id`, `sold_at`.\n\n"
        "sales reads `amount`, `note`, `quantity`, `sale_id`, `sold_at`."
    )
    assert not any(node["isMaterializable"] for node in (by_campaign, once, weekly, yearly, source))


def test_a_view_over_days_shows_its_columns_and_what_they_say() -> None:
    specs = {spec.key.path[-1]: spec for spec in build_external_assets(Settings())}
    reporting = Settings().datasets["campaign_sales"].reporting
    assert reporting is not None
    for kind, names in DAY_COLUMNS.items():
        spec = specs[f"campaign_sales_{kind}"]
        assert [dep.asset_key.path for dep in spec.deps] == [["campaign_sales", "redshift_table"]]
        schema = spec.metadata["dagster/column_schema"].schema
        assert [column.name for column in schema.columns] == names(reporting)
        described = {column.name: (column.type, column.description) for column in schema.columns}
        assert described["sales_value_to_date"] == (
            "number", "Amount the store received, in dollars. Since the season's first day.",
        )  # fmt: skip
    assert "dagster/column_schema" not in specs["campaign_sales_by_campaign"].metadata


def test_everything_of_a_dataset_has_its_tag_and_owner(platform: Platform) -> None:
    graph = build_defs(platform.settings).resolve_asset_graph()
    keys = [f"sales/{name}" for name in (*CHAIN, "sales_by_campaign")]
    for key in (*keys, "registry/sales_rules"):
        node = graph.get(dg.AssetKey(key.split("/")))
        assert (node.description or "").startswith("One record per sale.") or key.endswith(
            "staging_csv"
        )
        assert node.tags["etl_assets/dataset"] == "sales"
        assert node.owners == ["team:sales"]


def test_a_query_that_cannot_be_followed_leaves_the_graph_as_it_is(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_query: str) -> None:
        raise RecursionError

    monkeypatch.setattr(lineage, "query_lineage", broken)
    node = build_defs(platform.settings).resolve_asset_graph().get(dg.AssetKey(["source", "sales"]))
    assert node.description == "The table `sales` of the source database, read by notes, sales."


def test_a_reader_of_the_table_itself_stands_behind_it(platform: Platform) -> None:
    dataset = platform.settings.datasets["sales"]
    changed = Dataset.model_validate(
        {**dataset.model_dump(by_alias=True), "readers": [{"name": "direct", "reads": "table"}]}
    )
    settings = replace(platform.settings)
    settings.__dict__["datasets"] = {"sales": changed}
    graph = build_defs(settings).resolve_asset_graph()
    (reader,) = [k for k in graph.get_all_asset_keys() if k.path[0] == "reader"]
    assert graph.get(reader).parent_keys == {dg.AssetKey(["sales", "redshift_table"])}
