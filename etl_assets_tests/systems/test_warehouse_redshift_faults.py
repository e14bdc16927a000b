"""Connections end, transactions lose, COMMITs are not answered: no slice may suffer from it."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import psycopg2.errors
import psycopg2.extensions as pg
import pytest

from etl_assets.core.errors import TransientError, WarehouseError
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.orders import Order
from etl_assets.core.retries import STATEMENT
from etl_assets.systems import redshift_tables
from etl_assets.systems.protocols import Staging
from etl_assets.systems.warehouse_redshift import RedshiftWarehouse
from etl_assets_tests.commits import commit_load, commit_prune
from etl_assets_tests.small import Small
from etl_assets_tests.systems.platforms import RedshiftPlatform
from etl_assets_tests.systems.redshift_proxy import CommitProxy
from etl_assets_tests.systems.redshift_server import Redshift

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

Hook = Callable[[pg.connection], None]


def nothing(connection: pg.connection) -> None:
    """Do nothing at a point of a load."""


class Hooked(RedshiftWarehouse):
    """Calls back at the points of a load that faults are aimed at.

    Attributes:
        after_copy: When the staging table is filled.
        inside: When the mutex is held and nothing else was done.
        before_commit: When all is done but the COMMIT.
        pauses: What it would have slept between attempts.
    """

    def __init__(self, redshift: Redshift, url: str = "", patience_seconds: float = 60.0) -> None:
        self.pauses: list[float] = []
        self.after_copy: Hook = nothing
        self.inside: Hook = nothing
        self.before_commit: Hook = nothing
        super().__init__(
            url or redshift.url,
            redshift.password,
            patience_seconds=patience_seconds,
            sleep=self.pauses.append,
        )

    def _copy(
        self, connection: pg.connection, stage: Stage, staging: Staging, what: str, number: int
    ) -> int:
        copied = super()._copy(connection, stage, staging, what, number)
        self.after_copy(connection)
        return copied

    def _carry_out(self, cursor: pg.cursor, order: Order, number: int, staging: Staging) -> Load:
        self.inside(cursor.connection)
        row = super()._carry_out(cursor, order, number, staging)
        self.before_commit(cursor.connection)
        return row


@pytest.fixture
def platform(redshift: Redshift, small: Small) -> RedshiftPlatform:
    """A small platform with one load, whose source has changed since."""
    made = RedshiftPlatform(small, redshift)
    made.refresh()
    small.run_sql("UPDATE sales SET amount = amount + 1")
    return made


@pytest.fixture
def proxy(redshift: Redshift) -> Iterator[CommitProxy]:
    """A proxy before the stand-in."""
    with CommitProxy(redshift.standin.port).running() as made:
        yield made


def load(platform: RedshiftPlatform, warehouse: RedshiftWarehouse, staged: Stage) -> Load:
    """Load a stage with a warehouse of the test."""
    staging = platform.settings().open_staging()
    return commit_load(warehouse, staged, staging)


def amounts(platform: RedshiftPlatform) -> str:
    """Return the sum of what readers see: 94.50 before the change, 108.50 after it."""
    ((total,),) = platform.query("SELECT CAST(sum(amount) AS VARCHAR(20)) FROM sales")
    return str(total)


def wait_until(redshift: Redshift, condition: str, *parameters: object) -> None:
    """Return when a query gives a row."""
    with contextlib.closing(redshift.connect()) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for _ in range(20_000):
                cursor.execute(condition, parameters)
                if cursor.fetchone():
                    return
    raise AssertionError(condition)


def terminate(redshift: Redshift) -> Hook:
    """Return a hook that ends the session of the load, and waits until it has ended."""

    def end(connection: pg.connection) -> None:
        pid = connection.info.backend_pid
        redshift.query("SELECT pg_terminate_backend(%s)", pid)
        gone = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = %s)"
        wait_until(redshift, gone, pid)

    return end


@pytest.mark.parametrize("point", ["after_copy", "inside", "before_commit"])
def test_a_session_that_is_ended_leaves_the_old_slice_and_a_retry_loads(
    platform: RedshiftPlatform, point: str
) -> None:
    before, staged = platform.state(), platform.chain.stage()
    warehouse = Hooked(platform.redshift)
    setattr(warehouse, point, terminate(platform.redshift))
    with pytest.raises(TransientError, match="lost its connection") as caught:
        load(platform, warehouse, staged)
    assert "the table is as it was" in caught.value.message
    assert platform.state() == before
    assert load(platform, Hooked(platform.redshift), staged).replaced_records == 14
    assert amounts(platform) == "108.50"


def test_nothing_is_connected_until_the_load_begins(
    platform: RedshiftPlatform, proxy: CommitProxy
) -> None:
    """A session opened before a long extract would be dead by the time it is needed."""
    proxy.accepting = False
    warehouse = Hooked(platform.redshift, platform.redshift.url_at(proxy.port))
    staged = platform.chain.stage()
    with pytest.raises(TransientError):
        load(platform, warehouse, staged)
    proxy.accepting = True
    assert load(platform, warehouse, staged).replaced_records == 14


def lose_commit(proxy: CommitProxy, how: str) -> Hook:
    """Return a hook after which the next COMMIT is lost."""

    def arm(_: pg.connection) -> None:
        proxy.lose = how

    return arm


def test_a_commit_that_was_not_answered_is_found_in_the_ledger(
    platform: RedshiftPlatform, proxy: CommitProxy
) -> None:
    staged = platform.chain.stage()
    warehouse = Hooked(platform.redshift, platform.redshift.url_at(proxy.port))
    warehouse.before_commit = lose_commit(proxy, "unanswered")
    made = load(platform, warehouse, staged)
    assert proxy.lost.is_set()
    assert (made.load_id, made.replaced_records) == (staged.load_id, 14)
    assert platform.warehouse.loads()[0] == made
    assert len(platform.warehouse.loads()) == 2
    assert amounts(platform) == "108.50"


def test_a_commit_that_never_arrived_is_not_taken_for_one(
    platform: RedshiftPlatform, proxy: CommitProxy
) -> None:
    before, staged = platform.state(), platform.chain.stage()
    warehouse = Hooked(platform.redshift, platform.redshift.url_at(proxy.port))
    warehouse.before_commit = lose_commit(proxy, "unsent")
    with pytest.raises(TransientError, match="lost its connection before it was committed"):
        load(platform, warehouse, staged)
    assert proxy.lost.is_set()
    assert platform.state() == before
    warehouse.before_commit = nothing
    assert load(platform, warehouse, staged).replaced_records == 14


def test_a_commit_nobody_can_ask_about_is_called_unknown_and_a_retry_settles_it(
    platform: RedshiftPlatform, proxy: CommitProxy
) -> None:
    staged = platform.chain.stage()
    warehouse = Hooked(platform.redshift, platform.redshift.url_at(proxy.port))

    def cut(_: pg.connection) -> None:
        proxy.lose = "unanswered"
        proxy.accepting = False

    warehouse.before_commit = cut
    with pytest.raises(TransientError, match="not known yet whether it was committed") as caught:
        load(platform, warehouse, staged)
    assert "as it was" not in str(caught.value)
    assert amounts(platform) == "108.50"
    proxy.accepting = True
    warehouse.before_commit = nothing
    again = load(platform, warehouse, staged)
    assert platform.warehouse.loads()[0] == again
    assert len(platform.warehouse.loads()) == 2


def test_a_lost_transaction_that_still_holds_the_lock_is_called_unknown(
    platform: RedshiftPlatform, proxy: CommitProxy
) -> None:
    """The ledger has no row yet, and it would be wrong to say that it will have none."""
    before, staged = platform.state(), platform.chain.stage()
    url = platform.redshift.url_at(proxy.port)
    warehouse = Hooked(platform.redshift, url, patience_seconds=0.3)
    warehouse.before_commit = lose_commit(proxy, "held")
    with pytest.raises(TransientError, match="not known yet whether it was committed"):
        load(platform, warehouse, staged)
    proxy.release()
    warehouse = Hooked(platform.redshift, url)
    assert platform.state() == before
    assert load(platform, warehouse, staged).replaced_records == 14


def test_a_load_that_waits_too_long_for_another_gives_up_with_the_table_as_it_was(
    platform: RedshiftPlatform,
) -> None:
    before, staged = platform.state(), platform.chain.stage()
    with contextlib.closing(platform.redshift.connect()) as other:
        other.cursor().execute('LOCK "etl_assets"."publish_mutex_sales"')
        with pytest.raises(TransientError, match="waited too long") as caught:
            load(platform, Hooked(platform.redshift, patience_seconds=0.3), staged)
    assert "SVV_TRANSACTIONS" in caught.value.remedy
    assert platform.state() == before


def write_behind(redshift: Redshift, *, times: int) -> Hook:
    """Return a hook that makes the load's snapshot stale: another session writes the table."""
    left = [times]

    def write(connection: pg.connection) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sales")  # the snapshot begins here
        if left[0]:
            left[0] -= 1
            redshift.run("UPDATE sales SET quantity = quantity + 1 WHERE campaign_key = 'SP17'")

    return write


