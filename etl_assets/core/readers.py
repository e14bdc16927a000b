"""Who reads a dataset's table: dashboards, reports, exports; as its document says."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from etl_assets.core.columns import ColumnName
from etl_assets.core.reporting_views import view_name


def _known_owner(owner: str) -> str:
    if not re.fullmatch(r"team:[\w-]+|[^@\s]+@[^@\s]+\.[^@\s]+", owner):
        raise ValueError("is neither `team:name` nor an e-mail address")
    return owner


Owner = Annotated[str, AfterValidator(_known_owner)]
"""Who answers for something: `team:name`, or an e-mail address."""


class Reader(BaseModel):
    """One who reads a dataset's table; an asset at the end of the graph.

    Attributes:
        name: Names it; one that reads several datasets stands in the document of each.
        kind: What it is, such as `tableau`, `powerbi` or `notebook`.
        description: What it shows.
        owner: Who answers for it.
        reads: The table itself, or one of its views.
        columns: Those it uses; all of them when left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    kind: str = Field(default="report", pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$")
    description: str = ""
    owner: Owner | None = None
    reads: Literal[
        "by_campaign", "deduplicated", "season_to_date", "season_over_season", "table"
    ] = "by_campaign"
    columns: tuple[ColumnName, ...] = ()

    def place(self, table: str) -> str:
        """Return the name of what it reads, of a table or beside it."""
        return table if self.reads == "table" else view_name(table, self.reads)

    def is_described_as(self, other: "Reader") -> bool:
        """Return whether two documents say the same of it, whatever it reads in each."""
        return (self.kind, self.description, self.owner) == (
            other.kind, other.description, other.owner,
        )  # fmt: skip
