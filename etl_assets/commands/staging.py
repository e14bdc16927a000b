"""`etl-assets staging`: what lies in the staging store, and removing what no load needs."""

import datetime as dt
import sys

import click

from etl_assets.display.stores import err, out, removal_rows, removals_table, say
from etl_assets.settings import Settings


@click.group()
def staging() -> None:
    """Look after the staging store."""


@staging.command()
@click.option(
    "--keep-loads", type=click.IntRange(1),
    help="Of each key, keep what its newest so many loads and rollbacks were made from; what the"
    " dataset's document says unless given.",
)  # fmt: skip
@click.option(
    "--keep-days", type=click.IntRange(1),
    help="Keep everything younger; what the dataset's document says unless given.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--json", "json_", is_flag=True, help="Print JSON; removes only with --yes.")
def clean(*, keep_loads: int | None, keep_days: int | None, yes: bool, json_: bool) -> None:
    """Show which extracts and stages no kept load needs, and remove them when told to.

    What the current load of a key needs stays, what waits for approval, and everything younger
    than a day. A key the ledger knows nothing of is left alone. `clean_schedule` does the same
    every day.
    """
    from etl_assets.cleaning import find_removals, remove
    from etl_assets.core.retention import Removal
    from etl_assets.display.tables import print_json

    settings = Settings.from_environment()
    store, warehouse = settings.open_staging(), settings.open_warehouse()

    def find() -> list[Removal]:
        return find_removals(
            store, warehouse, now=dt.datetime.now(dt.UTC), datasets=settings.datasets,
            keep_loads=keep_loads, keep_days=keep_days,
        )  # fmt: skip

    found = find()
    if not json_:
        if not found:
            say("Nothing can be removed.")
            return
        out.print(removals_table(found))
        size = sum(removal.folder.bytes for removal in found) / (1 << 20)
        say(f"\n{len(found)} folders, {size:,.1f} MiB.")
    removed: list[Removal] = []
    if found and (yes or (not json_ and sys.stdin.isatty() and click.confirm("Remove them?"))):
        removed = remove(store, found, find())
    if json_:
        print_json(out, {"found": removal_rows(found), "removed": removal_rows(removed)})
    elif removed:
        say(f"{len(removed)} folders removed.")
    else:
        say("Nothing was removed; --yes removes them.", err)
