"""How the command line shows loads, what they were decided to be, and what differs between two."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from etl_assets.core.manifest import Load
from etl_assets.core.standing import standing_of
from etl_assets.display.plan import difference_lines, shown_value
from etl_assets.display.tables import new_table
from etl_assets.load_diff import LoadDiff, Total

_KINDS = {
    "load": "green", "rollback": "magenta", "prune": "red", "hold": "yellow", "release": "cyan",
}  # fmt: skip
_SHOWN_TOTALS = 12
Row = tuple[str, str, str]
"""A row of the ledger by dataset, key and id: an id alone may be that of a stage, too."""


def states_of(rows: Sequence[Load]) -> dict[Row, str]:
    """Return what rows are now: `current`, `waits` for approval, or a hold `in force`.

    Args:
        rows: All of each key that is asked about, newest first.
    """
    slices: dict[tuple[str, str], list[Load]] = defaultdict(list)
    for row in rows:
        slices[row.dataset, row.campaign_key].append(row)
    found: dict[Row, str] = {}
    for of_key in slices.values():
        now = standing_of(of_key)
        told = {"current": now.current, "waits": now.waiting, "in force": now.kept}
        found |= {_name(row): state for state, row in told.items() if row is not None}
    return found


def load_rows(loads: Sequence[Load], states: Mapping[Row, str]) -> list[dict[str, object]]:
    """Return rows of the ledger for JSON, each with its state; empty when it has none."""
    return [{**row.model_dump(mode="json"), "state": states.get(_name(row), "")} for row in loads]


def loads_table(loads: Sequence[Load], states: Mapping[Row, str]) -> Table:
    """Return rows of the ledger."""
    table = new_table()
    longest = max((len(load.load_id) for load in loads), default=0)
    table.add_column("load", min_width=longest)  # whole: it is what other commands ask for
    for name in ("key", "dataset", "kind"):
        table.add_column(name)
    for name in ("records", "rules"):
        table.add_column(name, justify="right")
    table.add_column("committed (UTC)")
    for load in loads:
        state = states.get(_name(load), "")
        table.add_row(
            load.load_id,
            load.campaign_key,
            load.dataset,
            Text.assemble((load.kind, _KINDS[load.kind]), (f", {state}" if state else "", "bold")),
            f"{load.records:,}",
            f"v{load.rule_version}",
            f"{load.committed_at:%Y-%m-%d %H:%M}",
        )
    return table


def reasons(loads: Sequence[Load]) -> list[str]:
    """Return, of the rows that somebody or a guard decided on, by whom, about what and why."""
    return [
        f"{row.load_id}: {row.kind}{_about(row)} by {row.made_by or 'the platform'}"
        f"{f': {row.reason}' if row.reason else ''}"
        for row in loads
        if row.made_by or row.reason
    ]


def diff_view(found: LoadDiff) -> Group:
    """Return what differs between two loads, for people."""
    return Group(*_parts(found))


def diff_summary(found: LoadDiff) -> str:
    """Return what differs in one sentence."""
    made = found.difference
    if found.same:
        return "Both have the same records."
    columns = f" in {len(made.columns):,} column{'s' * (len(made.columns) != 1)}"
    return (
        f"Records: {made.added:,} added, {made.removed:,} removed, {made.changed:,} changed"
        f"{columns if made.changed else ''}."
    )


def _parts(found: LoadDiff) -> Iterator[RenderableType]:
    for when, row in (("before", found.before), ("after", found.after)):
        yield Text.assemble(
            (f"{when:6} ", "bold"),
            f"{row.load_id}  {row.kind}, {row.source_records - row.filtered - row.rejected + row.reshaped:,}"
            f" records, rules v{row.rule_version}, {row.committed_at:%Y-%m-%d %H:%M} UTC",
        )
    yield Text(f"\n{diff_summary(found)}")
    yield from (Text(f"  {sentence}") for sentence in found.schema)
    if found.named_by:
        yield Text(found.named_by, "yellow")
    yield from difference_lines(found.difference, more="--json shows all")
    if shown := _telling(found):
        yield Text("\nTotals", "bold")
        yield _totals(shown[:_SHOWN_TOTALS])
        left_out = len(shown) - _SHOWN_TOTALS
        if left_out > 0:
            yield f"  … and {left_out} more columns (--json shows all)"


def _telling(found: LoadDiff) -> list[Total]:
    """Return the totals that tell something: whole numbers of records that came or went are ids."""
    changed = {column.column for column in found.difference.columns}
    return [
        total
        for total in found.totals
        if total.column in changed
        or (not total.whole and any(mover.change for mover in total.movers))
    ]


def _totals(totals: Sequence[Total]) -> Table:
    table = new_table("  column")
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right")
    table.add_column("biggest movers")
    for total in totals:
        movers = Text("; ").join(
            Text.assemble(
                f"{mover.record}: ", (shown_value(mover.before), "red"), " → ",
                (shown_value(mover.after), "green"),
            )
            for mover in total.movers
        )  # fmt: skip
        table.add_row(
            f"  {escape(total.column)}",
            shown_value(total.before),
            shown_value(total.after),
            f"{total.change:+f}",
            movers,
        )
    return table


def _about(row: Load) -> str:
    words = {"rollback": " to", "load": " of", "release": " of"}
    return f"{words.get(row.kind, ' about')} {row.about}" if row.about else ""


def _name(row: Load) -> Row:
    return row.dataset, row.campaign_key, row.load_id
