"""Take the pictures of the documentation: `make pictures`.

On a private home, and with the system's own Chromium: build the sample, refresh its busiest
day, start the UI, write docs/images/*.png, and take everything down again. What is waited
for is a state (of the UI's GraphQL, of the page), never a time.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

IMAGES = Path(__file__).parent.parent / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
SIZE = (1400, 800)
TALLER = 960  # for a whole table of metadata
LARGEST_BYTES = 300_000
PATIENCE_SECONDS = 120.0
REFRESHED_KEYS = 6
CHAIN = ("rds_extract", "s3_staging_csv", "redshift_table")
PICTURED_KEY = "CJ18"
DAY_KEYS = ("CJ15", "CJ18", "CJ19", "CJ20", "CJ21", "CJ22")

DISCOUNTED = """\
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

STATE = """query State($asset: AssetKeyInput!) {
  workspaceOrError { ... on Workspace { locationEntries {
    name locationOrLoadError { __typename ... on PythonError { message } } } } }
  assetNodeOrError(assetKey: $asset) { ... on AssetNode { partitionStats { numMaterialized } } }
}"""

Found = TypeVar("Found")


class PictureError(Exception):
    """What stands in the way of a picture, and what to do."""


def main() -> int:
    """Take all pictures; return the exit code."""
    try:
        browser = find_browser()
        with tempfile.TemporaryDirectory(prefix="etl-assets-pictures-") as folder:
            environment = private_environment(Path(folder) / "var")
            run_demo(environment)
            with running_ui(environment) as url:
                location = wait_for("the UI to load the assets", lambda: loaded_location(url))
                with pictured(browser) as context:
                    fold_navigation(context, url)
                    asset_graph(context, url, location)
                    partitions(context, url)
                    materialization(context, url)
                    plan(context, environment, Path(folder))
                    unsynced(context, url, environment, Path(folder))
    except PictureError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def find_browser() -> str:
    """Return the path of the system's Chromium.

    Raises:
        PictureError: When there is none.
    """
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise PictureError(
        f"There is no Chromium ({', '.join(BROWSERS)}) on the PATH."
        " On Debian: apt-get install chromium."
    )


def private_environment(home: Path) -> dict[str, str]:
    """Return this process's environment with a home of its own and no other setting of ours."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("ETL_ASSETS_")}
    return {**kept, "ETL_ASSETS_HOME": str(home)}


def run_demo(environment: dict[str, str]) -> None:
    """Build the sample and refresh its busiest day.

    Raises:
        PictureError: When that fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "etl_assets.cli", "demo"], env=environment, check=False
    )
    if done.returncode:
        raise PictureError("The demo failed; see its message above.")


