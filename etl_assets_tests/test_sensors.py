"""The sensor reports what changed in the registry, and applies it where a dataset says so.

At risk: a change that never reaches the tables, runs that nobody needs, and MySQL read again
because of a rule.
"""

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets import sensors
from etl_assets.core.data_versions import registry_versions
from etl_assets.core.errors import DocumentError, RegistryError
from etl_assets.sensors import OBSERVATIONS_PER_LOOK
from etl_assets_tests.dagster_fixtures import OTHER_DATASET, Platform, open_platform
from etl_assets_tests.small import CAMPAIGNS, COUNTS, DATASET, Small

RULES = "version: {}\nrules:\n  - {{id: some, kind: filter, keep: quantity > {}}}\n"
OVERRIDE = "overrides:\n  SP17:\n    - {disable: some}\n"
APPLY = "on_rule_change: apply\n"
ALL = ["AU17", "SP17", "SU17"]


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a platform that two keys were refreshed on, after the sensor's first look."""
    folder = tmp_path_factory.mktemp("refreshed")
    small = Small(folder / "small").build()
    small.write_dataset(DATASET + APPLY)
    small.write_rules(RULES.format(1, 0))
    with open_platform(small, folder) as platform:
        platform.sense()
        for key in ("SP17", "SU17"):
            assert platform.run(key).success
        (folder / "cursor").write_text(str(platform.cursor), encoding="utf-8")
    return folder


@pytest.fixture
def platform(refreshed: Path, tmp_path: Path) -> Iterator[Platform]:
    """A copy of it for each test, which takes a tenth of the time; no campaign is due."""
    shutil.copytree(refreshed, tmp_path / "own")
    with open_platform(Small(tmp_path / "own" / "small"), tmp_path / "own") as opened:
        opened.kept["cursor"] = (tmp_path / "own" / "cursor").read_text(encoding="utf-8")
        yield opened


def make_due(platform: Platform, *keys: str) -> None:
    """Have the calendar say that keys are due now, also when this is run at midnight."""
    today = dt.datetime.now(dt.UTC).date()
    days = (today, today + dt.timedelta(days=1))
    entries = ", ".join(f"{day}: [{', '.join(keys)}]" for day in days)
    platform.small.write_calendar(f"calendar: {{{entries}}}\n")


def move_window(platform: Platform) -> None:
    """Let the season of SP17 end a day later."""
    platform.small.write_campaigns(CAMPAIGNS.replace("2017-05-31", "2017-06-01"))


def observed(tick: Any) -> dict[str, list[str]]:  # noqa: ANN401
    """Return the keys that a look reported, by asset."""
    found: dict[str, list[str]] = {}
    for event in tick.asset_events:
        assert isinstance(event, dg.AssetObservation)
        found.setdefault(event.asset_key.to_user_string(), []).append(str(event.partition))
    return found


def asked_for(tick: Any) -> dict[str, list[str]]:  # noqa: ANN401
    """Return, by key, the assets of the runs that a look asked for."""
    return {
        request.partition_key: [key.to_user_string() for key in request.asset_selection]
        for request in tick.run_requests
    }


def test_the_first_look_reports_every_campaign_and_asks_for_nothing(
    small: Small, tmp_path: Path
) -> None:
    small.write_dataset(OTHER_DATASET, "notes")
    with open_platform(small, tmp_path) as platform:
        tick = platform.sense()
        assert observed(tick) == {
            "registry/campaigns": ALL, "registry/rules/notes": ALL, "registry/rules/sales": ALL,
        }  # fmt: skip
        assert tick.run_requests == []
        settings = platform.settings
        versions = registry_versions(settings.open_registry().read(), settings.datasets.values())
        assert {(e.asset_key.path[-1], e.partition, e.data_version) for e in tick.asset_events} == {
            (what.split("/")[-1], key, version)
            for what, by_key in versions.items()
            for key, version in by_key.items()
        }


