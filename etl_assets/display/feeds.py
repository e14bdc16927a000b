"""How feeds and their deliveries are shown."""

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from etl_assets.core.feeds.delivery import Delivery
from etl_assets.core.feeds.feed import Feed
from etl_assets.delivery.deliver import Delivered
from etl_assets.display.tables import new_table


def feeds_table(feeds: Mapping[str, Feed], last: Mapping[str, Sequence[Delivery]]) -> Table:
    """Return the feeds with what was delivered of each last."""
    table = new_table("feed", "audience", "per", "form")
    table.add_column("destination", overflow="fold")
    table.add_column("delivered (UTC)")
    table.add_column("records", justify="right")
    for name, feed in feeds.items():
        newest = max(last[name], key=lambda one: one.delivered_at, default=None)
        table.add_row(
            name,
            escape(feed.audience),
            feed.per,
            feed.format.kind if feed.format else "table",
            escape(feed.destination.url),
            f"{newest.delivered_at:%Y-%m-%d %H:%M}" if newest else "never",
            f"{newest.records:,}" if newest else "",
        )
    return table


def feed_rows(
    feeds: Mapping[str, Feed], last: Mapping[str, Sequence[Delivery]]
) -> list[dict[str, object]]:
    """Return feeds and deliveries for JSON."""
    return [
        {
            **feed.model_dump(mode="json", by_alias=True),
            "reads": feed.reads,
            "deliveries": [delivery_row(one) for one in last[name]],
        }
        for name, feed in feeds.items()
    ]


def delivery_row(delivery: Delivery) -> dict[str, object]:
    """Return a delivery for JSON."""
    return delivery.model_dump(mode="json")


def delivered_line(done: Delivered) -> str:
    """Return what became of a delivery as a sentence."""
    made = done.delivery
    scope = "" if made.scope == "all" else f" of {made.scope}"
    return (
        f"{made.feed}{scope} {done.status}: {made.records:,} records, {made.bytes:,} bytes,"
        f" {made.uri}"
    )
