"""`etl-assets health`: which campaigns that are due have failed or are late."""

import datetime as dt
import sys

import click

from etl_assets.display.health import health_document, health_table
from etl_assets.display.stores import out, say
from etl_assets.settings import Settings


@click.command()
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def health(*, json_: bool) -> None:
    """Say which campaigns that are due have failed or are late; exit with 1 when one is.

    It is what the asset check `no_key_is_failed_or_late` says, for every key and not only the
    first ones. Neither source nor warehouse is asked.
    """
    from etl_assets.display.tables import print_json
    from etl_assets.health import look
    from etl_assets.home import open_instance

    settings = Settings.from_environment()
    registry = settings.open_registry().read()
    with open_instance(settings) as instance:
        found = look(settings, registry, instance, dt.datetime.now(dt.UTC))
    problems = [problem for one in found for problem in one.problems]
    if json_:
        print_json(out, health_document(found))
    else:
        if problems:
            out.print(health_table(found))
            say("")
        for one in found:
            say(one.summary)
    if problems:
        sys.exit(1)
