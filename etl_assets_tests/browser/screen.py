"""A headless Chromium that notices what goes wrong in a page, and pictures what it shows."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    sync_playwright,
)

from etl_assets_tests.command_line import PATIENCE_SECONDS
from etl_assets_tests.live_ui import until
from etl_assets_tests.servers import ensure_packages, program_path

SIZE = (1400, 800)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
LEFT = "net::ERR_ABORTED"
"""Why a query of GraphQL or a prefetch has failed whose page was left meanwhile."""

LARGEST_BYTES = 300_000
"""Of a picture in docs/images."""


@dataclass
class Screen:
    """A browser's pages, their troubles, and where pictures of them go.

    Attributes:
        context: The browser's context; pages share its memory.
        folder: Where every picture is kept.
        documentation: Where those of the documentation go, too, when they are to be renewed.
        troubles: What went wrong in pages: errors in the console, exceptions, failed requests,
            and every request to another machine.
    """

    context: BrowserContext
    folder: Path
    documentation: Path | None = None
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.set_default_timeout(1000 * PATIENCE_SECONDS)
        self.context.on("console", self._heard)
        self.context.on("weberror", lambda error: self.troubles.append(f"exception: {error.error}"))
        self.context.on("request", self._asked)
        self.context.on("requestfailed", self._failed)
        self.context.on("response", self._answered)

    def open(self, address: str) -> Page:
        """Open an address in a page of its own and wait until nothing is fetched any more."""
        page = self.context.new_page()
        page.goto(address)
        page.wait_for_load_state("networkidle")
        return page

    def picture(
        self,
        page: Page,
        name: str,
        *,
        height: int = 0,
        whole: bool = False,
        documented: bool = False,
    ) -> None:
        """Keep a picture of what is seen, once two in a row are equal.

        Args:
            page: What is seen.
            name: The picture's file, without its end.
            height: Of the page, in pixels; as it is when 0.
            whole: Whether all of the page is pictured, also what has to be scrolled to.
            documented: Whether it is one of docs/images.
        """
        if height:
            page.set_viewport_size({"width": SIZE[0], "height": height})
        last = b""

        def settled() -> bytes | None:
            nonlocal last
            before, last = last, page.screenshot(animations="disabled", full_page=whole)
            return last if last == before else None

        shown: bytes = until(settled)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.png").write_bytes(shown)
        if documented:
            assert len(shown) <= LARGEST_BYTES, f"{name}.png has {len(shown):,} bytes."
            if self.documentation:
                (self.documentation / f"{name}.png").write_bytes(shown)

    def failed(self, test: str) -> None:
        """Keep what is seen when a test fails, with what went wrong in the pages."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, page in enumerate(self.context.pages):
            page.screenshot(path=self.folder / f"failed-{test}-{number}.png")
        (self.folder / f"failed-{test}.txt").write_text("\n".join(self.troubles), encoding="utf-8")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.troubles.append(f"console: {message.text} ({message.location.get('url')})")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob", "file") and address.hostname != "127.0.0.1":
            self.troubles.append(f"asks another machine: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != LEFT:
            self.troubles.append(f"failed: {request.method} {request.url} ({request.failure})")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.troubles.append(f"answered {response.status}: {response.url}")


@contextlib.contextmanager
def opened_screen(
    folder: Path,
    *,
    size: tuple[int, int] = SIZE,
    dark: bool = False,
    documentation: Path | None = None,
) -> Iterator[Screen]:
    """Start Chromium and yield a screen, whose pictures go to a folder.

    Raises:
        MissingServerError: When Chromium is missing and cannot be installed here.
    """
    ensure_packages("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program_path("chromium"), args=[*FLAGS]
        )
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            timezone_id="UTC",
            locale="en-GB",
        )
        yield Screen(context, folder, documentation)
        chromium.close()
