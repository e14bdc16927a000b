"""What rules say must be true, of each record or of all of them."""

from typing import Literal

from pydantic import Field, model_validator

from etl_assets.core.columns import ColumnName
from etl_assets.core.rules.model import Expression, RuleModel, StrictModel, Text


class Bounds(StrictModel):
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


class Pattern(StrictModel):
    """A regular expression (RE2) that the whole text matches."""

    column: ColumnName
    regex: str


class Accepted(StrictModel):
    """The values a column may have."""

    column: ColumnName
    values: tuple[Text, ...] = Field(min_length=1)


RECORD_CHECKS = ("that", "not_null", "range", "pattern", "accepted")
SET_CHECKS = ("unique", "row_count", "sum")


class Assert(RuleModel):
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
