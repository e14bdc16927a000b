"""Dagster's UI over the sample, driven as its users do.

At risk: what people see. An asset without its story, a partition that cannot be refreshed from
its page, a changed rule that nobody notices.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from etl_assets_tests.browser.demo import DAY_KEYS, SCHEDULE, Ui, demo_ui
from etl_assets_tests.browser.screen import Screen
from etl_assets_tests.live_ui import until

CHAIN = ("rds_extract", "s3_staging_csv", "redshift_table")
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


@pytest.fixture(scope="module")
def ui() -> Iterator[Ui]:
    with (
        tempfile.TemporaryDirectory(prefix="etl-assets-") as folder,  # is seen in the pictures
        demo_ui(Path(folder) / "var") as opened,
    ):
        yield opened


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


def choose(page: Page, key: str) -> None:
    """Open the dialog that materializes all that is seen, and choose a partition."""
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_text("Select a partition or create one").click()
    page.keyboard.type(key)
    page.get_by_title(key).first.click()
    page.keyboard.press("Escape")


def test_the_graph_is_opened_and_lineage_followed_both_ways(ui: Ui, screen: Screen) -> None:
    page = screen.open(ui.address("/"))
    page.get_by_text("Timeline", exact=True).first.wait_for()  # it goes there by itself

    def pressed() -> bool:
        page.get_by_role("link", name="lineage", exact=True).click()
        page.wait_for_load_state("networkidle")
        return "asset-groups" in page.url

    until(pressed)
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
    page.get_by_role("button", name="All", exact=True).click()
    page.reload()
    shows(page, "campaign_sales_by_campaign", "campaign_sales_deduplicated", "sales-of-the-season")
    expect(page.get_by_text("Loading…")).to_have_count(0)
    screen.picture(page, "03-downstream")


def test_a_partition_is_materialized_in_the_dialog_and_its_run_watched(
    ui: Ui, screen: Screen
) -> None:
    page = screen.open(
        ui.address("/locations/etl_assets/asset-groups/campaign_redemptions/lineage")
    )
    choose(page, "CJ23")
    screen.picture(page, "04-materialize-dialog")
    page.get_by_role("button", name="Launch 1 run").click()
    page.goto(ui.address(f"/runs/{ui.run_after('CJ23', '')}"))
    shows(page, "partition: CJ23", "3 assets")
    ui.run_ends("CJ23")
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


def test_a_file_that_a_source_delivers_is_loaded_and_shown(ui: Ui, screen: Screen) -> None:
    until(lambda: "5 rejected" in ui.said_of("store_targets")[0])  # told by the sensor
    page = screen.open(ui.address("/locations/etl_assets/asset-groups/inputs/lineage"))
    shows(page, "demographics", "displays", "household_profile")
    screen.picture(page, "13-raw-sources")

    folder = ui.command.home / "staging" / "inputs" / "price_list"
    file = folder / "preise_april.csv"
    file.write_bytes(
        "Artikelnummer;Bezeichnung;Packungsgröße;Höchster Preis;gültig ab\r\n"
        "25671;ICE;22 LB;1.003,49;06.05.2017\r\n999;NEU;;teuer;01.04.2018\r\n".encode("latin-1")
    )
    until(lambda: ui.said_of("price_list")[0].startswith("preise_april.csv: quarantined") or bool(
        ui.said_of("price_list")[1]))  # fmt: skip
    page = screen.open(ui.address("/assets/inputs/price_list?view=checks"))
    page.get_by_text("files_are_accepted", exact=True).first.click()
    page.get_by_text("Nothing of preise_april.csv was loaded").first.wait_for()
    screen.picture(page, "14-quarantined")

    page = screen.open(ui.address("/assets/inputs/store_targets?view=events"))
    page.get_by_text("targets_2017.csv").first.wait_for()
    shows(page, "rejected", "rejects")
    screen.picture(page, "15-rejects", height=TALLER)


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
    page.get_by_text("CJ15", exact=True).first.click()
    page.get_by_text("Partition CJ15 observed").wait_for()
    shows(page, "rule_version", "Discounts, for CJ15 alone.", "discounted")
    screen.picture(page, "11-rule-version")

    page = screen.open(
        ui.address("/assets/campaign_sales/s3_staging_csv?view=partitions&partition=CJ15")
    )
    page.get_by_text("Unsynced").first.wait_for()
    screen.picture(page, "unsynced", height=TALLER, documented=True)

    before, _ = ui.newest_run("CJ15")
    page = screen.open(ui.address("/locations/etl_assets/asset-groups/campaign_sales/lineage"))
    choose(page, "CJ15")
    page.get_by_role("button", name="Launch 1 run").click()
    ui.run_after("CJ15", before)
    ui.run_ends("CJ15")
    until(lambda: not ui.is_stale("redshift_table", "CJ15"))
    page = screen.open(
        ui.address("/assets/campaign_sales/redshift_table?view=partitions&partition=CJ15")
    )
    shows(page, "Materialized", "proof")
    expect(page.get_by_text("Unsynced")).to_have_count(0)
    screen.picture(page, "12-fresh-again", height=TALLER)
