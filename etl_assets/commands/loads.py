"""`etl-assets loads`: what was loaded, compared, put back, approved, refused, kept."""

import sys
from collections.abc import Callable
from typing import Any

import click

from etl_assets.commands.registry import this_user
from etl_assets.core.errors import EtlError, PermanentError, StagingError
from etl_assets.core.manifest import Load
from etl_assets.display.stores import err, out, say
from etl_assets.settings import Settings

_LOAD = click.argument("load", metavar="LOAD")
_KEY = click.option("--key", required=True, help="The campaign.")
_DATASET = click.option("--dataset", help="The dataset; need not be said where there is one.")
_REASON = click.option("--reason", default="", help="Why; the ledger keeps it.")
_BY = click.option("--by", help="Who decides; the user of this process unless given.")
_JSON = click.option("--json", "json_", is_flag=True, help="Print JSON.")


@click.group(invoke_without_command=True)
@click.option("--key", help="Only this campaign.")
@click.option("--dataset", help="Only this dataset.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Newest so many."
)
@_JSON
@click.pass_context
def loads(
    context: click.Context, *, key: str | None, dataset: str | None, limit: int, json_: bool
) -> None:
    """List the loads in the warehouse's ledger, newest first; compare them, put one back.

    Without a command it lists.
    """
    if context.invoked_subcommand is not None:
        if key or dataset or json_:
            raise click.UsageError(f"Write the options after `{context.invoked_subcommand}`.")
        return
    from etl_assets.display.loads import load_rows, loads_table, reasons, states_of
    from etl_assets.display.tables import print_json

    rows = Settings.from_environment().open_warehouse().loads(dataset=dataset, key=key)
    states, found = states_of(rows), rows[:limit]
    if json_:
        print_json(out, load_rows(found, states))
    elif found:
        out.print(loads_table(found, states))
        for sentence in reasons(found):
            say(sentence)
    else:
        out.print("No load yet. `etl-assets refresh` makes the first.")


@loads.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@_JSON
def diff(before: str, after: str, *, json_: bool) -> None:
    """Show what load B has otherwise than load A, from the parts that are kept of both.

    Either may be one that waits for approval.
    """
    from etl_assets.display.loads import diff_view
    from etl_assets.display.tables import print_json
    from etl_assets.load_diff import diff_loads
    from etl_assets.slices import find_row

    settings = Settings.from_environment()
    warehouse = settings.open_warehouse()
    first, second = find_row(warehouse, before), find_row(warehouse, after)
    found = diff_loads(first, second, settings.open_staging())
    if json_:
        print_json(out, found.as_dict())
    else:
        out.print(diff_view(found))


@loads.command()
@click.option("--key", help="The campaign; need not be said: it is the load's.")
@click.option("--to", "load", required=True, metavar="LOAD", help="The load to put back.")
@click.option("--dataset", help="The dataset; need not be said: it is the load's.")
@click.option("--hold", is_flag=True, help="Let no refresh replace it until the key is released.")
@_REASON
@_BY
@click.option("--yes", is_flag=True, help="Put it back without asking.")
@_JSON
def rollback(
    *,
    key: str | None,
    load: str,
    dataset: str | None,
    hold: bool,
    reason: str,
    by: str | None,
    yes: bool,
    json_: bool,
) -> None:
    """Put back what an earlier load had, in one proven transaction, without the source.

    What changes is shown first. The next refresh leaves it while source and rules are what
    they are.
    """
    from etl_assets.slices import find_row

    settings = Settings.from_environment()
    target = find_row(settings.open_warehouse(), load, dataset=dataset, key=key)
    if not json_:
        _show_what_changes(settings, target)
    question = f"Put load {load} back?"
    if not (yes or (not json_ and sys.stdin.isatty() and click.confirm(question))):
        raise PermanentError("Nothing was put back: nobody said yes.", "Add --yes.")
    _decide(settings, "rollback", by, json_=json_, load_id=load, dataset=target.dataset,
            key=target.campaign_key, hold=hold, reason=reason)  # fmt: skip


@loads.command()
@_LOAD
@_BY
@_JSON
def approve(load: str, *, by: str | None, json_: bool) -> None:
    """Load what waits for approval."""
    _decide(Settings.from_environment(), "approve", by, json_=json_, load_id=load)


@loads.command()
@_LOAD
@_REASON
@_BY
@_JSON
def refuse(load: str, *, reason: str, by: str | None, json_: bool) -> None:
    """Do not load what waits for approval; it is not asked about again."""
    _decide(Settings.from_environment(), "refuse", by, json_=json_, load_id=load, reason=reason)


@loads.command()
@_KEY
@_DATASET
@click.option("--reason", required=True, help="Why, for those who meet the hold.")
@_BY
@_JSON
def hold(*, key: str, dataset: str | None, reason: str, by: str | None, json_: bool) -> None:
    """Keep a campaign's records as they are, whatever comes, until it is released."""
    _decide(Settings.from_environment(), "hold", by, json_=json_, key=key, dataset=dataset or "",
            reason=reason)  # fmt: skip


@loads.command()
@_KEY
@_DATASET
@_REASON
@_BY
@_JSON
def release(*, key: str, dataset: str | None, reason: str, by: str | None, json_: bool) -> None:
    """End the hold of a campaign."""
    _decide(Settings.from_environment(), "release", by, json_=json_, key=key,
            dataset=dataset or "", reason=reason)  # fmt: skip


def _show_what_changes(settings: Settings, target: Load) -> None:
    """Show what readers get that they have not now, as far as it is kept."""
    from etl_assets.display.loads import diff_view
    from etl_assets.load_diff import diff_loads

    warehouse = settings.open_warehouse()
    rows = warehouse.loads(dataset=target.dataset, key=target.campaign_key)
    current = next((row for row in rows if row.changes_slice), None)
    if current is None or not current.is_load:
        say(f"{target.campaign_key} has no records in {target.table} now; {target.records:,} come.")
        return
    try:
        out.print(diff_view(diff_loads(current, target, settings.open_staging())))
    except StagingError as error:
        say(f"What changes cannot be shown: {error}", err)


def _decide(settings: Settings, action: str, by: str | None, *, json_: bool, **said: Any) -> None:  # noqa: ANN401
    """Run the job; print the row it made, or what was done."""
    from etl_assets.decide_job import Action, DecisionConfig
    from etl_assets.deciding import decide
    from etl_assets.display.tables import print_json
    from etl_assets.home import open_instance, refresh_lock

    tell: Callable[[str], None] = lambda text: say(text, err if json_ else out)  # noqa: E731
    config = DecisionConfig(action=Action(action), made_by=by or this_user(), **said)
    with refresh_lock(settings), open_instance(settings) as instance:
        try:
            row = decide(settings, instance, config, tell)
        except EtlError as error:
            raise PermanentError(f"Nothing was changed. {error.message}", error.remedy) from error
    if json_:
        print_json(out, row.model_dump(mode="json"))
