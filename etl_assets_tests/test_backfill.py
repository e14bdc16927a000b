"""Backfills from the command line, and runs that are cancelled, with a real daemon.

At risk: half a load that readers see, a key or a pool slot that a cancelled run holds for ever,
and a person who does not learn that something failed, or how to stop it.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest

from etl_assets.backfill import chosen
from etl_assets.core.errors import PermanentError
from etl_assets_tests.command_line import PATIENCE_SECONDS, CommandLine
from etl_assets_tests.dagster_fixtures import load
from etl_assets_tests.held_ui import BEFORE_COMMIT, IN_EXTRACT, IN_STAGE, HeldUI
from etl_assets_tests.live_ui import ask, until
from etl_assets_tests.small import CAMPAIGNS, COUNTS, Small

STATUS = dg.DagsterRunStatus
LAUNCH = """mutation { launchMultipleRuns(executionParamsList: [{
  mode: "default", runConfigData: {}, selector: {
    repositoryLocationName: "etl_assets", repositoryName: "__repository__", jobName: "refresh"},
  executionMetadata: {tags: [{key: "dagster/partition", value: "SP17"}]}}]) {
    ... on LaunchMultipleRunsResult { launchMultipleRunsResult {
      ... on LaunchRunSuccess { run { id } } } } } }"""
TERMINATE = """mutation { terminateRun(runId: "%s") { __typename } }"""
BACKFILLS = """{ partitionBackfillsOrError { ... on PartitionBackfills { results {
  id status numPartitions tags { key value } } } } }"""


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldUI]:
    small = Small(tmp_path_factory.mktemp("backfills") / "small").build()
    load(small.settings(), "SP17")
    small.run_sql("DELETE FROM sales WHERE sale_id = 3")
    small.write_campaigns(
        CAMPAIGNS.replace("}", ", datasets: [sales]}")
        + "  - {key: BAD, start: 2017-01-01, end: 2017-01-31, datasets: [broken]}\n"
    )
    small.write_dataset(
        "dataset: broken\nprimary_key: [sale_id]\nquery: SELECT sale_id FROM sales WHERE 1 = :no\n",
        "broken",
    )
    with HeldUI(small) as held:
        yield held


def slices(ui: HeldUI) -> dict[str, int]:
    settings = ui.small.settings()
    return settings.open_warehouse().slices(settings.datasets["sales"])


def runs(ui: HeldUI, **tags: str) -> list[dg.DagsterRun]:
    named = {name.replace("__", "/"): value for name, value in tags.items()}
    with ui.command.instance() as instance:
        return list(instance.get_runs(dg.RunsFilter(tags=named)))


def nothing_is_left(ui: HeldUI) -> bool:
    """Return whether no slot is taken or waited for, and nothing lies in the scratch folder."""
    with ui.command.instance() as instance:
        storage = instance.event_log_storage
        for pool in storage.get_concurrency_keys():
            info = storage.get_concurrency_info(pool)
            if info.active_slot_count or info.pending_step_count:
                return False
    return not list((ui.small.home / "staging" / ".scratch").glob("*"))


@pytest.mark.parametrize("place", [IN_EXTRACT, IN_STAGE, BEFORE_COMMIT])
def test_a_run_that_is_terminated_leaves_the_table_and_nothing_else(ui: HeldUI, place: str) -> None:
    before = slices(ui)
    with ui.held_at(place) as reached:
        launched = ask(ui.port, LAUNCH) or {}
        (made,) = launched["launchMultipleRuns"]["launchMultipleRunsResult"]
        run_id = made["run"]["id"]
        until(lambda: reached.read_text(encoding="utf-8"))
        assert not nothing_is_left(ui) or place == IN_STAGE  # a pool's slot is held
        assert (ask(ui.port, TERMINATE % run_id) or {})["terminateRun"]["__typename"] == (
            "TerminateRunSuccess"
        )
        until(lambda: status_of(ui, run_id) is STATUS.CANCELED)
    until(lambda: nothing_is_left(ui))
    assert slices(ui) == before


def status_of(ui: HeldUI, run_id: str) -> dg.DagsterRunStatus | None:
    with ui.command.instance() as instance:
        run = instance.get_run_by_id(run_id)
        return run.status if run else None


def test_after_that_the_next_refresh_works(ui: HeldUI) -> None:
    again = ui.command.run("refresh", "--key", "SP17")
    assert again.returncode == 0, again.stderr
    assert slices(ui)["SP17"] == COUNTS["SP17"] - 1


def test_a_backfill_runs_its_keys_shows_in_the_ui_and_ends_with_0(ui: HeldUI) -> None:
    done = ui.command.run("backfill", "--key", "SU17", "--key", "AU17", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {
        "backfill": told["backfill"], "status": "completed_success", "keys": 2,
        "runs": {"success": 2}, "failed": [], "error": "",
    }  # fmt: skip
    assert f"Backfill {told['backfill']}: 2 keys in sales." in done.stderr
    loaded = slices(ui)
    assert (loaded["SU17"], loaded["AU17"]) == (COUNTS["SU17"], COUNTS["AU17"])
    listed = (ask(ui.port, BACKFILLS) or {})["partitionBackfillsOrError"]["results"]
    assert told["backfill"] in [one["id"] for one in listed]
    mine = runs(ui, dagster__backfill=told["backfill"])
    assert {run.tags["etl_assets/campaign"] for run in mine} == {"SU17", "AU17"}
    for run in mine:
        assert run.tags["etl_assets/trigger"] == "backfill"
        assert run.tags["etl_assets.dataset/sales"] == "true"
        assert run.tags["dagster/priority"] == "-10"


def test_a_key_that_fails_is_named_and_the_command_ends_with_1(ui: HeldUI) -> None:
    done = ui.command.run("backfill", "--key", "BAD", "--key", "SP17", "--wait")
    assert done.returncode == 1, done.stderr
    assert "completed_failed: 2 keys: 1 failure, 1 success." in done.stdout
    assert "Failed or cancelled: BAD. Their runs in the UI say why." in done.stderr


def test_a_backfill_whose_waiting_was_interrupted_goes_on_until_it_is_cancelled(
    ui: HeldUI,
) -> None:
    before = slices(ui)
    with ui.held_at(IN_EXTRACT) as reached:
        waiting = subprocess.Popen(
            [sys.executable, "-m", "etl_assets.cli", "backfill", "--on", "2017-05-20",
             "--force", "--wait"],
            env=ui.command.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: len(reached.read_text(encoding="utf-8").splitlines()) == 2)
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=PATIENCE_SECONDS)
        assert (waiting.returncode, out) == (130, "")
        backfill = err.partition("Backfill ")[2].partition(":")[0]
        assert err.splitlines()[-1] == (
            f"Backfill {backfill} goes on without this command."
            f" Cancel it with `etl-assets backfill --cancel {backfill}`."
        )
        assert {run.status for run in runs(ui, dagster__backfill=backfill)} == {STATUS.STARTED}
        ended = ui.command.run("backfill", "--cancel", backfill, "--wait")
        assert ended.returncode == 0, ended.stderr
        assert "has ended, canceled: 2 keys: 2 canceled." in ended.stdout
    until(lambda: nothing_is_left(ui))
    assert slices(ui) == before
    again = ui.command.run("backfill", "--cancel", backfill)
    assert again.returncode == 1
    assert again.stderr == (
        f"Error: Backfill {backfill} has ended (canceled). There is nothing to cancel.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--key", "SP17", "--key", "XX"], "Campaign XX is not in the registry."),
        (["--key", "SP17", "--dataset", "none"],
         "There is no dataset none. The datasets are broken, sales."),
        (["--key", "SP17", "--dataset", "broken"],
         "Campaign SP17 takes part in none of broken."),
        (["--on", "2001-01-01"], "No campaign is due on 2001-01-01."),
        (["--cancel", "nothing"], "There is no backfill nothing."),
        ([], "Say one of --key, --all, --on and --cancel."),
        (["--all", "--key", "SP17"], "Say one of --key, --all, --on and --cancel."),
    ],
)  # fmt: skip
def test_what_cannot_be_begun_is_one_sentence_and_begins_nothing(
    ui: HeldUI, arguments: list[str], said: str
) -> None:
    before = len((ask(ui.port, BACKFILLS) or {})["partitionBackfillsOrError"]["results"])
    done = ui.command.run("backfill", *arguments)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    after = len((ask(ui.port, BACKFILLS) or {})["partitionBackfillsOrError"]["results"])
    assert before == after


def test_of_all_keys_those_that_are_in_none_of_the_datasets_are_left_out(small: Small) -> None:
    small.write_campaigns(
        CAMPAIGNS + "  - {key: XX, start: 2017-01-01, end: 2017-01-31, datasets: []}\n"
    )
    settings = small.settings()
    registry = settings.open_registry().read()
    found = chosen(registry, settings, registry.campaigns, ["sales"], named=False)
    assert found == {"sales": ["AU17", "SP17", "SU17"]}
    with pytest.raises(PermanentError, match="Campaign XX takes part in none of sales"):
        chosen(registry, settings, registry.campaigns, ["sales"], named=True)


def test_without_a_daemon_nothing_is_begun_and_the_way_out_is_said(small: Small) -> None:
    done = CommandLine.of(small).run("backfill", "--all")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: No daemon runs that could work on a backfill. Start it with `etl-assets ui`, wait"
        " half a minute and try again, or run the keys in this process with `etl-assets refresh`.\n"
    )
