"""The four production systems together: the same refresh, and what is left when they are killed."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl_assets_tests import servers
from etl_assets_tests.standins import stack

STACK = [sys.executable, "-m", "etl_assets_tests.standins.stack"]
ETL = [sys.executable, "-m", "etl_assets.cli"]
REFRESH = [*ETL, "refresh", "--key", "CJ15", "--key", "CJ24", "--json"]
COUNTS = {("CJ15", "campaign_redemptions"): 2, ("CJ15", "campaign_sales"): 4_169,
          ("CJ24", "campaign_redemptions"): 0, ("CJ24", "campaign_sales"): 661}  # fmt: skip
LINES = ["Starting S3, DynamoDB", "Filling S3, MariaDB"]


def environment() -> dict[str, str]:
    """Return this process's, without what would reach another platform or account."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ETL_ASSETS_", "AWS_"))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2])}


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run the stack around a command."""
    return subprocess.run(
        [*STACK, *command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def results(done: "subprocess.CompletedProcess[str]") -> dict[tuple[str, str], dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return {(r["key"], r["dataset"]): r for r in json.loads(done.stdout)["results"]}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account may enter, unlike pytest's."""
    made = Path(tempfile.mkdtemp(prefix="etl_assets_stack_"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def refreshed(folder: Path) -> Path:
    """The folder after the stack was started once, around a refresh of two campaigns."""
    done = run(folder, *REFRESH)
    assert {key: r["loaded_records"] for key, r in results(done).items()} == COUNTS
    assert {r["status"] for r in results(done).values()} == {"loaded"}
    assert [line for line in LINES if line in done.stderr] == LINES
    return folder


def test_a_refresh_through_all_four_has_the_same_counts_and_is_unchanged_the_next_time(
    refreshed: Path,
) -> None:
    again = results(run(refreshed, *REFRESH))
    assert {key: r["loaded_records"] for key, r in again.items()} == COUNTS
    assert {r["status"] for r in again.values()} == {"unchanged"}


def test_the_registry_is_filled_again_when_its_table_was_lost(refreshed: Path) -> None:
    """DynamoDB's stand-in writes its tables when it is stopped; a crash of the machine loses them."""
    for state in (refreshed / "var" / "stack" / "dynamodb").rglob("*.json"):
        state.unlink()
    listed = json.loads(run(refreshed, *ETL, "campaigns", "--json").stdout)
    assert len(listed) == 27


def test_a_sample_that_was_broken_off_is_loaded_anew(refreshed: Path) -> None:
    with servers.MariaDBServer(folder=refreshed / "var" / "stack" / "mariadb") as mariadb:
        mariadb.run("DROP TABLE transactions", "CREATE TABLE transactions_unfinished (n INT)")
    done = run(refreshed, *REFRESH)
    assert {key: r["loaded_records"] for key, r in results(done).items()} == COUNTS


@pytest.fixture
def running(refreshed: Path) -> Iterator["subprocess.Popen[str]"]:
    """The stack, ready, until Ctrl-C."""
    process = subprocess.Popen(
        STACK, cwd=refreshed, env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("Ready."):
            break
    else:
        raise AssertionError("".join(said))
    yield process
    process.kill()
    process.communicate()


def ports(folder: Path) -> list[int]:
    """Return the ports that the environment file names."""
    text = (folder / "var" / "stack" / "env").read_text(encoding="utf-8")
    return sorted({int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", text)})


def await_closed(port: int) -> None:
    """Return when nobody listens on a port any more."""
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return


def test_a_second_stack_over_the_same_folder_is_refused_in_one_sentence(
    refreshed: Path, running: "subprocess.Popen[str]"
) -> None:
    done = run(refreshed, *REFRESH)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert f"is running already (process {running.pid})" in line
    assert "Traceback" not in line


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_server_is_left_when_the_stack_ends_or_is_killed(
    refreshed: Path, running: "subprocess.Popen[str]", number: signal.Signals
) -> None:
    listening = ports(refreshed)
    assert len(listening) == 4
    running.send_signal(number)
    assert running.wait() == (0 if number == signal.SIGINT else -number)
    for port in listening:
        await_closed(port)
    listed = run(refreshed, *ETL, "loads", "--json")
    assert len(json.loads(listed.stdout)) == len(COUNTS), listed.stderr


def test_postgresql_s_data_is_where_its_account_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "closed").mkdir(mode=0o700)
    open_, closed = tmp_path / "open" / "stack", tmp_path / "closed" / "stack"
    open_.mkdir(parents=True)
    closed.mkdir()
    entered = [p for p in open_.parents if not p.stat().st_mode & 0o001]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert stack.redshift_folder(closed) == closed / "redshift"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (stack.redshift_folder(open_) == open_ / "redshift") == (not entered)
    assert tmp_path not in stack.redshift_folder(closed).parents
    assert stack.redshift_folder(closed) == stack.redshift_folder(closed)
    assert stack.redshift_folder(closed) != stack.redshift_folder(closed.parent)


def test_a_server_that_is_not_installed_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(servers, "_find", lambda _: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["stack"])
    assert stack.main() == 1
    assert capsys.readouterr().err == (
        "Error: A server that is needed is not installed:"
        " run `apt-get install mariadb-server postgresql-15`.\n"
    )
