"""`etl-assets loads`, end to end: lists, compares, puts back, approves, refuses, holds, releases."""

import io
import json
from typing import Any

import pytest
from rich.console import Console, RenderableType

from etl_assets.core.standing import standing_of
from etl_assets.display.loads import diff_view, loads_table, reasons, states_of
from etl_assets.load_diff import diff_loads
from etl_assets_tests.chain import Chain
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.small import COUNTS, DATASET, Small

AMOUNT = "UPDATE sales SET amount = amount + 1 WHERE sale_id = 3"
BEFORE_COMMIT = "etl_assets.systems.warehouse_duckdb:prove_load"
AFTER_COMMIT = "etl_assets.decide_job:describe"


@pytest.fixture
def command(small: Small) -> CommandLine:
    """The command line over a platform on which SP17 was loaded before and after a change."""
    for statement in ("SELECT 1", AMOUNT):
        small.run_sql(statement)
        Chain(small.settings()).refresh()
    return CommandLine.of(small)


def listed(command: CommandLine) -> list[dict[str, Any]]:
    """Return what `loads --json` lists."""
    done = command.run("loads", "--key", "SP17", "--json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def states(command: CommandLine) -> list[tuple[str, str]]:
    return [(row["kind"], row["state"]) for row in listed(command)]


def amounts(small: Small) -> list[tuple[Any, ...]]:
    return Chain(small.settings()).query("SELECT sale_id, amount FROM sales ORDER BY 1")


def rendered(view: RenderableType, width: int = 120) -> str:
    stream = io.StringIO()
    Console(width=width, file=stream).print(view)
    return stream.getvalue()


def test_a_rollback_shows_what_changes_and_is_done_when_somebody_says_yes(
    command: CommandLine, small: Small
) -> None:
    second, first = listed(command)
    now = amounts(small)
    asked = command.run("loads", "rollback", "--key", "SP17", "--to", first["load_id"])
    assert asked.returncode == 1
    assert asked.stderr == "Error: Nothing was put back: nobody said yes. Add --yes.\n"
    assert "Records: 0 added, 0 removed, 1 changed in 1 column." in asked.stdout
    assert "sale_id=3: 4.25 → 3.25" in asked.stdout
    assert amounts(small) == now
    done = command.run(
        "loads", "rollback", "--key", "SP17", "--to", first["load_id"], "--yes",
        "--reason", "wrong [amounts]", "--by", "ann",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        f"SP17 in sales was rolled back to load {first['load_id']}, by ann (wrong [amounts]):"
        " 14 records."
    )
    assert amounts(small) != now
    assert states(command) == [("rollback", "current"), ("load", ""), ("load", "")]
    shown = command.run("loads", "--key", "SP17").stdout
    made = listed(command)[0]["load_id"]
    assert "rollback, current" in shown
    assert f"{made}: rollback to {first['load_id']} by ann: wrong [amounts]\n" in shown
    assert second["kind"] == "load"


def test_what_a_refresh_prints_of_a_rollback_says_what_to_do(command: CommandLine) -> None:
    first = listed(command)[-1]["load_id"]
    command.run("loads", "rollback", "--to", first, "--yes", "--by", "ann", "--reason", "audit")
    done = command.run("refresh", "--key", "SP17")
    assert done.returncode == 0
    assert "sales kept 14" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"SP17 sales: The slice was rolled back to load {first} by ann (audit), and neither source"
        " nor rules have changed since. `etl-assets refresh --key SP17 --force` loads what they"
        " give now."
    )


def test_a_rollback_with_a_hold_as_json_and_its_release(command: CommandLine) -> None:
    first = listed(command)[-1]
    done = command.run("loads", "rollback", "--to", first["load_id"], "--hold", "--yes", "--json")
    row = json.loads(done.stdout)
    assert (row["kind"], row["about"], row["made_by"] != "") == ("rollback", first["load_id"], True)
    assert states(command)[:2] == [("hold", "in force"), ("rollback", "current")]
    again = command.run("refresh", "--key", "SP17", "--force")
    assert "The slice is on hold since" in again.stderr
    released = command.run("loads", "release", "--key", "SP17", "--json")
    assert json.loads(released.stdout)["kind"] == "release"
    assert states(command)[:2] == [("release", ""), ("hold", "")]


def test_a_hold_and_a_second_one(command: CommandLine) -> None:
    done = command.run("loads", "hold", "--key", "SP17", "--reason", "audit", "--by", "ann")
    assert done.stdout == "SP17 in sales is on hold, by ann (audit): 14 records.\n"
    again = command.run("loads", "hold", "--key", "SP17", "--reason", "too")
    assert again.returncode == 1
    assert again.stderr.startswith("Error: Nothing was changed. Campaign SP17 in sales is on hold")
    assert command.run("loads", "hold", "--key", "SP17").returncode == 2


