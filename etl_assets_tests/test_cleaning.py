"""Cleaning, from a refreshed platform to an empty shelf and back to a load."""

import datetime as dt
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from etl_assets.clean_job import CLEAN_JOB
from etl_assets.cleaning import find_removals, remove
from etl_assets.cli import cli
from etl_assets.core.manifest import Load
from etl_assets.core.orders import order_for
from etl_assets.definitions import build_defs
from etl_assets.kept import stage_of
from etl_assets.loading import load
from etl_assets.pipeline import extract, stage
from etl_assets.settings import Settings
from etl_assets.systems.aws import Place
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import DATASET, Small

LATER = dt.timedelta(days=90)


@pytest.fixture(params=["file", "s3"])
def platform(request: pytest.FixtureRequest, small: Small) -> Settings:
    settings = small.settings()
    if request.param == "s3":
        place: Place = request.getfixturevalue("s3_place")
        url = f"s3://{place.name}/a/b?region=eu-west-1&endpoint_url={place.endpoint_url}"
        settings = Settings(
            home=settings.home, datasets_folder=settings.datasets_folder, staging_url=url
        )
    return settings


def refresh(settings: Settings, key: str = "SP17") -> Load:
    """Extract, stage and load one key anew."""
    registry = settings.open_registry().read()
    dataset, campaign = settings.datasets["sales"], registry.campaign(key)
    source, staging = settings.open_source(), settings.open_staging()
    taken = extract(dataset, campaign, source, staging, source_name="sqlite")
    staged = stage(dataset, campaign, taken, registry.rules_of(dataset), staging)
    made = load(dataset, staged, staging, settings.open_warehouse(), run_id=None, force=True)
    assert made.row is not None
    return made.row


def folders(settings: Settings) -> set[str]:
    return {item.path.rpartition("/")[0] for item in settings.open_staging().objects()}


def test_what_the_current_load_needs_survives_cleaning_and_can_be_loaded_again(
    platform: Settings,
) -> None:
    loads = [refresh(platform) for _ in range(3)]
    before = folders(platform)
    assert len(before) == 6
    staging, warehouse = platform.open_staging(), platform.open_warehouse()
    now = dt.datetime.now(dt.UTC)
    assert find_removals(staging, warehouse, now=now, datasets={}, keep_loads=1, keep_days=1) == []
    found = find_removals(
        staging, warehouse, now=now + LATER, datasets={}, keep_loads=1, keep_days=30
    )
    assert folders(platform) == before, "finding removes nothing"
    assert remove(staging, found, found) == found
    current = loads[-1]
    extract_path = f"extract/sales/SP17/{current.extract_id}"
    assert folders(platform) == {extract_path, str(current.stage).rpartition("/")[0]}
    again = refresh(platform)
    assert again.records == current.records


def test_a_stage_that_was_never_loaded_keeps_its_own_extract_and_no_other(
    platform: Settings,
) -> None:
    """Its extract was looked for in another file than that which names it: all were kept."""
    old, current = refresh(platform), refresh(platform)
    chain = Chain(platform)
    staged = chain.stage()
    taken = chain.extract()
    staging, warehouse = platform.open_staging(), platform.open_warehouse()
    now = dt.datetime.now(dt.UTC) + LATER
    found = find_removals(staging, warehouse, now=now, datasets={}, keep_loads=1, keep_days=30)
    assert [r.folder.id for r in found if r.folder.kind == "extract"] == [old.extract_id]
    remove(staging, found, found)
    kept = {str(current.extract_id), staged.extract_id, taken.extract_id}
    assert {path.rpartition("/")[2] for path in folders(platform) if "extract" in path} == kept


def test_what_a_rollback_put_back_is_the_current_load_and_is_kept(platform: Settings) -> None:
    first, _ = refresh(platform), refresh(platform)
    staging, warehouse = platform.open_staging(), platform.open_warehouse()
    back = order_for("rollback", platform.datasets["sales"], "SP17", "r1")
    back = replace(back, stage=stage_of(first, staging), stage_path=first.stage)
    warehouse.commit([back], staging)
    now = dt.datetime.now(dt.UTC) + LATER
    found = find_removals(staging, warehouse, now=now, datasets={}, keep_loads=1, keep_days=30)
    remove(staging, found, found)
    again = stage_of(first, staging)
    assert again
    staging.verify(again.parts)


def test_what_was_loaded_since_it_was_shown_is_not_removed(platform: Settings) -> None:
    refresh(platform)
    refresh(platform)
    staging, warehouse = platform.open_staging(), platform.open_warehouse()
    now = dt.datetime.now(dt.UTC) + LATER
    shown = find_removals(staging, warehouse, now=now, datasets={}, keep_loads=1, keep_days=30)
    assert shown
    assert remove(staging, shown, []) == []
    assert len(folders(platform)) == 4


