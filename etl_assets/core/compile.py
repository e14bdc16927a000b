"""Rules become one DuckDB query: a common table expression per rule.

Beside the dataset's columns each record carries, while rules run, `__etl_out` (why it
will not be loaded: NULL while it will), `__etl_nulled` (the rules that set one of its
values to NULL) and `__etl_record` (its primary key, as read). DuckDB computes them only in
the queries that ask for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from etl_assets.core.campaigns import Scalar
from etl_assets.core.casts import exact_cast, holds
from etl_assets.core.columns import LOAD_COLUMNS, RESERVED_PREFIX, Column, ColumnType
from etl_assets.core.errors import RuleError
from etl_assets.core.expressions import nearest, render_expression
from etl_assets.core.rule_kinds import Cast, Derive, Filter, Map, Rename, Rule, Select
from etl_assets.core.rules import RuleSet
from etl_assets.core.sql import column_list, quote_identifier, quote_literal

_OUT = quote_identifier(RESERVED_PREFIX + "out")
_NULLED = quote_identifier(RESERVED_PREFIX + "nulled")
_RECORD = quote_identifier(RESERVED_PREFIX + "record")
_HIDDEN = f"{_OUT}, {_NULLED}, {_RECORD}"


@dataclass(frozen=True)
class CompiledRules:
    """A rule set as SQL.

    Attributes:
        columns: What comes out, in order, with types.
        steps: One SELECT per common table expression; the first reads the relation `extract`.
        rule_ids: The rule of each step; empty for the first, which applies none.
        can_drop: Whether a record may be filtered, rejected or changed to NULL by a policy.
    """

    columns: tuple[Column, ...]
    steps: tuple[str, ...]
    rule_ids: tuple[str, ...]
    can_drop: bool

    def records(self) -> str:
        """Return the query for the records to load; bytes are hexadecimal, as in the CSV."""
        names = ", ".join(_in_csv(c) for c in self.columns)
        return f"{self._with()} SELECT {names} FROM {self._last} WHERE {_OUT} IS NULL"

    def outcomes(self) -> str:
        """Return the query for counts: (outcome, rule, column, records), outcome NULL = loaded."""
        return (
            f"{self._with()} SELECT {_OUT}.outcome, {_OUT}.rule, {_OUT}.col, count(*)"
            f" FROM {self._last} GROUP BY ALL"
            f" UNION ALL SELECT 'nulled', u.rule, NULL, count(*)"
            f" FROM (SELECT unnest({_NULLED}) AS rule FROM {self._last} WHERE {_OUT} IS NULL) u"
            " GROUP BY ALL"
        )

    def refused(self) -> str:
        """Return the query for rejected records: (outcome, rule, column, value, record)."""
        return (
            f"{self._with()} SELECT {_OUT}.outcome AS outcome, {_OUT}.rule AS rule,"
            f' {_OUT}.col AS "column", {_OUT}.value AS value, {_RECORD} AS record'
            f" FROM {self._last} WHERE {_OUT}.outcome <> 'filtered'"
        )

    def probe(self, steps: int) -> str:
        """Return a query that computes everything the first `steps` rules make, and no more."""
        return f"{self._with(steps + 1)} SELECT count(COLUMNS(*)) FROM s{steps}"

    @property
    def _last(self) -> str:
        return f"s{len(self.steps) - 1}"

    def _with(self, count: int | None = None) -> str:
        parts = [f"s{n} AS ({sql})" for n, sql in enumerate(self.steps[:count])]
        return "WITH " + ",\n".join(parts)


def _in_csv(column: Column) -> str:
    name = quote_identifier(column.name)
    return f"lower(hex({name})) AS {name}" if column.type.name == "binary" else name


def compile_rules(
    rule_set: RuleSet,
    columns: Sequence[Column],
    primary_key: Sequence[str],
    bindings: Mapping[str, Scalar],
) -> CompiledRules:
    """Compile a rule set for one campaign.

    Args:
        rule_set: The rules.
        columns: The extract's columns.
        primary_key: Names the record in rejects; columns of the extract.
        bindings: See `Campaign.bindings`.

    Raises:
        RuleError: Naming the rule, and the column or function it cannot use.
    """
    compiler = _Compiler(list(columns), dict(bindings))
    compiler.start(primary_key)
    for rule in rule_set.rules:
        compiler.add(rule)
    for column in compiler.columns:
        if column.name in LOAD_COLUMNS or column.name.startswith(RESERVED_PREFIX):
            raise RuleError(
                f"The column name `{column.name}` belongs to the platform.", "Rename the column."
            )
    return CompiledRules(
        tuple(compiler.columns), tuple(compiler.steps), tuple(compiler.rule_ids), compiler.can_drop
    )


@dataclass
class _Compiler:
    columns: list[Column]
    bindings: dict[str, Scalar]
    steps: list[str] = field(default_factory=list)
    rule_ids: list[str] = field(default_factory=list)
    can_drop: bool = False

    def start(self, primary_key: Sequence[str]) -> None:
        record = " || ', ' || ".join(
            f"{quote_literal(name + '=')} || coalesce(CAST({quote_identifier(name)} AS VARCHAR), '')"
            for name in primary_key
        )
        self.steps.append(
            f"SELECT {column_list(c.name for c in self.columns)},"
            " CAST(NULL AS STRUCT(outcome VARCHAR, rule VARCHAR, col VARCHAR, value VARCHAR))"
            f" AS {_OUT}, CAST([] AS VARCHAR[]) AS {_NULLED}, {record or 'NULL'} AS {_RECORD}"
            " FROM extract"
        )
        self.rule_ids.append("")

    def add(self, rule: Rule) -> None:
        match rule:
            case Select():
                self._select(rule)
            case Rename():
                self._rename(rule)
            case Derive():
                self._derive(rule)
            case Map():
                self._map(rule)
            case Filter():
                self._filter(rule)
            case Cast():
                self._cast(rule)

    def _select(self, rule: Select) -> None:
        if len(set(rule.columns)) != len(rule.columns):
            raise RuleError(f"Rule `{rule.id}` names a column twice.", "Name each column once.")
        self.columns = [self._column(name, rule.id) for name in rule.columns]
        self._step(rule.id, column_list(rule.columns), _HIDDEN)

    def _rename(self, rule: Rename) -> None:
        for name in rule.columns:
            self._column(name, rule.id)
        renamed = [
            c.model_copy(update={"name": rule.columns.get(c.name, c.name)}) for c in self.columns
        ]
        names = [c.name for c in renamed]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RuleError(
                f"Rule `{rule.id}` gives two columns the name `{twice[0]}`.",
                "Choose another name, or drop the other column first.",
            )
        listed = ", ".join(
            f"{quote_identifier(old.name)} AS {quote_identifier(new.name)}"
            for old, new in zip(self.columns, renamed, strict=True)
        )
        self.columns = renamed
        self._step(rule.id, listed, _HIDDEN)

    def _derive(self, rule: Derive) -> None:
        where = f"Rule `{rule.id}`"
        sql = render_expression(rule.expression, self._names, self.bindings, where=where)
        # A filter may be there to keep away what cannot be computed: dropped records are not.
        made = f"CASE WHEN {_OUT} IS NULL THEN CAST(({sql}) AS {rule.type.duckdb}) END"
        too_long = f"length({made}) > {rule.type.precision}"
        self._set(
            rule.id, rule.column, rule.type, made,
            bad=too_long if rule.type.name == "varchar" else None, value=made,
        )  # fmt: skip

    def _filter(self, rule: Filter) -> None:
        where = f"Rule `{rule.id}`"
        sql = render_expression(rule.keep, self._names, self.bindings, where=where)
        dropped = f"CASE WHEN {_OUT} IS NULL THEN ({sql}) IS NOT TRUE END"
        self._step(
            rule.id,
            column_list(self._names),
            f"{_out(dropped, 'filtered', rule.id)}, {_NULLED}, {_RECORD}",
        )
        self.can_drop = True

    def _map(self, rule: Map) -> None:
        column = self._column(rule.column, rule.id)
        made = rule.type or column.type
        if rule.unmapped == "keep" and made != column.type:
            raise RuleError(
                f"Rule `{rule.id}` keeps unmapped values of `{column.name}` ({column.type})"
                f" in a column of type {made}.",
                "Leave out `type`, or say what else happens to unmapped values.",
            )
        for new in rule.values.values():
            if new is not None and not holds(made, new):
                raise RuleError(
                    f"Rule `{rule.id}` gives `{column.name}` the value {new!r}, which is no {made}.",
                    "Correct the value, or give the rule another `type`.",
                )
        name = quote_identifier(column.name)
        cases = " ".join(
            f"WHEN {quote_literal(old)} THEN "
            + ("NULL" if new is None else f"CAST({quote_literal(new)} AS {made.duckdb})")
            for old, new in rule.values.items()
        )
        rest = name if rule.unmapped == "keep" else "NULL"
        sql = f"CASE CAST({name} AS VARCHAR) {cases} ELSE {rest} END"
        known = ", ".join(quote_literal(value) for value in rule.values)
        bad = f"{name} IS NOT NULL AND CAST({name} AS VARCHAR) NOT IN ({known})"
        if rule.unmapped == "keep":
            self._set(rule.id, column.name, made, sql)
        else:
            self._set(rule.id, column.name, made, sql, bad=bad, policy=rule.unmapped)

    def _cast(self, rule: Cast) -> None:
        column = self._column(rule.column, rule.id)
        name = quote_identifier(column.name)
        made = f"TRY_CAST({name} AS {rule.type.duckdb})"
        exact = exact_cast(name, made, column.type, rule.type)
        bad = f"{name} IS NOT NULL AND ({exact}) IS NOT TRUE"
        sql = f"CASE WHEN {bad} THEN NULL ELSE {made} END"
        self._set(rule.id, column.name, rule.type, sql, bad=bad, policy=rule.on_error)

    def _set(
        self,
        rule_id: str,
        name: str,
        made: ColumnType,
        sql: str,
        *,
        bad: str | None = None,
        policy: str = "fail",
        value: str | None = None,
    ) -> None:
        """Add the step that sets one column, and what happens where `bad` is true.

        `value` is what errors show then, unless that is the column's earlier value.
        """
        quoted = quote_identifier(name)
        if name in self._names:
            listed = ", ".join(
                f"{sql} AS {quoted}" if n == name else quote_identifier(n) for n in self._names
            )
            self.columns = [
                c.model_copy(update={"type": made}) if c.name == name else c for c in self.columns
            ]
        else:
            listed = f"{column_list(self._names)}, {sql} AS {quoted}"
            self.columns = [*self.columns, Column(name=name, type=made)]
        out, nulled = _OUT, _NULLED
        if bad and policy == "null":
            nulled = (
                f"CASE WHEN {bad} THEN list_append({_NULLED}, {quote_literal(rule_id)})"
                f" ELSE {_NULLED} END AS {_NULLED}"
            )
        elif bad:
            outcome = "rejected" if policy == "reject" else "failed"
            out = _out(f"{_OUT} IS NULL AND ({bad})", outcome, rule_id, name, value or quoted)
        self._step(rule_id, listed, f"{out}, {nulled}, {_RECORD}")
        self.can_drop = self.can_drop or bad is not None

    def _step(self, rule_id: str, columns: str, hidden: str) -> None:
        self.steps.append(f"SELECT {columns}, {hidden} FROM s{len(self.steps) - 1}")
        self.rule_ids.append(rule_id)

    @property
    def _names(self) -> list[str]:
        return [c.name for c in self.columns]

    def _column(self, name: str, rule_id: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise RuleError(
            f"Rule `{rule_id}`: there is no column `{name}` here{nearest(name, self._names)}.",
            "Use a column of the dataset or one that an earlier rule makes.",
        )


def _out(
    condition: str, outcome: str, rule_id: str, column: str | None = None, value: str = "NULL"
) -> str:
    """Return the new `__etl_out`: what it was, or this outcome where the condition holds."""
    col = quote_literal(column) if column else "NULL"
    return (
        f"CASE WHEN {condition} THEN {{'outcome': {quote_literal(outcome)},"
        f" 'rule': {quote_literal(rule_id)}, 'col': {col}, 'value': CAST({value} AS VARCHAR)}}"
        f" ELSE {_OUT} END AS {_OUT}"
    )
