"""Rules become DuckDB queries: a common table expression per rule.

Most rules look at one record. Some look at all of them: which of several to keep, the value
of the record before. Such a rule has a side table, made over all records before the chain
goes on, and joined by the record's number; so the chain itself can run part by part. An
`aggregate` ends a phase: what it makes is the base of the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import LOAD_COLUMNS, RESERVED_PREFIX, Column
from etl_assets.core.csv_record import csv_field
from etl_assets.core.errors import RuleError
from etl_assets.core.rules.assertions import Assert
from etl_assets.core.rules.chain import NOTES, OUT, RECORD, Chain
from etl_assets.core.rules.compile_columns import (
    add_cast,
    add_derive,
    add_drop,
    add_fill,
    add_filter,
    add_flag,
    add_rename,
    add_select,
)
from etl_assets.core.rules.compile_normalize import add_normalize
from etl_assets.core.rules.compile_sets import add_aggregate, add_assert, add_dedupe, add_unpivot
from etl_assets.core.rules.compile_values import add_lookup, add_map
from etl_assets.core.rules.kinds import (
    Aggregate,
    Cast,
    Dedupe,
    Derive,
    Drop,
    Fill,
    Filter,
    Flag,
    Lookup,
    Map,
    Normalize,
    Rename,
    Select,
    Unpivot,
)
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.steps import Relation, SetCheck, Step
from etl_assets.core.sql import column_list, quote_identifier

EXTRACT = "extract"
"""The relation the first phase reads: the extract's columns and the records' numbers."""

_ADD = {
    Aggregate: add_aggregate,
    Assert: add_assert,
    Cast: add_cast,
    Dedupe: add_dedupe,
    Derive: add_derive,
    Drop: add_drop,
    Fill: add_fill,
    Filter: add_filter,
    Flag: add_flag,
    Lookup: add_lookup,
    Map: add_map,
    Normalize: add_normalize,
    Rename: add_rename,
    Select: add_select,
    Unpivot: add_unpivot,
}


@dataclass(frozen=True)
class Phase:
    """A chain of rules over one base relation.

    Attributes:
        base: The relation that the first step reads.
        made_by: The query that makes it of the phase before; None for the first.
        steps: One SELECT each; the first applies no rule.
        columns: What comes out.
        number: From 0.
    """

    base: str
    made_by: str | None
    steps: tuple[Step, ...]
    columns: tuple[Column, ...]
    number: int

    def select(self, listed: str, step: int | None = None, tail: str = "") -> str:
        """Return a SELECT of what comes out of a step, the last unless said."""
        last = len(self.steps) - 1 if step is None else step
        return self.over(last, f"SELECT {listed} FROM s{last} {tail}")

    def records(self, *, named: bool = False) -> str:
        """Return the query for the records to load, named by their primary key if wanted."""
        listed = column_list(c.name for c in self.columns)
        name = f", {RECORD} AS {quote_identifier(RESERVED_PREFIX + 'record')}" if named else ""
        return self.select(listed + name, tail=f"WHERE {OUT} IS NULL")

    def csv_records(self, null_token: str) -> str:
        """Return the query for the records to load, their fields as in the CSV but for NULL."""
        listed = ", ".join(csv_field(c, null_token) for c in self.columns)
        return self.select(listed, tail=f"WHERE {OUT} IS NULL")

    def longest(self, length: str) -> str:
        """Return the query for the longest record to load, by an SQL length: (record, length)."""
        tail = f"WHERE {OUT} IS NULL ORDER BY bytes DESC LIMIT 1"
        return self.select(f"{RECORD} AS record, {length} AS bytes", tail=tail)

    def outcomes(self) -> str:
        """Return the query for counts: (outcome, rule, column, records), outcome NULL = loaded.

        Policies' notes are few different ones, so records are grouped by them as they are.
        """
        grouped = self.select(
            f"{OUT}.outcome AS outcome, {OUT}.rule AS rule, {OUT}.col AS col, {NOTES} AS notes,"
            " count(*) AS n",
            tail="GROUP BY ALL",
        )
        return (
            f"WITH grouped AS MATERIALIZED ({grouped})"
            " SELECT outcome, rule, col, sum(n)::BIGINT FROM grouped GROUP BY ALL"
            " UNION ALL SELECT note.outcome, note.rule, note.col, sum(n)::BIGINT"
            " FROM (SELECT unnest(notes) AS note, n FROM grouped WHERE outcome IS NULL)"
            " GROUP BY ALL"
        )

    def refused(self) -> str:
        """Return the query for rejected records: (outcome, rule, column, value, record)."""
        return self.select(
            f"{OUT}.outcome AS outcome, {OUT}.rule AS rule,"
            f' {OUT}.col AS "column", {OUT}.value AS value, {RECORD} AS record',
            tail=f"WHERE {OUT}.outcome <> 'filtered'",
        )

    def over(self, step: int, select: str) -> str:
        """Return a SELECT that reads `s<number>` of a step, or of one before it."""
        parts = [f"s{n} AS ({s.sql})" for n, s in enumerate(self.steps[: step + 1])]
        return f"WITH {', '.join(parts)} {select}"

    def probe(self, step: int) -> str:
        """Return a query that computes everything the first `step` rules make, and no more."""
        return self.select("count(COLUMNS(*))", step)


@dataclass(frozen=True)
class CompiledRules:
    """A rule set as SQL.

    Attributes:
        phases: At least one; the last gives the records to load.
        relations: Tables to make before: values of maps and lookups.
        can_drop: Whether a record may be left out, or changed by a policy.
        reshapes: Whether the number of records changes otherwise than by leaving some out.
    """

    phases: tuple[Phase, ...]
    relations: tuple[Relation, ...]
    can_drop: bool
    reshapes: bool

    @property
    def columns(self) -> tuple[Column, ...]:
        """What comes out, in order, with types."""
        return self.phases[-1].columns

    @property
    def last(self) -> Phase:
        """The phase that gives the records to load."""
        return self.phases[-1]

    @property
    def checks(self) -> list[tuple[Phase, int, SetCheck]]:
        """What must be true of all records: the phase, the step it is looked at, and what."""
        return [
            (phase, number, step.check)
            for phase in self.phases
            for number, step in enumerate(phase.steps)
            if step.check
        ]


def compile_rules(
    rule_set: RuleSet,
    columns: Sequence[Column],
    primary_key: Sequence[str],
    bindings: Mapping[str, Scalar],
    *,
    datasets: Mapping[str, Sequence[Column]] | None = None,
) -> CompiledRules:
    """Compile the rules of one campaign.

    Args:
        rule_set: The rules, with the campaign's overrides made (`RuleSet.for_campaign`).
        columns: The extract's columns.
        primary_key: Names the record in rejects; columns of the extract.
        bindings: See `Campaign.bindings`.
        datasets: The columns of the extracts that lookups name.

    Raises:
        RuleError: Naming the rule, and the column or function it cannot use.
    """
    chain = Chain(tuple(columns), dict(bindings), rule_set.tables, datasets or {})
    chain.start(EXTRACT, primary_key)
    phases: list[Phase] = []
    begun: tuple[str, str | None] = (EXTRACT, None)
    for rule in rule_set.rules:
        _ADD[type(rule)](chain, rule)  # type: ignore[operator]
        if chain.grouped:
            *steps, last = chain.steps
            phases.append(Phase(*begun, tuple(steps), last.columns, len(phases)))
            begun = (f"base{len(phases)}", phases[-1].select(chain.grouped.select,
                     tail=chain.grouped.tail))  # fmt: skip
            chain.start(begun[0], chain.grouped.by)
    phases.append(Phase(*begun, tuple(chain.steps), chain.columns, len(phases)))
    for column in chain.columns:
        if column.name in LOAD_COLUMNS or column.name.startswith(RESERVED_PREFIX):
            raise RuleError(
                f"The column name `{column.name}` belongs to the platform.", "Rename the column."
            )
    return CompiledRules(tuple(phases), tuple(chain.relations), chain.can_drop, chain.reshapes)