def test_what_did_not_change_is_not_reported_again(platform: Platform) -> None:
    tick = platform.sense()
    assert (tick.asset_events, tick.run_requests) == ([], [])
    assert tick.skip_message == "3 campaigns, no change."


def test_exactly_the_keys_whose_version_changed_are_reported(platform: Platform) -> None:
    platform.small.write_rules(RULES.format(2, 0) + OVERRIDE)
    move_window(platform)
    tick = platform.sense()
    assert observed(tick) == {"registry/campaigns": ["SP17"], "registry/rules/sales": ["SP17"]}


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
    assert observed(platform.sense()) == {"registry/rules/sales": ["AU17", "SP17"]}
    assert observed(platform.sense()) == {"registry/rules/sales": ["SU17"]}
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


def test_changed_rules_are_applied_to_what_is_in_the_table_without_reading_the_source(
    platform: Platform,
) -> None:
    platform.small.write_rules(RULES.format(2, 1))
    tick = platform.sense()
    parts = ["sales/s3_staging_csv", "sales/redshift_table"]
    assert asked_for(tick) == {"SP17": parts, "SU17": parts}  # AU17 was never loaded
    platform.small.run_sql("DROP TABLE sales")
    for request in tick.run_requests:
        result = platform.run_requested(request)
        assert result.success
        assert not [e for e in result.all_events if e.step_key == "sales__rds_extract"]
    assert platform.shown("sales/redshift_table", "SP17")["rule_version"] == 2
    assert platform.slices()["SP17"] < COUNTS["SP17"]


def test_a_run_asked_for_says_why_and_has_a_name_of_its_own(platform: Platform) -> None:
    platform.small.write_rules(RULES.format(2, 1))
    requests = platform.sense().run_requests
    digest = platform.settings.open_registry().read().rule_sets["sales"].digest
    assert [r.run_key for r in requests] == [
        f"rules:sales:SP17:v2:{digest[:12]}:2",
        f"rules:sales:SU17:v2:{digest[:12]}:2",
    ]
    assert requests[0].tags["etl_assets/campaign"] == "SP17"
    assert requests[0].tags["etl_assets/changed"] == "rules of sales v2"


def test_a_dataset_that_waits_is_reported_and_not_applied(platform: Platform) -> None:
    platform.small.write_dataset(DATASET)
    platform.small.write_rules(RULES.format(2, 1))
    tick = platform.sense()
    assert observed(tick) == {"registry/rules/sales": ALL}
    assert tick.run_requests == []


def test_changed_rules_are_applied_to_a_due_key_that_has_an_extract(platform: Platform) -> None:
    assert platform.run("AU17", "sales/rds_extract").success
    make_due(platform, "AU17")
    platform.small.write_rules(RULES.format(2, 1))
    assert set(asked_for(platform.sense())) == set(ALL)


def test_changed_rules_are_not_applied_to_a_due_key_without_an_extract(
    platform: Platform,
) -> None:
    make_due(platform, *ALL)
    platform.small.write_rules(RULES.format(2, 1))
    assert set(asked_for(platform.sense())) == {"SP17", "SU17"}


def test_changed_rules_are_not_applied_to_a_key_that_was_pruned(platform: Platform) -> None:
    assert platform.prune(["SP17"]).success
    platform.small.write_rules(RULES.format(2, 1))
    assert set(asked_for(platform.sense())) == {"SP17"}


def test_an_override_is_applied_to_its_campaign_alone(platform: Platform) -> None:
    platform.small.write_rules(RULES.format(2, 0) + OVERRIDE)
    assert set(asked_for(platform.sense())) == {"SP17"}


