"""What a person decides about a slice, on both warehouses.

At risk: records that nobody asked for in front of readers, and a decision that the next refresh
undoes silently.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from etl_assets.core.errors import EtlError, PermanentError, StagingError, WarehouseError
from etl_assets.core.manifest import Load
from etl_assets.core.orders import SupersededError
from etl_assets.core.standing import standing_of
from etl_assets.slices import Decisions, find_row
from etl_assets_tests.small import COUNTS, DATASET, Small
from etl_assets_tests.systems.platforms import DuckDBPlatform, Platform, RedshiftPlatform

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

GUARDED = "guards: {shrink_percent: 10}\n" + DATASET


@pytest.fixture(params=["duckdb", "redshift"])
def platform(request: pytest.FixtureRequest, small: Small) -> Platform:
    """A small platform on each warehouse."""
    if request.param == "duckdb":
        return DuckDBPlatform(small)
    return RedshiftPlatform(small, request.getfixturevalue("redshift"))


def decisions(platform: Platform, by: str = "ann") -> Decisions:
    return Decisions(platform.warehouse, platform.settings().open_staging(), by, "a-run")


def change(platform: Platform, amount: int = 1) -> None:
    platform.small.run_sql(f"UPDATE sales SET amount = amount + {amount} WHERE sale_id = 3")


def two_loads(platform: Platform) -> tuple[Load, Load]:
    """Load SP17 twice, with a changed record in between."""
    first = platform.chain.refresh()
    change(platform)
    return first, platform.chain.refresh()


def content(platform: Platform) -> list[tuple[Any, ...]]:
    """Return the records without what a load adds to them."""
    return [row[:-1] for row in platform.rows()]


def held(platform: Platform) -> Load:
    """Load SP17, and let a guard hold the next load."""
    platform.small.write_dataset(GUARDED)
    platform.chain.refresh()
    platform.small.run_sql("DELETE FROM sales WHERE sale_id IN (3, 4)")
    made = platform.chain.load_as(platform.chain.stage())
    assert made.status == "held"
    assert made.row
    return made.row


def status(platform: Platform, *, force: bool = False) -> str:
    """Refresh SP17, and return what became of it."""
    return platform.chain.load_as(platform.chain.stage(), force=force).status


def test_a_rollback_puts_back_what_an_earlier_load_had(platform: Platform) -> None:
    platform.chain.refresh("SU17")
    first = platform.chain.refresh()
    before = content(platform)
    change(platform)
    second = platform.chain.refresh()
    assert content(platform) != before
    made = decisions(platform).roll_back(platform.dataset, "SP17", first.load_id, reason=" why ")
    assert content(platform) == before
    row = platform.warehouse.loads(key="SP17")[0]
    assert (made.row, made.about, made.before) == (row, first, second)
    assert (row.kind, row.records, row.replaced_records) == ("rollback", 14, 14)
    assert (row.about, row.undoes) == (first.load_id, second.inputs_digest)
    assert (row.inputs_digest, row.stage) == (first.inputs_digest, first.stage)
    assert (row.reason, row.made_by, row.run_id) == ("why", "ann", "a-run")
    assert {r[-1] for r in platform.rows("campaign_key = 'SP17'")} == {row.load_id}


def test_the_next_refresh_does_not_undo_a_rollback_but_a_changed_source_replaces_it(
    platform: Platform,
) -> None:
    first, _ = two_loads(platform)
    decisions(platform).roll_back(platform.dataset, "SP17", first.load_id)
    before = platform.state()
    assert status(platform) == "kept"
    assert platform.state() == before
    change(platform)
    assert status(platform) == "loaded"


def test_a_forced_refresh_undoes_a_rollback(platform: Platform) -> None:
    first, _ = two_loads(platform)
    decisions(platform).roll_back(platform.dataset, "SP17", first.load_id)
    assert status(platform, force=True) == "loaded"


def test_a_rollback_with_a_hold_stays_until_it_is_released(platform: Platform) -> None:
    first, _ = two_loads(platform)
    deciding = decisions(platform)
    deciding.roll_back(platform.dataset, "SP17", first.load_id, reason="audit", hold=True)
    hold, rollback = platform.warehouse.loads()[:2]
    assert (hold.kind, rollback.kind, hold.reason) == ("hold", "rollback", "audit")
    change(platform)
    assert status(platform, force=True) == "kept"
    deciding.roll_back(platform.dataset, "SP17", _second(platform))  # by hand: still on hold
    assert status(platform, force=True) == "kept"
    released = deciding.release(platform.dataset, "SP17")
    assert (released.row.kind, released.about) == ("release", hold)
    assert status(platform) == "loaded"


def _second(platform: Platform) -> str:
    loads = [row for row in platform.warehouse.loads() if row.kind == "load"]
    return loads[0].load_id


def test_a_rollback_can_be_taken_back_itself(platform: Platform) -> None:
    first, second = two_loads(platform)
    deciding = decisions(platform)
    deciding.roll_back(platform.dataset, "SP17", first.load_id)
    deciding.roll_back(platform.dataset, "SP17", second.load_id)
    assert status(platform) == "unchanged"
    rollbacks = [row for row in platform.warehouse.loads() if row.kind == "rollback"]
    deciding.roll_back(platform.dataset, "SP17", rollbacks[1].load_id)  # to what a rollback had
    assert status(platform) == "kept"


def test_a_pruned_slice_can_be_put_back_and_the_load_that_was_pruned_is_not_undone(
    platform: Platform,
) -> None:
    first, second = two_loads(platform)
    platform.prune("SP17")
    made = decisions(platform).roll_back(platform.dataset, "SP17", first.load_id)
    assert (made.row.replaced_records, made.row.undoes) == (0, second.inputs_digest)
    assert status(platform) == "kept"
    assert platform.counts() == {"SP17": 14}


Attempt = Callable[[Decisions, Platform, Load], object]


def refusals() -> dict[str, tuple[Attempt, str]]:
    return {
        "no such load": (
            lambda d, p, _: d.roll_back(p.dataset, "SP17", "x"),
            r"There is no load x of sales for campaign SP17. Choose one of .+Z-\w{8} \(14 records\)",
        ),
        "of another key": (
            lambda d, p, first: d.roll_back(p.dataset, "SU17", first.load_id),
            "There is no load .* for campaign SU17. There is no other load.",
        ),
        "what the slice has": (
            lambda d, p, _: d.roll_back(p.dataset, "SP17", _second(p)),
            "has what load .* had: there is nothing to roll back. Choose one of",
        ),
        "not on hold": (
            lambda d, p, _: d.release(p.dataset, "SP17"),
            "Campaign SP17 in sales is not on hold.",
        ),
        "does not wait": (
            lambda d, p, first: d.approve(p.dataset, "SP17", first.load_id),
            "does not wait for approval. None of the campaign does.",
        ),
        "not to be refused": (
            lambda d, p, first: d.refuse(p.dataset, "SP17", first.load_id),
            "does not wait for approval. None of the campaign does.",
        ),
    }


@pytest.mark.parametrize("case", refusals())
def test_what_cannot_be_done_is_a_sentence_and_changes_nothing(
    platform: Platform, case: str
) -> None:
    first, _ = two_loads(platform)
    attempt, sentence = refusals()[case]
    before = platform.state()
    with pytest.raises(PermanentError) as raised:
        attempt(decisions(platform), platform, first)
    assert raised.match(sentence)
    assert platform.state() == before


def test_what_is_no_load_cannot_be_put_back(platform: Platform) -> None:
    two_loads(platform)
    pruned = platform.prune("SP17")
    with pytest.raises(PermanentError, match=r"p1 of sales .* is no load, but a prune"):
        decisions(platform).roll_back(platform.dataset, "SP17", pruned.load_id)


def test_a_held_load_is_approved_not_put_back(platform: Platform) -> None:
    hold = held(platform)
    with pytest.raises(PermanentError, match=f"`etl-assets loads approve {hold.load_id}` loads"):
        decisions(platform).roll_back(platform.dataset, "SP17", hold.load_id)


def test_parts_that_are_not_kept_cannot_be_put_back(platform: Platform) -> None:
    first, _ = two_loads(platform)
    platform.damage(str(first.stage), None)
    before = platform.state()
    with pytest.raises(StagingError, match="its staged parts are no longer kept"):
        decisions(platform).roll_back(platform.dataset, "SP17", first.load_id)
    assert platform.state() == before


def test_parts_that_were_changed_are_not_put_back(platform: Platform) -> None:
    first, _ = two_loads(platform)
    stored = [o.path for o in platform.settings().open_staging().objects()]
    (part,) = [p for p in stored if first.load_id in p and p.endswith(".zst")]
    platform.damage(part, b"other bytes")
    before = platform.state()
    with pytest.raises(EtlError):
        decisions(platform).roll_back(platform.dataset, "SP17", first.load_id, hold=True)
    assert platform.state() == before


def test_a_load_of_another_table_is_not_put_back(platform: Platform) -> None:
    first, _ = two_loads(platform)
    platform.small.write_dataset(DATASET + "table: other\n")
    with pytest.raises(WarehouseError, match="of the table sales, and the dataset's is other"):
        decisions(platform).roll_back(platform.dataset, "SP17", first.load_id)


def test_a_type_that_the_table_has_not_any_more_rolls_back_the_rollback(
    platform: Platform,
) -> None:
    first, _ = two_loads(platform)
    platform.write("DROP TABLE sales")
    platform.write("CREATE TABLE sales (sale_id VARCHAR(9), campaign_key VARCHAR(256))")
    before = platform.query("SELECT load_id FROM etl_assets.loads")
    with pytest.raises(WarehouseError, match="`sale_id`"):
        decisions(platform).roll_back(platform.dataset, "SP17", first.load_id)
    assert platform.query("SELECT load_id FROM etl_assets.loads") == before


def test_an_approved_load_is_loaded_and_says_by_whom(platform: Platform) -> None:
    hold = held(platform)
    made = decisions(platform).approve(platform.dataset, "SP17", hold.load_id)
    assert (made.row.kind, made.row.about, made.row.made_by) == ("load", hold.load_id, "ann")
    assert made.row.reason == f"approved: {hold.reason}"
    assert (made.row.records, made.row.load_id != hold.load_id) == (COUNTS["SP17"] - 2, True)
    assert platform.counts() == {"SP17": COUNTS["SP17"] - 2}
    assert status(platform) == "unchanged"
    with pytest.raises(PermanentError, match="does not wait for approval"):
        decisions(platform).approve(platform.dataset, "SP17", hold.load_id)


def test_a_refused_load_is_not_asked_about_again(platform: Platform) -> None:
    hold = held(platform)
    made = decisions(platform).refuse(platform.dataset, "SP17", hold.load_id, reason="a mistake")
    assert (made.row.about, made.row.undoes) == (hold.load_id, hold.inputs_digest)
    refreshed = platform.chain.load_as(platform.chain.stage())
    assert refreshed.status == "kept"
    assert "refused by ann (a mistake)" in refreshed.reason
    platform.small.run_sql("DELETE FROM sales WHERE sale_id = 5")
    assert status(platform) == "held"


def test_of_two_holds_the_newer_one_is_what_waits(platform: Platform) -> None:
    first = held(platform)
    platform.small.run_sql("DELETE FROM sales WHERE sale_id = 5")
    second = platform.chain.load_as(platform.chain.stage()).row
    assert second
    with pytest.raises(PermanentError, match=f"Load {second.load_id} does."):
        decisions(platform).approve(platform.dataset, "SP17", first.load_id)


def test_a_hold_without_a_load_and_a_second_one(platform: Platform) -> None:
    deciding = decisions(platform)
    deciding.hold(platform.dataset, "SP17", "not yet")
    with pytest.raises(PermanentError, match=r"on hold already.*by ann \(not yet\)"):
        decisions(platform, "bob").hold(platform.dataset, "SP17", "too")
    assert status(platform) == "kept"
    assert decisions(platform, "bob").release(platform.dataset, "SP17").row.made_by == "bob"
    assert status(platform) == "loaded"


def test_a_decision_that_was_overtaken_is_made_anew(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = two_loads(platform)
    deciding = decisions(platform)
    commit = type(deciding.warehouse).commit
    overtaken: list[str] = []

    def late(self: Any, orders: Any, staging: Any) -> Any:  # noqa: ANN401
        if not overtaken:
            overtaken.append("once")
            change(platform)
            third = platform.chain.stage()
            commit(self, [replace(orders[0], kind="load", load_id="l3", over=None, stage=third)],
                   staging)  # fmt: skip
        return commit(self, orders, staging)

    monkeypatch.setattr(type(deciding.warehouse), "commit", late)
    made = deciding.roll_back(platform.dataset, "SP17", first.load_id)
    assert made.before
    assert made.before.load_id == "l3"
    assert made.row.undoes == made.before.inputs_digest
    assert status(platform) == "kept"


def test_a_decision_that_is_always_overtaken_gives_up_and_changes_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = two_loads(platform)
    deciding = decisions(platform)

    def never(*_: object) -> None:
        raise SupersededError("Somebody was faster.")

    before = platform.state()
    with monkeypatch.context() as patched:
        patched.setattr(type(deciding.warehouse), "commit", never)
        with pytest.raises(SupersededError):
            deciding.roll_back(platform.dataset, "SP17", first.load_id)
    assert platform.state() == before


def test_of_the_same_decision_by_four_at_once_one_is_carried_out(platform: Platform) -> None:
    first, _ = two_loads(platform)
    dataset = platform.dataset

    def attempt(name: str) -> bool:
        try:
            decisions(platform, name).roll_back(dataset, "SP17", first.load_id)
        except PermanentError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, "abcd")) == [False, False, False, True]
    assert [row.kind for row in platform.warehouse.loads()] == ["rollback", "load", "load"]


def test_a_rollback_beside_a_refresh_leaves_what_the_ledger_says(platform: Platform) -> None:
    first, _ = two_loads(platform)
    change(platform)
    staged, dataset = platform.chain.stage(), platform.dataset
    with ThreadPoolExecutor(2) as pool:
        rolled = pool.submit(decisions(platform).roll_back, dataset, "SP17", first.load_id)
        loaded = pool.submit(platform.chain.load_as, staged)
        assert {rolled.result().row.kind, loaded.result().status} == {"rollback", "loaded"}
    current = standing_of(platform.warehouse.loads()).current
    assert current
    assert {r[-1] for r in platform.rows()} == {current.load_id}


def test_long_reasons_fit_the_ledger(platform: Platform) -> None:
    decisions(platform, "ä" * 300).hold(platform.dataset, "SP17", "ü" * 2000)
    (row,) = platform.warehouse.loads()
    assert row.reason == "ü" * 512
    assert row.made_by == "ä" * 128


def test_a_row_is_found_by_its_id_and_one_that_is_not_there_is_a_sentence(
    platform: Platform,
) -> None:
    first, _ = two_loads(platform)
    assert find_row(platform.warehouse, first.load_id) == first
    with pytest.raises(PermanentError, match=r"has no load x of campaign SU17\. There is no other"):
        find_row(platform.warehouse, "x", key="SU17")
