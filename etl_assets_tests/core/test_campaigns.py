"""A wrong season bound loads a day too much or too little; a wrong key escapes its folder."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from etl_assets.core.campaigns import Campaign, Scalar, check_key


def campaign(
    start: str = "2017-03-01",
    end: str = "2017-05-31",
    zone: str = "UTC",
    parameters: dict[str, Scalar] | None = None,
) -> Campaign:
    return Campaign(
        key="MCS2017",
        start=start,
        end=end,
        time_zone=zone,
        parameters=parameters or {},
    )


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def test_a_season_contains_its_last_day_whole_and_nothing_after_it() -> None:
    spring = campaign()
    assert spring.covers_instant(utc("2017-03-01T00:00:00"))
    assert not spring.covers_instant(utc("2017-02-28T23:59:59.999999"))
    assert spring.covers_instant(utc("2017-05-31T23:59:59.999999"))
    assert not spring.covers_instant(utc("2017-06-01T00:00:00"))
    assert [spring.covers(dt.date(2017, *day)) for day in [(2, 28), (3, 1), (5, 31), (6, 1)]] == [
        False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "starts_at", "ends_before"),
    [
        ("UTC", "2017-03-01 00:00:00", "2017-06-01 00:00:00"),
        ("America/New_York", "2017-03-01 05:00:00", "2017-06-01 04:00:00"),  # DST in between
        ("Europe/Berlin", "2017-02-28 23:00:00", "2017-05-31 22:00:00"),
        ("Asia/Kolkata", "2017-02-28 18:30:00", "2017-05-31 18:30:00"),
        ("Pacific/Kiritimati", "2017-02-28 10:00:00", "2017-05-31 10:00:00"),
    ],
)
def test_a_season_counts_the_days_of_its_own_time_zone(
    zone: str, starts_at: str, ends_before: str
) -> None:
    bindings = campaign(zone=zone).bindings()
    assert (bindings["starts_at"], bindings["ends_before"]) == (starts_at, ends_before)
    assert (bindings["start"], bindings["end"]) == ("2017-03-01", "2017-05-31")


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2017-03-26", 23),
        ("Europe/Berlin", "2017-10-29", 25),
        ("America/Sao_Paulo", "2017-10-15", 23),  # 00:00 does not exist
        ("America/Sao_Paulo", "2018-02-17", 25),  # 23:00 is there twice
        ("Atlantic/Azores", "2017-10-29", 25),  # 00:00 is there twice
        ("Asia/Beirut", "2017-03-26", 23),  # 00:00 does not exist
        ("Pacific/Apia", "2011-12-30", 0),  # the day does not exist
    ],
)
def test_a_day_on_which_clocks_move_is_covered_whole(zone: str, day: str, hours: int) -> None:
    short = campaign(day, day, zone)
    assert short.ends_before - short.starts_at == dt.timedelta(hours=hours)


@given(
    day=st.dates(dt.date(1975, 1, 1), dt.date(2037, 1, 1)),
    zone=st.sampled_from(
        ["UTC", "America/Sao_Paulo", "Atlantic/Azores", "Africa/Cairo", "Australia/Lord_Howe"]
    ),
)
def test_neighbouring_seasons_leave_no_gap_and_share_no_instant(day: dt.date, zone: str) -> None:
    following = day + dt.timedelta(days=1)
    first = campaign(day.isoformat(), day.isoformat(), zone)
    second = campaign(following.isoformat(), following.isoformat(), zone)
    assert first.ends_before == second.starts_at
    assert first.starts_at < first.ends_before


@pytest.mark.parametrize("key", ["A", "MCS2017", "CJ-01_b", "a" * 64])
def test_a_key_is_a_letter_then_letters_digits_and_two_signs(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "", "1A", "-A", "_A", "A B", "A/B", "A\\B", "..", "A..B", ".A", "A'B", 'A"B', "A;B", "A%B",
        "A\n", "\nA", "A\0", "A٣", "É", "A\u200b", "a" * 65, "a" * 200,
    ],
)  # fmt: skip
def test_a_key_that_could_leave_its_folder_or_literal_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not a campaign key"):
        check_key(key)


@given(st.text())
def test_an_accepted_key_holds_nothing_but_the_grammar(key: str) -> None:
    try:
        check_key(key)
    except ValueError:
        return
    assert key.isascii()
    assert key[0].isalpha()
    assert 0 < len(key) <= 64
    assert key.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "written",
    ["2017-02-30", "2017-13-01", "20170301", "2017-W10-3", "17-03-01", "2017-3-1", "soon", ""],
)
def test_a_date_that_does_not_exist_is_refused_with_its_field(written: str) -> None:
    with pytest.raises(ValidationError, match=r"(?s)start\n.*is not a date that exists"):
        campaign(start=written)


def test_a_season_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValidationError, match="is before `start`"):
        campaign("2017-05-31", "2017-05-30")
    assert campaign("2017-05-31", "2017-05-31").covers(dt.date(2017, 5, 31))


@pytest.mark.parametrize("end", ["9999-12-31", "9999-01-01"])
def test_an_end_whose_next_day_no_clock_can_show_is_refused(end: str) -> None:
    """A season to the end of time stopped the calendar for every other campaign."""
    with pytest.raises(ValidationError, match="is not a day from 1900-01-01 to 9998-12-31"):
        campaign(end=end)
    assert campaign(end="9998-12-31", zone="Etc/GMT+12").ends_before.year == 9999
    assert campaign(start="1900-01-01", zone="Etc/GMT-14").bindings()["starts_at"]


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "Europe", "UTC\0", "\ud800"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValidationError, match="time_zone"):
        campaign(zone=zone)


@pytest.mark.parametrize(
    "name", ["start", "campaign_key", "ends_before", "A", "1a", "a-b", "", "ü"]
)
def test_a_parameter_cannot_take_a_name_of_the_season_or_break_the_grammar(name: str) -> None:
    with pytest.raises(ValidationError, match="cannot name a parameter"):
        campaign(parameters={name: 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**63, -(2**70)])
def test_a_parameter_that_no_query_can_bind_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="is not a number that a query can bind"):
        campaign(parameters={"limit": value})


def test_a_parameter_keeps_its_type() -> None:
    values: dict[str, Scalar] = {
        "a": 1,
        "b": "1",
        "c": 1.5,
        "d": True,
        "e": None,
        "f": "2017-01-01",
    }
    bound = campaign(parameters=values).bindings()
    assert {name: bound[name] for name in values} == values
    assert bound["d"] is True


def test_a_campaign_takes_part_in_all_datasets_unless_it_lists_some() -> None:
    assert campaign().takes_part_in("sales")
    listed = campaign().model_copy(update={"datasets": ("sales",)})
    assert listed.takes_part_in("sales")
    assert not listed.takes_part_in("returns")
    assert not campaign().model_copy(update={"datasets": ()}).takes_part_in("sales")
