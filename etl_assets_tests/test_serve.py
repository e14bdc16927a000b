"""The UI: webserver and daemon as one command.

At risk: processes that outlive it and hold the port and the warehouse, and a UI over another
instance than the command line's.
"""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from etl_assets.cli import cli
from etl_assets.partitions import keys_in_flight
from etl_assets_tests.command_line import PATIENCE_SECONDS, CommandLine
from etl_assets_tests.live_ui import ask, processes_of, started_ui, until
from etl_assets_tests.servers import free_port
from etl_assets_tests.small import COUNTS, DATASET, Small

_LISTEN = "0A"  # in /proc/net/tcp
ASSETS = "{ assetNodes { assetKey { path } isPartitioned } }"
INSTIGATORS = """{ workspaceOrError { ... on Workspace { locationEntries { name
  locationOrLoadError { ... on RepositoryLocation { repositories {
    name schedules { name scheduleState { status } } sensors { name sensorState { status } }
  } } } } } } }"""
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"

PARTITIONS = """{ assetNodeOrError(assetKey: {path: ["sales", "redshift_table"]}) {
  ... on AssetNode { partitionKeys } } }"""
LAUNCH = """mutation { launchMultipleRuns(executionParamsList: [{
  mode: "default", runConfigData: {}, selector: {
    repositoryLocationName: "etl_assets", repositoryName: "__repository__", jobName: "refresh"},
  executionMetadata: {tags: [{key: "dagster/partition", value: "SP17"}]}}]) {
    ... on LaunchMultipleRunsResult { launchMultipleRunsResult {
      ... on LaunchRunSuccess { run { id } } } } } }"""


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    return free_port()


