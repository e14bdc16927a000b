"""What processes do that are killed, and how they are started.

Each is forked from a server process that has imported what it needs and done nothing else, so
that a kill costs little.
"""

import datetime as dt
import json
import multiprocessing
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3  # noqa: F401  (for the server process: what is imported there costs no child time)

from etl_assets.cleaning import find_removals, remove
from etl_assets.core.manifest import Load
from etl_assets.core.orders import order_for
from etl_assets.core.retention import Removal
from etl_assets.core.standing import standing_of
from etl_assets.kept import new_id, stage_of
from etl_assets.schedules import prune_dataset
from etl_assets_tests.chaos.backends import Backend
from etl_assets_tests.chaos.boundaries import Boundaries

LATER = dt.timedelta(days=90)
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])

Action = Callable[..., object]


def refresh(backend: Backend, key: str = "SP17") -> str:
    """Extract, stage and load a key; return what became of the load."""
    return backend.chain.load_as(backend.chain.stage(key)).status


def roll_back(backend: Backend, load_id: str, key: str = "SP17") -> bool:
    """Put a load back, unless the slice has it; return whether that was done."""
    settings, dataset = backend.settings(), backend.dataset
    warehouse, staging = settings.open_warehouse(), settings.open_staging()
    rows = warehouse.loads(dataset=dataset.name, key=key)
    target = next(row for row in rows if row.load_id == load_id)
    standing = standing_of(rows)
    current = standing.current
    assert current is not None
    if current.inputs_digest == target.inputs_digest:
        return False
    order = replace(
        order_for("rollback", dataset, key, new_id(dt.datetime.now(dt.UTC))),
        over=standing.newest,
        stage=stage_of(target, staging),
        stage_path=target.stage,
        about=target.load_id,
        undoes=current.inputs_digest,
        made_by="anna",
    )
    assert order.stage is not None
    warehouse.commit([order], staging)
    return True


def decide(backend: Backend, kind: str, key: str = "SP17") -> None:
    """Put a slice on hold, or release it."""
    assert kind in ("hold", "release")
    settings, dataset = backend.settings(), backend.dataset
    warehouse = settings.open_warehouse()
    standing = standing_of(warehouse.loads(dataset=dataset.name, key=key))
    about = standing.kept.load_id if standing.kept and kind == "release" else None
    order = order_for(
        "hold" if kind == "hold" else "release", dataset, key, new_id(dt.datetime.now(dt.UTC))
    )
    order = replace(order, over=standing.newest, made_by="anna", reason="so", about=about)
    warehouse.commit([order], settings.open_staging())


def prune(backend: Backend, *due: str) -> list[Load]:
    """Remove the slices of the keys that are not due."""
    settings = backend.settings()
    return prune_dataset(
        backend.dataset,
        settings.open_warehouse(),
        settings.open_staging(),
        due=set(due),
        uncertain=set(),
        run_id=None,
        allow_mass_removal=True,
    )


def clean(backend: Backend, keep_loads: int = 1) -> list[Removal]:
    """Remove what no load needs, as it will be in 90 days; return that."""
    settings = backend.settings()
    staging, warehouse = settings.open_staging(), settings.open_warehouse()
    now = dt.datetime.now(dt.UTC) + LATER
    found = find_removals(
        staging, warehouse, now=now, datasets={}, keep_loads=keep_loads, keep_days=30
    )
    return remove(staging, found, found)


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        killed: By its own SIGKILL.
        steps: All it took, when it was not killed.
    """

    killed: bool
    steps: list[str]


def run(action: Action, backend: Backend, *arguments: Any, kill_at: int | None = None) -> Ended:  # noqa: ANN401
    """Run an action in a process of its own, which is killed at a step.

    Raises:
        AssertionError: When it ended in any other way than by that kill or well.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "steps"
        process = _FORKS.Process(target=_act, args=(action, backend, arguments, kill_at, told))
        process.start()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            return Ended(killed=True, steps=[])
        assert process.exitcode == 0, f"{action.__name__}: exit code {process.exitcode}"
        return Ended(killed=False, steps=json.loads(told.read_text(encoding="utf-8")))


def _act(
    action: Action, backend: Backend, arguments: tuple[Any, ...], kill_at: int | None, told: Path
) -> None:
    backend.enter()
    boundaries = Boundaries(kill_at)
    boundaries.install()
    action(backend, *arguments)
    steps = list(boundaries.passed)
    told.write_text(json.dumps(steps), encoding="utf-8")
