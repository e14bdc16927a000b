"""The chain of SELECTs that rules are compiled into, and what every kind of rule uses of it.

Beside the dataset's columns each record carries, while rules run, why it will not be loaded
(NULL while it will), what policies did to it, its primary key as read, and its number.
DuckDB computes them only in the queries that ask for them.
"""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import RESERVED_PREFIX, Column, ColumnType
from etl_assets.core.errors import RuleError
from etl_assets.core.rules.expressions import Rendered, nearest, render_expression
from etl_assets.core.rules.kinds import Table
from etl_assets.core.rules.steps import Checked, Grouped, Relation, SetCheck, Step
from etl_assets.core.sql import column_list, quote_identifier, quote_literal

OUT = quote_identifier(RESERVED_PREFIX + "out")
NOTES = quote_identifier(RESERVED_PREFIX + "notes")
RECORD = quote_identifier(RESERVED_PREFIX + "record")
ROW = quote_identifier(RESERVED_PREFIX + "row")
SIDE_ROW = quote_identifier(RESERVED_PREFIX + "side_row")

COMPUTED = "computed of "
"""How the value that an error shows begins, when it is the values of an expression."""


@dataclass
class Chain:
    """The steps so far.

    Attributes:
        columns: What comes out of the last step.
        bindings: See `Campaign.bindings`.
        tables: The rule set's reference tables.
        datasets: The columns of the extracts that lookups may name.
        grouped: Set by an aggregate: the phase ends.
    """

    columns: tuple[Column, ...]
    bindings: dict[str, Scalar]
    tables: Mapping[str, Table]
    datasets: Mapping[str, Sequence[Column]]
    steps: list[Step] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    sides: int = 0
    can_drop: bool = False
    reshapes: bool = False
    grouped: Grouped | None = None

    def start(self, base: str, primary_key: Sequence[str]) -> None:
        """Begin a phase over a base relation."""
        record = " || ', ' || ".join(
            f"{quote_literal(name + '=')} || coalesce(CAST({quote_identifier(name)} AS VARCHAR), '')"
            for name in primary_key
        )
        note = "STRUCT(outcome VARCHAR, rule VARCHAR, col VARCHAR)"
        self.grouped = None
        self.steps = [
            Step("",
                 f"SELECT {column_list(c.name for c in self.columns)},"
                 " CAST(NULL AS STRUCT(outcome VARCHAR, rule VARCHAR, col VARCHAR, value VARCHAR))"
                 f" AS {OUT}, CAST([] AS {note}[]) AS {NOTES}, {record or 'NULL'} AS {RECORD},"
                 f" {ROW} FROM {base}", self.columns)
        ]  # fmt: skip

    @property
    def names(self) -> list[str]:
        """The names of the columns that come out of the last step."""
        return [c.name for c in self.columns]

    @property
    def previous(self) -> str:
        """The last step's name."""
        return f"s{len(self.steps) - 1}"

    def column(self, name: str, rule_id: str) -> Column:
        """Return a column of the last step.

        Raises:
            RuleError: When there is none of that name.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise RuleError(
            f"Rule `{rule_id}`: there is no column `{name}` here{nearest(name, self.names)}.",
            "Use a column of the dataset or one that an earlier rule makes.",
        )

    def matching(self, patterns: Iterable[str], rule_id: str) -> list[Column]:
        """Return the columns that names and globs stand for, each once, in that order.

        Raises:
            RuleError: When one stands for none.
        """
        found: dict[str, Column] = {}
        for pattern in patterns:
            if "*" not in pattern and "?" not in pattern:
                if pattern in found:
                    raise RuleError(
                        f"Rule `{rule_id}` names the column `{pattern}` twice.",
                        "Name each column once.",
                    )
                found[pattern] = self.column(pattern, rule_id)
                continue
            some = [c for c in self.columns if fnmatch.fnmatchcase(c.name, pattern)]
            if not some:
                raise RuleError(
                    f"Rule `{rule_id}`: no column here is like `{pattern}`.",
                    f"Columns are {', '.join(self.names)}.",
                )
            found |= {c.name: c for c in some}
        return list(found.values())

    def render(self, text: str, rule_id: str, *, columns: bool = True) -> Rendered:
        """Return an expression over the columns of the last step, or over none, as SQL."""
        names = self.names if columns else []
        return render_expression(text, names, self.bindings, where=f"Rule `{rule_id}`")

    def step(
        self,
        rule_id: str,
        listed: str,
        *,
        columns: Sequence[Column],
        out: str = OUT,
        notes: str = NOTES,
        record: str = RECORD,
        row: str = ROW,
        source: str = "",
        joins: str = "",
        side: tuple[str, str] = ("", ""),
        check: SetCheck | None = None,
        expressions: Sequence[Checked] = (),
    ) -> None:
        """Add a step; it reads the last one, unless `source` says otherwise."""
        hidden = ", ".join(
            sql if sql == name else f"{sql} AS {name}"
            for sql, name in ((out, OUT), (notes, NOTES), (record, RECORD), (row, ROW))
        )
        self.columns = tuple(columns)
        self.steps.append(
            Step(
                rule_id=rule_id,
                sql=f"SELECT {listed}, {hidden} FROM {source or self.previous} {joins}".rstrip(),
                columns=self.columns,
                side_name=side[0],
                side=side[1] or None,
                check=check,
                expressions=tuple(expressions),
            )
        )

    def keep(self, rule_id: str, **changes: object) -> None:
        """Add a step that leaves the columns as they are."""
        self.step(rule_id, column_list(self.names), columns=self.columns, **changes)  # type: ignore[arg-type]

    def assign(
        self,
        rule_id: str,
        values: Mapping[str, tuple[ColumnType, str]],
        *,
        bad: str | None = None,
        policy: str = "fail",
        shown: tuple[str, str] | None = None,
        joins: str = "",
        side: tuple[str, str] = ("", ""),
        expressions: Sequence[Checked] = (),
    ) -> None:
        """Add the step that sets columns, and what happens where `bad` is true.

        Args:
            rule_id: The rule.
            values: Type and SQL of each column, new or not.
            bad: SQL condition; a record that will not be loaded anyway is never bad.
            policy: `fail`, `reject`, `null` or `keep`.
            shown: The column that errors name, and SQL of the value they show; the first
                column set and its earlier value unless said.
            joins: What the SELECT joins.
            side: Name and query of a side table.
            expressions: What is computed.
        """
        new = [n for n in values if n not in self.names]
        listed = ", ".join(
            [
                *(f"{values[n][1]} AS {quote_identifier(n)}" if n in values else quote_identifier(n)
                  for n in self.names),
                *(f"{values[n][1]} AS {quote_identifier(n)}" for n in new),
            ]
        )  # fmt: skip
        columns = [
            c.model_copy(update={"type": values[c.name][0]}) if c.name in values else c
            for c in self.columns
        ] + [Column(name=n, type=values[n][0]) for n in new]
        first = next(iter(values))
        column, value = shown or (first, "NULL" if first in new else quote_identifier(first))
        out, notes = self.outcome(bad, policy, rule_id, quote_literal(column), value)
        self.step(
            rule_id, listed, columns=columns, out=out, notes=notes, joins=joins, side=side,
            expressions=expressions,
        )  # fmt: skip

    def outcome(
        self, bad: str | None, policy: str, rule_id: str, column: str, value: str
    ) -> tuple[str, str]:
        """Return SQL of what a record carries on, and note that a policy may have a part in it."""
        if bad is None or policy == "keep":
            return OUT, NOTES
        self.can_drop = True
        happens = f"{OUT} IS NULL AND ({bad})"
        if policy in ("null", "warn"):
            said = quote_literal({"null": "nulled", "warn": "warned"}[policy])
            note = f"{{'outcome': {said}, 'rule': {quote_literal(rule_id)}, 'col': {column}}}"
            return OUT, f"CASE WHEN {happens} THEN list_append({NOTES}, {note}) ELSE {NOTES} END"
        outcome = {"reject": "rejected", "fail": "failed"}.get(policy, policy)
        return leave_out(happens, outcome, rule_id, column, value), NOTES

    def side_table(self, select: str) -> tuple[str, str, str]:
        """Return name and query of a new side table, and the join by the record's number."""
        self.sides += 1
        name = f"side{self.sides}"
        return name, select, f"LEFT JOIN {name} ON {ROW} = {SIDE_ROW}"

    def relation(
        self,
        rule_id: str,
        columns: Sequence[ColumnType],
        keys: Sequence[str],
        *,
        rows: Sequence[Sequence[str | None]] | None = None,
        dataset: str | None = None,
        source: Sequence[str] = (),
    ) -> tuple[list[str], str, str]:
        """Add a table that is joined by keys, SQL of the record's.

        Returns SQL of its value columns, of whether there is a match, and of the join.
        """
        name = f"values{len(self.relations)}"
        named = [(f"{RESERVED_PREFIX}{name}_{n}", kind) for n, kind in enumerate(columns)]
        self.relations.append(
            Relation(
                name=name,
                columns=tuple(named),
                keys=len(keys),
                rows=None if rows is None else tuple(tuple(row) for row in rows),
                dataset=dataset,
                source=tuple(source),
                rule_id=rule_id,
            )
        )
        quoted = [quote_identifier(n) for n, _ in named]
        equal = " AND ".join(f"{k} = {q}" for k, q in zip(keys, quoted, strict=False))
        return quoted[len(keys) :], f"{quoted[0]} IS NOT NULL", f"LEFT JOIN {name} ON {equal}"


def leave_out(
    happens: str, outcome: str, rule_id: str, column: str, value: str, *, otherwise: str = OUT
) -> str:
    """Return SQL of why a record is not loaded: this where something happens, else what it was."""
    return (
        f"CASE WHEN {happens} THEN {{'outcome': {quote_literal(outcome)},"
        f" 'rule': {quote_literal(rule_id)}, 'col': {column}, 'value': CAST({value} AS VARCHAR)}}"
        f" ELSE {otherwise} END"
    )


def ordered(order: Sequence[str], *, reverse: bool = False) -> str:
    """Return an ORDER BY list, NULL last (first when reversed); the primary key decides ties."""
    terms = []
    for text in order:
        name, _, direction = text.partition(" ")
        down = (direction == "desc") != reverse
        nulls = "FIRST" if reverse else "LAST"
        terms.append(f"{quote_identifier(name)} {'DESC' if down else 'ASC'} NULLS {nulls}")
    return ", ".join([*terms, f"{RECORD} {'DESC' if reverse else 'ASC'}"])
