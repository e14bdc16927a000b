"""Whether each campaign's slice is as the last deadline of the schedule wants it.

A deadline is a tick of the schedule plus the lateness that the dataset allows. A key found
unchanged by then is fresh; one whose load is held back was refreshed, and its slice is still
older than the deadline, so that is said and is no error.
"""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from etl_assets.core.campaigns import Campaign
from etl_assets.core.health import KeyState, missed, missed_because
from etl_assets.core.standing import Status

Kind = Literal["fresh", "new", "held", "kept", "late", "unusable", "not due"]
"""`new`: came, or changed, since the last tick. `held`: a guard's load waits for approval.
`kept`: a person keeps the slice as it is. `unusable`: the campaign cannot be read."""


@dataclass(frozen=True)
class Freshness:
    """What is said of one key in one dataset.

    Attributes:
        key: The campaign.
        kind: What it is.
        said: Why, in sentences.
        refreshed_at: When its slice was last loaded, or found unchanged, or held back; None
            for never, or where the key is not due.
    """

    key: str
    kind: Kind
    said: str
    refreshed_at: dt.datetime | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing has to be done and nothing is held back."""
        return self.kind in ("fresh", "new", "not due")

    @property
    def is_error(self) -> bool:
        """Whether a deadline was missed, or will be."""
        return self.kind in ("late", "unusable")


def freshness_of(
    state: KeyState, *, tick: dt.datetime, due_at_tick: Collection[str], late_after: dt.timedelta
) -> Freshness:
    """Return what is to be said of a key that is due; the arguments are those of `judge`."""
    key, at, failure = state.key, state.refreshed_at, f"{state.failure} {state.remedy}".strip()
    if state.unusable:
        return Freshness(key, "unusable", failure)
    if key in due_at_tick and missed(state, tick):
        lacks, remedy = missed_because(state, tick, late_after)
        why = f" Its last run failed: {failure}" if failure else f" {remedy}"
        return Freshness(key, "late", f"{lacks[0].upper()}{lacks[1:]}{why}", at)
    since = f" Its run since then failed: {failure}" if failure else ""
    if at is None:
        return Freshness(
            key, "new", f"It came after the last tick; the next one loads it first.{since}"
        )
    if state.held:
        return Freshness(key, "held" if state.waits else "kept", f"{state.held}{since}", at)
    return Freshness(key, "fresh", f"Refreshed at {at:%Y-%m-%d %H:%M} UTC.{since}", at)


def freshness_of_load(key: str, status: Status, reason: str, at: dt.datetime) -> Freshness:
    """Return what is to be said of a key that was refreshed at a moment, and how that went."""
    match status:
        case "held" | "kept":
            return Freshness(key, status, reason, at)
        case _:
            return Freshness(key, "fresh", f"Refreshed at {at:%Y-%m-%d %H:%M} UTC.", at)


def not_due(campaign: Campaign, at: dt.datetime) -> Freshness:
    """Return what is to be said of a key that is not due at a moment, with a time zone."""
    if at < campaign.starts_at:
        said = f"Its season begins on {campaign.start}."
    elif at >= campaign.ends_before:
        said = f"Its season ended on {campaign.end}; it is refreshed no more."
    elif campaign.paused:
        said = "It is paused."
    else:
        said = "The calendar has an entry for this date, and it is not in it."
    return Freshness(campaign.key, "not due", f"Not due. {said}")
