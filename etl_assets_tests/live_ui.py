"""The UI as one command runs it: webserver and daemon over a home, asked by GraphQL."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from etl_assets_tests.command_line import PATIENCE_SECONDS, CommandLine


@contextlib.contextmanager
def started_ui(command: CommandLine, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start `etl-assets ui` and yield its process; nothing of it is left afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "etl_assets.cli", "ui", "--port", str(port)],
        env=command.environment(),
        stdout=subprocess.PIPE,  # stderr is this process's: shown with a test that fails
    )
    try:
        yield process
    finally:
        process.kill()
        for left in processes_of(command.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        process.communicate()


def ask(
    port: int, query: str, variables: Mapping[str, object] | None = None
) -> dict[str, Any] | None:
    """Ask GraphQL; None while nobody listens."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": query, "variables": variables or {}}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)["data"]
            return found
    except OSError:
        return None


def until(condition: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Return what the condition gives once that is true; fail after a long time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "It did not happen."
        time.sleep(0.2)
    return found


def processes_of(home: Path) -> list[int]:
    """Return the processes whose Dagster home is below a folder."""
    mark = f"DAGSTER_HOME={home}/dagster\0".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found
