"""What every kind of rule is made of: its base, and the types of its fields."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from etl_assets.core.columns import ColumnName


def _null_is_a_word(value: object) -> object:
    return "null" if value is None else value


YamlNull = BeforeValidator(_null_is_a_word)
"""In YAML `on_error: null`, without quotes, is not the word but nothing; the word is meant."""


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_as_text)]
"""A text; a number or boolean of the document counts as its text."""

OnError = Annotated[Literal["fail", "reject", "null"], YamlNull]
Unmapped = Annotated[Literal["keep", "null", "reject", "fail"], YamlNull]
RuleId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
ColumnPattern = Annotated[str, Field(pattern=r"^[a-z_*?][a-z0-9_*?]*$", max_length=63)]
"""A column's name, or a glob: `*` stands for any characters, `?` for one."""

Expression = Annotated[Text, Field(min_length=1)]
Order = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*( (asc|desc))?$")]
"""A column to sort by, with `desc` for the largest first; NULL comes last either way."""

Value = bool | int | float | str | None
Record = dict[ColumnName, Value]


class StrictModel(BaseModel):
    """A model that takes its own fields and no others, and does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Example(StrictModel):
    """A record, or several, before the rule, and what it makes of them.

    Columns that `in` leaves out are NULL; `out` is compared in the columns it names. An `out`
    of `filtered`, `rejected` or `failed` is what becomes of the one record. `parameters` stand
    for the campaign's, such as `start`.
    """

    in_: Record | tuple[Record, ...] = Field(alias="in")
    out: Literal["filtered", "rejected", "failed"] | Record | tuple[Record, ...]
    parameters: dict[ColumnName, Value] = Field(default_factory=dict)


class RuleModel(StrictModel):
    """What every rule has.

    Attributes:
        id: Names the rule in errors, counts and history; unique within its rule set.
        comment: Why the rule is there.
        examples: Hold at lint, at plan, and as an asset check.
    """

    id: RuleId
    comment: str = ""
    examples: tuple[Example, ...] = ()