def test_a_serialization_failure_runs_the_whole_transaction_again(
    platform: RedshiftPlatform,
) -> None:
    warehouse = Hooked(platform.redshift)
    warehouse.inside = write_behind(platform.redshift, times=2)
    assert load(platform, warehouse, platform.chain.stage()).replaced_records == 14
    assert len(warehouse.pauses) == 2
    assert amounts(platform) == "108.50"
    assert len(platform.warehouse.loads()) == 2


def test_a_serialization_failure_that_does_not_end_is_transient_after_five_attempts(
    platform: RedshiftPlatform,
) -> None:
    warehouse = Hooked(platform.redshift)
    warehouse.inside = write_behind(platform.redshift, times=99)
    with pytest.raises(TransientError, match=r"again and again.*1023") as caught:
        load(platform, warehouse, platform.chain.stage())
    assert "SP17" in caught.value.message
    assert caught.value.remedy
    assert len(warehouse.pauses) == 4
    assert all(0 <= pause <= STATEMENT.bound(n) for n, pause in enumerate(warehouse.pauses))
    assert amounts(platform) == "94.50"
    assert len(platform.warehouse.loads()) == 1


def refuse(redshift: Redshift, message: str) -> Hook:
    """Return a hook that makes the server say XX000 with a message, once."""
    redshift.run(
        "CREATE OR REPLACE PROCEDURE public.conflict() LANGUAGE plpgsql AS"
        f" $$BEGIN RAISE EXCEPTION USING ERRCODE = 'XX000', MESSAGE = '{message}'; END$$"
    )
    left = [message]

    def say(connection: pg.connection) -> None:
        if left:
            left.clear()
            with connection.cursor() as cursor:
                cursor.execute("CALL public.conflict()")

    return say


