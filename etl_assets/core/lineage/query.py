"""What the columns of a dataset's query come from, as far as its text says.

The text is read, nothing is asked. What a table's columns are is not known then: a name without
a table before it may be any table's, and what a star stands for is not known. Such origins are
marked as not sure, and said.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlglot import exp

from etl_assets.core.datasets import parse_select
from etl_assets.core.lineage.expressions import is_aggregated, split
from etl_assets.core.lineage.query_tables import Tables
from etl_assets.core.lineage.relations import (
    NOTHING,
    Origins,
    Part,
    Place,
    Relation,
    Scope,
    deciding,
    renamed,
    together,
)

_ROUNDS = 20
"""A recursive table gains no new origins after as many rounds as it has columns; or it is odd."""


@dataclass(frozen=True)
class QueryLineage:
    """What a query's columns come from.

    Attributes:
        relation: The query's result.
        notes: What the text does not say, as sentences.
        stars: Which columns it does not name, as sentences.
    """

    relation: Relation
    notes: tuple[str, ...]
    stars: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether the text names every column of the result."""
        return not self.relation.others

    @property
    def columns_read(self) -> dict[str, set[str]]:
        """The columns by table of the source, of which the text says for sure whose they are."""
        read: dict[str, set[str]] = {}
        for origins in (*self.relation.columns.values(), self.relation.records):
            for place, part in origins.items():
                if place.table and part.sure:
                    read.setdefault(place.table, set()).add(place.column)
        return read


def query_lineage(query: str, tables: Mapping[str, Collection[str]] | None = None) -> QueryLineage:
    """Return what the columns of a query come from.

    Args:
        query: One SELECT, in MySQL's words.
        tables: The columns of the source's tables, of those that are known.

    Raises:
        ValueError: When it is not one SELECT.
    """
    reader = _Reader(tables or {})
    relation = reader.query(parse_select(query), {}, None)
    notes, stars = (tuple(dict.fromkeys(said)) for said in (reader.notes, reader.stars))
    return QueryLineage(relation, notes, stars)


