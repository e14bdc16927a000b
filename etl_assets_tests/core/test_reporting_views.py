"""What the rows of the count mean."""

from decimal import Decimal

from etl_assets.core.reporting_views import Overlap, Overlaps, read_overlaps


def test_rows_of_the_count_become_pairs_and_totals() -> None:
    rows = [
        ("A", "A", 10, Decimal(11), Decimal(11), 0),
        ("A", "B", 4, Decimal(4), Decimal(4), 0),
        ("B", "B", 6, Decimal(6), Decimal(2), 0),
        ("C", "C", 5, Decimal(5), Decimal(5), 5),
    ]
    counted = read_overlaps(rows, 18)
    assert counted == Overlaps(22, 18, (Overlap("A", "B", 4),), 18, nameless=("C",))
    assert counted.repeated == 4
    assert counted.of("A") == {"B": 4}
    assert counted.of("B") == {"A": 4}
    assert counted.of("C") == {}
    assert counted.caveat().startswith("The records of C have no value in a column")


def test_no_rows_are_no_overlaps() -> None:
    assert read_overlaps([], None) == Overlaps(0, 0)
