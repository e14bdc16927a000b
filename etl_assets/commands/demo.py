"""`etl-assets demo`: the sample, from its raw files to the table."""

import contextlib
import datetime as dt
import sqlite3
import sys
from pathlib import Path

import click
from rich.markup import escape

from etl_assets.display.stores import err, out, say
from etl_assets.settings import Settings


@click.command()
@click.option("--no-refresh", is_flag=True, help="Only build the sample.")
def demo(*, no_refresh: bool) -> None:
    """Build the sample below ETL_ASSETS_HOME and refresh the keys of its busiest day.

    Its transactions are in the source from the beginning; ten raw sources deliver the rest as
    files, which are loaded first.
    """
    from etl_assets.cli import run_refresh
    from etl_assets.demo import sample
    from etl_assets.home import prepare_home

    settings = Settings.from_environment()
    prepare_home(settings)
    database = settings.home / "source.sqlite"
    with err.status("Building the sample: 27 campaigns, 1.47 million transactions …"):
        built = sample.build_source(database, sample.OPERATIONAL)
        sample.build_registry(settings.home / "registry")
    out.print(
        f"The sample {'is built' if built else 'is there already'}: {escape(str(settings.home))}"
    )
    if _has_raw_sources(database):
        _load_inputs(settings)
    if no_refresh:
        return
    day = dt.date.fromisoformat(sample.REFRESH_DAY)
    if run_refresh(settings, day=day, keys=(), force=False, json_=False):
        sys.exit(1)
    out.print("Deliver the sample's feeds with [bold]etl-assets feeds deliver[/].")
    out.print("Open the UI with [bold]make ui[/] (http://127.0.0.1:3000).")


def _has_raw_sources(database: Path) -> bool:
    """Return whether files fill the tables beside the transactions.

    A sample of an earlier release has them without, and keeps them.
    """
    uri = f"{database.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    return "products" not in tables or "etl_assets_inputs" in tables


def _load_inputs(settings: Settings) -> None:
    """Put the files of the raw sources where they arrive, and load what is new."""
    from etl_assets.demo.inputs import write_inputs
    from etl_assets.display.inputs import load_line

    opened = settings.open_inputs()
    with err.status("Writing the files of ten raw sources …"):
        write_inputs(opened.files.staging)
    pending = [file for source in opened.contracts for file in opened.pending(source)]
    for number, file in enumerate(pending, 1):
        with err.status(f"Loading {escape(file.name)} …"):
            row = opened.load(file)
        say(f"[{number}/{len(pending)}] {load_line(row)}", err)
