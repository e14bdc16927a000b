"""How long is waited before something is tried again.

At risk: runs that failed together come back together, and a wait without a bound.
"""

import random

import pytest

from etl_assets.core.retries import BODY, DELIVERY, LOCK, REGISTRY, STATEMENT, Retries

ALL = [STATEMENT, LOCK, REGISTRY, BODY, DELIVERY]


def longest(low: float, high: float) -> float:
    del low
    return high


@pytest.mark.parametrize("retries", ALL)
def test_every_depth_has_an_end_and_waits_below_its_bound(retries: Retries) -> None:
    waits = list(retries.pauses(longest))
    assert len(waits) == retries.attempts - 1
    assert waits == sorted(waits)
    assert max(waits) <= retries.longest_seconds


@pytest.mark.parametrize("retries", ALL)
def test_waits_are_anywhere_from_nothing_to_the_bound(retries: Retries) -> None:
    chance = random.Random(1)  # noqa: S311  (the same numbers each time)
    for number in (0, 1, 1_000_000):
        waits = [chance.uniform(0, retries.bound(number)) for _ in range(200)]
        assert min(waits) < 0.1 * retries.bound(number)
        assert max(waits) > 0.9 * retries.bound(number)


def test_the_bound_doubles_until_it_is_the_longest() -> None:
    assert list(Retries(5, 1.0, 5.0).pauses(longest)) == [1.0, 2.0, 4.0, 5.0]


def test_one_attempt_waits_for_nothing() -> None:
    assert list(Retries(1, 1.0, 5.0).pauses(longest)) == []
