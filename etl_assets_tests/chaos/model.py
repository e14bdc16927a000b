"""What a table must hold after a history of refreshes and decisions, in a few plain fields.

Nothing of the product is used: records come from the source by plain Python, and what a
refresh answers follows from what was loaded, held, rolled back and released before.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from etl_assets_tests.chaos.backends import Backend, Record

Season = tuple[dt.date, dt.date]
Inputs = tuple[tuple[Record, ...], Season, int]
"""The records at the source, the season, and the number of the rules: the same, the same load."""

DAY = dt.date(2017, 5, 20)
"""The day that the calendar is about."""

SEASONS: Mapping[str, tuple[Season, ...]] = {
    "SP17": (
        (dt.date(2017, 3, 1), dt.date(2017, 5, 31)),
        (dt.date(2017, 3, 1), dt.date(2017, 4, 30)),
        (dt.date(2016, 3, 1), dt.date(2016, 4, 30)),  # before the first record there is
    ),
    "SU17": (
        (dt.date(2017, 5, 15), dt.date(2017, 8, 31)),
        (dt.date(2017, 6, 1), dt.date(2017, 8, 31)),
    ),
}
"""Where a campaign may be moved to."""

_SOLD_ON = (
    "{id: sold-on, kind: derive, column: sold_on, type: date, expression: CAST(sold_at AS DATE)}"
)
RULES: tuple[tuple[str, Callable[[Record], Record | None]], ...] = (
    (f"[{_SOLD_ON}]", lambda record: record),
    (
        f"[{_SOLD_ON}, {{id: some, kind: filter, keep: quantity > 0}}]",
        lambda record: record if record[2] > 0 else None,
    ),
    (
        f"[{_SOLD_ON}, {{id: more, kind: derive, column: quantity, type: bigint, expression: quantity + 1}}]",
        lambda record: (*record[:2], record[2] + 1, *record[3:]),
    ),
)
"""Texts of rules, and what they make of a record."""


@dataclass(frozen=True)
class Slice:
    """One key's.

    Attributes:
        records: What the table holds.
        current: What the slice was made from; None before the first load, and after a prune.
        loaded: Whether anything was ever committed that changed it.
        loads: What each load and rollback was made from, oldest first.
        undone: What rollbacks took away since the last load or prune.
        kept: Whether a person holds it.
        waiting: What a guard holds.
    """

    records: tuple[Record, ...] = ()
    current: Inputs | None = None
    loads: tuple[Inputs, ...] = ()
    undone: frozenset[Inputs] = frozenset()
    kept: bool = False
    waiting: Inputs | None = None


@dataclass
class Model:
    """What is true of a platform.

    Attributes:
        slices: By key.
        seasons: By key, where the campaign is now.
        rules: Number of the rules that are published.
        calendar: The keys due on `DAY`; None when the seasons say.
    """

    slices: dict[str, Slice] = field(default_factory=lambda: {key: Slice() for key in SEASONS})
    seasons: dict[str, Season] = field(
        default_factory=lambda: {k: s[0] for k, s in SEASONS.items()}
    )
    rules: int = 0
    calendar: tuple[str, ...] | None = None

    def table(self) -> dict[str, list[Record]]:
        """Return the records of the keys that have some."""
        return {key: list(s.records) for key, s in self.slices.items() if s.records}

    def inputs(self, backend: Backend, key: str) -> Inputs:
        """Return what a refresh would be made from now."""
        season = self.seasons[key]
        return tuple(backend.oracle(key, seasons=self.seasons)), season, self.rules

    def refreshed(self, key: str, inputs: Inputs) -> tuple[str, Slice]:
        """Return what a refresh answers, and the slice after it."""
        was = self.slices[key]
        records = made_from(inputs)
        if was.kept:
            return "kept", was
        if was.current == inputs:
            return "unchanged", replace(was, waiting=None)
        if was.current and inputs in was.undone:
            return "kept", was
        if was.records and not records:
            return "held", replace(was, waiting=inputs)
        after = Slice(records, inputs, (*was.loads, inputs), kept=was.kept)
        return "loaded", after

    def rolled_back(self, key: str, to: Inputs) -> Slice:
        """Return the slice when an earlier load is put back."""
        was = self.slices[key]
        if was.current == to:
            return was
        undone = was.undone | ({was.current} if was.current else set())
        return Slice(made_from(to), to, (*was.loads, to), frozenset(undone), was.kept)

    def due(self) -> set[str]:
        """Return the keys that the calendar says for `DAY`, or the seasons."""
        if self.calendar is not None:
            return set(self.calendar)
        return {key for key, (first, last) in self.seasons.items() if first <= DAY <= last}

    def pruned(self) -> dict[str, Slice]:
        """Return the slices of keys that a prune removes, after it."""
        return {
            key: Slice(loads=was.loads)
            for key, was in self.slices.items()
            if was.records and not was.kept and key not in self.due()
        }


def made_from(inputs: Inputs) -> tuple[Record, ...]:
    """Return what the rules make of the records."""
    apply: Any = RULES[inputs[2]][1]
    return tuple(made for record in inputs[0] if (made := apply(record)) is not None)


def campaigns_text(seasons: Mapping[str, Season]) -> str:
    """Return the registry's document of campaigns."""
    lines = [f"  - {{key: {k}, name: {k}, start: {s}, end: {e}}}" for k, (s, e) in seasons.items()]
    return "\n".join(["campaigns:", *lines, ""])
