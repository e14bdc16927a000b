"""The partitions follow the registry.

At risk: the list of keys people see and the daemon runs. A key that vanishes while its run is
under way fails that run; an empty reading must never empty the list.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from etl_assets.core.changes import PartitionChanges
from etl_assets.core.errors import DocumentError, RegistryError
from etl_assets.partitions import describe_changes, keys_in_flight, sync_partitions
from etl_assets_tests.dagster_fixtures import Platform, open_platform
from etl_assets_tests.small import CAMPAIGNS, Small

ALL = {"SP17", "SU17", "AU17"}
WITHOUT_AUTUMN = "".join(line for line in CAMPAIGNS.splitlines(keepends=True) if "AU17" not in line)


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    with open_platform(small, tmp_path) as opened:
        yield opened


def sync(platform: Platform, *, allow: bool = False) -> PartitionChanges:
    registry = platform.settings.open_registry().read()
    return sync_partitions(platform.instance, registry, allow_mass_removal=allow)


def test_keys_of_the_registry_become_partitions(platform: Platform) -> None:
    assert sync(platform).add == ("AU17", "SP17", "SU17")
    assert platform.partitions == ALL
    assert not sync(platform)


def test_a_key_that_left_the_registry_leaves_the_partitions(platform: Platform) -> None:
    sync(platform)
    platform.small.write_campaigns(WITHOUT_AUTUMN)
    assert sync(platform).remove == ("AU17",)
    assert platform.partitions == ALL - {"AU17"}


def test_a_campaign_that_cannot_be_used_keeps_its_partition(platform: Platform) -> None:
    sync(platform)
    platform.small.write_campaigns(CAMPAIGNS.replace("start: 2017-09-01", "start: 2017-09-31"))
    assert not sync(platform)
    assert platform.partitions == ALL


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
    ids=lambda status: status.value,
)
def test_a_key_with_a_run_in_flight_keeps_its_partition_until_that_has_ended(
    platform: Platform, status: dg.DagsterRunStatus
) -> None:
    sync(platform)
    run = platform.start_run("AU17", status)
    platform.small.write_campaigns(WITHOUT_AUTUMN)
    assert keys_in_flight(platform.instance) == {"AU17"}
    assert sync(platform).deferred == ("AU17",)
    assert platform.partitions == ALL
    platform.instance.report_run_failed(run)
    assert sync(platform).remove == ("AU17",)


def test_most_partitions_are_not_removed_at_once_unless_that_is_allowed(
    platform: Platform,
) -> None:
    sync(platform)
    platform.small.write_campaigns(
        "campaigns:\n  - {key: SP17, start: 2017-03-01, end: 2017-05-31}\n"
    )
    assert sync(platform).refused == ("AU17", "SU17")
    assert platform.partitions == ALL
    assert sync(platform, allow=True).remove == ("AU17", "SU17")
    assert platform.partitions == {"SP17"}


def test_each_kind_of_change_is_said_in_words() -> None:
    changes = PartitionChanges(add=("A", "B"), remove=("C",), deferred=("D",), refused=("E", "F"))
    assert describe_changes(changes) == (
        "Added A, B. Removed C. Not removed yet, a run is in flight: D."
        " NOT removed, they are more than half of all (ETL_ASSETS_ALLOW_MASS_REMOVAL): E, F."
    )
    assert describe_changes(PartitionChanges()) == ""


def test_one_look_of_the_sensor_adds_and_removes(platform: Platform) -> None:
    sync(platform)
    new = "  - {key: WI17, start: 2017-12-01, end: 2018-02-28}\n"
    platform.small.write_campaigns(WITHOUT_AUTUMN + new)
    seen = platform.sense()
    assert seen.skip_message.startswith("Added WI17. Removed AU17. ")
    assert platform.partitions == {"SP17", "SU17", "WI17"}
    assert platform.sense().skip_message == "3 campaigns, no change."


def test_the_sensor_keeps_the_partition_of_a_queued_run_and_says_so(platform: Platform) -> None:
    platform.sense()
    platform.start_run("AU17", dg.DagsterRunStatus.QUEUED)
    platform.small.write_campaigns(WITHOUT_AUTUMN)
    assert "Not removed yet, a run is in flight: AU17." in platform.sense().skip_message
    assert platform.partitions == ALL


def test_the_sensor_is_loud_about_a_campaign_that_cannot_be_used(
    platform: Platform, capfd: pytest.CaptureFixture[str]
) -> None:
    platform.small.write_campaigns(CAMPAIGNS.replace("end: 2017-11-30", "end: 2017-01-30"))
    platform.sense()
    said = capfd.readouterr().err
    assert "ERROR - Campaign AU17 cannot be used: campaigns.yaml, line 4" in said


def test_the_sensor_fails_on_a_registry_that_cannot_be_read_and_changes_nothing(
    platform: Platform,
) -> None:
    platform.sense()
    (platform.small.home / "registry" / "campaigns.yaml").unlink()
    with pytest.raises(RegistryError, match=r"campaigns\.yaml cannot be read"):
        platform.sense()
    assert platform.partitions == ALL


def test_the_sensor_fails_on_a_key_that_is_there_twice_and_changes_nothing(
    platform: Platform,
) -> None:
    platform.sense()
    platform.small.write_campaigns(
        CAMPAIGNS + "  - {key: sp17, start: 2017-01-01, end: 2017-01-02}\n"
    )
    with pytest.raises(DocumentError, match="sp17 is already on line 2"):
        platform.sense()
    assert platform.partitions == ALL


def test_an_empty_registry_does_not_empty_the_partitions(platform: Platform) -> None:
    platform.sense()
    platform.small.write_campaigns("campaigns: []\n")
    assert "NOT removed" in platform.sense().skip_message
    assert platform.partitions == ALL
