"""What is said of each key, whether or not its deadline has passed.

At risk: a key that stays behind and is green, and one that is red when all is well.
"""

import datetime as dt

import pytest

from etl_assets.core.campaigns import Campaign
from etl_assets.core.freshness import Freshness, freshness_of, freshness_of_load, not_due
from etl_assets.core.health import KeyState

TICK = dt.datetime(2026, 3, 1, 3, tzinfo=dt.UTC)
BEFORE, AFTER = TICK - dt.timedelta(minutes=1), TICK + dt.timedelta(minutes=5)
CAMPAIGN = Campaign(key="SP17", start=dt.date(2026, 3, 1), end=dt.date(2026, 5, 31))


def said(state: KeyState, *, due: bool = True) -> Freshness:
    return freshness_of(
        state,
        tick=TICK,
        due_at_tick={state.key} if due else set(),
        late_after=dt.timedelta(minutes=60),
    )


@pytest.mark.parametrize("at", [TICK, AFTER])
def test_a_key_loaded_or_found_unchanged_since_the_tick_is_fresh(at: dt.datetime) -> None:
    one = said(KeyState("SP17", refreshed_at=at))
    assert (one.kind, one.passed) == ("fresh", True)
    assert one.said == f"Refreshed at {at:%Y-%m-%d %H:%M} UTC."


def test_a_key_that_missed_its_deadline_is_late_and_says_what_to_do() -> None:
    one = said(KeyState("SP17", refreshed_at=BEFORE))
    assert (one.kind, one.passed, one.is_error) == ("late", False, True)
    assert one.said == (
        "It was last refreshed at 2026-03-01 02:59 UTC, and the tick of 2026-03-01 03:00 UTC is"
        " over 60 minutes ago. Run `etl-assets refresh --key SP17`, and see that daemon and"
        " schedule are running."
    )


def test_a_late_key_whose_run_failed_says_why_in_place_of_advice() -> None:
    one = said(KeyState("SP17", refreshed_at=BEFORE, failure="The source is gone.", remedy="Call."))
    assert one.kind == "late"
    assert one.said.endswith("ago. Its last run failed: The source is gone. Call.")


def test_a_fresh_key_whose_later_run_failed_stays_fresh_and_tells_of_it() -> None:
    one = said(KeyState("SP17", refreshed_at=AFTER, failure="The source is gone."))
    assert one.kind == "fresh"
    assert one.said.endswith("Its run since then failed: The source is gone.")


@pytest.mark.parametrize(("waits", "kind"), [(True, "held"), (False, "kept")])
def test_a_load_that_is_held_back_by_the_deadline_is_a_warning_with_its_reason(
    *, waits: bool, kind: str
) -> None:
    one = said(KeyState("SP17", refreshed_at=AFTER, held="It waits.", waits=waits))
    assert (one.kind, one.passed, one.is_error, one.said) == (kind, False, False, "It waits.")


def test_a_load_that_was_held_before_the_tick_and_not_tried_since_is_late() -> None:
    assert said(KeyState("SP17", refreshed_at=BEFORE, held="It waits.", waits=True)).kind == "late"


def test_a_key_that_came_since_the_tick_is_new() -> None:
    assert said(KeyState("SP17", changed_at=AFTER)).kind == "new"
    assert said(KeyState("SP17"), due=False).passed


def test_a_campaign_that_cannot_be_read_is_an_error_whenever_it_was_refreshed() -> None:
    one = said(KeyState("SP17", AFTER, failure="It cannot be read.", unusable=True), due=False)
    assert (one.kind, one.is_error, one.said) == ("unusable", True, "It cannot be read.")


@pytest.mark.parametrize(
    ("campaign", "at", "why"),
    [
        (CAMPAIGN, dt.datetime(2026, 2, 28, 23, 59, tzinfo=dt.UTC), "begins on 2026-03-01."),
        (CAMPAIGN, dt.datetime(2026, 6, 1, tzinfo=dt.UTC), "ended on 2026-05-31; it"),
        (CAMPAIGN.model_copy(update={"paused": True}), TICK, "It is paused."),
        (CAMPAIGN, TICK, "The calendar has an entry for this date"),
    ],
)
def test_a_key_that_is_not_due_passes_and_says_why(
    campaign: Campaign, at: dt.datetime, why: str
) -> None:
    one = not_due(campaign, at)
    assert (one.kind, one.passed) == ("not due", True)
    assert why in one.said


def test_what_a_load_says_of_its_key_is_what_became_of_it() -> None:
    assert freshness_of_load("SP17", "loaded", "", TICK).kind == "fresh"
    assert freshness_of_load("SP17", "unchanged", "", TICK).passed
    held = freshness_of_load("SP17", "held", "It waits.", TICK)
    assert (held.kind, held.said, held.passed) == ("held", "It waits.", False)
    assert freshness_of_load("SP17", "kept", "Anna keeps it.", TICK).kind == "kept"
