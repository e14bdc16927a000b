"""The parts of a chain: what one rule adds to it."""

from dataclasses import dataclass

from etl_assets.core.columns import Column, ColumnType


@dataclass(frozen=True)
class SetCheck:
    """What must be true of all records.

    Attributes:
        rule_id: The rule that says so.
        select: A SELECT over the step before, of (holds, what was found, records concerned).
        wanted: What must be true, as the end of a sentence.
        warns: Whether it is only counted.
    """

    rule_id: str
    select: str
    wanted: str
    warns: bool


@dataclass(frozen=True)
class Checked:
    """An expression of a rule, to be checked against the types of the columns before it.

    Attributes:
        text: As written.
        sql: As rendered.
        condition: Whether it must be true or false.
        compared: SQL of the two sides of its comparisons.
    """

    text: str
    sql: str
    condition: bool
    compared: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Step:
    """What one rule adds to a chain.

    Attributes:
        rule_id: Empty for the first step, which applies none.
        sql: A SELECT over the step before.
        columns: What comes out.
        side_name: The side table that `sql` joins, if any.
        side: The query of the side table; a SELECT over the step before.
        check: What must be true of all records that come out.
        expressions: What the rule computes.
    """

    rule_id: str
    sql: str
    columns: tuple[Column, ...]
    side_name: str = ""
    side: str | None = None
    check: SetCheck | None = None
    expressions: tuple[Checked, ...] = ()


@dataclass(frozen=True)
class Relation:
    """A table that a map or lookup joins.

    Attributes:
        name: As the steps call it.
        columns: Names and types, keys first.
        keys: How many of the columns a record is looked up by.
        rows: Its values as text; None when they are of a dataset's extract.
        dataset: That dataset.
        source: The columns of the dataset's extract, in the order of `columns`.
        rule_id: The rule that looks up.
    """

    name: str
    columns: tuple[tuple[str, ColumnType], ...]
    keys: int
    rows: tuple[tuple[str | None, ...], ...] | None
    dataset: str | None
    source: tuple[str, ...]
    rule_id: str


@dataclass(frozen=True)
class Grouped:
    """How an aggregate makes the base of the next phase: SELECT list and tail, and its keys."""

    select: str
    tail: str
    by: tuple[str, ...]
