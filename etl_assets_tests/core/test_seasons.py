"""Where campaigns stand in their seasons, and when each is due next.

At risk: a day that is told wrong at the edge of a season, in another time zone or on a day that
the calendar overrules, so that people wait for a load that does not come.
"""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from etl_assets.core.campaigns import Campaign
from etl_assets.core.manifest import Load
from etl_assets.core.registry import Registry
from etl_assets.core.seasons import (
    Season,
    calendar_of,
    months_around,
    season_of,
    slice_of,
)

SPRING = Campaign(key="SP17", start=dt.date(2017, 3, 1), end=dt.date(2017, 5, 31))
HOURS = (3, 14)


def at(text: str, zone: str = "UTC") -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def tick(moment: dt.datetime) -> dt.datetime:
    """The first of 03:00 and 14:00 UTC that is not before a moment."""
    moment = moment.astimezone(ZoneInfo("UTC"))
    days = (moment.date() + dt.timedelta(days=n) for n in (0, 1))
    every = (dt.datetime.combine(day, dt.time(h), ZoneInfo("UTC")) for day in days for h in HOURS)
    return next(one for one in every if one >= moment)


def season(moment: dt.datetime, campaign: Campaign = SPRING, **entries: list[str]) -> Season:
    registry = Registry(
        campaigns={campaign.key: campaign},
        entries={dt.date.fromisoformat(d[1:].replace("_", "-")): tuple(k)
                 for d, k in entries.items()},
    )  # fmt: skip
    return season_of(campaign, registry, moment, tick)


@pytest.mark.parametrize(
    ("moment", "state", "next_due"),
    [
        ("2017-02-28T23:59", "upcoming", "2017-03-01T03:00"),
        ("2017-03-01T00:00", "active", "2017-03-01T03:00"),
        ("2017-03-01T03:00", "active", "2017-03-01T03:00"),
        ("2017-03-01T03:01", "active", "2017-03-01T14:00"),
        ("2017-05-31T13:00", "active", "2017-05-31T14:00"),
        ("2017-05-31T14:01", "active", None),
        ("2017-06-01T00:00", "ended", None),
    ],
)
def test_a_season_begins_and_ends_with_its_days(
    moment: str, state: str, next_due: str | None
) -> None:
    found = season(at(moment))
    assert (found.state, found.next_due) == (state, at(next_due) if next_due else None)
    assert found.due == (state == "active")


def test_the_days_are_those_of_the_campaigns_own_time_zone() -> None:
    tokyo = SPRING.model_copy(update={"time_zone": "Asia/Tokyo"})
    found = season(at("2017-02-28T15:00"), tokyo)
    assert (found.state, found.next_due) == ("active", at("2017-03-01T03:00"))
    assert season(at("2017-02-28T14:59"), tokyo).state == "upcoming"


def test_a_paused_campaign_is_not_due_until_its_season_ends() -> None:
    paused = SPRING.model_copy(update={"paused": True})
    found = season(at("2017-04-01T00:00"), paused)
    assert (found.state, found.due, found.next_due) == ("paused", False, None)
    assert season(at("2017-06-01T00:00"), paused).state == "ended"


def test_a_date_of_the_calendar_overrules_the_season() -> None:
    without = season(at("2017-04-01T10:00"), _2017_04_01=[])
    assert (without.state, without.due) == ("active", False)
    assert without.next_due == at("2017-04-02T03:00")
    after = season(at("2017-06-01T00:00"), _2017_07_01=["SP17"])
    assert (after.state, after.next_due) == ("ended", at("2017-07-01T03:00"))
    paused = SPRING.model_copy(update={"paused": True})
    assert season(at("2017-03-10T00:00"), paused, _2017_03_20=["SP17"]).next_due == at(
        "2017-03-20T03:00"
    )


def test_a_date_of_the_calendar_whose_ticks_are_over_is_not_due_next() -> None:
    assert season(at("2017-07-01T15:00"), _2017_07_01=["SP17"]).next_due is None


def test_the_months_around_a_day_are_whole() -> None:
    assert months_around(dt.date(2017, 12, 10)) == (dt.date(2017, 9, 1), dt.date(2018, 3, 31))
    assert months_around(dt.date(2017, 1, 31)) == (dt.date(2016, 10, 1), dt.date(2017, 4, 30))


def test_the_calendar_shows_what_is_in_its_days_and_counts_the_rest() -> None:
    days = [("A", 1, 2), ("B", 2, 4), ("C", 4, 5), ("D", 9, 10)]
    seasons = [
        season(at("2017-01-03T00:00"), Campaign(
            key=key, start=dt.date(2017, 1, first), end=dt.date(2017, 1, last)))
        for key, first, last in days
    ]  # fmt: skip
    found = calendar_of(
        seasons, at("2017-01-03T00:00"), at("2017-01-03T00:00"), dt.date(2017, 1, 3), dt.date(2017, 1, 5)
    )  # fmt: skip
    assert [one.campaign.key for one in found.seasons] == ["B", "C"]
    assert (found.before, found.ended, found.after) == (1, dt.date(2017, 1, 2), 1)
    assert found.at_once == [1, 2, 1]


def row(kind: str, number: int, **more: object) -> Load:
    moment = dt.datetime(2017, 4, number, tzinfo=dt.UTC)
    return Load.model_validate({
        "load_id": f"L{number}", "kind": kind, "dataset": "sales", "table": "sales",
        "campaign_key": "SP17", "records": 14, "replaced_records": 0, "source_records": 14,
        "filtered": 0, "rejected": 0, "rule_version": 0, "rules_digest": "", "inputs_digest": "x",
        "extract_id": None, "stage": None, "run_id": None, "proof": "",
        "started_at": moment, "committed_at": moment, **more,
    })  # fmt: skip


def test_a_slice_is_what_the_ledger_says_of_it() -> None:
    load = row("load", 1, stage="a")
    assert slice_of("sales", [load], None).load == load
    waiting = row("hold", 2, stage="b", reason="it shrinks")
    held = slice_of("sales", [waiting, load], None)
    assert held.load == load
    assert "held for approval: it shrinks" in held.held
    kept = slice_of("sales", [row("hold", 3, made_by="anna"), load], None)
    assert "on hold since 2017-04-03" in kept.held
    assert slice_of("sales", [], None).load is None
