"""What a person decides about a slice, as the job that the command line and the UI run.

At risk: people who see green where readers have old records, or a failed check after all is well.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets.core.errors import TransientError
from etl_assets.decide_job import DECIDE_JOB, DECIDE_OP
from etl_assets.definitions import build_defs
from etl_assets_tests.dagster_fixtures import OTHER_DATASET, Platform, failures, open_copy
from etl_assets_tests.dagster_fixtures import open_platform as open_new
from etl_assets_tests.small import COUNTS, Small
from etl_assets_tests.ui_answers import out_of_step

TABLE = dg.AssetKey(["sales", "redshift_table"])
AMOUNT = "UPDATE sales SET amount = amount + 1 WHERE sale_id = 3"


@pytest.fixture(scope="module")
def loaded_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a platform on which SP17 was refreshed before and after a change."""
    folder = tmp_path_factory.mktemp("loaded_twice")
    with open_new(Small(folder / "small").build(), folder) as platform:
        platform.sense()
        assert platform.run("SP17").success
        platform.small.run_sql(AMOUNT)
        assert platform.run("SP17").success
    return folder


@pytest.fixture
def platform(loaded_twice: Path, tmp_path: Path) -> Iterator[Platform]:
    """A copy of it for each test."""
    with open_copy(loaded_twice, tmp_path) as opened:
        yield opened


def decide(platform: Platform, action: str, **fields: object) -> dg.ExecuteInProcessResult:
    """Run the job with a configuration as the Launchpad takes it."""
    config = {"action": action, "made_by": "ann", **fields}
    job = build_defs(platform.settings).resolve_job_def(DECIDE_JOB)
    return job.execute_in_process(
        instance=platform.instance,
        run_config={"ops": {DECIDE_OP: {"config": config}}},
        raise_on_error=False,
    )


def roll_back(platform: Platform, **fields: object) -> dg.ExecuteInProcessResult:
    """Put the first load of SP17 back."""
    result = decide(platform, "rollback", load_id=platform.loads()[-1].load_id, **fields)
    assert result.success, failures(result)
    return result


def check_of(platform: Platform) -> dg.AssetCheckEvaluation:
    """Return what the UI shows of `follows_source` for SP17: the latest evaluation."""
    key, storage = dg.AssetCheckKey(TABLE, "follows_source"), platform.instance.event_log_storage
    (info,) = storage.get_asset_check_partition_info([key], partition_keys=["SP17"])
    assert info.is_current, "The UI shows no check of an earlier materialization."
    (record, *_) = storage.get_asset_check_execution_history(key, 1)
    assert record.event
    evaluation = record.event.asset_check_evaluation
    assert evaluation
    assert evaluation.partition == "SP17"
    return evaluation


