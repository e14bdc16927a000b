"""Which keys are failed or late.

At risk: a key that silently stays behind, and an alarm about one that could not be earlier.
"""

import datetime as dt

import pytest

from etl_assets.core.health import Health, KeyState, judge

TICK = dt.datetime(2026, 3, 1, 3, tzinfo=dt.UTC)
BEFORE, AFTER = TICK - dt.timedelta(minutes=1), TICK + dt.timedelta(minutes=5)


def found(*states: KeyState, due: set[str] | None = None) -> Health:
    due_then = {s.key for s in states} if due is None else due
    return judge(
        "sales", states, tick=TICK, due_at_tick=due_then, late_after=dt.timedelta(minutes=60)
    )


def test_a_key_that_was_refreshed_since_the_tick_is_well() -> None:
    health = found(KeyState("SP17", refreshed_at=AFTER), KeyState("SU17", refreshed_at=TICK))
    assert health.problems == ()
    assert health.description == "2 keys are due in sales; none is failed or late."


def test_a_key_that_missed_the_tick_is_late() -> None:
    (problem,) = found(KeyState("SP17", refreshed_at=BEFORE)).problems
    assert str(problem) == (
        "SP17 late: it was last refreshed at 2026-03-01 02:59 UTC, and the tick of 2026-03-01"
        " 03:00 UTC is over 60 minutes ago. Run `etl-assets refresh --key SP17`, and see that daemon"
        " and schedule are running."
    )


def test_a_key_that_was_never_loaded_is_late() -> None:
    (problem,) = found(KeyState("SP17")).problems
    assert problem.kind == "late"
    assert problem.lacks.startswith("nothing of it is loaded")


def test_a_late_key_with_a_run_in_flight_says_so() -> None:
    (problem,) = found(KeyState("SP17", in_flight=True)).problems
    assert problem.lacks.endswith("A run of it is in flight.")
    assert problem.remedy == "Wait for the run, or look at why it takes so long."


def test_a_key_that_was_not_due_at_the_tick_cannot_have_missed_it() -> None:
    assert found(KeyState("SP17"), due=set()).problems == ()


@pytest.mark.parametrize(("changed_at", "late"), [(None, 1), (BEFORE, 1), (TICK, 1), (AFTER, 0)])
def test_a_campaign_that_came_or_changed_since_the_tick_cannot_have_missed_it(
    changed_at: dt.datetime | None, late: int
) -> None:
    assert len(found(KeyState("SP17", changed_at=changed_at)).late) == late


def test_a_key_that_failed_is_counted_once_also_when_it_is_late() -> None:
    health = found(KeyState("SP17", failure="The source is gone.", remedy="Find it."))
    assert [str(p) for p in health.problems] == ["SP17 failed: The source is gone. Find it."]
    assert health.description == (
        "1 key is due in sales: 1 failed, 0 late. SP17 failed: The source is gone. Find it."
    )


def test_counts_are_exact_and_six_keys_are_named_failed_ones_first() -> None:
    states = [KeyState(f"K{n:03}") for n in range(300)]
    states += [KeyState(f"Z{n}", failure="It broke.") for n in range(4)]
    health = found(*states, KeyState("W1", refreshed_at=AFTER))
    assert (health.due, len(health.failed), len(health.late)) == (305, 4, 300)
    assert [p.key for p in health.sample] == ["Z0", "Z1", "Z2", "Z3", "K000", "K001"]
    assert health.description.startswith("305 keys are due in sales: 4 failed, 300 late. Z0")
    assert health.description.endswith("And 298 more; `etl-assets health` lists them.")
