"""The kinds of rules: one model each, with what it means; `assert` is in `assertions.py`.

Rules are deterministic: they see the record and the campaign, never a clock. How they become
SQL is in `compile.py`. Expressions are SQL scalar expressions (`expressions.py`).
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from etl_assets.core.columns import ColumnName, ColumnType
from etl_assets.core.rules.assertions import Assert
from etl_assets.core.rules.model import (
    ColumnPattern,
    Expression,
    OnError,
    Order,
    RuleModel,
    StrictModel,
    Text,
    Unmapped,
    YamlNull,
)
from etl_assets.core.rules.normalize import DateFormats, NumberFormat


class Select(RuleModel):
    """Keep these columns, in this order, and no others; globs stand for columns in theirs."""

    kind: Literal["select"]
    columns: tuple[ColumnPattern, ...] = Field(min_length=1)


class Drop(RuleModel):
    """Remove columns, by name or glob."""

    kind: Literal["drop"]
    columns: tuple[ColumnPattern, ...] = Field(min_length=1)


class Rename(RuleModel):
    """Give columns other names: old name to new."""

    kind: Literal["rename"]
    columns: dict[ColumnName, ColumnName] = Field(min_length=1)


class Derive(RuleModel):
    """Set a column, new or not, to an SQL scalar expression over the columns so far.

    The value is cast to `type`, which for a decimal rounds half away from zero. A value
    that cannot be computed or cast (a division by zero, an overflow, a text too long) makes
    the record fail the campaign, be rejected, or the value NULL, as `on_error` says.
    """

    kind: Literal["derive"]
    column: ColumnName
    type: ColumnType
    expression: Expression
    on_error: OnError = "fail"


class Map(RuleModel):
    """Replace a column's values by a table of values; NULL stays NULL.

    `unmapped` says what happens to a value the table does not hold: `keep` it, make it
    `null`, `reject` the record, or `fail` the campaign. A mapping that keeps values must give
    the same when it is applied twice, unless `idempotent` is false.
    """

    kind: Literal["map"]
    column: ColumnName
    values: dict[Text, Text | None] = Field(min_length=1)
    type: ColumnType | None = None
    unmapped: Unmapped = "fail"
    idempotent: bool = True

    @model_validator(mode="after")
    def _same_when_applied_twice(self) -> "Map":
        if self.unmapped != "keep" or not self.idempotent:
            return self
        for old, new in self.values.items():
            if new is not None and self.values.get(new, new) != new:
                raise ValueError(
                    f"`values` maps {old!r} to {new!r}, and {new!r} to {self.values[new]!r}:"
                    " applied twice it gives something else; write `idempotent: false` if that"
                    " is meant"
                )
        return self


class Filter(RuleModel):
    """Keep the records for which an SQL condition is true; others are counted, not loaded."""

    kind: Literal["filter"]
    keep: Expression


class Cast(RuleModel):
    """Give a column another type, exactly.

    A value that the type does not hold exactly (text that is no number, 1.5 for an
    integer, a timestamp with a time of day for a date, text too long) makes the record
    fail the campaign, be rejected, or become NULL, as `on_error` says.
    """

    kind: Literal["cast"]
    column: ColumnName
    type: ColumnType
    on_error: OnError = "fail"


class Normalize(RuleModel):
    """Write texts in one form, in the order: unicode, trim, case, number or date, empty.

    `unicode` is NFC. `trim` removes white space around a text, `collapse` makes one blank of
    each run inside it. `number` reads numbers as a locale writes them (`de_DE`, or its
    `decimal` and `group` signs) and writes them plainly: 1.234,50 becomes 1234.50. `date`
    reads dates in any of the formats, or as a locale writes them, and writes YYYY-MM-DD. A
    text that is no such number or date fails the campaign, is rejected, becomes NULL, or is
    kept, as `on_error` says. `empty: null` makes NULL of the empty text.
    """

    kind: Literal["normalize"]
    columns: tuple[ColumnPattern, ...] = Field(min_length=1)
    unicode: Literal["NFC"] | None = None
    trim: bool = False
    collapse: bool = False
    case: Literal["lower", "upper"] | None = None
    number: NumberFormat | None = None
    date: DateFormats | None = None
    empty: Annotated[Literal["keep", "null"], YamlNull] = "keep"
    on_error: Annotated[Literal["fail", "reject", "null", "keep"], YamlNull] = "fail"

    @model_validator(mode="after")
    def _does_something(self) -> "Normalize":
        if self.number and self.date:
            raise ValueError("a text is read as a `number` or as a `date`, not as both")
        if not any((self.unicode, self.trim, self.collapse, self.case, self.number, self.date,
                    self.empty == "null")):  # fmt: skip
            raise ValueError("it says nothing that is to be done")
        return self


class Dedupe(RuleModel):
    """Keep one record of those that agree in the keys: the first or last in the order.

    NULL agrees with NULL. Where the order does not decide, the primary key does.
    """

    kind: Literal["dedupe"]
    keys: tuple[ColumnName, ...] = Field(min_length=1)
    order: tuple[Order, ...] = ()
    keep: Literal["first", "last"] = "first"


class Lookup(RuleModel):
    """Set columns to those of the one matching row of a reference table.

    The table is one of the rule set's `tables`, or a dataset's latest extract of the same
    campaign. `on` says which column of the record equals which of the table, `columns` which
    columns to set to which of the table. Without a match the columns are NULL, or the record
    is rejected, or fails the campaign, as `missing` says; NULL matches nothing.
    """

    kind: Literal["lookup"]
    table: ColumnName | None = None
    dataset: ColumnName | None = None
    on: dict[ColumnName, ColumnName] = Field(min_length=1)
    columns: dict[ColumnName, ColumnName] = Field(min_length=1)
    missing: OnError = "fail"

    @model_validator(mode="after")
    def _one_table(self) -> "Lookup":
        if (self.table is None) == (self.dataset is None):
            raise ValueError("it names either a `table` of the rule set or a `dataset`")
        return self


class Previous(StrictModel):
    """The value of the record before, within the records that agree in `by`."""

    by: tuple[ColumnName, ...] = ()
    order: tuple[Order, ...] = Field(min_length=1)


class Fill(RuleModel):
    """Give NULLs of a column a value: a fixed one, another column's, or the previous record's."""

    kind: Literal["fill"]
    column: ColumnName
    value: Text | None = None
    from_: ColumnName | None = Field(default=None, alias="from")
    previous: Previous | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Fill":
        if sum(way is not None for way in (self.value, self.from_, self.previous)) != 1:
            raise ValueError("it says one of `value`, `from` and `previous`")
        return self


class Unpivot(RuleModel):
    """Make a record of each of several columns: its name in one column, its value in another.

    The columns have one type. With `nulls: drop` a NULL makes no record.
    """

    kind: Literal["unpivot"]
    columns: tuple[ColumnPattern, ...] = Field(min_length=1)
    name: ColumnName
    value: ColumnName
    nulls: Literal["keep", "drop"] = "keep"


class Metric(StrictModel):
    """One figure of a group; `count` without a column counts records."""

    function: Literal["count", "count_distinct", "sum", "avg", "min", "max"]
    column: ColumnName | None = None

    @model_validator(mode="after")
    def _of_a_column(self) -> "Metric":
        if self.column is None and self.function != "count":
            raise ValueError(f"{self.function} needs a `column`")
        return self


class Aggregate(RuleModel):
    """Make one record of those that agree in `by`, with figures over them."""

    kind: Literal["aggregate"]
    by: tuple[ColumnName, ...] = Field(min_length=1)
    metrics: dict[ColumnName, Metric] = Field(min_length=1)


class Flag(RuleModel):
    """Add a tag to a text column of the records for which a condition is true.

    Several tags are separated by commas; the column is made when it is not there, and is NULL
    for records without a tag.
    """

    kind: Literal["flag"]
    column: ColumnName = "flags"
    tag: str = Field(pattern=r"^[^,]+$")
    when: Expression


Rule = Annotated[
    Select
    | Drop
    | Rename
    | Derive
    | Map
    | Filter
    | Cast
    | Normalize
    | Dedupe
    | Lookup
    | Fill
    | Unpivot
    | Aggregate
    | Assert
    | Flag,
    Field(discriminator="kind"),
]


class Table(StrictModel):
    """A small reference table: columns with types, and rows of values in their order."""

    columns: dict[ColumnName, ColumnType] = Field(min_length=1)
    rows: tuple[tuple[Text | None, ...], ...]

    @field_validator("rows")
    @classmethod
    def _whole(cls, rows: tuple[tuple[str | None, ...], ...]) -> tuple[tuple[str | None, ...], ...]:
        for number, row in enumerate(rows, 1):
            if len(row) != len(rows[0]):
                raise ValueError(f"row {number} has {len(row)} values, the first {len(rows[0])}")
        return rows
