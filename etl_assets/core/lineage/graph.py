"""The graph of columns: what each is made of, and what is made of it.

Which records there are is a node of its own beside the columns of a table (its column is
`RECORDS`): a filter decides it, and with it what every column shows. So the columns of filters
and joins are not repeated for each column.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Kind = Literal[
    "input", "source", "parameter", "extract", "reference", "rule", "table", "view", "reader"
]  # fmt: skip
How = Literal["value", "decides", "checks"]

RECORDS = ""
"""The column of the node that says which records there are."""

STRENGTH: dict[How, int] = {"checks": 0, "decides": 1, "value": 2}
"""A way is as strong as its weakest edge; of several ways the strongest counts."""


@dataclass(frozen=True, order=True)
class Node:
    """A column at one place, or which records there are at it.

    Attributes:
        kind: `input` (the files of a raw source), `source` (a table of the source), `parameter` (of a campaign), `extract`,
            `reference` (a table that rules look into), `rule` (the column as a rule leaves it),
            `table` (the target), `view`, or `reader` (who has no column).
        place: The table, view, reader or raw source; of an extract and a rule the dataset; of a reference
            table dataset and table.
        column: `RECORDS` is no column but which records there are.
        rule: The rule's id, of kind `rule`.
    """

    kind: Kind
    place: str
    column: str
    rule: str = ""

    @property
    def title(self) -> str:
        """What people call it."""
        if self.kind == "reader":
            return self.place
        if self.kind == "parameter":
            return f":{self.column}"
        what = self.column or "which records"
        if self.kind == "rule":
            return f"{what} after rule {self.place}.{self.rule}"
        return f"{self.place}.{what}" if self.column else f"{what} of {self.place}"


@dataclass(frozen=True)
class Edge:
    """One column makes another, or decides on it.

    Attributes:
        how: `value`: it is made of it. `decides`: which value is taken, or which record is
            there, depends on it. `checks`: it may fail the campaign or count a warning.
        said: How, in the words of the rule; may be empty.
        sure: False where the query does not say whose column it is.
        only: The campaigns whose overrides make this edge; none: all, or all but `but`.
        but: The campaigns whose overrides undo it.
    """

    before: Node
    after: Node
    how: How = "value"
    said: str = ""
    sure: bool = True
    only: tuple[str, ...] = ()
    but: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Edges between columns, and what could not be known.

    Attributes:
        edges: In the order of the data.
        notes: Sentences.
        alone: Nodes that are made of nothing, such as a column that counts records.
    """

    edges: tuple[Edge, ...]
    notes: tuple[str, ...] = ()
    alone: tuple[Node, ...] = field(default=())

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node, each once, in the order of the data."""
        ends = (node for edge in self.edges for node in (edge.before, edge.after))
        return tuple(dict.fromkeys((*ends, *self.alone)))

    def into(self, node: Node) -> list[Edge]:
        """Return the edges by which a node is made."""
        return self._into[node]

    def out_of(self, node: Node) -> list[Edge]:
        """Return the edges by which others are made of a node."""
        return self._out_of[node]

    def upstream(self, start: Iterable[Node]) -> dict[Node, How]:
        """Return everything that has a part in some nodes, with how; not the nodes themselves."""
        return self._reach(start, down=False)

    def downstream(self, start: Iterable[Node]) -> dict[Node, How]:
        """Return everything that some nodes have a part in, with how; not the nodes themselves.

        Where they decide which records a table has, its columns are not listed one by one.
        """
        return self._reach(start, down=True)

    def _reach(self, start: Iterable[Node], *, down: bool) -> dict[Node, How]:
        edges = self._out_of if down else self._into
        begun = set(start)
        found: dict[Node, How] = {}
        ways: tuple[How, ...] = ("value", "decides", "checks")
        for how in ways:  # the strongest first
            waiting = [*begun, *found]
            while waiting:
                for edge in edges[waiting.pop()]:
                    other = edge.after if down else edge.before
                    known = other in found or other in begun
                    if not known and STRENGTH[edge.how] >= STRENGTH[how]:
                        found[other] = how
                        waiting.append(other)
        return found

    @cached_property
    def _into(self) -> dict[Node, list[Edge]]:
        found: dict[Node, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            found[edge.after].append(edge)
        return found

    @cached_property
    def _out_of(self) -> dict[Node, list[Edge]]:
        found: dict[Node, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            found[edge.before].append(edge)
        return found
