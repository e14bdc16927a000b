"""An audit that asked nobody must not look like one that found nothing."""

import json

from etl_assets_tests.chaos import audit
from etl_assets_tests.chaos.audit import UNASKED, WEAK, Report, conclude, read_report
from etl_assets_tests.chaos.figures import Figures

WEAKNESS = {"id": "PYSEC-2021-108", "fix_versions": ["1.26.5"], "aliases": [], "description": ""}
TOLD = Report(1, (), ("urllib3 1.26.4: PYSEC-2021-108, fixed in 1.26.5",))


def report(*dependencies: dict[str, object]) -> Report:
    return read_report(json.dumps({"dependencies": dependencies, "fixes": []}))


def test_a_report_tells_audited_passed_over_and_weak_distributions_apart() -> None:
    found = report(
        {"name": "urllib3", "version": "1.26.4", "vulns": [WEAKNESS]},
        {"name": "rich", "version": "13.0.0", "vulns": []},
        {"name": "unknown", "skip_reason": "Dependency not found on PyPI"},
    )
    assert found == Report(2, ("unknown: Dependency not found on PyPI",), TOLD.weaknesses)


def test_a_source_that_does_not_know_the_planted_weakness_has_not_been_asked() -> None:
    passed_over = report({"name": "urllib3", "skip_reason": "Dependency not found on PyPI"})
    for planted in (None, passed_over, Report(1, (), ())):
        code, said = conclude(planted, Report(130, (), ()), "pypi")
        assert (code, "NOT audited" in said) == (UNASKED, True)


def test_a_weakness_a_gap_and_a_clean_answer_are_told_apart() -> None:
    clean = Report(130, (), ())
    assert conclude(TOLD, clean, "pypi") == (
        0,
        "130 dependencies audited (pypi); no known weakness.",
    )
    assert conclude(TOLD, Report(130, (), TOLD.weaknesses), "pypi")[0] == WEAK
    assert conclude(TOLD, Report(129, ("a: gone",), ()), "pypi")[0] == UNASKED
    assert conclude(TOLD, None, "pypi")[0] == UNASKED


def test_the_locked_dependencies_have_no_known_weakness(
    figures: Figures, *, long_form: bool
) -> None:
    """In the short form the lock is only read: asking takes the network."""
    pins = [line for line in audit.LOCK.read_text(encoding="utf-8").splitlines() if "==" in line]
    assert pins
    if long_form:
        code, said = audit.audit()
        figures.note(said)
        assert code != WEAK, said
        figures.add("dependencies audited", 0 if code == UNASKED else len(pins))
