"""The sensor reports what changed in the registry.

At risk: a change that no partition shows, and a look that concludes something from a registry
it could not read.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_assets import sensors
from etl_assets.core.data_versions import registry_versions
from etl_assets.core.errors import DocumentError, RegistryError
from etl_assets.sensors import OBSERVATIONS_PER_LOOK
from etl_assets_tests.dagster_fixtures import OTHER_DATASET, Platform, open_platform
from etl_assets_tests.registry_changes import ALL, OVERRIDE, RULES, move_window, observed
from etl_assets_tests.small import CAMPAIGNS, Small


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    """A platform after the sensor's first look."""
    small.write_rules(RULES.format(1, 0))
    with open_platform(small, tmp_path) as opened:
        opened.sense()
        yield opened


def test_the_first_look_reports_every_campaign_and_asks_for_nothing(
    small: Small, tmp_path: Path
) -> None:
    small.write_dataset(OTHER_DATASET, "notes")
    with open_platform(small, tmp_path) as platform:
        tick = platform.sense()
        assert observed(tick) == {
            "registry/campaigns": ALL, "registry/notes_rules": ALL, "registry/sales_rules": ALL,
        }  # fmt: skip
        assert tick.run_requests == []
        settings = platform.settings
        versions = registry_versions(settings.open_registry().read(), settings.datasets.values())
        assert {(e.asset_key.path[-1], e.partition, e.data_version) for e in tick.asset_events} == {
            (what.split("/")[-1], key, version)
            for what, by_key in versions.items()
            for key, version in by_key.items()
        }


def test_an_observation_tells_the_season_and_the_rules_of_its_campaign(platform: Platform) -> None:
    move_window(platform)
    platform.small.write_rules(RULES.format(2, 1) + OVERRIDE)
    told = {(e.asset_key.path[-1], e.partition): e.metadata for e in platform.sense().asset_events}
    season = told["campaigns", "SP17"]
    assert season["last_day"].value == "2017-06-01"
    other, own = told["sales_rules", "SU17"], told["sales_rules", "SP17"]
    assert [other[name].value for name in ("rule_version", "rules", "not_here")] == [
        2, "some", "none",
    ]  # fmt: skip
    assert [own[name].value for name in ("rule_version", "rules", "not_here")] == [
        2, "none", "some",
    ]  # fmt: skip


def test_a_campaign_is_shown_with_the_seasons_that_it_overlaps(
    small: Small, tmp_path: Path
) -> None:
    with open_platform(small, tmp_path) as platform:
        events = platform.sense().asset_events
    shown = {e.partition: e.metadata for e in events if e.asset_key.path[-1] == "campaigns"}
    assert {key: one["overlapping_seasons"].value for key, one in shown.items()} == {
        "SP17": 1, "SU17": 1, "AU17": 0,
    }  # fmt: skip
    assert "SP17 2017-03-01 to 2017-05-31; SU17 2017-05-15" in shown["SU17"]["timeline"].value


def test_what_did_not_change_is_not_reported_again(platform: Platform) -> None:
    tick = platform.sense()
    assert (tick.asset_events, tick.run_requests) == ([], [])
    assert tick.skip_message == "3 campaigns, no change."


def test_exactly_the_keys_whose_version_changed_are_reported(platform: Platform) -> None:
    platform.small.write_rules(RULES.format(2, 0) + OVERRIDE)
    move_window(platform)
    tick = platform.sense()
    assert observed(tick) == {"registry/campaigns": ["SP17"], "registry/sales_rules": ["SP17"]}


def test_a_look_that_asks_for_nothing_says_what_it_reported(platform: Platform) -> None:
    move_window(platform)
    assert platform.sense().skip_message == "New versions of campaigns: SP17."
    more = "".join(
        f"  - {{key: K{n}, start: 2017-03-01, end: 2017-03-02, datasets: []}}\n" for n in range(8)
    )
    platform.small.write_campaigns(CAMPAIGNS + more)
    said = platform.sense().skip_message
    assert said.endswith("New versions of campaigns: K0, K1, K2, K3, K4, K5 and 3 more.")


def test_a_large_change_is_reported_over_several_looks(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert OBSERVATIONS_PER_LOOK >= 100
    monkeypatch.setattr(sensors, "OBSERVATIONS_PER_LOOK", 2)
    platform.small.write_rules(RULES.format(2, 1))
    assert observed(platform.sense()) == {"registry/sales_rules": ["AU17", "SP17"]}
    assert observed(platform.sense()) == {"registry/sales_rules": ["SU17"]}
    assert observed(platform.sense()) == {}


@pytest.mark.parametrize(
    ("document", "text", "error"),
    [
        ("campaigns.yaml", None, RegistryError),
        ("campaigns.yaml", "campaigns: [{ky: A}]", DocumentError),
        ("rules/sales.yaml", "version: 2\nrules: [{id: a, kind: filtr}]\n", DocumentError),
    ],
)
def test_a_registry_that_cannot_be_read_fails_the_look_which_reports_nothing(
    platform: Platform, document: str, text: str | None, error: type[Exception]
) -> None:
    file = platform.small.home / "registry" / document
    before = (platform.cursor, file.read_text(encoding="utf-8"))
    file.unlink()
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(error):
        platform.sense()
    assert platform.cursor == before[0]
    file.write_text(before[1], encoding="utf-8")
    assert platform.sense().asset_events == []


def test_a_campaign_that_cannot_be_read_is_not_reported_until_it_can_be(
    platform: Platform,
) -> None:
    platform.small.write_campaigns(CAMPAIGNS.replace("end: 2017-05-31", "end: 2017-05-32"))
    assert observed(platform.sense()) == {}
    platform.small.write_campaigns(CAMPAIGNS)
    assert observed(platform.sense()) == {}
    move_window(platform)
    assert observed(platform.sense()) == {"registry/campaigns": ["SP17"]}
