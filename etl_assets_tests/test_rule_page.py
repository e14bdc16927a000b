"""docs/rules.md is what people learn rules from: what it says is what happens."""

import re
from collections.abc import Iterator, Sequence

import pytest
from pydantic import BaseModel, ConfigDict

from etl_assets.core.columns import Column
from etl_assets.core.errors import EtlError
from etl_assets.core.rules.kinds import Rule
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import read_rules
from etl_assets.rules.lint import Linted, columns_of, lint_rules
from etl_assets.settings import Settings
from etl_assets_tests.rule_pages import PAGE, filled, kinds, section


def blocks(page: str) -> list[str]:
    """Return the rule sets of a page."""
    return re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)


def rules_with_examples(rule_set: RuleSet) -> Iterator[Rule]:
    """Yield the rules that have examples, also those of single campaigns."""
    changed = [o.add or o.replace for some in rule_set.overrides.values() for o in some]
    for rule in [*rule_set.rules, *changed]:
        if rule and rule.examples:
            yield rule


def kinds_without_example(page: str) -> list[str]:
    """Return the kinds whose section has no rule of theirs with an example."""
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", page, re.DOTALL | re.MULTILINE))
    return [
        kind
        for kind in kinds()
        if not any(
            rule.kind == kind
            for block in blocks(sections.get(kind, ""))
            for rule in rules_with_examples(read_rules(block, kind))
        )
    ]


class Tryout:
    """Lints rule sets for campaign_sales, with the columns that the sample's query has."""

    def __init__(self, settings: Settings) -> None:
        self.dataset = settings.datasets["campaign_sales"]
        self.registry = settings.open_registry().read()
        self.columns: Sequence[Column] = columns_of(
            self.dataset, settings.open_warehouse(), settings.open_staging(),
            settings.open_source(), self.registry.campaign("CJ24"),
        )  # fmt: skip

    def lint(self, text: str) -> Linted:
        return lint_rules(
            text, "the example", self.dataset, self.registry, self.columns,
            lookups=lambda name: pytest.fail(f"no example looks up in {name}"),
        )  # fmt: skip


@pytest.fixture
def tryout(settings: Settings) -> Tryout:
    return Tryout(settings)


def test_every_example_of_the_page_holds(tryout: Tryout) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(blocks(page)) >= len(kinds())
    for block in blocks(page):
        linted = tryout.lint(block)
        assert list(rules_with_examples(linted.rule_set)), block
        assert linted.notes == ()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("{unit_price: 3.33}", "{unit_price: 3.34}"),
        ("out: {brand: own brand}", "out: {brand: private label}"),
        ("{start: 2017-10-30}", "{start: 2017-10-29}"),
        ("expression: sales_value / quantity", "expression: sales_value / quantities"),
        ("columns: {department: text, area", "columns: {dept: text, area"),
    ],
)
def test_an_example_that_does_not_hold_is_found(tryout: Tryout, right: str, wrong: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (block,) = [block for block in blocks(page) if right in block]
    tryout.lint(block)
    with pytest.raises(EtlError):
        tryout.lint(block.replace(right, wrong))


def test_every_kind_has_a_section_with_an_example() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert kinds_without_example(page) == []
    assert kinds_without_example(page.replace("### fill", "### full")) == ["fill"]
    before, _, after = page.partition("### select")
    bare = re.sub(r" +examples:\n.*?```", "```", after, count=1, flags=re.DOTALL)
    assert kinds_without_example(f"{before}### select{bare}") == ["select"]


def test_what_the_page_says_of_each_kind_is_what_the_models_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "write it: python -m etl_assets_tests.rule_pages"
    for kind in kinds():
        assert f"<!-- {kind} -->\n" in page
    assert filled(page.replace("Remove columns, by", "Destroy columns, by")) == page


def test_a_section_names_fields_with_their_defaults() -> None:
    class Model(BaseModel):
        """Do it.

        In two
        lines.
        """

        model_config = ConfigDict(frozen=True)

        id: str
        wanted: bool
        often: bool = True

    assert section(Model).splitlines() == [
        "Do it.", "", "In two lines.", "", "| field | is | default |", "|---|---|---|",
        "| `wanted` | true or false | required |", "| `often` | true or false | `true` |",
    ]  # fmt: skip
