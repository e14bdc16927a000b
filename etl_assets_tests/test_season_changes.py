"""A season that changes is seen, whether the registry is in files or in DynamoDB.

At risk: a campaign that is written and never runs, a history that is lost with its season, and
people who load everything again since they cannot see what moved.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from etl_assets.registry_sync import push
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry
from etl_assets_tests.dagster_fixtures import Platform, open_platform
from etl_assets_tests.registry_changes import observed
from etl_assets_tests.small import CAMPAIGNS, Small
from etl_assets_tests.ui_answers import out_of_step

WINTER = "  - {key: WI17, name: Winter, start: 2017-12-01, end: 2018-02-28}\n"
TABLE = dg.AssetKey(["sales", "redshift_table"])
Write = Callable[[str], None]


@pytest.fixture(params=["files", "dynamodb"])
def platform(request: pytest.FixtureRequest, small: Small, tmp_path: Path) -> Iterator[Platform]:
    """A platform on either registry, after the sensor's first look."""
    changes = {}
    if request.param == "dynamodb":
        registry: DynamoDBRegistry = request.getfixturevalue("filled_registry")
        place = registry.place
        query = f"region={place.region}&endpoint_url={place.endpoint_url}"
        changes["registry_url"] = f"dynamodb://{place.name}?{query}"
    with open_platform(small, tmp_path) as opened:
        found = opened.with_(**changes)
        found.sense()
        yield found


@pytest.fixture
def write(platform: Platform, request: pytest.FixtureRequest) -> Write:
    """How the campaigns of the platform's registry are written."""

    def files(text: str) -> None:
        platform.small.write_campaigns(text)

    def dynamodb(text: str) -> None:
        files(text)
        registry: DynamoDBRegistry = request.getfixturevalue("filled_registry")
        push(registry, platform.small.home / "registry", by="anna", at=dt.datetime.now(dt.UTC))

    return dynamodb if "registry_url" in platform.changes else files


def test_a_new_campaign_is_a_partition_after_one_look_and_can_be_run(
    platform: Platform, write: Write
) -> None:
    write(CAMPAIGNS + WINTER)
    assert observed(platform.sense())["registry/campaigns"] == ["WI17"]
    assert platform.partitions == {"SP17", "SU17", "AU17", "WI17"}
    assert platform.run("WI17", "sales/rds_extract").success


def test_a_campaign_that_left_is_no_partition_and_its_history_is_there_when_it_is_back(
    platform: Platform, write: Write
) -> None:
    assert platform.run("AU17").success
    write("".join(line for line in CAMPAIGNS.splitlines(keepends=True) if "AU17" not in line))
    platform.sense()
    assert platform.partitions == {"SP17", "SU17"}
    loads = [row.load_id for row in platform.loads("AU17")]
    assert len(loads) == 1
    assert "AU17" in platform.instance.get_materialized_partitions(TABLE)
    write(CAMPAIGNS)
    platform.sense()
    assert "AU17" in platform.partitions
    assert platform.shown("sales/redshift_table", "AU17")["load_id"] == loads[0]


def test_a_moved_window_marks_exactly_its_key_until_it_is_moved_back(
    platform: Platform, write: Write
) -> None:
    for key in ("SP17", "SU17"):
        assert platform.run(key).success
    write(CAMPAIGNS.replace("2017-05-31", "2017-06-01"))
    assert observed(platform.sense()) == {"registry/campaigns": ["SP17"]}
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": ["sales/rds_extract"], "SU17": []}
    write(CAMPAIGNS)
    platform.sense()
    assert out_of_step(platform, "SP17", "SU17") == {"SP17": [], "SU17": []}
