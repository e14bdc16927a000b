"""When a view's text is another one, what is done to the views that are there, and what is said.

At risk: a view that somebody made is dropped or replaced; one of ours stays what it was.
"""

from dataclasses import replace

import pytest

from etl_assets.core.errors import WarehouseError
from etl_assets.core.kept_views import View, changes, kept_views
from etl_assets.core.reporting import Declared, Reporting
from etl_assets.core.reporting_views import view_names
from etl_assets_tests.staged import a_stage

KINDS = {
    "sale_id": "BIGINT",
    "sold_on": "DATE",
    "amount": "DECIMAL(12,2)",
    "campaign_key": "VARCHAR",
}
STAGE = a_stage()
DAYS = Reporting(day="sold_on", measures=("amount",))
DECLARED = Declared(description="One record per sale.", reporting=DAYS)


def views(declared: Declared | None = None, **more: str) -> list[View]:
    return kept_views("main", STAGE, KINDS | more, declared)


def texts(made: list[View]) -> dict[str, str]:
    return {view.name: view.select for view in made}


def test_a_mark_stands_in_its_view_and_changes_with_what_the_view_shows_only() -> None:
    made = views()
    assert [view.name for view in made] == list(view_names("sales"))
    assert all(f'AS "{view.mark}"' in view.select for view in made)
    assert made == views()
    assert not {view.mark for view in made} & {view.mark for view in views(more="DATE")}
    other = kept_views("main", a_stage(primary_key=("amount",)), KINDS, None)
    assert [a.mark == b.mark for a, b in zip(made, other, strict=True)] == [True, False]
    granted = kept_views("main", STAGE, KINDS, None, ["role:analysts"])
    assert not {view.mark for view in made} & {view.mark for view in granted}


def test_without_a_column_of_the_key_there_is_no_view_without_repetition() -> None:
    (view,) = kept_views("main", a_stage(primary_key=("sale_id", "product_id")), KINDS, None)
    assert view.name == "sales_by_campaign"


def test_names_are_quoted_in_every_place() -> None:
    hostile = 'a"; DROP TABLE t; --'
    stage = a_stage(primary_key=(hostile,), table=hostile)
    # No document can hold such a name; the texts hold anyway.
    reporting = DAYS.model_copy(
        update={"day": hostile, "measures": (hostile,), "dimensions": (hostile,)}
    )
    kinds = KINDS | {hostile: "date"}
    days = replace(DECLARED, reporting=reporting)
    for view in [*kept_views("main", stage, kinds, Declared()), *_unchecked(stage, kinds, days)]:
        assert '"a""; DROP TABLE t; --' in view.select
        assert hostile not in view.select.replace(f"'{hostile}'", "")


def _unchecked(stage: object, kinds: dict[str, str], declared: Declared) -> list[View]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("etl_assets.core.kept_views._check_columns", lambda *_: None)
        return kept_views("main", stage, kinds, declared)  # type: ignore[arg-type]


def test_what_is_there_as_it_is_to_be_is_left_alone() -> None:
    made = views(DECLARED)
    assert [view.name for view in made] == list(view_names("sales", DAYS))
    assert not changes(STAGE, made, texts(made), DECLARED)
    described = views(replace(DECLARED, description="Another."))
    assert len(changes(STAGE, described, texts(made), DECLARED).make) == len(made)


def test_a_view_that_is_no_longer_declared_is_dropped_and_one_that_is_not_ours_never() -> None:
    there = texts(views(DECLARED))
    plain = Declared(description=DECLARED.description)
    needed = changes(STAGE, views(plain), there, plain)
    assert (needed.make, needed.drop) == (
        (), ("sales_season_over_season", "sales_season_to_date"),
    )  # fmt: skip
    somebodys = there | {"sales_season_to_date": "SELECT 1 AS n"}
    assert changes(STAGE, views(plain), somebodys, plain).drop == ("sales_season_over_season",)
    # Who commits without a document does not know what is declared.
    assert not changes(STAGE, views(), texts(views()) | there, None).drop


def test_a_name_that_somebody_elses_view_has_stops_the_load_and_says_whose_it_is() -> None:
    there = {"sales_season_to_date": "SELECT 1 AS n"}
    with pytest.raises(WarehouseError) as caught:
        changes(STAGE, views(DECLARED), there, DECLARED)
    assert caught.value.message == (
        "The load of sales for campaign SP17 needs the name sales_season_to_date, which a view has"
        " that is not ours; nothing was loaded."
    )
    assert "Rename or drop the view sales_season_to_date" in caught.value.remedy


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"day": "amount"}, "`day: amount` is a decimal(12,2) in the table, and must be a date"),
        (
            {"measures": ("sold_on",), "day": "day"},
            "the table has no `day`; the measure `sold_on` is",
        ),
        ({"measures": ("gone",)}, "the table has no `gone`"),
        ({"dimensions": ("gone",)}, "the table has no `gone`"),
    ],
)
def test_columns_that_cannot_do_what_is_declared_are_said(
    changed: dict[str, object], said: str
) -> None:
    fields = {"day": "sold_on", "measures": (), **changed}
    with pytest.raises(WarehouseError) as caught:
        views(replace(DECLARED, reporting=Reporting.model_validate(fields)))
    assert said in caught.value.message
    assert "nothing was loaded" in caught.value.message
