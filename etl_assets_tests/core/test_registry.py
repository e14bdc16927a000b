"""A registry read wrongly refreshes wrong keys or, worse, drops partitions and slices."""

import datetime as dt

import pytest

from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError, PermanentError
from etl_assets.core.registry import Registry, parse_campaigns, parse_entries

DATASETS = ["sales", "returns"]


def campaigns(*items: str) -> Registry:
    text = "campaigns:\n" + "".join(f"  - {{{item}}}\n" for item in items)
    read, problems = parse_campaigns(Document(text, "campaigns.yaml"), DATASETS)
    return Registry(campaigns=read, problems=problems)


def with_calendar(registry: Registry, text: str) -> Registry:
    entries = parse_entries(Document(text, "calendar.yaml"), registry.keys)
    return Registry(registry.campaigns, entries, problems=registry.problems)


SPRING = "key: SP17, start: 2017-03-01, end: 2017-05-31"
SUMMER = "key: SU17, start: 2017-05-15, end: 2017-08-31"
DAY = dt.date(2017, 5, 20)


def test_a_day_needs_every_campaign_whose_season_covers_it() -> None:
    registry = campaigns(SUMMER, SPRING)
    assert registry.due_on(dt.date(2017, 5, 14)) == ["SP17"]
    assert registry.due_on(DAY) == ["SP17", "SU17"]
    assert registry.due_on(dt.date(2017, 6, 1)) == ["SU17"]
    assert registry.due_on(dt.date(2018, 1, 1)) == []


def test_a_paused_campaign_is_due_only_by_an_explicit_entry() -> None:
    registry = campaigns(f"{SPRING}, paused: true", SUMMER)
    assert registry.due_on(DAY) == ["SU17"]
    assert with_calendar(registry, "calendar: {2017-05-20: [SP17]}").due_on(DAY) == ["SP17"]


def test_an_explicit_entry_wins_over_the_seasons_and_an_empty_one_means_nothing() -> None:
    registry = with_calendar(
        campaigns(SPRING, SUMMER), "calendar:\n  2017-05-20: []\n  2017-12-24: [SU17, SP17, SU17]\n"
    )
    assert registry.due_on(DAY) == []
    assert registry.due_on(dt.date(2017, 5, 21)) == ["SP17", "SU17"]
    assert registry.due_on(dt.date(2017, 12, 24)) == ["SP17", "SU17"]
    assert registry.due_at(dt.datetime(2017, 5, 20, 3, tzinfo=dt.UTC)) == []


def test_an_instant_needs_the_seasons_that_cover_it_in_their_own_zones() -> None:
    registry = campaigns(
        "key: TOKYO, start: 2017-05-20, end: 2017-05-20, time_zone: Asia/Tokyo",
        "key: HAWAII, start: 2017-05-20, end: 2017-05-20, time_zone: Pacific/Honolulu",
        "key: UTC, start: 2017-05-20, end: 2017-05-20",
    )
    due = {
        hour: registry.due_at(dt.datetime(2017, 5, 19, tzinfo=dt.UTC) + dt.timedelta(hours=hour))
        for hour in (14, 15, 24, 34, 39, 48, 57, 58)
    }
    assert due == {
        14: [], 15: ["TOKYO"], 24: ["TOKYO", "UTC"], 34: ["HAWAII", "TOKYO", "UTC"], 39: ["HAWAII", "UTC"],
        48: ["HAWAII"], 57: ["HAWAII"], 58: [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("strat: 2017-03-01, start: 2017-03-01, end: 2017-05-31", "did you mean `start`"),
        ("start: 2017-02-30, end: 2017-05-31", "`start`: is not a date that exists"),
        ("start: 2017-03-01, end: 2017-02-01", "is before `start`"),
        ("start: 2017-03-01", "`end` is missing"),
        ("start: 2017-03-01, end: 2017-05-31, time_zone: CEST2", "IANA"),
        ("start: 2017-03-01, end: 2017-05-31, datasets: [sale]", "did you mean `sales`"),
        ("start: 2017-03-01, end: 2017-05-31, parameters: {limit: [1]}", "parameters"),
        ("start: 2017-03-01, end: 2017-05-31, 1: 2", "`1`"),
        ("start: 2017-06-01, end: 2017-06-02, compared_with: BAD", "is the campaign itself"),
        ("start: 2017-06-01, end: 2017-06-02, compared_with: SP71", "did you mean `SP17`"),
        ("start: 2017-06-01, end: 2017-06-02, compared_with: sp17", "no campaign has the key sp17"),
        (
            "start: 2017-03-01, end: 2017-06-02, compared_with: SP17",
            "`compared_with`: the season of SP17 begins on 2017-03-01, which is not before 2017-03-01",
        ),
        (
            "start: 2017-06-01, end: 2017-06-02, compared_with: 'a b'",
            "`compared_with`: 'a b' is not a campaign key",
        ),
    ],
)
def test_a_bad_campaign_stops_only_itself_and_names_line_and_field(item: str, problem: str) -> None:
    registry = campaigns(SPRING, f"key: BAD, {item}", SUMMER)
    assert sorted(registry.campaigns) == ["SP17", "SU17"]
    assert registry.keys == ["BAD", "SP17", "SU17"]
    assert "line 3" in registry.problems["BAD"]
    assert problem in registry.problems["BAD"]
    assert registry.due_on(DAY) == ["SP17", "SU17"]
    with pytest.raises(PermanentError, match="Campaign BAD cannot be refreshed"):
        registry.campaign("BAD")


