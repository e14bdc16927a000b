"""How the command line shows what has failed or is late."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from etl_assets.core.health import Health
from etl_assets.display.tables import new_table


def health_table(found: Sequence[Health]) -> Table:
    """Return every key that failed or is late, with what it lacks and what to do."""
    table = new_table("dataset", "key", "", "lacks", "what to do")
    for one in found:
        for problem in one.problems:
            colour = "red" if problem.kind == "failed" else "yellow"
            table.add_row(
                one.dataset,
                escape(problem.key),
                f"[{colour}]{problem.kind}[/]",
                escape(problem.lacks),
                escape(problem.remedy),
            )
    return table


def health_document(found: Sequence[Health]) -> list[dict[str, object]]:
    """Return what was found for JSON: a dataset each, with all of its keys."""
    return [
        {
            "dataset": one.dataset,
            "due": one.due,
            "failed": len(one.failed),
            "late": len(one.late),
            "tick": one.tick.isoformat(),
            "keys": [
                {"key": p.key, "is": p.kind, "lacks": p.lacks, "do": p.remedy} for p in one.problems
            ],
        }
        for one in found
    ]
