"""The HTML pages that commands write, in a browser: on a phone, in the dark, by the keyboard.

At risk: a page that a screen reader cannot tell, that is cut off on a phone, or that runs what
stands in the data.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

import etl_assets.pages
from etl_assets_tests.browser.conftest import PICTURES
from etl_assets_tests.browser.screen import Screen, opened_screen
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.dagster_fixtures import load
from etl_assets_tests.live_ui import until
from etl_assets_tests.small import CAMPAIGNS, Small

PHONE, DESK = (360, 740), (1280, 900)
HOSTILE = "<img src=x onerror=alert(1)>"
LONG = "w" * 300
RULES = [
    {"id": "tag", "kind": "derive", "column": "tag", "type": "text",
     "expression": f"concat(note, '{HOSTILE}')"},
    {"id": "half", "kind": "filter", "keep": "quantity > 1"},
]  # fmt: skip
FAILING = [{"id": "never", "kind": "assert", "that": "quantity > 99"}]
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NAMES = ("plan", "plan-failing", "lineage", "lineage-of-many", "calendar")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Pages over a platform whose records and rules hold what would break out of a page."""
    small = Small(tmp_path_factory.mktemp("pages") / "small").build()
    small.run_sql(
        f"UPDATE sales SET note = '{HOSTILE}' WHERE sale_id % 2 = 0",
        f"UPDATE sales SET note = '{LONG}' WHERE sale_id % 3 = 0",
    )
    small.write_campaigns(CAMPAIGNS.replace("Spring", f"'{HOSTILE}'"))
    command = CommandLine.of(small)
    load(small.settings(), "SP17", "SU17")
    found = {name: small.home / f"{name}.html" for name in NAMES}
    for name, rules, code in (("plan", RULES, 0), ("plan-failing", FAILING, 1)):
        draft = small.home / f"{name}.yaml"
        draft.write_text(json.dumps({"rules": rules}), encoding="utf-8")
        plan = ("rules", "plan", str(draft), "--dataset", "sales")
        run(command, *plan, "--html", str(found[name]), code=code)
    small.write_rules(json.dumps({"version": 1, "rules": RULES}))
    run(command, "lineage", "tag", "--html", str(found["lineage"]))
    run(command, "lineage", "sales", "--html", str(found["lineage-of-many"]))
    small.write_campaigns(CAMPAIGNS.replace("Spring", f"'{HOSTILE}'").replace("Summer", LONG))
    run(command, "calendar", "--at", "2017-05-20", "--html", str(found["calendar"]))
    return found


def run(command: CommandLine, *arguments: str, code: int = 0) -> None:
    done = command.run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Iterator[Screen]:
    """Chromium with a person's choice of colours."""
    with opened_screen(PICTURES, size=DESK, dark=request.param == "dark") as opened:
        opened.folder = PICTURES / request.param
        yield opened


@pytest.fixture
def screen(scheme: Screen) -> Iterator[Screen]:
    """A screen without pages, on which nothing may go wrong."""
    scheme.troubles.clear()
    yield scheme
    for page in scheme.context.pages:
        page.close()
    assert scheme.troubles == []


def test_every_template_has_a_page_that_is_looked_at() -> None:
    templates = {file.stem for file in Path(etl_assets.pages.__file__).parent.glob("*.html")}
    assert templates - {"base"} == {name.partition("-")[0] for name in NAMES}


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing_and_the_page_fits(
    pages: Mapping[str, Path], screen: Screen, name: str, size: tuple[int, int]
) -> None:
    page = screen.open(pages[name].as_uri())
    page.set_viewport_size({"width": size[0], "height": size[1]})
    screen.picture(page, f"{name}-{size[0]}", whole=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert broken_rules(page) == []


def broken_rules(page: Page) -> list[str]:
    """Return what axe finds, as lines."""
    found = Axe().run(page, options={"runOnly": STANDARDS})
    return [
        f"{broken['id']}: {node['html']}"
        for broken in found.response["violations"]
        for node in broken["nodes"]
    ]


def test_axe_and_the_width_would_find_what_is_wrong(screen: Screen) -> None:
    page = screen.open("about:blank")
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.set_content("<h3>Grey</h3><p style='color: #ccc; width: 50rem; background: #fff'>on white")
    assert {line.partition(":")[0] for line in broken_rules(page)} >= {
        "color-contrast", "document-title", "html-has-lang", "landmark-one-main",
    }  # fmt: skip
    assert page.evaluate("document.documentElement.scrollWidth") > PHONE[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_keyboard_reaches_everything_and_is_seen(
    pages: Mapping[str, Path], screen: Screen, name: str
) -> None:
    page = screen.open(pages[name].as_uri())
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="To the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    wanted = page.locator("a, [tabindex='0']").count()
    for _ in range(wanted):
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML")
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body"), "More or less than all."
    skip.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_what_is_wider_than_a_phone_scrolls_in_its_own_box(
    pages: Mapping[str, Path], screen: Screen
) -> None:
    page = screen.open(pages["plan"].as_uri())
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    box = page.get_by_role("group", name="Records, by campaign")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    until(lambda: box.evaluate("box => box.scrollLeft > 0"))


@pytest.mark.parametrize("name", NAMES)
def test_hostile_values_are_shown_and_nothing_of_them_becomes_part_of_the_page(
    pages: Mapping[str, Path], screen: Screen, name: str
) -> None:
    page = screen.open(pages[name].as_uri())
    if name in ("plan", "lineage", "calendar"):
        expect(page.get_by_text(HOSTILE).first).to_be_attached()
    assert page.locator("img, script, iframe, link").count() == 0


def test_the_page_runs_no_script_even_if_one_got_in(
    pages: Mapping[str, Path], tmp_path: Path, screen: Screen
) -> None:
    text = pages["plan"].read_text(encoding="utf-8")
    planted = tmp_path / "planted.html"
    planted.write_text(text.replace("<main", "<script>document.title = 'ran'</script><main"))
    page = screen.open(planted.as_uri())
    assert page.title() == "Plan of sales"
    assert any("Content Security Policy" in trouble for trouble in screen.troubles)
    screen.troubles.clear()
