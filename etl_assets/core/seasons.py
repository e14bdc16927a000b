"""Where each campaign stands in its season on a day, when it is due next, and what overlaps."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from etl_assets.core.campaigns import Campaign
from etl_assets.core.freshness import Freshness
from etl_assets.core.manifest import Load
from etl_assets.core.registry import Registry
from etl_assets.core.standing import keeps, standing_of, waits

State = Literal["active", "paused", "upcoming", "ended"]
NextTick = Callable[[dt.datetime], dt.datetime]
"""Returns the first tick of the schedule that is not before a moment, in the schedule's zone."""

_ONE_DAY = dt.timedelta(days=1)
_ONE_SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True)
class Slice:
    """What is known of a campaign in one dataset.

    Attributes:
        dataset: Its name.
        load: The row of the ledger that made the slice what it is; None when there is none.
        held: Why a load is held back; a sentence, empty when none is.
        freshness: What the check `is_fresh` says; None when another day is looked at.
    """

    dataset: str
    load: Load | None = None
    held: str = ""
    freshness: Freshness | None = None


@dataclass(frozen=True)
class Season:
    """A campaign on a day.

    Attributes:
        campaign: As the registry has it.
        state: Where in its season it is; `paused` only while it would be active or upcoming.
        due: Whether that day's refreshes are to load it.
        next_due: The next tick that refreshes it; None when none does.
        slices: Of each dataset that it takes part in.
    """

    campaign: Campaign
    state: State
    due: bool
    next_due: dt.datetime | None
    slices: tuple[Slice, ...] = ()

    def overlaps(self, first: dt.date, last: dt.date) -> bool:
        """Return whether a day of the season is among those from `first` to `last`."""
        return self.campaign.start <= last and self.campaign.end >= first


@dataclass(frozen=True)
class Calendar:
    """The seasons around a day.

    Attributes:
        at: The moment looked at, in the schedule's time zone.
        read_at: When that was done; ages count from it.
        first: The first day shown.
        last: The last day shown.
        seasons: Those that are shown, by first day: what is in the days shown, and what is due.
        before: How many others ended before.
        ended: The last day of those; None when there are none.
        after: How many others begin after.
        problems: By key, why a campaign cannot be used.
        notes: What is not known, and why; sentences.
    """

    at: dt.datetime
    read_at: dt.datetime
    first: dt.date
    last: dt.date
    seasons: tuple[Season, ...]
    before: int = 0
    ended: dt.date | None = None
    after: int = 0
    problems: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def days(self) -> int:
        """How many days are shown."""
        return (self.last - self.first).days + 1

    @property
    def at_once(self) -> list[int]:
        """How many seasons cover each day shown; paused ones do not count."""
        counts = [0] * self.days
        for one in self.seasons:
            if one.state == "paused":
                continue
            begin = max((one.campaign.start - self.first).days, 0)
            end = min((one.campaign.end - self.first).days, self.days - 1)
            for day in range(begin, end + 1):
                counts[day] += 1
        return counts


def months_around(day: dt.date, *, before: int = 3, after: int = 3) -> tuple[dt.date, dt.date]:
    """Return the first and the last day of the months around a day."""
    return _month(day, -before), _month(day, after + 1) - _ONE_DAY


def season_of(campaign: Campaign, registry: Registry, at: dt.datetime, tick: NextTick) -> Season:
    """Return where a campaign stands at a moment, which has the schedule's time zone."""
    return Season(
        campaign,
        _state(campaign, at),
        campaign.key in registry.due_at(at),
        _next_due(campaign, registry, at, tick),
    )


def slice_of(dataset: str, rows: Sequence[Load], freshness: Freshness | None) -> Slice:
    """Return what the ledger's rows of one key say, newest first."""
    standing = standing_of(rows)
    held = keeps(standing.kept) if standing.kept else ""
    if standing.waiting and not held:
        held = waits(standing.waiting.load_id, standing.waiting.reason or "")
    return Slice(dataset, standing.current, held, freshness)


def calendar_of(
    seasons: Sequence[Season], at: dt.datetime, read_at: dt.datetime, first: dt.date, last: dt.date
) -> Calendar:
    """Return the calendar of all seasons; it shows those of the days from `first` to `last`."""
    found = [one for one in seasons if one.due or one.overlaps(first, last)]
    others = [one.campaign for one in seasons if not (one.due or one.overlaps(first, last))]
    ended = [campaign.end for campaign in others if campaign.end < first]
    ordered = sorted(found, key=lambda s: (s.campaign.start, s.campaign.end, s.campaign.key))
    return Calendar(
        at, read_at, first, last, tuple(ordered),
        before=len(ended), ended=max(ended, default=None), after=len(others) - len(ended),
    )  # fmt: skip


def _state(campaign: Campaign, at: dt.datetime) -> State:
    if at >= campaign.ends_before:
        return "ended"
    if campaign.paused:
        return "paused"
    return "active" if at >= campaign.starts_at else "upcoming"


def _next_due(
    campaign: Campaign, registry: Registry, at: dt.datetime, tick: NextTick
) -> dt.datetime | None:
    found = [
        moment
        for day, keys in registry.entries.items()
        if campaign.key in keys and day >= at.date()
        if (moment := tick(max(at, dt.datetime.combine(day, dt.time(), at.tzinfo)))).date() == day
    ]
    if not campaign.paused:
        moment = tick(max(at, campaign.starts_at))
        while moment < campaign.ends_before:
            if moment.date() not in registry.entries:
                found.append(moment)
                break
            moment = tick(moment + _ONE_SECOND)
    return min(found, default=None)


def _month(day: dt.date, months: int) -> dt.date:
    number = day.year * 12 + day.month - 1 + months
    return dt.date(number // 12, number % 12 + 1, 1)
