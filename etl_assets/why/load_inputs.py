"""What a load was made with: its extract, its rules, and what else they read."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from etl_assets.core.campaigns import Scalar
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import DocumentError, PermanentError, RuleError, StagingError
from etl_assets.core.manifest import Extract, Load, Stage, inputs_digest
from etl_assets.core.registry import Registry
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import RuleVersion, read_rules
from etl_assets.kept import extract_of, latest_extract, stage_of
from etl_assets.systems.protocols import RegistryStore, Staging, Warehouse


@dataclass(frozen=True)
class Inputs:
    """What a load was made with.

    Attributes:
        load: The load.
        extract: What was read.
        stage: What the rules made; None when it is not kept.
        rules: The campaign's rules.
        lookups: The extracts of other datasets that rules look values up in.
        bindings: What expressions may name.
        proven: Whether all of it is what the ledger's digest is of.
    """

    load: Load
    extract: Extract
    stage: Stage | None
    rules: RuleSet
    lookups: dict[str, Extract]
    bindings: dict[str, Scalar]
    proven: bool


def inputs_of(
    datasets: Mapping[str, Dataset],
    dataset: Dataset,
    store: RegistryStore,
    staging: Staging,
    warehouse: Warehouse,
    *,
    key: str,
) -> Inputs:
    """Return what the load in the table now was made with.

    Raises:
        PermanentError: When there is no load.
        RuleError: When its rules are not kept.
        StagingError: When its extract, or one that rules look values up in, is not kept.
        RegistryError: When the registry cannot be read.
        TransientError: When the warehouse or the registry is busy; a retry is safe.
    """
    registry = store.read()
    load = _current(dataset, key, warehouse)
    extract = extract_of(load, staging)
    if extract is None:
        raise StagingError(
            f"The extract {load.extract_id} that load {load.load_id} of {dataset.name} for"
            f" campaign {key} was made from is not kept.",
            f"Make a new one: etl-assets refresh --key {key} --force.",
        )
    stage = stage_of(load, staging)
    rules = _kept_with(stage, load, staging) or _rules_of(load, dataset, registry, store)
    lookups = {
        other: _looked_up(datasets, other, key, warehouse, staging)
        for other in rules.looked_up_datasets
    }
    bindings, proven = _bindings(load, dataset, extract, registry, lookups)
    return Inputs(load, extract, stage, rules, lookups, bindings, proven)


def _current(dataset: Dataset, key: str, warehouse: Warehouse) -> Load:
    load = warehouse.current(dataset, key)
    remedy = f"Load it: etl-assets refresh --key {key}."
    if load is None:
        raise PermanentError(
            f"The ledger has no load of {dataset.name} for campaign {key}.", remedy
        )
    if load.kind == "prune":
        raise PermanentError(
            f"The records of {dataset.name} for campaign {key} were removed from the table on"
            f" {load.committed_at:%Y-%m-%d %H:%M:%S}.",
            remedy,
        )
    return load


def _kept_with(stage: Stage | None, load: Load, staging: Staging) -> RuleSet | None:
    """Return the rules that a stage keeps beside its parts; None when it keeps none."""
    if stage is None or stage.rules is None:
        return None
    with contextlib.suppress(StagingError, DocumentError):
        made = read_rules(staging.read_text(stage.rules), stage.rules)
        return made if made.digest == load.rules_digest else None
    return None


def _rules_of(load: Load, dataset: Dataset, registry: Registry, store: RegistryStore) -> RuleSet:
    """Return the rules a load was made with: those of its digest, of its version if possible."""
    now = registry.rules_of(dataset)
    versions = list(_readable(store.rule_versions(dataset.name)))
    versions.sort(key=lambda made: made.version != load.rule_version)
    for candidate in (*versions, now, dataset.own_rules):
        made = candidate.for_campaign(load.campaign_key)
        if made.digest == load.rules_digest:
            return made
    raise RuleError(
        f"The rules that load {load.load_id} of {dataset.name} for campaign {load.campaign_key} was"
        f" made with (version {load.rule_version}) are not kept; the registry has version"
        f" {now.version}, which does something else.",
        f"Load it with the rules of now: etl-assets refresh --key {load.campaign_key}.",
    )


def _readable(versions: Sequence[RuleVersion]) -> Iterator[RuleSet]:
    """Yield what versions say, but for those that this release cannot read."""
    for version in versions:
        with contextlib.suppress(DocumentError):
            yield version.rule_set


def _looked_up(
    datasets: Mapping[str, Dataset], name: str, key: str, warehouse: Warehouse, staging: Staging
) -> Extract:
    found = latest_extract(datasets[name], key, warehouse, staging) if name in datasets else None
    if found is None:
        raise StagingError(
            f"The rules look values up in {name}, of which no extract is kept for campaign {key}.",
            f"Refresh the campaign: etl-assets refresh --key {key}.",
        )
    return found


def _bindings(
    load: Load,
    dataset: Dataset,
    extract: Extract,
    registry: Registry,
    lookups: Mapping[str, Extract],
) -> tuple[dict[str, Scalar], bool]:
    """Return the parameters of a load, and whether they are proven to be."""
    candidates = [extract.bindings]
    if load.campaign_key in registry.campaigns:
        candidates.append(registry.campaigns[load.campaign_key].bindings())
    for made in candidates:
        digest = inputs_digest(extract, load.rules_digest, made, dataset.load_digest, lookups)
        if digest == load.inputs_digest:
            return made, True
    return candidates[-1], False
