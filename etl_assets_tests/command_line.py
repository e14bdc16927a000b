"""Runs the command line as its users do: in a process of its own."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import dagster as dg

from etl_assets.home import open_instance
from etl_assets.settings import Settings
from etl_assets_tests.small import Small

PATIENCE_SECONDS = 120
"""When a process that does not answer is given up; nothing waits so long that goes well."""

_PAUSED = """
import importlib, sys

fifo, module, function = sys.argv.pop(1), *sys.argv.pop(1).split(":")
module = importlib.import_module(module)
original = getattr(module, function)

def paused(*args, **kwargs):
    setattr(module, function, original)
    with open(fifo) as opened:  # returns when the test opens the other end
        opened.read()           # returns when the test closes it
    return original(*args, **kwargs)

setattr(module, function, paused)
from etl_assets.cli import main
main()
"""


@dataclass
class CommandLine:
    """`etl-assets` with a home of its own and nothing else in its environment."""

    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, small: Small) -> "CommandLine":
        """Return the command line over a small platform."""
        return cls(small.home, {"ETL_ASSETS_DATASETS": str(small.home / "datasets")})

    def environment(self, **variables: str) -> dict[str, str]:
        """Return what a process gets as its environment."""
        base = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "ETL_ASSETS_HOME": str(self.home)}
        return {**base, **self.variables, **variables}

    def run(
        self, *arguments: str, cwd: Path | str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "etl_assets.cli", *arguments],
            env=self.environment(**variables),
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )

    @contextmanager
    def paused(self, where: str, *arguments: str) -> Iterator["Paused"]:
        """Start a command and wait until it first comes to a function of ours, `module:name`."""
        fifo = self.home / "pause"
        os.mkfifo(fifo)
        process = subprocess.Popen(
            [sys.executable, "-c", _PAUSED, str(fifo), where, *arguments],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            with os.fdopen(_open_for_writing(fifo, process), "w") as writer:
                yield Paused(process, writer)
        finally:
            process.kill()
            process.communicate()
            fifo.unlink()

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Open the Dagster instance of the home, as the UI does."""
        with open_instance(Settings(home=self.home)) as opened:
            yield opened


@dataclass
class Paused:
    """A command that stands still at a known place."""

    process: subprocess.Popen[str]
    writer: TextIO

    def go_on(self) -> None:
        """Let the command go on; it does not stand still again."""
        self.writer.close()

    def interrupt(self, number: int) -> tuple[int, str, str]:
        """Send a signal where the command stands still; return what `end` does.

        It is let go only then: a signal that comes just before a read begins is not seen
        until the read ends, and this one would never end by itself.
        """
        self.process.send_signal(number)
        self.go_on()
        return self.end()

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; return exit code, stdout and stderr."""
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, out, err


def _open_for_writing(fifo: Path, process: subprocess.Popen[str]) -> int:
    """Open the FIFO when the process has opened it for reading."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # no reader yet
                raise
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"It did not come to where it should pause: {process.communicate()}")
