"""The small pictures in the UI.

At risk: a bar on the wrong day, and a picture that the UI hides because it is too long.
"""

import base64
import datetime as dt
import re
import xml.etree.ElementTree as ET

from etl_assets.core.pictures import Season, records_per_day, timeline

SHOWN_AT_ONCE = 1_000
"""Characters of Markdown that Dagster's UI shows without a click."""

FIRST = dt.date(2017, 11, 1)


def svg(markdown: str) -> ET.Element:
    found = re.fullmatch(
        r"!\[[\w ]+\]\(data:image/svg\+xml;base64,([\w+/=]+)\)\n\n.+", markdown, re.DOTALL
    )
    assert found
    return ET.fromstring(base64.b64decode(found[1]))  # noqa: S314  (our own)


def heights(markdown: str) -> list[int]:
    """Return the height of each bar."""
    (path,) = svg(markdown)
    level, found = 0, []
    for command, number in re.findall(r"([vh])(-?\d+)", path.attrib["d"]):
        level -= int(number) if command == "v" else 0
        found += [level] if command == "h" else []
    return found


def test_each_day_of_the_season_has_its_bar() -> None:
    days = {"2017-11-01": 100, "2017-11-03": 50, "2017-11-04": 1}
    shown = records_per_day(days, FIRST, FIRST + dt.timedelta(4))
    assert heights(shown) == [40, 0, 20, 1, 0]
    assert shown.endswith(
        "\n\n151 records on 3 of the 5 days 2017-11-01 to 2017-11-05; most on 2017-11-01: 100"
    )


def test_days_outside_the_season_are_shown_too() -> None:
    shown = records_per_day({"2017-10-31": 1, "2017-11-03": 1}, FIRST, FIRST)
    assert heights(shown) == [40, 0, 0, 40]


def test_a_long_season_has_bars_of_several_days_and_is_shown_at_once() -> None:
    for length in (1, 57, 90, 91, 162, 400):
        days = [FIRST + dt.timedelta(n) for n in range(length)]
        counted = {day.isoformat(): 1_000 + 317 * n % 4_001 for n, day in enumerate(days)}
        shown = records_per_day(counted, days[0], days[-1])
        assert len(shown) < SHOWN_AT_ONCE, length
        assert len(heights(shown)) <= 90
        assert ("a bar is" in shown) == (length > 90)


def test_a_timeline_has_a_bar_for_each_season_and_says_it() -> None:
    seasons = [
        Season("SU17", dt.date(2017, 5, 15), dt.date(2017, 8, 31)),
        Season("SP17", dt.date(2017, 3, 1), dt.date(2017, 5, 31), marked=True),
    ]
    shown = timeline(seasons)
    marked, other = sorted((path.attrib["d"] for path in svg(shown)), key=len)
    assert (marked, other) == ("M0 0h92v5h-92z", "M75 8h109v5h-109z")
    assert shown.endswith("SP17 2017-03-01 to 2017-05-31; SU17 2017-05-15 to 2017-08-31")
