"""A reader in a process of its own, which looks at the table without pause until it is told."""

import contextlib
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import psycopg2

from etl_assets_tests.chaos.backends import Backend, Record

State = tuple[int, Decimal, int]
"""Of a key: records, sum of `amount`, sum of `quantity`. (0, 0, 0) when there is no slice."""

NONE: State = (0, Decimal(0), 0)
_READ = "SELECT campaign_key, count(*), sum(amount), sum(quantity) FROM sales GROUP BY 1"
_SPAWNED = multiprocessing.get_context("forkserver")


def state_of(records: list[Record]) -> State:
    """Return what a reader sees of records."""
    return len(records), sum((r[3] for r in records), Decimal(0)), sum(r[2] for r in records)


class Readings:
    """What a reader saw; filled when `reading` ends.

    Attributes:
        states: By key, how often each state was seen.
        number: How many times the table was there and was read.
    """

    def __init__(self) -> None:
        self.states: Counter[tuple[str, State]] = Counter()
        self.number = 0

    def strange(self, known: dict[str, set[State]]) -> dict[tuple[str, State], int]:
        """Return the readings of a key that are none of its known states."""
        return {seen: n for seen, n in self.states.items() if seen[1] not in known[seen[0]]}


@contextlib.contextmanager
def reading(backend: Backend, keys: list[str]) -> Iterator[Readings]:
    """Read all the while, from before the block to after it, at least once in it."""
    ours, its = _SPAWNED.Pipe()
    process = _SPAWNED.Process(target=_read, args=(backend, keys, its))
    process.start()
    its.close()
    assert ours.recv() == "has read"
    found = Readings()
    try:
        yield found
    finally:
        ours.send("stop")
        found.states, found.number = ours.recv()
        process.join()


def _read(backend: Backend, keys: list[str], told: Any) -> None:  # noqa: ANN401
    seen: Counter[tuple[str, State]] = Counter()
    number, first, last = 0, True, False
    while not last:
        last = told.poll()  # once more after that, so that the end is seen too
        states = _one_reading(backend, keys)
        seen.update((states or dict.fromkeys(keys, NONE)).items())
        number += states is not None
        if first:
            told.send("has read")
            first = False
    told.recv()
    told.send((seen, number))


def _one_reading(backend: Backend, keys: list[str]) -> dict[str, State] | None:
    """Return the state of each key, by one statement; None while there is no table."""
    if not backend.dsn and not (backend.home / "warehouse.duckdb").exists():
        return None
    try:
        rows = backend.query(_READ)
    except (duckdb.CatalogException, psycopg2.errors.UndefinedTable):
        return None
    found = {key: (records, amount, int(quantity)) for key, records, amount, quantity in rows}
    return {key: found.get(key, NONE) for key in keys}
