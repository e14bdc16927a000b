"""How the command line shows things: tables for people, JSON for programs."""

import json
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from etl_assets.core.campaigns import Campaign
from etl_assets.results import KeyResult
from etl_assets.systems.protocols import Check

_STATUS = {
    "loaded": "green",
    "unchanged": "cyan",
    "kept": "yellow",
    "held": "yellow",
    "failed": "red",
}


def print_json(console: Console, content: object) -> None:
    """Print JSON, one document, unwrapped and uncoloured."""
    console.out(json.dumps(content, indent=2, default=str), highlight=False)


def results_table(results: Sequence[KeyResult]) -> Table:
    """Return the summary of a refresh."""
    table = new_table("key", "season", "dataset")
    for name in ("source\nrecords", "loaded\nrecords", "rejected", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("proof")
    shown: set[str] = set()
    for r in results:
        first = r.key not in shown
        shown.add(r.key)
        table.add_row(
            r.key if first else "",
            f"{r.start} to {r.end}" if first else "",
            r.dataset,
            f"{r.source_records:,}",
            f"{r.loaded_records:,}",
            f"{r.rejected:,}",
            f"{r.seconds:.1f}" if first else "",
            _short_proof(r),
        )
    return table


def _short_proof(result: KeyResult) -> str:
    status = f"[{_STATUS[result.status]}]{result.status}[/]"
    if not result.proof:
        return status
    left_out = f" + {result.filtered:,} filtered" if result.filtered else ""
    earlier = ", [yellow]with earlier rules[/]" if result.fallback else ""
    return f"{status}, source = table{left_out}{earlier}"


def new_table(*columns: str) -> Table:
    """Return a table with these columns, which narrow terminals can still show."""
    return Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)


def campaigns_table(
    campaigns: Sequence[Campaign], due: set[str], problems: dict[str, str]
) -> Table:
    """Return campaigns with their seasons, and whether each is due."""
    table = new_table("key", "name", "start", "end", "time zone", "due", "parameters")
    for campaign in campaigns:
        state = "paused" if campaign.paused else ""
        table.add_row(
            campaign.key,
            escape(campaign.name),
            str(campaign.start),
            str(campaign.end),
            campaign.time_zone,
            "[green]due[/]" if campaign.key in due else state,
            escape(", ".join(f"{k}={v}" for k, v in campaign.parameters.items())),
        )
    for key, problem in problems.items():
        table.add_row(key, f"[red]{escape(problem)}[/]", "", "", "", "", "")
    return table


def checks_table(checks: dict[str, list[Check]]) -> Table:
    """Return what doctor found, with the remedy for what does not work."""
    table = new_table("system", "check", "", "detail")
    for system, found in checks.items():
        for check in found:
            detail = escape(check.detail)
            if not check.ok:
                detail += f"\n[yellow]{escape(check.remedy)}[/]"
            table.add_row(system, check.name, "[green]ok[/]" if check.ok else "[red]no[/]", detail)
    return table