def test_an_interrupted_removal_leaves_no_stage_and_goes_on_the_next_time(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(platform)
    refresh(platform)
    staging, warehouse = platform.open_staging(), platform.open_warehouse()
    now = dt.datetime.now(dt.UTC) + LATER
    shown = find_removals(staging, warehouse, now=now, datasets={}, keep_loads=1, keep_days=30)
    delete, calls = staging.delete, []

    def killed(paths: list[str]) -> None:
        calls.append(paths)
        if len(calls) == 2:
            raise KeyboardInterrupt
        delete(paths)

    with monkeypatch.context() as patched:
        patched.setattr(staging, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(staging, shown, shown)
    assert calls[0] == [f"{shown[0].folder.path}/manifest.json"]
    left = find_removals(staging, warehouse, now=now, datasets={}, keep_loads=1, keep_days=30)
    assert {removal.folder.path for removal in left} == {r.folder.path for r in shown}
    assert left[0].reason == "never finished"
    remove(staging, left, left)
    assert len(folders(platform)) == 2


@pytest.fixture
def old(small_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A platform of files that was refreshed twice, 90 days ago; the environment names it."""
    refresh(small_settings)
    refresh(small_settings)
    at = time.time() - LATER.total_seconds()
    for path in (small_settings.home / "staging").rglob("*"):
        os.utime(path, (at, at))
    monkeypatch.setenv("ETL_ASSETS_HOME", str(small_settings.home))
    monkeypatch.setenv("ETL_ASSETS_DATASETS", str(small_settings.datasets_folder))
    return small_settings


def clean(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["staging", "clean", *arguments], input=answer)


def test_the_command_shows_first_and_removes_only_when_told_to(old: Settings) -> None:
    shown = clean("--keep-loads", "1")
    assert shown.exit_code == 0, shown.output
    assert len(folders(old)) == 4
    found = json.loads(clean("--keep-loads", "1", "--json").output)
    assert (len(found["found"]), found["removed"]) == (2, [])
    assert len(folders(old)) == 4
    done = json.loads(clean("--keep-loads", "1", "--json", "--yes").output)
    assert done["removed"] == found["found"]
    assert len(folders(old)) == 2
    assert clean("--keep-loads", "1", "--yes").exit_code == 0
    assert len(folders(old)) == 2


def test_the_command_keeps_five_loads_and_thirty_days_unless_told_otherwise(old: Settings) -> None:
    assert json.loads(clean("--json", "--yes").output) == {"found": [], "removed": []}
    kept = json.loads(clean("--json", "--yes", "--keep-loads", "1", "--keep-days", "91").output)
    assert kept["found"] == []
    assert clean("--keep-days", "0").exit_code == 2
    assert clean("--keep-loads", "0").exit_code == 2
    assert len(folders(old)) == 4


def test_nothing_is_removed_with_the_ledger_of_another_warehouse(
    old: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ETL_ASSETS_WAREHOUSE", f"duckdb:///{tmp_path}/another.duckdb")
    assert json.loads(clean("--keep-loads", "1", "--json", "--yes").output)["found"] == []
    assert len(folders(old)) == 4


def test_each_dataset_says_how_much_of_it_is_kept(old: Settings, small: Small) -> None:
    assert json.loads(clean("--json").output)["found"] == []
    assert len(folders(old)) == 4
    small.write_dataset("keep: {loads: 1}\n" + DATASET)
    assert len(json.loads(clean("--json").output)["found"]) == 2
    small.write_dataset("keep: {loads: 1, days: 91}\n" + DATASET)
    assert json.loads(clean("--json").output)["found"] == []
    assert len(json.loads(clean("--json", "--keep-days", "30").output)["found"]) == 2


def test_the_job_removes_what_the_command_would_and_says_what(old: Settings, small: Small) -> None:
    small.write_dataset("keep: {loads: 1}\n" + DATASET)
    found = {row["folder"] for row in json.loads(clean("--json").output)["found"]}
    job = build_defs(small.settings()).resolve_job_def(CLEAN_JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        first, second = (job.execute_in_process(instance=instance) for _ in range(2))
    assert {row["folder"] for row in shown(first)["removed"]} == found
    assert len(folders(old)) == 2
    assert shown(second) == {"folders": 0, "bytes": 0}


def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return what the op that cleans the staging store says it did."""
    (event,) = result.filter_events(
        lambda e: e.is_successful_output and e.step_key == "clean_staging"
    )
    found = event.step_output_data.metadata
    return {
        name: [dict(row.data) for row in value.records]
        if isinstance(value, dg.TableMetadataValue)
        else value.value
        for name, value in found.items()
    }


def test_an_extract_that_no_kept_stage_was_made_from_goes_also_beside_one_not_yet_loaded(
    old: Settings,
) -> None:
    """The manifest of a stage that the ledger does not know says which extract it is of."""
    registry, staging = old.open_registry().read(), old.open_staging()
    dataset, campaign = old.datasets["sales"], registry.campaign("SP17")
    taken = extract(dataset, campaign, old.open_source(), staging, source_name="sqlite")
    stage(dataset, campaign, taken, registry.rules_of(dataset), staging)
    found = json.loads(clean("--json", "--keep-loads", "1").output)["found"]
    assert len([row for row in found if row["folder"].startswith("extract/")]) == 1
