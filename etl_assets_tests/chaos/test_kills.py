"""Kill -9 at every step of every operation, and what the next one finds.

At risk: a slice that is neither the old nor the new one, a ledger that says something else than
the table, parts that nobody wrote to the end being loaded, and leftovers that stay for ever.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from etl_assets_tests.chaos import actions
from etl_assets_tests.chaos.actions import Action, run
from etl_assets_tests.chaos.backends import Backend, Record
from etl_assets_tests.chaos.boundaries import spread, tally, telling
from etl_assets_tests.chaos.conftest import Fresh
from etl_assets_tests.chaos.figures import Figures
from etl_assets_tests.chaos.judging import (
    Contents,
    age_scratch,
    contents,
    expect,
    ledger,
    leftovers_go,
)
from etl_assets_tests.small import Small

AT_MOST = {"duckdb": {"refresh": 14}, "redshift": {"refresh": 3}}
"""Steps that the short form kills at, by backend and operation."""
_OTHERWISE = {"duckdb": 3, "redshift": 1}


@dataclass(frozen=True)
class Round:
    """An operation that is about to be killed.

    Attributes:
        before: What the table holds.
        after: What it is to hold in the end, computed without any of our SQL.
        rows: How many rows of the ledger it adds, whatever is killed in between.
        keep_loads: What the store is cleaned with afterwards.
    """

    action: Action
    arguments: tuple[Any, ...]
    before: Contents
    after: Contents
    rows: int = 1
    keep_loads: int = 1


Operation = Callable[[Backend, int], Round]


def first_refresh(backend: Backend, number: int) -> Round:
    backend.change_source(number)
    return Round(actions.refresh, ("SP17",), {}, {"SP17": backend.oracle("SP17")})


def refresh(backend: Backend, number: int) -> Round:
    if not contents(backend):
        actions.refresh(backend, "SP17")
        actions.refresh(backend, "SU17")
    before = contents(backend)
    backend.change_source(number)
    after = {**before, "SP17": backend.oracle("SP17")}
    assert before != after
    return Round(actions.refresh, ("SP17",), before, after)


def rollback(backend: Backend, number: int) -> Round:
    """Put back the first load, then the second, in turns."""
    if not contents(backend):
        actions.refresh(backend, "SP17")
        backend.change_source(number)
        actions.refresh(backend, "SP17")
    second, first = [row for row in ledger(backend)["SP17"] if row.kind == "load"]
    states = [backend.oracle("SP17"), _as_built(backend)]
    before = contents(backend)
    there = states.index(before["SP17"])
    target, after = (first, states[1]) if there == 0 else (second, states[0])
    return Round(actions.roll_back, (target.load_id,), before, {"SP17": after}, keep_loads=2)


def _as_built(backend: Backend) -> list[Record]:
    """Return what the first load had: the source as it was built."""
    folder = backend.home.with_name(f"{backend.home.name}-as-built")
    if not folder.exists():
        Small(folder).build()
    return Backend(folder).oracle("SP17")


def prune(backend: Backend, _number: int) -> Round:
    for key in ("SP17", "SU17"):
        if key not in contents(backend):
            actions.refresh(backend, key)
    before = contents(backend)
    return Round(actions.prune, ("SU17",), before, {"SU17": backend.oracle("SU17")})


def clean(backend: Backend, number: int) -> Round:
    for again in range(2):
        backend.change_source(2 * number + again)
        actions.refresh(backend, "SP17")
    state = {"SP17": backend.oracle("SP17")}
    return Round(actions.clean, (), state, state, rows=0)


OPERATIONS = {
    operation.__name__: operation for operation in (first_refresh, refresh, rollback, prune, clean)
}


@pytest.fixture(params=list(OPERATIONS))
def operation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_whatever_step_is_killed_the_table_is_the_old_or_the_new_one_and_the_next_run_completes_it(
    fresh: Fresh, operation: str, figures: Figures, *, long_form: bool
) -> None:
    backend, prepare = fresh(), OPERATIONS[operation]
    kind = backend.kind
    recorded = prepare(backend, 0)
    steps = run(recorded.action, backend, *recorded.arguments).steps
    assert expect(backend, recorded.after) == 0
    assert kind in tally(steps)
    points = list(range(len(steps)))
    if not long_form:
        points = spread(telling(steps), AT_MOST[kind].get(operation, _OTHERWISE[kind]))
    wrong: list[str] = []
    for number, point in enumerate(points, 1):
        if operation == "first_refresh" or wrong:
            backend = fresh()
        try:
            _kill(backend, prepare(backend, number), point)
        except Exception as error:  # noqa: BLE001  (all that is wrong is told, not only the first)
            wrong.append(f"killed at step {point}, {steps[point]}: {error!r}")
            print(wrong[-1])  # noqa: T201
        figures.add(f"steps killed, {operation.replace('_', ' ')} on {kind}")
    assert not wrong


def _kill(backend: Backend, about: Round, point: int) -> None:
    """Kill an operation at a step; prove what is left, what comes of it, and that nothing stays."""
    had = sum(len(rows) for rows in ledger(backend).values())
    assert run(about.action, backend, *about.arguments, kill_at=point).killed
    expect(backend, about.before, about.after)
    age_scratch(backend)
    about.action(backend, *about.arguments)
    expect(backend, about.after)
    assert sum(len(rows) for rows in ledger(backend).values()) == had + about.rows
    leftovers_go(backend, keep_loads=about.keep_loads)
    assert age_scratch(backend) == 0, "a scratch folder stays"
