"""Whether what rules compute fits the types of the columns they compute it of."""

import duckdb

from etl_assets.core.columns import Column
from etl_assets.core.errors import RuleError
from etl_assets.core.rules.compile import CompiledRules
from etl_assets.core.rules.steps import Checked
from etl_assets.core.sql import quote_identifier
from etl_assets.rules.engine import Connection


def check_types(connection: Connection, compiled: CompiledRules, what: str) -> None:
    """Raise unless every expression can be computed, and every condition is true or false.

    Args:
        connection: An engine; no records are read.
        compiled: The rules.
        what: Begins the error's sentence, such as "The rules of sales".

    Raises:
        RuleError: Naming the rule and its expression.
    """
    for phase in compiled.phases:
        for before, step in zip(phase.steps, phase.steps[1:], strict=False):
            if step.expressions:
                _make_record(connection, before.columns)
                for checked in step.expressions:
                    _check(connection, checked, step.rule_id, what)


def _make_record(connection: Connection, columns: tuple[Column, ...]) -> None:
    """Make a record of NULLs: what fails on it, such as a broken pattern, fails always."""
    listed = ", ".join(
        f"CAST(NULL AS {c.type.duckdb}) AS {quote_identifier(c.name)}" for c in columns
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE before_rule AS SELECT {listed}")


def _check(connection: Connection, checked: Checked, rule_id: str, what: str) -> None:
    said = f"{what} cannot be applied: rule `{rule_id}`, {checked.text!r}"
    sides = [side for pair in checked.compared for side in pair]
    kinds = ", ".join(f"typeof({sql})" for sql in (checked.sql, *sides))
    try:
        row = connection.execute(f"SELECT ({checked.sql}), {kinds} FROM before_rule").fetchone()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        reason = reason.partition("Error: ")[2] or reason
        raise RuleError(
            f"{said}: {reason.rstrip('.')}.", "Correct the expression, or cast a column first."
        ) from error
    _, kind, *compared = row or (None, "")
    if checked.condition and kind not in ("BOOLEAN", '"NULL"'):
        raise RuleError(
            f"{said}: it is a value of the type {kind}, not true or false.",
            "Write a condition, such as a comparison.",
        )
    for left, right in zip(compared[::2], compared[1::2], strict=True):
        if (left == "VARCHAR") != (right == "VARCHAR") and '"NULL"' not in (left, right):
            raise RuleError(
                f"{said}: it compares a value of the type {left} with one of {right}.",
                "Cast one of them, or write a text in quotes.",
            )
