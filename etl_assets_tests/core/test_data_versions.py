"""The versions by which partitions are found out of step.

At risk: a change that no partition shows, and a change of nothing that stages all of them anew.
"""

import datetime as dt
from typing import Any

import pytest

from etl_assets.core.campaigns import Campaign
from etl_assets.core.data_versions import (
    CAMPAIGNS,
    campaign_version,
    registry_versions,
    rule_versions,
)
from etl_assets.core.datasets import Dataset
from etl_assets.core.registry import Registry
from etl_assets.core.rules.rule_set import RuleSet

SPRING = {"key": "SP17", "start": dt.date(2017, 3, 1), "end": dt.date(2017, 5, 31)}
FILTER = {"id": "some", "kind": "filter", "keep": "n > 0"}


def campaign(**fields: object) -> Campaign:
    return Campaign.model_validate({**SPRING, **fields})


def rules(**fields: object) -> RuleSet:
    return RuleSet.model_validate({"rules": [FILTER], **fields})


def dataset(name: str, **fields: object) -> Dataset:
    return Dataset.model_validate(
        {"dataset": name, "primary_key": ["a"], "query": "SELECT a FROM t", **fields}
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"start": "2017-03-02"},
        {"end": "2017-06-01"},
        {"time_zone": "Asia/Tokyo"},
        {"parameters": {"shop": 1}},
        {"datasets": []},
    ],
    ids=str,
)
def test_what_decides_the_records_of_a_campaign_changes_its_version(
    changed: dict[str, Any],
) -> None:
    assert campaign_version(campaign(**changed)) != campaign_version(campaign())


def test_what_decides_no_record_changes_no_version() -> None:
    assert campaign_version(campaign(name="Spring", paused=True)) == campaign_version(campaign())
    one, other = campaign(datasets=["a", "b"]), campaign(datasets=["b", "a"])
    assert campaign_version(one) == campaign_version(other)
    assert campaign_version(campaign(parameters={"a": 1})) != campaign_version(
        campaign(parameters={"a": "1"})
    )


def test_a_campaign_without_overrides_has_the_digest_of_all_of_them() -> None:
    override = {"SP17": [{"disable": "some"}]}
    found = rule_versions(rules(overrides=override), ["SP17", "SU17", "AU17"])
    assert found["SU17"] == found["AU17"] == rules().digest
    assert found["SP17"] == RuleSet().digest != found["SU17"]
    for key, version in found.items():
        assert version == rules(overrides=override).for_campaign(key).digest


def test_an_override_changes_the_version_of_its_campaign_only() -> None:
    before = rule_versions(rules(), ["SP17", "SU17"])
    after = rule_versions(rules(version=2, overrides={"SP17": [{"disable": "some"}]}), [*before])
    assert [key for key in before if before[key] != after[key]] == ["SP17"]


def test_a_changed_reference_table_changes_the_version_of_rules_that_look_into_it() -> None:
    def looked_up(value: str) -> str:
        lookup = {
            "id": "l", "kind": "lookup", "table": "t", "on": {"n": "n"}, "columns": {"v": "v"},
        }  # fmt: skip
        table = {"columns": {"n": "integer", "v": "text"}, "rows": [["1", value]]}
        made = RuleSet.model_validate({"rules": [lookup], "tables": {"t": table}})
        return rule_versions(made, ["SP17"])["SP17"]

    assert looked_up("a") != looked_up("b")


def test_the_registry_has_a_version_for_what_each_campaign_takes_part_in() -> None:
    registry = Registry(
        campaigns={
            "SP17": campaign(),
            "SU17": campaign(key="SU17", datasets=["sales"]),
        },
        rule_sets={"sales": rules(version=3)},
        problems={"AU17": "line 4"},
    )
    own = dataset("notes", rules=[FILTER])
    found = registry_versions(registry, [dataset("sales"), own])
    assert {what: set(versions) for what, versions in found.items()} == {
        CAMPAIGNS: {"SP17", "SU17"},
        "sales_rules": {"SP17", "SU17"},
        "notes_rules": {"SP17"},
    }
    assert found["notes_rules"]["SP17"] == own.own_rules.digest
