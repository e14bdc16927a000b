"""The columns of the views beside a table, and of those who read them."""

from collections.abc import Iterator, Sequence

from etl_assets.core.datasets import Dataset
from etl_assets.core.lineage.graph import RECORDS, Edge, Kind, Node
from etl_assets.core.lineage.rules import CAMPAIGNS
from etl_assets.core.reporting import DAY_COLUMNS, Reporting
from etl_assets.core.reporting_views import (
    BY_CAMPAIGN,
    DEDUPLICATED,
    view_name,
)
from etl_assets.core.rules.expressions import nearest

_KEY = "campaign_key"
_OF_CAMPAIGNS = {
    "campaign_name": ("name",),
    "compared_name": ("name", "compared_with"),
    "compared_with": ("compared_with",),
    "compared_day": ("start", "compared_with"),
    "day": ("start",),
    "day_number": ("start",),
}
"""Columns of views over days that are made of what the registry says of a campaign."""


def view_columns(dataset: Dataset, columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of each kind of view of a table with these columns."""
    found = {BY_CAMPAIGN: list(columns)}
    if set(dataset.primary_key) <= set(columns):
        found[DEDUPLICATED] = list(columns)
    if dataset.reporting and set(dataset.reporting.columns) <= set(columns):
        found |= {kind: named(dataset.reporting) for kind, named in DAY_COLUMNS.items()}
    return found


def view_edges(dataset: Dataset, columns: Sequence[str]) -> Iterator[Edge]:
    """Yield the edges to the views, and to those who read them."""
    views = view_columns(dataset, columns)
    for kind in views:
        if kind in DAY_COLUMNS and dataset.reporting:
            yield from _over_days(dataset, dataset.reporting, kind)
        else:
            yield from _of_records(dataset, kind, columns)
    for reader in dataset.readers:
        place, node = reader.place(dataset.table), Node("reader", reader.name, RECORDS)
        read: Kind = "table" if reader.reads == "table" else "view"
        for name in reader.columns or views.get(reader.reads) or columns:
            yield Edge(Node(read, place, name), node)
        yield Edge(Node(read, place, RECORDS), node, "decides")


def misfits(dataset: Dataset, columns: Sequence[str]) -> Iterator[str]:
    """Yield what reports and readers name that is not there."""
    views = {"table": list(columns), **view_columns(dataset, columns)}
    for name in dataset.reporting.columns if dataset.reporting else ():
        if name not in columns:
            yield (
                f"`reporting` names the column `{name}`, which the table has not"
                f"{nearest(name, columns) or '.'}"
            )
    for reader in dataset.readers:
        there = views.get(reader.reads)
        if there is None:
            yield (
                f"the reader {reader.name} reads the view {reader.place(dataset.table)}, which is"
                " not there: rules leave out a column that it is made of."
            )
            continue
        for name in reader.columns:
            if name not in there:
                what = "view" if reader.reads in DAY_COLUMNS else "table"
                yield (
                    f"the reader {reader.name} uses the column `{name}`, which the {what} has not"
                    f"{nearest(name, there) or '.'}"
                )


def _of_records(dataset: Dataset, kind: str, columns: Sequence[str]) -> Iterator[Edge]:
    view = view_name(dataset.table, kind)
    for name in (*columns, RECORDS):
        yield Edge(Node("table", dataset.table, name), Node("view", view, name))
    if kind == DEDUPLICATED:
        for name in (_KEY, *dataset.primary_key):
            yield Edge(Node("table", dataset.table, name), Node("view", view, RECORDS),
                       "decides", "shows each record once")  # fmt: skip


def _over_days(dataset: Dataset, reporting: Reporting, kind: str) -> Iterator[Edge]:
    view = view_name(dataset.table, kind)

    def table(name: str) -> Node:
        return Node("table", dataset.table, name)

    for name in DAY_COLUMNS[kind](reporting):
        shown = Node("view", view, name)
        summed = _summed(reporting, name)
        if name in (_KEY, *reporting.dimensions):
            yield Edge(table(name), shown)
        for part in _OF_CAMPAIGNS.get(name, ()):
            yield Edge(Node("parameter", CAMPAIGNS, part), shown)
        if summed:
            made_of = table(summed) if summed in reporting.measures else table(RECORDS)
            yield Edge(made_of, shown, "value", "summed by day")
            yield Edge(table(reporting.day), shown, "decides", "on which day it counts")
        if summed and (name.startswith("compared_") or name.endswith("_difference")):
            yield Edge(Node("parameter", CAMPAIGNS, "compared_with"), shown, "decides")
    records = Node("view", view, RECORDS)
    yield Edge(table(RECORDS), records, "decides")
    for name in (_KEY, *reporting.dimensions):
        yield Edge(table(name), records, "decides", "a row for each day of it")
    for part in ("start", "end"):
        yield Edge(Node("parameter", CAMPAIGNS, part), records, "decides", "the days of the season")


def _summed(reporting: Reporting, name: str) -> str:
    """Return what a view's column is the sum of; empty when it is none."""
    for one in reporting.summed:
        if name in {
            f"{before}{one}{part}{after}"
            for part in ("", "_to_date")
            for before, after in (("", ""), ("compared_", ""), ("", "_difference"))
        }:
            return one
    return ""
