"""The registry in the graph: its campaigns and rule sets as partitioned assets.

Each campaign key has a data version there (`core/data_versions.py`). The sensor reports the
versions that changed, without a run; a partition made from an earlier one then shows as
"Unsynced". A run that has read the registry says which observation it read, since what the
sensor reported last may be older, or newer.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from etl_assets.core.campaigns import Campaign
from etl_assets.core.data_versions import CAMPAIGNS, Versions, registry_versions, rules_of
from etl_assets.core.datasets import Dataset
from etl_assets.core.manifest import Load
from etl_assets.core.registry import Registry
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.failures import reported_to_dagster
from etl_assets.lineage import owners_of, tags_of
from etl_assets.metadata_parts import overlaps_metadata
from etl_assets.partitions import CAMPAIGNS as CAMPAIGN_PARTITIONS
from etl_assets.resources import RegistryResource
from etl_assets.settings import Settings
from etl_assets.systems.connect import system_kind

Told = Mapping[str, dg.MetadataValue[Any]]
DATA_VERSION = "dagster/data_version"
_INPUT_VERSION = "dagster/input_data_version"
_INPUT_POINTER = "dagster/input_event_pointer"
"""Dagster's own tags of a materialization: the version of an asset it was made from, and the
event that reported it. Dagster sets them to what it saw last when the step began."""

_VERSION_IS_OURS = "dagster/data_version_is_user_provided"
_CODE_VERSION = "dagster/code_version"
"""Tags that Dagster gives the materializations of an asset's own run, and looks for: where an
asset has no code version, as ours, the run's id takes its place."""

_LOOKED_AT = 20
_STAGES_LOOKED_AT = 200
_BEFORE_ALL = 1


def registry_key(what: str) -> dg.AssetKey:
    """Return the key of the asset that shows a part of the registry, by its name in versions."""
    return dg.AssetKey(["registry", what])


CAMPAIGNS_KEY = registry_key(CAMPAIGNS)


def rules_key(dataset: Dataset) -> dg.AssetKey:
    """Return the key of the asset that a dataset's rule set is."""
    return registry_key(rules_of(dataset.name))


def build_registry_assets(settings: Settings) -> dg.AssetsDefinition:
    """Return the campaigns and each dataset's rule set as assets that are observed."""
    kinds = {system_kind(settings.registry_url)}
    campaigns = dg.AssetSpec(
        CAMPAIGNS_KEY,
        group_name="registry",
        kinds=kinds,
        description="Campaigns; a partition's version is the digest of its season, parameters and"
        " datasets.",
    )
    rules = [
        dg.AssetSpec(
            rules_key(dataset),
            group_name="registry",
            kinds=kinds,
            owners=owners_of(dataset.owner),
            tags=tags_of(dataset),
            description=f"{dataset.description}\n\nThe rules of {dataset.name}; a partition's version"
            " is the digest of those that apply to it.",
        )
        for dataset in settings.datasets.values()
    ]

    def observe_registry(
        context: dg.AssetExecutionContext, registry: RegistryResource
    ) -> Iterator[dg.ObserveResult]:
        """Report all versions as they are now; the sensor does so without being asked."""
        with reported_to_dagster(context):
            read = registry.open().read()
            found = registry_versions(read, settings.datasets.values())
        for event in observations(found, read, settings.datasets):
            if event.asset_key in context.selected_asset_keys:
                context.log_event(event)
        yield from ()  # each partition's event was logged; nothing is said of the asset as a whole

    with warnings.catch_warnings():  # observable assets are a beta in 1.13; tests hold ours
        warnings.simplefilter("ignore", dg.BetaWarning)
        decorate: Callable[[Callable[..., object]], dg.AssetsDefinition] = (
            dg.multi_observable_source_asset(
                specs=[campaigns, *rules], partitions_def=CAMPAIGN_PARTITIONS, can_subset=True
            )
        )
    return decorate(observe_registry)


def observations(
    versions: Versions, registry: Registry, datasets: Mapping[str, Dataset]
) -> Iterator[dg.AssetObservation]:
    """Yield the events that report versions, with what people read of them in the UI.

    Args:
        versions: What to report.
        registry: The reading that they are of.
        datasets: By name.
    """
    described = {rules_of(name): registry.rules_of(dataset) for name, dataset in datasets.items()}
    for what, by_key in versions.items():
        for key, version in by_key.items():
            told = (
                {**_season(registry.campaigns[key]), **overlaps_metadata(registry.campaigns, key)}
                if what == CAMPAIGNS
                else _rules(described[what], key)
            )
            yield _observation(registry_key(what), key, version, told)


def made_from(
    instance: dg.DagsterInstance, asset: dg.AssetKey, key: str, upstream: dg.AssetKey
) -> str | None:
    """Return the version of the registry that a partition's latest materialization was made from.

    None when there is no materialization, or it does not say.
    """
    event = latest(instance, asset, key)
    return (event.tags or {}).get(_tag(_INPUT_VERSION, upstream)) if event else None