@pytest.mark.parametrize("message", ["1018", "1023"])
def test_a_conflict_that_redshift_names_by_number_runs_the_transaction_again(
    platform: RedshiftPlatform, message: str
) -> None:
    """1018 is a relation that another transaction made after the snapshot began."""
    warehouse = Hooked(platform.redshift)
    warehouse.inside = refuse(platform.redshift, message)
    assert load(platform, warehouse, platform.chain.stage()).replaced_records == 14
    assert len(warehouse.pauses) == 1


@pytest.mark.parametrize("message", ["10230", "Load into table failed", "error 1023"])
def test_another_internal_error_is_not_taken_for_a_conflict(
    platform: RedshiftPlatform, message: str
) -> None:
    warehouse = Hooked(platform.redshift)
    warehouse.inside = refuse(platform.redshift, message)
    with pytest.raises(WarehouseError, match=message):
        load(platform, warehouse, platform.chain.stage())
    assert warehouse.pauses == []
    assert amounts(platform) == "94.50"


def test_of_two_that_lock_each_other_out_the_load_ends_well(platform: RedshiftPlatform) -> None:
    redshift, warehouse = platform.redshift, Hooked(platform.redshift)
    outcomes: list[str] = []
    with contextlib.closing(redshift.connect()) as other, ThreadPoolExecutor(1) as pool:

        def lock_mutex() -> None:
            try:
                other.cursor().execute('LOCK "etl_assets"."publish_mutex_sales"')
                outcomes.append("locked")
            except psycopg2.errors.DeadlockDetected:
                outcomes.append("deadlock")
            other.rollback()

        def lock_target_first(_: pg.connection) -> None:
            if not outcomes:
                outcomes.append("began")
                other.cursor().execute("DELETE FROM sales WHERE false")
                pool.submit(lock_mutex)
                waits = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
                wait_until(redshift, waits, other.info.backend_pid)

        warehouse.inside = lock_target_first
        assert load(platform, warehouse, platform.chain.stage()).replaced_records == 14
    assert (outcomes[1:], len(warehouse.pauses)) in ((["locked"], 1), (["deadlock"], 0))
    assert amounts(platform) == "108.50"


