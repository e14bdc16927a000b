"""What the views over the days of a season have to show, worked out day by day in plain Python."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Line = tuple[object, ...]
"""A value of each dimension."""
Sums = tuple[int | Decimal, ...]
"""Records, and each measure."""


@dataclass(frozen=True)
class Season:
    """A campaign that is loaded, and its records.

    Attributes:
        shown: Days that are shown.
        records: Each with its day, its dimensions and its measures.
        zeros: Nothing of each sum.
    """

    key: str
    name: str
    start: dt.date
    end: dt.date
    records: Sequence[tuple[dt.date, Line, tuple[Any, ...]]]
    zeros: Sums
    compared_with: str | None = None
    shown: int | None = None

    @property
    def days(self) -> int:
        """How many days the season has."""
        return (self.end - self.start).days + 1

    @property
    def days_shown(self) -> int:
        """How many of them are shown."""
        return self.days if self.shown is None else self.shown

    @property
    def lines(self) -> set[Line]:
        """Every line of days that the season has records of."""
        return {line for _, line, _ in self.records} | ({()} if not self._by_dimension else set())

    @property
    def _by_dimension(self) -> bool:
        return any(line for _, line, _ in self.records)

    def at(self, number: int, line: Line) -> tuple[Sums, Sums] | None:
        """Return the sums of a day, and of all days up to it; None when it is not shown."""
        if number > self.days_shown:
            return None
        day = self.start + dt.timedelta(days=number - 1)
        mine = [(on, values) for on, of, values in self.records if of == line and on >= self.start]
        return (
            self._summed(values for on, values in mine if on == day),
            self._summed(values for on, values in mine if on <= day),
        )

    def _summed(self, found: Iterable[tuple[Any, ...]]) -> Sums:
        sums = list(self.zeros)
        for values in found:
            sums[0] += 1
            for place, value in enumerate(values, start=1):
                sums[place] += 0 if value is None else value
        return tuple(sums)

    def day(self, number: int) -> dt.date | None:
        """Return the season's day of a number, if it has one."""
        return self.start + dt.timedelta(days=number - 1) if number <= self.days else None


def to_date(seasons: Iterable[Season]) -> list[tuple[object, ...]]:
    """Return the rows of `<table>_season_to_date`."""
    rows = []
    for season in seasons:
        for line in season.lines:
            for number in range(1, season.days_shown + 1):
                found = season.at(number, line)
                assert found
                both = [value for pair in zip(*found, strict=True) for value in pair]
                rows.append((season.key, season.name, *line, season.day(number), number, *both))
    return rows


def over_season(seasons: Mapping[str, Season]) -> list[tuple[object, ...]]:
    """Return the rows of `<table>_season_over_season`."""
    rows = []
    for season in seasons.values():
        other = seasons.get(season.compared_with or "")
        last = max(season.days_shown, other.days_shown if other else 0)
        for line in season.lines | (other.lines if other else set()):
            for number in range(1, last + 1):
                mine, theirs = season.at(number, line), other.at(number, line) if other else None
                rows.append((
                    season.key, season.name, season.compared_with, other.name if other else None,
                    *line, number, season.day(number), other.day(number) if other else None,
                    *_beside(mine, theirs, len(season.zeros)),
                ))  # fmt: skip
    return rows


def _beside(
    mine: tuple[Sums, Sums] | None, theirs: tuple[Sums, Sums] | None, width: int
) -> list[object]:
    values: list[object] = []
    for place in range(width):
        for part in (0, 1):
            a = mine[part][place] if mine else None
            b = theirs[part][place] if theirs else None
            values += [a, b, None if a is None or b is None else a - b]
    return values
