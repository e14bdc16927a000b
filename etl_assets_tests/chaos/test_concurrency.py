"""Two to sixteen loaders at once, in threads and in processes, on one key and on several.

At risk: a load that is lost because two were decided on the same row, a slice of two loads, and
an error where a second attempt would have done.
"""

import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from typing import cast

import psycopg2
import pytest

from etl_assets.core.errors import TransientError
from etl_assets.core.manifest import Stage
from etl_assets.core.orders import SupersededError, order_load
from etl_assets.core.standing import standing_of
from etl_assets.kept import stage_path
from etl_assets.loading import load
from etl_assets.systems import redshift_publish
from etl_assets.systems.protocols import Warehouse
from etl_assets.systems.redshift_errors import is_serialization_failure
from etl_assets_tests.chaos import actions
from etl_assets_tests.chaos.backends import Backend
from etl_assets_tests.chaos.conftest import Fresh
from etl_assets_tests.chaos.figures import Figures
from etl_assets_tests.chaos.judging import contents, ledger
from etl_assets_tests.chaos.reading import State, reading, state_of

KEYS = ["SP17", "SU17", "AU17"]
LOADERS = {"short": {"duckdb": [6], "redshift": [4]},
           "long": {"duckdb": [2, 4, 8, 16], "redshift": [2, 4, 8, 16]}}  # fmt: skip
Pool = Callable[[int], Executor]
_FORKS = multiprocessing.get_context("forkserver")

DISTURBANCES = 150


def threads(number: int) -> Executor:
    return ThreadPoolExecutor(number)


def processes(number: int) -> Executor:
    return ProcessPoolExecutor(number, mp_context=_FORKS)


@pytest.fixture(params=[threads, processes])
def pool(request: pytest.FixtureRequest) -> Pool:
    made: Pool = request.param
    return made


def loaders(backend: Backend, *, long_form: bool) -> list[int]:
    return LOADERS["long" if long_form else "short"][backend.kind]


def change_until_done(backend: Backend, staged: Stage) -> tuple[str, int]:
    """Load what was staged over whatever is newest; return the row and how often it was decided.

    A decision is made on the newest row that is seen, and made anew when it is another by then.
    """
    backend.enter()
    settings = backend.settings()
    warehouse, staging = settings.open_warehouse(), settings.open_staging()
    for number in range(1, 100):
        rows = warehouse.loads(dataset=staged.dataset, key=staged.campaign_key)
        over = standing_of(rows).newest
        order = replace(order_load(staged, stage_path(staged)), over=over)
        try:
            (row,) = warehouse.commit([order], staging)
        except TransientError:  # superseded, or lost too often against others: try again
            continue
        # What it was decided on is what it replaced.
        before = next((r.records for r in rows if r.changes_slice), 0)
        assert row.replaced_records == before
        return row.load_id, number
    raise AssertionError("not loaded in a hundred attempts")


def staged_states(backend: Backend, key: str, number: int) -> list[tuple[Stage, State]]:
    """Return loads that differ in their records, with what a reader would see of each."""
    made = []
    for n in range(number):
        backend.change_source(n)
        made.append((backend.chain.stage(key), state_of(backend.oracle(key))))
    return made


def test_of_loads_of_one_key_none_is_lost_and_the_last_of_the_ledger_is_in_the_table(
    fresh: Fresh, pool: Pool, figures: Figures, *, long_form: bool
) -> None:
    backend = fresh()
    for number in loaders(backend, long_form=long_form):
        backend = fresh()
        made = staged_states(backend, "SP17", number + 1)
        change_until_done(backend, made[0][0])
        known = {"SP17": {state for _, state in made}}
        with reading(backend, ["SP17"]) as found, pool(number) as running:
            jobs = [running.submit(change_until_done, backend, s) for s, _ in made[1:]]
            ended = [job.result() for job in jobs]
        assert not found.strange(known)
        rows = ledger(backend)["SP17"]  # in order, and each replaced what the one before it left
        assert {row.load_id for row in rows} == {stage.load_id for stage, _ in made}
        last = next(state for stage, state in made if stage.load_id == rows[0].load_id)
        assert state_of(contents(backend)["SP17"]) == last
        figures.add(f"loads at once on {backend.kind}", number)
        figures.add("of them decided anew", sum(tries - 1 for _, tries in ended))
        figures.add(f"readings of the table on {backend.kind}", found.number)


def refresh_in(backend: Backend, key: str) -> str:
    backend.enter()
    return actions.refresh(backend, key)


