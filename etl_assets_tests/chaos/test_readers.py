"""Readers never see a hole: whatever is done meanwhile, each reading is a committed state.

Beside them run refreshes, rollbacks, prunes, a change of columns, and processes that are killed.
"""

import random
from collections import defaultdict

import pytest

from etl_assets_tests.chaos import actions
from etl_assets_tests.chaos.actions import run
from etl_assets_tests.chaos.backends import Backend
from etl_assets_tests.chaos.conftest import Fresh
from etl_assets_tests.chaos.figures import Figures
from etl_assets_tests.chaos.judging import contents, ledger
from etl_assets_tests.chaos.reading import NONE, State, reading, state_of

KEYS = ["SP17", "SU17"]
ROUNDS = {"short": 1, "long": 20}
_WIDER = """\
version: {number}
rules:
  - {{id: sold-on, kind: derive, column: sold_on, type: date, expression: CAST(sold_at AS DATE)}}
  - {{id: wider, kind: derive, column: wider_{number}, type: bigint, expression: quantity + 1}}
"""


class Known:
    """The committed states of each key, told by the oracle before a reader can see them."""

    def __init__(self, backend: Backend) -> None:
        self.states: dict[str, set[State]] = defaultdict(lambda: {NONE})
        self._backend = backend
        for key in KEYS:
            self.add(key)

    def add(self, key: str) -> None:
        """Add what a refresh would load now."""
        self.states[key].add(state_of(self._backend.oracle(key)))

    def loaded(self, key: str) -> None:
        """From now on, no slice at all is no state of the key."""
        self.states[key].discard(NONE)


def one_round(backend: Backend, known: Known, number: int, choice: random.Random) -> None:
    """Do everything once that changes a table."""
    backend.change_source(number)
    for key in KEYS:
        known.add(key)
        actions.refresh(backend, key)
    first = [row for row in ledger(backend)["SP17"] if row.is_load][-1]
    actions.roll_back(backend, first.load_id)
    backend.small.write_rules(_WIDER.format(number=number))  # a column is added
    for key in KEYS:
        run(actions.refresh, backend, key, kill_at=choice.randrange(180))
    backend.change_source(number + 1)
    known.add("SP17")
    for point in (-40, -20, -8, -2):  # steps of the load's transaction, from the end
        steps = run(actions.refresh, backend, "SP17").steps
        backend.change_source(number)
        known.add("SP17")
        run(actions.refresh, backend, "SP17", kill_at=len(steps) + point)
        actions.refresh(backend, "SP17")


def test_every_reading_during_refreshes_rollbacks_new_columns_and_kills_is_a_committed_state(
    fresh: Fresh, figures: Figures, *, long_form: bool
) -> None:
    backend = fresh()
    known = Known(backend)
    with reading(backend, KEYS) as nothing_yet:
        for key in KEYS:
            actions.refresh(backend, key)
    assert not nothing_yet.strange(known.states)
    for key in KEYS:
        known.loaded(key)  # a hole would be seen from here on
    choice = random.Random(5)  # noqa: S311
    with reading(backend, KEYS) as found:
        for number in range(ROUNDS["long" if long_form else "short"]):
            one_round(backend, known, 2 * number + 1, choice)
    assert not found.strange(known.states)
    assert contents(backend).keys() == set(KEYS)
    figures.add(f"readings of the table on {backend.kind}", nothing_yet.number + found.number)


def test_a_key_that_is_pruned_is_seen_whole_or_not_at_all_and_the_others_always(
    fresh: Fresh, figures: Figures, *, long_form: bool
) -> None:
    backend = fresh()
    known = Known(backend)
    for key in KEYS:
        actions.refresh(backend, key)
    known.loaded("SU17")
    with reading(backend, KEYS) as found:
        for _ in range(2 * ROUNDS["long" if long_form else "short"]):
            actions.prune(backend, "SU17")
            actions.refresh(backend, "SP17")
    assert not found.strange(known.states)
    figures.add(f"readings of the table on {backend.kind}", found.number)


@pytest.mark.parametrize("key", KEYS)
def test_a_loader_that_empties_the_slice_first_is_seen(fresh: Fresh, key: str) -> None:
    """The opposite, planted: were there a hole, the readers above would find it."""
    backend = fresh()
    known = Known(backend)
    for name in KEYS:
        actions.refresh(backend, name)
        known.loaded(name)
    with reading(backend, KEYS) as found:
        _empty(backend, key)
        with reading(backend, KEYS):  # another has read, so the first had the time to
            pass
        actions.refresh(backend, key)
    assert found.strange(known.states).keys() <= {(key, NONE)}
    assert found.strange(known.states)


def _empty(backend: Backend, key: str) -> None:
    """Delete a slice in a transaction of its own."""
    backend.write(f"DELETE FROM sales WHERE campaign_key = '{key}'")
