"""What a dataset's document declares for reports: its day, what is summed, and by what."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, model_validator

from etl_assets.core.columns import LOAD_COLUMNS, ColumnName

MAX_NAME = 63
"""Characters of a column's name that every warehouse keeps."""
RECORDS = "records"
_SUMS = {"smallint": "BIGINT", "integer": "BIGINT", "bigint": "BIGINT"} | dict.fromkeys(
    ("real", "float", "double", "double precision"), "DOUBLE PRECISION"
)


class Reporting(BaseModel):
    """What the views over the days of a season show.

    Attributes:
        day: The column of type `date` that says on which day of the season a record counts.
        measures: Columns of numbers that are summed, besides the number of records.
        dimensions: Columns by which sums are taken apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: ColumnName
    measures: tuple[ColumnName, ...] = ()
    dimensions: tuple[ColumnName, ...] = ()

    @model_validator(mode="after")
    def _apart(self) -> "Reporting":
        names = self.columns
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"`{twice[0]}` stands twice")
        if ours := [name for name in names if name in LOAD_COLUMNS]:
            raise ValueError(f"`{ours[0]}` is a column of the load, not of the records")
        for shown in (season_to_date_columns(self), season_over_season_columns(self)):
            if twice := [name for name in shown if shown.count(name) > 1]:
                raise ValueError(
                    f"a view would have two columns `{twice[0]}`: rename a measure or dimension"
                )
            if long := [name for name in shown if len(name) > MAX_NAME]:
                raise ValueError(
                    f"a view's column `{long[0]}` would be longer than {MAX_NAME} characters"
                )
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the table that the views are made of."""
        return (self.day, *self.dimensions, *self.measures)

    @property
    def summed(self) -> tuple[str, ...]:
        """What the views add up: the number of records, and the measures."""
        return (RECORDS, *self.measures)

    def digest(self, *facts: object) -> str:
        """Return a SHA-256 of the declaration, and of facts that its views show."""
        content = [self.model_dump(mode="json"), *map(str, facts)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def misfits(self, kinds: Mapping[str, str | None], where: str) -> Iterator[str]:
        """Yield a sentence for each column that cannot do what is declared of it.

        Args:
            kinds: The columns with their types, as we or a warehouse write them; None where the
                type is not known. A name that is not there is not looked at.
            where: Names where they were looked for.
        """
        for name, kind in kinds.items():
            if kind is None:
                continue
            if name == self.day and kind.lower() != "date":
                yield f"`day: {name}` is a {kind.lower()} {where}, and must be a date"
            if name in self.measures and sum_type(kind) is None:
                yield f"the measure `{name}` is a {kind.lower()} {where}, and must be a number"


@dataclass(frozen=True)
class Declared:
    """What a dataset's document says of its views now, whatever it said when a stage was made.

    Attributes:
        description: What one record is.
        comments: Of columns.
        reporting: What the views over days show; None when there are to be none.
        table_read: Whether somebody reads the table itself, besides its views.
    """

    description: str = ""
    comments: Mapping[str, str] = field(default_factory=dict)
    reporting: Reporting | None = None
    table_read: bool = False


def season_to_date_columns(reporting: Reporting) -> list[str]:
    """Return the columns of `<table>_season_to_date`, in order."""
    return [
        "campaign_key", "campaign_name", *reporting.dimensions, "day", "day_number",
        *(name for one in reporting.summed for name in (one, f"{one}_to_date")),
    ]  # fmt: skip


def season_over_season_columns(reporting: Reporting) -> list[str]:
    """Return the columns of `<table>_season_over_season`, in order."""
    return [
        "campaign_key", "campaign_name", "compared_with", "compared_name",
        *reporting.dimensions, "day_number", "day", "compared_day",
        *(name for one in reporting.summed for part in (one, f"{one}_to_date")
          for name in (part, f"compared_{part}", f"{part}_difference")),
    ]  # fmt: skip


DAY_COLUMNS: dict[str, Callable[[Reporting], list[str]]] = {
    "season_to_date": season_to_date_columns,
    "season_over_season": season_over_season_columns,
}
"""The kinds of views over the days of a season, with the columns of each, in order."""


def sum_type(kind: str) -> str | None:
    """Return the type of a sum, the same in every warehouse; None of what is no number.

    Args:
        kind: A type as we write it, or as the catalog of a warehouse does.
    """
    name, _, arguments = kind.lower().replace("numeric", "decimal").partition("(")
    if name.strip() == "decimal":
        scale = arguments.rstrip(")").partition(",")[2].strip() or "0"
        return f"DECIMAL(38,{scale})"
    return _SUMS.get(name.strip())
