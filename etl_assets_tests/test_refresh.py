"""A refresh from the command line, which leaves the same traces as one of the daemon.

At risk: two truths, one in the terminal and another in the UI; and a program that reads JSON
with something else in it.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from etl_assets.core.errors import PermanentError
from etl_assets.home import COMMAND_LINE_TAG, REPOSITORY_TAGS
from etl_assets.refresh import Refresh
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.dagster_fixtures import OTHER_DATASET, Platform, open_platform
from etl_assets_tests.small import CAMPAIGNS, COUNTS, Small

LOAD = dg.AssetKey(["sales", "redshift_table"])
DAY = "2017-05-20"  # both SP17 and SU17


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    with open_platform(small, tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def refreshed(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[CommandLine, subprocess.CompletedProcess[str]]:
    """A small platform after one refresh, with what that said; not to be changed."""
    command = CommandLine.of(Small(tmp_path_factory.mktemp("refreshed")).build())
    return command, command.run("refresh", "--on", DAY, "--json")


Refreshed = tuple[CommandLine, subprocess.CompletedProcess[str]]


def results(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, object]]:
    """Return the results of a refresh with --json, by key."""
    assert done.stdout, done.stderr
    return {r["key"]: r for r in json.loads(done.stdout)["results"]}


def test_json_is_all_that_a_refresh_prints_and_has_its_counts(refreshed: Refreshed) -> None:
    done = refreshed[1]
    assert done.returncode == 0, done.stderr
    found = results(done)
    assert sorted(found) == ["SP17", "SU17"]
    for key, result in found.items():
        assert result["status"] == "loaded"
        assert result["source_records"] == result["loaded_records"] == COUNTS[key]
        assert result["proof"] == (
            f"{COUNTS[key]} read = {COUNTS[key]} loaded + 0 filtered + 0 rejected"
        )
        assert result["error"] == ""
    assert (found["SP17"]["start"], found["SP17"]["end"]) == ("2017-03-01", "2017-05-31")


def test_progress_on_stderr_is_whole_lines_without_dagsters_log(refreshed: Refreshed) -> None:
    lines = refreshed[1].stderr.splitlines()
    assert lines[0] == "Partitions: Added AU17, SP17, SU17."
    assert [line.partition(" (")[0] for line in lines[1:]] == [
        "[1/2] SP17: sales loaded 14",
        "[2/2] SU17: sales loaded 16",
    ]
    assert "\x1b" not in refreshed[1].stderr


def test_its_runs_are_in_the_instance_under_their_job_and_repository(refreshed: Refreshed) -> None:
    command, done = refreshed
    found = results(done)
    with command.instance() as instance:
        runs = {
            run.tags["dagster/partition"]: run
            for run in instance.get_runs(dg.RunsFilter(job_name="refresh", tags=REPOSITORY_TAGS))
        }
        assert {key: run.run_id for key, run in runs.items()} == {
            key: result["run_id"] for key, result in found.items()
        }
        for run in runs.values():
            assert run.status is dg.DagsterRunStatus.SUCCESS
            assert run.tags[COMMAND_LINE_TAG] == "true"


def test_its_partitions_and_materializations_are_in_the_instance(refreshed: Refreshed) -> None:
    command, done = refreshed
    with command.instance() as instance:
        assert sorted(instance.get_dynamic_partitions("campaigns")) == ["AU17", "SP17", "SU17"]
        assert instance.get_materialized_partitions(LOAD) == {"SP17", "SU17"}
        records = instance.fetch_materializations(LOAD, limit=9).records
    shown = {r.partition_key: r.asset_materialization for r in records}
    for key, result in results(done).items():
        materialization = shown[key]
        assert materialization is not None
        assert materialization.metadata["load_id"].value == result["load_id"]


def test_the_ledger_listed_is_that_of_the_refresh(refreshed: Refreshed) -> None:
    command, done = refreshed
    listed = json.loads(command.run("loads", "--json").stdout)
    assert [load["load_id"] for load in listed] == [
        results(done)[key]["load_id"] for key in ("SU17", "SP17")
    ]
    assert [load["campaign_key"] for load in listed] == ["SU17", "SP17"]
    (one,) = json.loads(command.run("loads", "--json", "--key", "SP17").stdout)
    assert one["records"] == COUNTS["SP17"]
    assert json.loads(command.run("loads", "--json", "--dataset", "other").stdout) == []


def test_a_relative_home_is_that_of_the_working_directory(small: Small) -> None:
    command = CommandLine.of(small)
    done = command.run(
        "refresh", "--key", "SP17", cwd=small.home.parent, ETL_ASSETS_HOME=small.home.name
    )
    assert done.returncode == 0, done.stderr
    assert "loaded, source = table" in done.stdout
    assert (small.home / "warehouse.duckdb").exists()
    with command.instance() as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS]


def test_one_keys_failure_is_one_line_and_stops_no_other(small: Small) -> None:
    small.write_campaigns(CAMPAIGNS.replace("end: 2017-05-31", "end: 2017-05-32"))
    done = CommandLine.of(small).run("refresh", "--on", DAY)
    assert done.returncode == 1
    assert "SU17" in done.stdout
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("SP17 sales:")]
    assert said.startswith("SP17 sales: Campaign SP17 cannot be refreshed: campaigns.yaml, line 2")
    assert said.endswith("the table keeps its earlier records.")
    assert "Traceback" not in done.stderr


def test_demo_twice_brings_the_samples_counts_and_then_changes_nothing(
    sample_home: Path, tmp_path: Path
) -> None:
    command = CommandLine(tmp_path / "home")
    command.home.mkdir()
    (command.home / "source.sqlite").hardlink_to(sample_home / "source.sqlite")
    shutil.copytree(sample_home / "registry", command.home / "registry")
    calendar = command.home / "registry" / "calendar.yaml"  # two keys tell what six would
    calendar.write_text("calendar: {2017-12-10: [CJ15, CJ18]}\n", encoding="utf-8")
    done = command.run("demo")
    assert done.returncode == 0, done.stderr
    for shown in ("165,242", "4,169", "2017-10-30 to 2017-12-24", "2 keys in", "make ui"):
        assert shown in done.stdout
    with duckdb.connect(str(command.home / "warehouse.duckdb")) as warehouse:
        counted = warehouse.execute(
            "SELECT campaign_key, count(*), sum(sales_value) FROM campaign_sales GROUP BY 1"
        ).fetchall()
        counts = {key: (count, str(value)) for key, count, value in counted}
    assert counts["CJ18"] == (165_242, "533846.92")
    assert counts["CJ15"][0] == 4_169
    assert sorted(counts) == ["CJ15", "CJ18"]
    ledger = command.run("loads", "--json").stdout
    files = _files(command.home / "staging")

    again = command.run("demo")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("unchanged, source = table") == 4
    assert command.run("loads", "--json").stdout == ledger
    assert _files(command.home / "staging") == files


def test_keys_that_are_not_due_leave_the_table_and_are_named(platform: Platform) -> None:
    platform.load("SP17", "AU17", "SU17")
    refresh = Refresh(platform.settings, platform.instance)
    assert refresh.prune(["SP17", "SU17"]) == (["sales: AU17"], "")
    assert set(platform.slices()) == {"SP17", "SU17"}


def test_a_refused_removal_is_said_and_removes_nothing(platform: Platform) -> None:
    platform.load("SP17", "AU17", "SU17")
    removed, error = Refresh(platform.settings, platform.instance).prune(["SP17"])
    assert removed == []
    assert error.startswith("2 of 3 keys would be removed from the table at once")
    assert platform.slices() == COUNTS


def test_a_key_that_another_run_refreshes_is_left_to_that(platform: Platform) -> None:
    refresh = Refresh(platform.settings, platform.instance)
    job = refresh._defs.resolve_job_def("refresh")
    platform.instance.create_run_for_job(
        job_def=job, tags={"dagster/partition": "SP17"}, status=dg.DagsterRunStatus.STARTED
    )
    ((busy,), (done,)) = refresh.run(["SP17", "SU17"])
    assert (busy.status, done.status) == ("failed", "loaded")
    assert busy.error.startswith("Campaign SP17 is being refreshed by another run.")


def test_progress_is_what_the_assets_say_and_nothing_else(platform: Platform) -> None:
    said: list[str] = []
    list(Refresh(platform.settings, platform.instance, progress=said.append).run(["SP17"]))
    assert [re.sub(r": \d+\.\d s( \(.*\))?$", "", line) for line in said] == [
        "14 records of SP17 extracted",
        "14 records of SP17 staged (0 filtered, 0 rejected)",
        "SP17: 14 read = 14 loaded + 0 filtered + 0 rejected",
    ]


def test_a_campaign_of_some_datasets_has_results_of_those_only(platform: Platform) -> None:
    platform.small.write_dataset(OTHER_DATASET, "notes")
    platform.small.write_campaigns(CAMPAIGNS.replace("key: SP17,", "key: SP17, datasets: [notes],"))
    ((result,),) = Refresh(platform.settings, platform.instance).run(["SP17"])
    assert (result.dataset, result.status) == ("notes", "loaded")
    assert platform.slices("sales") == {}


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("XX99", "Campaign XX99 is not in the registry."),
        ("SP17", "Campaign SP17 cannot be refreshed: campaigns.yaml, line 2"),
        ("SU17", "Campaign SU17 takes part in no dataset."),
    ],
)
def test_a_key_that_cannot_be_refreshed_is_refused_before_anything_runs(
    platform: Platform, key: str, sentence: str
) -> None:
    platform.small.write_campaigns(
        CAMPAIGNS.replace("end: 2017-05-31", "end: 31").replace("Summer", "Summer, datasets: []")
    )
    refresh = Refresh(platform.settings, platform.instance)
    with pytest.raises(PermanentError, match=sentence):
        refresh.check([key])


def test_a_failure_is_told_of_the_dataset_it_is_of_also_with_a_longer_name(
    platform: Platform,
) -> None:
    platform.small.write_dataset(
        "dataset: sales__eu\nprimary_key: [a]\nquery: SELECT a FROM gone\n", "sales__eu"
    )
    (found,) = Refresh(platform.settings, platform.instance).run(["SP17"])
    assert {r.dataset: r.status for r in found} == {"sales": "loaded", "sales__eu": "failed"}


def test_a_forced_refresh_is_forced_to_the_end(platform: Platform) -> None:
    platform.load("SP17")
    ((result,),) = Refresh(platform.settings, platform.instance, force=True).run(["SP17"])
    assert result.status == "loaded"
    assert len(platform.loads("SP17")) == 2


def _files(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
