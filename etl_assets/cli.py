"""The command line. `etl-assets --help` lists what it does.

Commands that only read the registry or the ledger do not import Dagster, which alone costs
more than they do.
"""

import datetime as dt
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from etl_assets import __version__
from etl_assets.commands.alerts import alerts as alerts_commands
from etl_assets.commands.backfill import backfill as backfill_command
from etl_assets.commands.calendar import calendar as calendar_command
from etl_assets.commands.demo import demo as demo_command
from etl_assets.commands.feeds import feeds as feeds_commands
from etl_assets.commands.health import health as health_command
from etl_assets.commands.inputs import inputs as inputs_commands
from etl_assets.commands.lineage import lineage as lineage_command
from etl_assets.commands.loads import loads as loads_commands
from etl_assets.commands.overlaps import overlaps as overlaps_command
from etl_assets.commands.registry import registry as registry_commands
from etl_assets.commands.rules import rules as rules_commands
from etl_assets.commands.runs import runs as runs_commands
from etl_assets.commands.staging import staging as staging_commands
from etl_assets.commands.verify import verify as verify_command
from etl_assets.commands.why import why as why_command
from etl_assets.core.errors import EtlError
from etl_assets.core.registry import Registry
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from etl_assets.results import KeyResult

_PIPE_WIDTH = 120
out = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
err = Console(stderr=True, width=None if sys.stderr.isatty() else _PIPE_WIDTH)
_INTERRUPTED = 130


def say(text: str, label: str = "") -> None:
    """Print one line on stderr, whatever is in it, with its label in red."""
    line = Text.assemble((label, "red"), " " if label else "", text)
    err.print(line, highlight=False, soft_wrap=True)


