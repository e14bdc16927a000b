"""What a step of the chain is doing, and how long each part of it takes.

Whoever wants to know records it (`recorded`); the code that does the work says which part it is
in (`span`) and how far it is (`advanced`). Where nobody records, both cost nothing.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

TELL_EVERY_SECONDS = 5.0
"""What takes less is not told of at all, and nothing is told more often."""

_MEGABYTE = 1e6
_SHOWN_SECONDS = 0.05


@dataclass
class Telemetry:
    """The parts of one step.

    Attributes:
        tell: Takes a sentence on how far it is.
        clock: Gives seconds.
        seconds: What each part took, by its name, without the parts inside it: so they add up.
    """

    tell: Callable[[str], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    seconds: dict[str, float] = field(default_factory=dict)
    _started: float = 0.0
    _name: str = ""
    _since: float = 0.0
    _began: float = 0.0
    _told: float = 0.0
    _records: int = 0
    _bytes: int = 0

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return self.clock() - self._started

    @property
    def summary(self) -> str:
        """What it took, and the parts that took long, as a sentence's end."""
        parts = sorted(self.seconds.items(), key=lambda part: -part[1])
        long = ", ".join(f"{name} {took:.1f}" for name, took in parts if took >= _SHOWN_SECONDS)
        return f"{self.elapsed:.1f} s{f' ({long})' if long else ''}"

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Count what happens within to this part."""
        outer = (self._name, self._began, self._told, self._records, self._bytes)
        self._turn(name)
        self._began = self._told = self._since
        self._records = self._bytes = 0
        try:
            yield
        finally:
            self._turn(outer[0])
            _, self._began, self._told, self._records, self._bytes = outer

    def advanced(self, records: int, size: int, of: int | None) -> None:
        """Count records of the part that is running, and tell of it when it is time to."""
        self._records += records
        self._bytes += size
        now = self.clock()
        if now - self._told >= TELL_EVERY_SECONDS:
            self._told = now
            self.tell(self._sentence(now - self._began, of))

    def _turn(self, name: str) -> None:
        now = self.clock()
        if self._name:
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._since
        self._name, self._since = name, now

    def _sentence(self, seconds: float, of: int | None) -> str:
        rate = f"{self._bytes / _MEGABYTE / seconds:.1f} MB/s"
        if not self._records:
            return f"{self._name}: {rate}"
        done = f"{self._name}: {self._records:,}"
        if not of:
            return f"{done} records, {rate}"
        rest = seconds / self._records * max(0, of - self._records)
        share = min(100, 100 * self._records // of)
        return f"{done} of {of:,} records ({share} %), {rate}, about {rest:.0f} s left"


_CURRENT: ContextVar[Telemetry | None] = ContextVar("telemetry", default=None)


@contextlib.contextmanager
def recorded(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Record what is done within."""
    token = _CURRENT.set(telemetry)
    try:
        yield telemetry
    finally:
        _CURRENT.reset(token)


@contextlib.contextmanager
def span(name: str) -> Iterator[None]:
    """Say which part of a step runs within: `read`, `rules`, `proof`."""
    telemetry = _CURRENT.get()
    if telemetry is None:
        yield
    else:
        with telemetry.span(name):
            yield


def advanced(records: int, size: int, *, of: int | None = None) -> None:
    """Say how many more records are done.

    Args:
        records: Since the last time.
        size: Their bytes.
        of: How many there are altogether, where that is known.
    """
    telemetry = _CURRENT.get()
    if telemetry is not None:
        telemetry.advanced(records, size, of)
