"""`etl-assets rules`: the rules of a dataset, shown, compared, published and taken back."""

import datetime as dt
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from etl_assets.commands.registry import this_user
from etl_assets.commands.rule_drafts import DATASET, FILE, Draft, lint, plan
from etl_assets.core.errors import DocumentError, PermanentError
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.schema import rule_set_schema
from etl_assets.core.rules.texts import OWN, own_rules_text, stamped
from etl_assets.core.rules.versions import (
    RuleVersion,
    base_of,
    current_of,
    find_version,
    next_version,
    read_rules,
)
from etl_assets.display.stores import err, out, say
from etl_assets.settings import Settings
from etl_assets.systems.protocols import RegistryStore

_DATASET = click.argument("dataset", metavar="DATASET")
_JSON = click.option("--json", "json_", is_flag=True, help="Print JSON.")
_BY = click.option("--by", help="Who publishes; the user of this process unless given.")
_FAILING = click.option(
    "--allow-failing", is_flag=True, help="Publish also what would fail a campaign."
)
_YES = click.option("--yes", is_flag=True, help="Publish without asking.")


def _not_empty(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("say why, in a sentence.")
    return value.strip()


_COMMENT = click.option(
    "--comment", required=True, callback=_not_empty, help="Why; shown in the history."
)


@click.group()
def rules() -> None:
    """Show, compare, publish and take back the rules of a dataset; every version is kept."""


@rules.command()
@_DATASET
@click.option("--version", "number", type=click.IntRange(0), help="Show this version.")
def show(dataset: str, *, number: int | None) -> None:
    """Print the rules that count, or those of a version; `> FILE` begins an edit."""
    settings, store = _open(dataset)
    versions = store.rule_versions(dataset)
    if number is None and current_of(versions) is None:
        shown = _own(settings, dataset, base_of(versions))
    else:
        shown = _find(settings, versions, dataset, base_of(versions) if number is None else number)
    click.echo(shown.text.encode(), nl=False)


@rules.command()
@_DATASET
@_JSON
def history(dataset: str, *, json_: bool) -> None:
    """List the versions, newest first: when, by whom and why."""
    from etl_assets.display.rules import version_row, versions_table
    from etl_assets.display.tables import print_json

    _, store = _open(dataset)
    versions = store.rule_versions(dataset)
    if json_:
        print_json(out, [version_row(version) for version in versions])
    elif versions:
        out.print(versions_table(versions))
    if not current_of(versions):
        say(f"The rules in the document of {dataset} count; the registry has none.", err)


@rules.command()
@_DATASET
@click.argument("old", metavar="N", type=click.IntRange(0))
@click.argument("new", metavar="M", type=click.IntRange(0))
def diff(dataset: str, old: int, new: int) -> None:
    """Show what version M says otherwise than version N."""
    from etl_assets.display.rules import difference

    settings, store = _open(dataset)
    versions = store.rule_versions(dataset)
    shown = difference(*(_find(settings, versions, dataset, number) for number in (old, new)))
    if shown:
        out.print(shown, end="", soft_wrap=True)
    else:
        say(f"Versions {old} and {new} say the same.")


@rules.command()
def schema() -> None:
    """Print the JSON Schema of a rule set's document, for editors."""
    click.echo(json.dumps(rule_set_schema(), indent=2, ensure_ascii=False))


@rules.command()
@FILE
@DATASET
@_COMMENT
@_BY
@_YES
@_FAILING
@_JSON
def publish(
    file: Path,
    *,
    dataset_name: str | None,
    comment: str,
    by: str | None,
    yes: bool,
    allow_failing: bool,
    json_: bool,
) -> None:
    """Publish the rules in FILE over the version that FILE says it began with.

    They are linted and planned first; rules that would fail a campaign are not published.
    """
    draft = Draft.read(file, dataset_name)
    store = draft.settings.open_registry()
    over = read_rules(draft.text, draft.name).version
    versions = store.rule_versions(draft.dataset.name)
    made = next_version(
        versions,
        draft.dataset.name,
        draft.text,
        over=over,
        by=by or this_user(),
        at=_moment(),
        comment=comment,
    )
    _publish(
        draft.settings, draft, store, current_of(versions), made,
        yes=yes, failing=allow_failing, json_=json_,
    )  # fmt: skip


@rules.command()
@_DATASET
@click.argument("number", metavar="N", type=click.IntRange(0))
@_COMMENT
@_BY
@_YES
@_FAILING
@_JSON
def rollback(
    dataset: str,
    number: int,
    *,
    comment: str,
    by: str | None,
    yes: bool,
    allow_failing: bool,
    json_: bool,
) -> None:
    """Publish what version N said as a new version; nothing is removed from the history.

    Version 0 is what the dataset's own document says.
    """
    settings, store = _open(dataset)
    versions = store.rule_versions(dataset)
    old = _find(settings, versions, dataset, number)
    over = base_of(versions)
    made = next_version(
        versions, dataset, old.text, over=over, by=by or this_user(), at=_moment(), comment=comment
    )
    if not json_:
        say(
            f"Version {made.version} of the rules of {dataset} will say what version {number} said."
        )
    draft = None
    try:
        draft = Draft.of(settings, dataset, f"version {number}", old.text)
    except DocumentError as error:  # what is to be taken back must not be in the way
        say(f"{error.message} So there is no plan of what changes.", err)
    _publish(
        settings, draft, store, current_of(versions), made,
        yes=yes, failing=allow_failing, json_=json_,
    )  # fmt: skip


def _publish(
    settings: Settings,
    draft: Draft | None,
    store: RegistryStore,
    current: RuleVersion | None,
    made: RuleVersion,
    *,
    yes: bool,
    failing: bool,
    json_: bool,
) -> None:
    """Review a version that is to be, ask, and publish it.

    Raises:
        PermanentError: When nobody confirmed it, or it would fail a campaign.
        RegistryError: When somebody else published meanwhile.
    """
    from etl_assets.display.rules import version_row
    from etl_assets.display.tables import print_json

    if current and not current.fault and _unstamped(current) == _unstamped(made):
        say(f"Nothing to publish: version {current.version} of {made.dataset} says that.", err)
        made = current
    else:
        old = current or _own(settings, made.dataset, made.version - 1)
        _review(draft, old, made, failing=failing, quiet=json_)
        question = f"Publish it as version {made.version}?"
        if not (yes or (not json_ and sys.stdin.isatty() and click.confirm(question))):
            raise PermanentError("Nothing was published: nobody said yes.", "Add --yes.")
        made = store.publish_rules(
            made.dataset, made.text, over=made.version - 1, by=made.by,
            at=made.at or _moment(), comment=made.comment,
        )  # fmt: skip
        say(f"Version {made.version} of the rules of {made.dataset} counts, by {made.by}.", err)
    if json_:
        print_json(out, version_row(made))


def _review(
    draft: Draft | None, old: RuleVersion, made: RuleVersion, *, failing: bool, quiet: bool
) -> None:
    """Lint and plan a version, and show what it changes; raise when it must not be published."""
    from etl_assets.display.plan import plan_view
    from etl_assets.display.rules import difference

    linted = draft.lint() if draft else None
    planned = draft.plan(linted) if draft and linted else None
    if not quiet:
        out.print(difference(old, made), end="", soft_wrap=True)
    if not quiet and planned:
        out.print(plan_view(planned))
    for note in linted.notes if linted else ():
        say(note, err)
    if planned and planned.failing and not failing:
        first = planned.failing[0]
        raise PermanentError(
            f"Nothing was published: the rules would fail {len(planned.failing)} of"
            f" {len(planned.keys)} campaigns, such as {first.key}: {first.after.error}",
            "Correct the rules, or add --allow-failing.",
        )


def _find(
    settings: Settings, versions: Sequence[RuleVersion], dataset: str, number: int
) -> RuleVersion:
    """Return a version; as version 0, unless there is one, the rules of the dataset's document."""
    if not number and all(version.version for version in versions):
        return _own(settings, dataset, 0)
    return find_version(versions, dataset, number)


def _own(settings: Settings, dataset: str, number: int) -> RuleVersion:
    text = own_rules_text(settings.dataset_text(dataset), number)
    return RuleVersion(dataset, number, text, "", None, OWN)


def _unstamped(version: RuleVersion) -> str:
    return stamped(version.text, 0, "", version.dataset)


def _open(dataset: str) -> tuple[Settings, RegistryStore]:
    settings = Settings.from_environment()
    if dataset not in settings.datasets:
        hint = nearest(dataset, settings.datasets) or "."
        raise PermanentError(
            f"There is no dataset {dataset}{hint}",
            f"The datasets are {', '.join(sorted(settings.datasets))}.",
        )
    return settings, settings.open_registry()


def _moment() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


rules.add_command(lint)
rules.add_command(plan)
