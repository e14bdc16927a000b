"""How the command line shows raw inputs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from etl_assets.core.inputs.delivery import count_rows, describe
from etl_assets.core.inputs.files import InputFile, LoadedFile
from etl_assets.display.tables import new_table

if TYPE_CHECKING:
    from etl_assets.inputs.inputs import Checked, Inputs

_STATUS = {
    "loaded": "green",
    "repeated": "cyan",
    "undone": "yellow",
    "quarantined": "red",
    "pending": "cyan",
}


def source_rows(inputs: "Inputs") -> list[dict[str, Any]]:
    """Return a row per source: what it delivered, and what became of it."""
    by_source: dict[str, list[LoadedFile]] = {name: [] for name in inputs.contracts}
    for row in inputs.history():
        by_source.setdefault(row.source, []).append(row)
    found = []
    for source, contract in sorted(inputs.contracts.items()):
        rows = by_source[source]
        newest = {row.path: row.status for row in reversed(rows)}
        found.append({
            "source": source, "table": contract.table, "pending": len(inputs.pending(source)),
            "loaded": sum(row.live for row in rows),
            "quarantined": Counter(newest.values())["quarantined"],
            "rows": sum(row.accepted for row in rows if row.live),
            "rejected": sum(row.rejected for row in rows if row.live),
            "last_arrived_at": max((row.arrived_at for row in rows if row.live), default=None),
            "deliver_within_hours": contract.deliver_within_hours,
        })  # fmt: skip
    return found


def sources_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the sources as a table."""
    table = new_table("source", "table")
    for name in ("pending", "loaded", "quarantined", "rows", "rejected"):
        table.add_column(name, justify="right")
    table.add_column("last arrived (UTC)")
    for row in rows:
        counts = [f"{row[n]:,}" for n in ("pending", "loaded", "quarantined", "rows", "rejected")]
        if row["quarantined"]:
            counts[2] = f"[red]{counts[2]}[/]"
        last = row["last_arrived_at"]
        table.add_row(
            row["source"], row["table"], *counts, f"{last:%Y-%m-%d %H:%M}" if last else ""
        )
    return table


def files_table(pending: Sequence[InputFile], history: Sequence[LoadedFile]) -> Table:
    """Return the files of a source: what has arrived, then the ledger, newest first."""
    table = new_table("file", "arrived (UTC)", "status")
    for name in ("rows", "rejected", "new", "changed"):
        table.add_column(name, justify="right")
    table.add_column("")
    for file in reversed(pending):
        arrived = f"{file.modified:%Y-%m-%d %H:%M:%S}"
        table.add_row(escape(file.name), arrived, "[cyan]pending[/]", "", "", "", "", "")
    for row in history:
        counts = (row.rows, row.rejected, row.inserted, row.updated)
        shown = [f"{count:,}" if row.rows else "" for count in counts]
        arrived = f"{row.arrived_at:%Y-%m-%d %H:%M:%S}"
        status = f"[{_STATUS[row.status]}]{row.status}[/]"
        table.add_row(escape(row.name), arrived, status, *shown, escape(_told(row)))
    return table


def _told(row: LoadedFile) -> str:
    if row.status == "undone":
        return f"{count_rows(row.removed)} removed, {row.restored:,} restored"
    return "undone since" if row.status == "loaded" and not row.live else row.reason


def load_line(row: LoadedFile) -> str:
    """Return one line about what became of a file."""
    told = f"{row.path}: {describe(row)}"
    if not row.rejects:
        return told
    return (
        f"{told}; rejects: {row.rejects}"
        if row.status == "loaded"
        else (f"{told} Rejects: {row.rejects}")
    )


def check_lines(found: "Checked") -> Iterator[str]:
    """Yield lines about what a load would do."""
    bad = f", {found.rejected:,} bad" if found.rejected else ""
    twice = f", {found.duplicates:,} duplicate" if found.duplicates else ""
    yield f"{count_rows(found.rows)}: {found.accepted:,} good{twice}{bad}"
    for reject in found.rejects:
        column = f" {reject.column}" if reject.column else ""
        yield f"row {reject.row:,}{column}: {reject.value!r} {reject.reason}"
    for note in found.notes:
        yield f"Note: {note}"
    if found.fault:
        yield f"It would be quarantined: {found.fault}"
