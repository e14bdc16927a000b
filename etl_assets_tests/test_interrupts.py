"""A refresh that is stopped, killed, or started twice.

At risk: readers who see half a load, and a key that no refresh can touch again because a run
that has no process any more is still under way.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest

from etl_assets_tests.command_line import CommandLine, Paused
from etl_assets_tests.dagster_fixtures import load
from etl_assets_tests.small import COUNTS, Small

BEFORE_COMMIT = "etl_assets.systems.warehouse_duckdb:prove_load"
IN_EXTRACT = "etl_assets.pipeline:_name_parts"
IN_STAGE = "etl_assets.pipeline:transform"
AFTER_COMMIT = "etl_assets.assets:load_metadata"
STATUS = dg.DagsterRunStatus


@pytest.fixture
def command(small: Small) -> CommandLine:
    """The command line over a platform that holds SP17, whose source then changed."""
    load(small.settings(), "SP17")
    small.run_sql("DELETE FROM sales WHERE sale_id = 3")
    return CommandLine.of(small)


@pytest.fixture
def in_transaction(command: CommandLine) -> Iterator[Paused]:
    """A refresh that has deleted and inserted SP17's slice, but not committed it."""
    with command.paused(BEFORE_COMMIT, "refresh", "--key", "SP17") as paused:
        yield paused


def slices(small: Small) -> dict[str, int]:
    settings = small.settings()
    return settings.open_warehouse().slices(settings.datasets["sales"])


def statuses(command: CommandLine) -> list[dg.DagsterRunStatus]:
    """Return the statuses of all runs, newest first."""
    with command.instance() as instance:
        return [run.status for run in instance.get_runs()]


def test_ctrl_c_in_a_load_leaves_the_table_and_the_next_refresh_works(
    command: CommandLine, small: Small, in_transaction: Paused
) -> None:
    code, out, err = in_transaction.interrupt(signal.SIGINT)
    assert code == 130
    assert out == ""
    assert err.splitlines()[-1] == ("Stopped; the tables are as the last committed load left them.")
    assert "Traceback" not in err
    assert slices(small) == {"SP17": COUNTS["SP17"]}
    assert len(small.settings().open_warehouse().loads()) == 1
    assert statuses(command) == [STATUS.FAILURE]

    again = command.run("refresh", "--key", "SP17")
    assert again.returncode == 0, again.stderr
    assert slices(small) == {"SP17": COUNTS["SP17"] - 1}
    assert statuses(command) == [STATUS.SUCCESS, STATUS.FAILURE]


_INTERRUPTED = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "sqlalchemy":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from etl_assets.__main__ import main
main()
"""


def test_ctrl_c_while_the_command_is_still_being_read_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, "refresh"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "Stopped; nothing was done.\n"


def test_ctrl_c_in_an_extract_stops_the_whole_refresh(command: CommandLine, small: Small) -> None:
    with command.paused(IN_EXTRACT, "refresh", "--on", "2017-05-20") as paused:
        code, _, err = paused.interrupt(signal.SIGINT)
    assert code == 130
    assert "Stopped" in err
    assert statuses(command) == [STATUS.FAILURE]  # of SP17; SU17 was never begun
    assert slices(small) == {"SP17": COUNTS["SP17"]}
    assert list((small.home / "staging" / ".scratch").iterdir()) == []


def test_sigterm_is_as_good_as_ctrl_c(
    command: CommandLine, small: Small, in_transaction: Paused
) -> None:
    assert in_transaction.interrupt(signal.SIGTERM)[0] == 130
    assert statuses(command) == [STATUS.FAILURE]
    assert slices(small) == {"SP17": COUNTS["SP17"]}


def test_after_a_kill_the_next_refresh_ends_the_dead_run_and_succeeds(
    command: CommandLine, small: Small, in_transaction: Paused
) -> None:
    in_transaction.process.kill()
    assert in_transaction.end()[0] == -signal.SIGKILL
    assert statuses(command) == [STATUS.STARTED]
    assert slices(small) == {"SP17": COUNTS["SP17"]}

    again = command.run("refresh", "--key", "SP17", "--json")
    assert again.returncode == 0, again.stderr
    assert [r["status"] for r in json.loads(again.stdout)["results"]] == ["loaded"]
    assert slices(small) == {"SP17": COUNTS["SP17"] - 1}
    assert statuses(command) == [STATUS.SUCCESS, STATUS.FAILURE]
    with command.instance() as instance:
        dead = instance.get_runs()[1]
        said = [e.message for e in instance.all_logs(dead.run_id) if e.is_dagster_event]
    assert any("was killed; the table is as its last committed load left it." in m for m in said)


@pytest.mark.parametrize(
    ("where", "left", "status"),
    [
        (IN_EXTRACT, COUNTS["SP17"], "loaded"),
        (IN_STAGE, COUNTS["SP17"], "loaded"),
        (BEFORE_COMMIT, COUNTS["SP17"], "loaded"),
        (AFTER_COMMIT, COUNTS["SP17"] - 1, "unchanged"),
    ],
)
def test_wherever_a_refresh_is_killed_the_next_one_completes_it_once(
    command: CommandLine, small: Small, where: str, left: int, status: str
) -> None:
    with command.paused(where, "refresh", "--key", "SP17") as paused:
        paused.process.kill()
        assert paused.end()[0] == -signal.SIGKILL
    assert slices(small) == {"SP17": left}
    again = command.run("refresh", "--key", "SP17", "--json")
    assert again.returncode == 0, again.stderr
    assert [r["status"] for r in json.loads(again.stdout)["results"]] == [status]
    assert slices(small) == {"SP17": COUNTS["SP17"] - 1}
    rows = small.settings().open_warehouse().loads()
    assert [row.replaced_records for row in rows] == [COUNTS["SP17"], 0]


def test_a_second_refresh_is_refused_while_one_runs_and_does_not_disturb_it(
    command: CommandLine, small: Small
) -> None:
    with command.paused(IN_EXTRACT, "refresh", "--key", "SP17") as first:
        second = command.run("refresh", "--key", "SU17")
        assert second.returncode == 1
        assert second.stdout == ""
        assert second.stderr == (
            "Error: Another refresh is running from the command line"
            f" (process {first.process.pid}). Wait until it has ended, or stop it with Ctrl-C"
            " where it runs.\n"
        )
        assert statuses(command) == [STATUS.STARTED]
        first.go_on()
        assert first.end()[0] == 0
    assert slices(small) == {"SP17": COUNTS["SP17"] - 1}
