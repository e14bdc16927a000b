"""`etl-assets feeds`: what is delivered to whom, and its delivery."""

import datetime as dt
import sys
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

import click

from etl_assets.core.campaigns import Campaign
from etl_assets.core.errors import EtlError, PermanentError
from etl_assets.core.feeds.feed import Feed
from etl_assets.display.stores import err, out, say
from etl_assets.settings import Settings

_SHOWN = 10


@click.group()
def feeds() -> None:
    """What is delivered to whom: files, or records in tables of other systems."""


@feeds.command("list")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def list_feeds(*, json_: bool) -> None:
    """List the feeds, and what was delivered of each last."""
    from etl_assets.delivery.records import newest_of_scopes
    from etl_assets.display.feeds import feed_rows, feeds_table
    from etl_assets.display.tables import print_json

    settings = Settings.from_environment()
    staging = settings.open_staging()
    last = {name: newest_of_scopes(staging, name) for name in settings.feeds}
    if json_:
        print_json(out, feed_rows(settings.feeds, last))
    elif settings.feeds:
        out.print(feeds_table(settings.feeds, last))
    else:
        say("There is no feed; set ETL_ASSETS_FEEDS to the folder that holds their documents.")


@feeds.command()
@click.argument("names", metavar="[FEED]...", nargs=-1)
@click.option("--key", "keys", multiple=True, help="Only of this campaign; may be repeated.")
@click.option("--force", is_flag=True, help="Deliver also what is there already, or not fresh.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def deliver(*, names: tuple[str, ...], keys: tuple[str, ...], force: bool, json_: bool) -> None:
    """Deliver feeds, all of them unless some are named, from what the tables hold now.

    What is there already is not delivered again. A feed per campaign is delivered for every
    campaign that is loaded, or for those of --key.
    """
    from etl_assets.display.feeds import delivered_line, delivery_row
    from etl_assets.display.tables import print_json
    from etl_assets.feed_runs import deliver_and_report

    settings, failed = Settings.from_environment(), False
    rows: list[dict[str, object]] = []
    with err.status("Delivering …") as status:
        for feed, campaign in _chosen(settings, names, keys):
            scope = campaign.key if campaign else "all"
            status.update(f"Delivering {feed.feed} of {scope} …")
            try:
                done = deliver_and_report(settings, feed.feed, campaign, force=force)
            except EtlError as error:
                failed = True
                say(f"{feed.feed} of {scope}: {error}", err)
                rows.append({"feed": feed.feed, "scope": scope, "status": "failed",
                             "error": str(error)})  # fmt: skip
                continue
            rows.append({"status": done.status, **delivery_row(done.delivery)})
            if not json_:
                say(delivered_line(done))
    if json_:
        print_json(out, rows)
    elif not rows:
        say("No feed is to be delivered: no campaign is loaded.")
    if failed:
        sys.exit(1)


@feeds.command()
@click.argument("name", metavar="FEED")
@click.option("--key", help="Of this campaign, for a feed per campaign.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def preview(*, name: str, key: str | None, json_: bool) -> None:
    """Show the first records that would be delivered now; nothing is delivered."""
    from etl_assets.delivery.opening import open_feed
    from etl_assets.delivery.texts import texts_of
    from etl_assets.display.tables import new_table, print_json

    settings = Settings.from_environment()
    deliverer = open_feed(name, settings)
    if (deliverer.feed.per == "key") != (key is not None):
        raise PermanentError(
            f"The feed {name} is {'per campaign' if key is None else 'one for all campaigns'}.",
            "Give --key." if key is None else "Leave --key out.",
        )
    campaign = settings.open_registry().read().campaign(key) if key else None
    table = deliverer.preview(campaign, _now(settings)).slice(0, _SHOWN)
    texts = [texts_of(column.combine_chunks()).to_pylist() for column in table.columns]
    rows = [dict(zip(table.column_names, row, strict=True)) for row in zip(*texts, strict=True)]
    if json_:
        print_json(out, rows)
        return
    shown = new_table(*table.column_names)
    for row in rows:
        shown.add_row(*("NULL" if value is None else value for value in row.values()))
    out.print(shown)
    say(f"The first {len(rows)} records." if rows else "No record.")


def _chosen(
    settings: Settings, names: Sequence[str], keys: Sequence[str]
) -> Iterator[tuple[Feed, Campaign | None]]:
    """Yield what is to be delivered: each feed, with each campaign where it is per campaign."""
    from etl_assets.delivery.opening import loaded_keys, open_feed

    for name in names:
        open_feed(name, settings)  # refuses what is not there before anything is delivered
    chosen = [settings.feeds[name] for name in names or settings.feeds]
    if keys and names and not any(feed.per == "key" for feed in chosen):
        raise PermanentError(f"{', '.join(names)}: one for all campaigns.", "Leave --key out.")
    registry = settings.open_registry().read()
    for feed in chosen:
        if feed.per == "refresh":
            if not keys:
                yield feed, None
            continue
        there = loaded_keys(feed, settings)
        for key in keys or [k for k in there if k in registry.campaigns]:
            yield feed, registry.campaign(key)


def _now(settings: Settings) -> dt.datetime:
    return dt.datetime.now(ZoneInfo(settings.schedule_time_zone))
