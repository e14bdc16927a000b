"""What a run prints of itself must be what it did."""

from etl_assets_tests.chaos.figures import Figures


def test_counts_are_summed_by_name_and_notes_follow() -> None:
    figures = Figures()
    figures.add("wire faults")
    figures.add("bytes flipped", 1_200)
    figures.add("wire faults", 2)
    figures.note("No advisories.")
    figures.note("No advisories.")
    assert figures.lines() == ["    3 wire faults", "1,200 bytes flipped", "No advisories."]


def test_a_run_without_chaos_prints_nothing() -> None:
    assert Figures().lines() == []
