"""Random histories of refreshes, edits, decisions, crashes and retries, against a model.

At risk: a state that no single test thought of, such as a rollback between a hold and a rule
change, after which a refresh loads, keeps or removes the wrong records.
"""

import itertools
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from etl_assets_tests.chaos import actions
from etl_assets_tests.chaos.backends import Backend
from etl_assets_tests.chaos.figures import Figures
from etl_assets_tests.chaos.judging import contents, ledger, leftovers_go
from etl_assets_tests.chaos.model import DAY, RULES, SEASONS, Inputs, Model, Slice, campaigns_text
from etl_assets_tests.small import Small

SHORT, LONG, STEPS = 12, 1_000, 8
KEPT_LOADS = 3
_STEPS_OF_A_REFRESH = 180
KEYS = st.sampled_from(sorted(SEASONS))


class History(RuleBasedStateMachine):
    """One platform, what is done to it, and what must be true of it after every step."""

    figures: Figures
    template: Path
    loaded: Mapping[str, list[Inputs]]

    @initialize()
    def begin(self) -> None:
        """Take a copy of a small platform, on which each key was loaded twice."""
        self.folder = Path(tempfile.mkdtemp(prefix="history-"))
        shutil.copytree(self.template, self.folder / "home")
        self.backend = Backend(self.folder / "home")
        self.model = Model()
        self.numbers = itertools.count(1)
        self.versions = itertools.count(1)
        self.ids: dict[tuple[str, Inputs], str] = {}
        rows = ledger(self.backend)
        for key, loads in self.loaded.items():
            for inputs, row in zip(loads, reversed(rows[key]), strict=True):
                self.ids[key, inputs] = row.load_id
                self.model.slices[key] = self.model.refreshed(key, inputs)[1]
        self.changed = True
        self.figures.add("random histories")

    def teardown(self) -> None:
        """Remove the platform."""
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule()
    def change_source(self) -> None:
        """Change, add and remove records at the source."""
        self.step("source change")
        self.backend.change_source(next(self.numbers))

    @rule(number=st.integers(0, len(RULES) - 1))
    def publish_rules(self, number: int) -> None:
        """Publish other rules, or the same again under another version."""
        self.step("rule version")
        text = f"version: {next(self.versions)}\nrules: {RULES[number][0]}\n"
        self.backend.small.write_rules(text)
        self.model.rules = number

    @rule(key=KEYS, which=st.integers(0, 2))
    def move_season(self, key: str, which: int) -> None:
        """Move a campaign to another of its seasons."""
        self.step("season moved")
        self.model.seasons[key] = SEASONS[key][which % len(SEASONS[key])]
        self.backend.small.write_campaigns(campaigns_text(self.model.seasons))

    @rule(keys=st.none() | st.sets(KEYS))
    def edit_calendar(self, keys: set[str] | None) -> None:
        """Say which keys are due, or leave it to the seasons."""
        self.step("calendar edit")
        self.model.calendar = None if keys is None else tuple(sorted(keys))
        listed = "{}" if keys is None else f"{{2017-05-20: [{', '.join(sorted(keys))}]}}"
        self.backend.small.write_calendar(f"calendar: {listed}\n")

    @rule(key=KEYS)
    def refresh(self, key: str) -> None:
        """Refresh a key; what it answers is what the model says."""
        self.step("refresh")
        status, after = self.model.refreshed(key, self.model.inputs(self.backend, key))
        assert actions.refresh(self.backend, key) == status
        self.now(key, after)

    @rule(key=KEYS, point=st.integers(0, _STEPS_OF_A_REFRESH - 1))
    def crash(self, key: str, point: int) -> None:
        """Kill a refresh at a step; it had its effect or none, which the ledger tells."""
        self.step("crash")
        had = self.rows(key)
        killed = actions.run(actions.refresh, self.backend, key, kill_at=point).killed
        status, after = self.model.refreshed(key, self.model.inputs(self.backend, key))
        wrote = status == "loaded" or after.waiting != self.model.slices[key].waiting
        assert self.rows(key) - had in ({0, int(wrote)} if killed else {int(wrote)})
        if self.rows(key) > had or not wrote:
            self.now(key, after)

    @precondition(lambda self: any(s.loads for s in self.model.slices.values()))
    @rule(key=KEYS, back=st.integers(1, KEPT_LOADS))
    def roll_back(self, key: str, back: int) -> None:
        """Put back one of the last loads, whose parts must be there however often was cleaned."""
        loads = self.model.slices[key].loads[-back:]
        if loads:
            self.step("rollback")
            actions.roll_back(self.backend, self.ids[key, loads[0]], key)
            self.now(key, self.model.rolled_back(key, loads[0]))

    @rule(key=KEYS)
    def hold_or_release(self, key: str) -> None:
        """Put a slice on hold, or end that."""
        was = self.model.slices[key]
        self.step("release" if was.kept else "hold")
        actions.decide(self.backend, "release" if was.kept else "hold", key)
        self.now(key, replace(was, kept=not was.kept))

    @rule()
    def prune(self) -> None:
        """Remove the keys that are not due; a slice on hold stays."""
        self.step("prune")
        read = self.backend.settings().open_registry().read()
        removed = actions.prune(self.backend, *read.due_on(DAY))
        after = self.model.pruned()
        assert {row.campaign_key for row in removed} == after.keys()
        for key, slice_ in after.items():
            self.now(key, slice_)

    @rule()
    def clean(self) -> None:
        """Clean the store; what the last loads were made from stays."""
        self.step("staging clean")
        leftovers_go(self.backend, keep_loads=KEPT_LOADS)

    def step(self, name: str) -> None:
        """Count a step."""
        self.figures.add(f"of their steps: {name}")

    def rows(self, key: str) -> int:
        """Return how many rows of a key the ledger has."""
        return len(ledger(self.backend).get(key, ()))

    def now(self, key: str, after: Slice) -> None:
        """Put what a slice is now into the model, and remember the id of a new load."""
        if after.loads != self.model.slices[key].loads:
            rows = ledger(self.backend)[key]
            self.ids[key, after.loads[-1]] = next(r.load_id for r in rows if r.is_load)
        self.model.slices[key] = after
        self.changed = True

    @invariant()
    def table_is_what_the_model_says(self) -> None:
        """Compare all records, and hold them against the ledger."""
        if getattr(self, "changed", False):
            assert contents(self.backend) == self.model.table()
            self.changed = False


def test_after_any_history_the_table_holds_what_the_model_says(
    small: Small, figures: Figures, *, long_form: bool
) -> None:
    backend, model = Backend(small.home), Model()
    loaded: dict[str, list[Inputs]] = {key: [] for key in SEASONS}
    for number in (10, 11):
        backend.change_source(number)
        for key in SEASONS:
            loaded[key].append(model.inputs(backend, key))
            actions.refresh(backend, key)
    History.figures, History.template, History.loaded = figures, small.home, loaded
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=LONG if long_form else SHORT,
            stateful_step_count=STEPS,
            derandomize=True,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
