"""A refresh works with the registry as it was when it was decided, also in its retries.

At risk: an extract of one season staged by the rules of another, and a retry that loads
something else than the run it replaces.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest

from etl_assets import pipeline
from etl_assets.core.errors import RegistryError, TransientError
from etl_assets.core.manifest import Extract
from etl_assets.refresh import Refresh
from etl_assets.registry_sync import push
from etl_assets.resources import REVISION_TAG
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry
from etl_assets_tests.dagster_fixtures import Platform, open_platform
from etl_assets_tests.small import CAMPAIGNS, COUNTS, MAY_BE_EMPTIED, Small
from etl_assets_tests.systems.registry_writes import AT

FEW = "version: 1\nrules:\n  - {id: some, kind: filter, keep: quantity = 1}\n"
FEWER = "version: 2\nrules:\n  - {id: none, kind: filter, keep: quantity > 99}\n"
KEPT = 4  # of the 14 of SP17, by the first of these
NO_WAIT = dg.RetryPolicy(max_retries=2, delay=0)
RETRIED = {"dagster/retry_number": "1"}


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    """A platform over the registry's files."""
    with open_platform(small, tmp_path) as opened:
        yield opened


@pytest.fixture
def pushed(platform: Platform, dynamodb_registry: DynamoDBRegistry) -> Platform:
    """The same over DynamoDB, filled with the first rules as revision 1."""
    place = dynamodb_registry.place
    url = f"dynamodb://{place.name}?region={place.region}&endpoint_url={place.endpoint_url}"
    platform.small.write_rules(FEW)
    publish(platform, dynamodb_registry)
    return platform.with_(registry_url=url)


def publish(platform: Platform, registry: DynamoDBRegistry) -> None:
    """Push the folder."""
    push(registry, platform.small.home / "registry", by="anna", at=AT)


def revision(platform: Platform, run_id: str) -> str | None:
    """Return the tag of a run as it is stored."""
    run = platform.instance.get_run_by_id(run_id)
    return run.tags.get(REVISION_TAG) if run else None


def test_an_earlier_revision_is_read_as_it_was(
    pushed: Platform, dynamodb_registry: DynamoDBRegistry
) -> None:
    before = dynamodb_registry.read()
    assert before.revision == 1
    pushed.small.write_rules(FEWER)
    pushed.small.write_campaigns(
        CAMPAIGNS.replace("2017-05-31", "2017-04-30").replace("key: AU17", "key: NEW")
    )
    pushed.small.write_calendar("calendar: {2017-05-20: [NEW]}\n")
    publish(pushed, dynamodb_registry)
    assert dynamodb_registry.read(1) == before
    now = dynamodb_registry.read()
    assert now == dynamodb_registry.read(now.revision)
    assert (now.keys, before.keys) == (["NEW", "SP17", "SU17"], ["AU17", "SP17", "SU17"])
    assert now.rule_sets["sales"].version == 2


def test_a_revision_that_never_was_is_an_error(dynamodb_registry: DynamoDBRegistry) -> None:
    with pytest.raises(RegistryError):
        dynamodb_registry.read(1)


def test_a_table_that_is_younger_than_the_run_is_an_error(
    pushed: Platform, dynamodb_registry: DynamoDBRegistry
) -> None:
    assert pushed.slices() == {}
    with pytest.raises(RegistryError, match="is at revision 1, and revision 7 was asked for"):
        dynamodb_registry.read(7)


def test_a_tick_pins_what_it_read_and_its_runs_use_that(
    pushed: Platform, dynamodb_registry: DynamoDBRegistry
) -> None:
    requests = pushed.tick("refresh_schedule", dt.datetime(2017, 5, 20, 3, tzinfo=dt.UTC))
    tags = requests.run_requests[0].tags
    assert tags[REVISION_TAG] == "1"
    pushed.small.write_rules(FEWER)
    publish(pushed, dynamodb_registry)
    assert pushed.run("SP17", tags=tags).success
    assert pushed.shown("sales/s3_staging_csv", "SP17")["rule_version"] == 1
    assert pushed.slices() == {"SP17": KEPT}


@pytest.mark.parametrize(("extra", "version"), [(RETRIED, 1), ({}, 2)])
def test_a_run_that_dagster_starts_again_reads_what_the_first_read_and_a_person_s_does_not(
    pushed: Platform,
    dynamodb_registry: DynamoDBRegistry,
    extra: Mapping[str, str],
    version: int,
) -> None:
    first = pushed.run("SP17", "sales/rds_extract")
    assert revision(pushed, first.run_id) == "1"
    pushed.small.write_rules(FEWER)
    publish(pushed, dynamodb_registry)
    again = _run_again(pushed, first.run_id, extra)
    assert again.success
    assert pushed.shown("sales/s3_staging_csv", "SP17")["rule_version"] == version
    assert revision(pushed, again.run_id) == str(version)


def _run_again(
    platform: Platform, run_id: str, extra: Mapping[str, str]
) -> dg.ExecuteInProcessResult:
    """Run the job as a run that replaces another: with that one's tags, as Dagster does."""
    before = platform.instance.get_run_by_id(run_id)
    assert before
    tags = {**before.tags, "dagster/parent_run_id": run_id, "dagster/root_run_id": run_id, **extra}
    tags.pop("dagster/partition")
    return platform.run("SP17", tags=tags)


def test_the_command_line_pins_what_it_read(
    pushed: Platform, dynamodb_registry: DynamoDBRegistry
) -> None:
    refresh = Refresh(pushed.settings, pushed.instance)
    pushed.small.write_rules(FEWER)
    publish(pushed, dynamodb_registry)
    ((result,),) = refresh.run(["SP17"])
    assert (result.error, result.loaded_records) == ("", KEPT)


def test_a_run_reads_the_files_once(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that are written between extract and stage wait for the next run."""
    platform.small.write_dataset(MAY_BE_EMPTIED)
    original = pipeline.extract

    def write_and_extract(*args: object, **kwargs: object) -> Extract:
        platform.small.write_rules(FEWER)
        return original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "extract", write_and_extract)
    assert platform.run("SP17").success
    assert platform.slices() == {"SP17": COUNTS["SP17"]}
    assert platform.run("SP17").success
    assert platform.slices() == {}


def test_a_step_that_is_tried_again_uses_the_rules_of_its_first_try(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, tries = pipeline.stage, []
    platform.small.write_rules(FEW)

    def fail_first(*args: object, **kwargs: object) -> object:
        tries.append(args)
        if len(tries) == 1:
            platform.small.write_rules(FEWER)
            raise TransientError("Planted.", "Try again.")
        return original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "stage", fail_first)
    monkeypatch.setattr("etl_assets.failures.RETRIES", NO_WAIT)
    assert platform.run("SP17").success
    assert len(tries) == 2
    assert platform.slices() == {"SP17": KEPT}
