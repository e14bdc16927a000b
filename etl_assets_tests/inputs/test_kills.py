"""Kill -9 at the steps of a load and of an undo, and two processes at once.

At risk: half a file in the table, a file that is loaded twice, a ledger that says something else
than the table, tables that a killed process left half made, and a lock that nobody gives back.
"""

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from etl_assets_tests.chaos.boundaries import spread
from etl_assets_tests.inputs.deliveries import CONTRACT, Deliveries
from etl_assets_tests.inputs.killing import Task, kill_at, steps_of, together
from etl_assets_tests.servers import MariaDBServer

AT_MOST = {"sqlite": 8, "mysql": 4}
HEAD = "Order No,Amount,Note\n"
FIRST = HEAD + "1,1,one\n2,2,two\n"
SECOND = HEAD + "2,9,nine\n3,3,three\nx,,\n"
LOOSE = CONTRACT + "most_rejected_percent: 50\n"
WIDER = (
    CONTRACT.replace("varchar(20)", "varchar(30)").replace("integer", "bigint")
    + "  day: {type: date, optional: true}\nmost_rejected_percent: 50\n"
)
MakeTask = Callable[..., Task]


@pytest.fixture
def task(deliveries: Deliveries, request: pytest.FixtureRequest) -> MakeTask:
    """Makes what a process does to the deliveries' database."""
    deliveries.contract = LOOSE
    if "sqlite" in request.node.callspec.id:
        url = f"sqlite:///{deliveries.home}/source.sqlite"
    else:
        server: MariaDBServer = request.getfixturevalue("mariadb")
        name = deliveries.query("SELECT DATABASE()")[0][0]
        url = f"mysql+pymysql://root@127.0.0.1:{server.port}/{name}"

    def make(name: str, content: str, contract: str = LOOSE, *, undo: bool = False) -> Task:
        file = deliveries.deliver(name, content, minutes=5 if name == "second.csv" else 1)
        return Task(deliveries.home, url, contract, file, undo)

    return make


def points(steps: list[str], kind: str) -> list[int]:
    """Return the steps to kill at: those beside what changes something, as many as are allowed."""
    telling = ("INSERT", "DELETE", "UPDATE", "CREATE", "ALTER", "DROP", "COMMIT", "BEGIN", "commit",
               "link")  # fmt: skip
    found = [n for n, step in enumerate(steps) if step.split()[1] in telling]
    return spread(found, AT_MOST[kind])


def forget(deliveries: Deliveries, *, tables: bool = True) -> None:
    """Empty the database, or only its tables, and the rejects."""
    shutil.rmtree(deliveries.home / "staging/inputs-rejects", ignore_errors=True)
    file = deliveries.home / "source.sqlite"
    if file.exists():
        file.unlink()
        return
    found = [row[0] for row in deliveries.query("SHOW TABLES")]
    if found and tables:
        deliveries.query("DROP TABLE " + ", ".join(f"`{name}`" for name in found))
    for name in () if tables else sorted({*found} - {"etl_assets_input_sources"}):
        deliveries.query(f"DELETE FROM `{name}`")


def state(deliveries: Deliveries) -> list[Any]:
    """Return the table, or that there is none."""
    try:
        rows = deliveries.rows()
    except Exception:  # noqa: BLE001  (of two drivers)
        return []
    return [(key, int(amount), note) for key, amount, note in rows]


ONE, TWO = [(1, 1, "one"), (2, 2, "two")], [(1, 1, "one"), (2, 9, "nine"), (3, 3, "three")]


def test_a_first_load_that_is_killed_leaves_all_or_nothing(
    deliveries: Deliveries, task: MakeTask, request: pytest.FixtureRequest
) -> None:
    about = task("first.csv", FIRST)
    steps = steps_of(about)
    kind = "sqlite" if "sqlite" in request.node.callspec.id else "mysql"
    for step in points(steps, kind):
        forget(deliveries)
        kill_at(about, step)
        assert state(deliveries) in ([], ONE), steps[step]
        about.run()
        assert state(deliveries) == ONE, steps[step]
        assert [row.live for row in deliveries.inputs.history("orders")].count(True) == 1


@pytest.mark.parametrize("contract", [LOOSE, WIDER], ids=["same", "wider"])
def test_a_load_that_is_killed_leaves_the_table_as_it_was_or_as_it_will_be(
    deliveries: Deliveries, task: MakeTask, request: pytest.FixtureRequest, contract: str
) -> None:
    first, second = task("first.csv", FIRST), task("second.csv", SECOND, contract)
    first.run()
    steps = steps_of(second)
    kind = "sqlite" if "sqlite" in request.node.callspec.id else "mysql"
    for step in points(steps, kind):
        forget(deliveries, tables=contract == WIDER)
        first.run()
        kill_at(second, step)
        assert state(deliveries) in (ONE, TWO), steps[step]
        second.run()
        assert state(deliveries) == TWO, steps[step]
        history = deliveries.inputs.history("orders")
        assert [row.live for row in history].count(True) == 2
        assert deliveries.staging.read_text(history[0].rejects or history[1].rejects)


def test_an_undo_that_is_killed_is_done_or_not(
    deliveries: Deliveries, task: MakeTask, request: pytest.FixtureRequest
) -> None:
    first, second = task("first.csv", FIRST), task("second.csv", SECOND)
    undo = Task(second.home, second.url, second.contract, second.file, undo=True)
    first.run()
    second.run()
    steps = steps_of(undo)
    kind = "sqlite" if "sqlite" in request.node.callspec.id else "mysql"
    for step in points(steps, kind):
        forget(deliveries, tables=False)
        first.run()
        second.run()
        kill_at(undo, step)
        found = state(deliveries)
        assert found in (ONE, TWO), steps[step]
        assert [row.live for row in deliveries.inputs.history("orders")].count(True) == (
            1 if found == ONE else 2
        )
        if found == TWO:
            undo.run()
        assert state(deliveries) == ONE


def test_two_processes_load_a_file_once(deliveries: Deliveries, task: MakeTask) -> None:
    first, second = task("first.csv", FIRST), task("second.csv", SECOND)
    assert together([first, second, first, second]) == [0, 0, 0, 0]
    assert state(deliveries) == TWO
    history = deliveries.inputs.history("orders")
    assert sorted(row.status for row in history) == ["loaded", "loaded", "repeated", "repeated"]
    assert len(deliveries.rows(table="orders__received")) == 4
