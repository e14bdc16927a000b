"""The kinds of rules: one model each, with what it means.

Rules are deterministic: they see the record and the campaign, never a clock. How they become
SQL is in `compile.py`. Expressions are SQL scalar expressions (`expressions.py`).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from etl_assets.core.columns import ColumnName, ColumnType
from etl_assets.core.normalize import DateFormats, NumberFormat


def _null_is_a_word(value: object) -> object:
    return "null" if value is None else value


_YamlNull = BeforeValidator(_null_is_a_word)
"""In YAML `on_error: null`, without quotes, is not the word but nothing; the word is meant."""


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_as_text)]
"""A text; a number or boolean of the document counts as its text."""

OnError = Annotated[Literal["fail", "reject", "null"], _YamlNull]
Unmapped = Annotated[Literal["keep", "null", "reject", "fail"], _YamlNull]
RuleId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
ColumnPattern = Annotated[str, Field(pattern=r"^[a-z_*?][a-z0-9_*?]*$", max_length=63)]
"""A column's name, or a glob: `*` stands for any characters, `?` for one."""

Expression = Annotated[Text, Field(min_length=1)]
Order = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*( (asc|desc))?$")]
"""A column to sort by, with `desc` for the largest first; NULL comes last either way."""

Value = bool | int | float | str | None
Record = dict[ColumnName, Value]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Example(_Model):
    """A record, or several, before the rule, and what it makes of them.

    Columns that `in` leaves out are NULL; `out` is compared in the columns it names. An `out`
    of `filtered`, `rejected` or `failed` is what becomes of the one record. `parameters` stand
    for the campaign's, such as `start`.
    """

    in_: Record | tuple[Record, ...] = Field(alias="in")
    out: Literal["filtered", "rejected", "failed"] | Record | tuple[Record, ...]
    parameters: dict[ColumnName, Value] = Field(default_factory=dict)


class _Rule(_Model):
    """What every rule has.

    Attributes:
        id: Names the rule in errors, counts and history; unique within its rule set.
        comment: Why the rule is there.
        examples: Hold at lint, at plan, and as an asset check.
    """

    id: RuleId
    comment: str = ""
    examples: tuple[Example, ...] = ()


class Select(_Rule):
    """Keep these columns, in this order, and no others; globs stand for columns in theirs."""

    kind: Literal["select"]
    columns: tuple[ColumnPattern, ...] = Field(min_length=1)


class Drop(_Rule):
    """Remove columns, by name or glob."""

    kind: Literal["drop"]
    columns: tuple[ColumnPattern, ...] = Field(min_length=1)


class Rename(_Rule):
    """Give columns other names: old name to new."""

    kind: Literal["rename"]
    columns: dict[ColumnName, ColumnName] = Field(min_length=1)


class Derive(_Rule):
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


class Map(_Rule):
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


class Filter(_Rule):
    """Keep the records for which an SQL condition is true; others are counted, not loaded."""

    kind: Literal["filter"]
    keep: Expression


class Cast(_Rule):
    """Give a column another type, exactly.

    A value that the type does not hold exactly (text that is no number, 1.5 for an
    integer, a timestamp with a time of day for a date, text too long) makes the record
    fail the campaign, be rejected, or become NULL, as `on_error` says.
    """

    kind: Literal["cast"]
    column: ColumnName
    type: ColumnType
    on_error: OnError = "fail"


class Normalize(_Rule):
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
    empty: Annotated[Literal["keep", "null"], _YamlNull] = "keep"
    on_error: Annotated[Literal["fail", "reject", "null", "keep"], _YamlNull] = "fail"

    @model_validator(mode="after")
    def _does_something(self) -> "Normalize":
        if self.number and self.date:
            raise ValueError("a text is read as a `number` or as a `date`, not as both")
        if not any((self.unicode, self.trim, self.collapse, self.case, self.number, self.date,
                    self.empty == "null")):  # fmt: skip
            raise ValueError("it says nothing that is to be done")
        return self


