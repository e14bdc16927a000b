"""A process that loads or undoes a file, and is killed at one of its steps towards the outside."""

import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import sqlalchemy as sa

from etl_assets.core.inputs.files import InputFile
from etl_assets.inputs import prepare  # noqa: F401  (for the server process: what is imported there costs no child time)
from etl_assets.systems.connect import open_inputs
from etl_assets_tests.inputs.deliveries import Deliveries

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Task:
    """What a process does.

    Attributes:
        home: Of the deliveries.
        url: Of the database.
        contract: As text.
        file: To be loaded; or undone.
    """

    home: Path
    url: str
    contract: str
    file: InputFile
    undo: bool = False

    def run(self) -> None:
        """Do it."""
        made = Deliveries(self.home, open_inputs(self.url), lambda _sql: [], self.contract)
        if self.undo:
            made.inputs.undo(self.file.source, self.file.path)
        else:
            made.inputs.load(self.file)


def steps_of(task: Task) -> list[str]:
    """Run a task to its end in a process of its own; return its steps."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "steps"
        process = _FORKS.Process(target=_act, args=(task, None, told))
        process.start()
        process.join()
        assert process.exitcode == 0
        steps: list[str] = json.loads(told.read_text(encoding="utf-8"))
        return steps


def kill_at(task: Task, step: int) -> None:
    """Run a task in a process of its own that is killed at a step."""
    process = _FORKS.Process(target=_act, args=(task, step, None))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def together(tasks: Sequence[Task]) -> list[int | None]:
    """Run tasks at once; return their exit codes."""
    barrier = _FORKS.Barrier(len(tasks))
    processes = [_FORKS.Process(target=_meet, args=(task, barrier)) for task in tasks]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _meet(task: Task, barrier: Any) -> None:  # noqa: ANN401
    barrier.wait()
    task.run()


def _act(task: Task, step: int | None, told: Path | None) -> None:
    passed: list[str] = []

    def reach(text: str) -> None:
        if len(passed) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        passed.append(" ".join(text.split()[:4]))

    _listen(reach)
    task.run()
    if told is not None:
        told.write_text(json.dumps(passed), encoding="utf-8")


def _listen(reach: Any) -> None:  # noqa: ANN401
    """Have every statement, commit and stored object told, before and after."""

    def before(_c: Any, _cursor: Any, text: str, *_: Any) -> None:  # noqa: ANN401
        reach(f"before {text}")

    def after(_c: Any, _cursor: Any, text: str, *_: Any) -> None:  # noqa: ANN401
        reach(f"after {text}")

    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    sa.event.listen(sa.Engine, "after_cursor_execute", after)
    for owner, name in ((pymysql.Connection, "commit"), (os, "link")):
        _around(owner, name, reach)


def _around(owner: Any, name: str, reach: Any) -> None:  # noqa: ANN401
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        reach(f"before {name}")
        result = original(*args, **kwargs)
        reach(f"after {name}")
        return result

    setattr(owner, name, wrapped)
