"""Single records at the steps of compiled rules, in DuckDB.

Rules run over the whole extract once, for what depends on all records; then the relations
that the steps read are narrowed to one record, and each step can be asked what it makes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl_assets.core.columns import Column
from etl_assets.core.errors import PermanentError
from etl_assets.core.rules.chain import NOTES, OUT, RECORD, ROW
from etl_assets.core.rules.compile import CompiledRules
from etl_assets.core.rules.kinds import Aggregate, Rule
from etl_assets.core.sql import column_list, quote_identifier, quote_literal
from etl_assets.rules.engine import Connection, begin_phase

Place = tuple[int, int]
"""A phase, and a step of it."""


@dataclass(frozen=True)
class Stop:
    """A rule, and the steps it stands between."""

    rule: Rule
    before: Place
    after: Place


@dataclass(frozen=True)
class Row:
    """A record as one step leaves it.

    Attributes:
        number: As the rules count it; an unpivot multiplies it, all others keep it.
        record: Its name.
        out: Why it is not loaded: outcome, rule, col, value; None while it is.
        notes: What policies did to it: outcome, rule, col.
        values: Of the columns asked for, as in the CSV.
    """

    number: int
    record: str
    out: dict[str, str | None] | None
    notes: list[dict[str, str | None]]
    values: dict[str, str | None]


class Steps:
    """Compiled rules whose steps can be looked at, for one record."""

    def __init__(
        self, connection: Connection, compiled: CompiledRules, rules: Sequence[Rule]
    ) -> None:
        """Take an engine with the extract and the relations; no phase may be begun yet."""
        self._connection = connection
        self._compiled = compiled
        self.stops: list[Stop] = []
        phase = step = 0
        for rule in rules:
            before = (phase, step)
            if isinstance(rule, Aggregate):
                phase, step = phase + 1, 0
            else:
                steps = compiled.phases[phase].steps
                while step + 1 < len(steps) and steps[step + 1].rule_id == rule.id:
                    step += 1
            self.stops.append(Stop(rule, before, (phase, step)))
        self.last: Place = (phase, step)

    def begin(self) -> None:
        """Run what depends on all records, and count the members of every group."""
        for number in range(len(self._compiled.phases)):
            begin_phase(self._connection, self._compiled, number)
            if number:
                by = column_list(self._keys(number))
                members = self._compiled.phases[number - 1].select(
                    f"{by}, count(*) AS n", tail=f"WHERE {OUT} IS NULL GROUP BY {by}"
                )
                self._connection.execute(f"CREATE TEMP TABLE members{number} AS {members}")

    def columns(self, place: Place) -> tuple[Column, ...]:
        """Return the columns that come out of a step."""
        return self._compiled.phases[place[0]].steps[place[1]].columns

    def narrow(self, phase: int, given: Mapping[str, str]) -> None:
        """Let a phase see the records of these values only.

        Raises:
            PermanentError: When one is no value of its column's type.
        """
        types = {c.name: c.type for c in self.columns((phase, 0))}
        terms = []
        for name, text in given.items():
            made = f"TRY_CAST({quote_literal(text)} AS {types[name].duckdb})"
            row = self._connection.execute(f"SELECT {made} IS NULL").fetchone()
            if row and row[0]:
                raise PermanentError(
                    f"`{name}` is {types[name]}, and {text!r} is no such value.",
                    "Correct --id.",
                )
            terms.append(f"b.{quote_identifier(name)} = {made}")
        self._narrow(phase, " AND ".join(terms))

    def narrow_to_groups(self, phase: int) -> None:
        """Let a phase see the groups only that records of the phase before it belong to."""
        grouped = self._compiled.phases[phase - 1].select("*", tail=f"WHERE {OUT} IS NULL")
        self._narrow(phase, f"EXISTS (SELECT 1 FROM ({grouped}) g WHERE {self._same(phase, 'g')})")

    def members(self, phase: int, number: int) -> int:
        """Return how many records made the group of a number."""
        row = self._connection.execute(
            f"SELECT coalesce(sum(g.n), 0)::BIGINT FROM members{phase} g, one{phase} b"
            f" WHERE b.{ROW} = {number} AND {self._same(phase, 'g')}"
        ).fetchone()
        return int(row[0]) if row else 0

    def rows(self, place: Place, names: Sequence[str]) -> list[Row]:
        """Return the records that come out of a step, with the values of some columns."""
        types = {c.name: c.type for c in self.columns(place)}
        listed = "".join(
            f", lower(hex({quote_identifier(name)}))"
            if types[name].name == "binary"
            else f", CAST({quote_identifier(name)} AS VARCHAR)"
            for name in names
        )
        query = self._compiled.phases[place[0]].select(
            f"{ROW}, {RECORD}, {OUT}, {NOTES}{listed}", place[1], tail=f"ORDER BY {ROW}"
        )
        return [
            Row(number, record, out, notes, dict(zip(names, values, strict=True)))
            for number, record, out, notes, *values in self._connection.execute(query).fetchall()
        ]

    def _narrow(self, phase: int, condition: str) -> None:
        base = self._compiled.phases[phase].base
        self._connection.execute(
            f"CREATE TEMP TABLE one{phase} AS SELECT b.* FROM {base} b WHERE {condition}"
        )
        self._connection.execute(f"DROP {'TABLE' if phase else 'VIEW'} {base}")
        self._connection.execute(f"CREATE TEMP VIEW {base} AS SELECT * FROM one{phase}")

    def _same(self, phase: int, other: str) -> str:
        """Return SQL of whether `b` and another relation have the keys of one group."""
        return " AND ".join(
            f"b.{key} IS NOT DISTINCT FROM {other}.{key}"
            for key in map(quote_identifier, self._keys(phase))
        )

    def _keys(self, phase: int) -> tuple[str, ...]:
        """Return the columns that the aggregate before a phase groups by."""
        return next(
            stop.rule.by
            for stop in self.stops
            if isinstance(stop.rule, Aggregate) and stop.after == (phase, 0)
        )
