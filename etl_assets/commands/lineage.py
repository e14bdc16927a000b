"""`etl-assets lineage`: where a column comes from, and what is made of it."""

from pathlib import Path

import click

from etl_assets.display.stores import err, out, say
from etl_assets.settings import Settings


@click.command()
@click.argument("target", metavar="TARGET")
@click.option("--dataset", help="Only in this dataset.")
@click.option("--key", help="With the rules of this campaign; of all campaigns unless given.")
@click.option("--up", is_flag=True, help="Only where it comes from.")
@click.option("--down", is_flag=True, help="Only what is made of it: what breaks if it changes.")
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page of both ways."
)
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def lineage(
    target: str,
    *,
    dataset: str | None,
    key: str | None,
    up: bool,
    down: bool,
    html: Path | None,
    json_: bool,
) -> None:
    """Show where a column comes from, through every rule, and what breaks if it changes.

    TARGET is a column, `table.column` of the warehouse, `table.column` of the source,
    `dataset.column`, a whole table, a reader, or the id of a rule. Where one name means several,
    write its kind before it: `source/sales.amount`, `extract/sales.amount`. No record is read.
    """
    from etl_assets.core.lineage.search import also, find
    from etl_assets.core.lineage.story import story
    from etl_assets.display.lineage import lineage_document, story_view, write_lineage
    from etl_assets.display.tables import print_json
    from etl_assets.lineage_graph import read_graph

    settings = Settings.from_environment()
    graph = read_graph(settings, key)
    found = find(graph, settings.datasets, target, dataset)
    stories = [story(graph, node) for node in found]
    if html:
        write_lineage(html, target, stories, graph)
        say(f"The page is {html}.", err)
    if json_:
        print_json(out, lineage_document(stories, graph))
        return
    if html is None:
        for number, one in enumerate(stories):
            if number:
                say("")
            for part in story_view(one, up=up or not down, down=down or not up):
                out.print(part, highlight=False, soft_wrap=True)
    if others := also(graph, target, found):
        say(f"Of this name are {', '.join(others)}, too.", err)
    for note in graph.notes:
        say(f"Not known: {note}", err)
