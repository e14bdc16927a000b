"""What is recorded of a step's parts.

At risk: seconds counted twice or not at all, and a log full of progress.
"""

from dataclasses import dataclass, field

import pytest

from etl_assets.systems.telemetry import TELL_EVERY_SECONDS, Telemetry, advanced, recorded, span


@dataclass
class Clock:
    """A clock that a test sets, and what it was told."""

    now: float = 100.0
    told: list[str] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def telemetry(self) -> Telemetry:
        return Telemetry(tell=self.told.append, clock=self)


def test_parts_inside_each_other_add_up_to_the_whole() -> None:
    clock = Clock()
    with recorded(clock.telemetry()) as took:
        with span("swap"):
            clock.now += 2
            with span("proof"):
                clock.now += 3
            clock.now += 1
        with span("proof"):
            clock.now += 0.5
    assert took.seconds == {"swap": 3, "proof": 3.5}
    assert took.elapsed == sum(took.seconds.values())
    assert took.summary == "6.5 s (proof 3.5, swap 3.0)"


def test_a_part_that_fails_is_counted_and_ended() -> None:
    clock = Clock()
    with recorded(clock.telemetry()) as took:
        with pytest.raises(ZeroDivisionError), span("read"):
            clock.now += 2 + 1 / 0
        clock.now += 7
    assert took.seconds == {"read": 0}


def test_progress_is_told_when_a_part_lasts_and_not_with_every_batch() -> None:
    clock = Clock()
    with recorded(clock.telemetry()), span("read"):
        for _ in range(12):
            clock.now += TELL_EVERY_SECONDS / 4
            advanced(1_000, 2_500_000, of=16_000)
    assert clock.told == [
        "read: 4,000 of 16,000 records (25 %), 2.0 MB/s, about 15 s left",
        "read: 8,000 of 16,000 records (50 %), 2.0 MB/s, about 10 s left",
        "read: 12,000 of 16,000 records (75 %), 2.0 MB/s, about 5 s left",
    ]


def test_what_takes_less_than_that_is_not_told_of() -> None:
    clock = Clock()
    with recorded(clock.telemetry()):
        for name in ("query", "read", "proof"):
            with span(name):
                clock.now += TELL_EVERY_SECONDS * 0.9
                advanced(10, 10)
    assert clock.told == []


def test_where_nobody_records_nothing_happens() -> None:
    with span("read"):
        advanced(1, 1)
    clock = Clock()
    with recorded(clock.telemetry()) as took:
        pass
    assert took.seconds == {}


def test_objects_whose_records_are_not_known_are_told_by_their_rate() -> None:
    clock = Clock()
    with recorded(clock.telemetry()), span("store"):
        clock.now += TELL_EVERY_SECONDS
        advanced(0, 20_000_000)
    assert clock.told == ["store: 4.0 MB/s"]
