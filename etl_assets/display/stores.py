"""How the command line shows what the registry's table, the staging store and runs hold."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from etl_assets.core.registry_items import Stored
from etl_assets.core.retention import Removal
from etl_assets.display.tables import new_table

if TYPE_CHECKING:
    from etl_assets.run_history import OldRun

_PIPE_WIDTH = 120
out = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
err = Console(stderr=True, width=None if sys.stderr.isatty() else _PIPE_WIDTH)


def say(text: str, console: Console = out) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def documents_table(documents: Sequence[Stored]) -> Table:
    """Return documents with their versions, and what is wrong with those that are not read."""
    table = new_table("document", "version", "by", "at (UTC)", "")
    for stored in documents:
        state = "removed" if stored.removed else f"[red]{escape(stored.fault)}[/]"
        table.add_row(
            escape(stored.id),
            str(stored.version),
            escape(stored.updated_by),
            stored.updated_at,
            state if stored.removed or stored.fault else "",
        )
    return table


def document_rows(documents: Sequence[Stored]) -> list[dict[str, object]]:
    """Return documents for JSON."""
    names = ("id", "version", "revision", "updated_by", "updated_at", "removed", "fault")
    return [
        {**{name: getattr(stored, name) for name in names}, "document": stored.document}
        for stored in documents
    ]


def removals_table(removals: Sequence[Removal]) -> Table:
    """Return the folders that may go, with their size and why."""
    table = new_table("folder", "objects", "MiB", "newest (UTC)", "why")
    for removal in removals:
        folder = removal.folder
        table.add_row(
            folder.path,
            str(len(folder.objects)),
            f"{folder.bytes / (1 << 20):,.1f}",
            f"{folder.modified:%Y-%m-%d %H:%M}",
            removal.reason,
        )
    return table


def removal_rows(removals: Sequence[Removal]) -> list[dict[str, object]]:
    """Return removals for JSON."""
    return [
        {
            "folder": removal.folder.path,
            "objects": len(removal.folder.objects),
            "bytes": removal.folder.bytes,
            "newest": removal.folder.modified.isoformat(),
            "reason": removal.reason,
        }
        for removal in removals
    ]


def old_runs_table(runs: "Sequence[OldRun]") -> Table:
    """Return the runs that may go."""
    table = new_table("run", "job", "key", "status", "ended (UTC)", "KiB")
    for run in runs:
        size = f"{run.bytes / (1 << 10):,.0f}"
        ended = f"{run.ended:%Y-%m-%d %H:%M}"
        table.add_row(run.run_id[:8], run.job, escape(run.key), run.status, ended, size)
    return table


def old_run_rows(runs: "Sequence[OldRun]") -> list[dict[str, object]]:
    """Return old runs for JSON."""
    return [{**vars(run), "ended": run.ended.isoformat()} for run in runs]
