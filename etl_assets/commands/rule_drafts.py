"""`etl-assets rules lint` and `plan`: whether rules hold, and what they would change."""

import datetime as dt
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from etl_assets.core.columns import Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError, RuleError
from etl_assets.core.registry import Registry
from etl_assets.core.rules.expressions import nearest
from etl_assets.display.stores import err, out, say
from etl_assets.display.tables import print_json
from etl_assets.rules.lint import Linted, columns_of, lint_rules
from etl_assets.rules.plan import Plan, plan_rules
from etl_assets.settings import Settings

FILE = click.argument(
    "file", metavar="FILE", type=click.Path(dir_okay=False, exists=True, path_type=Path)
)
DATASET = click.option(
    "--dataset",
    "dataset_name",
    metavar="NAME",
    help="Whose rules they are; FILE's name unless given.",
)


@dataclass(frozen=True)
class Draft:
    """A document of rules, with what it is checked against.

    Attributes:
        name: The file, as errors name it.
        text: What it says.
    """

    settings: Settings
    dataset: Dataset
    registry: Registry
    name: str
    text: str

    @classmethod
    def read(cls, file: Path, dataset_name: str | None) -> "Draft":
        """Read a file and the registry.

        Raises:
            PermanentError: When there is no such dataset, or the file cannot be read.
            RegistryError: When the registry cannot be read.
        """
        settings = Settings.from_environment()
        name = dataset_name or file.stem
        if name not in settings.datasets:
            raise PermanentError(
                f"There is no dataset `{name}`{nearest(name, settings.datasets)}.",
                "Give the file the dataset's name, or name it with --dataset.",
            )
        try:
            text = file.read_bytes().decode("utf-8")  # line ends stay the author's
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise PermanentError(
                f"{file} cannot be read ({reason}).", "Name another file."
            ) from error
        return cls.of(settings, name, file.name, text)

    @classmethod
    def of(cls, settings: Settings, dataset: str, name: str, text: str) -> "Draft":
        """Return a text as a draft of a dataset's rules; errors as `RegistryStore.read`."""
        registry = settings.open_registry().read()
        return cls(settings, settings.datasets[dataset], registry, name, text)

    def lint(self) -> Linted:
        """Check the document; errors as `lint_rules` and `columns_of`."""
        columns = self._columns(self.dataset.name)
        return lint_rules(
            self.text, self.name, self.dataset, self.registry, columns, lookups=self._columns
        )

    def _columns(self, name: str) -> tuple[Column, ...]:
        """Return the columns of a dataset's extracts."""
        if name not in self.settings.datasets:
            raise RuleError(
                f"Rules look up in the dataset `{name}`, which is not there"
                f"{nearest(name, self.settings.datasets)}.",
                "Correct the name.",
            )
        takes_part = (
            c for _, c in sorted(self.registry.campaigns.items()) if c.takes_part_in(name)
        )
        return columns_of(
            self.settings.datasets[name],
            self.settings.open_warehouse(),
            self.settings.open_staging(),
            self.settings.open_source(),
            next(takes_part, None),
        )

    def plan(self, linted: Linted, keys: tuple[str, ...] = ()) -> Plan:
        """Compare with what counts now; errors as `plan_rules`."""
        with err.status("Planning …") as status:
            return plan_rules(
                self.dataset,
                self.registry,
                linted.rule_set,
                self.settings.open_warehouse(),
                self.settings.open_staging(),
                keys=keys,
                datasets=self.settings.datasets,
                progress=status.update,
            )


@click.command()
@FILE
@DATASET
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def lint(file: Path, *, dataset_name: str | None, json_: bool) -> None:
    """Check the rules in FILE: the document, the types of what they compute, their examples."""
    draft = Draft.read(file, dataset_name)
    linted = draft.lint()
    if json_:
        print_json(out, {"dataset": draft.dataset.name, "rules": len(linted.rule_set.rules),
                         "examples": linted.examples, "campaigns": linted.campaigns,
                         "notes": linted.notes})  # fmt: skip
        return
    say(f"{file.name} holds: {len(linted.rule_set.rules)} rules, {linted.examples} examples.")
    for note in linted.notes:
        say(note, err)


@click.command()
@FILE
@DATASET
@click.option("--key", "keys", multiple=True, help="Only this campaign; may be repeated.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Also write a page.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def plan(
    file: Path, *, dataset_name: str | None, keys: tuple[str, ...], html: Path | None, json_: bool
) -> None:
    """Show what the rules in FILE would change, on the kept extracts; nothing is loaded.

    The exit code is 1 when the rules would fail a campaign.
    """
    from etl_assets.display.plan import plan_view
    from etl_assets.pages import write_page

    draft = Draft.read(file, dataset_name)
    linted = draft.lint()
    planned = draft.plan(linted, keys)
    if json_:
        print_json(out, {**planned.as_dict(), "notes": linted.notes})
    else:
        out.print(plan_view(planned))
        for note in linted.notes:
            say(note, err)
    if html:
        now = dt.datetime.now(dt.UTC)
        write_page("plan.html", html, plan=planned, source=file.name, at=now)
        say(f"The page is {html}.", err)
    if planned.failing:
        sys.exit(1)