def test_a_rollback_is_applied_also_to_the_version_it_was_before(platform: Platform) -> None:
    keys = []
    for version, least in ((2, 1), (1, 0), (2, 1), (1, 0)):
        platform.small.write_rules(RULES.format(version, least))
        request = platform.sense().run_requests[0]
        keys.append(request.run_key)
        assert platform.run_requested(request).success
        assert platform.shown("sales/redshift_table", "SP17")["rule_version"] == version
    assert len(set(keys)) == 4


def test_a_rollback_of_what_was_never_applied_asks_for_nothing(platform: Platform) -> None:
    platform.small.write_rules(RULES.format(2, 1))
    platform.sense()
    platform.small.write_rules(RULES.format(3, 0))
    tick = platform.sense()
    assert observed(tick) == {"registry/rules/sales": ALL}
    assert asked_for(tick) == {}


def test_what_a_refresh_applied_before_the_look_is_not_applied_again(platform: Platform) -> None:
    platform.small.write_rules(RULES.format(2, 1))
    assert platform.run("SP17").success
    assert set(asked_for(platform.sense())) == {"SU17"}


def test_a_key_with_a_run_in_flight_is_left_for_a_later_look(platform: Platform) -> None:
    run = platform.start_run("SP17", dg.DagsterRunStatus.STARTED)
    platform.small.write_rules(RULES.format(2, 1))
    assert set(asked_for(platform.sense())) == {"SU17"}
    waiting = platform.sense()
    assert waiting.run_requests == []
    assert waiting.skip_message == "To be applied when the run in flight has ended: SP17."
    platform.instance.report_run_failed(run)
    assert set(asked_for(platform.sense())) == {"SP17"}
    assert asked_for(platform.sense()) == {}


def test_a_key_whose_run_in_flight_applied_the_change_is_not_run_again(
    platform: Platform,
) -> None:
    run = platform.start_run("SP17", dg.DagsterRunStatus.STARTED)
    platform.small.write_rules(RULES.format(2, 1))
    platform.sense()
    assert platform.run("SP17").success
    platform.instance.report_run_failed(run)
    assert asked_for(platform.sense()) == {}


def test_a_moved_season_of_a_due_key_is_extracted_anew_to_the_table(platform: Platform) -> None:
    make_due(platform, "SP17")
    move_window(platform)
    tick = platform.sense()
    assert asked_for(tick) == {
        "SP17": ["sales/rds_extract", "sales/s3_staging_csv", "sales/redshift_table"]
    }
    (request,) = tick.run_requests
    assert request.run_key.startswith("campaign:sales:SP17:")
    assert request.tags["etl_assets/changed"] == "campaign"
    assert platform.run_requested(request).success
    assert platform.shown("sales/rds_extract", "SP17")["season"] == "2017-03-01 to 2017-06-01"


def test_a_moved_season_of_a_key_that_is_not_due_waits_for_its_day(platform: Platform) -> None:
    move_window(platform)
    assert asked_for(platform.sense()) == {}


def test_a_campaign_and_its_rules_changed_at_once_are_one_run(platform: Platform) -> None:
    make_due(platform, "SP17")
    move_window(platform)
    platform.small.write_rules(RULES.format(2, 1))
    asked = asked_for(platform.sense())
    assert asked["SP17"][0] == "sales/rds_extract"
    assert asked["SU17"] == ["sales/s3_staging_csv", "sales/redshift_table"]


def test_a_campaign_that_leaves_a_dataset_is_not_run_in_it(platform: Platform) -> None:
    make_due(platform, "SP17")
    platform.small.write_campaigns(CAMPAIGNS.replace("key: SP17,", "key: SP17, datasets: [],"))
    platform.small.write_rules(RULES.format(2, 1))
    assert set(asked_for(platform.sense())) == {"SU17"}


def test_a_lost_memory_costs_observations_and_no_run(platform: Platform) -> None:
    platform.kept["cursor"] = None
    platform.small.write_rules(RULES.format(2, 1))
    tick = platform.sense()
    assert observed(tick)["registry/rules/sales"] == ALL
    assert tick.run_requests == []
