"""How what campaigns share is shown: as a table, as a sentence, as JSON."""

from rich.table import Table

from etl_assets.core.reporting_views import DEDUPLICATED, Overlaps, view_name
from etl_assets.display.tables import new_table


def overlaps_table(counted: Overlaps) -> Table:
    """Return every two campaigns that share records, those that share most first."""
    table = new_table("campaign", "and")
    table.add_column("records in both", justify="right")
    for pair in sorted(counted.pairs, key=lambda pair: -pair.records):
        table.add_row(pair.first, pair.second, f"{pair.records:,}")
    return table


def overlaps_text(counted: Overlaps, table: str) -> str:
    """Return the totals as a sentence, with what could not be counted and what is wrong."""
    if counted.missing or not counted.records:
        return f"{counted.records:,} records. {counted.caveat()}".strip()
    said = (
        f"{counted.records:,} records, {counted.distinct:,} without repetition;"
        f" {counted.repeated:,} repeat a record of another campaign."
    )
    return " ".join(part for part in (said, counted.caveat(), view_problem(counted, table)) if part)


def view_problem(counted: Overlaps, table: str) -> str:
    """Return what is wrong with the de-duplicated view, and what to do; empty when nothing is."""
    if counted.missing or counted.shown == counted.distinct or not counted.records:
        return ""
    view = view_name(table, DEDUPLICATED)
    wrong = (
        f"There is no view {view}."
        if counted.shown is None
        else f"The view {view} shows {counted.shown:,} records: somebody changed it."
    )
    return f"{wrong} Refresh a campaign with --force; its load makes the view again."


def overlaps_document(counted: Overlaps) -> dict[str, object]:
    """Return everything for JSON."""
    return {
        "records": counted.records,
        "distinct": counted.distinct,
        "repeated": counted.repeated,
        "shown": counted.shown,
        "pairs": [vars(pair) for pair in counted.pairs],
        "nameless": list(counted.nameless),
        "missing": list(counted.missing),
        "caveat": counted.caveat(),
    }