class Dedupe(_Rule):
    """Keep one record of those that agree in the keys: the first or last in the order.

    NULL agrees with NULL. Where the order does not decide, the primary key does.
    """

    kind: Literal["dedupe"]
    keys: tuple[ColumnName, ...] = Field(min_length=1)
    order: tuple[Order, ...] = ()
    keep: Literal["first", "last"] = "first"


class Lookup(_Rule):
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


class Previous(_Model):
    """The value of the record before, within the records that agree in `by`."""

    by: tuple[ColumnName, ...] = ()
    order: tuple[Order, ...] = Field(min_length=1)


class Fill(_Rule):
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


class Unpivot(_Rule):
    """Make a record of each of several columns: its name in one column, its value in another.

    The columns have one type. With `nulls: drop` a NULL makes no record.
    """

    kind: Literal["unpivot"]
    columns: tuple[ColumnPattern, ...] = Field(min_length=1)
    name: ColumnName
    value: ColumnName
    nulls: Literal["keep", "drop"] = "keep"


class Metric(_Model):
    """One figure of a group; `count` without a column counts records."""

    function: Literal["count", "count_distinct", "sum", "avg", "min", "max"]
    column: ColumnName | None = None

    @model_validator(mode="after")
    def _of_a_column(self) -> "Metric":
        if self.column is None and self.function != "count":
            raise ValueError(f"{self.function} needs a `column`")
        return self


class Aggregate(_Rule):
    """Make one record of those that agree in `by`, with figures over them."""

    kind: Literal["aggregate"]
    by: tuple[ColumnName, ...] = Field(min_length=1)
    metrics: dict[ColumnName, Metric] = Field(min_length=1)


class Bounds(_Model):
    """From `min` to `max`, both included; SQL expressions without columns, such as `:start`."""

    min: Expression | None = None
    max: Expression | None = None

    @model_validator(mode="after")
    def _bounded(self) -> "Bounds":
        if self.min is None and self.max is None:
            raise ValueError("it says `min`, `max` or both")
        return self


class ColumnBounds(Bounds):
    """Bounds of a column."""

    column: ColumnName


class Pattern(_Model):
    """A regular expression (RE2) that the whole text matches."""

    column: ColumnName
    regex: str


class Accepted(_Model):
    """The values a column may have."""

    column: ColumnName
    values: tuple[Text, ...] = Field(min_length=1)


RECORD_CHECKS = ("that", "not_null", "range", "pattern", "accepted")
SET_CHECKS = ("unique", "row_count", "sum")


class Assert(_Rule):
    """Say what must be true, of each record or of all of them.

    Of each record: `that` (an SQL condition), `not_null`, `range`, `pattern`, `accepted`. NULL
    passes all but `not_null` and a `that` which says so. Of all: `unique`, `row_count`, `sum`.
    What does not hold fails the campaign, rejects the record (not for all), or is counted as a
    warning, as `on_failure` says.
    """

    kind: Literal["assert"]
    that: Expression | None = None
    not_null: tuple[ColumnName, ...] | None = Field(default=None, min_length=1)
    range: ColumnBounds | None = None
    pattern: Pattern | None = None
    accepted: Accepted | None = None
    unique: tuple[ColumnName, ...] | None = Field(default=None, min_length=1)
    row_count: Bounds | None = None
    sum: ColumnBounds | None = None
    on_failure: Literal["fail", "reject", "warn"] = "fail"

    @model_validator(mode="after")
    def _one_check(self) -> "Assert":
        names = (*RECORD_CHECKS, *SET_CHECKS)
        said = [name for name in names if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(f"it says one of {', '.join(f'`{n}`' for n in names)}")
        if said[0] in SET_CHECKS and self.on_failure == "reject":
            raise ValueError(f"`{said[0]}` is about all records; none can be rejected for it")
        return self


class Flag(_Rule):
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


class Table(_Model):
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
