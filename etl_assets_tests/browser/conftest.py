"""A screen whose pictures are kept in build/browser, also of what fails."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from etl_assets_tests.browser.screen import Screen, opened_screen

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "browser"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what is seen where a test fails."""
    report = yield
    screen = getattr(item, "funcargs", {}).get("screen")
    if call.when == "call" and report.failed and isinstance(screen, Screen):
        screen.failed(item.name)
    return report


@pytest.fixture(scope="module")
def browser(pytestconfig: pytest.Config) -> Iterator[Screen]:
    """Chromium, for a module's tests."""
    documentation = ROOT / "docs" / "images" if pytestconfig.getoption("--pictures") else None
    with opened_screen(PICTURES, documentation=documentation) as opened:
        yield opened


@pytest.fixture
def screen(browser: Screen) -> Iterator[Screen]:
    """A screen without pages, on which nothing may go wrong."""
    browser.troubles.clear()
    yield browser
    for page in browser.context.pages:
        page.close()
    assert browser.troubles == []
