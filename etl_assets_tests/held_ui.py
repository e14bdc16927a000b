"""The UI with its daemon and runs, which a test can have stand still at a known place.

The processes are the real ones. Python imports a `sitecustomize` of the test's first, which
wraps functions of ours as they are loaded, and has the daemon look for backfills each second
instead of each half minute.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from etl_assets_tests.command_line import PATIENCE_SECONDS, CommandLine
from etl_assets_tests.live_ui import processes_of, until
from etl_assets_tests.servers import free_port
from etl_assets_tests.small import Small
from etl_assets_tests.test_serve import asset_nodes, healthy_daemons

IN_EXTRACT = "etl_assets.pipeline:_name_parts"
IN_SNAPSHOT = "etl_assets.pipeline:write_parquet"
"""While the connection to the source is open."""
IN_STAGE = "etl_assets.pipeline:transform"
BEFORE_COMMIT = "etl_assets.systems.warehouse_duckdb:prove_load"

_SITE = """
import importlib.machinery, pathlib, sys, time

FOLDER = pathlib.Path(__file__).parent
PLACES = {places!r}
load = importlib.machinery.SourceFileLoader.exec_module

def hold(module, name):
    original, mark = getattr(module, name), FOLDER / f"{{module.__name__}}:{{name}}"
    def held(*args, **kwargs):
        if mark.exists():
            with (FOLDER / "reached").open("a") as reached:
                print(mark.name, file=reached)
        while mark.exists():
            time.sleep(0.05)
        return original(*args, **kwargs)
    setattr(module, name, held)

def exec_module(self, module):
    load(self, module)
    for place in PLACES:
        owner, _, name = place.partition(":")
        if owner == module.__name__:
            hold(module, name)
    if module.__name__ == "dagster._daemon.controller":
        module.DEFAULT_DAEMON_INTERVAL_SECONDS = 1

importlib.machinery.SourceFileLoader.exec_module = exec_module
"""


class HeldUI:
    """`etl-assets ui` over a small platform.

    Attributes:
        small: The platform.
        port: Where the UI listens.
        command: The command line on the same home.
    """

    def __init__(self, small: Small, **variables: str) -> None:
        self.small, self.port = small, free_port()
        self.command = CommandLine(small.home, {**CommandLine.of(small).variables, **variables})
        self._folder = small.home / "held"

    def __enter__(self) -> Self:
        self._folder.mkdir()
        site = _SITE.format(places=[IN_SNAPSHOT, IN_EXTRACT, IN_STAGE, BEFORE_COMMIT])
        (self._folder / "sitecustomize.py").write_text(site, encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "etl_assets.cli", "ui", "--port", str(self.port)],
            env=self.command.environment(PYTHONPATH=str(self._folder)),
        )
        until(lambda: asset_nodes(self.port))
        until(lambda: {"BACKFILL", "QUEUED_RUN_COORDINATOR"} <= healthy_daemons(self.port))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_SECONDS)
        finally:
            for left in processes_of(self.small.home):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)

    @contextlib.contextmanager
    def held_at(self, place: str) -> Iterator[Path]:
        """Have every run stand still at a function until the end; give the file of arrivals."""
        mark, reached = self._folder / place, self._folder / "reached"
        reached.write_text("", encoding="utf-8")
        mark.touch()
        try:
            yield reached
        finally:
            mark.unlink()
