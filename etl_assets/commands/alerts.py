"""`etl-assets alerts`: the channels that problems are told by."""

import sys

import click

from etl_assets.display.stores import out, say
from etl_assets.settings import Settings


@click.group()
def alerts() -> None:
    """Look after the channels that problems are told by."""


@alerts.command()
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def test(*, json_: bool) -> None:
    """Send a test message by each channel that is configured; exit with 1 when one fails."""
    from etl_assets.core.alerts import TEST
    from etl_assets.core.errors import EtlError
    from etl_assets.display.tables import print_json

    channels = Settings.from_environment().open_alerts()
    rows = []
    for channel in channels:
        error = ""
        try:
            channel.send(TEST)
        except EtlError as caught:
            error = str(caught)
        rows.append({"channel": channel.name, "where": channel.where, "error": error})
    if json_:
        print_json(out, rows)
    else:
        for row in rows:
            said = f"not sent. {row['error']}" if row["error"] else "sent."
            say(f"{row['channel']} ({row['where']}): {said}")
        if not rows:
            say("No channel is configured; set one of the ETL_ASSETS_ALERT_… variables.")
    if any(row["error"] for row in rows):
        sys.exit(1)
