"""Every step a process takes towards the outside, numbered; and a kill -9 at one of them.

Nothing of the product knows of it: the calls that change something, or ask for something, are
wrapped where drivers and the standard library offer them. What is written by more than one
call (a part: flushed, then linked to its name) has a number for each.
"""

import itertools
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import botocore.client
import duckdb
import psycopg2
import psycopg2.extensions as pg
import pyarrow.parquet as pq
import sqlalchemy as sa

_WORDS = 4


class Boundaries:
    """Numbers the steps of this process, from 0.

    Attributes:
        passed: The steps so far, such as `before duckdb COMMIT`.
    """

    def __init__(self, kill_at: int | None = None) -> None:
        """Remember at which number the process ends, if at any."""
        self.passed: list[str] = []
        self._kill_at = kill_at
        self._lock = threading.Lock()

    def reach(self, step: str) -> None:
        """Count a step; the process does not survive the one it is to be killed at."""
        with self._lock:
            if len(self.passed) == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.passed.append(step)

    def install(self) -> None:
        """Wrap what this process calls from now on; there is no way back."""
        self._around(
            sa.Connection, "exec_driver_sql", lambda _c, text, *_a, **_k: f"source {_start(text)}"
        )
        self._around(
            duckdb.DuckDBPyConnection,
            "execute",
            lambda _c, text, *_a, **_k: f"duckdb {_start(text)}",
        )
        self._around(duckdb.DuckDBPyConnection, "close", lambda _c: "duckdb close")
        self._around(pq.ParquetWriter, "close", lambda _w: "parquet close")
        self._around(
            botocore.client.BaseClient, "_make_api_call", lambda _c, name, _k: f"aws {name}"
        )
        self._around(os, "fsync", lambda _h: "file fsync")
        self._around(os, "link", lambda _s, target, **_k: f"file link {Path(target).name}")
        self._around(Path, "unlink", lambda path, **_k: f"file unlink {path.name}")
        self._around(Path, "rmdir", lambda _p: "file rmdir")
        self._around(tempfile, "mkdtemp", lambda *_a, **_k: "scratch made")
        self._around(shutil, "rmtree", lambda *_a, **_k: "scratch removed")
        self._around_psycopg2()

    def _around(self, owner: Any, name: str, label: Callable[..., str]) -> None:  # noqa: ANN401
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            step = label(*args, **kwargs)
            self.reach(f"before {step}")
            result = original(*args, **kwargs)
            self.reach(f"after {step}")
            return result

        setattr(owner, name, wrapped)

    def _around_psycopg2(self) -> None:
        """Give connections whose statements and commits are counted: the C types cannot be changed."""
        reach, connect = self.reach, cast("Any", psycopg2.connect)

        class Cursor(pg.cursor):
            def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002, ANN401
                reach(f"before redshift {_start(query)}")
                super().execute(query, vars)
                reach(f"after redshift {_start(query)}")

        class Connection(pg.connection):
            def commit(self) -> None:
                reach("before redshift COMMIT")
                super().commit()
                reach("after redshift COMMIT")

        def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            factories = {"connection_factory": Connection, "cursor_factory": Cursor}
            reach("before redshift connect")
            return connect(*args, **kwargs, **factories)

        psycopg2.connect = counted


def spread(points: list[int], at_most: int) -> list[int]:
    """Return so many of the points, as far apart as can be; all, when there are no more."""
    count = min(at_most, len(points))
    return [points[round(n * (len(points) - 1) / max(count - 1, 1))] for n in range(count)]


def telling(steps: list[str]) -> list[int]:
    """Return the numbers of the steps on both sides of which something else is stored.

    Between them, what a killed process leaves is the same, whichever number it is killed at.
    """
    reading = ("SELECT", "SET", "SHOW", "PRAGMA", "USE", "WITH", "FROM", "CREATE TEMP", "CREATE OR")
    found = []
    for number, step in enumerate(steps):
        when, kind, *text = step.split(maxsplit=2)
        said = text[0] if text else ""
        stores = kind in ("file", "aws", "scratch", "parquet") or not said.startswith(reading)
        if when == "before" and stores and kind != "source":
            found.append(number)
    return [*found, len(steps) - 1]


def tally(steps: list[str]) -> dict[str, int]:
    """Return how many steps are of which kind."""
    kinds = sorted(step.split()[1] for step in steps)
    return {kind: len(list(group)) for kind, group in itertools.groupby(kinds)}


def _start(text: Any) -> str:  # noqa: ANN401
    return " ".join(str(text).split()[:_WORDS])
