"""What the rows of a key mean for the next load, without any warehouse."""

import datetime as dt
from collections.abc import Callable
from itertools import count

import pytest

from etl_assets.core.manifest import Kind, Load, Stage
from etl_assets.core.standing import Standing, decide, standing_of
from etl_assets_tests.staged import a_stage

NOW = dt.datetime(2017, 12, 10, tzinfo=dt.UTC)
Row = Callable[..., Load]


@pytest.fixture
def row() -> Row:
    """Return a maker of rows, each later than the one before."""
    numbers = count(1)

    def make(kind: Kind, digest: str = "", **fields: object) -> Load:
        number = next(numbers)
        plain: dict[str, object] = {
            "load_id": f"l{number}", "kind": kind, "dataset": "sales", "table": "sales",
            "campaign_key": "SP17", "records": 14, "replaced_records": 0, "source_records": 14,
            "filtered": 0, "rejected": 0, "rule_version": 0, "rules_digest": "",
            "inputs_digest": digest, "extract_id": f"e{number}", "stage": None, "run_id": None,
            "proof": "", "started_at": NOW, "committed_at": NOW + dt.timedelta(hours=number),
        }  # fmt: skip
        return Load(**{**plain, **fields})

    return make


def staged(digest: str, hours: int = 24) -> Stage:
    return a_stage(
        inputs_digest=digest, records=14, extract_id="e9", staged_at=NOW + dt.timedelta(hours=hours)
    )


def outcome(rows: list[Load], digest: str, *, records: int = 14, force: bool = False) -> str:
    """Return what becomes of a load after these rows, oldest first."""
    made = decide(standing_of(rows[::-1]), staged(digest), records=records, force=force)
    return "load" if made.load else made.status


def test_the_first_load_of_a_key_is_loaded() -> None:
    assert standing_of([]) == Standing()
    assert outcome([], "a") == "load"


def test_the_same_inputs_are_loaded_once(row: Row) -> None:
    rows = [row("load", "a")]
    assert outcome(rows, "a") == "unchanged"
    assert outcome(rows, "b") == "load"
    assert outcome(rows, "a", force=True) == "load"
    assert outcome(rows, "a", records=13) == "load"  # somebody else wrote to the slice
    assert outcome([*rows, row("prune")], "a", records=0) == "load"


def test_a_rollback_stands_until_source_or_rules_change(row: Row) -> None:
    rows = [row("load", "a"), row("load", "b"), row("rollback", "a", undoes="b", about="l1")]
    assert outcome(rows, "b") == "kept"
    assert outcome(rows, "a") == "unchanged"
    assert outcome(rows, "c") == "load"
    assert outcome([*rows, row("load", "c")], "b") == "load"
    assert outcome(rows, "b", force=True) == "load"


def test_two_rollbacks_one_after_the_other_both_stand(row: Row) -> None:
    rows = [
        row("load", "a"), row("load", "b"), row("load", "c"),
        row("rollback", "b", undoes="c"), row("rollback", "a", undoes="b"),
    ]  # fmt: skip
    assert [outcome(rows, digest) for digest in "abcd"] == ["unchanged", "kept", "kept", "load"]


def test_a_hold_keeps_the_slice_whatever_comes_until_it_is_released(row: Row) -> None:
    rows = [row("load", "a"), row("hold", made_by="ann", reason="audit")]
    made = decide(standing_of(rows[::-1]), staged("b"), records=14, force=True)
    assert (made.load, made.status) == (False, "kept")
    assert "by ann (audit)" in made.reason
    assert "loads release --key SP17" in made.reason
    assert outcome([*rows, row("release", made_by="ann", about="l2")], "b") == "load"


def test_a_hold_survives_the_loads_that_were_decided_on_by_hand(row: Row) -> None:
    rows = [row("hold", made_by="ann"), row("rollback", "a", undoes="b")]
    assert outcome(rows, "c") == "kept"


def test_a_load_that_waits_is_decided_on_by_an_approved_load_or_a_refusal(row: Row) -> None:
    waiting = row("hold", "b", stage="s")
    rows = [row("load", "a"), waiting]
    rows.reverse()
    assert standing_of([waiting]).waiting == waiting
    assert standing_of([waiting, row("load", "a")]).waiting == waiting
    approved = row("load", "b", about=waiting.load_id)
    assert standing_of([approved, waiting]).waiting is None
    refusal = row("release", undoes="b", about=waiting.load_id, made_by="ann")
    standing = standing_of([refusal, waiting])
    assert (standing.waiting, standing.refused) == (None, refusal)


def test_a_refused_load_is_not_loaded_again_but_another_is(row: Row) -> None:
    rows = [
        row("load", "a"), row("hold", "b", stage="s"), row("release", undoes="b", made_by="ann"),
    ]  # fmt: skip
    assert [outcome(rows, digest) for digest in "abc"] == ["unchanged", "kept", "load"]


def test_what_waited_is_settled_when_the_source_is_as_it_was(row: Row) -> None:
    waiting = row("hold", "b", stage="s")
    rows = [waiting, row("load", "a")]
    made = decide(standing_of(rows), staged("a"), records=14, force=False)
    assert (made.load, made.status, made.settled) == (False, "unchanged", waiting)
    settled = [row("release", undoes="b"), *rows]  # by nobody: what comes back is asked again
    assert decide(standing_of(settled), staged("b"), records=14, force=False).load


def test_a_load_that_was_overtaken_by_one_of_a_newer_extract_is_not_loaded(row: Row) -> None:
    rows = [row("load", "a", extract_id="f1")]
    overtaken = decide(standing_of(rows), staged("b", hours=0), records=14, force=False)
    assert (overtaken.load, overtaken.status) == (False, "kept")
    assert decide(standing_of(rows), staged("b", hours=2), records=14, force=False).load
