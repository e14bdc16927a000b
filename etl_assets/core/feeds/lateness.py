"""Whether a feed was delivered by the time it has to be."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from etl_assets.core.sentences import some

_SHOWN = 5


@dataclass(frozen=True)
class Lateness:
    """What is said of a feed.

    Attributes:
        late: The scopes that were not delivered in time, sorted.
        said: A sentence.
    """

    late: tuple[str, ...]
    said: str


def last_deadline(deliver_by: str, at: dt.datetime) -> dt.datetime:
    """Return the newest moment up to another, in its time zone, that has this time of the day."""
    time = dt.time.fromisoformat(deliver_by)
    same_day = at.replace(hour=time.hour, minute=time.minute, second=0, microsecond=0)
    return same_day if same_day <= at else same_day - dt.timedelta(days=1)


def lateness_of(
    expected: Collection[str],
    checked: Mapping[str, dt.datetime],
    *,
    tick: dt.datetime,
    deadline: dt.datetime,
) -> Lateness:
    """Return which scopes are late.

    Args:
        expected: The scopes that had to be delivered.
        checked: When each was last delivered, or found to be still what has to be delivered.
        tick: The tick of the schedule whose records had to be delivered.
        deadline: By when.
    """
    late = tuple(sorted(s for s in expected if s not in checked or checked[s] < tick))
    since = f"since the tick of {tick:%Y-%m-%d %H:%M}"
    if not late:
        what = "Nothing had to be" if not expected else f"{len(expected)} of {len(expected)}"
        return Lateness((), f"{what} delivered {since} by {deadline:%Y-%m-%d %H:%M}.")
    return Lateness(
        late,
        f"Not delivered {since}, and it had to be by {deadline:%Y-%m-%d %H:%M}: {some(late, _SHOWN)}. See its"
        " last run, then deliver it with `etl-assets feeds deliver`.",
    )
