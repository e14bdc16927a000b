"""What the rows of the count mean, and when a view's text is another one."""

from decimal import Decimal

from etl_assets.core.reporting_views import (
    Overlap,
    Overlaps,
    read_overlaps,
    reporting_views,
    view_names,
)

COLUMNS = ("basket_id", "amount", "campaign_key")


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


def test_a_mark_stands_in_its_view_and_changes_with_columns_and_key_only() -> None:
    views = reporting_views("main", "sales", COLUMNS, ["basket_id"])
    assert [view.name for view in views] == list(view_names("sales"))
    assert all(f'AS "{view.mark}"' in view.select for view in views)
    assert views == reporting_views("main", "sales", COLUMNS, ["basket_id"])
    more = reporting_views("main", "sales", (*COLUMNS, "more"), ["basket_id"])
    assert not {view.mark for view in views} & {view.mark for view in more}
    other = reporting_views("main", "sales", COLUMNS, ["amount"])
    assert [a.mark == b.mark for a, b in zip(views, other, strict=True)] == [True, False]


def test_without_a_column_of_the_key_there_is_no_view_without_repetition() -> None:
    (view,) = reporting_views("main", "sales", COLUMNS, ["basket_id", "product_id"])
    assert view.name == "sales_by_campaign"


def test_names_are_quoted_in_every_place() -> None:
    hostile = 'a"; DROP TABLE t; --'
    for view in reporting_views("main", "sales", (hostile, "campaign_key"), [hostile]):
        assert hostile not in view.select
        assert '"a""; DROP TABLE t; --"' in view.select
