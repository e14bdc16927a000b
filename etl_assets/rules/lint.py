"""Whether a rule set can be published: its document, its types, and its examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from etl_assets.core.campaigns import Campaign, Scalar
from etl_assets.core.columns import Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import DocumentError, RuleError
from etl_assets.core.registry import Registry
from etl_assets.core.rules.compile import compile_rules
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import read_rules
from etl_assets.kept import latest_extract
from etl_assets.rules.check import check_types
from etl_assets.rules.engine import engine
from etl_assets.rules.examples import run_examples
from etl_assets.systems.protocols import Source, Staging, Warehouse


@dataclass(frozen=True)
class Linted:
    """A rule set that holds.

    Attributes:
        rule_set: What the document says.
        campaigns: The campaigns whose rules were checked: one that has no overrides, and each
            that has.
        examples: How many examples hold.
        notes: What a reader should know, as sentences.
    """

    rule_set: RuleSet
    campaigns: tuple[str, ...]
    examples: int
    notes: tuple[str, ...] = ()


def lint_rules(
    text: str,
    source: str,
    dataset: Dataset,
    registry: Registry,
    columns: Sequence[Column],
    *,
    lookups: Callable[[str], Sequence[Column]],
) -> Linted:
    """Check a rule set's document, the types of what it computes, and its examples.

    Args:
        text: The document.
        source: The name errors use.
        dataset: Whose rules they are.
        registry: Gives the campaigns whose parameters expressions may name.
        columns: The extract's; see `columns_of`.
        lookups: Gives the columns of the extracts of a dataset that rules look values up in.

    Raises:
        DocumentError: When the document is not valid, or an example does not hold.
        RuleError: When a rule does not fit the columns, naming it.
    """
    rule_set = read_rules(text, source)
    notes = [
        f"The override of {key} has no effect: no campaign has that key"
        f"{nearest(key, registry.campaigns)}."
        for key in rule_set.overrides
        if key not in registry.keys
    ]
    checked = _campaigns(rule_set, dataset, registry)
    if not checked:
        notes.append(f"No campaign takes part in {dataset.name}: parameters were not checked.")
    datasets = {name: lookups(name) for name in rule_set.looked_up_datasets}
    failures: dict[str, None] = {}
    for key, bindings in checked.items() or [("", _SEASON)]:
        rules = rule_set.for_campaign(key) if key else rule_set
        compiled = compile_rules(rules, columns, dataset.primary_key, bindings, datasets=datasets)
        with engine() as connection:
            check_types(connection, compiled, f"The rules of {dataset.name}")
        found = run_examples(rules, columns, bindings, datasets=datasets)
        failures |= dict.fromkeys(str(failure) for failure in found)
    if failures:
        raise DocumentError(source, list(failures))
    count = sum(len(rule.examples) for rule in rule_set.rules)
    return Linted(rule_set, tuple(checked), count, tuple(notes))


_SEASON: dict[str, Scalar] = {
    "campaign_key": "NONE",
    "start": "2000-01-01",
    "end": "2000-12-31",
    "starts_at": "2000-01-01 00:00:00",
    "ends_before": "2001-01-01 00:00:00",
}
"""What expressions may name when there is no campaign to take it from."""


def _campaigns(
    rule_set: RuleSet, dataset: Dataset, registry: Registry
) -> dict[str, dict[str, Scalar]]:
    """Return the bindings of one campaign without overrides, and of each that has some."""
    some = {
        key: c for key, c in sorted(registry.campaigns.items()) if c.takes_part_in(dataset.name)
    }
    plain = next((key for key in some if key not in rule_set.overrides), None)
    wanted = [key for key in some if key == plain or key in rule_set.overrides]
    return {key: some[key].bindings() for key in wanted}


def columns_of(
    dataset: Dataset,
    warehouse: Warehouse,
    staging: Staging,
    source: Source,
    campaign: Campaign | None,
) -> tuple[Column, ...]:
    """Return the columns of a dataset's extracts: of the newest that is kept, else the query's.

    Raises:
        SourceError: When there is no extract, and the source refuses the query.
        RuleError: When there is neither an extract nor a campaign to ask the source for.
        TransientError: When the source or the warehouse cannot be reached.
    """
    kept = latest_extract(dataset, None, warehouse, staging)
    if kept:
        return kept.columns
    if campaign is None:
        raise RuleError(
            f"The columns of {dataset.name} are not known: there is no extract, and no campaign.",
            "Add a campaign to the registry.",
        )
    with source.snapshot(dataset, campaign.bindings()) as snapshot:
        return snapshot.columns
