"""Dagster's UI over the sample, driven as its users do.

At risk: what people see. An asset without its story, a partition that cannot be refreshed from
its page, a changed rule that nobody notices.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from etl_assets_tests.browser.screen import Screen
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.live_ui import ask, started_ui, until
from etl_assets_tests.servers import free_port

CHAIN = ("rds_extract", "s3_staging_csv", "redshift_table")
DAY_KEYS = ("CJ15", "CJ18", "CJ19", "CJ20", "CJ21", "CJ22")
TALLER = 960  # for a whole table of metadata

RULES = """\
  - id: discounted
    kind: derive
    column: discounted
    type: boolean
    expression: retail_disc + coupon_disc + coupon_match_disc > 0
  - id: own-label
    kind: map
    column: brand_type
    values: {private label: own label}
    unmapped: keep
"""
OVERRIDE = """\
overrides:
  CJ15:
    - add:
        id: discounted
        kind: derive
        column: discounted
        type: boolean
        expression: retail_disc + coupon_disc + coupon_match_disc > 0
"""
"""What is added to the sample's rules, for all campaigns and for one."""

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

    def newest_run(self, key: str) -> dict[str, str] | None:
        """Return id and status of a campaign's newest run, if any."""
        runs: list[dict[str, str]] = self.ask(RUNS, key=key)["runsOrError"]["results"]
        return runs[0] if runs else None

    def is_stale(self, asset: str, key: str) -> bool:
        """Whether the UI says that a partition of campaign_sales is out of step."""
        path = {"path": ["campaign_sales", asset]}
        node = self.ask(STALE, asset=path, key=key)["assetNodeOrError"]
        return bool(node["staleStatus"] == "STALE")


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """The sample, refreshed for its busiest day, with webserver and daemon over it."""
    command = CommandLine(tmp_path_factory.mktemp("ui") / "var")
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


@pytest.fixture(scope="module", autouse=True)
def _folded(ui: Ui, browser: Screen) -> None:
    """The navigation is folded away, which the browser then remembers: the page is what matters."""
    page = browser.open(ui.address("/"))
    page.get_by_text("Hide navigation").click()
    page.close()


def shows(page: Page, *texts: str) -> None:
    """Wait until all these texts are seen, each as a whole."""
    for text in texts:
        page.get_by_text(text, exact=True).filter(visible=True).first.wait_for()


def test_the_graph_is_opened_and_lineage_followed_both_ways(ui: Ui, screen: Screen) -> None:
    page = screen.open(ui.address("/"))
    page.locator("a[href='/asset-groups']").click()
    page.get_by_text("campaign_sales", exact=True).last.wait_for()
    shows(page, "source", "registry", "readers", "campaign_redemptions")
    screen.picture(page, "01-global-graph")

    page.goto(ui.address("/locations/etl_assets/asset-groups/campaign_sales/lineage"))
    page.wait_for_load_state("networkidle")
    page.reload()  # the graph is laid out again, with every icon from the cache
    shows(page, "transactions", "demographics", "campaigns", *CHAIN)
    page.get_by_text("1 / 1 Passed").first.wait_for()
    expect(page.get_by_text("% filled")).to_have_count(len(CHAIN))
    screen.picture(page, "asset-graph", documented=True)

    page.get_by_text("redshift_table", exact=True).last.click()
    page.get_by_role("link", name="View in Asset Catalog").click()
    page.get_by_role("tab", name="Lineage").click()
    page.set_viewport_size({"width": 1400, "height": 1300})  # what is outside is not drawn
    page.get_by_role("button", name="Upstream").click()
    page.get_by_role("button", name="All", exact=True).click()
    page.reload()  # the graph is fitted into the page again
    shows(page, "transactions", "products", "campaigns", "campaign_sales_rules", "rds_extract")
    screen.picture(page, "02-upstream")
    page.get_by_role("button", name="Downstream").click()
    page.reload()
    shows(page, "campaign_sales_by_campaign", "campaign_sales_deduplicated")
    screen.picture(page, "03-downstream")


def test_a_partition_is_materialized_in_the_dialog_and_its_run_watched(
    ui: Ui, screen: Screen
) -> None:
    page = screen.open(
        ui.address("/locations/etl_assets/asset-groups/campaign_redemptions/lineage")
    )
    assert ui.newest_run("CJ23") is None
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_text("Select a partition or create one").click()
    page.keyboard.type("CJ23")
    page.get_by_title("CJ23").first.click()
    page.keyboard.press("Escape")
    screen.picture(page, "04-materialize-dialog")
    page.get_by_role("button", name="Launch 1 run").click()
    run = until(lambda: ui.newest_run("CJ23"))

    page.goto(ui.address(f"/runs/{run['id']}"))
    shows(page, "partition: CJ23", "3 assets")
    until(lambda: ui.newest_run("CJ23")["status"] in ("SUCCESS", "FAILURE"))
    shows(page, "Success")
    screen.picture(page, "05-run")

    page.goto(
        ui.address("/assets/campaign_redemptions/redshift_table?view=partitions&partition=CJ23")
    )
    shows(page, "Materialized (7)", "proof")
    screen.picture(page, "06-materialized")


