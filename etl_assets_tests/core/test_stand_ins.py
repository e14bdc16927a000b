"""Which rules stand in for others that failed."""

import pytest

from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import RuleVersion
from etl_assets.core.stand_ins import stand_ins

TEXT = "version: {0}\nrules:\n  - {{id: a, kind: filter, keep: n > {0}}}\n"
OWN = RuleSet()


def published(*versions: int, current: int) -> list[RuleVersion]:
    return [
        RuleVersion("sales", n, TEXT.format(n), "anna", None, "", current=n == current)
        for n in versions
    ]


@pytest.mark.parametrize(
    ("current", "loaded", "order"),
    [
        (5, 3, [3, 4, 2, 1]),  # what worked comes first, then the newest
        (5, 5, [5, 4, 3, 2, 1]),  # who wrote the document over kept its number
        (5, 0, [0, 4, 3, 2, 1]),  # the dataset's own rules, for what was loaded with them
        (5, None, [4, 3, 2, 1]),  # and for nothing else
        (5, 9, [4, 3, 2, 1]),  # a version that is not known any more
        (3, None, [2, 1]),  # an older document put back by hand: what came later is not meant
        (1, None, []),
    ],
)
def test_the_last_that_worked_comes_first_then_the_newest_before(
    current: int, loaded: int | None, order: list[int]
) -> None:
    versions = published(5, 4, 3, 2, 1, current=current)
    (failed,) = [version.rule_set for version in versions if version.current]
    found = [rules.version for rules in stand_ins(failed, versions, loaded=loaded, own=OWN)]
    assert list(dict.fromkeys(found)) == order


def test_without_versions_there_is_only_what_was_loaded_with_the_datasets_own_rules() -> None:
    failed = RuleSet(version=1)
    assert list(stand_ins(failed, [], loaded=0, own=OWN)) == [OWN]
    assert list(stand_ins(failed, [], loaded=1, own=OWN)) == []


def test_a_version_that_cannot_be_read_is_passed_over() -> None:
    damaged = RuleVersion("sales", 2, "", "", None, "", fault="its SHA-256 differs")
    older = RuleVersion("sales", 1, "version: 1\nrules: [{id: a, kind: filtr}]", "", None, "")
    versions = [*published(3, current=3), damaged, older, *published(0, current=3)]
    found = stand_ins(versions[0].rule_set, versions, loaded=2, own=RuleSet(version=7))
    assert [rules.version for rules in found] == [0]
