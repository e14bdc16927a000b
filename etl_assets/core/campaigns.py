"""Campaigns: keys, seasons, and the instants a season covers."""

import datetime as dt
import re
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

KEY_GRAMMAR = "a letter, then letters, digits, `_` or `-`, 64 characters at most"
"""Safe as a path segment, an SQL literal, an S3 key, a Dagster partition key and a run tag."""

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_DAY, _LAST_DAY = dt.date(1900, 1, 1), dt.date(9998, 12, 31)
_LARGEST = 2**63 - 1
_PARAMETER = re.compile(r"[a-z][a-z0-9_]{0,62}")
SEASON_PARAMETERS = ("campaign_key", "start", "end", "starts_at", "ends_before")
"""The parameters every dataset query can bind besides the campaign's own."""

Scalar = str | int | float | bool | None


def check_key(key: str) -> str:
    """Return `key` when it obeys the grammar of campaign keys.

    Raises:
        ValueError: When it does not, with the grammar.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not a campaign key ({KEY_GRAMMAR})")
    return key


def read_date(text: str) -> dt.date:
    """Return the date that `text` writes, as YYYY-MM-DD and in no other way.

    Raises:
        ValueError: When there is no such date.
    """
    try:
        if _DATE.fullmatch(text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("is not a date that exists, written YYYY-MM-DD")


CampaignKey = Annotated[str, AfterValidator(check_key)]


class Campaign(BaseModel):
    """One campaign: the unit of refresh.

    Attributes:
        key: Names the partition.
        name: What people call it.
        start: First day of the season, inclusive, in `time_zone`.
        end: Last day of the season, inclusive, in `time_zone`.
        time_zone: IANA name of the zone whose days the season counts.
        paused: When true, the season alone does not make the campaign due.
        datasets: Names of the datasets it is refreshed in; None means all of them.
        compared_with: Key of the campaign whose season began earlier, and whose days reports
            put beside this one's; None for none.
        parameters: Values the dataset queries can bind by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: CampaignKey
    name: str = ""
    start: dt.date
    end: dt.date
    time_zone: str = "UTC"
    paused: bool = False
    datasets: tuple[str, ...] | None = None
    compared_with: CampaignKey | None = None
    parameters: dict[str, Scalar] = Field(default_factory=dict)

    @field_validator("start", "end", mode="before")
    @classmethod
    def _read_date(cls, value: object) -> object:
        if isinstance(value, str):
            value = read_date(value)
        if not isinstance(value, dt.date):
            raise ValueError("is not a date, written YYYY-MM-DD")  # noqa: TRY004  (for pydantic)
        if not _FIRST_DAY <= value <= _LAST_DAY:
            raise ValueError(f"is not a day from {_FIRST_DAY} to {_LAST_DAY}")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("is not a time zone of the IANA database") from None
        return value

    @field_validator("parameters")
    @classmethod
    def _parameter_names(cls, value: dict[str, Scalar]) -> dict[str, Scalar]:
        for name, given in value.items():
            if isinstance(given, int | float) and not abs(given) <= _LARGEST:
                raise ValueError(f"`{name}` is not a number that a query can bind")
            if not _PARAMETER.fullmatch(name) or name in SEASON_PARAMETERS:
                raise ValueError(
                    f"`{name}` cannot name a parameter (lower case letters, digits and `_`,"
                    f" and none of {', '.join(SEASON_PARAMETERS)})"
                )
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "Campaign":
        if self.end < self.start:
            raise ValueError(f"`end` ({self.end}) is before `start` ({self.start})")
        if self.compared_with == self.key:
            raise ValueError("`compared_with` is the campaign itself")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone whose days the season counts."""
        return ZoneInfo(self.time_zone)

    @property
    def starts_at(self) -> dt.datetime:
        """The season's first instant, in UTC."""
        return _midnight(self.start, self.zone)

    @property
    def ends_before(self) -> dt.datetime:
        """The first instant after the season, in UTC."""
        return _midnight(self.end + dt.timedelta(days=1), self.zone)

    def covers(self, day: dt.date) -> bool:
        """Return whether the season contains `day`, a day in the campaign's own time zone."""
        return self.start <= day <= self.end

    def covers_instant(self, moment: dt.datetime) -> bool:
        """Return whether the season contains the instant `moment`, which has a time zone."""
        return self.starts_at <= moment < self.ends_before

    def takes_part_in(self, dataset: str) -> bool:
        """Return whether the campaign is refreshed in the dataset of that name."""
        return self.datasets is None or dataset in self.datasets

    def bindings(self) -> dict[str, Scalar]:
        """Return what a dataset query may bind: the season's parameters and the campaign's own.

        `start` and `end` are ISO dates. `starts_at` and `ends_before` are UTC timestamps,
        `YYYY-MM-DD HH:MM:SS`, half-open, so that a last day is whole in any time zone.
        """
        return {
            **self.parameters,
            "campaign_key": self.key,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "starts_at": self.starts_at.strftime("%Y-%m-%d %H:%M:%S"),
            "ends_before": self.ends_before.strftime("%Y-%m-%d %H:%M:%S"),
        }


def _midnight(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """Return the first instant of a day, in UTC.

    Midnight may not exist (a zone that moves its clocks at 00:00); the conversion of
    fold 0 then gives the instant the clocks moved, which is when that day begins.
    """
    return dt.datetime.combine(day, dt.time(), tzinfo=zone).astimezone(dt.UTC)
