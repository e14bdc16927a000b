"""`etl-assets inputs`: the files that sources deliver, loaded, taken out, and described."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from etl_assets.core.errors import PermanentError
from etl_assets.core.inputs.files import LoadedFile
from etl_assets.display.stores import err, out, say
from etl_assets.settings import Settings


@click.group()
def inputs() -> None:
    """Load the raw files that sources deliver, by their contracts."""


@inputs.command("list")
@click.argument("source", required=False)
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def list_(source: str | None, *, json_: bool) -> None:
    """List the sources with what they delivered, or the files of one SOURCE, newest first."""
    from etl_assets.display.inputs import files_table, source_rows, sources_table
    from etl_assets.display.tables import print_json

    opened = Settings.from_environment().open_inputs()
    if source is not None:
        pending, history = opened.pending(source), opened.history(source)
        if json_:
            print_json(out, {"pending": [vars(file) for file in pending],
                             "files": [row.as_dict() for row in history]})  # fmt: skip
        else:
            out.print(files_table(pending, history))
        return
    rows = source_rows(opened)
    if json_:
        print_json(out, rows)
    elif rows:
        out.print(sources_table(rows))
    else:
        say("There is no contract yet; `etl-assets inputs infer FILE` writes a first one.")
    for stray in sorted(set(opened.files.sources()) - set(opened.contracts)):
        say(f"Files are below inputs/{stray}, but there is no contract of that source.", err)
    for path in opened.files.misnamed():
        say(f"{path} is left alone: its name is too long or not UTF-8. Rename it.", err)


@inputs.command()
@click.argument("source", required=False)
@click.option("--file", "name", help="Only this file of SOURCE, also when it was tried before.")
@click.option("--again", is_flag=True, help="Load the file although its bytes were undone.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def load(source: str | None, *, name: str | None, again: bool, json_: bool) -> None:
    """Load the files that arrived and were not loaded: of one SOURCE, or of all.

    Files are loaded in order of arrival. One that cannot be loaded is quarantined: it stays where
    it is, and is tried again when it or its contract changed.
    """
    from etl_assets.display.inputs import load_line
    from etl_assets.display.tables import print_json

    if (again or name) and not (source and name):
        raise click.UsageError("--file needs a SOURCE, and --again a --file.")
    opened = Settings.from_environment().open_inputs()
    if source is not None and name is not None:
        files = [opened.find(source, name)]
    else:
        wanted = [source] if source is not None else sorted(opened.contracts)
        files = [file for one in wanted for file in opened.pending(one)]
    loaded: list[LoadedFile] = []
    for file in files:
        with err.status(f"Loading {file.path} …"):
            loaded.append(opened.load(file, again=again))
        if not json_:
            say(load_line(loaded[-1]))
    if json_:
        print_json(out, [row.as_dict() for row in loaded])
    elif not loaded:
        say("Nothing has arrived that was not loaded.")
    if any(row.status == "quarantined" for row in loaded):
        sys.exit(1)


@inputs.command()
@click.argument("source")
@click.argument("file")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def undo(source: str, file: str, *, json_: bool) -> None:
    """Take out what FILE of SOURCE brought.

    Each of its keys gets the row of the file before it that was not undone, or leaves the table.
    A correction may also simply be delivered: a later file's rows replace those of an earlier one.
    """
    from etl_assets.display.inputs import load_line
    from etl_assets.display.tables import print_json

    undone = Settings.from_environment().open_inputs().undo(source, file)
    if json_:
        print_json(out, undone.as_dict())
    else:
        say(load_line(undone))


@inputs.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", help="Name of the source; the file's own unless given.")
def infer(file: Path, *, source: str | None) -> None:
    """Print a first contract for the source that FILE is of, made from its first rows.

    A file can be loaded by it as it is; read what is beside it as comments, and give columns the
    room and the meaning that a sample does not show.
    """
    from etl_assets.inputs.infer import infer as infer_contract
    from etl_assets.inputs.infer import source_name

    name = source or source_name(file)
    print(infer_contract(file, name), end="")  # noqa: T201  (a document, not to be wrapped)
    err.print(f"Save it as {name}.yaml where the contracts are.", highlight=False, soft_wrap=True)


@inputs.command()
@click.argument("source")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def check(source: str, file: Path, *, json_: bool) -> None:
    """Say what a load of a local FILE by the contract of SOURCE would reject; nothing is loaded."""
    from etl_assets.display.inputs import check_lines
    from etl_assets.display.tables import print_json

    found = Settings.from_environment().open_inputs().check(source, file)
    if json_:
        print_json(out, found.as_dict())
    else:
        for line in check_lines(found):
            say(line)
    if found.fault or found.rejected:
        sys.exit(1)


@inputs.command()
@click.argument("source")
@click.argument("file")
def rejects(source: str, file: str) -> None:
    """Print the rejects of FILE of SOURCE as CSV: row, column, value, reason."""
    opened = Settings.from_environment().open_inputs()
    row = _newest(opened.history(source), file)
    if row is None or not row.rejects:
        what = "has no rejects" if row else "is not in the ledger"
        raise PermanentError(
            f"The file {file} of {source} {what}.",
            f"`etl-assets inputs list {source}` shows the files.",
        )
    print(opened.files.staging.read_text(row.rejects), end="")  # noqa: T201  (a CSV)


def _newest(history: Sequence[LoadedFile], file: str) -> LoadedFile | None:
    mine = [row for row in history if file in (row.path, row.name)]
    return next((row for row in mine if row.rejects), mine[0] if mine else None)