def latest(
    instance: dg.DagsterInstance, asset: dg.AssetKey, key: str
) -> dg.AssetMaterialization | None:
    """Return the latest materialization of a partition, if any."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[key])
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0].asset_materialization if records else None


def read_version(
    instance: dg.DagsterInstance, upstream: dg.AssetKey, key: str, version: str
) -> dict[str, str]:
    """Return the tags of a materialization that was made from this version of the registry.

    The version is reported when nobody did so yet: Dagster can tell later changes of it only
    from a version that it has seen.
    """
    pointer = _reported(instance, upstream, key, version)
    if pointer is None:
        instance.report_runless_asset_event(_observation(upstream, key, version))
        pointer = _reported(instance, upstream, key, version)
    return {
        _tag(_INPUT_VERSION, upstream): version,
        _tag(_INPUT_POINTER, upstream): str(pointer),
    }


def inherited(event: dg.AssetMaterialization | None, upstream: dg.AssetKey) -> dict[str, str]:
    """Return the tags by which a materialization says which version it was made from."""
    tags = event.tags or {} if event else {}
    names = (_tag(_INPUT_VERSION, upstream), _tag(_INPUT_POINTER, upstream))
    return {name: tags[name] for name in names if name in tags}


def made_of(
    instance: dg.DagsterInstance, stage: dg.AssetKey, dataset: Dataset, load: Load
) -> dict[str, str]:
    """Return the tags of a table's materialization that was loaded by hand from kept parts.

    They say which stage that was, and with which version of the rules it was made: the newest
    ones may be others, and the partition is out of step with them then. What reported them,
    if nobody knows any more, is older than all that is known.
    """
    key, rules = load.campaign_key, rules_key(dataset)
    wanted = dg.AssetRecordsFilter(asset_key=stage, asset_partitions=[key])
    for record in instance.fetch_materializations(wanted, limit=_STAGES_LOOKED_AT).records:
        event = record.asset_materialization
        if event and (event.tags or {}).get(DATA_VERSION) == load.inputs_digest:
            found, pointer = inherited(event, rules), record.storage_id
            break
    else:
        found, pointer = {}, _BEFORE_ALL
    return {
        DATA_VERSION: load.inputs_digest,
        _VERSION_IS_OURS: "true",
        _CODE_VERSION: load.run_id or "",
        _tag(_INPUT_VERSION, stage): load.inputs_digest,
        _tag(_INPUT_POINTER, stage): str(pointer),
        _tag(_INPUT_VERSION, rules): load.rules_digest,
        _tag(_INPUT_POINTER, rules): str(
            _reported(instance, rules, key, load.rules_digest) or _BEFORE_ALL
        ),
        **found,
    }


def _reported(
    instance: dg.DagsterInstance, upstream: dg.AssetKey, key: str, version: str
) -> int | None:
    """Return the newest event that reported this version; others may have been reported since."""
    wanted = dg.AssetRecordsFilter(asset_key=upstream, asset_partitions=[key])
    for record in instance.fetch_observations(wanted, limit=_LOOKED_AT).records:
        if (record.event_log_entry.tags or {}).get(DATA_VERSION) == version:
            return record.storage_id
    return None


def _observation(
    asset: dg.AssetKey, key: str, version: str, told: Told | None = None
) -> dg.AssetObservation:
    return dg.AssetObservation(asset, partition=key, tags={DATA_VERSION: version}, metadata=told)


def _season(campaign: Campaign) -> Told:
    datasets = "all" if campaign.datasets is None else ", ".join(campaign.datasets)
    return {
        "name": dg.MetadataValue.text(campaign.name),
        "first_day": dg.MetadataValue.text(campaign.start.isoformat()),
        "last_day": dg.MetadataValue.text(campaign.end.isoformat()),
        "time_zone": dg.MetadataValue.text(campaign.time_zone),
        "datasets": dg.MetadataValue.text(datasets),
        "parameters": dg.MetadataValue.json(campaign.parameters),
    }


def _rules(rule_set: RuleSet, key: str) -> Told:
    """Return what a version of rules says for a campaign; those of the override are its own."""
    shared = {rule.id: rule for rule in rule_set.rules}
    rules = rule_set.for_campaign(key).rules
    own = [rule.id for rule in rules if shared.get(rule.id) != rule]
    gone = sorted(shared.keys() - {rule.id for rule in rules})
    return {
        "rule_version": dg.MetadataValue.int(rule_set.version),
        "comment": dg.MetadataValue.text(rule_set.comment),
        "rules": dg.MetadataValue.text(", ".join(rule.id for rule in rules) or "none"),
        "only_here": dg.MetadataValue.text(", ".join(own) or "none"),
        "not_here": dg.MetadataValue.text(", ".join(gone) or "none"),
    }


def _tag(prefix: str, asset: dg.AssetKey) -> str:
    return f"{prefix}/{asset.to_user_string()}"