class _Reader:
    """Reads queries inside queries; notes what cannot be known."""

    def __init__(self, tables: Mapping[str, Collection[str]]) -> None:
        self.tables = tables
        self.notes: list[str] = []
        self.stars: list[str] = []

    def query(self, node: exp.Expr, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        """Return the result of a SELECT, a UNION, or one in parentheses."""
        ctes = self.with_(node, ctes, outer)
        if isinstance(node, exp.Select):
            return self._select(node, ctes, outer)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, ctes, outer)
        made = self.query(node.this, ctes, outer)
        return self._cut(node, made)

    def with_(
        self, node: exp.Expr, ctes: Mapping[str, Relation], outer: Scope | None
    ) -> Mapping[str, Relation]:
        found = node.args.get("with_")
        if found is None:
            return ctes
        made = dict(ctes)
        for cte in found.expressions:
            names = [name.name.lower() for name in cte.args["alias"].columns]
            inner = cte.this
            if found.args.get("recursive") and isinstance(inner, exp.SetOperation):
                made[cte.alias] = renamed(self.query(inner.this, made, outer), names)
                for _ in range(_ROUNDS):
                    before = made[cte.alias]
                    made[cte.alias] = renamed(self.query(inner, made, outer), names)
                    if made[cte.alias] == before:
                        break
            else:
                made[cte.alias] = renamed(self.query(inner, made, outer), names)
        return made

    def _set_operation(
        self, node: exp.SetOperation, ctes: Mapping[str, Relation], outer: Scope | None
    ) -> Relation:
        left = self.query(node.this, ctes, outer)
        right = self.query(node.expression, ctes, outer)
        if left.others or right.others:
            self.notes.append(
                "What the columns of a UNION with `*` are made of is not known: they are matched"
                " by their places."
            )
            columns = {**right.columns, **left.columns}
            made = Relation(columns, together(left.records, right.records),
                            (*left.others, *right.others))  # fmt: skip
        else:
            pairs = zip(left.columns.items(), right.columns.values(), strict=False)
            columns = {name: together(mine, theirs) for (name, mine), theirs in pairs}
            made = Relation(columns, deciding(left.records, right.records))
        if not isinstance(node, exp.Union) or node.args.get("distinct"):
            made = _decided(made, together(*made.columns.values()))
        return self._cut(node, made)

    def _cut(self, node: exp.Expr, made: Relation) -> Relation:
        """Return a result of which LIMIT takes a part; its order decides then."""
        order = node.args.get("order")
        if order is None or node.args.get("limit") is None:
            return made
        scope = Scope(None)
        scope.relations[""] = made
        terms = self._terms(order.expressions, list(made.columns.values()), scope, {})
        return _decided(made, together(*terms))

    def _select(
        self, node: exp.Select, ctes: Mapping[str, Relation], outer: Scope | None
    ) -> Relation:
        scope = Scope(outer)
        Tables(self, scope, ctes).add_all(node)
        if node.args.get("where") is not None:
            where = self.origins(node.args["where"].this, scope, ctes)
            scope.records = deciding(scope.records, where)
        made, others = self._projections(node, scope, ctes)
        return self._after(node, scope, ctes, Relation(made, scope.records, others))

    def _after(
        self, node: exp.Select, scope: Scope, ctes: Mapping[str, Relation], made: Relation
    ) -> Relation:
        """Return a result after GROUP BY, HAVING, DISTINCT and LIMIT."""
        scope.aliases = dict(made.columns)
        listed = list(made.columns.values())
        group = node.args.get("group")
        keys = self._terms(group.expressions, listed, scope, ctes) if group is not None else []
        if group is not None or any(is_aggregated(one) for one in node.expressions):
            made = self._grouped(node, made, deciding(scope.records, *keys))
            scope.aliases = dict(made.columns)
        decides = [*keys]
        if node.args.get("having") is not None:
            decides.append(self.origins(node.args["having"].this, scope, ctes))
        if node.args.get("distinct") is not None:
            decides += [*made.columns.values(), *(made.column("*") or NOTHING for _ in made.others)]
        if node.args.get("limit") is not None and node.args.get("order") is not None:
            decides += self._terms(node.args["order"].expressions, listed, scope, ctes)
        return _decided(made, together(*decides))

    def _grouped(self, node: exp.Select, made: Relation, by: Origins) -> Relation:
        """Return groups: which records are in one decides on all but what it is grouped by."""
        group = node.args.get("group")
        keys = {one.sql() for one in group.expressions} if group is not None else set()
        own = {
            one.alias_or_name.lower()
            for one in node.expressions
            if keys & {one.unalias().sql(), one.alias_or_name}
        }
        decided = made.decided_by(by)
        columns = {n: made.columns[n] if n in own else decided.columns[n] for n in made.columns}
        return Relation(columns, made.records, decided.others)

    def _terms(
        self, terms: list[exp.Expr], listed: list[Origins], scope: Scope,
        ctes: Mapping[str, Relation],
    ) -> list[Origins]:  # fmt: skip
        """Return what terms of GROUP BY and ORDER BY come from; a number is a place in the list."""
        found = []
        for term in terms:
            one = term.this if isinstance(term, exp.Ordered) else term
            if isinstance(one, exp.Literal) and not one.is_string:
                place = int(float(one.name)) - 1
                found.append(listed[place] if 0 <= place < len(listed) else NOTHING)
            else:
                found.append(self.origins(one, scope, ctes))
        return found

    def _projections(
        self, node: exp.Select, scope: Scope, ctes: Mapping[str, Relation]
    ) -> tuple[dict[str, Origins], tuple[tuple[str, Origins], ...]]:
        made: dict[str, Origins] = {}
        others: list[tuple[str, Origins]] = []
        for one in node.expressions:
            if isinstance(one, exp.Star) or (isinstance(one, exp.Column) and one.is_star):
                for relation in scope.everything(one.table if isinstance(one, exp.Column) else ""):
                    for name, origins in relation.columns.items():
                        made[name] = together(made.get(name, NOTHING), origins)
                    others += relation.others
            else:
                found = self.origins(one, scope, ctes)
                if any(isinstance(part, exp.Window) for part in one.walk()):
                    found = together(found, deciding(scope.records))
                made[one.alias_or_name.lower() or one.sql("mysql").lower()] = found
        tables = ", ".join(f"`{table}`" for table, _ in others if table)
        if tables:
            self.stars.append(f"Which columns `*` stands for, of {tables}, the query does not say.")
        return made, tuple(others)

    def origins(self, node: exp.Expr, scope: Scope, ctes: Mapping[str, Relation]) -> Origins:
        """Return what an expression comes from; what only conditions name decides."""
        if isinstance(node, exp.Column):
            return self._column(node, scope)
        if isinstance(node, exp.Placeholder):
            return {Place("", node.name): Part(value=True, sure=True)}
        if isinstance(node, exp.Query):
            made = self.query(node, ctes, scope)
            whole = made.columns.values()
            return together(*whole, *(more for _, more in made.others), deciding(made.records))
        if isinstance(node, exp.Exists):
            return deciding(self.query(node.this, ctes, scope).records)
        values, conditions = split(node)
        return together(
            *(self.origins(one, scope, ctes) for one in values),
            deciding(*(self.origins(one, scope, ctes) for one in conditions)),
        )

    def _column(self, node: exp.Column, scope: Scope) -> Origins:
        found, there = scope.column(node.name.lower(), node.table)
        if not there:
            self.notes.append(f"Where `{node.sql('mysql')}` comes from, the query does not say.")
        elif not all(part.sure for part in found.values()):
            tables = ", ".join(
                sorted({f"`{p.table}`" for p, part in found.items() if not part.sure})
            )
            self.notes.append(
                f"`{node.sql('mysql')}` may be a column of {tables}: the query does not say which."
            )
        return found


def _decided(made: Relation, origins: Origins) -> Relation:
    return Relation(made.columns, deciding(made.records, origins), made.others)
