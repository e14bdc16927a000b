"""A bad rule is not published by accident, and a published one is taken back at once."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from etl_assets.commands.rules import rules
from etl_assets.core.errors import DocumentError, PermanentError, RegistryError, RuleError
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import Small
from etl_assets_tests.test_rule_plan import FLAG, SOLD_ON

Run = Callable[..., Result]


@pytest.fixture
def run(small: Small, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `etl-assets rules …` over the small platform, which holds SP17."""
    monkeypatch.setenv("ETL_ASSETS_HOME", str(small.home))
    monkeypatch.setenv("ETL_ASSETS_DATASETS", str(small.home / "datasets"))
    Chain(small.settings()).refresh()

    def call(*arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(rules, list(arguments), input=answer)

    return call


def draft(small: Small, *more: dict[str, Any], version: int = 0) -> str:
    file = small.home / "sales.yaml"
    document = {"version": version, "rules": [SOLD_ON, *more]}
    file.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return str(file)


def numbers(run: Run) -> list[int]:
    return [row["version"] for row in json.loads(run("history", "sales", "--json").stdout)]


def test_rules_are_published_shown_compared_and_taken_back(run: Run, small: Small) -> None:
    published = run("publish", draft(small, FLAG), "--comment", "Tags big sales.", "--yes")
    assert published.exit_code == 0, published.exception
    assert "flags: " in published.output
    assert "Version 1 of the rules of sales counts" in published.output
    chain = Chain(small.settings())
    assert chain.refresh().rule_version == 1
    assert chain.query("SELECT count(*) FROM sales WHERE flags = 'big'")[0][0] > 0

    back = run("rollback", "sales", "0", "--comment", "Nobody asked for it.", "--yes")
    assert back.exit_code == 0, back.exception
    assert numbers(run) == [2, 1]
    assert chain.refresh().rule_version == 2
    assert chain.query("SELECT count(*) FROM sales WHERE flags = 'big'") == [(0,)]
    assert '-   "id": "flag"' in run("diff", "sales", "1", "2").output
    assert '"id": "flag"' in run("show", "sales", "--version", "1").output


def test_nothing_is_published_unless_somebody_says_yes(run: Run, small: Small) -> None:
    refused = run("publish", draft(small, FLAG), "--comment", "x", answer="n\n")
    assert isinstance(refused.exception, PermanentError)
    assert "nobody said yes" in str(refused.exception)
    assert numbers(run) == []


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({**FLAG, "when": "quantty > 1"}, RuleError),
        ({**FLAG, "whem": "x"}, DocumentError),
        ({**FLAG, "examples": [{"in": {"quantity": 1}, "out": {"flags": "big"}}]}, DocumentError),
        ({"id": "p", "kind": "assert", "that": "quantity > 1"}, PermanentError),
    ],
)
def test_rules_that_do_not_hold_are_not_published_even_when_somebody_says_yes(
    run: Run, small: Small, bad: dict[str, Any], error: type[Exception]
) -> None:
    refused = run("publish", draft(small, bad), "--comment", "x", "--yes")
    assert isinstance(refused.exception, error)
    assert numbers(run) == []
    if error is PermanentError:
        assert "would fail 1 of 1 campaigns, such as SP17" in str(refused.exception)
        meant = run("publish", draft(small, bad), "--comment", "x", "--yes", "--allow-failing")
        assert meant.exit_code == 0
        assert numbers(run) == [1]


def test_an_edit_that_began_before_somebody_elses_is_refused(run: Run, small: Small) -> None:
    assert run("publish", draft(small, FLAG), "--comment", "first", "--yes").exit_code == 0
    late = run("publish", draft(small), "--comment", "second", "--yes")
    assert isinstance(late.exception, RegistryError)
    assert "by now version 1 counts" in str(late.exception)
    assert "first" in str(late.exception)
    assert run("publish", draft(small, version=1), "--comment", "second", "--yes").exit_code == 0
    assert numbers(run) == [2, 1]


def test_what_is_published_already_is_not_published_again(run: Run, small: Small) -> None:
    assert run("publish", draft(small, FLAG), "--comment", "x", "--yes").exit_code == 0
    again = run("publish", draft(small, FLAG, version=1), "--comment", "x", "--yes")
    assert "Nothing to publish" in again.output
    assert numbers(run) == [1]


def test_the_json_of_a_publication_is_one_document(run: Run, small: Small) -> None:
    made = run("publish", draft(small, FLAG), "--comment", "x", "--yes", "--json", "--by", "ann")
    assert json.loads(made.stdout)["by"] == "ann"
