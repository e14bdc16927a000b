"""`etl-assets overlaps`: the records that several campaigns have."""

import click

from etl_assets.core.errors import PermanentError
from etl_assets.display.stores import out, say
from etl_assets.settings import Settings


@click.command()
@click.option("--dataset", help="Only this dataset.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def overlaps(*, dataset: str | None, json_: bool) -> None:
    """Count the records that are in the slices of several campaigns, for every two of them.

    A record is named by the dataset's primary key. Reports over several campaigns that must not
    count one twice read the view <table>_deduplicated.
    """
    from etl_assets.display.overlaps import overlaps_document, overlaps_table, overlaps_text
    from etl_assets.display.tables import print_json

    settings = Settings.from_environment()
    if dataset and dataset not in settings.datasets:
        raise PermanentError(
            f"There is no dataset {dataset}.", f"Choose from {', '.join(settings.datasets)}."
        )
    warehouse = settings.open_warehouse()
    found = {
        name: warehouse.overlaps(each)
        for name, each in settings.datasets.items()
        if dataset in (None, name)
    }
    if json_:
        print_json(out, {name: overlaps_document(counted) for name, counted in found.items()})
        return
    for name, counted in found.items():
        say(f"{name}: {overlaps_text(counted, settings.datasets[name].table)}")
        if counted.pairs:
            out.print(overlaps_table(counted))
