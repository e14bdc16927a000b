"""`etl-assets registry`: the registry in DynamoDB, made, filled, written back and shown."""

import datetime as dt
import os
import pwd
from pathlib import Path

import click

from etl_assets.display.stores import document_rows, documents_table, err, out, say
from etl_assets.settings import Settings
from etl_assets.systems import connect
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry

_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))


@click.group()
def registry() -> None:
    """Make, fill and show the registry in DynamoDB; YAML documents are its editable form."""


@registry.command()
def init() -> None:
    """Make the table: on demand, with a stream and point-in-time recovery."""
    store = _store()
    made = store.create()
    say(f"The {store.name} is {'made' if made else 'there already'}.")
    if not store.snapshot(unfinished=True).revision:
        say("It is empty: `etl-assets registry push DIR` fills it.")


@registry.command()
@_FOLDER
@click.option("--by", help="Who pushes; the user of this process unless given.")
@click.option("--take-over", is_flag=True, help="End a push that was interrupted.")
def push(folder: Path, *, by: str | None, take_over: bool) -> None:
    """Write the documents of DIR that were changed since it was pulled or pushed.

    Nothing is written when a document is not valid, or was changed by somebody else.
    """
    from etl_assets.registry_sync import push as push_folder

    store = _store()
    done = push_folder(
        store, folder, by=by or this_user(), at=dt.datetime.now(dt.UTC), take_over=take_over
    )
    for id_ in done.written:
        say(f"written  {id_}")
    for id_ in done.removed:
        say(f"removed  {id_}")
    for id_ in done.left:
        say(f"left     {id_} (not in {folder}; pull to see it)")
    count = len(done.written) + len(done.removed)
    say(f"{count} documents changed; the registry is at revision {done.revision}.")


@registry.command()
@_FOLDER
@click.option("--force", is_flag=True, help="Overwrite changes that were never pushed.")
def pull(folder: Path, *, force: bool) -> None:
    """Write the registry's documents into DIR, to be edited there and pushed."""
    from etl_assets.registry_sync import pull as pull_folder

    snapshot = pull_folder(_store(), folder, force=force)
    for stored in snapshot.documents.values():
        if stored.fault:
            say(f"not written: {stored.id} ({stored.fault})", err)
    say(
        f"{folder} is at revision {snapshot.revision},"
        f" by {snapshot.updated_by} at {snapshot.updated_at}."
    )


@registry.command()
@click.argument("document", required=False)
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def show(document: str | None, *, json_: bool) -> None:
    """List the documents with their versions; or every version of one, such as RULES#sales."""
    from etl_assets.display.tables import print_json

    store = _store()
    if document:
        found = store.history(document)
    else:
        live = store.snapshot(unfinished=True).documents.values()
        found = [stored for stored in live if not stored.removed]
    if json_:
        print_json(out, document_rows(found))
    else:
        out.print(documents_table(found))


def _store() -> DynamoDBRegistry:
    settings = Settings.from_environment()
    return connect.open_dynamodb(settings.registry_url, settings.datasets.keys())


def this_user() -> str:
    """Return the name of this process's user; its number where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container whose user has no name
        return str(os.getuid())