def test_readers_do_not_wait_for_an_open_load_and_see_the_old_slice(
    platform: RedshiftPlatform,
) -> None:
    warehouse = Hooked(platform.redshift)
    seen: list[object] = []

    def read(_: pg.connection) -> None:
        seen.append(amounts(platform))
        seen.append(platform.counts())
        seen.append(len(platform.warehouse.loads()))

    warehouse.before_commit = read
    load(platform, warehouse, platform.chain.stage())
    assert seen == ["94.50", {"SP17": 14}, 1]
    assert amounts(platform) == "108.50"


def test_a_reader_with_an_open_transaction_keeps_what_it_saw_and_holds_up_no_load(
    platform: RedshiftPlatform,
) -> None:
    query = "SELECT CAST(sum(amount) AS VARCHAR(20)) FROM sales"
    with contextlib.closing(platform.redshift.connect()) as reader, reader.cursor() as cursor:
        cursor.execute(query)
        assert cursor.fetchone() == ("94.50",)
        load(platform, Hooked(platform.redshift), platform.chain.stage())
        cursor.execute(query)
        assert cursor.fetchone() == ("94.50",)
        reader.rollback()
        cursor.execute(query)
        assert cursor.fetchone() == ("108.50",)


def test_an_error_of_ours_inside_the_transaction_rolls_it_back(platform: RedshiftPlatform) -> None:
    before, warehouse = platform.state(), Hooked(platform.redshift)

    def crash(_: pg.connection) -> None:
        raise KeyboardInterrupt

    warehouse.before_commit = crash
    with pytest.raises(KeyboardInterrupt):
        load(platform, warehouse, platform.chain.stage())
    assert platform.state() == before
    assert platform.refresh().replaced_records == 14


def test_a_prune_that_is_not_answered_is_settled_too(
    platform: RedshiftPlatform, proxy: CommitProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl_assets.systems import redshift_tables

    write = redshift_tables.write_ledger

    def write_and_arm(cursor: pg.cursor, row: Load) -> None:
        write(cursor, row)
        proxy.lose = "unanswered"

    monkeypatch.setattr(redshift_tables, "write_ledger", write_and_arm)
    warehouse = Hooked(platform.redshift, platform.redshift.url_at(proxy.port))
    staging = platform.settings().open_staging()
    row = commit_prune(warehouse, platform.dataset, "SP17", staging)
    assert proxy.lost.is_set()
    assert (row.kind, row.replaced_records) == ("prune", 14)
    assert platform.counts() == {}
    assert platform.warehouse.loads()[0] == row


def test_every_session_of_a_failed_load_is_closed(platform: RedshiftPlatform) -> None:
    warehouse = Hooked(platform.redshift)
    pids: list[int] = []

    def fail(connection: pg.connection) -> None:
        pids.append(connection.info.backend_pid)
        raise ValueError("planted")

    warehouse.after_copy = fail
    with pytest.raises(ValueError, match="planted"):
        load(platform, warehouse, platform.chain.stage())
    gone = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = %s)"
    wait_until(platform.redshift, gone, pids[0])


@pytest.mark.parametrize(
    ("state", "statement"),
    [
        ("42P06", "CREATE SCHEMA etl_assets"),
        ("42P07", "CREATE TABLE etl_assets.publish_mutex_sales (held BOOLEAN)"),
        ("42701", "ALTER TABLE etl_assets.publish_mutex_sales ADD COLUMN held BOOLEAN"),
        ("42710", "CREATE USER awsuser PASSWORD 'Abc12345'"),
    ],
)
def test_what_another_session_made_meanwhile_is_looked_for_again(
    platform: RedshiftPlatform, state: str, statement: str
) -> None:
    """IF NOT EXISTS does not hold against a session that commits at the same moment."""
    with pytest.raises(psycopg2.Error) as raised:
        platform.redshift.run(statement)
    assert raised.value.pgcode == state
    needed = iter([[statement], []])
    with contextlib.closing(platform.redshift.connect()) as connection:
        redshift_tables.run_ddl(connection, lambda: next(needed), lambda _: None)


def test_a_view_that_went_while_it_was_looked_at_is_looked_for_again(
    platform: RedshiftPlatform,
) -> None:
    looks = iter(["SELECT 1 / 0", "SELECT 1"])
    with contextlib.closing(platform.redshift.connect()) as connection:

        def needed() -> list[str]:
            with connection.cursor() as cursor:
                try:
                    cursor.execute(next(looks))
                except psycopg2.errors.DivisionByZero as error:  # fails the transaction, too
                    raise psycopg2.InternalError("could not open relation with OID 1") from error
            return []

        redshift_tables.run_ddl(connection, needed, lambda _: None)
    assert not list(looks)
