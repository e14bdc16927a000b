"""`etl-assets calendar`, as its users run it.

At risk: people who plan by it, and a page that some cannot read.
"""

import datetime as dt
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from etl_assets.core.seasons import Calendar
from etl_assets.display.calendar import seasons_table, timeline, write_calendar
from etl_assets.home import open_instance, prepare_home
from etl_assets.seasons import read_calendar
from etl_assets.settings import Settings
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.dagster_fixtures import load
from etl_assets_tests.small import CAMPAIGNS, Small

MIDDLE = dt.datetime(2017, 5, 20, tzinfo=dt.UTC)
FIRST, LAST = dt.date(2017, 3, 1), dt.date(2017, 9, 30)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A platform whose campaign SP17 is loaded."""
    small = Small(tmp_path_factory.mktemp("loaded")).build()
    load(small.settings(), "SP17")
    return small


def found(settings: Settings, at: dt.datetime = MIDDLE) -> Calendar:
    return read_calendar(settings, settings.open_registry().read(), None, at, FIRST, LAST)


def printed(part: Any, width: int = 100) -> str:  # noqa: ANN401
    text = io.StringIO()
    console = Console(width=width, file=text)
    for line in part if not hasattr(part, "columns") else [part]:
        console.print(line, no_wrap=not hasattr(part, "columns"), crop=True)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def test_the_timeline_shows_seasons_side_by_side_and_counts_what_overlaps(loaded: Small) -> None:
    assert printed(timeline(found(loaded.settings()), 60), 60).splitlines() == [
        "        2017",
        "        Mar    Apr    May     Jun    Jul     Aug    Sep",
        "                           ▼",
        "SP17    ███████████████████████",
        "SU17                      ███████████████████████████",
        "AU17                       │                        ▒▒▒▒▒▒▒▒",
        "at once 1111111111111111112222211111111111111111111111111111",
        "        █ active   ▒ upcoming   - paused   ━ ended",
    ]


@pytest.mark.parametrize("width", [10, 30, 80, 250])
def test_no_line_of_the_timeline_is_wider_than_the_terminal(loaded: Small, width: int) -> None:
    lines = printed(timeline(found(loaded.settings()), width), width).splitlines()
    assert max(map(len, lines)) <= width


def test_the_table_says_what_is_loaded_and_when_each_is_due_next(loaded: Small) -> None:
    text = printed(seasons_table(found(loaded.settings())), 120)
    (spring,) = [line for line in text.splitlines() if line.startswith("SP17")]
    assert re.search(
        r"active until 2017-05-31 +2017-05-20 03:00 +sales .* 14 +source = table", spring
    )
    (autumn,) = [line for line in text.splitlines() if line.startswith("AU17")]
    assert "from 2017-09-01" in autumn
    assert "2017-09-01 03:00" in autumn


def test_today_a_key_is_told_as_its_check_tells_it(small: Small) -> None:
    small.write_campaigns(CAMPAIGNS.replace("2017-05-31", "2199-05-31"))
    done = CommandLine.of(small).run("calendar", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (spring,) = document["campaigns"]
    assert (spring["key"], spring["state"], spring["due"]) == ("SP17", "active", True)
    (piece,) = spring["datasets"]
    assert piece["is"] == "late"
    assert piece["load"] is None
    assert "nothing of it is loaded" in piece["freshness"]["said"].lower()
    assert document["not_shown"] == {"before": 2, "after": 0}


def test_a_held_load_and_a_campaign_that_cannot_be_used_are_said(small: Small) -> None:
    load(small.settings(), "SP17")
    small.run_sql("DELETE FROM sales")
    load(small.settings(), "SP17")
    small.write_campaigns(CAMPAIGNS.replace("2017-11-30", "2017-01-30"))
    done = CommandLine.of(small).run("calendar", "--at", "2017-05-20")
    assert done.returncode == 1
    assert "SP17 sales: The load is held for approval: it has no record" in done.stdout
    assert "AU17 cannot be used: campaigns.yaml, line 4" in done.stdout
    _, row = [line for line in done.stdout.splitlines() if line.startswith("SP17  ")]
    assert " held " in row


def test_days_without_a_season_say_so_and_how_to_see_others(loaded: Small) -> None:
    done = CommandLine.of(loaded).run(
        "calendar", "--at", "2018-03-01", "--from", "2018-01-01", "--to", "2018-12-31"
    )
    assert "No season is in 2018-01-01 to 2018-12-31." in done.stdout
    assert "Not shown: 3 ended before, the last on 2017-11-30." in done.stdout
    assert "`--at`, `--from` and `--to` show other days." in done.stdout
    wrong = CommandLine.of(loaded).run("calendar", "--from", "2018-01-02", "--to", "2018-01-01")
    assert wrong.returncode == 2
    assert "--to (2018-01-01) is before --from (2018-01-02)." in wrong.stderr


def test_seasons_are_shown_also_when_the_warehouse_does_not_answer(loaded: Small) -> None:
    settings = Settings(
        home=loaded.home,
        datasets_folder=loaded.home / "datasets",
        warehouse_url=f"duckdb:///{loaded.home}/datasets/sales.yaml",
    )
    calendar = found(settings)
    assert len(calendar.seasons) == 3
    (note,) = calendar.notes
    assert note.startswith("The loads are not known: ")


class Page(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_the_page_has_a_table_behind_its_picture_and_needs_nothing_else(
    loaded: Small, tmp_path: Path
) -> None:
    file = tmp_path / "calendar.html"
    write_calendar(file, found(loaded.settings()))
    text = file.read_text(encoding="utf-8")
    page = Page(text)
    assert ("aria-hidden", "true") in page.attributes
    assert {"table", "caption", "main", "h1", "h2"} <= set(page.tags)
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    links = [str(value) for name, value in page.attributes if name in ("src", "href")]
    assert all(link.startswith("#") for link in links), links
    assert text.count('<th scope="row"') == 3
    assert 'class="bar active" style="left: 0.000%; width: 42.991%"' in text
    for words in ("2017-03-01 to", "14 <span", "source = table", "as many as 2 seasons"):
        assert words in text


def test_what_a_campaign_is_called_cannot_break_the_page(small: Small, tmp_path: Path) -> None:
    small.write_campaigns(CAMPAIGNS.replace("name: Spring", "name: '<script>alert(1)</script>'"))
    file = tmp_path / "calendar.html"
    write_calendar(file, found(small.settings()))
    assert "<script>" not in file.read_text(encoding="utf-8")


def test_the_checks_of_now_are_asked_of_the_instance(loaded: Small) -> None:
    settings = loaded.settings()
    prepare_home(settings)
    with open_instance(settings) as instance:
        calendar = read_calendar(
            settings, settings.open_registry().read(), instance, MIDDLE, FIRST, LAST
        )
    kinds = {one.campaign.key: one.slices[0].freshness for one in calendar.seasons}
    assert {key: fresh.kind for key, fresh in kinds.items() if fresh} == dict.fromkeys(
        ("SP17", "SU17", "AU17"), "not due"
    )
