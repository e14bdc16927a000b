"""What became of one record's value, rule by rule."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Values = Mapping[str, str | None]
"""Columns and their values as text; None is NULL."""


@dataclass(frozen=True)
class Source:
    """What was read for a record, of the columns that the wanted one is made of.

    Attributes:
        record: The record's primary key, as `name=value, …`.
        records: How many records it stands for; their values are not shown when several.
    """

    record: str
    values: Values
    records: int = 1


@dataclass(frozen=True)
class Touch:
    """What one rule did to one column of one record.

    Attributes:
        rule: The rule's id.
        kind: Its kind.
        comment: Why it is there.
        record: The record, as it is named after the rule.
        column: The column the rule set; empty when it set none, and `said` is all there is.
        was: The column the value was in before; empty when the rule made the column.
        before: The value before.
        after: The value after.
        made_of: The other columns that had a part in it, as they were before.
        said: What a reader should know besides.
    """

    rule: str
    kind: str
    comment: str
    record: str
    column: str
    was: str
    before: str | None
    after: str | None
    made_of: Values = field(default_factory=dict)
    said: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Why a record was not loaded.

    Attributes:
        rule: The rule's id.
        kind: Its kind.
        outcome: `filtered`, `rejected` or `failed`.
        reason: What the rule wants, as the end of a sentence about it.
        column: The column the rule named, if it named one.
        values: The columns it looked at.
    """

    rule: str
    kind: str
    outcome: str
    reason: str
    column: str | None
    values: Values


@dataclass(frozen=True)
class End:
    """What came out of the rules for one record: its columns, or why it was left out."""

    record: str
    values: Values
    left_out: LeftOut | None = None


@dataclass(frozen=True)
class Trace:
    """The way of one record through the rules.

    Attributes:
        sources: What was read.
        touches: In the rules' order.
        ends: What came out; several when a rule makes several records of one.
        identity: The columns that name the records that come out; None when one is gone.
    """

    sources: tuple[Source, ...]
    touches: tuple[Touch, ...]
    ends: tuple[End, ...]
    identity: tuple[str, ...] | None