def observed(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.get_asset_observation_events()
    observation = event.asset_observation_data.asset_observation
    assert (observation.asset_key, observation.partition) == (TABLE, "SP17")
    return {name: value.value for name, value in observation.metadata.items()}


def hold_by_guard(platform: Platform) -> str:
    """Let the guard hold a load without records; return its id."""
    platform.small.run_sql("DELETE FROM sales")
    assert platform.run("SP17").success
    return platform.loads()[0].load_id


def test_a_rollback_is_a_materialization_that_says_what_was_put_back(platform: Platform) -> None:
    second, first = platform.loads()
    roll_back(platform, reason="wrong amounts")
    shown = platform.shown("sales/redshift_table", "SP17")
    row = platform.loads()[0]
    assert (shown["decision"], shown["about"]) == ("rollback", first.load_id)
    assert (shown["made_by"], shown["reason"]) == ("ann", "wrong amounts")
    assert (shown["load_id"], shown["proof"]) == (row.load_id, first.proof)
    assert (shown["dagster/partition_row_count"], shown["replaced_records"]) == (14, 14)
    assert second.inputs_digest == row.undoes


def test_a_rollback_shows_as_out_of_step_and_its_check_as_a_warning(platform: Platform) -> None:
    assert out_of_step(platform, "SP17") == {"SP17": []}
    roll_back(platform, reason="audit")
    assert out_of_step(platform, "SP17") == {"SP17": ["sales/redshift_table"]}
    assert out_of_step(platform, "SP17", why=True) == {"SP17": ["sales/s3_staging_csv"]}
    found = check_of(platform)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "rolled back to load" in str(found.description)
    assert "by ann (audit), and neither source nor rules have changed since." in str(
        found.description
    )


def test_the_newest_load_put_back_is_in_step_again(platform: Platform) -> None:
    newest = platform.loads()[0].load_id
    roll_back(platform)
    assert decide(platform, "rollback", load_id=newest).success
    assert out_of_step(platform, "SP17") == {"SP17": []}
    assert check_of(platform).passed


def test_a_source_that_is_as_it_was_brings_a_rollback_into_step(platform: Platform) -> None:
    roll_back(platform)
    platform.small.run_sql(AMOUNT.replace("+", "-"))
    assert platform.run("SP17").success
    assert out_of_step(platform, "SP17") == {"SP17": []}
    assert check_of(platform).passed
    assert platform.loads()[0].kind == "rollback"


def test_the_next_refresh_keeps_a_rollback_and_says_so(platform: Platform) -> None:
    roll_back(platform)
    result = platform.run("SP17")
    assert result.success
    assert observed(result)["status"] == "kept"
    assert out_of_step(platform, "SP17") == {"SP17": ["sales/redshift_table"]}
    platform.small.run_sql(AMOUNT)
    assert platform.run("SP17").success
    assert platform.loads()[0].kind == "load"
    assert out_of_step(platform, "SP17") == {"SP17": []}


def test_a_rollback_whose_stage_dagster_does_not_know_is_out_of_step(
    tmp_path: Path, small: Small
) -> None:
    small.run_sql(AMOUNT)
    with open_new(small, tmp_path) as platform:
        platform.load("SP17")  # without Dagster
        small.run_sql(AMOUNT)
        platform.sense()
        assert platform.run("SP17").success
        roll_back(platform)
        assert out_of_step(platform, "SP17") == {"SP17": ["sales/redshift_table"]}


def test_a_hold_survives_refreshes_rules_and_force_until_it_is_released(
    platform: Platform,
) -> None:
    result = decide(platform, "hold", key="SP17", reason="audit")
    assert result.success
    assert observed(result)["decision"] == "hold"
    assert (check_of(platform).passed, check_of(platform).severity) == (
        False, dg.AssetCheckSeverity.WARN,
    )  # fmt: skip
    platform.small.run_sql(AMOUNT)
    platform.small.write_rules("version: 2\nrules: []\n")
    platform.sense()
    for tags in ({}, {"etl_assets/force": "true"}):
        assert platform.run("SP17", tags=tags).success
    assert platform.prune([], allow=True).success
    assert [row.kind for row in platform.loads()] == ["hold", "load", "load"]
    assert platform.slices() == {"SP17": COUNTS["SP17"]}
    assert decide(platform, "release", key="SP17").success
    assert check_of(platform).passed
    assert check_of(platform).description == (
        "Nothing holds the slice; the next refresh loads what was staged last."
    )
    assert platform.run("SP17").success
    assert platform.loads()[0].kind == "load"


def test_a_rollback_with_a_hold_is_shown_as_on_hold(platform: Platform) -> None:
    roll_back(platform, hold=True, reason="audit")
    assert "is on hold since" in str(check_of(platform).description)
    assert [row.kind for row in platform.loads()[:2]] == ["hold", "rollback"]


def test_an_approval_turns_the_failed_check_green(platform: Platform) -> None:
    waiting = hold_by_guard(platform)
    assert check_of(platform).severity is dg.AssetCheckSeverity.ERROR
    assert out_of_step(platform, "SP17") == {"SP17": ["sales/redshift_table"]}
    assert decide(platform, "approve", load_id=waiting).success
    assert check_of(platform).passed
    assert out_of_step(platform, "SP17") == {"SP17": []}
    shown = platform.shown("sales/redshift_table", "SP17")
    assert (shown["decision"], shown["about"]) == ("load", waiting)
    assert shown["reason"] == "approved: it has no record, and the slice has 14"
    assert platform.slices() == {}


def test_a_refusal_turns_the_failed_check_yellow(platform: Platform) -> None:
    waiting = hold_by_guard(platform)
    result = decide(platform, "refuse", load_id=waiting, reason="a mistake")
    assert observed(result)["about"] == waiting
    found = check_of(platform)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "This load was refused by ann (a mistake)" in str(found.description)
    assert platform.slices() == {"SP17": COUNTS["SP17"]}
    assert observed(platform.run("SP17"))["status"] == "kept"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"action": "rollback", "load_id": "x"}, "The ledger has no load x. Choose one of"),
        ({"action": "rollback"}, "To rollback takes a load. Set `load_id`."),
        ({"action": "hold", "key": "SP17"}, "A hold must have a reason."),
        ({"action": "hold", "key": "XX", "reason": "y"}, "Campaign XX is not in the registry."),
        ({"action": "release"}, "The release names no campaign. Set `key`."),
        ({"action": "release", "key": "SP17"}, "Campaign SP17 in sales is not on hold."),
        ({"action": "release", "key": "SP17", "dataset": "other"}, "There is no dataset other."),
        ({"action": "release", "key": "SP17", "made_by": " "}, "Nobody decided"),
    ],
)
def test_what_cannot_be_done_fails_the_run_with_a_sentence(
    platform: Platform, config: dict[str, object], sentence: str
) -> None:
    before = platform.loads()
    result = decide(platform, **config)  # type: ignore[arg-type]
    assert not result.success
    assert failures(result)["decide"].startswith(sentence)
    assert platform.loads() == before


def test_of_several_datasets_one_must_be_named(platform: Platform) -> None:
    platform.small.write_dataset(OTHER_DATASET, "notes")
    result = decide(platform, "hold", key="SP17", reason="audit")
    assert failures(result)["decide"] == (
        "Campaign SP17 may be in several datasets: notes, sales. Say which with --dataset."
    )
    assert decide(platform, "hold", key="SP17", dataset="notes", reason="audit").success
    assert platform.loads()[0].dataset == "notes"


def test_what_was_decided_is_not_decided_again_when_showing_it_fails(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise TransientError("The warehouse was in use.", "Wait.")

    monkeypatch.setattr("etl_assets.decide_job.chain_keys", busy)
    roll_back(platform)
    assert [row.kind for row in platform.loads()] == ["rollback", "load", "load"]
