"""What is told of a column: where it comes from, who decides on its records, what it reaches."""

from collections.abc import Iterator
from dataclasses import dataclass

from etl_assets.core.lineage.graph import RECORDS, STRENGTH, Edge, Graph, How, Node
from etl_assets.core.lineage.search import records_of


@dataclass(frozen=True)
class Branch:
    """A node of a tree.

    Attributes:
        node: What stands there.
        edge: The edge from the branch above; None at the root.
        said: What the rule does that made the node.
        branches: What it is made of, or what is made of it.
        again: Whether it stood further up in the tree, with its branches.
    """

    node: Node
    edge: Edge | None
    said: str
    branches: tuple["Branch", ...] = ()
    again: bool = False


@dataclass(frozen=True)
class Decision:
    """Who decides which records there are.

    Attributes:
        place: The dataset, or the view.
        rule: The rule's id; empty: the query, or the view.
        how: `decides`, or `checks` where it can fail the campaign or warn.
        said: In the rule's words.
        columns: Those it looks at.
        sources: What these are made of, at the source.
    """

    place: str
    rule: str
    how: How
    said: str
    columns: tuple[Node, ...]
    sources: tuple[Node, ...]


@dataclass(frozen=True)
class Reached:
    """What a column has a part in at the end of the chain.

    Attributes:
        node: A place; its column does not count.
        columns: Its columns, each with how.
        records: How it has a part in which records there are; None when it has none.
    """

    node: Node
    columns: tuple[tuple[str, How], ...]
    records: How | None


@dataclass(frozen=True)
class Story:
    """Everything that is told of a node."""

    node: Node
    up: Branch
    decisions: tuple[Decision, ...]
    down: Branch
    reached: tuple[Reached, ...]


def story(graph: Graph, node: Node) -> Story:
    """Return what is told of a node."""
    records = records_of(node)
    return Story(
        node=node,
        up=_branch(graph, node, None, set(), down=False),
        decisions=tuple(_decisions(graph, records)) if records else (),
        down=_branch(graph, node, None, set(), down=True),
        reached=tuple(_reached(graph, node)),
    )


def _branch(graph: Graph, node: Node, edge: Edge | None, seen: set[Node], *, down: bool) -> Branch:
    said = next((e.said for e in graph.into(node) if node.rule and e.said), "")
    edges = graph.out_of(node) if down else graph.into(node)
    stops = edge is not None and node.column == RECORDS and node.kind != "reader"
    if node in seen or stops:
        return Branch(node, edge, said, again=bool(edges) and not stops)
    seen.add(node)
    made = [_branch(graph, e.after if down else e.before, e, seen, down=down) for e in edges]
    return Branch(node, edge, said, tuple(made))


def _decisions(graph: Graph, records: Node) -> Iterator[Decision]:
    """Yield who decides, in the order of the data."""
    chain = [records]
    for node in chain:  # grows while it is read
        chain += [e.before for e in graph.into(node)
                  if e.before.column == RECORDS and e.before not in chain]  # fmt: skip
    for node in reversed(chain):
        for how in ("decides", "checks"):
            edges = [e for e in graph.into(node) if e.how == how and e.before.column != RECORDS]
            if edges:
                columns = tuple(edge.before for edge in edges)
                ends = (*columns, *graph.upstream(columns))
                sources = tuple(dict.fromkeys(n for n in ends if n.kind == "source"))
                yield Decision(node.place, node.rule, edges[0].how, edges[0].said, columns, sources)


def _reached(graph: Graph, node: Node) -> Iterator[Reached]:
    places: dict[Node, dict[str, How]] = {}
    for other, how in graph.downstream([node]).items():
        if other.kind in ("table", "view", "reader"):
            places.setdefault(Node(other.kind, other.place, RECORDS), {})[other.column] = how
    for place in sorted(places, key=lambda one: (("table", "view", "reader").index(one.kind), one)):
        ways = places[place]
        columns = sorted(
            ((name, how) for name, how in ways.items() if name),
            key=lambda pair: (-STRENGTH[pair[1]], pair[0]),
        )
        yield Reached(place, tuple(columns), ways.get(RECORDS))
