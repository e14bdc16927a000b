"""docs/failures.md says which codes are tried again: what it says is what the code does."""

from etl_assets.core.failure_classes import TABLE
from etl_assets_tests.failure_pages import PAGE, classes, filled, retries


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    """When not: `python -m etl_assets_tests.failure_pages`."""
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page
    assert filled(page.replace("`SlowDown`, ", "")) == page
    assert filled(page.replace("| key | a step", "| run | a step")) == page


def test_every_row_and_every_depth_is_there_once() -> None:
    assert len(classes().splitlines()) == len(TABLE) + 2
    depths = [line.split(" | ")[0].removeprefix("| ") for line in retries().splitlines()[2:]]
    assert depths == ["statement", "statement", "statement", "part", "part", "part", "key"]