def test_what_a_load_says_of_itself_is_read(ui: Ui, screen: Screen) -> None:
    page = screen.open(
        ui.address("/assets/campaign_sales/redshift_table?view=partitions&partition=CJ18")
    )
    shows(page, f"Materialized ({len(DAY_KEYS)})", "proof")
    page.set_viewport_size({"width": 1400, "height": TALLER})
    page.get_by_text("CJ16", exact=True).first.hover()
    page.mouse.wheel(0, 5000)  # the newest campaigns are the last of the list
    shows(page, "CJ27")
    page.mouse.move(0, 0)
    screen.picture(page, "partitions", documented=True)

    page = screen.open(
        ui.address("/assets/campaign_redemptions/redshift_table?view=events&partition=CJ18")
    )
    page.get_by_text("Partition CJ18 materialized in run").wait_for()
    shows(page, "proof")
    screen.picture(page, "materialization", height=TALLER, documented=True)


def test_the_checks_and_plots_of_a_table_are_seen(ui: Ui, screen: Screen) -> None:
    page = screen.open(ui.address("/assets/campaign_sales/redshift_table?view=checks"))
    for check in ("each_record_once", "follows_source", "slice_equals_ledger"):
        page.get_by_text(check, exact=True).first.click()
        shows(page, "Passed")
        screen.picture(page, f"07-check-{check}")
    page.get_by_text("each_record_once", exact=True).first.click()
    plots = page.get_by_text("Plots", exact=True)
    plots.scroll_into_view_if_needed()
    expect(page.locator("canvas").first).to_be_visible()
    screen.picture(page, "08-plots")


def test_the_schedule_is_turned_off_and_on(ui: Ui, screen: Screen) -> None:
    def status() -> str:
        return str(ui.ask(SCHEDULE)["scheduleOrError"]["scheduleState"]["status"])

    page = screen.open(ui.address("/automation"))
    page.get_by_role("link", name="refresh_schedule").click()
    switch = page.get_by_role("checkbox")
    handle = page.locator("label", has=switch)  # what is clicked; the box itself is not seen
    expect(switch).to_be_checked()
    handle.click()
    until(lambda: status() == "STOPPED")
    expect(switch).not_to_be_checked()
    screen.picture(page, "09-schedule-off")
    handle.click()
    until(lambda: status() == "RUNNING")
    expect(switch).to_be_checked()
    screen.picture(page, "10-schedule-on")


def test_a_changed_rule_makes_its_partition_unsynced_and_a_refresh_makes_it_fresh(
    ui: Ui, screen: Screen, tmp_path: Path
) -> None:
    draft = ui.draft(tmp_path, RULES)
    plan = tmp_path / "plan.html"
    ui.run("rules", "plan", draft, "--key", "CJ15", "--key", "CJ19", "--html", str(plan))
    page = screen.open(plan.as_uri())
    page.set_viewport_size({"width": 1000, "height": TALLER})
    screen.picture(page, "plan", documented=True)

    draft = ui.draft(tmp_path, OVERRIDE)
    ui.run("rules", "publish", draft, "--comment", "Discounts, for CJ15 alone.", "--yes")
    until(lambda: ui.is_stale("redshift_table", "CJ15"))
    assert not any(ui.is_stale("redshift_table", key) for key in DAY_KEYS if key != "CJ15")

    page = screen.open(ui.address("/assets/registry/campaign_sales_rules?view=events"))
    page.get_by_text("Partition CJ15 observed").wait_for()
    screen.picture(page, "11-rule-version")

    page = screen.open(
        ui.address("/assets/campaign_sales/s3_staging_csv?view=partitions&partition=CJ15")
    )
    page.get_by_text("Unsynced").first.wait_for()
    screen.picture(page, "unsynced", height=TALLER, documented=True)

    before = ui.newest_run("CJ15")
    page = screen.open(ui.address("/locations/etl_assets/asset-groups/campaign_sales/lineage"))
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_text("Select a partition or create one").click()
    page.keyboard.type("CJ15")
    page.get_by_title("CJ15").first.click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Launch 1 run").click()
    until(lambda: ui.newest_run("CJ15") != before)
    until(lambda: ui.newest_run("CJ15")["status"] in ("SUCCESS", "FAILURE"))
    until(lambda: not ui.is_stale("redshift_table", "CJ15"))
    page = screen.open(
        ui.address("/assets/campaign_sales/redshift_table?view=partitions&partition=CJ15")
    )
    shows(page, "Materialized", "proof")
    expect(page.get_by_text("Unsynced")).to_have_count(0)
    screen.picture(page, "12-fresh-again", height=TALLER)
