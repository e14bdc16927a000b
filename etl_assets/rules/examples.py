"""Rules tried on the examples that stand beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import Column
from etl_assets.core.errors import RuleError
from etl_assets.core.rules.chain import ROW
from etl_assets.core.rules.compile import EXTRACT, CompiledRules, compile_rules
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.kinds import Lookup, Rule
from etl_assets.core.rules.model import Example, Record
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.sql import column_list, quote_identifier
from etl_assets.rules.check import check_types
from etl_assets.rules.engine import Connection, engine, make_relations, run


@dataclass(frozen=True)
class ExampleFailure:
    """An example that does not hold.

    Attributes:
        rule: The rule's id.
        number: Which of its examples, from 1.
        said: What came out, and what was to.
    """

    rule: str
    number: int
    said: str

    def __str__(self) -> str:
        return f"rule `{self.rule}`, example {self.number}: {self.said}"


def run_examples(
    rule_set: RuleSet,
    columns: Sequence[Column],
    bindings: Mapping[str, Scalar],
    *,
    datasets: Mapping[str, Sequence[Column]] | None = None,
) -> list[ExampleFailure]:
    """Return the examples that do not hold; none when all do.

    Args:
        rule_set: A campaign's rules.
        columns: The extract's.
        bindings: What expressions may name; an example's `parameters` go before them.
        datasets: The columns of the extracts that lookups name.

    Raises:
        RuleError: When the rules do not fit the columns.
    """
    failures = []
    for place, rule in enumerate(rule_set.rules):
        if not rule.examples:
            continue
        before = rule_set.model_copy(update={"rules": rule_set.rules[:place]})
        there = compile_rules(before, columns, (), bindings, datasets=datasets).columns
        alone = rule_set.model_copy(update={"rules": (rule,)})
        for number, example in enumerate(rule.examples, 1):
            said = _try(alone, rule, example, there, bindings)
            if said:
                failures.append(ExampleFailure(rule.id, number, said))
    return failures


def _try(
    alone: RuleSet,
    rule: Rule,
    example: Example,
    columns: Sequence[Column],
    bindings: Mapping[str, Scalar],
) -> str:
    """Return why an example does not hold; empty when it does."""
    if isinstance(rule, Lookup) and rule.dataset:
        return f"there is no extract of {rule.dataset} here; look up in one of `tables` instead"
    given = _records(example.in_)
    compiled = compile_rules(alone, columns, (), {**bindings, **example.parameters})
    if isinstance(example.out, str) and len(given) != 1:
        return f"`out: {example.out}` is about one record, but `in` has {len(given)}"
    try:
        with engine() as connection:
            _insert(connection, columns, given)
            make_relations(connection, compiled, {})
            check_types(connection, compiled, "The example")
            ran = run(connection, compiled)
            outcome = next((c.outcome for c in ran.counts if c.outcome in _LEFT_OUT), "loaded")
            stopped = next((r.said for r in ran.refusals if not r.warns), "")
            outcome = "failed" if stopped else outcome
            if isinstance(example.out, str):
                return "" if outcome == example.out else f"the record is {outcome}"
            if outcome == "failed":
                return f"it fails: {stopped or 'a value does not fit'}"
            return _compare(connection, compiled, _records(example.out))
    except duckdb.Error as error:
        return f"it cannot be computed: {str(error).splitlines()[0]}"


_LEFT_OUT = ("filtered", "rejected", "failed")


def _records(given: Record | tuple[Record, ...]) -> tuple[Record, ...]:
    return given if isinstance(given, tuple) else (given,)


def _insert(connection: Connection, columns: Sequence[Column], records: Sequence[Record]) -> None:
    typed = ", ".join(f"{quote_identifier(c.name)} {c.type.duckdb}" for c in columns)
    connection.execute(f"CREATE TEMP TABLE {EXTRACT} ({typed}, {ROW} BIGINT)")
    names = [c.name for c in columns]
    for number, record in enumerate(records):
        for name in record:
            if name not in names:
                hint = nearest(name, names)
                raise RuleError(
                    f"An example names the column `{name}`, which is not there{hint}.",
                    "Name columns as they are before the rule.",
                )
        marks = ", ".join(f"CAST(? AS {c.type.duckdb})" for c in columns)
        connection.execute(
            f"INSERT INTO {EXTRACT} ({column_list(names)}, {ROW}) VALUES ({marks}, {number})",
            [_parameter(record.get(name)) for name in names],
        )


def _compare(connection: Connection, compiled: CompiledRules, wanted: Sequence[Record]) -> str:
    """Return how what comes out differs from what was wanted, in the columns that were named."""
    named = list(dict.fromkeys(name for record in wanted for name in record))
    kinds = {c.name: c.type for c in compiled.columns}
    for name in named:
        if name not in kinds:
            return f"there is no column `{name}` after the rule{nearest(name, kinds)}"
    listed = column_list(named) if named else "1"
    found = connection.execute(f"SELECT {listed} FROM ({compiled.last.records()})").fetchall()
    marks = ", ".join(f"CAST(? AS {kinds[name].duckdb})" for name in named) or "1"
    expected = [
        connection.execute(f"SELECT {marks}", [_parameter(r.get(n)) for n in named]).fetchone()
        for r in wanted
    ]
    if sorted(map(repr, found)) == sorted(map(repr, expected)):
        return ""
    return f"it gives {_shown(named, found)}, not {_shown(named, expected)}"


def _parameter(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _shown(names: Sequence[str], rows: Sequence[tuple[object, ...] | None]) -> str:
    made = [
        ", ".join(
            f"{name}={'NULL' if v is None else v}" for name, v in zip(names, row, strict=False)
        )
        for row in rows
        if row is not None
    ]
    return " and ".join(f"({row})" for row in made) or "nothing"
