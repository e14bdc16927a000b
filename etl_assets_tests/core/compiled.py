"""Run a rule set over records in memory, with the queries that the platform runs."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.compile import CompiledRules, compile_rules
from etl_assets.core.rules import RuleSet
from etl_assets.core.sql import column_list, quote_identifier

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
    """

    columns: list[str]
    records: list[tuple[Any, ...]]
    counts: dict[tuple[str | None, str | None, str | None], int]
    refused: list[tuple[Any, ...]]


def compiled(rules: Rules, columns: dict[str, str], primary_key: Sequence[str]) -> CompiledRules:
    """Compile rules over columns: name to type."""
    described = [Column(name=n, type=ColumnType.parse(t)) for n, t in columns.items()]
    rule_set = RuleSet.model_validate({"rules": rules})
    return compile_rules(rule_set, described, primary_key, BINDINGS)


def run(
    rules: Rules,
    columns: dict[str, str],
    records: Sequence[Sequence[Any]],
    primary_key: Sequence[str] = (),
) -> Outcome:
    """Compile rules and run their queries over records."""
    made = compiled(rules, columns, primary_key)
    types = [ColumnType.parse(text).duckdb for text in columns.values()]
    connection = _database()
    listed = ", ".join(f"{quote_identifier(n)} {t}" for n, t in zip(columns, types, strict=True))
    connection.execute(f"CREATE OR REPLACE TABLE extract ({listed})")
    marks = ", ".join(f"CAST(? AS {t})" for t in types)
    insert = f"INSERT INTO extract ({column_list(columns)}) VALUES ({marks})"
    for record in records:
        connection.execute(insert, list(record))
    loaded = connection.execute(made.records()).fetchall()
    counts = connection.execute(made.outcomes()).fetchall()
    refused = connection.execute(made.refused()).fetchall()
    names = [f"{c.name} {c.type}" for c in made.columns]
    return Outcome(
        names, sorted(loaded, key=str), {tuple(row[:3]): row[3] for row in counts}, refused
    )


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return one database for all: to open one takes longer than to run a rule."""
    return duckdb.connect()
