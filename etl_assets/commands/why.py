"""`etl-assets why`: what made one cell of a table."""

import click

from etl_assets.display.stores import out, say
from etl_assets.settings import Settings


@click.command()
@click.option("--key", required=True, help="The campaign.")
@click.option(
    "--id", "record_id", required=True, metavar="ID",
    help="The record's primary key: its value, or NAME=VALUE,NAME=VALUE.",
)  # fmt: skip
@click.option("--column", required=True, help="The column of the table.")
@click.option("--dataset", help="The dataset; need not be said where there is one.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def why(*, key: str, record_id: str, column: str, dataset: str | None, json_: bool) -> None:
    """Say why a cell is as it is: its source, each rule that touched it, and its load.

    The rules of the campaign's current load run again over the extract it was made from;
    neither the source nor the table is read.
    """
    from etl_assets.display.tables import print_json
    from etl_assets.display.why import why_document, why_text
    from etl_assets.why.why import choose_dataset
    from etl_assets.why.why import why as explain

    settings = Settings.from_environment()
    warehouse, staging = settings.open_warehouse(), settings.open_staging()
    name = choose_dataset(settings.datasets, dataset, key, column, warehouse, staging)
    found = explain(
        settings.datasets, name, settings.open_registry(), staging, warehouse,
        key=key, record_id=record_id, column=column,
    )  # fmt: skip
    if json_:
        print_json(out, why_document(found))
    else:
        for line in why_text(found):
            say(line)
