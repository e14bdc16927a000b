"""The whole graph of columns: every dataset's query, rules, table, views and readers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from etl_assets.core.columns import LOAD_COLUMNS
from etl_assets.core.datasets import Dataset
from etl_assets.core.inputs.contract import Contract
from etl_assets.core.lineage.graph import RECORDS, Edge, Graph, How, Node
from etl_assets.core.lineage.query import query_lineage
from etl_assets.core.lineage.relations import Origins
from etl_assets.core.lineage.rules import CAMPAIGNS, Walk
from etl_assets.core.lineage.views import misfits, view_edges
from etl_assets.core.rules.rule_set import RuleSet

_KEY = "campaign_key"


def build_graph(
    datasets: Mapping[str, Dataset],
    rule_sets: Mapping[str, RuleSet],
    *,
    key: str | None = None,
    known: Mapping[str, Sequence[str]] | None = None,
    contracts: Iterable[Contract] = (),
) -> Graph:
    """Return the graph of some datasets.

    Args:
        datasets: By name.
        rule_sets: By dataset; a dataset without one uses the rules of its own document.
        key: Only what is of this campaign. None: of all; edges that overrides make or undo say
            for which campaigns.
        known: The columns of extracts, of datasets whose query does not name them.
        contracts: Of the raw sources whose files fill tables of the source.

    Raises:
        RuleError: When rules name a column that is not there.
    """
    graphs = [
        _of_dataset(d, rule_sets.get(name, d.own_rules), key, (known or {}).get(name))
        for name, d in datasets.items()
    ]
    edges = dict.fromkeys(edge for graph in graphs for edge in graph.edges)
    return Graph(
        edges=(*_delivered(contracts, edges), *edges),
        notes=tuple(dict.fromkeys(note for graph in graphs for note in graph.notes)),
        alone=tuple(dict.fromkeys(node for graph in graphs for node in graph.alone)),
    )


def _delivered(contracts: Iterable[Contract], edges: Iterable[Edge]) -> Iterator[Edge]:
    """Yield the edges from files to those columns of the source that a dataset reads."""
    read = {edge.before for edge in edges}
    for contract in contracts:
        for name in contract.columns:
            if (after := Node("source", contract.table, name)) in read:
                yield Edge(Node("input", contract.source, name), after)


@dataclass(frozen=True)
class _Made:
    """What rules make of an extract.

    Attributes:
        edges: From the extract to the readers.
        alone: Columns made of nothing.
        lazy: Columns of the extract that only the rules name.
        notes: What does not fit.
    """

    edges: tuple[Edge, ...]
    alone: tuple[Node, ...]
    lazy: tuple[str, ...]
    notes: tuple[str, ...]


def _of_dataset(
    dataset: Dataset, rules: RuleSet, key: str | None, known: Sequence[str] | None
) -> Graph:
    asked = query_lineage(dataset.query)
    names = list(known or asked.relation.columns)
    whole = known is not None or asked.is_complete
    if key is not None:
        made = _made(dataset, rules.for_campaign(key), names, whole=whole)
    else:
        made = _of_all(dataset, rules, names, whole=whole)
    columns = {name: asked.relation.column(name) or {} for name in (*names, *made.lazy)}
    notes = (*asked.notes, *(() if known and len(asked.relation.others) == 1 else asked.stars))
    return Graph(
        edges=(*_extract(dataset, columns, asked.relation.records), *made.edges),
        notes=tuple(f"{dataset.name}: {note}" for note in (*notes, *made.notes)),
        alone=made.alone,
    )


def _of_all(dataset: Dataset, rules: RuleSet, names: Sequence[str], *, whole: bool) -> _Made:
    """Return what the rules make, those of every campaign that has overrides included."""
    every = _made(dataset, rules.for_campaign(""), names, whole=whole)
    own = {key: _made(dataset, rules.for_campaign(key), names, whole=whole)
           for key in rules.overrides}  # fmt: skip
    only: dict[Edge, list[str]] = {}
    but: dict[Edge, list[str]] = {}
    for key, made in own.items():
        for edge in _apart(made.edges, every.edges):
            only.setdefault(edge, []).append(key)
        for edge in _apart(every.edges, made.edges):
            but.setdefault(edge, []).append(key)
    edges = [replace(edge, but=tuple(but.get(edge, ()))) for edge in every.edges]
    edges += [replace(edge, only=tuple(keys)) for edge, keys in only.items()]
    all_made = (every, *own.values())
    return _Made(
        tuple(edges),
        tuple(dict.fromkeys(node for made in all_made for node in made.alone)),
        tuple(dict.fromkeys(name for made in all_made for name in made.lazy)),
        tuple(dict.fromkeys(note for made in all_made for note in made.notes)),
    )


def _apart(edges: Sequence[Edge], others: Sequence[Edge]) -> list[Edge]:
    """Return the edges that are not among others, in their order."""
    there = set(others)
    return [edge for edge in edges if edge not in there]


def _made(dataset: Dataset, rules: RuleSet, names: Sequence[str], *, whole: bool) -> _Made:
    walk = Walk(dataset.name, names, dataset.primary_key, known=whole)
    for rule in rules.rules:
        walk.apply(rule)
    columns = [*walk.columns, *LOAD_COLUMNS]
    edges = [
        *walk.edges,
        *_table(dataset, walk.columns, walk.records),
        *view_edges(dataset, columns),
    ]
    used = {edge.before for edge in edges if edge.before.kind == "extract"}
    lazy = sorted(n.column for n in used if n.place == dataset.name)
    return _Made(
        tuple(dict.fromkeys(edges)),
        tuple(walk.alone),
        tuple(name for name in lazy if name not in (RECORDS, *names)),
        tuple(misfits(dataset, columns)),
    )


def _extract(dataset: Dataset, columns: Mapping[str, Origins], records: Origins) -> Iterator[Edge]:
    for name, origins in columns.items():
        yield from _from_source(Node("extract", dataset.name, name), origins)
    yield from _from_source(Node("extract", dataset.name, RECORDS), records)


def _from_source(after: Node, origins: Origins) -> Iterator[Edge]:
    for place, part in origins.items():
        how: How = "value" if part.value and after.column else "decides"
        before = (
            Node("source", place.table, place.column)
            if place.table
            else Node("parameter", CAMPAIGNS, place.column)
        )
        yield Edge(before, after, how, "" if how == "value" else "in the query", part.sure)


def _table(dataset: Dataset, columns: Mapping[str, Node], records: Node) -> Iterator[Edge]:
    for name, node in columns.items():
        yield Edge(node, Node("table", dataset.table, name))
    yield Edge(records, Node("table", dataset.table, RECORDS))
    yield Edge(Node("parameter", CAMPAIGNS, _KEY), Node("table", dataset.table, _KEY))