def test_refreshes_of_several_keys_at_once_all_succeed(
    fresh: Fresh, pool: Pool, figures: Figures, *, long_form: bool
) -> None:
    backend = fresh()
    for number in loaders(backend, long_form=long_form):
        backend = fresh()
        keys = [KEYS[n % len(KEYS)] for n in range(number)]
        with pool(number) as running:
            answers = list(running.map(refresh_in, [backend] * number, keys))
        assert answers.count("loaded") >= len(set(keys))
        assert set(answers) <= {"loaded", "unchanged"}
        assert contents(backend) == {key: backend.oracle(key) for key in set(keys)}
        ledger(backend)
        figures.add(f"loads at once on {backend.kind}", number)


def test_a_load_that_does_not_look_again_would_be_lost(fresh: Fresh) -> None:
    """The opposite, planted: without `over`, both decided on the same row are carried out."""
    backend = fresh()
    made = staged_states(backend, "SP17", 3)
    settings = backend.settings()
    warehouse, staging = settings.open_warehouse(), settings.open_staging()
    (base,) = warehouse.commit([order_load(made[0][0], stage_path(made[0][0]))], staging)
    first, second = (order_load(stage, stage_path(stage)) for stage, _ in made[1:])
    warehouse.commit([replace(first, over=base.load_id)], staging)
    with pytest.raises(SupersededError):
        warehouse.commit([replace(second, over=base.load_id)], staging)
    assert state_of(contents(backend)["SP17"]) == made[1][1]
    warehouse.commit([second], staging)  # whatever is there: the first one's records are gone
    assert state_of(contents(backend)["SP17"]) == made[2][1]


class Interrupted:
    """A warehouse where somebody else commits just after it was first read."""

    def __init__(self, warehouse: Warehouse, other: Callable[[], object]) -> None:
        self._warehouse, self._other = warehouse, other
        self._read = False

    def __getattr__(self, name: str) -> object:
        method = getattr(self._warehouse, name)

        def called(*args: object, **kwargs: object) -> object:
            found = method(*args, **kwargs)
            if not self._read:
                self._read = True
                self._other()
            return found

        return called


def test_a_guard_judges_the_slice_that_is_there_when_another_load_came_in_between(
    embedded: Backend,
) -> None:
    """Records were counted before the ledger was read: an empty load went past its guard."""
    full = embedded.chain.stage()
    embedded.small.run_sql("DELETE FROM sales")
    empty = embedded.chain.stage()
    settings = embedded.settings()
    warehouse = Interrupted(settings.open_warehouse(), lambda: change_until_done(embedded, full))
    done = load(
        embedded.dataset, empty, settings.open_staging(), cast("Warehouse", warehouse), run_id=None
    )
    assert (done.status, embedded.chain.counts()) == ("held", {"SP17": 14})


def disturb(dsn: str, done: threading.Event) -> int:
    """Write to another key's records without any lock of ours; return how often that lost.

    An end is set to it: on a machine with nothing else to do, no load would ever win.
    """
    lost = 0
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        for _ in range(DISTURBANCES):
            if done.is_set():
                break
            try:
                cursor = connection.cursor()
                cursor.execute("SELECT count(*) FROM sales")
                cursor.execute("UPDATE sales SET note = note WHERE campaign_key = 'AU17'")
                connection.commit()
            except psycopg2.Error as error:
                if not is_serialization_failure(error):
                    raise
                connection.rollback()
                lost += 1
    return lost


@pytest.mark.parametrize("fresh", ["redshift"], indirect=True)
def test_loads_beside_a_writer_that_takes_no_lock_are_run_again_and_none_is_lost(
    fresh: Fresh, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = fresh()
    failed: list[str] = []

    def noted(error: psycopg2.Error) -> bool:
        conflict = is_serialization_failure(error)
        failed.extend([str(error)] * conflict)
        return conflict

    monkeypatch.setattr(redshift_publish, "is_serialization_failure", noted)
    actions.refresh(backend, "AU17")
    made = staged_states(backend, "SP17", 4)
    done = threading.Event()
    with threads(5) as running:
        lost = running.submit(disturb, backend.dsn, done)
        list(running.map(change_until_done, [backend] * 4, [stage for stage, _ in made]))
        done.set()
    rows = ledger(backend)["SP17"]
    assert {row.load_id for row in rows} == {stage.load_id for stage, _ in made}
    last = next(state for stage, state in made if stage.load_id == rows[0].load_id)
    assert state_of(contents(backend)["SP17"]) == last
    assert failed or lost.result(), "nobody was in the way of anybody"
    figures.add("transactions run again after 1023", len(failed))