def test_a_load_that_waits_is_compared_approved_and_not_approved_twice(
    command: CommandLine, small: Small
) -> None:
    small.write_dataset("guards: {shrink_percent: 10}\n" + DATASET)
    small.run_sql("DELETE FROM sales WHERE sale_id IN (3, 4)")
    refreshed = command.run("refresh", "--key", "SP17")
    assert refreshed.returncode == 1
    assert states(command)[:2] == [("hold", "waits"), ("load", "current")]
    waiting, current, _ = (row["load_id"] for row in listed(command))
    assert f"etl-assets loads approve {waiting}" in refreshed.stderr
    found = json.loads(command.run("loads", "diff", current, waiting, "--json").stdout)
    assert (found["difference"]["added"], found["difference"]["removed"]) == (0, 2)
    done = command.run("loads", "approve", waiting, "--by", "ann")
    assert "SP17 in sales has the load that waited since" in done.stdout
    assert states(command)[:2] == [("load", "current"), ("hold", "")]
    assert command.run("loads", "approve", waiting).returncode == 1
    assert command.run("refresh", "--key", "SP17").returncode == 0


def test_a_refused_load_stays_out(command: CommandLine, small: Small) -> None:
    small.run_sql("DELETE FROM sales")
    command.run("refresh", "--key", "SP17")
    waiting = listed(command)[0]["load_id"]
    done = command.run("loads", "refuse", waiting, "--reason", "a mistake", "--by", "ann")
    assert done.stdout == (
        f"SP17 in sales does not get load {waiting}, by ann (a mistake): 14 records.\n"
    )
    assert "refused by ann (a mistake)" in command.run("refresh", "--key", "SP17").stderr
    assert len(amounts(small)) == COUNTS["SP17"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("rollback", "--to", "x", "--yes"), 1, "Error: The ledger has no load x. Choose one of"),
        (("rollback", "--to", "x", "--key", "SU17"), 1, "has no load x of campaign SU17."),
        (("diff", "x", "y"), 1, "Error: The ledger has no load x."),
        (("approve", "x"), 1, "Error: Nothing was changed. The ledger has no load x."),
        (("release", "--key", "SP17"), 1, "Campaign SP17 in sales is not on hold."),
        (("hold", "--key", "XX", "--reason", "y"), 1, "Campaign XX is not in the registry."),
        (("--key", "SP17", "release", "--key", "SP17"), 2, "Write the options after `release`."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    command: CommandLine, arguments: tuple[str, ...], code: int, said: str
) -> None:
    before = listed(command)
    done = command.run("loads", *arguments)
    assert (done.returncode, said in done.stderr, done.stdout) == (code, True, "")
    assert "Traceback" not in done.stderr
    assert listed(command) == before


def test_a_rollback_killed_in_its_transaction_changes_nothing_and_can_be_made_again(
    command: CommandLine, small: Small
) -> None:
    first, now = listed(command)[-1]["load_id"], amounts(small)
    arguments = ("loads", "rollback", "--to", first, "--yes")
    with command.paused(BEFORE_COMMIT, *arguments) as paused:
        paused.process.kill()
        paused.process.wait()
    assert (amounts(small), len(listed(command))) == (now, 2)
    assert command.run(*arguments).returncode == 0
    assert states(command)[0] == ("rollback", "current")


def test_a_rollback_killed_after_its_commit_is_done_and_the_next_refresh_shows_it(
    command: CommandLine,
) -> None:
    first = listed(command)[-1]["load_id"]
    with command.paused(AFTER_COMMIT, "loads", "rollback", "--to", first, "--yes") as paused:
        paused.process.kill()
        paused.process.wait()
    assert states(command)[0] == ("rollback", "current")
    again = command.run("loads", "rollback", "--to", first, "--yes")
    assert "there is nothing to roll back" in again.stderr
    assert "rolled back to load" in command.run("refresh", "--key", "SP17").stderr


@pytest.fixture
def differing(small: Small) -> str:
    """What is shown of two loads that differ in records, cells and columns."""
    first = Chain(small.settings()).refresh()
    small.run_sql(AMOUNT, "DELETE FROM sales WHERE sale_id = 5")
    twice = "  - {id: two, kind: derive, column: twice, type: bigint, expression: quantity * 2}\n"
    small.write_dataset(DATASET + twice)
    second = Chain(small.settings()).refresh()
    return rendered(diff_view(diff_loads(first, second, small.settings().open_staging())))


def test_a_difference_is_shown_with_its_columns_records_and_totals(differing: str) -> None:
    for shown in (
        "Records: 0 added, 1 removed, 13 changed in 2 columns.",
        "`twice` (bigint) is added.",
        "sale_id=3: 3.25 → 4.25",
        "1 removed, such as sale_id=5",
        "Totals",
    ):
        assert shown in differing
    (amount,) = [line for line in differing.splitlines() if line.startswith("  amount  ")]
    assert amount.split()[:4] == ["amount", "94.50", "90.25", "-4.25"]
    assert "sale_id=5: 5.25 → NULL" in amount


def test_the_table_fits_into_a_pipe_with_the_longest_names_of_the_sample(small: Small) -> None:
    row = Chain(small.settings()).refresh()
    row = row.model_copy(update={"dataset": "campaign_redemptions", "kind": "rollback"})
    found = rendered(loads_table([row], states_of([row])))
    assert f"{row.committed_at:%Y-%m-%d %H:%M}" in found
    assert "rollback, current" in found


def test_reasons_are_told_of_what_was_decided_and_of_nothing_else(small: Small) -> None:
    row = Chain(small.settings()).refresh()
    held = row.model_copy(update={"kind": "hold", "reason": "it shrinks"})
    assert reasons([held, row]) == [f"{held.load_id}: hold by the platform: it shrinks"]
    assert standing_of([held, row]).waiting == held
