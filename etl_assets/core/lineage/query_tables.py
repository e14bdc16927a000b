"""What FROM and JOIN of a query name, and what joins decide."""

from collections.abc import Collection, Mapping
from typing import Protocol

from sqlglot import exp

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
    unsure,
)

Ctes = Mapping[str, Relation]


class Reader(Protocol):
    """What reads queries and expressions.

    Attributes:
        tables: The columns of the source's tables that are known.
        notes: What cannot be known.
    """

    tables: Mapping[str, Collection[str]]
    notes: list[str]

    def query(self, node: exp.Expr, ctes: Ctes, outer: Scope | None) -> Relation:
        """Return the result of a query."""
        ...

    def with_(self, node: exp.Expr, ctes: Ctes, outer: Scope | None) -> Ctes:
        """Return the tables that a query can name."""
        ...

    def origins(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> Origins:
        """Return what an expression comes from."""
        ...


class Tables:
    """Adds to a scope what a SELECT reads."""

    def __init__(self, reader: Reader, scope: Scope, ctes: Ctes) -> None:
        """Take what reads inner queries, and the tables they can name."""
        self._reader = reader
        self._scope = scope
        self._ctes = ctes

    def add_all(self, node: exp.Select) -> None:
        """Add everything in FROM, with its joins."""
        if node.args.get("from_") is not None:
            self._add(node.args["from_"].this)
        self._join(node)
        for lateral in node.args.get("laterals") or ():
            self._add(lateral)

    def _add(self, node: exp.Expr) -> list[str]:
        """Add what a FROM or JOIN names; return its aliases."""
        scope = self._scope
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            added = self._add(node.this)  # parentheses around joins
        else:
            relation = self._relation(node)
            names = [name.name.lower() for name in getattr(node.args.get("alias"), "columns", ())]
            added = [node.alias_or_name or f"({len(scope.relations)})"]
            scope.relations[added[0]] = renamed(relation, names)
            scope.records = deciding(scope.records, relation.records)
        return [*added, *self._join(node)]

    def _relation(self, node: exp.Expr) -> Relation:
        inner, outer = node.this, self._scope.outer
        if isinstance(node, exp.Lateral) and isinstance(inner, exp.Subquery):
            return self._reader.query(inner.this, self._ctes, self._scope)
        if isinstance(node, exp.Subquery):
            return self._reader.query(inner, self._reader.with_(node, self._ctes, outer), outer)
        if isinstance(node, exp.Table) and isinstance(inner, exp.Identifier):
            return self._table(node)
        made = self._reader.origins(
            inner if isinstance(inner, exp.Expr) else node, self._scope, self._ctes
        )
        return Relation({}, deciding(made), (("", made),))  # JSON_TABLE, VALUES

    def _table(self, node: exp.Table) -> Relation:
        if not node.db and node.name in self._ctes:
            return self._ctes[node.name]
        if node.name not in self._reader.tables:
            return Relation({}, {}, ((node.name, NOTHING),))
        names = [name.lower() for name in self._reader.tables[node.name]]
        own = Part(value=True, sure=True)
        return Relation({name: {Place(node.name, name): own} for name in names})

    def _join(self, node: exp.Expr) -> list[str]:
        """Add what is joined.

        A condition decides which records there are; of an outer join also whether the columns
        that are NULL without a match have a value.
        """
        scope, added = self._scope, []
        for join in node.args.get("joins") or ():
            before = list(scope.relations)
            new = self._add(join.this)
            added += new
            condition = self._condition(join, before, new)
            filled = [
                *(new if join.side in ("LEFT", "FULL") else ()),
                *(before if join.side in ("RIGHT", "FULL") else ()),
            ]
            there = together(condition, *(scope.relations[name].records for name in filled))
            for name in filled:
                scope.relations[name] = scope.relations[name].decided_by(there)
            scope.records = deciding(scope.records, condition)
        return added

    def _condition(self, join: exp.Join, before: list[str], new: list[str]) -> Origins:
        """Return what a join compares."""
        names = [name.name.lower() for name in join.args.get("using") or ()]
        if join.method == "NATURAL":
            names += self._common(before, new)
        found = [self._shared(name, before, new) for name in names]
        if join.args.get("on") is not None:
            found.append(self._reader.origins(join.args["on"], self._scope, self._ctes))
        return together(*found)

    def _shared(self, name: str, before: list[str], new: list[str]) -> Origins:
        """Return what a column of USING comes from: of both sides."""
        sides = []
        for aliases in (before, new):
            columns = (self._scope.relations[alias].column(name) for alias in aliases)
            found = [origins for origins in columns if origins is not None]
            sides.append(found[0] if len(found) == 1 else unsure(together(*found)))
        self._scope.shared[name] = together(*sides)
        return self._scope.shared[name]

    def _common(self, before: list[str], new: list[str]) -> list[str]:
        left, right = ([self._scope.relations[a] for a in side] for side in (before, new))
        if any(relation.others for relation in (*left, *right)):
            self._reader.notes.append(
                "Which columns a NATURAL JOIN compares, the query does not say."
            )
        there = {name for relation in right for name in relation.columns}
        return [name for relation in left for name in relation.columns if name in there]