@pytest.fixture
def ui(small: Small, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with started_ui(CommandLine.of(small), port) as process:
        yield process


def asset_nodes(port: int) -> list[dict[str, Any]]:
    """Return the assets the UI shows; none while it is still loading them."""
    nodes: list[dict[str, Any]] = (ask(port, ASSETS) or {}).get("assetNodes", [])
    return nodes


def listening(port: int) -> set[str]:
    """Return the addresses on which somebody listens at a port, of IPv4 and IPv6."""
    found = set()
    for table, bytes_ in (("tcp", 4), ("tcp6", 16)):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            address, _, at = line.split()[1].partition(":")
            if line.split()[3] == _LISTEN and int(at, 16) == port:
                found.add(str(ip_address(bytes.fromhex(address)[::-1][-bytes_:])))
    return found


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104  (to be told apart)
def test_the_address_that_is_listened_on_is_seen(address: str) -> None:
    with socket.socket() as server:
        server.bind((address, 0))
        server.listen()
        assert listening(server.getsockname()[1]) == {address}


def test_the_ui_listens_on_this_machine_alone_unless_told() -> None:
    (host,) = (option for option in cli.commands["ui"].params if option.name == "host")
    assert host.default == "127.0.0.1"


def partitions(port: int) -> list[str]:
    answer = ask(port, PARTITIONS)
    return answer["assetNodeOrError"]["partitionKeys"] if answer else []


def healthy_daemons(port: int) -> set[str]:
    answer = ask(port, DAEMONS) or {}
    statuses = answer["instance"]["daemonHealth"]["allDaemonStatuses"] if answer else []
    return {status["daemonType"] for status in statuses if status["healthy"]}


def test_the_ui_serves_the_graph_runs_the_daemon_and_leaves_no_process(
    ui: subprocess.Popen[bytes], small: Small, port: int
) -> None:
    answer = until(lambda: ask(port, ASSETS))
    partitioned = {
        "/".join(n["assetKey"]["path"]): n["isPartitioned"] for n in answer["assetNodes"]
    }
    assert partitioned == {
        "registry/campaigns": True, "registry/sales_rules": True, "source/sales": False,
        "sales/rds_extract": True, "sales/s3_staging_csv": True, "sales/redshift_table": True,
        "sales/sales_by_campaign": False, "sales/sales_deduplicated": False,
    }  # fmt: skip

    (location,) = ask(port, INSTIGATORS)["workspaceOrError"]["locationEntries"]  # type: ignore[index]
    assert location["name"] == "etl_assets"
    (repository,) = location["locationOrLoadError"]["repositories"]
    assert [s["scheduleState"]["status"] for s in repository["schedules"]] == ["RUNNING"] * 3
    assert {s["name"]: s["sensorState"]["status"] for s in repository["sensors"]} == {
        "registry_sensor": "RUNNING",
        "health_sensor": "RUNNING",
        "alerts_sensor": "STOPPED",  # nobody is to be told
    }

    assert listening(port) == {"127.0.0.1"}, "It has no log-in."
    until(lambda: {"SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR"} <= healthy_daemons(port))
    assert len(processes_of(small.home)) >= 2

    ui.send_signal(signal.SIGTERM)
    out, _ = ui.communicate(timeout=PATIENCE_SECONDS)
    assert ui.returncode == 0
    assert f"The UI is at http://127.0.0.1:{port} (Ctrl-C stops it)." in out.decode()
    until(lambda: not processes_of(small.home))
    assert ask(port, ASSETS) is None


def test_a_partition_materialized_by_hand_is_loaded_by_a_run_of_the_daemon(
    ui: subprocess.Popen[bytes], small: Small, port: int
) -> None:
    until(lambda: "SP17" in partitions(port))  # the sensor's work
    launched = ask(port, LAUNCH)
    assert launched is not None
    (run,) = launched["launchMultipleRuns"]["launchMultipleRunsResult"]
    status = f'{{ runOrError(runId: "{run["run"]["id"]}") {{ ... on Run {{ status }} }} }}'

    def ended() -> bool:
        return (ask(port, status) or {})["runOrError"]["status"] in {"SUCCESS", "FAILURE"}

    until(ended)
    settings = small.settings()
    assert settings.open_warehouse().slices(settings.datasets["sales"]) == {"SP17": COUNTS["SP17"]}
    assert ui.poll() is None


@pytest.fixture
def applied(small: Small) -> None:
    """A dataset that has changed rules applied."""
    small.write_dataset(f"{DATASET}on_rule_change: apply\n")


@pytest.mark.usefixtures("applied")  # before the UI loads the datasets
def test_published_rules_reach_the_table_by_the_daemon_alone(
    ui: subprocess.Popen[bytes], small: Small, port: int
) -> None:
    until(lambda: "SP17" in partitions(port))
    ask(port, LAUNCH)
    settings = small.settings()
    until(lambda: settings.open_warehouse().loads())
    until(lambda: "SP17" not in in_flight(small))
    small.run_sql("DROP TABLE sales")  # the source is not read again
    small.write_rules("version: 5\nrules: [{id: some, kind: filter, keep: quantity > 0}]\n")
    until(lambda: len(settings.open_warehouse().loads()) == 2)
    newest = settings.open_warehouse().loads()[0]
    assert (newest.campaign_key, newest.rule_version) == ("SP17", 5)
    assert newest.records < COUNTS["SP17"]
    assert ui.poll() is None


def in_flight(small: Small) -> set[str]:
    """Return the keys of runs that have not ended."""
    with CommandLine.of(small).instance() as instance:
        return keys_in_flight(instance)


def test_the_tables_of_the_instance_are_there_before_two_processes_would_make_them(
    ui: subprocess.Popen[bytes], small: Small
) -> None:
    assert ui.stdout is not None
    assert ui.stdout.readline().startswith(b"The UI is at ")
    dagster_home = small.home / "dagster"
    for database in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
        with contextlib.closing(sqlite3.connect(dagster_home / database)) as connection:
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def test_a_taken_port_is_one_sentence_with_the_way_out(small: Small) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = CommandLine.of(small).run("ui", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: The UI cannot listen on 127.0.0.1:{port} (Address already in use)."
        " Stop what listens there, or choose another port: `etl-assets ui --port 3001`.\n"
    )
    assert processes_of(small.home) == []


def test_when_one_process_ends_the_other_is_stopped_and_the_command_fails(
    ui: subprocess.Popen[bytes], small: Small, port: int
) -> None:
    until(lambda: asset_nodes(port))
    daemon = next(p for p in processes_of(small.home) if b"dagster._daemon" in cmdline(p))
    os.kill(daemon, signal.SIGKILL)
    assert ui.wait(PATIENCE_SECONDS) != 0
    until(lambda: not processes_of(small.home))


def cmdline(process: int) -> bytes:
    """Return how a process was started; nothing when it has just ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
