"""What rules make the columns of an extract into."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlglot import exp

from etl_assets.core.errors import RuleError
from etl_assets.core.lineage.expressions import split
from etl_assets.core.lineage.graph import RECORDS, Edge, How, Node
from etl_assets.core.lineage.rule_parts import Parts, deciding, each, refuses, said
from etl_assets.core.rules.assertions import Assert
from etl_assets.core.rules.columns_used import (
    columns_looked_at,
    columns_set,
    matching,
    says,
)
from etl_assets.core.rules.expressions import nearest, parse_expression
from etl_assets.core.rules.kinds import (
    Aggregate,
    Dedupe,
    Derive,
    Drop,
    Fill,
    Filter,
    Flag,
    Lookup,
    Rename,
    Rule,
    Select,
    Unpivot,
)

CAMPAIGNS = "campaigns"
"""Where the nodes of parameters are."""


class Walk:
    """Follows the columns of an extract from rule to rule.

    Attributes:
        columns: The node of each column after the last rule, in order.
        records: Of which records there are.
        edges: What was found.
        alone: Columns that are made of nothing.
    """

    def __init__(
        self, dataset: str, columns: Iterable[str], primary_key: Sequence[str], *, known: bool
    ) -> None:
        """Begin with an extract.

        Args:
            dataset: Its name.
            columns: Those that are known.
            primary_key: Names its records.
            known: Whether it has no others.
        """
        self._dataset = dataset
        self._known = known
        self.columns = {name: Node("extract", dataset, name) for name in columns}
        self.records = Node("extract", dataset, RECORDS)
        self._named_by = [
            self._column(name) for name in primary_key if name in self.columns or not known
        ]
        self.edges: list[Edge] = []
        self.alone: list[Node] = []

    def apply(self, rule: Rule) -> None:
        """Follow the columns through a rule.

        Raises:
            RuleError: When it names a column that is not there.
        """
        made = columns_set(rule, list(self.columns))
        match rule:
            case Select() | Drop():
                self._leave_out(rule)
            case Filter() | Dedupe() | Assert():
                self._keep(rule)
            case Aggregate():
                self._group(rule)
            case Unpivot():
                self._unpivot(rule)
            case Rename():
                self._rename(rule)
            case _:
                parts = {name: self._parts(rule, name, before) for name, before in made.items()}
                self._refuse(rule, made)
                for name, found in parts.items():
                    self._set(rule, name, found)

    def _parts(self, rule: Rule, name: str, before: Collection[str]) -> Parts:
        """Return what a rule makes a column of."""
        match rule:
            case Derive():
                return self._expression(rule.expression)
            case Flag():
                own: Parts = [(self.columns[name], "value")] if name in self.columns else []
                return [*own, *deciding(self._expression(rule.when))]
            case Lookup():
                return [
                    (self._other(rule, rule.columns[name]), "value"),
                    *((self._column(mine), "decides") for mine in rule.on),
                    *((self._other(rule, theirs), "decides") for theirs in rule.on.values()),
                    *self._others_records(rule),
                ]
            case Fill(previous=previous) if previous:
                order = [text.partition(" ")[0] for text in previous.order]
                decide = [self._column(n) for n in (*previous.by, *order)]
                return [
                    (self._column(name), "value"),
                    *each([*decide, *self._named_by, self.records], "decides"),
                ]
            case _:
                return each([self._column(one) for one in before], "value")

    def _expression(self, text: str) -> Parts:
        """Return what an expression is made of, parameters included."""
        found: dict[Node, How] = {}

        def look(node: exp.Expr, how: How) -> None:
            if isinstance(node, exp.Column | exp.Placeholder):
                here = (
                    self._column(node.name)
                    if isinstance(node, exp.Column)
                    else Node("parameter", CAMPAIGNS, node.name)
                )
                if found.get(here) != "value":
                    found[here] = how
                return
            values, conditions = split(node)
            for one in values:
                look(one, how)
            for one in conditions:
                look(one, "decides")

        look(parse_expression(text, "Expression"), "value")
        return list(found.items())

    def _set(self, rule: Rule, name: str, parts: Sequence[tuple[Node, How]]) -> None:
        """Give a column a new node."""
        made = self._node(rule, name)
        for before, how in parts:
            self._edge(before, made, how, says(rule, name))
        if not parts:
            self.alone.append(made)
        self.columns[name] = made

    def _rename(self, rule: Rename) -> None:
        for old in rule.columns:
            self._column(old)
        earlier, self.columns = self.columns, {}
        for old, node in earlier.items():
            if old in rule.columns:
                self._set(rule, rule.columns[old], [(node, "value")])
            else:
                self.columns[old] = node

    def _leave_out(self, rule: Select | Drop) -> None:
        names = self._matching(rule.columns)
        if isinstance(rule, Drop):
            names = [name for name in self.columns if name not in names]
        for name, node in self.columns.items():
            if name not in names:
                self._edge(node, self._node(rule, name), "value", "leaves it out")
        self.columns = {name: self.columns[name] for name in names}

    def _keep(self, rule: Filter | Dedupe | Assert) -> None:
        """A rule that leaves the columns as they are, and decides about records."""
        parts: Parts
        text = rule.keep if isinstance(rule, Filter) else None
        if isinstance(rule, Assert):
            text = rule.that
        if text is not None:
            parts = deciding(self._expression(text))
        else:
            parts = each([self._column(n) for n in columns_looked_at(rule, ())], "decides")
        if isinstance(rule, Assert):
            parts += self._bounds(rule)
            if rule.on_failure != "reject":
                parts = [(node, "checks") for node, _ in parts]
        elif isinstance(rule, Dedupe):
            parts += each(self._named_by, "decides")
        self._decide(rule, parts)

    def _bounds(self, rule: Assert) -> Parts:
        """Return what the sides of an assertion are made of, and columns of all records."""
        parts: Parts = []
        for bounds in (rule.range, rule.sum, rule.row_count):
            for text in (bounds.min, bounds.max) if bounds else ():
                parts += self._expression(text) if text is not None else []
        names = [*(rule.unique or ()), *((rule.sum.column,) if rule.sum else ())]
        return deciding([*parts, *each([self._column(name) for name in names], "decides")])

    def _refuse(self, rule: Rule, made: Mapping[str, Sequence[str]]) -> None:
        """A rule that sets columns, and leaves records out for which it cannot."""
        how = refuses(rule)
        if how is None:
            return
        if isinstance(rule, Lookup):
            keys = [self._other(rule, theirs) for theirs in rule.on.values()]
            nodes = [
                *map(self._column, rule.on),
                *keys,
                *(n for n, _ in self._others_records(rule)),
            ]
        elif isinstance(rule, Derive | Flag):
            text = rule.expression if isinstance(rule, Derive) else rule.when
            nodes = [node for node, _ in self._expression(text)]
        else:
            nodes = [self._column(name) for before in made.values() for name in before]
        self._decide(rule, each(nodes, how))

    def _decide(self, rule: Rule, parts: Iterable[tuple[Node, How]]) -> None:
        after = self._node(rule, RECORDS)
        self._edge(self.records, after, "value", "")
        for node, how in dict(parts).items():
            self._edge(node, after, how, said(rule))
        self.records = after

    def _unpivot(self, rule: Unpivot) -> None:
        turned = self._matching(rule.columns)
        nodes = [self.columns[name] for name in turned]
        self.columns = {name: node for name, node in self.columns.items() if name not in turned}
        self._set(rule, rule.name, [])
        self._set(rule, rule.value, each(nodes, "value"))
        if rule.nulls == "drop":
            self._decide(rule, each(nodes, "decides"))

    def _group(self, rule: Aggregate) -> None:
        by = [self._column(name) for name in rule.by]
        groups = each([*by, self.records], "decides")
        sums: list[Node] = []
        figures: dict[str, Parts] = {}
        for name, metric in rule.metrics.items():
            measured = [self._column(metric.column)] if metric.column else []
            figures[name] = [*each(measured, "value"), *groups]
            sums += measured if metric.function in ("sum", "avg") else []
        self._decide(rule, [*each(sums, "checks"), *each(by, "decides")])
        for name, parts in figures.items():
            self._set(rule, name, parts)
        self.columns = {name: self.columns[name] for name in (*rule.by, *rule.metrics)}
        self._named_by = by

    def _matching(self, patterns: Sequence[str]) -> list[str]:
        for pattern in patterns:
            if "*" not in pattern and "?" not in pattern:
                self._column(pattern)
        return matching(patterns, list(self.columns))

    def _column(self, name: str) -> Node:
        """Return the node of a column as the last rule left it."""
        if name not in self.columns and self._known:
            raise RuleError(
                f"The rules of {self._dataset} name the column `{name}`, which is not there"
                f"{nearest(name, self.columns)}.",
                "Try them with `etl-assets rules lint`.",
            )
        return self.columns.setdefault(name, Node("extract", self._dataset, name))

    def _other(self, rule: Lookup, name: str) -> Node:
        if rule.table:
            return Node("reference", f"{self._dataset}/{rule.table}", name)
        return Node("extract", rule.dataset or "", name)

    def _others_records(self, rule: Lookup) -> Parts:
        return [(Node("extract", rule.dataset, RECORDS), "decides")] if rule.dataset else []

    def _node(self, rule: Rule, column: str) -> Node:
        return Node("rule", self._dataset, column, rule.id)

    def _edge(self, before: Node, after: Node, how: How, words: str) -> None:
        self.edges.append(Edge(before, after, how, words))
