"""`etl-assets backfill`: runs for any set of keys, started by the daemon."""

import datetime as dt
import sys
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import click

from etl_assets.core.errors import PermanentError
from etl_assets.core.registry import Registry
from etl_assets.display.stores import err, out, say
from etl_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from etl_assets.backfill import Progress

_LOOK_SECONDS = 1.0
_SAY_SECONDS = 15.0
"""Where the output is kept, the progress is a line each so often."""


@click.command()
@click.option("--key", "listed", multiple=True, help="This key; may be repeated.")
@click.option("--all", "every", is_flag=True, help="Every campaign of the registry.")
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), help="The keys due on this date.")
@click.option("--dataset", "names", multiple=True, help="Only this dataset; may be repeated.")
@click.option("--force", is_flag=True, help="Extract, stage and load also what is unchanged.")
@click.option("--wait", is_flag=True, help="Show the progress until it has ended.")
@click.option("--cancel", "cancelled", metavar="ID", help="Cancel a backfill instead.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def backfill(
    *,
    listed: tuple[str, ...],
    every: bool,
    day: dt.datetime | None,
    names: tuple[str, ...],
    force: bool,
    wait: bool,
    cancelled: str | None,
    json_: bool,
) -> None:
    """Have the daemon run any set of keys, behind the scheduled refreshes.

    The UI lists it below Runs, Backfills. With --wait the command ends with 1 when a key failed;
    Ctrl-C then ends the waiting, and the backfill goes on.
    """
    from etl_assets.backfill import cancel, chosen, launch
    from etl_assets.home import open_instance

    if sum(map(bool, (listed, every, day, cancelled))) != 1:
        raise click.UsageError("Say one of --key, --all, --on and --cancel.")
    settings = Settings.from_environment()
    with open_instance(settings) as instance:
        if cancelled:
            cancel(instance, cancelled)
            backfill_id = cancelled
            say(f"Backfill {backfill_id} is being cancelled; the daemon ends its runs.", err)
        else:
            registry = settings.open_registry().read()
            keys = _keys(registry, listed, every=every, day=day.date() if day else None)
            wanted = chosen(registry, settings, keys, names, named=bool(listed))
            backfill_id = launch(settings, instance, registry, wanted, force=force)
            count = len({key for taken in wanted.values() for key in taken})
            noun = "key" if count == 1 else "keys"
            say(f"Backfill {backfill_id}: {count} {noun} in {', '.join(sorted(wanted))}.", err)
            if not wait:
                say(f"Cancel it with `etl-assets backfill --cancel {backfill_id}`.", err)
        ended = _wait(instance, backfill_id) if wait else None
    _show(backfill_id, ended, json_=json_)
    if ended and not (ended.succeeded or (cancelled and ended.status == "canceled")):
        sys.exit(1)


def _keys(
    registry: Registry, listed: Collection[str], *, every: bool, day: dt.date | None
) -> list[str]:
    """Return the keys that were asked for.

    Raises:
        PermanentError: When there is none.
    """
    if every:
        keys: Iterable[str] = registry.campaigns
    else:
        keys = registry.due_on(day) if day else listed
    found = sorted(set(keys))
    if not found:
        when = f" on {day}" if day else ""
        raise PermanentError(
            f"No campaign is due{when}." if day else "There is no key to backfill.",
            "`etl-assets campaigns` lists them.",
        )
    return found


def _wait(instance: "dg.DagsterInstance", backfill_id: str) -> "Progress":
    """Show the progress until the backfill has ended."""
    from etl_assets.backfill import progress

    said, said_at = "", 0.0
    try:
        with err.status("Waiting for the daemon …") as status:
            while not (now := progress(instance, backfill_id)).ended:
                status.update(now.sentence)
                due = time.monotonic() - said_at >= _SAY_SECONDS
                if not err.is_terminal and due and now.sentence != said:
                    said, said_at = now.sentence, time.monotonic()
                    say(said, err)
                time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        say(
            f"Backfill {backfill_id} goes on without this command."
            f" Cancel it with `etl-assets backfill --cancel {backfill_id}`.",
            err,
        )
        sys.exit(130)
    return now


def _show(backfill_id: str, ended: "Progress | None", *, json_: bool) -> None:
    if json_:
        from etl_assets.display.tables import print_json

        shown: dict[str, object] = {"backfill": backfill_id}
        if ended:
            shown |= {"status": ended.status, "keys": ended.keys, "runs": dict(ended.statuses)}
            shown |= {"failed": list(ended.failed), "error": ended.error}
        print_json(out, shown)
    elif ended:
        say(f"Backfill {backfill_id} has ended, {ended.status}: {ended.sentence}.")
    if ended and ended.error:
        say(f"It was stopped: {ended.error}", err)
    if ended and ended.failed:
        say(f"Failed or cancelled: {', '.join(ended.failed)}. Their runs in the UI say why.", err)
