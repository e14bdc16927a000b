"""The webserver and the daemon as children of one process that ends with both or neither."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

from etl_assets.core.errors import PermanentError
from etl_assets.home import WORKSPACE, open_instance, prepare_home
from etl_assets.settings import VARIABLES, Settings

_POLL_SECONDS = 0.5
_STOP_SECONDS = 20


def serve(settings: Settings, *, host: str, port: int, read_only: bool = False) -> int:
    """Run the UI until Ctrl-C, SIGTERM, or one of its processes ends; return the exit code.

    Args:
        settings: Say where its instance is.
        host: Address to listen on.
        port: Port to listen on.
        read_only: Whether the pages change nothing. No daemon is started then: it belongs to
            the one UI that may.

    Raises:
        PermanentError: When the port is taken or the home cannot be written.
    """
    home = prepare_home(settings)
    _check_port(host, port)
    with open_instance(settings):
        pass  # makes the instance's tables: the two processes would collide over that
    environment = {
        **os.environ,
        VARIABLES["home"]: str(settings.home),
        "DAGSTER_HOME": str(home),
        "PYTHONUNBUFFERED": "1",
    }
    workspace = home / "workspace.yaml"
    workspace.write_text(WORKSPACE, encoding="utf-8")
    load = ["-w", str(workspace)]
    commands = [[sys.executable, "-m", "dagster_webserver", *load, "-h", host, "-p", str(port)]]
    if read_only:
        commands[0].append("--read-only")
    else:
        commands.append([sys.executable, "-m", "dagster._daemon", "run", *load])
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    children = [subprocess.Popen(c, env=environment, start_new_session=True) for c in commands]  # noqa: S603
    print(f"The UI is at http://{host}:{port} (Ctrl-C stops it).", flush=True)  # noqa: T201
    while not stopping and all(child.poll() is None for child in children):
        time.sleep(_POLL_SECONDS)
    ended = [child.returncode for child in children if child.poll() is not None]
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
    for child in children:
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
        with contextlib.suppress(ProcessLookupError):  # its code server, when it could not
            os.killpg(child.pid, signal.SIGTERM)
    return 0 if stopping else next((code for code in ended if code), 1)


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PermanentError(
                f"The UI cannot listen on {host}:{port} ({error.strerror}).",
                "Stop what listens there, or choose another port: `etl-assets ui --port 3001`.",
            ) from error
