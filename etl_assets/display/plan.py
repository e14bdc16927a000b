"""How the command line shows what rules would change."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from etl_assets.display.tables import new_table
from etl_assets.rules.diff import Difference
from etl_assets.rules.plan import KeyPlan, Plan

_SHOWN_COLUMNS = 12


def plan_view(plan: Plan) -> Group:
    """Return a plan for people: the numbers of all campaigns, then each one's changes."""
    return Group(*_parts(plan))


def _parts(plan: Plan) -> Iterator[RenderableType]:
    if not plan.keys:
        yield "No campaign's records would change."
    else:
        table = new_table("key")
        for name in (
            "now",
            "then",
            "added",
            "removed",
            "changed",
            "rejected\nnow",
            "rejected\nthen",
        ):
            table.add_column(name, justify="right")
        for key in plan.keys:
            table.add_row(*_numbers(key))
        yield table
    for key in plan.keys:
        yield from _changes(key)
    if plan.schema:
        yield Text(f"\nThe table {plan.table}", "bold")
        yield from (f"  {escape(sentence)}" for sentence in plan.schema)
    if plan.untouched:
        yield f"\nNot touched: {', '.join(plan.untouched)}."
    if plan.without_extract:
        yield f"\nWithout a kept extract, so not known: {', '.join(plan.without_extract)}."


def _numbers(key: KeyPlan) -> list[str]:
    if key.difference is None:
        return [key.key, "[red]fails[/]" if key.before.error else f"{key.before.records:,}",
                "[red]fails[/]" if key.after.error else f"{key.after.records:,}"]  # fmt: skip
    found = key.difference
    numbers = (key.before.records, key.after.records, found.added, found.removed, found.changed,
               key.before.rejected, key.after.rejected)  # fmt: skip
    return [key.key, *(f"{number:,}" for number in numbers)]


def _changes(key: KeyPlan) -> Iterator[RenderableType]:
    yield Text(f"\n{key.key}", "bold")
    for when, side in (("now", key.before), ("then", key.after)):
        if side.error:
            yield Text(f"  fails {when}: {side.error}", "red")
    for name in dict.fromkeys([*key.before.outcomes, *key.after.outcomes]):
        now, then = key.before.outcomes.get(name, 0), key.after.outcomes.get(name, 0)
        if now != then:
            yield f"  {escape(name)}: {now:,} [dim]→[/] {then:,} records"
    if key.difference is not None:
        yield from difference_lines(key.difference, more="--html shows all")


def difference_lines(found: Difference, *, more: str) -> Iterator[RenderableType]:
    """Yield what differs: the columns with samples, then records that came or went.

    Args:
        found: What differs.
        more: Where what is left out can be seen.
    """
    for column in found.columns[:_SHOWN_COLUMNS]:
        yield f"  [bold]{column.column}[/]: {column.cells:,} cells"
        for sample in column.samples:
            yield Text.assemble(
                f"    {sample.record}: ", (shown_value(sample.before), "red"), " → ",
                (shown_value(sample.after), "green"),
            )  # fmt: skip
    left_out = len(found.columns) - _SHOWN_COLUMNS
    if left_out > 0:
        yield f"  … and {left_out} more columns ({more})"
    for what, count, records in (
        ("added", found.added, found.added_records),
        ("removed", found.removed, found.removed_records),
    ):
        if count:
            yield f"  {count:,} {what}, such as {escape('; '.join(records[:3]))}"


def shown_value(text: str | None) -> str:
    """Return a value as people are shown it."""
    return "NULL" if text is None else text or "''"