@contextlib.contextmanager
def running_ui(environment: dict[str, str]) -> Iterator[str]:
    """Run the UI on a free port and yield its address; it ends with the context."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "etl_assets.cli", "ui", "--port", str(port)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def loaded_location(url: str) -> str | None:
    """Return the name of the code location once its assets are there, else None.

    Raises:
        PictureError: When the code location does not load.
    """
    state = ask(url, STATE, {"asset": {"path": ["campaign_sales", "redshift_table"]}})
    if state is None:
        return None
    for entry in state["workspaceOrError"].get("locationEntries", ()):
        loaded = entry["locationOrLoadError"] or {}
        if loaded.get("__typename") == "PythonError":
            raise PictureError(f"The code location does not load: {loaded['message']}")
        stats = state["assetNodeOrError"].get("partitionStats") or {}
        if stats.get("numMaterialized") == REFRESHED_KEYS:
            return str(entry["name"])
    return None


def ask(url: str, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Ask the UI's GraphQL; None while nobody listens."""
    request = urllib.request.Request(  # noqa: S310  (always http, on this machine)
        f"{url}/graphql",
        json.dumps({"query": query, "variables": variables or {}}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            found: dict[str, Any] = json.load(response)["data"]
            return found
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def wait_for(what: str, look: Callable[[], Found | None]) -> Found:
    """Return what `look` finds, as soon as it finds something.

    Raises:
        PictureError: When that takes too long.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.25)
    raise PictureError(f"Waited {PATIENCE_SECONDS:.0f} s for {what}.")


@contextlib.contextmanager
def pictured(browser: str) -> Iterator["BrowserContext"]:
    """Give a browser whose pages are pictured."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=[*FLAGS])
        context = chromium.new_context(
            viewport={"width": SIZE[0], "height": SIZE[1]}, timezone_id="UTC", locale="en-GB"
        )
        context.set_default_timeout(1000 * PATIENCE_SECONDS)
        yield context
        chromium.close()


def asset_graph(context: "BrowserContext", url: str, location: str) -> None:
    """Picture the chain of campaign_sales with its source tables and the registry."""
    page = open_page(context, f"{url}/locations/{location}/asset-groups/campaign_sales/lineage")
    for name in ("transactions", "demographics", "campaigns", *CHAIN):
        page.get_by_text(name, exact=True).first.wait_for()
    page.get_by_text("1 / 1 Passed").first.wait_for()
    filled = page.get_by_text("% filled")
    wait_for("the partitions of the chain", lambda: filled.count() == len(CHAIN) or None)
    save(page, "asset-graph")


def partitions(context: "BrowserContext", url: str) -> None:
    """Picture the partitions of campaign_sales with their states."""
    page = open_page(
        context,
        f"{url}/assets/campaign_sales/redshift_table?view=partitions&partition={PICTURED_KEY}",
    )
    page.get_by_text(f"Materialized ({REFRESHED_KEYS})").wait_for()
    page.get_by_text("unchanged", exact=True).wait_for()
    page.set_viewport_size({"width": SIZE[0], "height": TALLER})
    page.get_by_text("CJ16", exact=True).first.hover()
    page.mouse.wheel(0, 5000)  # the newest campaigns are the last of the list
    page.get_by_text("CJ27", exact=True).first.wait_for()
    page.mouse.move(0, 0)
    save(page, "partitions")


def materialization(context: "BrowserContext", url: str) -> None:
    """Picture what one load says about itself."""
    page = open_page(
        context,
        f"{url}/assets/campaign_redemptions/redshift_table?view=events&partition={PICTURED_KEY}",
    )
    page.get_by_text(f"Partition {PICTURED_KEY} materialized in run").wait_for()
    page.get_by_text("unchanged", exact=True).wait_for()
    page.set_viewport_size({"width": SIZE[0], "height": TALLER})
    save(page, "materialization")


def plan(context: "BrowserContext", environment: dict[str, str], folder: Path) -> None:
    """Picture the page of a plan: two campaigns, and what changes in their records."""
    draft = draft_of(environment, folder, DISCOUNTED)
    page_file = folder / "plan.html"
    keys = ("--key", "CJ15", "--key", "CJ19")
    run_command(environment, "rules", "plan", str(draft), *keys, "--html", str(page_file))
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.set_viewport_size({"width": 1000, "height": TALLER})
    save(page, "plan")


def unsynced(
    context: "BrowserContext", url: str, environment: dict[str, str], folder: Path
) -> None:
    """Picture the one partition that a published override put out of step."""
    draft = draft_of(environment, folder, OVERRIDE)
    published = ("rules", "publish", str(draft), "--comment", "Discounts, for CJ15 alone.", "--yes")
    run_command(environment, *published)
    wait_for(
        "the sensor to report the change",
        lambda: stale_keys(url) == {"s3_staging_csv": {"CJ15"}, "redshift_table": {"CJ15"}} or None,
    )
    page = open_page(
        context, f"{url}/assets/campaign_sales/s3_staging_csv?view=partitions&partition=CJ15"
    )
    page.get_by_text("Unsynced").first.wait_for()
    page.set_viewport_size({"width": SIZE[0], "height": TALLER})
    save(page, "unsynced")


def stale_keys(url: str) -> dict[str, set[str]]:
    """Return the partitions of the chain that the UI calls stale, of those refreshed."""
    asked = {
        asset: "\n".join(f'{key}: staleStatus(partition: "{key}")' for key in DAY_KEYS)
        for asset in CHAIN
    }
    query = "\n".join(
        f'{asset}: assetNodeOrError(assetKey: {{path: ["campaign_sales", "{asset}"]}})'
        f" {{ ... on AssetNode {{ {wanted} }} }}"
        for asset, wanted in asked.items()
    )
    answer = ask(url, f"{{ {query} }}") or {}
    found = {
        asset: {key for key, status in answer.get(asset, {}).items() if status == "STALE"}
        for asset in CHAIN
    }
    return {asset: keys for asset, keys in found.items() if keys}


def draft_of(environment: dict[str, str], folder: Path, more: str) -> Path:
    """Write the rules that count, with more at their end, into a file."""
    text = run_command(environment, "rules", "show", "campaign_sales")
    draft = folder / "campaign_sales.yaml"
    draft.write_text(text + more, encoding="utf-8")
    return draft


def run_command(environment: dict[str, str], *arguments: str) -> str:
    """Run a command of `etl-assets` and return what it prints.

    Raises:
        PictureError: When it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "etl_assets.cli", *arguments],
        env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise PictureError(f"`etl-assets {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def fold_navigation(context: "BrowserContext", url: str) -> None:
    """Fold the navigation away, which the browser then remembers: the page is what matters."""
    page = context.new_page()
    page.goto(url)
    hide = page.get_by_text("Hide navigation")
    hide.click()
    hide.wait_for(state="hidden")
    page.close()


def open_page(context: "BrowserContext", address: str) -> "Page":
    """Open an address and wait until nothing is fetched any more."""
    page = context.new_page()
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.reload()  # the graph is laid out again, with every icon from the cache
    page.wait_for_load_state("networkidle")
    return page


def save(page: "Page", name: str) -> None:
    """Write a picture of the page once two pictures in a row are equal.

    Raises:
        PictureError: When it never comes to rest, or is too large to be kept.
    """
    last = b""

    def settled() -> bytes | None:
        nonlocal last
        before, last = last, page.screenshot()
        return last if last == before else None

    picture = wait_for(f"the page of {name} to come to rest", settled)
    file = IMAGES / f"{name}.png"
    if len(picture) > LARGEST_BYTES:
        raise PictureError(f"{file.name} has {len(picture):,} bytes; {LARGEST_BYTES:,} are enough.")
    IMAGES.mkdir(parents=True, exist_ok=True)
    file.write_bytes(picture)
    print(f"docs/images/{file.name}: {len(picture):,} bytes")


if __name__ == "__main__":
    sys.exit(main())