def test_a_campaign_may_be_compared_with_one_that_has_a_problem_of_its_own() -> None:
    """One bad entry stops one key."""
    registry = campaigns(
        f"{SUMMER}, compared_with: BAD", "key: BAD, start: never, end: 2017-05-31", SPRING
    )
    assert registry.campaign("SU17").compared_with == "BAD"


def test_a_key_that_is_not_there_is_an_error_with_the_next_action() -> None:
    with pytest.raises(PermanentError, match="Campaign XX is not in the registry"):
        campaigns(SPRING).campaign("XX")


@pytest.mark.parametrize("again", ["SP17", "sp17", "Sp17"])
def test_the_same_key_twice_is_refused_in_any_case_with_both_lines(again: str) -> None:
    """Two folders that differ by case are one on some file systems."""
    with pytest.raises(DocumentError, match=r"line 3: `key`: .* is already on line 2"):
        campaigns(SPRING, f"key: {again}, start: 2017-03-01, end: 2017-05-31")


@pytest.mark.parametrize("key", ["'../x'", "'a/b'", '"A\\n"', "'1A'", "null", "17", "[a]", "true"])
def test_a_key_that_is_none_refuses_the_document(key: str) -> None:
    with pytest.raises(DocumentError, match=r"line 2: .*`key`"):
        campaigns(f"key: {key}, start: 2017-03-01, end: 2017-05-31")


@pytest.mark.parametrize(
    "text",
    [
        "", "# nothing but a comment\n", "[]", "text", "campaigns: {}", "campaigns: 7",
        "campaign: []", "campaigns: []\nother: 1", "campaigns: [SP17]", "campaigns: &a [*a]",
        "campaigns: [", "a: b: c", "campaigns: []\n---\ncampaigns: []", "campaigns: [\x00]", "[" * 1500,
    ],
)  # fmt: skip
def test_a_document_that_is_no_list_of_campaigns_is_an_error_and_never_no_keys(text: str) -> None:
    """A file cut short by a crash of its editor read as: there are no campaigns."""
    with pytest.raises(DocumentError, match=r"campaigns\.yaml is not valid"):
        parse_campaigns(Document(text, "campaigns.yaml"), DATASETS)


def test_an_empty_list_of_campaigns_is_taken_at_its_word() -> None:
    assert parse_campaigns(Document("campaigns: []", "campaigns.yaml"), DATASETS) == ({}, {})


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("2017-02-30: []", "2017-02-30 is not a date that exists"),
        ("20170520: [SP17]", "is not a date that exists"),
        ("2017-05-20: SP17", "needs a list of keys"),
        ("2017-05-20:", "needs a list of keys"),
        ("2017-05-20: [SP71]", "no campaign has the key SP71; did you mean `SP17`"),
        ("2017-05-20: [sp17]", "no campaign has the key sp17"),
        ("2017-05-20: [{key: SP17}]", "no campaign has the key"),
        ("2017-05-20: [[SP17]]", "no campaign has the key"),
        ("2017-05-20: []\n  2017-05-20: [SP17]", "`2017-05-20` is written twice"),
        ("2017-05-20: []\n  '2017-05-20': [SP17]", "`2017-05-20` is written twice"),
    ],
)
def test_a_bad_calendar_entry_is_refused_with_its_line(entry: str, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        with_calendar(campaigns(SPRING), f"calendar:\n  {entry}\n")
    assert problem in str(caught.value)
    assert "line " in str(caught.value)


def test_an_entry_may_name_a_campaign_that_has_a_problem() -> None:
    registry = campaigns(SPRING, "key: BAD, start: never, end: 2017-05-31")
    assert with_calendar(registry, "calendar: {2017-05-20: [BAD]}").due_on(DAY) == ["BAD"]
