"""`etl-assets runs`: looking after Dagster's history of runs."""

import datetime as dt
import sys

import click

from etl_assets.display.stores import err, old_run_rows, old_runs_table, out, say
from etl_assets.settings import Settings


@click.group()
def runs() -> None:
    """Look after Dagster's history of runs."""


@runs.command()
@click.option(
    "--keep-days", type=click.IntRange(1),
    help="Keep runs that ended so many days ago; ETL_ASSETS_KEEP_RUNS_DAYS unless given.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--json", "json_", is_flag=True, help="Print JSON; removes only with --yes.")
def clean(*, keep_days: int | None, yes: bool, json_: bool) -> None:
    """Show which runs are old, and remove them with their events and logs when told to.

    A run that has not ended stays, and one on which the latest materialization, observation or
    check of a partition rests, and the last one of each campaign. `clean_schedule` does the same
    every day.
    """
    from etl_assets.definitions import build_defs
    from etl_assets.display.tables import print_json
    from etl_assets.home import open_instance
    from etl_assets.run_history import find_old_runs, remove_runs

    settings = Settings.from_environment()
    days = keep_days or settings.keep_runs_days
    checks = build_defs(settings).resolve_asset_graph().asset_check_keys
    with open_instance(settings) as instance:
        found = find_old_runs(instance, checks, now=dt.datetime.now(dt.UTC), keep_days=days)
        if not json_:
            if not found:
                say(f"No run can be removed that ended more than {days} days ago.")
                return
            out.print(old_runs_table(found))
            size = sum(run.bytes for run in found) / (1 << 20)
            say(f"\n{len(found)} runs, {size:,.1f} MiB.")
        asked = yes or (not json_ and sys.stdin.isatty() and click.confirm("Remove them?"))
        removed = found if asked else []
        remove_runs(instance, removed)
    if json_:
        print_json(out, {"found": old_run_rows(found), "removed": old_run_rows(removed)})
    elif removed:
        say(f"{len(removed)} runs removed.")
    else:
        say("Nothing was removed; --yes removes them.", err)
