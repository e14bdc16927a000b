"""Column lineage as Dagster stores it: of a step's columns, those of the assets before it.

Only what a value is made of or decided by is there, since Dagster's form knows no rules, no
records and no campaigns; `etl-assets lineage` shows everything.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import dagster as dg

from etl_assets.core.columns import Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import DocumentError, StagingError
from etl_assets.core.lineage.build import build_graph
from etl_assets.core.lineage.graph import Graph, Node
from etl_assets.core.manifest import Extract, Stage
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import read_rules
from etl_assets.observations import CAMPAIGNS_KEY, rules_key
from etl_assets.systems.protocols import Staging

COLUMN_LINEAGE = "dagster/column_lineage"

NO_LINEAGE = "no_column_lineage"
"""Why there is none; absent when there is."""


def extract_lineage(dataset: Dataset, extract: Extract) -> dict[str, dg.MetadataValue]:
    """Return of each column of an extract the columns of the source, and the parameters."""
    names = [column.name for column in extract.columns]
    return _shown(dataset, RuleSet(), extract, Node("extract", dataset.name, ""), names)


def stage_lineage(
    dataset: Dataset, extract: Extract, stage: Stage, staging: Staging
) -> dict[str, dg.MetadataValue]:
    """Return of each staged column the columns of extracts and reference tables.

    It is that of the rules which were applied, as they are kept beside the parts; nothing when
    they are not there any more.
    """
    if stage.rules is None:
        return {}
    try:
        applied = read_rules(staging.read_text(stage.rules), dataset.name)
    except (StagingError, DocumentError):
        return {}
    names = [column.name for column in stage.columns]
    return _shown(dataset, applied, extract, Node("table", dataset.table, ""), names)


def table_lineage(staged: dg.AssetKey, columns: Sequence[Column]) -> dict[str, dg.MetadataValue]:
    """Return of each column of a table the staged one, which it is."""
    return _metadata({c.name: [dg.TableColumnDep(staged, c.name)] for c in columns})


def _shown(
    dataset: Dataset, rules: RuleSet, extract: Extract, place: Node, names: Collection[str]
) -> dict[str, dg.MetadataValue]:
    """Return the lineage of a place's columns, or why there is none."""
    try:
        graph = build_graph(
            {dataset.name: dataset},
            {dataset.name: rules},
            key=extract.campaign_key,
            known={dataset.name: [column.name for column in extract.columns]},
        )
    except Exception as error:  # noqa: BLE001  (what is only shown must not fail what is loaded)
        return {NO_LINEAGE: dg.MetadataValue.text(f"{type(error).__name__}: {error}")}
    found = {}
    for name in names:
        before = _before(graph, replace(place, column=name))
        deps = (_dep(dataset, node) for node in before)
        found[name] = list(dict.fromkeys(dep for dep in deps if dep is not None))
    return _metadata(found)


def _before(graph: Graph, start: Node) -> list[Node]:
    """Return the nearest columns of other assets, through the rules; no checks, no records."""
    found: dict[Node, None] = {}
    seen, waiting = {start}, [start]
    while waiting:
        for edge in graph.into(waiting.pop()):
            if edge.how == "checks" or not edge.before.column or edge.before in seen:
                continue
            seen.add(edge.before)
            if edge.before.kind == "rule":
                waiting.append(edge.before)
            else:
                found[edge.before] = None
    return sorted(found)


def _dep(dataset: Dataset, node: Node) -> dg.TableColumnDep | None:
    if node.kind == "source":
        return dg.TableColumnDep(dg.AssetKey(["source", node.place]), node.column)
    if node.kind == "extract":
        return dg.TableColumnDep(dg.AssetKey([node.place, "rds_extract"]), node.column)
    if node.kind == "reference":
        table = node.place.rpartition("/")[2]
        return dg.TableColumnDep(rules_key(dataset), f"{table}.{node.column}")
    return dg.TableColumnDep(CAMPAIGNS_KEY, node.column) if node.kind == "parameter" else None


def _metadata(found: dict[str, list[dg.TableColumnDep]]) -> dict[str, dg.MetadataValue]:
    return {COLUMN_LINEAGE: dg.MetadataValue.column_lineage(dg.TableColumnLineage(found))}
