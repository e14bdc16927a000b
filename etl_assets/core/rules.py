"""The declarative rules: one model per kind, each beside what it means.

A rule set is applied in the order written; the empty rule set is the identity. Rules are
deterministic: they see the record and the campaign, never a clock. How they become SQL is
in `compile.py`.
"""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from etl_assets.core.columns import ColumnName, ColumnType


def _null_is_a_word(value: object) -> object:
    return "null" if value is None else value


_YamlNull = BeforeValidator(_null_is_a_word)
"""In YAML `on_error: null`, without quotes, is not the word but nothing; the word is meant."""

OnError = Annotated[Literal["fail", "reject", "null"], _YamlNull]
Unmapped = Annotated[Literal["keep", "null", "reject", "fail"], _YamlNull]


class _Rule(BaseModel):
    """What every rule has.

    Attributes:
        id: Names the rule in errors, counts and history; unique within its rule set.
        comment: Why the rule is there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    comment: str = ""


class Select(_Rule):
    """Keep these columns, in this order, and no others."""

    kind: Literal["select"]
    columns: tuple[ColumnName, ...] = Field(min_length=1)


class Rename(_Rule):
    """Give columns other names: old name to new."""

    kind: Literal["rename"]
    columns: dict[ColumnName, ColumnName] = Field(min_length=1)


class Derive(_Rule):
    """Set a column, new or not, to an SQL scalar expression over the columns so far.

    The value is cast to `type`, which for a decimal rounds half away from zero. A value
    that cannot be computed or cast fails the campaign.
    """

    kind: Literal["derive"]
    column: ColumnName
    type: ColumnType
    expression: str


class Map(_Rule):
    """Replace a column's values by a table of values; NULL stays NULL.

    `unmapped` says what happens to a value the table does not hold: `keep` it, make it
    `null`, `reject` the record, or `fail` the campaign.
    """

    kind: Literal["map"]
    column: ColumnName
    values: dict[str, str | None] = Field(min_length=1)
    type: ColumnType | None = None
    unmapped: Unmapped = "fail"

    @field_validator("values", mode="before")
    @classmethod
    def _as_text(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {_text(key): None if v is None else _text(v) for key, v in values.items()}


class Filter(_Rule):
    """Keep the records for which an SQL condition is true; others are counted, not loaded."""

    kind: Literal["filter"]
    keep: str


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


Rule = Annotated[
    Select | Rename | Derive | Map | Filter | Cast,
    Field(discriminator="kind"),
]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class RuleSet(BaseModel):
    """The ordered rules of a dataset, as one version.

    Attributes:
        version: 0 for the rules of the dataset's own document, else the registry's number.
        comment: Why this version was published.
        rules: Applied in this order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(default=0, ge=0)
    comment: str = ""
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _unique_ids(self) -> "RuleSet":
        seen: set[str] = set()
        for rule in self.rules:
            if rule.id in seen:
                raise ValueError(f"two rules have the id `{rule.id}`")
            seen.add(rule.id)
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of what the rules do; ids, comments and version do not count."""
        content = [rule.model_dump(mode="json", exclude={"id", "comment"}) for rule in self.rules]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
