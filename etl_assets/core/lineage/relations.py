"""What the columns of a relation inside a query come from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class Place(NamedTuple):
    """A column of a table of the source; without a table a parameter of the campaign."""

    table: str
    column: str


class Part(NamedTuple):
    """What a place has to do with a column.

    Attributes:
        value: Whether the column is made of it; it only decides which value there is otherwise.
        sure: Whether the query says whose column it is.
    """

    value: bool
    sure: bool


Origins = Mapping[Place, Part]
NOTHING: Origins = {}


def together(*several: Origins) -> Origins:
    """Return everything that any has a part in; the strongest part counts."""
    made: dict[Place, Part] = {}
    for origins in several:
        for place, part in origins.items():
            old = made.get(place, Part(value=False, sure=False))
            made[place] = Part(old.value or part.value, old.sure or part.sure)
    return made


def deciding(*several: Origins) -> Origins:
    """Return everything together, as what only decides."""
    return {place: part._replace(value=False) for place, part in together(*several).items()}


def unsure(origins: Origins) -> Origins:
    """Return origins of which it is not known whether they are."""
    return {place: part._replace(sure=False) for place, part in origins.items()}


@dataclass(frozen=True)
class Relation:
    """A table, or the result of a query.

    Attributes:
        columns: Those that are known, in order, by lower-case name.
        records: What decides which records there are.
        others: Where columns may come from that are not known by name: a table of the source
            whose columns nobody listed, with what else decides on them; the table is empty
            where it is no table of the source.
    """

    columns: Mapping[str, Origins]
    records: Origins = field(default_factory=dict)
    others: tuple[tuple[str, Origins], ...] = ()

    def column(self, name: str) -> Origins | None:
        """Return what a column comes from; None when there is none of that name."""
        if name in self.columns:
            return self.columns[name]
        found = [
            together({Place(table, name): Part(value=True, sure=True)} if table else {}, more)
            for table, more in self.others
        ]
        if not found:
            return None
        return found[0] if len(found) == 1 else unsure(together(*found))

    def decided_by(self, origins: Origins) -> "Relation":
        """Return the relation with columns on which more decides."""
        more = deciding(origins)
        return replace(
            self,
            columns={name: together(made, more) for name, made in self.columns.items()},
            others=tuple((table, together(old, more)) for table, old in self.others),
        )


def renamed(relation: Relation, names: Sequence[str]) -> Relation:
    """Return a relation with other names for its columns, in their order; none: as it is."""
    if not names:
        return relation
    return replace(relation, columns=dict(zip(names, relation.columns.values(), strict=False)))


class Scope:
    """The relations that an expression may name columns of.

    Attributes:
        relations: By alias, in order.
        aliases: What a SELECT list makes; known to GROUP BY, HAVING and ORDER BY.
        shared: Columns of USING, which are of several relations.
        records: What decides which records there are, so far.
    """

    def __init__(self, outer: "Scope | None") -> None:
        """Begin one inside another, whose relations can be named, too."""
        self.outer = outer
        self.relations: dict[str, Relation] = {}
        self.aliases: dict[str, Origins] = {}
        self.shared: dict[str, Origins] = {}
        self.records: Origins = NOTHING

    def column(self, name: str, alias: str = "") -> tuple[Origins, bool]:
        """Return what a column comes from, and whether there is any such column.

        Args:
            name: In lower case.
            alias: Of its relation; empty where the query does not say it.
        """
        if alias:
            if alias in self.relations:
                found = self.relations[alias].column(name)
                return (found, True) if found is not None else (NOTHING, False)
        elif (here := self._unqualified(name)) is not None:
            outside, there = self.outer.column(name) if self.outer else (NOTHING, False)
            if there and not self._is_listed(name):  # a table nobody listed may have it, or not
                return unsure(together(here, outside)), True
            return here, True
        return self.outer.column(name, alias) if self.outer else (NOTHING, False)

    def _is_listed(self, name: str) -> bool:
        """Return whether a column of that name is certainly here."""
        listed = any(name in relation.columns for relation in self.relations.values())
        return listed or name in self.shared or name in self.aliases

    def _unqualified(self, name: str) -> Origins | None:
        if name in self.shared:
            return self.shared[name]
        listed = [r.columns[name] for r in self.relations.values() if name in r.columns]
        if name in self.aliases and not listed:
            return self.aliases[name]
        maybe = [
            found
            for r in self.relations.values()
            if name not in r.columns and (found := r.column(name)) is not None
        ]
        if len(listed) == 1 or not maybe:  # a column that two have would be refused as ambiguous
            return together(*listed) if listed else None
        return maybe[0] if len(maybe) == 1 and not listed else unsure(together(*listed, *maybe))

    def everything(self, alias: str = "") -> Iterator[Relation]:
        """Yield the relations that a star stands for."""
        for name, relation in self.relations.items():
            if alias in ("", name):
                yield relation
