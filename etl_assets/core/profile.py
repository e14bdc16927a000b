"""What is shown of records beside their number: the first of them, their days, what changed."""

from pydantic import BaseModel, ConfigDict

SAMPLE_RECORDS = 10
SAMPLE_COLUMNS = 24
SAMPLE_CHARACTERS = 48
"""Bounds of the sample; of a longer value the beginning is kept."""

MOST_DAYS = 400
"""A season of more days has none counted."""


class RecordChanges(BaseModel):
    """How records differ from those of an earlier time, told apart by the primary key.

    Columns that only one side has, or has with another type, are not compared.

    Attributes:
        since: The id of the extract or load compared with.
        added: Records that were not there.
        removed: Records that are not there any more.
        changed: Records with another value somewhere.
        cells: How many values differ in the changed records; None when these are too many to
            look into.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: str
    added: int
    removed: int
    changed: int
    cells: int | None = None


class Profile(BaseModel):
    """What a person looks at first.

    Attributes:
        sample: The values of the first records, as text, in the order of the columns; None is
            NULL. Empty where the dataset's document says `preview: false`.
        days: Records by day of the season, in the campaign's time zone, as ISO dates; those
            without a day are left out.
        changes: What changed since the extract before; None when that is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample: tuple[tuple[str | None, ...], ...] = ()
    days: dict[str, int] = {}
    changes: RecordChanges | None = None
