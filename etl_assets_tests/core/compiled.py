"""Run a rule set over records in memory, with the queries that the platform runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.rules.chain import ROW
from etl_assets.core.rules.compile import CompiledRules, compile_rules
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.sql import column_list, quote_identifier
from etl_assets.rules.check import check_types
from etl_assets.rules.engine import Refusal, engine, make_relations
from etl_assets.rules.engine import run as run_rules

Rules = list[dict[str, Any]]
BINDINGS: dict[str, Scalar] = {
    "campaign_key": "SP17",
    "start": "2017-03-01",
    "end": "2017-05-31",
    "starts_at": "2017-03-01 00:00:00",
    "ends_before": "2017-06-01 00:00:00",
    "shop": 7,
}


@dataclass(frozen=True)
class Outcome:
    """What rules made of some records.

    Attributes:
        records: Those to load, sorted by the text of their values.
        counts: (outcome, rule, column) to records; outcome None = loaded.
        refused: (outcome, rule, column, value, record).
        refusals: What does not hold of all records.
        reshaped: Records that came or went.
    """

    columns: list[str]
    records: list[tuple[Any, ...]]
    counts: dict[tuple[str | None, str | None, str | None], int]
    refused: list[tuple[Any, ...]]
    refusals: tuple[Refusal, ...] = ()
    reshaped: int = 0


def compiled(
    rules: Rules, columns: dict[str, str], primary_key: Sequence[str], **rest: object
) -> CompiledRules:
    """Compile rules over columns: name to type; `rest` are other fields of the rule set."""
    described = [Column(name=n, type=ColumnType.parse(t)) for n, t in columns.items()]
    rule_set = RuleSet.model_validate({"rules": rules, **rest})
    return compile_rules(rule_set, described, primary_key, BINDINGS)


def run(
    rules: Rules,
    columns: dict[str, str],
    records: Sequence[Sequence[Any]],
    primary_key: Sequence[str] = (),
    **rest: object,
) -> Outcome:
    """Compile rules and run their queries over records."""
    made = compiled(rules, columns, primary_key, **rest)
    types = [ColumnType.parse(text).duckdb for text in columns.values()]
    with engine() as connection:
        listed = ", ".join(
            f"{quote_identifier(n)} {t}" for n, t in zip(columns, types, strict=True)
        )
        connection.execute(f"CREATE TABLE extract ({listed}, {ROW} BIGINT)")
        marks = ", ".join(f"CAST(? AS {t})" for t in [*types, "BIGINT"])
        insert = f"INSERT INTO extract ({column_list(columns)}, {ROW}) VALUES ({marks})"
        for number, record in enumerate(records):
            connection.execute(insert, [*record, number])
        make_relations(connection, made, {})
        check_types(connection, made, "The rules")
        ran = run_rules(connection, made)
        loaded = connection.execute(made.last.csv_records("")).fetchall()
        counts = [row for p in made.phases for row in connection.execute(p.outcomes()).fetchall()]
        refused = [row for p in made.phases for row in connection.execute(p.refused()).fetchall()]
    names = [f"{c.name} {c.type}" for c in made.columns]
    return Outcome(
        names,
        sorted(loaded, key=str),
        {tuple(row[:3]): row[3] for row in counts},
        refused,
        ran.refusals,
        ran.reshaped,
    )
