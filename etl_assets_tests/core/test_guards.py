"""Each guard objects to what it is for, and to nothing else."""

import datetime as dt

import pytest
from pydantic import ValidationError

from etl_assets.core.guards import Guards, objections
from etl_assets_tests.staged import a_stage

TODAY = dt.date(2017, 12, 10)
VALUES = {"sale_id": 100, "note": 3}


def said(
    guards: Guards,
    after: int,
    *,
    before: int = 100,
    values: dict[str, int] | None = None,
    end: dt.date | None = None,
) -> str:
    """Return what guards say of a slice of 100 records that would have others."""
    found = objections(
        guards,
        a_stage(records=after, season_end=end),
        records=before,
        non_nulls=VALUES,
        staged_non_nulls=VALUES if values is None else values,
        on=TODAY,
    )
    return "; ".join(found)


def test_a_slice_that_shrinks_by_more_than_allowed_is_objected_to() -> None:
    assert said(Guards(shrink_percent=20), 80) == ""
    assert said(Guards(shrink_percent=20), 79) == (
        "it shrinks from 100 to 79 records, by more than 20 %"
    )
    assert said(Guards(), 1) == ""


def test_a_slice_that_grows_by_more_than_allowed_is_objected_to() -> None:
    assert said(Guards(grow_percent=50), 150) == ""
    assert said(Guards(grow_percent=50), 151) == (
        "it grows from 100 to 151 records, by more than 50 %"
    )
    assert said(Guards(grow_percent=50), 151, before=0) == ""


def test_a_slice_that_would_be_empty_is_objected_to_unless_that_is_allowed() -> None:
    assert said(Guards(), 0) == "it has no record, and the slice has 100"
    assert said(Guards(), 0, before=0) == ""
    assert said(Guards(emptied=False, shrink_percent=5), 0) == ""


def test_a_column_that_turned_all_null_is_objected_to() -> None:
    assert said(Guards(), 100, values={"sale_id": 100, "note": 0}) == (
        "`note` is NULL in every record of it"
    )
    assert said(Guards(all_null=False), 100, values={"sale_id": 100, "note": 0}) == ""
    assert said(Guards(), 100, values={"sale_id": 100}) == ""  # the column left; it is not NULL


def test_a_season_that_ended_long_ago_is_objected_to() -> None:
    guards = Guards(ended_days=7)
    assert said(guards, 100, end=TODAY - dt.timedelta(days=7)) == ""
    assert said(guards, 100, end=TODAY - dt.timedelta(days=8)) == (
        "the season ended 8 days ago, more than the 7 allowed"
    )
    assert said(guards, 100, before=0, end=dt.date(2017, 1, 1)) != ""


def test_a_guard_that_means_nothing_is_refused() -> None:
    for wrong in ({"shrink_percent": 100}, {"grow_percent": -1}, {"ended_days": -1}, {"x": 1}):
        with pytest.raises(ValidationError):
            Guards.model_validate(wrong)
