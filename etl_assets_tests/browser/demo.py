"""The sample's home with its UI, asked by GraphQL and driven by commands."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.live_ui import ask, started_ui, until
from etl_assets_tests.servers import free_port

DAY_KEYS = ("CJ15", "CJ18", "CJ19", "CJ20", "CJ21", "CJ22")
"""The keys that the demo refreshes."""

STATE = """{
  workspaceOrError { ... on Workspace { locationEntries {
    name locationOrLoadError { __typename ... on PythonError { message } } } } }
  assetNodeOrError(assetKey: {path: ["campaign_sales", "redshift_table"]}) {
    ... on AssetNode { partitionKeys partitionStats { numMaterialized } } }
}"""
RUNS = """query($key: String!) { runsOrError(filter: {tags: [
    {key: "dagster/partition", value: $key}]}, limit: 1) {
  ... on Runs { results { id status } } } }"""
SCHEDULE = """{ scheduleOrError(scheduleSelector: {repositoryLocationName: "etl_assets",
    repositoryName: "__repository__", scheduleName: "refresh_schedule"}) {
  ... on Schedule { scheduleState { status } } } }"""
CHECKS = """query($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) {
  ... on AssetNode { assetMaterializations(limit: 1) { description }
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization {
      evaluation { success description } } } } } } } }"""
STALE = """query($asset: AssetKeyInput!, $key: String!) {
  assetNodeOrError(assetKey: $asset) { ... on AssetNode { staleStatus(partition: $key) } } }"""


@dataclass
class Ui:
    """The sample's home with its UI."""

    command: CommandLine
    port: int

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Return what GraphQL answers."""
        return ask(self.port, query, variables) or {}

    def run(self, *arguments: str) -> str:
        """Run a command of ours to its end and return what it prints."""
        done = self.command.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def draft(self, folder: Path, more: str) -> str:
        """Write the rules of campaign_sales with more at their end; return the file."""
        file = folder / "campaign_sales.yaml"
        file.write_text(self.run("rules", "show", "campaign_sales") + more, encoding="utf-8")
        return str(file)

    def newest_run(self, key: str) -> tuple[str, str]:
        """Return id and status of a campaign's newest run; two empty texts when there is none."""
        runs = self.ask(RUNS, key=key)["runsOrError"]["results"]
        return (str(runs[0]["id"]), str(runs[0]["status"])) if runs else ("", "")

    def run_after(self, key: str, before: str) -> str:
        """Return the id of a campaign's newest run once it is another one."""
        until(lambda: self.newest_run(key)[0] != before)
        return self.newest_run(key)[0]

    def run_ends(self, key: str) -> None:
        """Wait until a campaign's newest run has ended well."""
        until(lambda: self.newest_run(key)[1] in ("SUCCESS", "FAILURE"))
        assert self.newest_run(key)[1] == "SUCCESS"

    def said_of(self, source: str) -> tuple[str, dict[str, str]]:
        """Return what the UI says of a source's newest file, and of each check that failed."""
        node = self.ask(CHECKS, asset={"path": ["inputs", source]})["assetNodeOrError"]
        made = [one["description"] for one in node["assetMaterializations"]]
        failed = {}
        for check in node["assetChecksOrError"]["checks"]:
            run = check["executionForLatestMaterialization"]
            if run and run["evaluation"] and not run["evaluation"]["success"]:
                failed[check["name"]] = run["evaluation"]["description"]
        return (made[0] if made else ""), failed

    def is_stale(self, asset: str, key: str) -> bool:
        """Whether the UI says that a partition of campaign_sales is out of step."""
        path = {"path": ["campaign_sales", asset]}
        node = self.ask(STALE, asset=path, key=key)["assetNodeOrError"]
        return bool(node["staleStatus"] == "STALE")


@contextlib.contextmanager
def demo_ui(home: Path) -> Iterator[Ui]:
    """The sample, refreshed for its busiest day, with webserver and daemon over it."""
    command = CommandLine(home)
    subprocess.run(
        [sys.executable, "-m", "etl_assets.cli", "demo"],
        env=command.environment(), check=True, capture_output=True,
    )  # fmt: skip
    found = Ui(command, free_port())

    def is_loaded() -> bool:
        state = found.ask(STATE)
        for entry in state.get("workspaceOrError", {}).get("locationEntries", ()):
            error = entry["locationOrLoadError"] or {}
            assert error.get("__typename") != "PythonError", error["message"]
        stats = state.get("assetNodeOrError", {}).get("partitionStats") or {}
        return bool(stats.get("numMaterialized") == len(DAY_KEYS))

    with started_ui(command, found.port):
        until(is_loaded)
        yield found
