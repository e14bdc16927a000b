"""From what a person writes to the columns that are meant."""

from collections.abc import Iterable, Mapping, Sequence

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError
from etl_assets.core.lineage.graph import RECORDS, Graph, Kind, Node
from etl_assets.core.rules.expressions import nearest

ORDER: tuple[Kind, ...] = (
    "table", "view", "reader", "extract", "source", "input", "reference", "parameter", "rule",
)  # fmt: skip
"""Where a name is looked for; the first kind that has it is meant."""


def find(
    graph: Graph, datasets: Mapping[str, Dataset], target: str, dataset: str | None = None
) -> list[Node]:
    """Return the columns that are meant: all those of the first kind of `ORDER` that has any.

    Args:
        graph: Where to look.
        datasets: By name.
        target: `column`, `place.column`, `place` for all of its columns, or the id of a rule; a
            kind and a slash may stand before it, as in `source/sales.amount`. A dataset is a
            place, too: its table, its extract and its rules.
        dataset: Only of this one.

    Raises:
        PermanentError: When there is nothing of that name, with the nearest.
    """
    if dataset is not None and dataset not in datasets:
        raise PermanentError(
            f"There is no dataset `{dataset}`{nearest(dataset, datasets)}.",
            f"Datasets are {', '.join(datasets)}.",
        )
    nodes = [node for node in graph.nodes if dataset in (None, *_datasets(graph, datasets, node))]
    found = [node for node in nodes if target in _names(node, datasets)]
    if not found:
        every = {name for node in nodes for name in _names(node, datasets)}
        where = f" in {dataset}" if dataset else ""
        raise PermanentError(
            f"There is no column, table, rule or reader `{target}`{where}{nearest(target, every)}.",
            "Write a column, a table's column as table.column, or the id of a rule.",
        )
    kind = min(found, key=lambda node: (not _is_column(node, target), ORDER.index(node.kind))).kind
    return sorted((node for node in found if node.kind == kind), key=lambda one: not one.column)


def also(graph: Graph, target: str, found: Sequence[Node]) -> list[str]:
    """Return what else has the name, as it is to be written to be found."""
    return sorted(
        f"{node.kind}/{node.place}.{node.column}"
        for node in graph.nodes
        if node.column == target and node not in found and node.kind in ("source", "extract")
    )


def _is_column(node: Node, target: str) -> bool:
    """Return whether the target is a column's name, and not that of a table or a rule."""
    return target.rpartition("/")[2].rpartition(".")[2] == node.column


def _names(node: Node, datasets: Mapping[str, Dataset]) -> Iterable[str]:
    """Yield what a node is found by."""
    places = {node.place, node.place.rpartition("/")[2]}
    if node.kind == "table":
        places |= {name for name, d in datasets.items() if d.table == node.place}
    for place in places:
        short = [place]
        if node.column:
            short += [node.column, f"{place}.{node.column}"]
        if node.kind == "parameter":
            short = [f":{node.column}", node.column]
        if node.rule:
            short = [node.rule, f"{place}.{node.rule}"]
        for name in short:
            yield name
            yield f"{node.kind}/{name}"


def _datasets(graph: Graph, datasets: Mapping[str, Dataset], node: Node) -> set[str]:
    """Return the datasets that a node is of; a source's table is of those that read it."""
    if node.kind in ("extract", "rule"):
        return {node.place}
    if node.kind == "reference":
        return {node.place.partition("/")[0]}
    if node.kind == "input":
        tables = {edge.after for edge in graph.out_of(node)}
        return {name for one in tables for name in _datasets(graph, datasets, one)}
    if node.kind in ("source", "parameter"):
        after = (edge.after for edge in graph.out_of(node))
        return {one.place for one in after if one.kind in ("extract", "rule")}
    return {
        name
        for name, d in datasets.items()
        if node.place in (d.table, *(reader.name for reader in d.readers))
        or (node.kind == "view" and node.place.startswith(f"{d.table}_"))
    }


def records_of(node: Node) -> Node | None:
    """Return the node that says which records there are where a column is; None at a source."""
    if node.kind in ("table", "view", "extract"):
        return Node(node.kind, node.place, RECORDS)
    return None
