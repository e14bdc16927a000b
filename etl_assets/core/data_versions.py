"""What the registry says about each campaign, as one short text that changes when it does.

Dagster keeps these as data versions. A partition that was made from another version than the
current one is out of step with it, and no other partition is.
"""

import hashlib
import json
from collections.abc import Collection

from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset
from etl_assets.core.registry import Registry
from etl_assets.core.rules.rule_set import RuleSet

CAMPAIGNS = "campaigns"
"""The versions of the campaigns themselves, beside those of each dataset's rules."""

Versions = dict[str, dict[str, str]]
"""By what is watched (`campaigns`, `<dataset>_rules`), then by campaign key."""


def rules_of(dataset: str) -> str:
    """Return the name under which a dataset's rules are watched."""
    return f"{dataset}_rules"


def registry_versions(registry: Registry, datasets: Collection[Dataset]) -> Versions:
    """Return the versions of everything that partitions are made from.

    A campaign that cannot be read has none: nothing may be concluded from it. A campaign has
    one for the rules of the datasets that it takes part in.
    """
    found = {CAMPAIGNS: {key: campaign_version(c) for key, c in registry.campaigns.items()}}
    for dataset in datasets:
        keys = [k for k, c in registry.campaigns.items() if c.takes_part_in(dataset.name)]
        found[rules_of(dataset.name)] = rule_versions(registry.rules_of(dataset), keys)
    return found


def campaign_version(campaign: Campaign) -> str:
    """Return a SHA-256 of what decides which records a campaign has, and where they go."""
    content = campaign.model_dump(
        mode="json", include={"start", "end", "time_zone", "parameters", "datasets"}
    )
    content["datasets"] = None if campaign.datasets is None else sorted(campaign.datasets)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def rule_versions(rule_set: RuleSet, keys: Collection[str]) -> dict[str, str]:
    """Return, by campaign key, the digest of the rules that apply to it.

    Most campaigns override nothing, and share one digest: it is computed once.
    """
    shared = rule_set.model_copy(update={"overrides": {}}).digest
    return {
        key: rule_set.for_campaign(key).digest if key in rule_set.overrides else shared
        for key in keys
    }
