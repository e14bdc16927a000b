"""`etl-assets calendar`: the seasons, and what is loaded of each campaign."""

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from etl_assets.display.stores import err, out, say
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from etl_assets.core.seasons import Calendar

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--at", type=_DAY, metavar="DATE", help="As on this day, and not now.")
@click.option("--from", "first", type=_DAY, metavar="DATE", help="The first day shown.")
@click.option("--to", "last", type=_DAY, metavar="DATE", help="The last day shown.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def calendar(
    *,
    at: dt.datetime | None,
    first: dt.datetime | None,
    last: dt.datetime | None,
    html: Path | None,
    json_: bool,
) -> None:
    """Show which campaigns are active, upcoming, ended or paused, and what is loaded of each.

    Three months before and after the day are shown, unless said otherwise. A line below the
    seasons counts those that overlap. Exits with 1 when a campaign cannot be used.
    """
    from etl_assets.core.seasons import months_around
    from etl_assets.display.calendar import calendar_document, write_calendar
    from etl_assets.display.tables import print_json
    from etl_assets.home import open_instance
    from etl_assets.seasons import read_calendar

    settings = Settings.from_environment()
    zone = ZoneInfo(settings.schedule_time_zone)
    moment = at.replace(tzinfo=zone) if at else dt.datetime.now(zone)
    begin, end = months_around(moment.date())
    begin, end = first.date() if first else begin, last.date() if last else end
    if end < begin:
        raise click.UsageError(f"--to ({end}) is before --from ({begin}).")
    registry = settings.open_registry().read()
    if at:  # what was refreshed by when is known for now alone
        found = read_calendar(settings, registry, None, moment, begin, end)
    else:
        with open_instance(settings) as instance:
            found = read_calendar(settings, registry, instance, moment, begin, end)
    if html:
        write_calendar(html, found)
        say(f"The page is {html}.", err)
    if json_:
        print_json(out, calendar_document(found))
    elif html is None:
        _print(found)
    if found.problems:
        sys.exit(1)


def _print(found: "Calendar") -> None:
    from etl_assets.display.calendar import seasons_table, sentences, timeline

    for line in timeline(found, out.width):
        out.print(line, highlight=False, no_wrap=True, crop=True)
    say("")
    if found.seasons:
        out.print(seasons_table(found))
    for sentence in sentences(found):
        say(sentence)
    if not found.seasons:
        say("`--at`, `--from` and `--to` show other days.")