def as_json(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that every listing command has."""
    return click.option("--json", "json_", is_flag=True, help="Print JSON.")(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(context: click.Context, *, debug: bool) -> None:
    """Campaign data from MySQL to Redshift, twice a day, proven equal to its source."""
    context.obj = debug


@cli.command()
@click.option(
    "--on", "day", type=click.DateTime(["%Y-%m-%d"]), help="Refresh the keys of this date."
)
@click.option("--key", "keys", multiple=True, help="Refresh only this key; may be repeated.")
@click.option("--force", is_flag=True, help="Extract, stage and load also what is unchanged.")
@click.option(
    "--keep-expired", is_flag=True, help="Keep keys that left the calendar in the tables."
)
@click.option(
    "--allow-mass-removal", is_flag=True, help="Let more than half of the keys go at once."
)
@as_json
def refresh(
    *,
    day: dt.datetime | None,
    keys: tuple[str, ...],
    force: bool,
    keep_expired: bool,
    allow_mass_removal: bool,
    json_: bool,
) -> None:
    """Refresh the keys that are due now, or on a date, or the keys given.

    Keys that left the calendar are then removed from the tables, unless keys were given.
    """
    settings = Settings.from_environment()
    settings = replace(
        settings,
        keep_expired=keep_expired or settings.keep_expired,
        allow_mass_removal=allow_mass_removal or settings.allow_mass_removal,
    )
    failed = run_refresh(
        settings, day=day.date() if day else None, keys=keys, force=force, json_=json_
    )
    if failed:
        sys.exit(1)


@cli.command()
@click.option(
    "--on", "day", type=click.DateTime(["%Y-%m-%d"]), help="Only the keys due on this date."
)
@as_json
def campaigns(*, day: dt.datetime | None, json_: bool) -> None:
    """List the campaigns, or those due on a date."""
    from etl_assets.display.tables import campaigns_table, print_json

    registry = Settings.from_environment().open_registry().read()
    due = set(_due(registry, day.date() if day else None))
    listed = [c for _, c in sorted(registry.campaigns.items()) if day is None or c.key in due]
    problems = dict(registry.problems)
    if json_:
        rows = [{**c.model_dump(mode="json"), "due": c.key in due} for c in listed]
        rows += [{"key": key, "problem": problem} for key, problem in problems.items()]
        print_json(out, rows)
    else:
        out.print(campaigns_table(listed, due, problems))
        if day is not None and day.date() in registry.entries:
            out.print(f"The calendar has an entry for {day:%Y-%m-%d}; it wins over the seasons.")
    if problems:
        sys.exit(1)


@cli.command()
@click.option(
    "--probe", is_flag=True, help="Also try what the warehouse's documentation leaves open."
)
@as_json
def doctor(*, probe: bool, json_: bool) -> None:
    """Check the four systems: reachable, readable, writable, version; and what to do if not.

    The query of every dataset is asked for its columns, which takes the rights a refresh takes
    and reads no record; the ledger of raw inputs is read, where a source has a contract. --probe loads a few values into temporary tables of the warehouse and leaves a few small
    objects in the staging store; it touches no target table.
    """
    from etl_assets.display.tables import checks_table, print_json
    from etl_assets.doctor import check_systems

    settings = Settings.from_environment()
    found = check_systems(settings, probe=probe)
    if json_:
        print_json(out, {s: [vars(c) for c in checks] for s, checks in found.items()})
    else:
        out.print(checks_table(found))
    if not all(check.ok for checks in found.values() for check in checks):
        sys.exit(1)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, help="Port to listen on.")
@click.option(
    "--read-only", is_flag=True, help="Pages that change nothing, beside a UI that runs; no daemon."
)
def ui(*, host: str, port: int, read_only: bool) -> None:
    """Run Dagster's webserver and daemon until Ctrl-C. It has no log-in: keep it on 127.0.0.1."""
    from etl_assets.serve import serve

    sys.exit(serve(Settings.from_environment(), host=host, port=port, read_only=read_only))


def run_refresh(
    settings: Settings, *, day: dt.date | None, keys: tuple[str, ...], force: bool, json_: bool
) -> bool:
    """Refresh and show the outcome; return whether anything failed.

    Raises:
        EtlError: When the refresh cannot start; nothing was changed.
    """
    from etl_assets.display.tables import print_json, results_table
    from etl_assets.home import open_instance, refresh_lock
    from etl_assets.partitions import describe_changes
    from etl_assets.refresh import Refresh

    began = time.monotonic()
    results: list[KeyResult] = []
    removed: list[str] = []
    prune_error = ""
    with (
        refresh_lock(settings),
        open_instance(settings) as instance,
        err.status("Reading the registry …") as status,
    ):
        started = Refresh(
            settings, instance, progress=lambda text: status.update(escape(text)), force=force
        )
        if described := describe_changes(started.changes):
            say(f"Partitions: {described}")
        started.check(keys)
        due = sorted(set(keys)) or started.due(day)
        for number, result in enumerate(started.run(due), 1):
            results += result
            say(_progress_line(number, len(due), result))
        for result in started.run_together(due):
            results += result
            say(f"{result[0].dataset}, together: {_by_status(result)} ({result[0].seconds:.1f} s)")
        if due and not keys and not settings.keep_expired:
            removed, prune_error = started.prune(due)
        started.report_health()
    if json_:
        print_json(out, {"results": [r.as_dict() for r in results], "removed": removed,
                         "prune_error": prune_error})  # fmt: skip
    else:
        out.print(results_table(results) if results else "No campaign is due.")
        if results:
            count = len({r.key for r in results})
            noun = "key" if count == 1 else "keys"
            out.print(f"\n{count} {noun} in {time.monotonic() - began:.1f} s.")
        if removed:
            out.print(f"Removed, no longer due: {'; '.join(removed)}")
    _say_what_happened(results)
    if prune_error:
        say(prune_error, "Not removed:")
    return any(r.error or r.status == "held" for r in results) or bool(prune_error)


def _say_what_happened(results: Sequence["KeyResult"]) -> None:
    """Say what failed, is held back, or was made with earlier rules."""
    for told in results:
        for sentence in filter(None, (told.error, told.held, told.fallback)):
            say(sentence, f"{told.key} {told.dataset}:")


def _due(registry: Registry, day: dt.date | None) -> list[str]:
    return registry.due_at(dt.datetime.now(dt.UTC)) if day is None else registry.due_on(day)


def _by_status(results: list[Any]) -> str:
    counts = Counter(r.status for r in results)
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _progress_line(number: int, total: int, results: list[Any]) -> str:
    parts = [f"{r.dataset} {r.status} {r.loaded_records:,}" for r in results]
    return f"[{number}/{total}] {results[0].key}: {', '.join(parts)} ({results[0].seconds:.1f} s)"


for _command in (
    calendar_command, lineage_command, overlaps_command, alerts_commands, backfill_command,
    demo_command, feeds_commands, health_command, inputs_commands, loads_commands,
    registry_commands, rules_commands, runs_commands,
    staging_commands, verify_command, why_command,
):  # fmt: skip
    cli.add_command(_command)


def main() -> None:
    """Run the command line: an error is one sentence and its remedy, unless --debug."""
    debug = "--debug" in sys.argv
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say("Stopped; the tables are as the last committed load left them.")
        sys.exit(_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EtlError as error:
        if debug:
            raise
        say(str(error), "Error:")
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        first = next(iter(str(error).splitlines()), "")
        say(f"{type(error).__name__}: {first} This was not expected.", "Error:")
        say("Run the command with --debug before its name, and report what it prints.")
        sys.exit(1)


if __name__ == "__main__":
    main()
