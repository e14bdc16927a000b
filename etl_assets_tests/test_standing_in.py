"""In which order rules are tried, and when no more.

At risk: a stage made by rules that nobody meant, and a night of trying.
"""

from collections.abc import Iterator

import pytest

from etl_assets.core.errors import RuleError
from etl_assets.core.manifest import Fallback, Stage
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.rules.fallback import MOST_TRIED, stage_with_fallback
from etl_assets_tests.staged import a_stage


def stage(version: int, fallback: Fallback | None = None) -> Stage:
    return a_stage(rule_version=version, fallback=fallback)


def rules(version: int) -> RuleSet:
    keep = {"id": "a", "kind": "filter", "keep": f"n > {version}"}
    return RuleSet.model_validate({"version": version, "rules": [keep]})


class Applied:
    """Stages with rules of some versions, and notes which were tried."""

    def __init__(self, *working: int) -> None:
        self.working = working
        self.tried: list[int] = []

    def __call__(self, applied: RuleSet, fallback: Fallback | None) -> Stage:
        self.tried.append(applied.version)
        if applied.version not in self.working:
            raise RuleError(f"v{applied.version} does not fit.")
        return stage(applied.version, fallback)


def test_what_works_is_applied_and_nothing_else_is_looked_at() -> None:
    def others() -> Iterator[RuleSet]:
        raise AssertionError
        yield rules(1)

    made = stage_with_fallback(Applied(2), "SP17", rules(2), others())
    assert made == stage(2)
    assert made.notice == ""


def test_the_first_of_the_others_that_works_stands_in() -> None:
    apply = Applied(1, 2)
    made = stage_with_fallback(apply, "SP17", rules(4), [rules(3), rules(2), rules(1)])
    assert apply.tried == [4, 3, 2]
    assert made.rule_version == 2
    assert made.fallback == Fallback(
        failed_version=4, failed_digest=rules(4).digest, reason="v4 does not fit."
    )


def test_rules_that_do_the_same_are_not_tried_twice() -> None:
    apply = Applied()
    same = rules(4).model_copy(update={"version": 3})
    with pytest.raises(RuleError):
        stage_with_fallback(apply, "SP17", rules(4), [same, rules(2), rules(2)])
    assert apply.tried == [4, 2]


def test_when_no_other_rules_work_the_error_is_that_of_the_current_ones() -> None:
    apply = Applied()
    with pytest.raises(RuleError, match="v90 does not fit"):
        stage_with_fallback(apply, "SP17", rules(90), [rules(n) for n in range(80, 0, -1)])
    assert len(apply.tried) == 1 + MOST_TRIED


def test_other_failures_are_no_reason_for_other_rules() -> None:
    def apply(_rules: RuleSet, _fallback: Fallback | None) -> Stage:
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        stage_with_fallback(apply, "SP17", rules(2), [rules(1)])
