"""Which campaigns that are due have failed or are late, in one dataset."""

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

SHOWN = 6
"""As many keys are named; the count is exact."""


@dataclass(frozen=True)
class KeyState:
    """What is known of one due key in one dataset.

    Attributes:
        key: The campaign.
        refreshed_at: When its slice was last loaded, or found unchanged; None for never.
        failure: Why its last finished run failed, when that was after `refreshed_at`; a
            sentence, empty when it did not.
        remedy: The next action for that failure.
        changed_at: When the campaign was last seen to be new or changed; None when unknown.
        in_flight: Whether a run of the key is queued or running.
        held: Why the slice is not what was staged last; a sentence, empty when it is.
        waits: Whether that is for approval; otherwise a person keeps the slice as it is.
        unusable: Whether the campaign cannot be read; `failure` says why.
    """

    key: str
    refreshed_at: dt.datetime | None = None
    failure: str = ""
    remedy: str = ""
    changed_at: dt.datetime | None = None
    in_flight: bool = False
    held: str = ""
    waits: bool = False
    unusable: bool = False


@dataclass(frozen=True)
class KeyProblem:
    """A key that lacks something.

    Attributes:
        key: The campaign.
        kind: What of the two it is; a key that failed is not counted as late, too.
        lacks: What it lacks, a sentence.
        remedy: What to do, a sentence.
    """

    key: str
    kind: Literal["failed", "late"]
    lacks: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key} {self.kind}: {self.lacks} {self.remedy}".strip()


@dataclass(frozen=True)
class Health:
    """What was found in one dataset.

    Attributes:
        dataset: Its name.
        due: How many keys are due.
        tick: The last tick whose refreshes have to be done by now.
        problems: Every key that failed or is late, by key.
    """

    dataset: str
    due: int
    tick: dt.datetime
    problems: tuple[KeyProblem, ...]

    @property
    def failed(self) -> list[KeyProblem]:
        """The keys that failed."""
        return [problem for problem in self.problems if problem.kind == "failed"]

    @property
    def late(self) -> list[KeyProblem]:
        """The keys that are late."""
        return [problem for problem in self.problems if problem.kind == "late"]

    @property
    def sample(self) -> tuple[KeyProblem, ...]:
        """The first keys, failed ones before late ones."""
        return (*self.failed, *self.late)[:SHOWN]

    @property
    def summary(self) -> str:
        """The exact counts."""
        due = f"{self.due:,} {'key is' if self.due == 1 else 'keys are'} due in {self.dataset}"
        if not self.problems:
            return f"{due}; none is failed or late."
        return f"{due}: {len(self.failed):,} failed, {len(self.late):,} late."

    @property
    def description(self) -> str:
        """The exact counts, and the sample with what each lacks and what to do."""
        more = len(self.problems) - SHOWN
        rest = [f"And {more:,} more; `etl-assets health` lists them."] if more > 0 else []
        return " ".join([self.summary, *map(str, self.sample), *rest])


def judge(
    dataset: str,
    states: Collection[KeyState],
    *,
    tick: dt.datetime,
    due_at_tick: Collection[str],
    late_after: dt.timedelta,
) -> Health:
    """Return which keys failed or are late.

    Args:
        dataset: Its name.
        states: Of every key that is due now.
        tick: The last tick that is at least `late_after` ago.
        due_at_tick: The keys that were due then; others cannot have missed it.
        late_after: How long a refresh may take from its tick on.
    """
    problems = _problems(sorted(states, key=lambda s: s.key), tick, due_at_tick, late_after)
    return Health(dataset, len(states), tick, tuple(problems))


def _problems(
    states: Iterable[KeyState],
    tick: dt.datetime,
    due_at_tick: Collection[str],
    late_after: dt.timedelta,
) -> Iterable[KeyProblem]:
    for state in states:
        running = " A run of it is in flight." if state.in_flight else ""
        if state.failure:
            yield KeyProblem(state.key, "failed", f"{state.failure}{running}", state.remedy)
        elif state.key in due_at_tick and missed(state, tick):
            yield KeyProblem(state.key, "late", *missed_because(state, tick, late_after))


def missed(state: KeyState, tick: dt.datetime) -> bool:
    """Return whether a key that was due at a tick was not refreshed since, and could have been."""
    if state.refreshed_at is not None and state.refreshed_at >= tick:
        return False
    return state.changed_at is None or state.changed_at <= tick


def missed_because(state: KeyState, tick: dt.datetime, late_after: dt.timedelta) -> tuple[str, str]:
    """Return what a key that missed a tick lacks, and what to do; both are sentences."""
    last = (
        f"it was last refreshed at {state.refreshed_at:%Y-%m-%d %H:%M} UTC"
        if state.refreshed_at
        else "nothing of it is loaded"
    )
    minutes = round(late_after.total_seconds() / 60)
    lacks = f"{last}, and the tick of {tick:%Y-%m-%d %H:%M %Z} is over {minutes} minutes ago."
    running = " A run of it is in flight." if state.in_flight else ""
    return f"{lacks}{running}", _catch_up(state)


def _catch_up(state: KeyState) -> str:
    if state.in_flight:
        return "Wait for the run, or look at why it takes so long."
    return (
        f"Run `etl-assets refresh --key {state.key}`, and see that daemon and schedule are running."
    )
