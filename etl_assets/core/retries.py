"""How often what is transient is tried again, and how long is waited between.

Of the depths, these are the statement and the part; the key's is `RETRIES` in `failures.py`.

Waits have full jitter: each is a random time below a bound that doubles. Who failed together
does not come back together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

Chance = Callable[[float, float], float]
"""Returns a number between two, such as `random.uniform`."""


@dataclass(frozen=True)
class Retries:
    """A bound of attempts, and of the waits between them.

    Attributes:
        attempts: How often at most, the first included.
        first_seconds: What the first wait is below.
        longest_seconds: What every wait is below.
    """

    attempts: int
    first_seconds: float
    longest_seconds: float

    def pauses(self, chance: Chance) -> Iterator[float]:
        """Yield the seconds to wait before the second attempt, the third, and so on."""
        for number in range(self.attempts - 1):
            yield chance(0.0, self.bound(number))

    def bound(self, number: int) -> float:
        """Return what wait `number`, counted from 0, is below, in seconds."""
        return float(min(self.first_seconds * 2.0 ** min(number, 30), self.longest_seconds))


STATEMENT = Retries(attempts=5, first_seconds=0.4, longest_seconds=5.0)
"""A transaction of Redshift that lost against another."""

LOCK = Retries(attempts=1_000, first_seconds=0.05, longest_seconds=1.0)
"""DuckDB's file while another process has it; a patience in seconds ends it before."""

REGISTRY = Retries(attempts=8, first_seconds=0.1, longest_seconds=2.0)
"""A reading of the registry while somebody pushes to it."""

DELIVERY = Retries(attempts=4, first_seconds=1.0, longest_seconds=20.0)
"""A file or table of a feed whose destination cannot be reached or is busy."""

BODY = Retries(attempts=3, first_seconds=0.5, longest_seconds=5.0)
"""An object of S3 whose bytes stopped half way; the request as such is tried again by boto3."""
