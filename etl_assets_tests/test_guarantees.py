"""Each promise names a test that there is, and no suite of chaos stands behind none."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "guarantees.md"
_NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
_WITHOUT_A_PROMISE = {"test_audit.py", "test_figures.py"}
"""Of chaos: they are about the run itself."""


def promises(page: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return each row of the tables of promises, with the tests it names."""
    rows = []
    for table in page.split("| promise | test |\n|---|---|\n")[1:]:
        for line in table.partition("\n\n")[0].splitlines():
            promise, tests = line.strip("| ").rsplit(" | ", 1)
            rows.append((promise, _NAMED.findall(tests)))
    return rows


def broken(page: str) -> list[str]:
    """Return the promises without a test, and the tests that are not there."""
    found = []
    for promise, named in promises(page):
        found += [f"no test: {promise}"] if not named else []
        for path, name in named:
            file = TESTS / path
            text = file.read_text(encoding="utf-8") if file.is_file() else ""
            if not re.search(rf"^def {name}\(", text, re.MULTILINE):
                found.append(f"{path}::{name}")
    return found


def test_every_promise_names_a_test_that_there_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(promises(page)) > 20
    assert broken(page) == []


def test_a_promise_without_its_test_is_found() -> None:
    page = PAGE.read_text(encoding="utf-8")
    renamed = page.replace("::test_a_loader_that", "::test_the_loader_that")
    assert broken(renamed) == [
        "chaos/test_readers.py::test_the_loader_that_empties_the_slice_first_is_seen"
    ]
    added = page.replace("|---|---|\n", "|---|---|\n| All is well. | trust us |\n", 1)
    assert broken(added) == ["no test: All is well."]


def test_every_suite_of_chaos_stands_behind_a_promise() -> None:
    named = {path for _, tests in promises(PAGE.read_text(encoding="utf-8")) for path, _ in tests}
    suites = {f"chaos/{file.name}" for file in TESTS.glob("chaos/test_*.py")}
    assert suites - named == {f"chaos/{name}" for name in _WITHOUT_A_PROMISE}
