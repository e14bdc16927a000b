"""Every command that a page shows is run on the sample, and prints what the page says."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_assets.settings import PACKAGED_DATASETS
from etl_assets_tests.docs.pages import Page, blocks, commands, environment, plain, write

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PROGRAMS = Path(sys.executable).parent
ELSEWHERE = {
    "aws", "dagster-webserver", "docker", "htpasswd", "install", "ln", "make", "nginx", "openssl",
}  # fmt: skip
"""Programs of blocks that are not run here: they need an account, change the machine, or, as
`make demo`, `make docs` and the proxy, have tests of their own."""

PAGES = sorted(
    page for page in DOCS.rglob("*.md") if "```console" in page.read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first page was run, and beside it a copy of it."""
    folder = tmp_path_factory.mktemp("docs") / "clone"
    for kind in ("contracts", "datasets", "feeds"):
        shutil.copytree(PACKAGED_DATASETS.parent / kind, folder / "etl_assets" / kind)
    page = Page(folder, environment(folder, PROGRAMS))
    assert page.run((DOCS / "start.md").read_text(encoding="utf-8")) == []
    shutil.copytree(folder, folder.parent / "kept")
    return folder


@pytest.fixture
def page(demo: Path) -> Iterator[Page]:
    """A page in the same folder, as the first page left it."""
    yield Page(demo, environment(demo, PROGRAMS))
    shutil.rmtree(demo)
    shutil.copytree(demo.parent / "kept", demo)


@pytest.mark.parametrize(
    "path", [p for p in PAGES if p.name != "start.md"], ids=lambda path: path.stem
)
def test_the_commands_of_a_page_print_what_it_shows(page: Page, path: Path) -> None:
    assert page.run(path.read_text(encoding="utf-8")) == []


def test_the_first_page_is_run_before_all_others(demo: Path) -> None:
    assert (demo / "var" / "warehouse.duckdb").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```console\n$ etl-assets campaigns --jsn\n```\n", "exit code 2"),
        ("```console\n$ echo one\ntwo\n```\n", "does not print 'two'"),
        ("```console\n$ echo one; echo two\ntwo\none\n```\n", "does not print 'one'"),
        ("```console\n$ false  # exits with 2\n```\n", "exit code 1"),
        ('```yaml title="var/a.yaml"\na: 1\n```\n```console\n$ cat var/a.yaml\na: 2\n```\n', "'a: 2'"),
    ],
)  # fmt: skip
def test_a_page_that_shows_something_else_is_found(page: Page, text: str, problem: str) -> None:
    (found,) = page.run(text)
    assert problem in found


def test_a_load_that_is_shown_stands_for_the_one_that_was_printed(tmp_path: Path) -> None:
    page = Page(tmp_path, environment(tmp_path, PROGRAMS))
    shown, printed = "20170101T000000.000000Z-aaaaaaaa", "20261231T235959.999999Z-0123abcd"
    text = f"$ echo made $(cat name)\nmade {shown}\n$ test {shown} = {printed}\n"
    (tmp_path / "name").write_text(printed, encoding="utf-8")
    assert page.run(f"```console\n{text}```\n") == []


def test_only_what_differs_between_days_is_not_compared() -> None:
    assert plain("[1/1] CJ15: loaded 4,169 (2.8 s)") == plain("[1/1] CJ15: loaded 4,169 (13.1 s)")
    assert plain("[1/1] CJ15: loaded 4,169 (2.8 s)") != plain("[1/1] CJ15: loaded 4,168 (2.8 s)")
    assert plain("a   b") == plain("a b")
    assert plain("  2      2.6  loaded") == plain(" 2     3.1  loaded")


def test_an_example_is_put_into_the_document_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1\nrules:\n  - {id: a}\n", encoding="utf-8")
    write(file, "version: 2\nrules:\n  # … the rules that are there\n  - {id: b}\n")
    assert file.read_text(encoding="utf-8") == "version: 2\nrules:\n  - {id: a}\n  - {id: b}\n"


def unrun(page: str) -> list[str]:
    """Return commands that stand where nothing runs them."""
    return [
        line
        for block in blocks(page)
        if block.language in ("", "sh", "bash")
        for line in block.text.splitlines()
        if line.removeprefix("$ ").split(" ")[0] == "etl-assets" or line.startswith("$ ")
    ]


def test_every_command_of_ours_that_is_shown_is_run() -> None:
    pages = {page: page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md")}
    assert {page.name: found for page, text in pages.items() if (found := unrun(text))} == {}
    assert unrun("```\n$ etl-assets loads\n```\n```sh\netl-assets loads\n```\n") != []


def test_blocks_that_are_not_run_are_of_programs_that_cannot_be() -> None:
    found = {
        line.split(" ")[0]
        for page in DOCS.rglob("*.md")
        for block in blocks(page.read_text(encoding="utf-8"))
        if block.language == "sh"
        for line in block.text.splitlines()
        if line and not line.startswith((" ", "#"))
    }
    assert found - ELSEWHERE == set()


def test_a_terminal_is_read_as_commands_with_their_lines() -> None:
    text = "$ one --a\nprinted\n…\n\nmore\n$ two\n"
    assert list(commands(text)) == [("one --a", ["printed", "more"]), ("two", [])]
